"""Index.search and knn find what the reference implementation finds, distances to the bit."""

import copy
import itertools
import pickle
from fractions import Fraction

import numpy as np
import pytest
from cases import (
    DTYPES,
    METRICS,
    SIZES,
    all_dtypes,
    assert_same,
    both_metrics,
    embed,
    grid,
    peak,
    points,
    read_only,
    set_sizes,
    unaligned,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from fastknn import Index, cpu_level, knn
from fastknn.reference import reference_distances, reference_knn, reference_topk
from fastknn.screens.direct import exactly, rounded_to
from fastknn.search import plan as plans


def assert_right(queries, train, k, metric, **kwargs):
    with np.errstate(all="ignore"):
        expected = reference_knn(queries, train, k, metric)
    assert_same(Index(train, metric, n_jobs=1).search(queries, k, **kwargs), expected)
    return expected


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.slow
@both_metrics
@all_dtypes
@pytest.mark.parametrize("width", SIZES)
def test_sizes_around_tiles(dtype, metric, width):
    queries, train = points(dtype, 65, width, 1), points(dtype, 65, width, 2)
    distances = reference_distances(queries, train, metric)
    turns = itertools.count()
    for n_rows in SIZES:
        index = Index(train[:n_rows], metric, n_jobs=1)
        ks = sorted({1, min(2, n_rows), (n_rows + 1) // 2, max(1, n_rows - 1), n_rows})
        # A third of all combinations at this width; the turns make another third the next time.
        for n_queries in SIZES[(next(turns) + width) % 3 :: 3]:
            k = ks[next(turns) % len(ks)]
            values, rows = reference_topk(distances[:n_queries, :n_rows], k)
            expected = (np.sqrt(values) if metric == "l2" else values), rows
            assert_same(index.search(queries[:n_queries], k, n_jobs=1), expected)


@both_metrics
@all_dtypes
def test_first_columns_are_the_search_for_fewer(dtype, metric):
    for queries, train in [
        (points(dtype, 14, 9, 1), points(dtype, 67, 9, 2)),
        (grid(dtype, 14, 5, 1), grid(dtype, 67, 5, 2)),
    ]:
        distances, indices = assert_right(queries, train, len(train), metric)
        index = Index(train, metric)
        for k in range(1, len(train)):
            found = index.search(queries, k)
            assert_same(found, (distances[:, :k].copy(), indices[:, :k].copy()))


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize(
    ("dtype", "width"),
    [
        # Where a float sum is carried to float64, and where an int32 sum is.
        *itertools.product(DTYPES[1:], [255, 256, 257, 511, 512, 513]),
        *itertools.product(DTYPES, [32767, 32768, 32769, 65536, 65793]),
    ],
)
def test_widths_around_depth_chunks(dtype, metric, width):
    queries, train = points(dtype, 3, width, 1), points(dtype, 35, width, 2)
    train[20] = queries[1]
    train[30] = queries[1]
    _, indices = assert_right(queries, train, 4, metric)
    assert_array_equal(indices[1, :2], [20, 30])


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize("width", [32767, 32768, 32769, 65536, 65793])
def test_largest_byte_sums(metric, width):
    """As far apart as bytes can be: what an int32 must hold without a wrap."""
    values = np.array([0, 255, 127, 128], np.uint8)
    ends = np.repeat(values[:, None], width, axis=1)
    halves = ends.copy()
    halves[:, width // 2 :] = 255 - halves[:, width // 2 :]
    train = np.concatenate([ends, halves, grid(np.uint8, 20, width, 0, (0, 255))])
    assert_right(ends, train, len(train), metric)
    assert_right(ends, train, 2, metric)
    assert_right(ends + np.array(0.25), train, 2, metric)


# --- ties ------------------------------------------------------------------------------------


def duplicates(dtype, n, width, seed=0):
    """Five different rows, each many times, in any order."""
    return points(dtype, 5, width, 9)[np.random.default_rng(seed).integers(0, 5, n)]


TIES = {
    "few values": grid,
    "two values": lambda *shape: grid(*shape, values=(3, 250)),
    "integers": lambda dtype, *shape: grid(dtype, *shape, values=range(100)),
    "duplicates": duplicates,
    "all equal": lambda dtype, n, width, seed: np.full((n, width), 7.25, dtype),
}


@both_metrics
@all_dtypes
@pytest.mark.parametrize("kind", TIES.values(), ids=TIES)
@pytest.mark.parametrize("width", [1, 3, 16])
def test_ties_go_to_the_lower_row(dtype, metric, kind, width):
    queries, train = kind(dtype, 30, width, 1), kind(dtype, 99, width, 2)
    for k in (1, 2, 10, 50, 98, 99):
        assert_right(queries, train, k, metric)
    if kind is TIES["all equal"]:
        distances, indices = Index(train, metric).search(queries, 99)
        assert_array_equal(indices, np.tile(np.arange(99), (30, 1)))
        assert not distances.any()


@both_metrics
@all_dtypes
def test_a_late_tie_does_not_push_out_an_early_row(dtype, metric):
    train = np.zeros((200, 6), dtype)
    train[:, 0] = 5
    train[[150, 199], 0] = 4
    for k in (1, 2, 3, 4, 200):
        _, indices = assert_right(np.zeros((1, 6), dtype), train, k, metric)
        assert_array_equal(indices[0, :4], [150, 199, 0, 1][:k])


# --- numbers ---------------------------------------------------------------------------------


def scales(random, shape, largest):
    return random.normal(size=shape) * 10.0 ** random.integers(-largest, largest, shape)


EXTREMES = {
    "large offset": (np.float32, lambda random, shape: 1e6 + random.normal(size=shape)),
    "large offset, double": (np.float64, lambda random, shape: 1e14 + random.normal(size=shape)),
    "heavy tails": (np.float32, lambda random, shape: random.standard_cauchy(shape) ** 3),
    "heavy tails, double": (np.float64, lambda random, shape: random.standard_cauchy(shape) ** 9),
    "many scales": (np.float32, lambda random, shape: scales(random, shape, 35)),
    "many scales, double": (np.float64, lambda random, shape: scales(random, shape, 300)),
    "subnormal": (np.float32, lambda random, shape: 1e-40 * random.normal(size=shape)),
    "subnormal, double": (np.float64, lambda random, shape: 1e-310 * random.normal(size=shape)),
    "tiny squares": (np.float32, lambda random, shape: 1e-22 * random.normal(size=shape)),
    "tiny squares, double": (np.float64, lambda random, shape: 1e-161 * random.normal(size=shape)),
    "huge squares": (np.float32, lambda random, shape: 1e19 * random.normal(size=shape)),
    "huge squares, double": (np.float64, lambda random, shape: 1e154 * random.normal(size=shape)),
    "huge": (np.float32, lambda random, shape: random.uniform(-3.4e38, 3.4e38, shape)),
    "huge, double": (np.float64, lambda random, shape: 1.7e308 * random.uniform(-1, 1, shape)),
}


@both_metrics
@pytest.mark.parametrize(("dtype", "draw"), EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize("width", [1, 7, 24, 300])
def test_extreme_numbers(dtype, draw, metric, width):
    random = np.random.default_rng(width)
    queries, train = draw(random, (15, width)).astype(dtype), draw(random, (90, width))
    train = train.astype(dtype)
    assert np.isfinite(train).all()
    train[40] = queries[3]
    train[50] = queries[3]
    for k in (1, 2, 13, 90):
        assert_right(queries, train, k, metric)


def test_large_offsets_defeat_expanded_norms_but_not_the_search():
    random = np.random.default_rng(0)
    queries = (1e6 + random.normal(size=(20, 16))).astype(np.float32)
    train = (1e6 + random.normal(size=(500, 16))).astype(np.float32)
    _, indices = assert_right(queries, train, 1, "l2")
    squares = (train * train).sum(axis=1) - 2 * (queries @ train.T)
    squares += (queries * queries).sum(axis=1)[:, None]
    assert (squares.argmin(axis=1) != indices[:, 0]).mean() > 0.5
    assert (squares < 0).any()  # of which the root is NaN


@both_metrics
@all_dtypes
def test_a_row_is_at_distance_zero_of_itself(dtype, metric):
    train = points(dtype, 300, 11)
    if dtype != np.uint8:
        train += np.array(1e6, dtype)
    distances, indices = Index(train, metric).search(train, 1)
    assert_array_equal(distances, np.zeros((300, 1)))
    assert_array_equal(indices[:, 0], np.arange(300))


@both_metrics
def test_squares_that_round_up_to_subnormals(metric):
    """The last row is nearer, and its score the larger: eight times 0.6 against eight times 1."""
    train = np.ones((100, 8), np.float32)  # so that the two are in different panels
    train[0] = np.eye(1, 8) * 5**0.5 * 2.0**-74.5
    train[99] = 0.6**0.5 * 2.0**-74.5
    squares = (train.astype(np.float64) ** 2).sum(axis=1)
    assert squares[99] < squares[0] < squares[1]
    _, indices = assert_right(np.zeros((1, 8), np.float32), train, 1, metric)
    assert indices[0, 0] == (99 if metric == "l2" else 0)


@both_metrics
@pytest.mark.parametrize(("width", "fraction"), [(8192, 0.1), (8192, 0.2), (16384, 0.4)])
def test_sums_whose_rounding_decides(metric, width, fraction):
    """Permuted rows: all equally far but for rounding, and all at the screen's very bound."""
    row = np.random.default_rng(0).integers(100, 256, width).astype(np.uint8)
    train = np.random.default_rng(1).permuted(np.tile(row, (80, 1)), axis=1)
    queries = np.full((1, width), fraction)
    expected = reference_knn(queries, train, 10, metric)
    assert_same(Index(train, metric, screen="direct").search(queries, 10), expected)
    if metric == "l1":
        # The sum falls short by more than the little that every other bound is rounded up.
        exact = (row - Fraction(fraction)).sum()
        assert Fraction(expected[0][0, 0]) < exact * (1 - Fraction(2.0**-47))


def test_squares_that_overflow_tie_at_infinity():
    train = np.array([[3e200], [-2e200], [1e200], [2e200]])
    distances, indices = Index(train).search([[0.0], [1e200]], 3)
    assert_array_equal(distances, [[np.inf] * 3, [0, np.inf, np.inf]])
    assert_array_equal(indices, [[0, 1, 2], [2, 0, 1]])
    # Doubles can tell what floats cannot: neither these squares nor these differences overflow.
    train = np.array([[3e38], [-3e38], [2e38], [-1e38]], np.float32)
    for metric in METRICS:
        _, indices = assert_right(np.array([[-3e38]], np.float32), train, 4, metric)
        assert_array_equal(indices, [[1, 3, 2, 0]])


# --- types -----------------------------------------------------------------------------------

WIDTH = 5
TYPES = {
    "uint8": points(np.uint8, 40, WIDTH, 1),
    "uint8 of few values": grid(np.uint8, 40, WIDTH, 1, range(4)),
    "bool": points(np.uint8, 40, WIDTH, 2) > 127,
    "int8": points(np.uint8, 40, WIDTH, 3).view(np.int8),
    "big-endian int16": points(np.uint8, 40, 2 * WIDTH, 4).view(">i2"),
    "int32": points(np.float64, 40, WIDTH, 5).view(np.int32)[:, ::2].copy(),
    "int64": np.random.default_rng(6).integers(-(2**53), 2**53, (40, WIDTH)),
    "uint64": np.random.default_rng(6).integers(0, 2**53, (40, WIDTH), np.uint64, endpoint=True),
    "float16": points(np.float16, 40, WIDTH, 7),
    "float32": points(np.float32, 40, WIDTH, 8),
    "float64": points(np.float64, 40, WIDTH, 9),
    "big-endian float32": points(">f4", 40, WIDTH, 10),
    "big-endian float64": points(">f8", 40, WIDTH, 11),
    # Values that rounding to the other side's type moves, in ways that matter.
    "float64 among few values": np.random.default_rng(12).uniform(-1, 5, (40, WIDTH)),
    "float64 among bytes": np.random.default_rng(13).uniform(-50, 300, (40, WIDTH)),
    "halves": np.random.default_rng(14).integers(-2, 520, (40, WIDTH)) / 2,
    "whole numbers": points(np.uint8, 40, WIDTH, 15).astype(np.float64),
    "whole but for one": points(np.uint8, 40, WIDTH, 15) + np.eye(40, WIDTH) * 0.5,
    "float32 two to the 23": (2.0**23 + grid(np.float64, 40, WIDTH, 16, range(4))).astype("f4"),
    "float64 two to the 23": 2.0**23 + np.random.default_rng(17).uniform(0, 4, (40, WIDTH)),
    "millions": 1e6 * points(np.float64, 40, WIDTH, 18),
    "huge float32": 1e38 * points(np.float32, 40, WIDTH, 19).clip(-3, 3),
    "beyond float32": 1e39 * points(np.float64, 40, WIDTH, 20),
    "huge float64": 1e300 * points(np.float64, 40, WIDTH, 21),
    "tiny float64": 1e-310 * points(np.float64, 40, WIDTH, 22),
    "tiny float32": (1e-40 * points(np.float64, 40, WIDTH, 23)).astype(np.float32),
}


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize("train", TYPES.values(), ids=TYPES)
def test_queries_of_any_type_against_rows_of_any_type(train, metric):
    assert train.shape == (40, WIDTH)
    for queries in TYPES.values():
        for k in (1, 3, 40):
            assert_right(queries, train, k, metric)


def test_rounded_queries_do_not_lose_neighbors():
    """The query's code, (10, 10, 10), is nearer to the wrong row; so it is in units of 2**-20."""
    query, train = np.full((1, 3), 10.4), np.array([[9, 10, 10], [11, 11, 11]])
    for metric, byte_rows in itertools.product(METRICS, [True, False]):
        scale = 1 if byte_rows else 2.0**-20
        rows = train.astype(np.uint8) if byte_rows else (8 + train * scale).astype(np.float32)
        values = query * scale if byte_rows else 8 + query * scale
        _, indices = assert_right(values, rows, 1, metric)
        assert indices[0, 0] == 1
    # The same where a float32 has no digits left.
    rows = (2.0**23 + train).astype(np.float32)
    assert_right(2.0**23 + query, rows, 1, "l1")
    assert_same(knn(2.0**23 + query, rows, 1, "l1")[1:], [np.array([[1]])])


@both_metrics
@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1e-160, 1e-20, 1, 1e9, 1e39, 1e154, 1e300])
def test_how_far_rounding_moves_a_query_is_never_understated(dtype, metric, scale):
    """The bound on which the screen of rounded queries rests, in exact fractions."""
    queries = scale * points(np.float64, 12, 9, 1)
    queries[5] = np.rint(queries[5].clip(0, 9))
    codes, errors = rounded_to(queries, np.dtype(dtype), metric)
    assert_array_equal(exactly(queries, np.dtype(dtype)), queries, strict=True)
    power = METRICS.index(metric) + 1
    for query, code, error in zip(queries, codes, errors, strict=True):
        pairs = zip(query.tolist(), code.tolist(), strict=True)
        moved = sum(abs(Fraction(a) - Fraction(b)) ** power for a, b in pairs)
        if error == np.inf:  # which rules nothing out
            continue
        bound = Fraction(error) ** power
        assert moved <= bound
        # Nor is it overstated by so much that the screen would rule out little.
        assert bound <= Fraction(1.001) * moved + Fraction(5e-324)


def test_many_queries_of_another_type():
    random = np.random.default_rng(0)
    for dtype in (np.uint8, np.float32):
        train = grid(dtype, 500, 12, 0, range(6))
        for metric in METRICS:
            assert_right(random.uniform(-1, 7, (200, 12)), train, 6, metric)


def test_native_types_are_not_copied(tmp_path):
    np.save(tmp_path / "train.npy", points(np.float32, 20, 8))
    mapped = np.load(tmp_path / "train.npy", mmap_mode="r")
    images = points(np.uint8, 20, 8)
    several = [points(dtype, 20, 8) for dtype in DTYPES]
    for train in (*several, images.view(np.int8), images[::-2, 1:5]):
        assert np.shares_memory(Index(train).train, train)
    assert np.shares_memory(Index(mapped).train, mapped)


# --- input forms -----------------------------------------------------------------------------


FORMS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "row step": lambda array: embed(array, columns=slice(None)),
    "column slice": lambda array: embed(array, rows=slice(None), columns=slice(2, None)),
    "column step": lambda array: embed(array, rows=slice(None)),
    "both steps": embed,
    "rows backwards": lambda array: array[::-1].copy()[::-1],
    "columns backwards": lambda array: array[:, ::-1].copy()[:, ::-1],
    "other endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "lists": np.ndarray.tolist,
}


@both_metrics
@all_dtypes
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("width", [1, 11])
def test_forms(dtype, metric, form, width):
    queries, train = points(dtype, 21, width, 1), points(dtype, 50, width, 2)
    expected = reference_knn(queries, train, 4, metric)
    assert_same(knn(form(queries), train, 4, metric), expected)
    assert_same(knn(queries, form(train), 4, metric), expected)
    assert_same(knn(form(queries), form(train), 4, metric), expected)
    kept = Index(form(train), metric).train
    assert kept.flags.aligned  # C requires it, though this processor may not
    assert kept.dtype.isnative


@both_metrics
@all_dtypes
@pytest.mark.parametrize("n_rows", [1, 60])
def test_broadcast_arrays(dtype, metric, n_rows):
    row, column = points(dtype, 1, 9, 1), points(dtype, n_rows, 1, 2)
    queries = points(dtype, 14, 9, 3)
    for train in (np.broadcast_to(row, (n_rows, 9)), np.broadcast_to(column, (n_rows, 9))):
        assert 0 in train.strides
        assert_right(queries, train, n_rows, metric)
        assert_right(train, queries, 5, metric)


@both_metrics
@all_dtypes
@pytest.mark.parametrize("offset", [0, 3, 128])
def test_memory_maps(tmp_path, dtype, metric, offset):
    queries, train = points(dtype, 10, 7, 1), points(dtype, 40, 7, 2)
    expected = reference_knn(queries, train, 3, metric)
    for name, array in {"queries": queries, "train": train}.items():
        np.save(tmp_path / f"{name}.npy", array)
        (tmp_path / name).write_bytes(bytes(offset) + array.tobytes())
    saved = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("queries", "train")]
    raw = [
        np.memmap(tmp_path / name, dtype, "r", offset, array.shape)
        for name, array in (("queries", queries), ("train", train))
    ]
    for arrays in (saved, raw):
        found = knn(*arrays, 3, metric)
        assert_same(found, expected)
        assert type(found[0]) is type(found[1]) is np.ndarray


# --- work done -------------------------------------------------------------------------------


@both_metrics
@all_dtypes
def test_stats(dtype, metric):
    index = Index(points(dtype, 5000, 16, 1), metric, screen="direct")
    assert index.stats_ == {"cascade": "direct", "reason": "as asked", "costs": {}}
    index.search(points(dtype, 40, 16, 2), 5)
    stats = index.stats_
    assert set(stats) == {
        *(
            "cascade",
            "reason",
            "costs",
            "groups_compared",
            "rows_skipped",
            "rows_screened",
            "candidates",
            "rows_refined",
            "rows_given_up",
        ),
        *("seconds", "stage_seconds"),
    }
    assert stats["rows_given_up"] == 0
    assert set(stats["stage_seconds"]) == {"encoding", "groups", "stage 1", "refine", "direct"}
    assert min(stats["stage_seconds"].values()) >= 0
    assert sum(stats["stage_seconds"].values()) > 0
    assert stats["rows_screened"] == 40 * 5000
    assert stats["rows_skipped"] == stats["groups_compared"] == 0
    (candidates,) = stats["candidates"]
    assert 40 * 5 <= candidates < 0.02 * 40 * 5000
    assert stats["rows_refined"] == (0 if dtype == np.uint8 else candidates)
    assert stats["seconds"] > 0
    index.search(points(dtype, 2, 16, 2), 5)
    assert index.stats_["rows_screened"] == 2 * 5000


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize("train_type", DTYPES)
@pytest.mark.parametrize("width", [16, 300])
def test_the_screen_spares_the_refine_nearly_all_rows(train_type, metric, width):
    """Every type of rows, with queries that cannot be rounded to it without loss."""
    random = np.random.default_rng(0)
    train = (100 + 20 * random.normal(size=(20_000, width))).astype(train_type)
    queries = 100 + 20 * random.normal(size=(30, width))
    for asked in (queries, queries.astype(train_type)):
        index = Index(train, metric, screen="direct")
        index.search(asked, 10)
        # About k * (1 + log(n_rows / k)) of them: rows that were among the best when they came.
        assert 30 * 10 <= index.stats_["candidates"][0] < 0.01 * 30 * 20_000
        assert index.stats_["rows_refined"] < 0.01 * 30 * 20_000


@both_metrics
def test_ties_of_bytes_are_ruled_out(metric):
    """A tie with the k-th row comes too late: else few values would make the screen useless."""
    train = np.full((10_000, 4), 7, np.uint8)
    index = Index(train, metric, screen="direct")
    index.search(train[:30], 5, n_jobs=1)
    assert index.stats_["candidates"][0] <= 30 * (5 + 64)  # 64 rows, at most, come in one panel


@both_metrics
@pytest.mark.parametrize("query_type", [np.uint8, np.float64])
@all_dtypes
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_memory_of_a_search(dtype, metric, query_type, n_jobs):
    index = Index(points(dtype, 20_000, 8, 1), metric)
    queries = points(query_type, 2000, 8, 2)
    _, most = peak(lambda: index.search(queries, 10, n_jobs=n_jobs))
    # The result, 320 kB, and what some thousand queries of 8 elements need.
    assert 320_000 <= most < 3_000_000  # a matrix of distances has 160,000,000


@all_dtypes
def test_memory_of_an_index(dtype):
    train = points(dtype, 50_000, 64)
    index, most = peak(lambda: Index(train, screen="direct"))
    packed = train.size * min(train.itemsize, 4)  # floats under L2: as float32
    assert packed <= index.nbytes <= 1.01 * packed + 8 * len(train)
    # Checks for NaN look at a megabyte at a time.
    assert index.nbytes <= most < index.nbytes + 3_000_000


# --- progress --------------------------------------------------------------------------------


class Updates(list):
    """Remembers what it is told."""

    update = list.append


@both_metrics
@all_dtypes
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("n_queries", [1, 7, 100])
@pytest.mark.parametrize("pairs_a_step", [1, plans.SIZES.step_pairs])
def test_progress_sums_to_the_queries(monkeypatch, dtype, metric, n_jobs, n_queries, pairs_a_step):
    set_sizes(monkeypatch, thread_bytes=0, step_pairs=pairs_a_step)
    updates = Updates()
    queries, train = points(dtype, n_queries, 4, 1), points(dtype, 150, 4, 2)
    assert_right(queries, train, 3, metric, n_jobs=n_jobs, progress=updates)
    assert min(updates) > 0
    assert sum(updates) == pytest.approx(n_queries)
    shared = n_queries < 100 and n_jobs == 3  # then each thread takes several pieces
    most = 3 * plans.SIZES.shared_pieces if shared else 9
    assert (len(updates) >= 150 / 64) if pairs_a_step == 1 else (len(updates) <= most)


def test_progress_bar(capsys):
    train = points(np.uint8, 30, 4)
    for show in (None, False):
        knn(train, train, 2, progress=show)
        assert capsys.readouterr() == ("", "")
    expected = reference_knn(train, train, 2, "l2")
    assert_same(knn(train, train, 2, progress=True), expected)
    assert_same(Index(train).search(train, 2, progress=True), expected)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("100%") == 2
    assert "30/30" in captured.err


# --- the object ------------------------------------------------------------------------------


@both_metrics
@all_dtypes
def test_copies_find_the_same(dtype, metric):
    queries = points(dtype, 10, 7, 1)
    for train in (points(dtype, 40, 7, 2), points(dtype, 80, 9, 2)[::-2, 1:8]):
        index = Index(train, metric)
        expected = index.search(queries, 5)
        dumps = [
            pickle.dumps(index, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ]
        copies = [pickle.loads(dump) for dump in dumps]
        for other in (*copies, copy.deepcopy(index), copy.copy(index)):
            assert type(other) is Index
            assert_same(other.search(queries, 5), expected)
            assert (repr(other), str(other)) == (repr(index), str(index))
            assert (other.metric, len(other), other.nbytes) == (metric, 40, index.nbytes)
        assert not np.shares_memory(copies[0].train, train)
        assert not np.shares_memory(copy.deepcopy(index).train, train)
        # The panels are made again, not sent along.
        assert len(dumps[-1]) < train.nbytes + 1000


@both_metrics
@all_dtypes
def test_what_an_index_says_of_itself(dtype, metric):
    index = Index(points(dtype, 1234, 56), metric)
    assert len(index) == 1234
    assert index.train.shape == (1234, 56)
    assert index.nbytes > 0
    for word in ("1,234", "56", np.dtype(dtype).name, metric, index.cascade):
        assert word in repr(index)
        assert word in str(index)
    assert cpu_level() in str(index)
    assert f"{index.nbytes / 2**20:.1f} MiB" in str(index)


@pytest.mark.parametrize(
    ("spelling", "metric"),
    [
        ("l1", "l1"),
        ("manhattan", "l1"),
        ("cityblock", "l1"),
        ("l2", "l2"),
        ("euclidean", "l2"),
        ("minkowski", "l2"),
    ],
)
def test_spellings_of_metrics(spelling, metric):
    queries, train = points(np.float32, 5, 6, 1), points(np.float32, 30, 6, 2)
    expected = reference_knn(queries, train, 3, metric)
    assert Index(train, spelling).metric == metric
    assert_same(knn(queries, train, 3, spelling), expected)


def test_euclidean_is_the_default():
    queries, train = points(np.float32, 5, 6, 1), points(np.float32, 30, 6, 2)
    expected = reference_knn(queries, train, 3, "l2")
    assert_same(knn(queries, train, 3), expected)
    for screen in ("auto", "direct"):
        assert_same(Index(train, screen=screen).search(queries, 3), expected)


def test_results_belong_to_the_caller():
    index = Index(points(np.uint8, 30, 4))
    first = index.search(index.train, 3)
    kept = [part.copy() for part in first]
    for part in index.search(index.train, 3):
        assert part.flags.c_contiguous
        part[:] = -1
    assert_same(first, kept)


# --- anything --------------------------------------------------------------------------------


@st.composite
def matrices(draw, width, max_rows):
    shape = draw(st.integers(1, max_rows)), width
    kind = draw(st.sampled_from(["bytes", "few bytes", "whole", "f2", "f4", "f8"]))
    if kind == "bytes":
        return draw(hnp.arrays(np.uint8, shape))
    if kind == "few bytes":
        low = draw(st.integers(0, 253))
        return draw(hnp.arrays(np.uint8, shape, elements=st.integers(low, low + 2)))
    if kind == "whole":
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        return draw(hnp.arrays(dtype, shape, elements=st.integers(-3, 3)))
    elements = hnp.from_dtype(np.dtype(kind), allow_nan=False, allow_infinity=False)
    return draw(hnp.arrays(kind, shape, elements=elements))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_anything(data):
    width = data.draw(st.integers(1, 20) | st.sampled_from([63, 64, 65, 257]), "width")
    train = data.draw(matrices(width, 40), "train")
    queries = data.draw(matrices(width, 14), "queries")
    metric = data.draw(st.sampled_from(METRICS), "metric")
    k = data.draw(st.integers(1, len(train)), "k")
    n_jobs = data.draw(st.integers(1, 3), "n_jobs")
    # Threads even for so little work, and blocks that end anywhere.
    limits = {
        "thread_bytes": 0,
        "query_block_max": data.draw(st.integers(1, 14), "queries of a block"),
        "step_pairs": data.draw(st.sampled_from([1, plans.SIZES.step_pairs]), "pairs of a step"),
        "partial_bytes": data.draw(
            st.sampled_from([0, plans.SIZES.partial_bytes]), "partial results"
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        set_sizes(patch, **limits)
        assert_right(queries, train, k, metric, n_jobs=n_jobs)
