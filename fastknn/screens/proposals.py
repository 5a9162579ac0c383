"""Cascades that may pay for some rows, of which the index takes the quickest on a sample."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastknn.engine import _core
from fastknn.screens.cascade import Cascade
from fastknn.screens.maps import (
    LARGEST,
    PADDING,
    SMALLEST,
    WIDEST_ROTATION,
    ByteDirections,
    Groups,
    GroupSums,
    Hadamard,
    Product,
    Projection,
    ProjectionStage,
    _minus,
    in_bytes,
    random_rotation,
    shrink,
)
from fastknn.screens.quantization import quantize_l1

# Wider codes are not made: their inner products stay within an int32.
WIDEST_CODES = _core.DEPTH_LIMIT_BYTES
# Axes with less than this share of the largest energy are those of rounding.
NO_ENERGY = 1e-12
# Features are clustered by all their correlations: 200 MB at this width.
WIDEST_CLUSTERING = 5000


def principal_directions(
    centered: np.ndarray, n_directions: int, generator: np.random.Generator
) -> np.ndarray:
    """The first principal directions of a sample of centered rows, as columns.

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4) in float32:
    which directions come out only decides how tight the bound is, never whether it holds. Two
    rounds find as much of CIFAR-10's energy as three but for the last of 511 directions.
    """
    width = centered.shape[1]
    size = min(*centered.shape, n_directions + 16)
    basis = generator.normal(size=(width, size)).astype(np.float32)
    for _ in range(2):
        basis = centered.T @ (centered @ basis)
        energy, along = _principal_axes(basis)
        # Columns without energy stay short: the last step makes them directions like any others.
        length = np.sqrt(np.maximum(energy, max(energy[0] * NO_ENERGY, SMALLEST)))
        basis = basis @ (along / length).astype(np.float32)
    along = _principal_axes(centered @ basis)[1]
    return np.linalg.qr(basis @ along[:, :n_directions].astype(np.float32))[0]


def _principal_axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The squared singular values of rows that are not many times wider than long, and the axes.

    By the small matrix rows'rows, which takes a fifth of the time of a factorisation of the rows.
    """
    exact = rows.astype(np.float64)
    energy, axes = np.linalg.eigh(exact.T @ exact)
    return energy[::-1], axes[:, ::-1]


