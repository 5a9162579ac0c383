"""Bad arguments of every kind: an error that names the argument, and nothing lost."""

import datetime

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from fastknn import Index, knn, load_index, pairwise_distances
from fastknn._utils import matrices

TRAIN = np.random.default_rng(0).integers(0, 256, (20, 3), np.uint8)


def with_value(dtype, value):
    """A matrix that is fine but for its last element."""
    array = np.ones((4, 3), dtype)
    array[3, 2] = value
    return array


BAD_MATRICES = {
    "NaN": (ValueError, "must be finite, found nan at row 3, column 2", with_value("f8", np.nan)),
    "NaN, float32": (ValueError, "must be finite, found nan", with_value("f4", np.nan)),
    "NaN, float16": (ValueError, "must be finite, found nan", with_value("f2", np.nan)),
    "NaN, big-endian": (ValueError, "must be finite, found nan", with_value(">f8", np.nan)),
    "NaN, list": (ValueError, "must be finite, found nan", [[1.0, 2.0, float("nan")]]),
    "NaN, strided": (ValueError, "must be finite", with_value("f8", np.nan)[::-1, ::-1]),
    "infinity": (ValueError, "must be finite, found inf at row 3", with_value("f8", np.inf)),
    "minus infinity": (ValueError, "must be finite, found -inf", with_value("f4", -np.inf)),
    "scalar": (ValueError, r"must have shape \(n_\w+, (3|width)\), got \(\)$", 3.0),
    "rank 1": (
        ValueError,
        r"must have shape \(n_\w+, (3|width)\), got \(3,\): use \w+.reshape\(1, -1\) for a single ",
        [1.0, 2.0, 3.0],
    ),
    "no shape": (ValueError, r"must have shape \(n_\w+, (3|width)\), got \(0,\)$", []),
    "rank 3": (
        ValueError,
        r"must have shape \(n_\w+, (3|width)\), got \(2, 3, 1\): "
        r"use (\w+)\.reshape\(len\(\2\), -1\), a row for each$",
        np.zeros((2, 3, 1)),
    ),
    "ragged": (ValueError, "must ", [[1.0, 2.0, 3.0], [1.0]]),
    "no columns": (ValueError, r"must not be empty, got shape \(2, 0\)", [[], []]),
    "complex": (TypeError, "must hold numbers .*complex128", np.ones((2, 3), complex)),
    "longdouble": (TypeError, "must hold numbers", np.ones((2, 3), np.longdouble)),
    "object": (TypeError, "must hold numbers .*object", np.ones((2, 3), object)),
    "None in it": (TypeError, "must hold numbers .*object", [[1.0, 2.0, None]]),
    "text": (TypeError, "must hold numbers .*<U", [["1", "2", "3"]]),
    "bytes": (TypeError, "must hold numbers .*S1", [[b"1", b"2", b"3"]]),
    "dates": (TypeError, "must hold numbers .*", np.zeros((2, 3), "M8[s]")),
    "records": (TypeError, "must hold numbers .*", np.zeros((2, 3), [("a", "f8")])),
    "python integers": (TypeError, "must hold numbers", [[2**70, 1, 1]]),
    "large": (ValueError, r"has integers beyond 2\*\*53", with_value("i8", 2**53 + 1)),
    "small": (ValueError, r"has integers beyond 2\*\*53", with_value("i8", -(2**63))),
    "large unsigned": (ValueError, r"has integers beyond 2\*\*53", with_value("u8", 2**64 - 1)),
    "large, big-endian": (ValueError, r"has integers beyond", with_value(">i8", 2**53 + 1)),
    "sparse matrix": (TypeError, "must be a dense array.* csr_matrix", sparse.csr_matrix(TRAIN)),
    "sparse array": (TypeError, "must be a dense array.* coo_array", sparse.coo_array(TRAIN)),
    "None": ((TypeError, ValueError), "must ", None),
    "a day": ((TypeError, ValueError), "must ", datetime.date(2024, 1, 1)),
}


@pytest.fixture
def index():
    """An index that still works, and has not changed, when the test is over."""
    index = Index(TRAIN)
    expected = index.search(TRAIN, 4)
    last = index._last
    yield index
    assert index._last is last
    for found, before in zip(index.search(TRAIN, 4), expected, strict=True):
        assert_array_equal(found, before, strict=True)


