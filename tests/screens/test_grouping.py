"""Groups of rows: their order, their boxes, and that no neighbor is ever in a group left out."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from cases import (
    DTYPES,
    METRICS,
    all_dtypes,
    assert_finds,
    assert_same,
    assert_same_on_every_level,
    both_metrics,
    set_limits,
    set_plans,
    set_sizes,
)
from numpy.testing import assert_array_equal

from fastknn import Index, knn_graph, load_index
from fastknn.engine import _core
from fastknn.metrics.names import kernel_metric
from fastknn.reference import reference_knn
from fastknn.screens.direct import DIFFERENCES, EXPANDED
from fastknn.screens.grouping import Grouping
from fastknn.screens.inputs import as_screened
from fastknn.screens.proposals import propose
from fastknn.search.searcher import Searcher

GROUP = _core.GROUP_ROWS
# Around one group, one block of boxes, and the next level of them.
SIZES = sorted({n + by for n in (GROUP, 4 * GROUP, 16 * GROUP, 17 * GROUP) for by in (-1, 0, 1)})
ALL_METRICS = ["l1", "l2", "cosine", "correlation"]


def blobs(dtype, n, width, seed=0):
    """Clusters of few degrees of freedom: groups rule out most rows."""
    random = np.random.default_rng(seed)
    center = random.integers(0, 12, n)[:, None] * 20.0
    data = center + random.normal(size=(n, 2)) @ random.normal(size=(2, width))
    return np.clip(np.rint(data), 0, 255).astype(dtype) if dtype == np.uint8 else data.astype(dtype)


def on_a_line(dtype, n, width, seed=0):
    steps = np.random.default_rng(seed).permutation(n)
    return (steps[:, None] % 251 * np.ones(width)).astype(dtype)


def equal(dtype, n, width, seed=0):
    return np.full((n, width), 7, dtype)


def one_far_away(dtype, n, width, seed=0):
    data = blobs(dtype, n, width, seed)
    data[n // 2] = 255 if dtype == np.uint8 else 1e6
    return data


def duplicates(dtype, n, width, seed=0):
    """A few rows, each many times, in many groups."""
    return blobs(dtype, 5, width, seed)[np.random.default_rng(seed).integers(0, 5, n)]


def two_magnitudes(dtype, n, width, seed=0):
    data = blobs(dtype, n, width, seed)
    data[::2] = data[::2] // 100 if dtype == np.uint8 else data[::2] * 1e-6
    return data


HOSTILE = [blobs, on_a_line, equal, one_far_away, duplicates, two_magnitudes]


def searched_within_groups(data, metric, screen=None):
    """An index whose groups are looked into with a screen, by default the one that is chosen."""
    if screen is None:
        return Index(data, metric, screen="grouped", n_jobs=1)
    index = Index(data, metric, screen="none", n_jobs=1)
    screened, kind = as_screened(data, metric), kernel_metric(metric)
    if isinstance(screen, str):
        proposed = propose(data, kind, screen, screened=lambda some: as_screened(some, metric)[:])
        *_, screen = [DIFFERENCES, *proposed]
    grouping = Grouping.of(screened, kind, 2)
    if grouping is not None:
        index._keep(Searcher(index.train, metric, screen, 2, grouping=grouping))
    return index


def assert_right(index, queries, k, train=None):
    """The same bits as of the reference, or for angles as of the direct screen."""
    if index.metric in METRICS:
        assert_finds(index, queries, k, train)
    else:
        train = index.train if train is None else train
        direct = Index(train, index.metric, screen="direct")
        assert_same(index.search(queries, k), direct.search(queries, k))


@both_metrics
@pytest.mark.parametrize("width", [1, 2, 9, 64])
@pytest.mark.parametrize("n", [1, *SIZES])
def test_the_order_is_that_of_a_tree(n, width, metric):
    """Each aligned range of a power of two of groups is one side of a split along a coordinate."""
    values = blobs(np.float32, n, width, seed=n)
    values[: n // 3] = values[0]  # equal ones, across every split
    ordered, numbers = values.copy(), np.arange(n)
    _core.order_rows(ordered, numbers)
    assert_array_equal(np.sort(numbers), np.arange(n))
    assert_array_equal(values[numbers], ordered)
    size = GROUP
    while size < n:
        for first in range(0, n - size, 2 * size):
            lower, upper = (
                ordered[first : first + size],
                ordered[first + size : first + 2 * size],
            )
            assert (lower.max(axis=0) <= upper.min(axis=0)).any()
        size *= 2


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_the_order_does_not_depend_on_threads(n_threads):
    data = blobs(np.float32, 3000, 6)
    expected, grouping = (Grouping.of(data, "l2", n) for n in (1, n_threads))
    assert_array_equal(grouping.numbers, expected.numbers)
    assert_array_equal(grouping.lower, expected.lower)
    assert_array_equal(grouping.upper, expected.upper)


@both_metrics
@all_dtypes
@pytest.mark.parametrize("width", [1, 5, 64, 65, 130])
def test_boxes_hold_their_rows(dtype, metric, width):
    """Of the exact images, which the reference of the map computes in float64."""
    data = blobs(dtype, 500, width)
    grouping = Grouping.of(data, metric, 2)
    assert grouping.lower.shape[1] <= _core.BOX_WIDTH_MAX
    exact = exact_images(grouping.map, data)[grouping.numbers]
    for group, (lower, upper) in enumerate(zip(grouping.lower, grouping.upper, strict=True)):
        rows = exact[group * GROUP : (group + 1) * GROUP]
        assert (lower <= rows.min(axis=0)).all()
        assert (rows.max(axis=0) <= upper).all()


def exact_images(map, rows):
    """The images of rows in float64."""
    centered = rows.astype(np.float64) - map.mean
    (stage,) = map.stages
    if map.metric == "l1":
        signed = centered[:, stage.order] * stage.signs
        return np.add.reduceat(signed, np.r_[0, stage.ends[:-1]], axis=1)
    images = centered @ map.directions.matrix.astype(np.float64)
    if stage.rest:
        rest = (centered**2).sum(axis=1) - (images**2).sum(axis=1)
        images = np.column_stack([images, np.sqrt(np.maximum(rest, 0))])
    return images


@both_metrics
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 50, 64])
def test_bounds_are_those_of_the_formula(metric, width):
    """The kernel of this level beside NumPy; and no bound is above a distance to a row."""
    data, queries = blobs(np.float32, 700, width), blobs(np.float32, 40, width, seed=3)
    grouping = Grouping.of(data, metric, 1)
    boxes = _core.GroupBoxes(grouping.lower, grouping.upper, metric, 1)
    points, errors = grouping.points(queries, None)
    bounds = boxes.bounds(points)
    gaps = np.maximum(grouping.lower - points[:, None], points[:, None] - grouping.upper)
    gaps = np.maximum(gaps, 0).astype(np.float64)
    expected = gaps.sum(axis=2) if metric == "l1" else (gaps**2).sum(axis=2)
    np.testing.assert_allclose(bounds, expected, rtol=1e-5)
    distances = reference_knn(queries, data, len(data), metric)
    nearest = np.full(bounds.shape, np.inf)
    place = np.empty(len(data), np.int64)
    place[grouping.numbers] = np.arange(len(data))
    for query, (values, rows) in enumerate(zip(*distances, strict=True)):
        np.minimum.at(nearest[query], place[rows] // GROUP, values)
    reached = bounds if metric == "l1" else np.sqrt(bounds)
    assert (reached * (1 - 1e-5) <= nearest + errors[:, None]).all()


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize("dtype", [*DTYPES, np.int8])
@pytest.mark.parametrize("kind", HOSTILE)
def test_data_made_to_break_bounds(kind, dtype, metric):
    width = 6
    data = kind(np.uint8, 900, width) // 2 if dtype == np.int8 else kind(dtype, 900, width)
    data = data.astype(dtype)
    index = searched_within_groups(data, metric, DIFFERENCES)
    queries = np.concatenate([data[:5], blobs(np.float64, 5, width, seed=9)])
    for k in (1, GROUP - 1, GROUP, GROUP + 1, 50):
        assert_right(index, queries, k)
    # In the gaps, and far outside.
    assert_right(index, queries * 1.37 - 20, 9)
    assert_right(index, queries * 1e5 + 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize("dtype", [*DTYPES, np.int8])
@pytest.mark.parametrize("screen", ["differences", "expanded", "quantized", "projected"])
@pytest.mark.parametrize("width", [3, 130])
def test_every_screen_within_groups(dtype, metric, screen, width, monkeypatch):
    set_plans(monkeypatch, l2=((3,), (7, 15)), l1=((4,), (4, 2)), fewest_groups=2)
    if screen == "expanded" and (np.dtype(dtype).kind != "f" or metric == "l1"):
        pytest.skip("the expanded screen is for floats under L2")
    chosen = {"differences": DIFFERENCES, "expanded": EXPANDED}.get(screen, screen)
    for kind in (blobs, duplicates, one_far_away):
        data = kind(np.uint8, 700, width) // 2 if dtype == np.int8 else kind(dtype, 700, width)
        data = data.astype(dtype)
        index = searched_within_groups(data, metric, chosen)
        queries = np.concatenate([data[:5], blobs(np.float64, 5, width, seed=9)])
        for k in (1, 10, 40):
            assert_right(index, queries, k)


@both_metrics
@all_dtypes
@pytest.mark.parametrize("n", [1, 2, GROUP, GROUP + 1, 300])
def test_few_rows_and_all_of_them(n, dtype, metric, monkeypatch):
    set_limits(monkeypatch, rows_per_neighbor=0)  # groups, whatever k is
    data = blobs(dtype, n, 3)
    index = searched_within_groups(data, metric)
    for k in sorted({1, min(n, GROUP + 1), n}):
        assert_right(index, data[:7], k)


@both_metrics
def test_smaller_boxes_lose_neighbors(metric):
    """By one part in a hundred: what the tests above look for is there to be found."""
    data = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    index = searched_within_groups(data, metric, DIFFERENCES)
    right = index.search(data, 10)
    searcher = index._searcher
    grouping = searcher.grouping
    less = 0.01 * (grouping.upper - grouping.lower)
    smaller = replace(grouping, lower=grouping.lower + less, upper=grouping.upper - less)
    index._keep(Searcher(index.train, metric, DIFFERENCES, 2, grouping=smaller))
    assert (index.search(data, 10)[1] != right[1]).any()


@both_metrics
def test_what_is_skipped_is_counted(metric):
    data = blobs(np.float32, 5000, 4)
    index = searched_within_groups(data, metric, DIFFERENCES)
    index.search(data[:100], 3)
    stats = index.stats_
    assert stats["rows_screened"] + stats["rows_skipped"] == 100 * len(data)
    assert stats["rows_skipped"] > 0.8 * 100 * len(data)
    assert 100 <= stats["groups_compared"] < 100 * len(data) / GROUP
    assert stats["rows_given_up"] == 0
    assert index.cascade.startswith("groups, then ")


@both_metrics
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_where_groups_rule_out_nothing_all_rows_are_searched(metric, n_jobs):
    data = np.random.default_rng(0).normal(size=(3000, 30)).astype(np.float32)
    index = searched_within_groups(data, metric)
    assert_same(
        index.search(data[:200], 5, n_jobs=n_jobs), reference_knn(data[:200], data, 5, metric)
    )
    assert index.stats_["rows_given_up"] > 0


@both_metrics
def test_the_order_of_queries_and_their_blocks_do_not_matter(metric, monkeypatch):
    data = blobs(np.float32, 3000, 5)
    index = searched_within_groups(data, metric)
    expected = index.search(data, 4)
    shuffled = np.random.default_rng(0).permutation(len(data))
    set_sizes(monkeypatch, query_block_max=64, step_pairs=1)
    for n_jobs in (1, 3):
        found = index.search(data[shuffled], 4, n_jobs=n_jobs)
        assert_same(found, tuple(part[shuffled] for part in expected))
    assert_same(index.search(data[:1], 4), tuple(part[:1] for part in expected))


@both_metrics
@pytest.mark.parametrize("screen", [DIFFERENCES, "quantized"], ids=["differences", "quantized"])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_queries_of_large_groups_are_walked_for_together(metric, screen, k):
    """Rows as queries: several begin with the same group, and each has neighbors of its own."""
    data = blobs(np.float32, 1000, 70)
    index = searched_within_groups(data, metric, screen)
    assert_right(index, data, k)


@both_metrics
def test_bounds_from_outside(metric):
    data = blobs(np.float32, 2000, 4)
    index = searched_within_groups(data, metric)
    keys = index.search_keys(data[:50], 5).keys
    found = index.search_keys(data[:50], 5, max_key=keys[:, 2])  # a column, not consecutive
    assert_array_equal(found.keys[:, :3], keys[:, :3])
    assert (found.keys[:, 3:] >= keys[:, 3:]).all()


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_copies_appended_and_chosen_rows(metric, tmp_path):
    data, queries = blobs(np.float64, 1000, 5), blobs(np.float64, 20, 5, seed=4)
    index = Index(data, metric, screen="grouped")
    for other in (pickle.loads(pickle.dumps(index)), copy.deepcopy(index)):
        assert other.cascade == index.cascade
        assert_same(other.search(queries, 9), index.search(queries, 9))
    chosen = np.random.default_rng(0).permutation(1000)[:333]
    subset = index.subset(chosen)
    assert subset.cascade == index.cascade
    assert_right(subset, queries, 9, data[chosen])
    for n in (1, GROUP - 1, 40, 500):
        more = blobs(np.float64, n, 5, seed=n) * 3
        data = np.concatenate([data, more])
        index.append(more)
        assert_right(index, queries, 9, data)
        assert_right(index, more[:5], 9, data)
    index.save(tmp_path / "saved")
    for mmap in (False, True):
        loaded = load_index(tmp_path / "saved", mmap=mmap)
        assert loaded.cascade == index.cascade
        assert_right(loaded, queries, 9, data)


@pytest.mark.parametrize("sizes", [(GROUP - 1, 1), (GROUP, 5), (4000, 30, 31, 32, 600), (9000, 1)])
def test_appended_rows_are_in_boxes_of_their_own(sizes):
    rows = blobs(np.float32, sum(sizes), 4)
    rows[sizes[0] :] += np.float32(1000)
    grouping, n = Grouping.of(rows[: sizes[0]], "l2", 1), sizes[0]
    first = grouping.numbers
    for more in sizes[1:]:
        n += more
        grouping = grouping.with_more(rows[:n], 1)
    exact = exact_images(grouping.map, rows)[grouping.numbers]
    assert_array_equal(np.sort(grouping.numbers), np.arange(n))
    for group, (lower, upper) in enumerate(zip(grouping.lower, grouping.upper, strict=True)):
        rows = exact[group * GROUP : (group + 1) * GROUP]
        assert (lower <= rows.min(axis=0)).all()
        assert (rows.max(axis=0) <= upper).all()
    if len(grouping.parts) > 1:
        kept = grouping.parts[1]
        assert_array_equal(grouping.numbers[:kept], first[:kept])


def test_many_small_parts_are_ordered_together():
    """There are a few parts, and each row is ordered a few times."""
    rows = blobs(np.float32, 40_000, 3)
    grouping, ordered_rows = Grouping.of(rows[:20_000], "l2", 1), 0
    for n in range(20_200, 40_001, 200):
        grouping = grouping.with_more(rows[:n], 1)
        ordered_rows += n - grouping.parts[-1]
        assert len(grouping.parts) <= 7
    assert ordered_rows <= 12 * 20_000


def test_auto_takes_groups_where_they_pay():
    few = np.random.default_rng(0).normal(size=(60_000, 3)) @ np.ones((3, 12))
    data = (few + 0.01 * np.random.default_rng(1).normal(size=few.shape)).astype(np.float32)
    index = Index(data)
    assert index.cascade.startswith("groups, then ")
    assert index.costs_[index.cascade] == min(index.costs_.values())
    noise = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    assert not any(name.startswith("groups") for name in Index(noise).costs_)


@both_metrics
def test_a_graph_of_rows_in_groups(metric):
    data = blobs(np.float32, 4000, 3)
    distances, indices = knn_graph(data, 6, metric)
    nearest = reference_knn(data, data, 7, metric)
    others = nearest[1] != np.arange(len(data))[:, None]
    others[:, -1] &= ~others.all(axis=1)
    assert_array_equal(indices, nearest[1][others].reshape(-1, 6))
    assert_array_equal(distances, nearest[0][others].reshape(-1, 6))


LEVEL_CODE = """
import sys
import numpy as np
from fastknn import Index, cpu_level
folder, level = sys.argv[1:]
assert cpu_level() == level
for width in (2, 9, 40):
    data, queries = (np.load(f"{folder}/{name}{width}.npy") for name in ("data", "queries"))
    for metric in ("l1", "l2"):
        index = Index(data, metric, screen="grouped")
        assert index.cascade.startswith("groups, then ")
        for place, array in enumerate(index.search(queries, 7)):
            assert np.array_equal(array, np.load(f"{folder}/{metric}{width}{place}.npy"))
print("same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_level(tmp_path, dtype):
    for width in (2, 9, 40):
        data, queries = blobs(dtype, 900, width), blobs(dtype, 30, width, seed=5)
        np.save(tmp_path / f"data{width}.npy", data)
        np.save(tmp_path / f"queries{width}.npy", queries)
        for metric in METRICS:
            for place, array in enumerate(reference_knn(queries, data, 7, metric)):
                np.save(tmp_path / f"{metric}{width}{place}.npy", array)
    assert_same_on_every_level(LEVEL_CODE, tmp_path)
