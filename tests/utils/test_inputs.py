"""Tables in place of arrays, and queries of unusual shapes, in all functions that take rows."""

import datetime
import re
import warnings
from decimal import Decimal

import numpy as np
import pytest
from cases import run_python
from numpy.testing import assert_array_equal
from scipy import sparse

import fastknn
from fastknn import (
    Index,
    KNeighborsClassifier,
    KNeighborsClassifierCV,
    KNeighborsRegressor,
    NearestNeighbors,
    cross_validate_k,
    ground_truth,
    knn,
    knn_graph,
    pairwise_distances,
    probe,
)
from fastknn._utils.matrices import as_matrix
from fastknn.evaluation.vectors import write_ivecs

METRICS = ("l1", "l2", "cosine")
ROWS = np.random.default_rng(0).integers(0, 9, (30, 3))


# --- Tables -----------------------------------------------------------------------------------


COLUMNS = {name: ROWS[:, place].tolist() for place, name in enumerate("abc")}
BITS = {**COLUMNS, "a": [value > 4 for value in COLUMNS["a"]]}
FLOATS = {**COLUMNS, "c": [float(value) for value in COLUMNS["c"]]}
DECIMALS = {**COLUMNS, "b": [Decimal(value) for value in COLUMNS["b"]]}


def of_pandas(columns, *kinds):
    """A DataFrame of one type, or of one for each column."""
    table = pytest.importorskip("pandas").DataFrame(columns)
    if any("pyarrow" in str(kind) for kind in kinds):
        pytest.importorskip("pyarrow")
    return table.astype(kinds[0] if len(kinds) == 1 else dict(zip("abc", kinds, strict=True)))


def of_polars(columns, *kinds):
    polars = pytest.importorskip("polars")
    kinds = [getattr(polars, kind) for kind in kinds]
    return polars.DataFrame(columns, schema=dict(zip("abc", kinds, strict=True)))


def of_pyarrow(columns, make):
    return getattr(pytest.importorskip("pyarrow"), make)(columns)


TABLES = {
    # columns, the type that is found, how the table is made of them
    "uint8": (COLUMNS, np.uint8, of_pandas, "uint8"),
    "float32": (COLUMNS, np.float32, of_pandas, "float32"),
    "int64": (COLUMNS, np.float64, of_pandas, "int64"),
    "bool, float32": (BITS, np.float32, of_pandas, bool, "float32", "float32"),
    "bool, float64": (BITS, np.float64, of_pandas, bool, "float64", "float32"),
    "int8, float32": (COLUMNS, np.float32, of_pandas, "int8", "float32", "int8"),
    "objects": (COLUMNS, np.float64, of_pandas, object),
    "decimals": (DECIMALS, np.float64, of_pandas, object),
    "one of objects": (COLUMNS, np.float64, of_pandas, object, "uint8", "uint8"),
    "Int64": (COLUMNS, np.float64, of_pandas, "Int64"),
    "UInt8": (COLUMNS, np.uint8, of_pandas, "UInt8"),
    "Float32": (COLUMNS, np.float32, of_pandas, "Float32"),
    "boolean, Float64": (BITS, np.float64, of_pandas, "boolean", "Float64", "Int8"),
    "categories": (COLUMNS, np.float64, of_pandas, "category"),
    "int64[pyarrow]": (COLUMNS, np.float64, of_pandas, "int64[pyarrow]"),
    "uint8[pyarrow]": (COLUMNS, np.uint8, of_pandas, "uint8[pyarrow]"),
    "float[pyarrow]": (COLUMNS, np.float32, of_pandas, "float[pyarrow]"),
    "bool[pyarrow]": (BITS, np.float64, of_pandas, "bool[pyarrow]", "float64", "uint8"),
    "polars": (COLUMNS, np.uint8, of_polars, "UInt8", "UInt8", "UInt8"),
    "polars, mixed": (COLUMNS, np.float32, of_polars, "Int8", "Float32", "Float32"),
    "polars, bool": (BITS, np.float64, of_polars, "Boolean", "Float64", "Int64"),
    "polars, decimals": (DECIMALS, np.float64, of_polars, "Int64", "Decimal", "Int64"),
    "pyarrow": (COLUMNS, np.float64, of_pyarrow, "table"),
    "pyarrow, mixed": (FLOATS, np.float64, of_pyarrow, "table"),
    "pyarrow, bool": (BITS, np.float64, of_pyarrow, "table"),
    "pyarrow, batch": (FLOATS, np.float64, of_pyarrow, "record_batch"),
}


