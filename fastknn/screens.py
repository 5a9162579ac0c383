"""Screens: cheap lower bounds on distances, each a contraction and a rounding to bytes.

A contraction z never moves two points apart: dist(z(q), z(x)) <= dist(q, x). Its values are
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

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fastknn import _core
from fastknn._rows import BLOCK_ELEMENTS, Rows
from fastknn._threads import for_each
from fastknn.direct import Direct, direct_screen

# Elements of rows that all threads together contract at a time, where each has BLOCK_ELEMENTS.
THREADS_ELEMENTS = 1 << 20
# Bytes that the widest vectors compare at a time.
CODE_VECTOR = 64
# Columns that one float32 product sums before it is carried to float64 (kernels.h).
PRODUCT_DEPTH = 256
# Magnitudes beyond which float32 bounds might overflow or lose all digits.
LARGEST, SMALLEST = 1e15, 1e-15
# Scale of a row of zeros: what multiplies it vanishes beside the distances of any coded data.
NO_SCALE = 1e-30
# Up to this width rows are mixed by a random rotation, above it by a Hadamard transform.
WIDEST_ROTATION = 256
# How much wider its blocks may make them.
PADDING = 1 / 16
# Wider codes are not made: their inner products stay within an int32 (kernels.h).
WIDEST_CODES = 32768
# Features are clustered by all their correlations: 200 MB at this width.
WIDEST_CLUSTERING = 5000
U32, U64 = 2.0**-24, 2.0**-53


class Product:
    """rows @ matrix, by the packed kernels: on the caller's thread, GIL released.

    float32 sums of PRODUCT_DEPTH terms are carried to float64, so that an element is off by at
    most (PRODUCT_DEPTH + 2) u sum |row| |column| (Higham, Accuracy and Stability, 3.1).
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = np.ascontiguousarray(matrix)
        self.width = self.matrix.shape[1]
        self._squares = np.einsum("ij,ij->j", self.matrix, self.matrix, dtype=np.float64)
        self._panels = _core.Panels(np.ascontiguousarray(self.matrix.T), "dot")
        self._panels.pack(0, self._panels.n_panels)

    def loss(self, columns: slice = slice(None)) -> float:
        """How far results may be off, as a share of the row's length: Cauchy on the above."""
        depth = min(PRODUCT_DEPTH, len(self.matrix))
        return 1.01 * (depth + 4) * U32 * float(np.sqrt(self._squares[columns].sum()))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(rows, self.matrix.dtype)
        out = np.empty((len(rows), self.matrix.shape[1]))
        _core.QueryBlock(self._panels, rows).write_distances(out, 0, self._panels.n_panels)
        return out

    def __reduce__(self) -> tuple:
        return Product, (self.matrix,)  # packed again where it arrives, for that processor


class Hadamard(NamedTuple):
    """Rounds of a permutation, signs and Hadamard transforms of blocks, padded with zeros.

    Each of them keeps lengths, but for the scale, which `signs` holds: at most 2**(-levels / 2).
    float32 is off by a factor 1 + u for each sum and for the sign, and so, since lengths are
    kept on the way, by at most rounds (levels + 1) u of the row's length.
    """

    order: np.ndarray  # (rounds, padded) int64
    signs: np.ndarray  # (rounds, padded) float32
    block: int

    @classmethod
    def random(cls, width: int, generator: np.random.Generator) -> "Hadamard":
        """The largest blocks that the padding allows, and a second round if there are several."""
        block = 8
        while -(-width // (2 * block)) * 2 * block <= width * (1 + PADDING):
            block *= 2
        padded = -(-width // block) * block
        rounds = 1 if padded == block else 2
        order = np.array([generator.permutation(padded) for _ in range(rounds)])
        scale = np.nextafter(np.float32(block**-0.5), np.float32(0))
        signs = generator.choice([-scale, scale], size=order.shape).astype(np.float32)
        return cls(order, signs, block)

    @property
    def width(self) -> int:
        return self.order.shape[1]

    def loss(self) -> float:
        """How far results may be off, as a share of the row's length."""
        return 1.01 * len(self.order) * (self.block.bit_length() + 1) * U32

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), self.width))
        rows = np.ascontiguousarray(rows, np.float32)
        _core.mix(rows, self.order, self.signs, self.block, out)
        return out


