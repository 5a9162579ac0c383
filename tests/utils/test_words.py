"""What users read: errors in their own words, and what objects say of themselves."""

import copy
import errno
import inspect
import os
import pickle

import numpy as np
import pytest
from cases import let_choices_cost_nothing, set_limits
from sklearn.datasets import load_digits

import fastknn
from fastknn import Index, cross_validate_k, ground_truth, knn, knn_graph, pairwise_distances, probe
from fastknn._utils.files import written_whole
from fastknn.estimators.search_cv import KNeighborsClassifierCV, KNeighborsRegressorCV
from fastknn.evaluation.truth import GroundTruth
from fastknn.evaluation.vectors import write_ivecs

# --- Files that cannot be written: the error names what was asked for ---------------------------

TRUTH = GroundTruth(np.zeros((2, 1)), np.zeros((2, 1), np.int64), np.zeros(2, bool), "l2")
WRITERS = {
    "index": ("saved", Index(np.eye(4)).save),
    "npy": ("truth.npy", TRUTH.save),
    "hdf5": ("truth.hdf5", TRUTH.save),
    "ivecs": ("rows.ivecs", lambda path: write_ivecs(path, [[1, 2]])),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    if request.param == "hdf5":
        pytest.importorskip("h5py")
    return WRITERS[request.param]


def test_a_folder_that_is_not_there(writer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, write = writer
    with pytest.raises(FileNotFoundError) as caught:
        write(f"no/such/{name}")
    assert str(caught.value) == f"no/such/{name}: there is no folder {tmp_path / 'no' / 'such'}"
    assert not os.listdir(tmp_path)


def test_a_file_where_a_folder_is_needed(writer, tmp_path):
    name, write = writer
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file, not a folder") as caught:
        write(tmp_path / "file" / name)
    assert str(caught.value).startswith(str(tmp_path / "file" / name))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_folder_that_nothing_can_be_written_to(writer, tmp_path, monkeypatch, number):
    """Read-only, full: as the system says it, of the name that was given."""
    name, write = writer

    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write(tmp_path / name)
    assert caught.value.errno == number
    assert caught.value.filename == str(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_errors_of_libraries_name_the_file_that_was_asked_for(tmp_path):
    def write():
        with written_whole(tmp_path / "x.hdf5") as part:
            raise OSError(f"Unable to open file (name = '{part}')")

    with pytest.raises(OSError, match="Unable to open") as caught:
        write()
    assert str(caught.value) == f"Unable to open file (name = '{tmp_path / 'x.hdf5'}')"


def test_an_index_is_not_written_over_anything(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for name in (".", "link"):
        with pytest.raises(FileExistsError, match="path must not exist yet"):
            Index(np.eye(4)).save(tmp_path / name)


# --- While a screen is chosen -------------------------------------------------------------------


@pytest.fixture
def chosen(monkeypatch):
    """Rows for which a screen is chosen, however few they are."""
    let_choices_cost_nothing(monkeypatch)
    set_limits(monkeypatch, saved_share=np.inf)
    return np.random.default_rng(0).normal(size=(400, 40)).astype(np.float32)


LABELS = np.arange(400) % 2
BUILDERS = {
    "Index": lambda X, progress: Index(X, progress=progress),
    "with_screen": lambda X, progress: Index(X, screen="none").with_screen(
        "auto", progress=progress
    ),
    "knn": lambda X, progress: knn(X, X, 3, progress=progress),
    "knn_graph": lambda X, progress: knn_graph(X, 3, progress=progress),
    "ground_truth": lambda X, progress: ground_truth(X, X, 3, progress=progress),
    "probe": lambda X, progress: probe(X, LABELS, X, LABELS, [3], progress=progress),
    "cross_validate_k": lambda X, progress: cross_validate_k(
        X, LABELS, [3], ["l2"], cv=2, progress=progress
    ),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_choice_of_screens_is_shown_where_progress_is(build, chosen, capsys):
    build(chosen, True)
    err = capsys.readouterr().err
    assert "choosing a screen: trying direct ..." in err
    assert "choosing a screen: trying quantized ..." in err
    assert "building the screen: " in err
    assert "choosing" not in err.split("\r")[-1]  # it does not stay
    for nothing in (None, False):
        build(chosen, nothing)
        assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_whoever_counts_queries_is_told_of_nothing_else(build, chosen, capsys):
    class Bar:
        total = 0.0

        def update(self, n):
            self.total += n

    bar = Bar()
    build(chosen, bar)
    assert bar.total == pytest.approx(400 if "ndex" not in str(build.__code__.co_names) else 0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_progress_is_checked_before_anything_is_built(build, chosen, monkeypatch):
    searcher = Index(chosen, screen="none")._searcher
    monkeypatch.setattr(
        "fastknn.search.index.Searcher", lambda *_: searcher
    )  # which is built already
    monkeypatch.setattr("fastknn.search.index.Searcher.search", None, raising=False)
    monkeypatch.setattr("fastknn.screens.cascade.Cascade.encode_rows", None)
    with pytest.raises(TypeError, match="progress must be a bool or have an update"):
        build(chosen, 7)


# --- What a notebook shows ----------------------------------------------------------------------


def scalars(value, name=""):
    """Everything within that is no array: (where, value)."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from scalars(one, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from scalars(one, f"{name}[{place}]")
    elif not isinstance(value, np.ndarray):
        yield name, value


def test_numbers_are_pythons(chosen):
    index = Index(chosen)
    index.search(chosen[:9], 3)
    digits, labels = load_digits(return_X_y=True)
    results = cross_validate_k(digits[:200], labels[:200], np.array([1, 3]), np.array(["l2"]), cv=2)
    for value in (index.costs_, index.stats_, index.nbytes, index.width, results):
        for name, one in scalars(value):
            assert type(one) in (int, float, str), (name, type(one))


@pytest.mark.parametrize("metric", ["l2", "correlation"])
def test_an_index_is_a_line_and_its_details_are_several(chosen, metric):
    index = Index(chosen, metric)
    assert repr(index) == f"Index(400 x 40 float32, metric={metric!r}, screen={index.cascade!r})"
    assert len(repr(index)) < 100
    assert index.reason in str(index)
    assert max(map(len, str(index).splitlines())) < 100


def test_named_tuples_of_arrays_are_a_line(chosen):
    truth = ground_truth(chosen[:7], chosen, 3)
    assert repr(truth) == (
        "GroundTruth(distances=float64 (7, 3), indices=int64 (7, 3), tied=bool (7,), metric='l2')"
    )
    keys = Index(chosen, "cosine").search_keys(chosen[:7], 3)
    assert repr(keys) == "Keys(keys=float64 (7, 3), low=uint64 (7, 3), rows=int64 (7, 3))"
    assert repr(Index(chosen).search_keys(chosen[:7], 3)).startswith(
        "Keys(keys=float64 (7, 3), low=None"
    )


def test_scores_are_a_table():
    X, y = load_digits(return_X_y=True)
    results = cross_validate_k(X[:300], y[:300], [1, 3, 5], ["l2", "correlation"], cv=2)
    lines = repr(results).splitlines()
    assert len(lines) == 1 + 12
    assert lines[0].split() == ["rank", "metric", "k", "weights", "mean", "sd"]
    best = results["params"][results["rank_test_score"].argmin()]
    mean = f"{results['mean_test_score'].max():.4f}"
    words = ["1", best["metric"], str(best["n_neighbors"]), best["weights"], mean]
    assert lines[1].split()[:-1] == words
    assert max(map(len, lines)) < 80
    # And all that a dictionary of arrays is.
    assert isinstance(results, dict)
    for other in (pickle.loads(pickle.dumps(results)), copy.deepcopy(results), copy.copy(results)):
        assert repr(other) == repr(results)
        assert type(other) is type(results)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(results)
    assert list(frame) == list(results)
    assert len(frame) == 12
    del results["params"]
    assert repr(results).startswith("{'param_metric': ")
    many = cross_validate_k(X[:100], y[:100] % 2, cv=2)
    assert repr(many).splitlines()[-1] == f"      and {len(many['params']) - 12} more"
    model = KNeighborsClassifierCV([1, 3], cv=2).fit(X[:100], y[:100] % 2)
    assert repr(model.cv_results_).startswith("rank  metric")


# --- Errors about arguments name what users know --------------------------------------------------

PUBLIC = [
    name
    for name in fastknn.__all__
    if callable(getattr(fastknn, name)) and name not in ("cpu_level",)
]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(fastknn, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_an_unknown_keyword_names_the_function_or_class(name):
    called = f"{name}.__init__" if name in CLASSES else name
    with pytest.raises(TypeError) as caught:
        getattr(fastknn, name)(foo=3)
    assert str(caught.value).startswith(f"{called}() ")
    with pytest.raises(TypeError) as caught:
        getattr(fastknn, name)(*range(30))
    assert str(caught.value).startswith(f"{called}() takes ")


@pytest.mark.parametrize("name", CLASSES)
def test_methods_that_are_ours_name_their_class(name):
    """Whoever defines them; those of scikit-learn name its own."""
    one = Index(np.eye(3)) if name == "Index" else getattr(fastknn, name)()
    count = 0
    for method, function in inspect.getmembers(one, inspect.ismethod):
        if method.startswith("_") or not function.__module__.startswith("fastknn"):
            continue
        for wrong in ((), range(30)):
            with pytest.raises(TypeError) as caught:
                function(*wrong, foo=3)
            assert str(caught.value).startswith(f"{name}.{method}() "), caught.value
            count += 1
    assert count


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"Index"}))
def test_subclasses_may_call_what_they_replace(name):
    base = getattr(fastknn, name)

    class Own(base):
        def fit(self, X, y=None):
            self.fitted = True
            return super().fit(X) if y is None else super().fit(X, y)

    X = np.random.default_rng(0).normal(size=(60, 9))
    targets = (
        []
        if name in ("KNeighborsTransformer", "NearestNeighbors", "LocalOutlierFactor")
        else [np.arange(60) % 2]
    )
    model = Own().fit(X, *targets)
    assert model.fitted
    assert model.kneighbors(X[:2], 1)[1].ravel().tolist() == [0, 1]
    assert repr(model) == "Own()"


# --- Mistakes are found before anything is built --------------------------------------------------

ROWS, NARROW = np.zeros((30, 4), np.float32), np.zeros((30, 3), np.float32)
CLASS = np.arange(30) % 3
MISTAKES = {
    "knn: width": (lambda: knn(NARROW, ROWS, 3), "queries must be as wide as train"),
    "knn: k": (lambda: knn(ROWS, ROWS, 31), "k must be at most the number of training rows, 30"),
    "knn: metric": (lambda: knn(ROWS, ROWS, 3, "l3"), "metric must be one of"),
    "knn_graph": (lambda: knn_graph(ROWS, 30), "k must be at most 29"),
    "knn_graph: self": (lambda: knn_graph(ROWS, 31, include_self=True), "k must be at most"),
    "ground_truth: width": (lambda: ground_truth(NARROW, ROWS, 3), "queries must be as wide"),
    "ground_truth: k": (lambda: ground_truth(ROWS, ROWS), "k must be at most the number"),
    "ground_truth: NaN": (lambda: ground_truth(ROWS * np.nan, ROWS, 3), "queries must be finite"),
    "pairwise": (lambda: pairwise_distances(NARROW, ROWS), "queries must be as wide as train"),
    "probe: width": (lambda: probe(ROWS, CLASS, NARROW, CLASS), "test_features must be as wide"),
    "probe: labels": (lambda: probe(ROWS, CLASS, ROWS, CLASS[1:]), "test_labels must have a label"),
    "probe: ks": (lambda: probe(ROWS, CLASS, ROWS, CLASS, [0]), "ks must be at least 1"),
    "Index: expected_k": (lambda: Index(ROWS, expected_k=0), "expected_k must be at least 1"),
    "Index: expected_queries": (
        lambda: Index(ROWS, expected_queries=-1),
        "expected_queries must be at least 0",
    ),
    "Index: n_jobs": (lambda: Index(ROWS, n_jobs=0), "n_jobs must not be 0"),
    "cross_validate_k: ks": (
        lambda: cross_validate_k(ROWS, CLASS, [1, 25]),
        "ks must be at most 24, the training rows of the smallest fold; got 25",
    ),
    "cross_validate_k: cv": (
        lambda: cross_validate_k(ROWS, CLASS, cv=11),
        "cv must be at most 10, the number of rows of the largest class, of 30 rows in all; got 11",
    ),
    "cross_validate_k: no cv": (
        lambda: cross_validate_k(ROWS[:4], CLASS[:4], cv=None),
        "cv must be at most 2",
    ),
    "cross_validate_k: 1 fold": (
        lambda: cross_validate_k(ROWS, CLASS, cv=1),
        "cv must be at least",
    ),
    "regression: cv": (
        lambda: cross_validate_k(ROWS, CLASS, cv=31, regression=True),
        "cv must be at most 30, the number of rows; got 31",
    ),
    "cross_validate_k: labels": (lambda: cross_validate_k(ROWS, CLASS[1:]), "y must have a label"),
    "cross_validate_k: metrics": (
        lambda: cross_validate_k(ROWS, CLASS, [1], ["l2", "l3"]),
        "metric must be one of",
    ),
    "Classifier: ks": (
        lambda: KNeighborsClassifierCV([25]).fit(ROWS, CLASS),
        "ks must be at most 24",
    ),
    "Regressor: ks": (
        lambda: KNeighborsRegressorCV([25]).fit(ROWS, CLASS),
        "ks must be at most 24",
    ),
    "Classifier: cv": (
        lambda: KNeighborsClassifierCV(cv=11).fit(ROWS, CLASS),
        "cv must be at most 10",
    ),
    "Classifier: 1 row": (
        lambda: KNeighborsClassifierCV().fit(ROWS[:1], CLASS[:1]),
        "minimum of 2 is required by KNeighborsClassifierCV",
    ),
}


@pytest.mark.parametrize(("call", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_found_before_anything_is_built(call, message, monkeypatch):
    monkeypatch.setattr("fastknn.search.searcher.Searcher.__init__", None)
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["KNeighborsClassifier", "KNeighborsRegressor"])
@pytest.mark.parametrize("kind", ["", "CV"])
def test_other_widths_are_found_before_anything_is_built(name, kind, monkeypatch):
    model = getattr(fastknn, name + kind)()
    model.fit(ROWS, CLASS)
    monkeypatch.setattr("fastknn.search.searcher.Searcher.__init__", None)
    for method in ("predict", "kneighbors"):
        expected = f"X has 3 features, but {name + kind} is expecting 4 features as input"
        with pytest.raises(ValueError, match=expected):
            getattr(model, method)(NARROW)
    with pytest.raises(ValueError, match="Expected n_neighbors <= n_samples_fit"):
        model.kneighbors(ROWS, 31)