@pytest.fixture(params=TABLES.values(), ids=TABLES)
def table(request):
    """A table, and the array that it stands for."""
    columns, dtype, make, *kinds = request.param
    return make(columns, *kinds), np.array(list(columns.values())).T.astype(dtype)


def test_tables_are_matrices(table):
    made, array = table
    found = as_matrix(made, "train")
    assert_array_equal(found, array, strict=True)


def test_tables_in_functions(table):
    """Every function takes what the estimators take, and answers as for the array."""
    made, array = table
    labels = np.arange(30) % 2
    for metric in METRICS:
        expected = knn(array, array, 4, metric)
        for found in (
            knn(made, made, 4, metric),
            Index(made, metric).search(made, 4),
            Index(array, metric).search(made, 4),
            ground_truth(made, made, 4, metric)[:2],
        ):
            for one, other in zip(found, expected, strict=True):
                assert_array_equal(one, other, strict=True)
    graph = knn_graph(made, 3), knn_graph(array, 3)
    assert_array_equal(graph[0][0], graph[1][0])
    assert_array_equal(pairwise_distances(made, made), pairwise_distances(array, array))
    assert_array_equal(
        probe(made, labels, made, labels, ks=[3])["top1"],
        probe(array, labels, array, labels, ks=[3])["top1"],
    )
    tuned, plain = (
        cross_validate_k(rows, labels, [1, 3], ["l2"], ["uniform"], cv=2) for rows in (made, array)
    )
    assert_array_equal(tuned["mean_test_score"], plain["mean_test_score"])
    assert len(Index(array).append(made)) == 60


def test_tables_as_estimators_take_them(table):
    made, _ = table
    if not hasattr(made, "iloc"):
        return  # polars and pyarrow: scikit-learn does not read all of these
    estimator = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(made)
    distances, _ = estimator.kneighbors(made)
    assert_array_equal(distances, knn(made, made, 4)[0])


