"""Non-expansive maps: they never move two points further apart.

A map z has dist(z(q), z(x)) <= dist(q, x). Each map here says, with its values, how far they may
lie from the exact ones because of float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastknn.engine import _core

# Columns that one float32 product sums before it is carried to float64.
PRODUCT_DEPTH = _core.DEPTH_LIMIT_FLOATS
# Magnitudes beyond which float32 bounds might overflow or lose all digits.
LARGEST, SMALLEST = 1e15, 1e-15
# Up to this width rows are mixed by a random rotation, above it by a Hadamard transform.
WIDEST_ROTATION = 256
# How much wider its blocks may make them.
PADDING = 1 / 16
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
        self.whole_loss = self.loss()
        self._panels = _core.Panels(np.ascontiguousarray(self.matrix.T), "dot")
        self._panels.pack(0, self._panels.n_panels)

    def loss(self, columns: slice = slice(None)) -> float:
        """How far results may be off, as a share of the row's norm: Cauchy on the above."""
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

    Each of them keeps norms, but for the scale, which `signs` holds: at most 2**(-levels / 2).
    float32 is off by a factor 1 + u for each sum and for the sign, and so, since norms are
    kept on the way, by at most rounds (levels + 1) u of the row's norm.
    """

    order: np.ndarray  # (rounds, padded) int64
    signs: np.ndarray  # (rounds, padded) float32
    block: int

    @classmethod
    def random(cls, width: int, generator: np.random.Generator) -> "Hadamard":
        """The largest blocks that the padding allows, and a second round if there are several."""
        block = _core.HADAMARD_MIN
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
        """How far results may be off, as a share of the row's norm."""
        return 1.01 * len(self.order) * (self.block.bit_length() + 1) * U32

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), self.width))
        rows = np.ascontiguousarray(rows, np.float32)
        _core.hadamard_rounds(rows, self.order, self.signs, self.block, out)
        return out


class ProjectionStage(NamedTuple):
    """What one stage takes of a projection."""

    directions: slice | None  # None: all features
    rest: bool  # whether the norm of the rest is a coordinate
    rotation: Product | Hadamard | None  # None: left as they are, which needs directions

    @property
    def width(self) -> int:
        if self.rotation is not None:
            return self.rotation.width
        assert self.directions is not None
        return self.directions.stop - self.directions.start + self.rest


Valued = tuple[np.ndarray, np.ndarray]


@dataclass
class Projection:
    """L2: coordinates along some directions, the norm of the rest, all mixed at random.

    z(x) = R (V a, sqrt(|a|**2 - |V a|**2)) with a = x - mean. Proof that it contracts, where the
    spectral norms of V and R are at most one (`shrink`): I - V'V = W'W, so the last coordinate
    is |W a|, and (|W a| - |W b|)**2 <= |W (a - b)|**2, which with |V (a - b)|**2 adds up to
    |a - b|**2. R, which spreads energy evenly so that one scale fits a row, only shrinks.

    Every stage takes some of the directions, all of which come from one product; or z(x) = R a.
    """

    mean: np.ndarray  # (width,) float32
    directions: Product | None  # V', float32
    stages: list[ProjectionStage]

    metric = "l2"

    @property
    def widths(self) -> list[int]:
        return [stage.width for stage in self.stages]

    @property
    def n_directions(self) -> int:
        return 0 if self.directions is None else self.directions.width

    def values(self, rows: np.ndarray) -> Iterator[Valued]:
        """z of some rows, float64, and a bound on how far it lies from the exact z; by stage."""
        centered = _minus(rows, self.mean)
        along = None if self.directions is None else self.directions(centered)
        norm = np.sqrt(np.einsum("ij,ij->i", centered, centered, dtype=np.float64))
        norm *= 1 + 4 * U32  # centered is rounded
        for stage in self.stages:
            if stage.directions is None or along is None or self.directions is None:
                values, slack = centered, 4 * U32 * norm
            else:
                values = along[:, stage.directions]
                slack = (self.directions.loss(stage.directions) + 4 * U32) * norm
            if stage.rest:
                square = np.maximum(norm**2 - np.einsum("ij,ij->i", values, values), 0)
                rest = np.sqrt(square)
                values = np.column_stack([values, rest])
                # |sqrt(s + d) - sqrt(s)| <= min(sqrt(|d|), |d| / sqrt(s))
                miss = 16 * U32 * norm**2 + 2 * slack * norm + slack**2
                slack = slack + np.minimum(np.sqrt(miss), miss / np.maximum(rest, SMALLEST**2))
            if stage.rotation is not None:
                # |z| is at most the norm, but for what was off before.
                values = stage.rotation(values)
                slack = slack + stage.rotation.loss() * (norm + slack)
            yield values, slack + 4 * (stage.width + PRODUCT_DEPTH) * U64 * stage.width * norm


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
    the groups of one stage are disjoint.
    """

    mean: np.ndarray  # (width,) float32
    stages: list[Groups | None]  # None: every feature by itself

    metric = "l1"
    n_directions = 0

    @property
    def widths(self) -> list[int]:
        return [len(self.mean) if stage is None else len(stage.ends) for stage in self.stages]

    def values(self, rows: np.ndarray) -> Iterator[Valued]:
        """z of some rows, float64, and a bound on how far it lies from the exact z; by stage."""
        centered = _minus(rows, self.mean)
        # Each feature is rounded to float32, twice at most; the sums are float64.
        slack = 4 * U32 * np.abs(centered).sum(axis=1, dtype=np.float64)
        for stage in self.stages:
            if stage is None:
                yield centered.astype(np.float64), slack
            else:
                sums = np.empty((len(rows), len(stage.ends)))
                _core.group_sums(centered, *stage, sums)
                yield sums, slack


def _minus(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """rows - mean in float32, rounded once (float64: twice)."""
    if rows.dtype == np.float64:
        return (rows - mean).astype(np.float32)
    centered = rows.astype(np.float32)
    centered -= mean
    return centered


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
