"""Groups of rows that one bound may rule out at once.

Rows are put into the order of the leaves of a k-d tree over their images under a non-expansive map
(`engine/ordering.pxi`): groups of them, one after another, lie close together, and so do groups of
groups. Each has a box that holds the images of its rows, with what rounding may have moved them.
How the boxes are walked over, and why it is exact: `engine/groups.pxi`.

Images are, under L2, coordinates along the principal directions of a sample, all of them or the
first ones and the norm of the rest; under L1, the features themselves or sums of some of them. With
coordinates in order of their variance, the first ones rule out most boxes.
"""

from dataclasses import dataclass

import numpy as np

from fastknn._utils.rows import BLOCK_ELEMENTS, InBlocks, Rows
from fastknn._utils.threads import for_each
from fastknn.engine import _core
from fastknn.screens.cascade import row_blocks
from fastknn.screens.maps import (
    LARGEST,
    SMALLEST,
    U32,
    Groups,
    GroupSums,
    Product,
    Projection,
    ProjectionStage,
    _minus,
    shrink,
)
from fastknn.screens.proposals import in_range, principal_directions, sample_places

# Rows of BOX_LANES groups, which are compared together.
TOGETHER = _core.GROUP_ROWS * _core.BOX_LANES
# How far coordinates that underflow may be off.
UNDERFLOW = SMALLEST**2
# Rows below which a second thread costs more time than it saves.
ROWS_PER_THREAD = 8192
# Ranges of rows that are ordered by one thread each, for every thread.
RANGES_PER_THREAD = 4