def missing():
    """Tables in which row 2 of column 1 is missing."""
    pd = pytest.importorskip("pandas")
    whole = pd.DataFrame({"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]})
    for kind in ("Int64", "UInt8", "Float32", "boolean", "float32", "float64"):
        column = pd.Series([1, 0, None, 1], dtype=object)
        yield whole.assign(b=column.astype(kind))
    for value in (None, np.nan, pd.NA):
        yield whole.assign(b=pd.Series([1, 2, value, 4], dtype=object))


def test_missing_values_in_tables():
    for made in missing():
        for name, call in (
            ("train", lambda made=made: Index(made)),
            ("train", lambda made=made: knn(np.ones((1, 2)), made, 1)),
            ("queries", lambda made=made: knn(made, np.ones((1, 2)), 1)),
            ("X", lambda made=made: knn_graph(made, 1)),
            ("X", lambda made=made: cross_validate_k(made, [0, 1] * 2, cv=2)),
            ("queries", lambda made=made: pairwise_distances(made, np.ones((1, 2)))),
            ("train", lambda made=made: ground_truth(np.ones((1, 2)), made, 1)),
        ):
            with pytest.raises(ValueError, match=f"^{name} must be finite, found nan at row 2, "):
                call()


def test_missing_values_of_other_libraries():
    for name, make in (("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            library = __import__(name)
        except ImportError:
            continue
        for values in ([1, 2, None], [1.5, 2.5, None], [True, False, None]):
            made = getattr(library, make)({"a": [1, 2, 3], "b": values})
            with pytest.raises(ValueError, match=r"^train must be finite, found nan at row 2, col"):
                Index(made)


def test_tables_that_hold_no_numbers():
    pd = pytest.importorskip("pandas")
    one = pd.DataFrame({"a": [1.0, 2.0]})
    day = datetime.datetime(2024, 1, 1)
    large = "has integers beyond 2"
    sparse = pd.arrays.SparseArray([0, 1])
    for error, match, column in (
        (TypeError, "must hold numbers, found 'x' at row 0, column 1", ["x", "y"]),
        (TypeError, "must hold numbers, found '1' at row 0, column 1", ["1", "2"]),
        (TypeError, "must hold numbers, found '1'", pd.array(["1", "2"], dtype=object)),
        (TypeError, "must hold numbers, found 'x'", pd.Categorical(["x", "y"])),
        (TypeError, "must hold numbers, found b'1'", [b"1", b"2"]),
        (TypeError, "must hold numbers", [day, day]),
        (TypeError, "must hold numbers", pd.to_timedelta([1, 2])),
        (TypeError, "must hold numbers", pd.period_range("2024", periods=2)),
        (TypeError, "must hold numbers", [1j, 2.0]),
        (TypeError, "must hold numbers", pd.array([1j, 2], dtype=object)),
        (TypeError, "must hold numbers", pd.Series([[1], [2]])),
        (ValueError, large, [2**53 + 1, 1]),
        (ValueError, large, pd.array([-(2**53) - 1, 1], dtype="Int64")),
        (ValueError, large, pd.array([2**70, 1], dtype=object)),
        (ValueError, "must be finite, found inf at row 0, column 1", [np.inf, 1.0]),
        (TypeError, "must be a dense array, got a table with sparse columns", sparse),
    ):
        made = one.assign(b=column)
        with pytest.raises(error, match=f"^train {match}"):
            Index(made)
        with pytest.raises(error, match=f"^queries {match}"):
            knn(made, np.ones((1, 2)), 1)
        with pytest.raises(error, match=f"^X {match}"):
            cross_validate_k(made, [0, 1], cv=2)


def test_shapes_of_tables():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"^train must have shape \(n_rows, width\), got \(2,\)"):
        Index(pd.Series([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"^train must have shape \(n_rows, width\), got \(2,\)"):
        Index(pd.Series([1, 2], dtype="Int64"))
    for made in (pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[1, 2])):
        with pytest.raises(ValueError, match=r"^train must not be empty, got shape \(\d, \d\)"):
            Index(made)
    twice = pd.DataFrame(np.ones((2, 2), np.uint8), columns=["a", "a"])
    assert as_matrix(twice, "train").dtype == np.uint8
    for kind in ("float64", "Int64", object):
        none = pd.DataFrame({"a": [], "b": []}, dtype=kind)
        assert knn(none, twice, 1)[0].shape == (0, 1)


def test_tables_of_one_type_are_not_copied():
    """They are taken as they lie in memory, as arrays are."""
    pd = pytest.importorskip("pandas")
    rows = np.ones((50, 4), np.float32)
    assert np.shares_memory(as_matrix(pd.DataFrame(rows, copy=False), "train"), rows)


class Arrayable:
    """Of some other library: an array that NumPy is told of."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.array, Exception):
            raise self.array
        return self.array


def test_arrays_of_other_libraries():
    for array in (ROWS.astype(np.uint8), ROWS.astype(np.float32), ROWS.astype(object)):
        found = knn(Arrayable(array), Arrayable(array), 3)
        assert_array_equal(found[1], knn(ROWS, ROWS, 3)[1])
    with pytest.raises(TypeError, match=r"^train must be a matrix .*: only explicitly"):
        Index(Arrayable(TypeError("only explicitly")))
    with pytest.raises(ValueError, match=r"^train must be a matrix .*: it needs its gradient"):
        Index(Arrayable(RuntimeError("it needs its gradient")))
    with pytest.raises(ValueError, match=r"^train must not have masked values"):
        Index(np.ma.masked_equal(ROWS, 3))
    assert len(Index(np.ma.masked_equal(ROWS, 99))) == 30


LABELS = np.arange(30) % 3

# Every argument that takes an array: of rows, of a number for each row, and of votes.
MATRICES = [
    ("train", Index),
    ("train", lambda array: knn(ROWS, array, 1)),
    ("train", lambda array: pairwise_distances(ROWS, array)),
    ("train", lambda array: ground_truth(ROWS, array, 1)),
    ("train", lambda array: ground_truth(ROWS, ROWS, 1).save("truth.npy", train=array)),
    ("queries", lambda array: Index(ROWS).search(array, 1)),
    ("queries", lambda array: knn(array, ROWS, 1)),
    ("queries", lambda array: pairwise_distances(array, ROWS)),
    ("queries", lambda array: ground_truth(array, ROWS, 1)),
    ("rows", lambda array: Index(ROWS).append(array)),
    ("X", lambda array: knn_graph(array, 1)),
    ("X", lambda array: cross_validate_k(array, LABELS, [1])),
    ("train_features", lambda array: probe(array, LABELS, ROWS, LABELS)),
    ("test_features", lambda array: probe(ROWS, LABELS, array, LABELS)),
    ("X", NearestNeighbors().fit),
    ("X", lambda array: NearestNeighbors(algorithm="kd_tree").fit(array)),
    ("X", lambda array: NearestNeighbors().fit(ROWS).kneighbors(array)),
    ("X", lambda array: NearestNeighbors(algorithm="brute").fit(ROWS).kneighbors(array)),
    ("X", lambda array: NearestNeighbors().fit(ROWS).append(array)),
    ("X", lambda array: NearestNeighbors().fit(ROWS).radius_neighbors(array, 1)),
    ("X", lambda array: NearestNeighbors().fit(ROWS).radius_neighbors_graph(array, 1)),
    ("X", lambda array: KNeighborsClassifier().fit(array, LABELS)),
    ("X", lambda array: KNeighborsClassifier().fit(ROWS, LABELS).predict(array)),
    ("X", lambda array: KNeighborsClassifierCV(ks=[1]).fit(array, LABELS)),
    ("X", lambda array: KNeighborsClassifierCV(ks=[1]).fit(ROWS, LABELS).predict(array)),
    ("X", lambda array: KNeighborsClassifierCV(ks=[1]).fit(ROWS, LABELS).predict_proba(array)),
]
VECTORS = [
    ("rows", Index(ROWS).subset),
    ("y", lambda array: cross_validate_k(ROWS, array, [1])),
    ("y", lambda array: cross_validate_k(ROWS, array, [1], regression=True)),
    ("y", lambda array: KNeighborsClassifier().fit(ROWS, array)),
    ("y", lambda array: KNeighborsRegressor().fit(ROWS, array)),
    ("y", lambda array: KNeighborsClassifierCV(ks=[1]).fit(ROWS, array)),
    (
        "sample_weight",
        lambda array: KNeighborsClassifier().fit(ROWS, LABELS, sample_weight=array),
    ),
    (
        "sample_weight",
        lambda array: KNeighborsRegressor().fit(ROWS, LABELS).append(ROWS, LABELS, array),
    ),
    ("groups", lambda array: cross_validate_k(ROWS, LABELS, [1], groups=array)),
    ("train_labels", lambda array: probe(ROWS, array, ROWS, LABELS)),
    ("test_labels", lambda array: probe(ROWS, LABELS, ROWS, array)),
]
VOTES = [
    ("neighbor_labels", fastknn.voting.vote),
    ("weights", lambda array: fastknn.voting.vote(ROWS, weights=array)),
    ("distances", lambda array: fastknn.voting.topk(array, 1)),
    ("distances", fastknn.voting.distance_weights),
    ("rows", lambda array: write_ivecs("rows.ivecs", array)),
]
ARGUMENTS = [
    *((name, call, ROWS) for name, call in MATRICES),
    *((name, call, LABELS) for name, call in VECTORS),
    *((name, call, ROWS) for name, call in VOTES),
]


@pytest.mark.parametrize(("name", "call", "values"), ARGUMENTS)
def test_masked_values_are_refused(name, call, values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(np.ma.masked_equal(values, 99))  # nothing is masked
    masked = np.ma.masked_array(values, np.zeros(values.shape, bool))
    masked[0] = np.ma.masked
    with pytest.raises(
        ValueError, match=rf"^{name} must not have masked values: .* {name}\.filled does"
    ):
        call(masked)
    if values.ndim == 2:
        with pytest.raises(ValueError, match=f"^{name} must not have masked values: .*ma.filled"):
            call(list(masked))


class Tensor:
    """Of a library that says no to NumPy in its own words."""

    def __init__(self, error, array=None, **attributes):
        self._error, self._array = error, array
        vars(self).update(attributes)

    def __array__(self, dtype=None, copy=None):
        raise self._error

    def __len__(self):
        return 30

    def cpu(self):
        raise NotImplementedError


class Narrow(Tensor):
    def float(self):
        raise NotImplementedError


class OnCard(Tensor):
    cpu = property()

    def get(self):
        raise NotImplementedError


TENSORS = {
    # the array, the error, what the message says
    "gradient": (
        Tensor(RuntimeError("Can't call numpy()"), requires_grad=True, device="cpu"),
        ValueError,
        r"{0}\.detach\(\)$",
    ),
    "bfloat16": (
        Narrow(TypeError("unsupported ScalarType"), dtype="torch.bfloat16", device="cpu"),
        TypeError,
        r"{0}\.float\(\)$",
    ),
    "all at once": (
        Narrow(
            TypeError("no"),
            requires_grad=True,
            dtype="torch.float8_e4m3fn",
            device="cuda:0",
            layout="torch.sparse_coo",
        ),
        TypeError,
        r"{0}\.detach\(\)\.to_dense\(\)\.cpu\(\)\.float\(\)$",
    ),
    "sparse": (Tensor(TypeError("no"), layout="torch.sparse_csr"), TypeError, r"to_dense\(\)$"),
    "cupy": (OnCard(TypeError("no"), device="<CUDA Device 0>"), TypeError, r"{0}\.get\(\)$"),
    "narrow": (
        Tensor(TypeError("no"), dtype="bfloat16", device="cpu"),
        TypeError,
        r"{0}\.astype\('float32'\)$",
    ),
    "graph": (Tensor(NotImplementedError("symbolic tensor")), ValueError, "symbolic tensor$"),
    "closed file": (Tensor(OSError("closed")), ValueError, "closed$"),
    "assertion": (Tensor(AssertionError("shape")), ValueError, "shape$"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("tensor", "error", "match"), TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize(("name", "call", "values"), ARGUMENTS)
def test_tensors_that_numpy_cannot_read(name, call, values, tensor, error, match, tmp_path):
    match = match.format(name)
    with pytest.raises(error, match=rf"^{name} must be .*{match}") as caught:
        call(tensor)
    assert caught.value.__cause__ is tensor._error


def test_rows_that_are_tensors():
    tensor = Tensor(RuntimeError("no"), requires_grad=True)
    for name, call in (("train", Index), ("X", NearestNeighbors().fit)):
        with pytest.raises(
            ValueError, match=rf"^{name} .*pass \[row\.detach\(\) for row in {name}"
        ):
            call([tensor, tensor])


def test_memory_that_is_short_is_said_as_such():
    with pytest.raises(MemoryError):
        Index(Tensor(MemoryError()))


MISSING = {
    "Int64": ("NA|NaN", "Int64", [1, None, 2, 1]),
    "Float64": ("NA|NaN", "Float64", [1.5, None, 2, 1]),
    "boolean": ("NA|NaN", "boolean", [True, None, False, True]),
    "string": ("NA|nan", "string", ["a", None, "b", "a"]),
    "category": ("nan|NaN", "category", ["a", None, "b", "a"]),
    "dates": ("NaT", "datetime64[ns]", ["2020-01-01", None, "2020-01-02", "2020-01-01"]),
    "objects": ("nan", object, [1, float("nan"), 2, 1]),
    "float64": ("NaN", "float64", [1, None, 2, 1]),
}


@pytest.mark.parametrize(("word", "dtype", "values"), MISSING.values(), ids=MISSING)
def test_labels_that_are_missing(word, dtype, values):
    labels = pytest.importorskip("pandas").Series(values, dtype=dtype)
    with pytest.raises(
        ValueError, match=f"^train_labels must not be <?({word})>?, found it at row 1"
    ):
        probe(ROWS[:4], labels, ROWS[:4], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=f"^y must not be <?({word})>?, found it at row 1"):
        cross_validate_k(ROWS[:4], labels, [1], cv=2)


def test_what_arrays_and_tables_import():
    code = (
        "import sys, numpy as np\nfrom fastknn import Index, knn\n"
        "Index(np.eye(3)).search(np.eye(3), 1); knn([[1.0]], [[1.0]], 1)\n"
        "print(sorted({'sklearn', 'pandas', 'polars', 'pyarrow'} & set(sys.modules)))"
    )
    done = run_python("-c", code)
    assert done.stdout.strip() == "[]"


# --- Scales that do not fit -------------------------------------------------------------------

BYTES = np.random.default_rng(0).integers(0, 256, (200, 12)).astype(np.uint8)
FRACTIONS = np.random.default_rng(1).random((20, 12))
MEETINGS = [
    ("queries", lambda queries, train: knn(queries, train, 2)),
    ("queries", lambda queries, train: Index(train, "l1").search(queries, 2)),
    ("queries", lambda queries, train: pairwise_distances(queries, train)),
    ("queries", lambda queries, train: ground_truth(queries, train, 2)),
    (
        "X",
        lambda queries, train: NearestNeighbors(algorithm="brute").fit(train).kneighbors(queries),
    ),
    (
        "X",
        lambda queries, train: (
            KNeighborsClassifier().fit(train, np.arange(len(train)) % 2).predict(queries)
        ),
    ),
]


@pytest.mark.parametrize(("name", "search"), MEETINGS)
def test_fractions_that_meet_bytes(name, search, monkeypatch):
    monkeypatch.setattr("fastknn.evaluation.truth.CHUNK_BYTES", 100)  # once, and not for each part
    for fractions, low in ((FRACTIONS, 0), (FRACTIONS.astype("f4"), 0), (FRACTIONS * 2 - 1, -1)):
        for queries, train in ((fractions, BYTES), (BYTES, fractions)):
            first, second = (name, "train") if queries is fractions else ("train", name)
            with pytest.warns(UserWarning, match="values up to") as caught:
                search(queries, train)
            (warning,) = caught
            assert warning.filename == __file__
            assert re.match(
                rf"{fractions.dtype} values from {low} to 1 in {first} meet uint8 values up to "
                rf"25\d in {second}: .* {second} / 255",
                str(warning.message),
            )
    with pytest.warns(UserWarning, match="uint8 values up to 16 in train: .* train / 16 does"):
        search(FRACTIONS, BYTES // 16 + 1)


@pytest.mark.parametrize(("name", "search"), MEETINGS)
def test_scales_that_fit(name, search):
    late = np.vstack([FRACTIONS] * 10)
    late[-2] = 200
    for queries, train in (
        (FRACTIONS, BYTES // 255),  # few values: counts, or black and white
        (FRACTIONS, BYTES % 5),
        (FRACTIONS, BYTES * 0),
        (FRACTIONS * 255, BYTES),
        (FRACTIONS[:1] * 255, BYTES),
        (FRACTIONS.round(), BYTES),  # dark pixels
        (FRACTIONS * 0, BYTES),
        (late, BYTES),  # where a few of many were looked at first
        (FRACTIONS, BYTES / 255),
        (BYTES, BYTES),
        (BYTES[:3], BYTES.astype(np.float32)),
        (BYTES, FRACTIONS * 255),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            search(queries, train)


def test_angles_do_not_depend_on_the_scale():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in ("cosine", "correlation"):
            knn(FRACTIONS, BYTES, 2, metric)
        knn(FRACTIONS * 2 - 1, BYTES, 2, "correlation")
        knn(FRACTIONS * 2 - 1, BYTES.view(np.int8), 2, "cosine")  # vectors as signed bytes
        knn(BYTES.view(np.int8), FRACTIONS * 2 - 1, 2, "cosine")
    with pytest.warns(UserWarning, match="values from -1 to 1 in queries"):
        knn(FRACTIONS * 2 - 1, BYTES, 2, "cosine")


def test_signed_bytes_have_a_scale_of_their_own():
    with pytest.warns(UserWarning, match="int8 values up to .* in train: .* train / 127 does"):
        knn(FRACTIONS * 2 - 1, BYTES.view(np.int8), 2)


# --- Images as rows ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "call"), MATRICES)
def test_images_get_the_hint_to_flatten(name, call):
    """A whole set of them; at the error of estimators, which is scikit-learn's, it is a note."""
    images = np.zeros((30, 3, 1, 1), np.uint8)
    with pytest.raises(ValueError) as caught:
        call(images)
    hint = f"use {name}.reshape(len({name}), -1), a row for each"
    notes = getattr(caught.value, "__notes__", [])
    assert str(caught.value).endswith(f": {hint}") or notes == [hint]


def test_single_images_get_the_hint_of_single_queries():
    with pytest.raises(ValueError, match=r": use queries\.reshape\(1, -1\) for a single query$"):
        knn(np.zeros((3, 1, 1)), ROWS, 1)
    for shape in ((2, 2, 2), (0, 3, 1)):  # which no reshape makes rows of this width
        with pytest.raises(ValueError, match=r"^queries must have shape .*\)$"):
            knn(np.zeros(shape), ROWS, 1)


# --- Queries of unusual shapes ----------------------------------------------------------------

TRAINS = {
    "uint8": ROWS.astype(np.uint8),
    "float32": ROWS.astype(np.float32),
    "float64": ROWS / 7,
    "int16": ROWS.astype(np.int16),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("screen", ["auto", "none", "direct", "quantized", "projected"])
@pytest.mark.parametrize("dtype", TRAINS)
def test_no_queries_are_an_empty_answer(metric, screen, dtype):
    train = TRAINS[dtype]
    index = Index(train, metric, screen=screen)
    seen = []

    class Bar:
        def update(self, n):
            seen.append(n)

    for kind in ("u1", "f4", "f8", "i8", "?", ">f4", "f2"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            distances, indices = index.search(np.empty((0, 3), kind), 4, progress=Bar())
        assert_array_equal(distances, np.empty((0, 4)), strict=True)
        assert_array_equal(indices, np.empty((0, 4), np.int64), strict=True)
    assert not any(seen)
    some, keys = index.stats_, set(index.stats_)
    index.search(train, 4)
    assert set(index.stats_) == keys
    assert (some["rows_screened"], some["rows_refined"], some["rows_given_up"]) == (0, 0, 0)
    assert not any(some["stage_seconds"].values())


@pytest.mark.parametrize("n_jobs", [1, 3, None])
def test_no_queries_in_functions(n_jobs):
    none = np.empty((0, 3), np.float32)
    for train in TRAINS.values():
        for metric in METRICS:
            for found in knn(none, train, 2, metric, n_jobs=n_jobs, progress=True):
                assert found.shape == (0, 2)
            truth = ground_truth(none, train, 2, metric, n_jobs=n_jobs)
            assert truth.indices.shape == truth.distances.shape == (0, 2)
            assert truth.tied.shape == (0,)
        for metric in METRICS[:2]:
            assert pairwise_distances(none, train, metric, n_jobs=n_jobs).shape == (0, 30)
            out = np.empty((0, 30))
            assert pairwise_distances(none, train, metric, out=out) is out


def test_no_queries_are_checked_all_the_same():
    index, none = Index(ROWS), np.empty((0, 3))
    for kwargs in ({"k": 0}, {"k": 31}, {"n_jobs": 0}, {"progress": "yes"}):
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must"):
            index.search(**{"queries": none, "k": 1, **kwargs})
    with pytest.raises(ValueError, match=r"^queries must be as wide as train: got 2 columns"):
        index.search(np.empty((0, 2)), 1)
    with pytest.raises(TypeError, match=r"^queries must hold numbers"):
        index.search(np.empty((0, 3), "U1"), 1)
    for queries in (np.empty((0, 0)), np.empty((2, 0))):
        with pytest.raises(ValueError, match=r"^queries must not be empty, got shape \(\d, 0\)"):
            index.search(queries, 1)
    with pytest.raises(ValueError, match=r"^out must have shape \(0, 30\)"):
        pairwise_distances(none, ROWS, out=np.empty((1, 30)))


def test_no_training_rows_are_an_error():
    none, one = np.empty((0, 3)), np.ones((1, 3))
    for name, call in (
        ("train", lambda: Index(none)),
        ("train", lambda: knn(one, none, 1)),
        ("train", lambda: pairwise_distances(one, none)),
        ("train", lambda: ground_truth(one, none, 1)),
        ("train", lambda: knn(none, none, 1)),
        ("X", lambda: knn_graph(none, 1)),
        ("X", lambda: cross_validate_k(none, [])),
        ("train_features", lambda: probe(none, [], one, [1])),
        ("test_features", lambda: probe(one, [1], none, [])),
        ("rows", lambda: Index(one).append(none)),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must not be empty, got shape \(0, 3\)"):
            call()


@pytest.mark.parametrize("metric", METRICS)
def test_a_single_query_of_one_dimension(metric):
    """The message says the shape that is wanted, and how to get it where that is known."""
    wide, narrow = Index(ROWS, metric), Index(ROWS[:, :1], metric)
    wanted = r"^queries must have shape \(n_queries, 3\), got "
    hint = r": use queries.reshape\(1, -1\) for a single query$"
    for queries, match in (
        (ROWS[0], wanted + r"\(3,\)" + hint),
        ([1, 2, 3], wanted + r"\(3,\)" + hint),
        (ROWS[:, 0], wanted + r"\(30,\)$"),
        ([], wanted + r"\(0,\)$"),
        (3.0, wanted + r"\(\)$"),
        (ROWS[None], wanted + r"\(1, 30, 3\)$"),
    ):
        with pytest.raises(ValueError, match=match):
            wide.search(queries, 1)
        with pytest.raises(ValueError, match=match):
            knn(queries, ROWS, 1, metric)
        with pytest.raises(ValueError, match=match):
            ground_truth(queries, ROWS, 1, metric)
        if metric != "cosine":
            with pytest.raises(ValueError, match=match):
                pairwise_distances(queries, ROWS, metric)
    column = r"^queries must have shape \(n_queries, 1\), got \(30,\): use queries.reshape\(-1, 1\)"
    with pytest.raises(ValueError, match=column):
        narrow.search(ROWS[:, 0], 1)
    with pytest.raises(ValueError, match=r"queries must have shape .*\(1,\): use .*\(1, -1\) for"):
        narrow.search([1.0], 1)


# --- Arguments of cross_validate_k ------------------------------------------------------------

Y = np.arange(30) % 2
BAD_TUNING = {
    "sparse X": ({"X": sparse.csr_matrix(ROWS)}, TypeError, "X must be a dense array"),
    "X of one dimension": ({"X": ROWS[0]}, ValueError, r"X must have shape \(n_rows, width\)"),
    "X of none": ({"X": 3.0}, ValueError, r"X must have shape .*got \(\)"),
    "X of three": ({"X": ROWS[None]}, ValueError, r"X must have shape .*got \(1, 30, 3\)"),
    "complex X": ({"X": ROWS * 1j}, TypeError, "X must hold numbers .*complex128"),
    "long X": ({"X": ROWS.astype(np.longdouble)}, TypeError, "X must hold numbers"),
    "text in X": ({"X": ROWS.astype(str)}, TypeError, "X must hold numbers .*<U"),
    "objects in X": ({"X": np.full((30, 3), "a", object)}, TypeError, "X must hold numbers, found"),
    "NaN in X": ({"X": np.full((30, 3), np.nan)}, ValueError, "X must be finite, found nan at row"),
    "short y": ({"y": Y[:3]}, ValueError, r"y must have a label for each of 30 rows, got \(3,\)"),
    "ragged y": ({"y": [[1], [1, 2]]}, ValueError, "y must be a sequence of labels"),
    "NaN in y": ({"y": np.where(Y, np.nan, 1)}, ValueError, "y must not be NaN, found it at row 1"),
    "None in y": ({"y": [None, 1] * 15}, TypeError, "y must be labels of one kind"),
    "short targets": ({"y": Y[:3], "regression": True}, ValueError, "y must have a target for "),
    "no targets": ({"y": None, "regression": True}, ValueError, "y must have a target for "),
    "ragged targets": ({"y": [[1], [1, 2]], "regression": True}, ValueError, "y must be targets"),
    "text targets": ({"y": ["a"] * 30, "regression": True}, TypeError, "y must hold numbers"),
    "NaN targets": ({"y": [np.nan] * 30, "regression": True}, ValueError, "y must be finite"),
    "short groups": ({"groups": Y[:3]}, ValueError, "groups must have an entry for each of 30"),
    "no groups": ({"groups": 3}, ValueError, "groups must have an entry for each of 30"),
    "folds beyond": ({"cv": [([0, 1], [50])]}, ValueError, "cv must give indices or masks of 30"),
    "short masks": ({"cv": [([True], [False])]}, ValueError, "cv must give indices or masks of 30"),
    "folds of text": ({"cv": [("a", "b")]}, ValueError, "cv must give indices or masks of 30"),
    "folds of numbers": ({"cv": [(1, 2)]}, ValueError, "cv must give arrays of indices or masks"),
    "lists in ks": ({"ks": [[1]]}, TypeError, "ks must be an integer"),
    "lists in metrics": ({"metrics": [["l2"]]}, ValueError, "metric must be one of"),
    "lists in weights": ({"weights": [["uniform"]]}, ValueError, "weights must be 'uniform' or"),
    "n_jobs": ({"n_jobs": 0}, ValueError, "n_jobs must"),
    "progress": ({"progress": "yes"}, TypeError, "progress must"),
}


@pytest.mark.parametrize(("named", "error", "match"), BAD_TUNING.values(), ids=BAD_TUNING)
def test_bad_tuning_comes_before_any_work(monkeypatch, named, error, match):
    monkeypatch.setattr("fastknn.engine._core.Panels", None)
    arguments = {"X": ROWS, "y": Y, "ks": [1], "metrics": ["l2"], "weights": ["uniform"], "cv": 2}
    with pytest.raises(error, match=f"^{match}"):
        cross_validate_k(**{**arguments, **named})


def test_tuning_of_objects_is_of_their_numbers():
    """As in scikit-learn, an array of Python's numbers is one of numbers here."""
    options = {"ks": [1, 3], "metrics": ["l2"], "cv": 2}
    expected = cross_validate_k(ROWS, Y, **options)["mean_test_score"]
    found = cross_validate_k(ROWS.astype(object), Y, **options)["mean_test_score"]
    assert_array_equal(found, expected)
    expected = cross_validate_k(ROWS, ROWS / 3, regression=True, **options)["mean_test_score"]
    targets = (ROWS / 3).astype(object)
    found = cross_validate_k(ROWS, targets, regression=True, **options)["mean_test_score"]
    assert_array_equal(found, expected)


def test_a_wrong_progress_costs_no_index(monkeypatch):
    monkeypatch.setattr("fastknn.engine._core.Panels", None)
    for kwargs in ({"progress": "yes"}, {"n_jobs": 0}, {"metric": "l3"}, {"k": 31}):
        arguments = {"queries": ROWS, "train": ROWS, "k": 1, **kwargs}
        with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must"):
            knn(**arguments)