@dataclass
class FeatureTree:
    """Features clustered by 1 - |correlation| (average linkage), from a sample of centered rows."""

    order: np.ndarray  # features in the order of the leaves: every subtree is a range of it
    mass: np.ndarray  # sum of the deviations of the leaves before each
    correlation: np.ndarray
    root: Any  # scipy.cluster.hierarchy.ClusterNode

    @classmethod
    def of(cls, centered: np.ndarray) -> "FeatureTree":
        from scipy.cluster.hierarchy import linkage, to_tree

        deviation = centered.std(axis=0)
        standard = centered / np.where(deviation > 0, deviation, 1)
        correlation = np.clip((standard.T @ standard) / len(centered), -1, 1)
        distances = 1 - np.abs(correlation[np.triu_indices(len(correlation), 1)])
        root = to_tree(linkage(distances, "average"))
        order = np.array(root.pre_order(), np.int64)
        mass = np.concatenate([[0], np.cumsum(deviation[order], dtype=np.float64)])
        return cls(order, mass, correlation, root)

    def groups(self, largest: float) -> Groups:
        """Groups whose deviations add up to at most `largest` average ones.

        Equal masses make equal ranges, which one scale then fits. First the largest subtrees
        within the limit; then neighbors in the tree that fit together, so that features that
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
        first, ends = 0, list[int]()
        for start, end in zip(starts, [*starts[1:], len(self.order)], strict=True):
            if start > first and self.mass[end] - self.mass[first] > limit:
                ends.append(start)
                first = start
        ends.append(len(self.order))
        leaders = np.repeat(self.order[[0, *ends[:-1]]], np.diff(ends, prepend=0))
        signs = np.where(self.correlation[self.order, leaders] < 0, -1, 1).astype(np.float32)
        return Groups(self.order, np.array(ends, np.int64), signs)


class Plans(NamedTuple):
    """The cascades of projections that are proposed, and the samples that they are fitted to."""

    # Directions of each stage; with the norm of the rest, whole vectors of bytes.
    l2: tuple = ((63,), (127,), (31, 127), (63, 127), (63, 255), (95, 255), (127, 255))
    # The same for rows of bytes, of which more directions cost little.
    l2_bytes: tuple = (
        (63,), (127,), (63, 127), (63, 255), (127, 255), (127, 511), (63, 127, 511), (63, 511),
    )  # fmt: skip
    # Features in a group at most, by stage.
    l1: tuple = ((24,), (16,), (12,), (8,), (6,), (24, 8), (16, 6), (12, 4), (8, 4))
    fewest_groups: int = 16
    sample_rows: int = 3000
    scale_rows: int = 500


PLANS = Plans()


def sample_places(n_rows: int, generator: np.random.Generator) -> np.ndarray:
    """The rows to which maps are fitted, in ascending order."""
    return np.sort(generator.choice(n_rows, min(n_rows, PLANS.sample_rows), replace=False))


def in_range(sample: np.ndarray) -> bool:
    """Whether float32 holds the bounds of such rows, with their digits."""
    return SMALLEST < max(abs(float(sample.min())), abs(float(sample.max()))) < LARGEST


def propose(
    train: np.ndarray,
    metric: str,
    screen: str,
    seed: int = 0,
    screened: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> Iterator[Cascade]:
    """Cascades that may pay for these rows, of the kinds that `screen` names.

    `screened` gives rows as screens compare them.
    Where the training rows are floats, the last stage is their rounding at full width, if the
    width allows; where they are bytes, the exact distance costs no more than that.
    """
    generator = np.random.default_rng(seed)
    sample = screened(train[sample_places(len(train), generator)])
    if not in_range(sample) or sample.shape[1] * (1 + PADDING) > WIDEST_CODES:
        return
    make = _propose_l2 if metric == "l2" else _propose_l1
    yield from make(sample, screen, sample.dtype != np.uint8, generator)


def _propose_l2(
    sample: np.ndarray, screen: str, floats: bool, generator: np.random.Generator
) -> Iterator[Cascade]:
    width = sample.shape[1]
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not floats:
        mean = np.rint(mean)
    full = []
    if floats or screen == "quantized":
        full = [ProjectionStage(None, False, _random_rotation(width, generator))]
        if screen in ("auto", "quantized"):
            yield Cascade("quantized", Projection(mean, None, full), [None])
    plans = [
        plan
        for plan in (PLANS.l2 if floats else PLANS.l2_bytes)
        if plan[-1] <= min(width, len(sample)) // 2
    ]
    if not plans or screen not in ("auto", "projected"):
        return
    most = max(plan[-1] for plan in plans)
    principal = principal_directions(_minus(sample, mean), most, generator)
    every = shrink(principal) if floats else in_bytes(principal, mean.astype(np.uint8))
    projected = {
        n: ProjectionStage(slice(0, n), True, _random_rotation(n + 1, generator))
        for n in sorted({n for plan in plans for n in plan})
    }
    for plan in plans:
        stages = [projected[n] for n in plan] + full
        name = "projected to " + ", then ".join(str(stage.width) for stage in stages)
        some = _first(every, plan[-1])
        yield Cascade(name, Projection(mean, some, stages), [None] * len(stages))


def _first(directions: np.ndarray | ByteDirections, n: int) -> Product | ByteDirections:
    """The first n directions."""
    return (
        directions.first(n)
        if isinstance(directions, ByteDirections)
        else Product(directions[:, :n])
    )


def _random_rotation(width: int, generator: np.random.Generator) -> Product | Hadamard:
    power = width >= _core.HADAMARD_MIN and width & (width - 1) == 0
    if width <= WIDEST_ROTATION and not power:
        return Product(random_rotation(width, generator))
    return Hadamard.random(width, generator)


def _propose_l1(
    sample: np.ndarray, screen: str, floats: bool, generator: np.random.Generator
) -> Iterator[Cascade]:
    width = sample.shape[1]
    mean = np.median(sample, axis=0).astype(np.float32)

    def scale_of(stage: Groups | None) -> float:
        return _l1_scale(GroupSums(mean, [stage]), sample[: PLANS.scale_rows])

    full = [scale_of(None)] if floats or screen == "quantized" else []
    if full and screen in ("auto", "quantized"):
        yield Cascade("quantized", GroupSums(mean, [None]), [*full])
    plans = [plan for plan in PLANS.l1 if width >= PLANS.fewest_groups * plan[0]]
    if not plans or width > WIDEST_CLUSTERING or screen not in ("auto", "projected"):
        return
    tree = FeatureTree.of(_minus(sample, mean))
    groups = {largest: tree.groups(largest) for plan in plans for largest in plan}
    scales = {largest: scale_of(stage) for largest, stage in groups.items()}
    for plan in plans:
        stages = [groups[largest] for largest in plan]
        name = "sums of " + ", then ".join(str(len(stage.ends)) for stage in stages) + " groups"
        last = [None] if full else []
        sums = GroupSums(mean, [*stages, *last])
        yield Cascade(name, sums, [*(scales[largest] for largest in plan), *full])


def _l1_scale(map: GroupSums, sample: np.ndarray) -> float:
    """The scale that makes the errors of a sample small, those of rounding and of clipping."""
    ((values, slack),) = map.values(sample)
    largest = np.quantile(np.abs(values), [0.99, 0.995, 0.998, 0.999, 1]) / _core.MAX_CODE
    tried = [max(float(np.float32(scale)), SMALLEST) for scale in largest]
    return min(tried, key=lambda scale: np.median(quantize_l1(values, slack, scale)[2]))