@dataclass
class Grouping:
    """An order of the training rows, and the boxes of groups of them."""

    map: Projection | GroupSums  # with one stage
    numbers: np.ndarray  # (n_rows,) int64: the row of the training set at each place
    lower: np.ndarray  # (n_groups, width of the map) float32
    upper: np.ndarray
    parts: tuple[int, ...] = (0,)  # where the rows begin that were ordered together

    @classmethod
    def of(cls, rows: Rows, metric: str, n_threads: int, seed: int = 0) -> "Grouping | None":
        """Group rows, as screens compare them; None where no map fits them.

        O(n log n) for n rows, in parallel. Besides the result, the images of all rows exist for
        a while: at most BOX_WIDTH_MAX float32 of each.
        """
        map = _fitted_map(rows, metric, np.random.default_rng(seed))
        if map is None:
            return None
        return cls(map, *_in_groups(map, rows, n_threads))

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.lower.nbytes + self.upper.nbytes

    @property
    def places(self) -> np.ndarray:
        """The place of each row of the training set: (n_rows,) of int64."""
        places = np.empty(len(self.numbers), np.int64)
        places[self.numbers] = np.arange(len(places))
        return places

    def boxes(self, panel_rows: int) -> "_core.GroupBoxes":
        """The boxes as the engine reads them, for panels of so many rows."""
        return _core.GroupBoxes(self.lower, self.upper, self.map.metric, panel_rows)

    def points(
        self, queries: np.ndarray, slack: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Queries as the boxes see them, float32, and how far each is off at most, float64."""
        step = max(1, BLOCK_ELEMENTS // queries.shape[1])
        if len(queries) <= step:
            points, errors = _image(self.map, queries)
            return points, errors if slack is None else errors + slack
        parts = [_image(self.map, queries[i : i + step]) for i in range(0, len(queries), step)]
        points, errors = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return points, errors if slack is None else errors + slack

    def with_more(self, rows: Rows, n_threads: int) -> "Grouping":
        """The same with more rows, in groups of their own after the others.

        They take in those parts that were appended before and are not twice as long: so there are
        O(log n) parts, and in all each row is ordered O(log n) times. Groups of many small parts
        would be large: half of 100,000 rows, appended in 50 parts, made searches 4 times slower.

        Parameters
        ----------
        rows : Rows
            All of them, the new ones last, in the order of the training set.
        """
        before, parts = len(self.numbers), [*self.parts]
        start = before
        while parts and start - parts[-1] < 2 * (len(rows) - start):
            start = parts.pop()
        start -= start % TOGETHER  # whole groups of groups stay as they are
        parts = [*(part for part in parts if part < start), start]
        numbers = np.concatenate([self.numbers[start:], np.arange(before, len(rows))])
        tail = InBlocks(numbers, lambda some: rows[some], rows.shape[1], rows.dtype)
        order, lower, upper = _in_groups(self.map, tail, n_threads)
        first = start // _core.GROUP_ROWS
        return Grouping(
            self.map,
            np.concatenate([self.numbers[:start], numbers[order]]),
            np.concatenate([self.lower[:first], lower]),
            np.concatenate([self.upper[:first], upper]),
            tuple(parts),
        )

    def subset(self, chosen: np.ndarray, rows: Rows, n_threads: int) -> "Grouping":
        """The same for some of the rows, in the order that they have.

        Parameters
        ----------
        chosen : ndarray of int
            The rows in the old training set, perhaps several times.
        rows : Rows
            These rows.
        """
        numbers = np.argsort(self.places[chosen], kind="stable")
        values, errors = _images(self.map, rows, n_threads)
        return Grouping(self.map, numbers, *_boxes(values[numbers], errors[numbers]))


def _fitted_map(
    rows: Rows, metric: str, generator: np.random.Generator
) -> Projection | GroupSums | None:
    sample = rows[sample_places(len(rows), generator)]
    width, most = sample.shape[1], _core.BOX_WIDTH_MAX
    if not in_range(sample):
        return None
    if metric == "l1":
        return _feature_map(sample)
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = _minus(sample, mean)
    n_directions = min(width, len(sample))
    if n_directions > most or n_directions < width:
        n_directions = min(n_directions, most - 1)
    principal = shrink(principal_directions(centered, n_directions, generator))
    n_directions = principal.shape[1]
    stage = ProjectionStage(slice(0, n_directions), n_directions < width, None)
    return Projection(mean, Product(principal), [stage])


def _feature_map(sample: np.ndarray) -> GroupSums:
    """Every feature by itself, those of the largest deviations first; or sums of some of them.

    Features that follow each other are summed: in images and series these are alike, and to find
    others that are takes longer than grouping all rows.
    """
    width, most = sample.shape[1], _core.BOX_WIDTH_MAX
    mean = np.median(sample, axis=0).astype(np.float32)
    order, ends = np.arange(width), np.linspace(0, width, most + 1).astype(np.int64)[1:]
    if width <= most:
        order = np.argsort(-sample.std(axis=0, dtype=np.float64), kind="stable")
        ends = np.arange(1, width + 1)
    return GroupSums(mean, [Groups(order, ends, np.ones(width, np.float32))])


def _image(map: Projection | GroupSums, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images in float32, and how far each lies at most from the exact one; infinite if unknown.

    Two maps are computed in one pass: a projection onto all directions, whose bound is that of
    `Projection.values`, and features in another order, each a group of its own.
    """
    rows, stage = np.ascontiguousarray(rows), map.stages[0]
    if isinstance(map, Projection) and isinstance(stage, ProjectionStage) and not stage.rest:
        directions = map.directions
        assert isinstance(directions, Product)
        factor = (directions.whole_loss + 4 * U32) * (1 + 4 * U32)
        return _core.image(rows, map.mean, LARGEST, factor, UNDERFLOW, directions=directions.matrix)
    if isinstance(stage, Groups) and len(stage.ends) == len(stage.order):
        return _core.image(rows, map.mean, LARGEST, 4.04 * U32, UNDERFLOW, order=stage.order)
    points, errors = _mapped(map, rows)
    return np.ascontiguousarray(points), errors + UNDERFLOW


def _mapped(map: Projection | GroupSums, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image under any other map."""
    outside = None
    if rows.dtype.kind == "f" and not np.abs(rows).max() < LARGEST:
        outside = ~(np.abs(rows).max(axis=1) < LARGEST)
        rows = np.where(outside[:, None], map.mean, rows)
    ((values, slack),) = map.values(rows)
    # Rounding moves each coordinate by at most U32 of it; their sum bounds both metrics.
    errors = slack + U32 * 1.01 * np.abs(values).sum(axis=1)
    if outside is not None:
        errors[outside] = np.inf
    return values.astype(np.float32), errors


def _images(
    map: Projection | GroupSums, rows: Rows, n_threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """The images of all rows."""
    values = np.empty((len(rows), map.widths[0]), np.float32)
    errors = np.empty(len(rows))

    def some(block: slice) -> None:
        values[block], errors[block] = _image(map, rows[block])

    for_each(some, row_blocks(rows, n_threads), n_threads)
    return values, errors


def _in_groups(
    map: Projection | GroupSums, rows: Rows, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An order in which rows form groups, and the ends of the boxes of these."""
    n_threads = min(n_threads, 1 + len(rows) // ROWS_PER_THREAD)
    values, errors = _images(map, rows, n_threads)
    order = ordered(values, n_threads)
    return order, *_boxes(values, errors[order])


def ordered(values: np.ndarray, n_threads: int) -> np.ndarray:
    """Put images into the order of groups, in place; return the numbers that they had."""
    numbers = np.arange(len(values))
    # First splits of ranges, each by one thread, until there are enough ranges for all threads.
    ranges, unsplit = [(0, len(values))], _core.GROUP_ROWS
    while len(ranges) < RANGES_PER_THREAD * n_threads and any(b - a > unsplit for a, b in ranges):
        middles: dict[int, int] = {}

        def split(part: tuple[int, int], middles=middles) -> None:
            some = slice(*part)
            middles[part[0]] = part[0] + _core.order_rows(values[some], numbers[some], True)

        for_each(split, ranges, n_threads)
        halves = [[(a, middles[a]), (middles[a], b)] for a, b in ranges]
        ranges = [half for two in halves for half in two if half[1] > half[0]]

    def order(part: tuple[int, int]) -> None:
        _core.order_rows(values[slice(*part)], numbers[slice(*part)])

    for_each(order, ranges, n_threads)
    return numbers


def _boxes(values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper ends of the boxes of rows in the order of groups."""
    n_groups = -(-len(values) // _core.GROUP_ROWS)
    lower = np.empty((n_groups, values.shape[1]), np.float32)
    upper = np.empty_like(lower)
    _core.group_boxes(values, np.ascontiguousarray(errors), lower, upper)
    return lower, upper
