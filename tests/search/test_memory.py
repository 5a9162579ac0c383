"""What is held in memory besides the rows, and where the memory of an array lies."""

import mmap
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from cases import (
    ANGLES,
    METRICS,
    assert_same,
    let_choices_cost_nothing,
    peak,
    set_effort,
    set_plans,
)
from numpy.testing import assert_array_equal

from fastknn import (
    Index,
    KNeighborsClassifier,
    knn,
    load_index,
    pairwise_distances,
)
from fastknn._utils import rows as rows_module
from fastknn._utils.matrices import as_matrix
from fastknn._utils.rows import InBlocks, is_on_disk
from fastknn.engine import _core
from fastknn.metrics import angles
from fastknn.screens import cascade as cascades
from fastknn.screens import direct, proposals
from fastknn.search import searcher
from fastknn.search.searcher import Searcher

# What rows become, by their type: at most so many bytes for each of theirs are a new copy.
BECOME = {
    "bool": np.uint8,
    "uint8": np.uint8,
    "int8": np.int8,
    "uint16": np.float32,
    "int16": np.float32,
    ">i2": np.float32,
    "float16": np.float32,
    "float32": np.float32,
    "float64": np.float64,
    "uint32": np.float64,
    "int32": np.float64,
    "int64": np.float64,
}
N_ROWS, WIDTH = 4096, 64


def rows(dtype, n=N_ROWS, width=WIDTH, seed=0):
    """Rows of few dimensions, and some noise, over what bytes hold."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, 4)) @ np.random.default_rng(9).normal(size=(4, width)) * 15
    values = np.clip(values + random.normal(size=(n, width)), -128, 127)
    if np.dtype(dtype).kind in "bu":
        values = values > 0 if dtype == "bool" else values + 128
    return values.astype(dtype)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks and samples that are small beside the rows of these tests."""
    for module in (angles, direct, cascades, searcher):
        monkeypatch.setattr(module, "BLOCK_ELEMENTS", 1 << 10)
    monkeypatch.setattr(cascades, "THREADS_ELEMENTS", 1 << 11)
    set_plans(monkeypatch, sample_rows=100)
    let_choices_cost_nothing(monkeypatch)
    set_effort(monkeypatch, n_rows=100, n_queries=16, fewest_queries=16, chunk_bytes=1 << 14)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", BECOME)
@pytest.mark.parametrize("metric", [*METRICS, "cosine"])
@pytest.mark.parametrize("screen", ["auto", "direct"])
def test_building_holds_what_the_rows_become_and_blocks(dtype, metric, screen, small_blocks):
    assert_little_is_held(dtype, metric, screen)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("metric", METRICS + ANGLES)
@pytest.mark.parametrize("screen", ["none", "quantized", "projected"])
def test_every_screen_holds_as_little(dtype, metric, screen, small_blocks):
    assert_little_is_held(dtype, metric, screen)


def assert_little_is_held(dtype, metric, screen):
    """Not a float64, float32 or even byte copy of all rows on top of that."""
    train = rows(dtype)
    Index(train[:200], metric, screen=screen, n_jobs=1)  # what is imported stays
    index, most = peak(lambda: Index(train, metric, screen=screen, n_jobs=1))
    assert index.train.dtype == BECOME[dtype]
    converted = 0 if np.shares_memory(index.train, train) else index.train.nbytes
    tried = 0
    if screen == "auto":
        # Rows in groups, if the sample lets hope; the images that order them; and a fallback.
        for name in ("grouped", "direct"):
            tried += Index(train, metric, screen=name, n_jobs=1).nbytes
        tried += 4 * _core.BOX_WIDTH_MAX * len(train)
    assert most - index.nbytes - converted < train.size + tried


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "float16", "uint8", "float64"])
@pytest.mark.parametrize("metric", METRICS + ANGLES)
@pytest.mark.parametrize("screen", ["none", "direct", "projected"])
def test_searching_holds_blocks(dtype, metric, screen):
    train = rows(dtype, 2 * N_ROWS)
    index = Index(train, metric, screen=screen, n_jobs=1)
    for count in (1, 100):
        _, most = peak(lambda count=count: index.search(train[:count], 10, n_jobs=1))
        assert most < train.size / 2 + count * WIDTH * 64


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("of_queries", "of_train", "packed"),
    [
        ("int8", "int8", 1),
        ("bool", "uint8", 1),
        ("float16", "float32", 4),
        ("float16", "uint8", 4),
        ("int16", "int16", 8),
        ("int8", "float32", 8),
        ("float32", "int8", 8),
    ],
)
def test_a_matrix_of_distances_holds_packed_rows(
    of_queries, of_train, packed, metric, small_blocks
):
    train, queries = rows(of_train), rows(of_queries, 4, seed=1)
    (distances, most) = peak(lambda: pairwise_distances(queries, train, metric, n_jobs=1))
    assert most - distances.nbytes - packed * train.size < train.size
    kinds = {of_queries, of_train}
    common = np.float32 if kinds & {"float16", "float32"} and "int8" not in kinds else np.float64
    wide = [some.astype(common) for some in (queries, train)]
    assert_same((distances,), (pairwise_distances(*wide, metric),))


