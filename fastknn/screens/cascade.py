"""Screens: cheap lower bounds on distances, each a non-expansive map and a rounding to bytes.

A non-expansive map z never moves two points apart: dist(z(q), z(x)) <= dist(q, x). Its values are
rounded to codes, and how far each row's values lie from what its code stands for is measured in
float64 and rounded up (its *error*). Then, by the triangle inequality,

    dist(q, x) >= dist(z(q), z(x)) >= dist(code(q), code(x)) - error(q) - error(x),

whatever the data. Codes are bytes, so the hot loops are the two integer kernels.

L2 codes have a scale for each row: x' = scale_x c_x with c_x = byte - 128. With A = |x'|**2 and
D = <c_q, c_x>, a row may be within reach T = tau + error_q only if

    |q' - x'|**2 = A_q + A_x - 2 scale_q scale_x D <= (T + error_x)**2.

Errors of rounding grow with the scale: the rows of a panel have error_x <= ratio scale_x =: E_x for
one ratio, hardly above that of each. With E_x for error_x that is

    scale_x (-2 scale_q D - 2 T ratio) + (A_x - E_x**2) <= T**2 - A_q.

The kernel evaluates that in float32. Every term is at most twice A_q + A_x + T**2 + E_x**2 (Cauchy
for D, 2 T E_x <= T**2 + E_x**2), and fewer than 16 roundings of at most 2**-24 are made: no more
than the 2**-19 of each magnitude that the two sides leave for it (`CODE_SLACK`).

L1 codes share one scale. A row may be within reach T only if
scale SAD(c_q, c_x) <= T + error_x, which implies, in integers,
SAD - ceil(error_x / scale) <= floor(T / scale).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastknn._utils.rows import BLOCK_ELEMENTS, Rows
from fastknn._utils.threads import for_each
from fastknn.engine import _core
from fastknn.screens.direct import Direct, direct_screen
from fastknn.screens.maps import LARGEST, GroupSums, Projection
from fastknn.screens.quantization import Encoded, quantize_l1, quantize_l2, upwards

# Elements of rows that all threads together contract at a time, where each has BLOCK_ELEMENTS.
THREADS_ELEMENTS = 1 << 20
# Bytes that the widest vectors compare at a time.
CODE_VECTOR = _core.VECTOR_BYTES


@dataclass
class Cascade:
    """Stages from cheap to dear: what each takes of a map, and how that is rounded."""

    name: str
    map: Projection | GroupSums
    scales: list[float | None]  # of all codes of a stage (L1); None: each has its own (L2)

    def encode(self, rows: np.ndarray) -> list[Encoded]:
        """Codes, scales and errors (float64) of some rows; by stage."""
        step = max(1, BLOCK_ELEMENTS // rows.shape[1])
        parts = [
            self._encode_block(rows[start : start + step]) for start in range(0, len(rows), step)
        ]
        stages = []
        for stage in zip(*parts, strict=True):
            codes, scale, error = (np.concatenate(pieces) for pieces in zip(*stage, strict=True))
            stages.append((codes, scale, error))
        return stages

    def _encode_block(self, rows: np.ndarray) -> list[Encoded]:
        # Rows out of float32's safe range become the mean, at an unknown distance from it.
        outside = np.zeros(len(rows), bool)
        if rows.dtype.kind == "f":
            outside = ~(np.abs(rows).max(axis=1) < LARGEST)
        if outside.any():
            rows = np.where(outside[:, None], self.map.mean, rows)
        encoded = [
            quantize_l2(*stage, width) if scale is None else quantize_l1(*stage, scale, width)
            for stage, scale, width in zip(
                self.map.values(rows), self.scales, self.widths, strict=True
            )
        ]
        return [(codes, scale, np.where(outside, np.inf, error)) for codes, scale, error in encoded]

    @property
    def widths(self) -> list[int]:
        """Bytes of a row's code, by stage. Later stages read rows one by one: whole vectors."""
        first, *later = self.map.widths
        return [first, *(width + -width % CODE_VECTOR for width in later)]

    def panels(
        self,
        train: Rows,
        metric: str,
        codes: "list[_core.CodeRows]",
        numbers: np.ndarray | None = None,
    ) -> _core.Panels:
        """The codes of the first stage, laid out for it."""
        first = codes[0]
        return _core.Panels(first.codes, metric, first.scale, first.error, numbers=numbers)

    def fallback(self, dtype: np.dtype, metric: str) -> Direct:
        """What takes over where the cascade does not pay."""
        return direct_screen(dtype, metric)

    def encode_queries(
        self,
        queries: np.ndarray,
        dtype: np.dtype,
        metric: str,
        codes: "list[_core.CodeRows]",
        slack: np.ndarray | None = None,
    ) -> tuple[dict, bool]:
        """Queries as the stages compare them: arguments of `_core.QueryBlock`; never final."""
        encoded = self.encode(queries)
        if slack is not None:  # maps move two points no further apart
            encoded = [(code, scale, error + slack) for code, scale, error in encoded]
        (first, scale, error), *later = encoded
        stages = [
            (rows, _core.CodeRows(encoded[0], metric, encoded[1], encoded[2]))
            for rows, encoded in zip(codes[1:], later, strict=True)
        ]
        return {"codes": first, "errors": error, "scale": scale, "stages": stages}, False

    def encode_rows(self, rows: Rows, n_threads: int) -> list["_core.CodeRows"]:
        """The codes of all training rows, by stage."""
        widths = self.widths
        codes = [np.empty((len(rows), width), np.uint8) for width in widths]
        scale, error = np.empty((2, len(widths), len(rows)), np.float32)

        def code(block: slice) -> None:
            for stage, encoded in enumerate(self.encode(rows[block])):
                codes[stage][block], scale[stage, block], exact = encoded
                error[stage, block] = upwards(exact)

        for_each(code, row_blocks(rows, n_threads), n_threads)
        metric = self.map.metric
        return [
            _core.CodeRows(codes[stage], metric, scale[stage], error[stage])
            for stage in range(len(widths))
        ]