@pytest.mark.parametrize(("error", "match", "matrix"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_bad_matrices(index, error, match, matrix):
    for metric in ("l1", "l2"):
        with pytest.raises(error, match=f"^train {match}"):
            Index(matrix, metric)
        with pytest.raises(error, match=f"^train {match}"):
            knn(TRAIN, matrix, 1, metric)
        with pytest.raises(error, match=f"^train {match}"):
            pairwise_distances(TRAIN, matrix, metric)
        with pytest.raises(error, match=f"^queries {match}"):
            knn(matrix, TRAIN, 1, metric)
        with pytest.raises(error, match=f"^queries {match}"):
            pairwise_distances(matrix, TRAIN, metric)
    with pytest.raises(error, match=f"^queries {match}"):
        index.search(matrix, 1)
    for dtype in (np.float32, np.float64):
        with pytest.raises(error, match=f"^queries {match}"):
            Index(TRAIN.astype(dtype)).search(matrix, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", [0, 6, 7, 13, 14, 19])
@pytest.mark.parametrize("column", [0, 2])
def test_nan_is_found_anywhere(monkeypatch, dtype, row, column):
    monkeypatch.setattr(matrices, "CHECK_ELEMENTS", 7 * 3)
    train = TRAIN.astype(dtype)
    train[row, column] = np.nan
    for array in (train, np.asfortranarray(train), train[:, ::-1].copy()[:, ::-1]):
        with pytest.raises(ValueError, match=f"train .*nan at row {row}, column {column}"):
            Index(array)


@pytest.mark.parametrize("width", [1, 2, 4, 6])
def test_other_widths(index, width):
    queries = np.ones((5, width))
    match = f"queries must be as wide as train: got {width} columns, train has 3"
    for call in (
        lambda: index.search(queries, 1),
        lambda: knn(queries, TRAIN, 1),
        lambda: pairwise_distances(queries, TRAIN),
    ):
        with pytest.raises(ValueError, match=match):
            call()


BAD_K = {
    "zero": (ValueError, "k must be at least 1, got 0", 0),
    "negative": (ValueError, "k must be at least 1, got -3", np.int64(-3)),
    "too many": (ValueError, "k must be at most the number of training rows, 20; got 21", 21),
    "huge": (ValueError, "k must be at most", 10**30),
    "float": (TypeError, "k must be an integer, got 2.0", 2.0),
    "NumPy float": (TypeError, "k must be an integer", np.float64(2)),
    "True": (TypeError, "k must be an integer, got True", True),
    "NumPy True": (TypeError, "k must be an integer", np.True_),
    "text": (TypeError, "k must be an integer, got '2'", "2"),
    "array": (TypeError, "k must be an integer", np.array([2])),
    "None": (TypeError, "k must be an integer, got None", None),
}


@pytest.mark.parametrize(("error", "match", "k"), BAD_K.values(), ids=BAD_K)
def test_bad_k(index, error, match, k):
    with pytest.raises(error, match=f"^{match}"):
        index.search(TRAIN, k)
    with pytest.raises(error, match=f"^{match}"):
        knn(TRAIN, TRAIN, k)


def test_integers_of_any_kind_are_k(index):
    for dtype in (np.int8, np.uint8, np.int64, np.uint64):
        distances, _ = knn(TRAIN, TRAIN, dtype(2))
        assert distances.shape == (20, 2)


@pytest.mark.parametrize(
    "metric", ["chebyshev", "L2", "", "seuclidean", 2, None, ["l2"], np.linalg]
)
def test_bad_metrics(metric):
    for call in (Index, lambda *args: knn(TRAIN, TRAIN, 1, *args[1:])):
        with pytest.raises(ValueError, match=r"^metric must be one of 'l1', .*; got "):
            call(TRAIN, metric)
    with pytest.raises(ValueError, match=r"^metric must be one of"):
        pairwise_distances(TRAIN, TRAIN, metric)


@pytest.mark.parametrize("screen", ["fast", "Direct", "", None, 1, True, ["auto"]])
def test_bad_screens(screen):
    with pytest.raises(ValueError, match=r"^screen must be one of 'auto', 'none', 'direct'"):
        Index(TRAIN, screen=screen)


BAD_JOBS = {
    "zero": (ValueError, 0),
    "half": (TypeError, 1.5),
    "float": (TypeError, 2.0),
    "text": (TypeError, "2"),
    "True": (TypeError, True),
    "list": (TypeError, [1]),
}


@pytest.mark.parametrize(("error", "n_jobs"), BAD_JOBS.values(), ids=BAD_JOBS)
def test_bad_jobs(index, error, n_jobs):
    for call in (
        lambda: Index(TRAIN, n_jobs=n_jobs),
        lambda: index.search(TRAIN, 1, n_jobs=n_jobs),
        lambda: knn(TRAIN, TRAIN, 1, n_jobs=n_jobs),
        lambda: pairwise_distances(TRAIN, TRAIN, n_jobs=n_jobs),
    ):
        with pytest.raises(error, match=r"^n_jobs must "):
            call()


@pytest.mark.parametrize("progress", ["yes", 1, 0.5, object(), print, [1]])
def test_bad_progress(index, progress):
    with pytest.raises(TypeError, match=r"^progress must be a bool or have an update"):
        index.search(TRAIN, 1, progress=progress)
    with pytest.raises(TypeError, match=r"^progress must be"):
        knn(TRAIN, TRAIN, 1, progress=progress)


def test_progress_that_cannot_be_updated(index):
    class Progress:
        update = 3

    with pytest.raises(TypeError, match=r"^progress must be"):
        index.search(TRAIN, 1, progress=Progress())


def read_only(array):
    array.flags.writeable = False
    return array


BAD_OUT = {
    "list": (TypeError, "must be a NumPy array, got list", [[0.0] * 20] * 5),
    "number": (TypeError, "must be a NumPy array, got float", 0.0),
    "one row": (ValueError, r"must have shape \(5, 20\), got \(1, 20\)", np.zeros((1, 20))),
    "transposed": (ValueError, r"must have shape \(5, 20\)", np.zeros((20, 5))),
    "flat": (ValueError, r"must have shape \(5, 20\), got \(100,\)", np.zeros(100)),
    "rank 3": (ValueError, "must have shape", np.zeros((5, 20, 1))),
    "integers": (TypeError, "must be float32 or float64.* int64", np.zeros((5, 20), np.int64)),
    "float16": (TypeError, "must be float32 or float64.* float16", np.zeros((5, 20), np.float16)),
    "longdouble": (TypeError, "must be float32 or float64", np.zeros((5, 20), np.longdouble)),
    "complex": (TypeError, "must be float32 or float64", np.zeros((5, 20), complex)),
    "other endian": (TypeError, "must be .*native byte order", np.zeros((5, 20), ">f8")),
    "read-only": (ValueError, "must be writable", read_only(np.zeros((5, 20)))),
    "broadcast": (ValueError, "must be writable", np.broadcast_to(np.zeros(20), (5, 20))),
    "unaligned": (
        ValueError,
        "must be .*aligned",
        np.zeros(801, np.uint8)[1:].view(np.float64).reshape(5, 20),
    ),
    "Fortran": (ValueError, "must have consecutive", np.zeros((5, 20), order="F")),
    "column step": (ValueError, "must have consecutive", np.zeros((5, 40))[:, ::2]),
    "columns backwards": (ValueError, "must have consecutive", np.zeros((5, 20))[:, ::-1]),
}


@pytest.mark.parametrize(("error", "match", "out"), BAD_OUT.values(), ids=BAD_OUT)
def test_bad_out(error, match, out):
    for dtype in (np.uint8, np.float32, np.float64):
        rows = TRAIN.astype(dtype)
        with pytest.raises(error, match=f"^out {match}"):
            pairwise_distances(rows[:5], rows, out=out)
    assert not np.asarray(out).any()


def test_errors_come_before_any_work(monkeypatch):
    """Bad arguments are found although the work itself would fail."""

    def fail(*args):
        raise AssertionError("work was begun")

    index = Index(TRAIN)
    monkeypatch.setattr("fastknn.search.index._core.QueryBlock", fail)
    for kwargs in ({"k": 0}, {"k": 21}, {"n_jobs": 0}, {"progress": "yes"}, {"queries": [[1]]}):
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must"):
            index.search(**{"queries": TRAIN, "k": 1, **kwargs})
    monkeypatch.setattr("fastknn.search.index._core.Panels", fail)
    for kwargs in ({"metric": "l3"}, {"screen": "x"}, {"n_jobs": 0}, {"train": [[np.nan]]}):
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must"):
            Index(**{"train": TRAIN, **kwargs})
    for kwargs in ({"out": []}, {"n_jobs": 0}, {"metric": "l3"}):
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must"):
            pairwise_distances(TRAIN, TRAIN, **kwargs)


@pytest.mark.parametrize(
    ("match", "rows"),
    [
        ("must be from 0 to 19, got -1 to 3", [3, -1]),
        ("must be from 0 to 19, got 0 to 20", [0, 20]),
        ("must be a sequence of indices", []),
        ("must be a sequence of indices", [[1, 2], [3]]),
        ("must be a sequence of indices", [True, False]),
        ("must be a sequence of indices", [1.0]),
        ("must be a sequence of indices", 3),
        ("must be a sequence of indices", None),
    ],
)
def test_bad_rows_of_a_subset(index, match, rows):
    with pytest.raises(ValueError, match=f"^rows {match}"):
        index.subset(rows)


@pytest.mark.parametrize("value", [None, 1, "yes", np.ones(3), [True]])
def test_bad_flags(index, value, tmp_path):
    index.save(tmp_path / "index")
    for name, call in {
        "check_finite": lambda: Index(TRAIN, check_finite=value),
        "mmap": lambda: load_index(tmp_path / "index", mmap=value),
        "verify": lambda: load_index(tmp_path / "index", verify=value),
    }.items():
        with pytest.raises(TypeError, match=f"^{name} must be True or False"):
            call()
    with pytest.raises(TypeError, match=r"^check_finite must be True or False"):
        index.search(TRAIN, 1, check_finite=value)


@pytest.mark.parametrize("path", [None, 3, ["a"], np.ones(2)])
def test_bad_paths_of_an_index(index, path):
    for call in (index.save, load_index):
        with pytest.raises(TypeError, match=r"^path must be"):
            call(path)


def test_a_file_is_no_saved_index(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="expected the folder of a saved index, found a file"):
        load_index(tmp_path / "file")


@pytest.mark.parametrize("screen", [np.array(["auto", "none"]), np.ones(3), b"auto"])
def test_screens_that_are_no_words(screen):
    with pytest.raises(ValueError, match=r"^screen must be one of"):
        Index(TRAIN, screen=screen)
