"""Non-expansive maps: they never move two points further apart.

A map z has dist(z(q), z(x)) <= dist(q, x). Each map here says, with its values, how far they may
lie from the exact ones because of float32.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
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
# The largest element of directions in 8 bits.
MAX_DIRECTION = 127
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
        return _loss(self._squares[columns], len(self.matrix))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(rows, self.matrix.dtype)
        out = np.empty((len(rows), self.matrix.shape[1]))
        _core.QueryBlock(self._panels, rows).write_distances(out, 0, self._panels.n_panels)
        return out

    def __reduce__(self) -> tuple:
        return Product, (self.matrix,)  # packed again where it arrives, for that processor


def _loss(squares: np.ndarray, depth: int) -> float:
    """The same for columns of these squared norms."""
    return 1.01 * (min(PRODUCT_DEPTH, depth) + 4) * U32 * float(np.sqrt(squares.sum()))


class ByteDirections:
    """Directions in 8 bits: products with rows of bytes are exact, by the kernel of bytes.

    Stands for the directions ``matrix * scale``, and subtracts the mean, which is of bytes, too.
    With squared distances of a row x to some p_j = 128 + v_j, to p_0 = 128 and to the mean m, all
    exact integers,

        <v_j, x - m> = (|x - p_0|**2 - |x - p_j|**2 + |p_j|**2 - |p_0|**2) / 2 - <v_j, m>.

    Parameters
    ----------
    matrix : ndarray (width, n) of int8
    scale : ndarray (n,) of float64
    mean : ndarray (width,) of uint8
    """

    def __init__(self, matrix: np.ndarray, scale: np.ndarray, mean: np.ndarray) -> None:
        self.matrix, self.scale, self.mean = matrix, scale, mean
        points = np.full((self.width + 2, len(mean)), _core.CODE_ZERO, np.uint8)
        points[1] = mean
        points[2:] += matrix.T.view(np.uint8)  # modulo 256
        whole = matrix.astype(np.float64)
        squares = np.square(points, dtype=np.float64).sum(axis=1)
        self._added = squares[2:] - squares[0] - 2 * (mean.astype(np.float64) @ whole)
        self._squares = np.square(whole * scale).sum(axis=0)
        self._panels = _core.Panels(points, "dot")
        self._panels.pack(0, self._panels.n_panels)

    @property
    def width(self) -> int:
        """The number of directions."""
        return self.matrix.shape[1]

    def first(self, n: int) -> "ByteDirections":
        """The first n of these directions; what is packed is shared."""
        some = copy.copy(self)
        some.matrix, some.scale = self.matrix[:, :n], self.scale[:n]
        some._added, some._squares = self._added[:n], self._squares[:n]
        vars(some).pop("_floats", None)
        return some

    @cached_property
    def _floats(self) -> Product:
        return Product(self.matrix.astype(np.float32))

    def loss(self, columns: slice = slice(None)) -> float:
        """How far results may be off for rows of float32, as for `Product`."""
        return _loss(self._squares[columns], len(self.matrix))

    def __call__(self, centered: np.ndarray) -> np.ndarray:
        """Products with rows of float32, from which the mean was subtracted."""
        return self._floats(centered) * self.scale

    def of_bytes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products with rows of bytes minus the mean, and the norms of these, rounded once each."""
        panel_rows = self._panels.panel_rows
        n_panels = -(-(self.width + 2) // panel_rows)
        squares = np.empty((len(rows), min(n_panels * panel_rows, self._panels.n_rows)))
        block = _core.QueryBlock(self._panels, np.ascontiguousarray(rows))
        block.write_distances(squares, 0, n_panels)
        along = squares[:, :1] - squares[:, 2 : self.width + 2]
        along += self._added
        along *= self.scale / 2
        return along, np.sqrt(squares[:, 1])

    def __reduce__(self) -> tuple:
        return ByteDirections, (self.matrix, self.scale, self.mean)


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
    directions: Product | ByteDirections | None  # V'
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
        centered = along = None  # bytes need no floats
        unit = 4 * U32  # what sums of squares and coordinates are off by, as a share
        if rows.dtype == np.uint8 and isinstance(self.directions, ByteDirections):
            along, norm = self.directions.of_bytes(rows)
            unit = 4 * (self.n_directions + 8) * U64
        else:
            centered = _minus(rows, self.mean)
            if self.directions is not None:
                along = self.directions(centered)
            norm = np.sqrt(np.einsum("ij,ij->i", centered, centered, dtype=np.float64))
        norm *= 1 + unit  # centered is rounded
        for stage in self.stages:
            if stage.directions is None or along is None or self.directions is None:
                assert centered is not None, "all features are taken where rows are floats"
                values, slack = centered, unit * norm
            else:
                values = along[:, stage.directions]
                lost = 0 if centered is None else self.directions.loss(stage.directions)
                slack = (lost + unit) * norm
            if stage.rest:
                square = np.maximum(norm**2 - np.einsum("ij,ij->i", values, values), 0)
                rest = np.sqrt(square)
                values = np.column_stack([values, rest])
                # |sqrt(s + d) - sqrt(s)| <= min(sqrt(|d|), |d| / sqrt(s))
                miss = 4 * unit * norm**2 + 2 * slack * norm + slack**2
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


def in_bytes(matrix: np.ndarray, mean: np.ndarray) -> ByteDirections:
    """Directions, rounded to 8 bits and scaled so that their spectral norm is below one.

    The norm is the root of the largest eigenvalue of M'M. LAPACK's is off by a few hundred
    thousand roundings of float64 at most, as M'M is; the room is a hundred times that.
    """
    unit = np.maximum(np.abs(matrix).max(axis=0).astype(np.float64) / MAX_DIRECTION, SMALLEST)
    rounded = np.rint(matrix / unit).astype(np.int8)
    exact = rounded * unit
    largest = np.linalg.eigvalsh(exact.T @ exact)[-1]
    return ByteDirections(rounded, unit / np.sqrt(largest * (1 + 1e-9)), mean)


def random_rotation(width: int, generator: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix in float32, shrunk."""
    return shrink(np.linalg.qr(generator.normal(size=(width, width)))[0].astype(np.float32))