def encode_for_all(
    cascades: list[Cascade], rows: Rows, n_threads: int
) -> "list[list[_core.CodeRows]]":
    """Codes of the same rows for several cascades of one metric, as `encode_rows` has them.

    Stages that they share are encoded once: by a cascade of all stages that there are.
    """
    if not cascades:
        return []
    most: Any = max((cascade.map for cascade in cascades), key=lambda one: one.n_directions)
    stages = {
        id(stage): (stage, scale)
        for cascade in cascades
        for stage, scale in zip(cascade.map.stages, cascade.scales, strict=True)
    }
    every: list[Any] = [stage for stage, _ in stages.values()]
    union = Cascade("all", replace(most, stages=every), [scale for _, scale in stages.values()])
    encoded = dict(zip(stages, union.encode_rows(rows, n_threads), strict=True))

    def codes(cascade: Cascade) -> "list[_core.CodeRows]":
        first, *later = [encoded[id(stage)] for stage in cascade.map.stages]
        narrow = np.ascontiguousarray(first.codes[:, : cascade.widths[0]])
        return [
            _core.CodeRows(narrow, cascade.map.metric, first.scale, first.error),
            *later,
        ]

    return [codes(cascade) for cascade in cascades]


def row_blocks(rows: Rows, n_threads: int) -> Iterator[slice]:
    """Blocks of rows whose float32 copies, one for each thread, stay within bounds.

    However many threads, none is smaller than what `Cascade.encode` takes at a time: what a block
    takes in Python, one thread at a time, would be all that is done.
    """
    step = max(1, max(THREADS_ELEMENTS // n_threads, BLOCK_ELEMENTS) // rows.shape[1])
    for start in range(0, len(rows), step):
        yield slice(start, min(start + step, len(rows)))


# --- Candidates, of which the index takes the one that is quickest on a sample ------------------