def test_rows_are_made_when_they_are_asked_for():
    asked = []
    made = InBlocks(np.eye(9), lambda some: asked.append(len(some)) or some * 2, 9, np.float64)
    assert (len(made), made.shape, made.dtype, asked) == (9, (9, 9), np.float64, [])
    assert_array_equal(made[2:4], 2 * np.eye(9)[2:4])
    assert_array_equal(made[::4], 2 * np.eye(9)[::4])
    assert asked == [2, 3]


# --- Narrow types are searched as the numbers that they are --------------------------------------


QUERIES = {
    "alike": lambda train: train[:30],
    "signed bytes": lambda train: rows("int8", 30, seed=1),
    "bytes": lambda train: rows("uint8", 30, seed=1),
    "bits": lambda train: train[:30] > 0,
    "whole numbers": lambda train: train[:30].astype(np.int64) * 3,
    "floats": lambda train: train[:30] + np.random.default_rng(0).normal(size=(30, WIDTH)) / 999,
    "nearly whole": lambda train: train[:30].astype(np.float64) + 2.0**-30,
    "tiny": lambda train: train[:30].astype(np.float64) * 1e-20,
    "far away": lambda train: train[:30].astype(np.float64) * 1e200,
    "float32": lambda train: rows("float32", 30, seed=2),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("metric", [*METRICS, "sqeuclidean", *ANGLES])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16"])
def test_narrow_rows_are_as_good_as_wide_ones(dtype, metric, kind, tmp_path):
    """The same bits as for their values in float64, which every screen of those has, too."""
    train = rows(dtype, 500)
    train[:3] = np.iinfo(dtype).min if np.dtype(dtype).kind in "iu" else 0
    queries = QUERIES[kind](train)
    expected = Index(train.astype(np.float64), metric, screen="none").search(
        queries.astype(np.float64), 9
    )
    for screen in ("none", "direct", "quantized", "projected"):
        index = Index(train, metric, screen=screen)
        assert_same(index.search(queries, 9), expected)
        if dtype == "int8":
            index.save(tmp_path / screen)
            for on_disk in (False, True):
                loaded = load_index(tmp_path / screen, mmap=on_disk)
                assert_array_equal(loaded.train, train, strict=True)
                assert_same(loaded.search(queries, 9), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("screen", ["none", "direct", "quantized"])
def test_signed_bytes_that_are_no_numbers_and_wide(metric, screen):
    """Sums beyond an int32, at every extreme; and a query of NaN that nobody looked for."""
    random = np.random.default_rng(0)
    train = random.choice(np.array([-128, -127, 0, 127], np.int8), (70, 33_000))
    train[0], train[1] = -128, 127
    expected = knn(train[:2].astype(np.float64), train.astype(np.float64), 70, metric)
    index = Index(train, metric, screen=screen)
    assert_same(index.search(train[:2], 70), expected)
    queries = train[:2].astype(np.float32)
    queries[1, 5] = np.nan
    found = index.search_keys(queries, 3, check_finite=False)
    assert_array_equal(found.rows[0], expected[1][0, :3])
    assert np.isinf(found.keys[1]).all()


def test_an_index_of_signed_bytes_takes_more_and_parts():
    train, queries = rows("int8", 300), rows("float64", 20, seed=1)
    index = Index(train[:200], screen="quantized").append(train[200:].astype(np.int16))
    assert index.train.dtype == np.int8
    assert_same(index.search(queries, 9), knn(queries, train.astype(np.float64), 9))
    part = np.array([250, 3, 7, 199])
    assert_same(index.subset(part).search(queries, 2), knn(queries, train[part], 2))
    for some in ([[128.0] * WIDTH], [[0.5] * WIDTH], np.full((1, WIDTH), 200, np.uint8)):
        with pytest.raises(ValueError, match="rows must convert to int8"):
            index.append(some)


def test_how_far_a_query_is_off_counts_in_every_stage():
    train = rows("float32", 600, 160)
    cascade = next(
        one for one in proposals.propose(train, "l2", "projected") if len(one.scales) > 1
    )
    index = Searcher(train, "l2", cascade, 1)
    plain, moved = (
        cascade.encode_queries(train[:5], train.dtype, "l2", index.codes, off)
        for off in (None, np.ones(5))
    )
    assert_array_equal(moved[0]["errors"], plain[0]["errors"] + 1)
    assert plain[0]["stages"]
    for (_, ours), (_, theirs) in zip(plain[0]["stages"], moved[0]["stages"], strict=True):
        assert_array_equal(theirs.error, ours.error + 1)


@pytest.mark.parametrize("dtype", BECOME)
def test_what_rows_become(dtype):
    for some in (rows(dtype, 9), rows(dtype, 9)[::-2, ::3], np.asfortranarray(rows(dtype, 9))):
        converted = as_matrix(some, "train")
        assert_array_equal(converted, some)
        assert converted.dtype == BECOME[dtype]
        assert converted.dtype.isnative


def test_an_estimator_holds_narrow_rows_once(small_blocks):
    X, y = rows("float16"), np.arange(N_ROWS) % 3
    classifier = KNeighborsClassifier(n_jobs=1).fit(X[:200], y[:200])
    classifier.predict(X[:1])
    _, most = peak(lambda: classifier.fit(X, y).predict(X[:4]))
    assert classifier._fit_X.dtype == np.float16
    assert most < X.size * (4 + 2)


# --- What lies on disk ----------------------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, rows("float32", 600))
    return lambda mode="r": np.load(path, mmap_mode=mode)


class Wrapped:
    """An array of some other library, over its memory."""

    def __init__(self, array):
        self.owner, self.__array_interface__ = array, array.__array_interface__


ON_DISK = {
    "a map": lambda mapped: mapped(),
    "a plain view": lambda mapped: np.asarray(mapped()),
    "a view of views": lambda mapped: np.asarray(mapped())[3:, ::2].T[1:].view(np.int32),
    "copied on write": lambda mapped: mapped("c"),
    "to be written": lambda mapped: mapped("r+"),
    "strided": lambda mapped: np.lib.stride_tricks.as_strided(mapped(), (2, 2), (4, 8)),
    "a memoryview": lambda mapped: np.asarray(memoryview(mapped())),
    "frombuffer": lambda mapped: np.frombuffer(mapped()._mmap, np.uint8)[128:],
    "another library's": lambda mapped: np.asarray(Wrapped(mapped())),
    "converted as it is": lambda mapped: as_matrix(mapped(), "train"),
}
IN_MEMORY = {
    "a new array": lambda mapped: np.ones((5, 5)),
    "loaded": lambda mapped: mapped(None),
    "cast": lambda mapped: mapped().astype("u1"),
    "copied": lambda mapped: mapped().copy(),
    "a view of a copy": lambda mapped: mapped().copy()[2:, ::3],
    "sorted": lambda mapped: np.sort(mapped()),
    "computed": lambda mapped: mapped() * 2,
    "picked": lambda mapped: mapped()[[1, 3]],
    "converted": lambda mapped: as_matrix(mapped().astype(">f4"), "train"),
    "no element": lambda mapped: mapped()[:0],
    "anonymous": lambda mapped: np.frombuffer(mmap.mmap(-1, 4096), np.uint8),
    "bytes": lambda mapped: np.frombuffer(b"1234", np.uint8),
    "a bytearray": lambda mapped: np.frombuffer(bytearray(9), np.uint8)[2:],
    "another library's": lambda mapped: np.asarray(Wrapped(np.ones((4, 4)))),
}


@pytest.mark.parametrize("kind", ON_DISK)
def test_what_lies_on_disk(kind, mapped):
    assert is_on_disk(ON_DISK[kind](mapped))


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_what_lies_in_memory(kind, mapped):
    assert not is_on_disk(IN_MEMORY[kind](mapped))


def test_shared_memory_lies_in_memory():
    shared = SharedMemory(create=True, size=4096)
    try:
        assert not is_on_disk(np.frombuffer(shared.buf, np.uint8, 4))
    finally:
        shared.close()
        shared.unlink()


def test_without_a_list_of_mappings_every_map_counts(mapped, monkeypatch):
    def missing(address):
        raise FileNotFoundError

    monkeypatch.setattr(rows_module, "_mapped_file", missing)
    assert is_on_disk(np.asarray(mapped())[3:])
    for kind in ("cast", "a view of a copy", "bytes", "another library's"):
        assert not is_on_disk(IN_MEMORY[kind](mapped))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["cast", "copied", "computed"])
def test_copies_of_maps_give_useless_screens_up(kind, metric, mapped):
    train = IN_MEMORY[kind](mapped)
    index = Index(train, metric, screen="quantized")
    assert index._searcher.may_give_up == bool(index._searcher.codes)
    index.search(np.full((20, WIDTH), 1e6), 7)
    assert index.stats_["rows_given_up"] > 0
    on_disk = Index(mapped(), metric, screen="quantized")
    assert not on_disk._searcher.may_give_up


def test_changes_of_copies_of_maps_are_noticed(mapped):
    """Rows of a file that is mapped read-only cannot change; those of a copy can."""
    owner = mapped().copy()
    train = owner.view()
    train.flags.writeable = False
    index = Index(train)
    owner *= 2
    with pytest.raises(ValueError, match="train has changed"):
        index.search(train[:1], 1)