class Head(NamedTuple):
    """What one stage takes of a projection."""

    directions: slice | None  # None: all features
    rest: bool  # whether the length of the rest is a coordinate
    mixing: Product | Hadamard

    @property
    def width(self) -> int:
        return self.mixing.width


Valued = tuple[np.ndarray, np.ndarray]


@dataclass
class Projection:
    """L2: coordinates along some directions, the length of the rest, all mixed at random.

    z(x) = R (V a, sqrt(|a|**2 - |V a|**2)) with a = x - mean. Proof that it contracts, where the
    spectral norms of V and R are at most one (`shrink`): I - V'V = W'W, so the last coordinate
    is |W a|, and (|W a| - |W b|)**2 <= |W (a - b)|**2, which with |V (a - b)|**2 adds up to
    |a - b|**2. R, which spreads energy evenly so that one scale fits a row, only shrinks.

    Every head takes some of the directions, all of which come from one product; or z(x) = R a.
    """

    mean: np.ndarray  # (width,) float32
    directions: Product | None  # V', float32
    heads: list[Head]

    metric = "l2"

    @property
    def widths(self) -> list[int]:
        return [head.width for head in self.heads]

    @property
    def n_directions(self) -> int:
        return 0 if self.directions is None else self.directions.width

    def values(self, rows: np.ndarray) -> Iterator[Valued]:
        """z of some rows, float64, and a bound on how far it lies from the exact z; by head."""
        centred = _minus(rows, self.mean)
        along = None if self.directions is None else self.directions(centred)
        length = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64))
        length *= 1 + 4 * U32  # centred is rounded
        for head in self.heads:
            if head.directions is None:
                values, off = centred, 4 * U32 * length
            else:
                values = along[:, head.directions]
                off = (self.directions.loss(head.directions) + 4 * U32) * length
            if head.rest:
                square = np.maximum(length**2 - np.einsum("ij,ij->i", values, values), 0)
                rest = np.sqrt(square)
                values = np.column_stack([values, rest])
                # |sqrt(s + d) - sqrt(s)| <= min(sqrt(|d|), |d| / sqrt(s))
                miss = 16 * U32 * length**2 + 2 * off * length + off**2
                off = off + np.minimum(np.sqrt(miss), miss / np.maximum(rest, SMALLEST**2))
            # |z| is at most the length, but for what was off before.
            values = head.mixing(values)
            off = off + head.mixing.loss() * (length + off)
            yield values, off + 4 * (head.width + PRODUCT_DEPTH) * U64 * head.width * length


class Groups(NamedTuple):
    """Disjoint groups of features, one after the other, and a sign for each feature."""

    order: np.ndarray  # (width,) int64: features, by group
    ends: np.ndarray  # (groups,) int64: where in `order` each group ends
    signs: np.ndarray  # (width,) float32, in the order of the groups


@dataclass
class GroupSums:
    """L1: signed sums over groups of features, or the features themselves.

    z_g(x) = sum over the group of s_i (x_i - mean_i), s_i = 1 or -1, for any mean. Proof that it
    contracts: |z_g(x) - z_g(y)| = |sum s_i (x_i - y_i)| <= sum |x_i - y_i| over the group, and
    the groups of one head are disjoint.
    """

    mean: np.ndarray  # (width,) float32
    heads: list[Groups | None]  # None: every feature by itself

    metric = "l1"
    n_directions = 0

    @property
    def widths(self) -> list[int]:
        return [len(self.mean) if head is None else len(head.ends) for head in self.heads]

    def values(self, rows: np.ndarray) -> Iterator[Valued]:
        """z of some rows, float64, and a bound on how far it lies from the exact z; by head."""
        centred = _minus(rows, self.mean)
        # Each feature is rounded to float32, twice at most; the sums are float64.
        off = 4 * U32 * np.abs(centred).sum(axis=1, dtype=np.float64)
        for head in self.heads:
            if head is None:
                yield centred.astype(np.float64), off
            else:
                sums = np.empty((len(rows), len(head.ends)))
                _core.group_sums(centred, *head, sums)
                yield sums, off


def _minus(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """rows - mean in float32, rounded once (float64: twice)."""
    if rows.dtype == np.float64:
        return (rows - mean).astype(np.float32)
    centred = rows.astype(np.float32)
    centred -= mean
    return centred


def shrink(matrix: np.ndarray) -> np.ndarray:
    """A matrix with nearly orthonormal columns, scaled so that its spectral norm is below one.

    |M|**2 = |M'M| <= 1 + |M'M - I|, in the Frobenius norm; with room for the rounding of M'M
    in float64 and of the scaled matrix in its own type.
    """
    exact = matrix.astype(np.float64)
    defect = np.linalg.norm(exact.T @ exact - np.eye(exact.shape[1]))
    defect += (exact.shape[0] + 8) * exact.shape[1] * 4 * U64
    room = 1 + 4 * np.finfo(matrix.dtype).eps * np.sqrt(exact.shape[1])
    return (exact / (np.sqrt(1 + defect) * room)).astype(matrix.dtype)


def random_rotation(width: int, generator: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix in float32, shrunk."""
    return shrink(np.linalg.qr(generator.normal(size=(width, width)))[0].astype(np.float32))


def principal_directions(
    centred: np.ndarray, n_directions: int, generator: np.random.Generator
) -> np.ndarray:
    """The first principal directions of a sample of centred rows, as columns.

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4) in float32:
    which directions come out only decides how tight the bound is, never whether it holds.
    """
    width = centred.shape[1]
    size = min(*centred.shape, n_directions + 16)
    basis = generator.normal(size=(width, size)).astype(np.float32)
    for _ in range(3):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    right = np.linalg.svd(centred @ basis, full_matrices=False)[2]
    return np.linalg.qr(basis @ right[:n_directions].T)[0]


@dataclass
class FeatureTree:
    """Features clustered by 1 - |correlation| (average linkage), from a sample of centred rows."""

    order: np.ndarray  # features in the order of the leaves: every subtree is a range of it
    mass: np.ndarray  # sum of the deviations of the leaves before each
    correlation: np.ndarray
    root: "object"  # scipy.cluster.hierarchy.ClusterNode

    @classmethod
    def of(cls, centred: np.ndarray) -> "FeatureTree":
        from scipy.cluster.hierarchy import linkage, to_tree

        deviation = centred.std(axis=0)
        standard = centred / np.where(deviation > 0, deviation, 1)
        correlation = np.clip((standard.T @ standard) / len(centred), -1, 1)
        distances = 1 - np.abs(correlation[np.triu_indices(len(correlation), 1)])
        root = to_tree(linkage(distances, "average"))
        order = np.array(root.pre_order(), np.int64)
        mass = np.concatenate([[0], np.cumsum(deviation[order], dtype=np.float64)])
        return cls(order, mass, correlation, root)

    def groups(self, largest: float) -> Groups:
        """Groups whose deviations add up to at most `largest` average ones.

        Equal masses make equal ranges, which one scale then fits. First the largest subtrees
        within the limit; then neighbours in the tree that fit together, so that features that
        hardly vary, whatever they correlate with, do not have a group each.
        """
        limit = largest * self.mass[-1] / len(self.order)
        starts, waiting = [], [(self.root, 0)]
        while waiting:
            node, start = waiting.pop()
            if node.count == 1 or self.mass[start + node.count] - self.mass[start] <= limit:
                starts.append(start)
            else:
                waiting += [(node.right, start + node.left.count), (node.left, start)]
        first, ends = 0, []
        for start, end in zip(starts, [*starts[1:], len(self.order)], strict=True):
            if start > first and self.mass[end] - self.mass[first] > limit:
                ends.append(start)
                first = start
        ends = np.array([*ends, len(self.order)], np.int64)
        leaders = np.repeat(self.order[[0, *ends[:-1]]], np.diff(ends, prepend=0))
        signs = np.where(self.correlation[self.order, leaders] < 0, -1, 1).astype(np.float32)
        return Groups(self.order, ends, signs)


# --- Rounding ---------------------------------------------------------------------------------


def upwards(values: np.ndarray) -> np.ndarray:
    """Non-negative float64 values in float32, none of them smaller."""
    return np.nextafter(np.asarray(values).astype(np.float32), np.float32(np.inf))


Coded = tuple[np.ndarray, np.ndarray, np.ndarray]


def round_l2(values: np.ndarray, off: np.ndarray) -> Coded:
    """Bytes, scale and error of rows of values, at the finest scale that holds each row.

    But none below what the values are off by: errors stay within sqrt(width) / 2 + 1 scales.
    """
    scale = upwards(np.maximum(np.abs(values).max(axis=1) / 127, off))
    np.maximum(scale, NO_SCALE, out=scale)
    codes = np.rint(values / scale[:, None])
    missed = values - codes * scale[:, None].astype(np.float64)
    error = np.sqrt(np.einsum("ij,ij->i", missed, missed)) + off
    return (codes + 128).astype(np.uint8), scale, _rounded_up(error, values)


def round_l1(values: np.ndarray, off: np.ndarray, scale: float) -> Coded:
    """Bytes, scale and error of rows of values, at a given scale; what is clipped is in error."""
    codes = np.clip(np.rint(values / scale), -128, 127)
    error = np.abs(values - codes * scale).sum(axis=1) + off
    scales = np.full(len(values), scale, np.float32)
    return (codes + 128).astype(np.uint8), scales, _rounded_up(error, values)


def _rounded_up(error: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Errors, with what float64 may have lost of them and of the subtractions before."""
    largest = np.abs(values).max(axis=1)
    width = values.shape[1]
    return error * (1 + (width + 8) * 2 * U64) + 4 * U64 * width * largest


@dataclass
class Cascade:
    """Stages from cheap to dear: a contraction with a head for each, and how it is rounded."""

    name: str
    contraction: Projection | GroupSums
    scales: list[float | None]  # of all codes of a stage (L1); None: each has its own (L2)

    def encode(self, rows: np.ndarray) -> list[Coded]:
        """Codes, scales and errors (float64) of some rows; by stage."""
        step = max(1, BLOCK_ELEMENTS // rows.shape[1])
        parts = [
            self._encode_block(rows[start : start + step]) for start in range(0, len(rows), step)
        ]
        return [
            tuple(np.concatenate(pieces) for pieces in zip(*stage, strict=True))
            for stage in zip(*parts, strict=True)
        ]

    def _encode_block(self, rows: np.ndarray) -> list[Coded]:
        # Rows out of float32's safe range become the mean, at an unknown distance from it.
        outside = ~(np.abs(rows).max(axis=1) < LARGEST) if rows.dtype.kind == "f" else False
        if np.any(outside):
            rows = np.where(outside[:, None], self.contraction.mean, rows)
        coded = [
            round_l2(*stage) if scale is None else round_l1(*stage, scale)
            for stage, scale in zip(self.contraction.values(rows), self.scales, strict=True)
        ]
        return [
            (_widened(codes, width), scale, np.where(outside, np.inf, error))
            for (codes, scale, error), width in zip(coded, self.widths, strict=True)
        ]

    @property
    def widths(self) -> list[int]:
        """Bytes of a row's code, by stage. Later stages read rows one by one: whole vectors."""
        first, *later = self.contraction.widths
        return [first, *(width + -width % CODE_VECTOR for width in later)]

    def panels(self, train: Rows, metric: str, codes: "list[_core.CodeRows]") -> _core.Panels:
        """The codes of the first stage, laid out for it."""
        first = codes[0]
        return _core.Panels(first.codes, metric, first.scale, first.error)

    def simpler(self, kind: np.dtype, metric: str) -> Direct:
        """What takes over where the cascade does not pay."""
        return direct_screen(kind, metric)

    def code(
        self,
        queries: np.ndarray,
        kind: np.dtype,
        metric: str,
        codes: "list[_core.CodeRows]",
        off: np.ndarray | None = None,
    ) -> tuple[dict, bool]:
        """Queries as the stages compare them: arguments of `_core.QueryBlock`; never final."""
        encoded = self.encode(queries)
        if off is not None:  # contractions move two points no further apart
            encoded = [(code, scale, error + off) for code, scale, error in encoded]
        (first, scale, error), *later = encoded
        stages = [
            (rows, _core.CodeRows(coded[0], metric, coded[1], coded[2]))
            for rows, coded in zip(codes[1:], later, strict=True)
        ]
        return {"codes": first, "errors": error, "scale": scale, "stages": stages}, False

    def code_rows(self, rows: Rows, n_threads: int) -> list["_core.CodeRows"]:
        """The codes of all training rows, by stage."""
        widths = self.widths
        codes = [np.empty((len(rows), width), np.uint8) for width in widths]
        scale, error = np.empty((2, len(widths), len(rows)), np.float32)

        def code(block: slice) -> None:
            for stage, coded in enumerate(self.encode(rows[block])):
                codes[stage][block], scale[stage, block], exact = coded
                error[stage, block] = upwards(exact)

        for_each(code, row_blocks(rows, n_threads), n_threads)
        metric = self.contraction.metric
        return [
            _core.CodeRows(codes[stage], metric, scale[stage], error[stage])
            for stage in range(len(widths))
        ]


def code_for_all(
    cascades: list[Cascade], rows: Rows, n_threads: int
) -> "list[list[_core.CodeRows]]":
    """Codes of the same rows for several cascades of one metric, as `code_rows` has them.

    Heads that they share are coded once: by a cascade of all heads there are.
    """
    if not cascades:
        return []
    most = max((cascade.contraction for cascade in cascades), key=lambda one: one.n_directions)
    heads = {
        id(head): (head, scale)
        for cascade in cascades
        for head, scale in zip(cascade.contraction.heads, cascade.scales, strict=True)
    }
    every = [head for head, _ in heads.values()]
    union = Cascade("all", replace(most, heads=every), [scale for _, scale in heads.values()])
    coded = dict(zip(heads, union.code_rows(rows, n_threads), strict=True))

    def codes(cascade: Cascade) -> "list[_core.CodeRows]":
        first, *later = [coded[id(head)] for head in cascade.contraction.heads]
        narrow = np.ascontiguousarray(first.codes[:, : cascade.widths[0]])
        return [
            _core.CodeRows(narrow, cascade.contraction.metric, first.scale, first.error),
            *later,
        ]

    return [codes(cascade) for cascade in cascades]


def _widened(codes: np.ndarray, width: int) -> np.ndarray:
    """Codes with zeros at the end of each row."""
    missing = width - codes.shape[1]
    return np.pad(codes, ((0, 0), (0, missing)), constant_values=128) if missing else codes


def row_blocks(rows: Rows, n_threads: int) -> Iterator[slice]:
    """Blocks of rows whose float32 copies, one for each thread, stay within bounds.

    However many threads, none is smaller than what `Cascade.encode` takes at a time: what a block
    takes in Python, one thread at a time, would be all that is done.
    """
    step = max(1, max(THREADS_ELEMENTS // n_threads, BLOCK_ELEMENTS) // rows.shape[1])
    for start in range(0, len(rows), step):
        yield slice(start, min(start + step, len(rows)))


# --- Candidates, of which the index takes the one that is quickest on a sample ------------------

# Directions of the stages of a projection; with the length of the rest, whole vectors of bytes.
PROJECTED_L2 = ((63,), (127,), (31, 127), (63, 127), (63, 255), (95, 255), (127, 255))
# Features in a group at most, by stage.
PROJECTED_L1 = ((24,), (16,), (12,), (8,), (6,), (24, 8), (16, 6), (12, 4), (8, 4))
FEWEST_GROUPS = 16
SAMPLE_ROWS, SCALE_ROWS = 3000, 500


def candidates(
    train: np.ndarray,
    metric: str,
    screen: str,
    seed: int = 0,
    seen: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> Iterator[Cascade]:
    """Cascades that may pay for these rows, of the kinds that `screen` names.

    `seen` gives rows as screens compare them.
    Where the training rows are floats, the last stage is their rounding at full length, if the
    width allows; where they are bytes, the exact distance costs no more than that.
    """
    generator = np.random.default_rng(seed)
    places = np.sort(generator.choice(len(train), min(len(train), SAMPLE_ROWS), replace=False))
    sample = seen(train[places])
    largest = max(abs(float(sample.min())), abs(float(sample.max())))
    if not SMALLEST < largest < LARGEST or sample.shape[1] * (1 + PADDING) > WIDEST_CODES:
        return
    make = _candidates_l2 if metric == "l2" else _candidates_l1
    yield from make(sample, screen, sample.dtype != np.uint8, generator)


def _candidates_l2(
    sample: np.ndarray, screen: str, floats: bool, generator: np.random.Generator
) -> Iterator[Cascade]:
    width = sample.shape[1]
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    full = []
    if floats or screen == "rounded":
        full = [Head(None, False, _mixing(width, generator))]
        if screen in ("auto", "rounded"):
            yield Cascade("rounded", Projection(mean, None, full), [None])
    plans = [plan for plan in PROJECTED_L2 if plan[-1] <= min(width, len(sample)) // 2]
    if not plans or screen not in ("auto", "projected"):
        return
    most = max(plan[-1] for plan in plans)
    principal = shrink(principal_directions(_minus(sample, mean), most, generator))
    projected = {
        n: Head(slice(0, n), True, Product(random_rotation(n + 1, generator)))
        for n in sorted({n for plan in plans for n in plan})
    }
    for plan in plans:
        heads = [projected[n] for n in plan] + full
        product = Product(principal[:, : plan[-1]])
        name = "projected to " + ", then ".join(str(head.width) for head in heads)
        yield Cascade(name, Projection(mean, product, heads), [None] * len(heads))


def _mixing(width: int, generator: np.random.Generator) -> Product | Hadamard:
    if width <= WIDEST_ROTATION:
        return Product(random_rotation(width, generator))
    return Hadamard.random(width, generator)


def _candidates_l1(
    sample: np.ndarray, screen: str, floats: bool, generator: np.random.Generator
) -> Iterator[Cascade]:
    width = sample.shape[1]
    mean = np.median(sample, axis=0).astype(np.float32)

    def fitted(head: Groups | None) -> tuple[Groups | None, float]:
        return head, _l1_scale(GroupSums(mean, [head]), sample[:SCALE_ROWS])

    full = [fitted(None)] if floats or screen == "rounded" else []
    if full and screen in ("auto", "rounded"):
        (head, scale) = full[0]
        yield Cascade("rounded", GroupSums(mean, [head]), [scale])
    plans = [plan for plan in PROJECTED_L1 if width >= FEWEST_GROUPS * plan[0]]
    if not plans or width > WIDEST_CLUSTERING or screen not in ("auto", "projected"):
        return
    tree = FeatureTree.of(_minus(sample, mean))
    by_size = {largest: fitted(tree.groups(largest)) for plan in plans for largest in plan}
    for plan in plans:
        stages = [by_size[largest] for largest in plan]
        name = "sums of " + ", then ".join(str(len(head.ends)) for head, _ in stages) + " groups"
        heads, scales = zip(*stages, *full, strict=True)
        yield Cascade(name, GroupSums(mean, list(heads)), list(scales))


def _l1_scale(contraction: GroupSums, sample: np.ndarray) -> float:
    """The scale that makes the errors of a sample small, those of rounding and of clipping."""
    ((values, off),) = contraction.values(sample)
    tried = np.quantile(np.abs(values), [0.99, 0.995, 0.998, 0.999, 1]) / 127
    tried = [max(float(np.float32(scale)), SMALLEST) for scale in tried]
    return min(tried, key=lambda scale: np.median(round_l1(values, off, scale)[2]))
