"""Estimators as ONNX, by skl2onnx, and as files of skops."""

import numpy as np
import pytest
from cases import run_python
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastknn
from fastknn import (
    KNeighborsClassifier,
    KNeighborsClassifierCV,
    KNeighborsRegressor,
    KNeighborsRegressorCV,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
)
from fastknn.estimators import drop_in, onnx

pytestmark = pytest.mark.interop

random = np.random.default_rng(0)
X = random.normal(size=(200, 8)).astype(np.float32)
QUERIES = random.normal(size=(40, 8)).astype(np.float32)
Y = np.arange(200) % 3
METRICS = [
    "l1",
    "manhattan",
    "cityblock",
    "l2",
    "euclidean",
    "sqeuclidean",
    "minkowski",
    "cosine",
]


@pytest.fixture
def answers():
    """What onnxruntime makes of a model: a function of the model and of skl2onnx's options."""
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")

    def answers(model, options=None, queries=QUERIES):
        converted = skl2onnx.to_onnx(model, queries[:1], options=options)
        session = runtime.InferenceSession(
            converted.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {session.get_inputs()[0].name: queries})

    return answers


@pytest.mark.parametrize("home", [fastknn, drop_in], ids=["fastknn", "patched"])
@pytest.mark.parametrize("weights", ["uniform", "distance", None])
@pytest.mark.parametrize("metric", METRICS)
def test_classifiers_and_regressors(answers, home, weights, metric):
    model = home.KNeighborsClassifier(4, weights=weights, metric=metric).fit(X, Y)
    labels, shares = answers(model, {"zipmap": False})
    assert_array_equal(labels, model.predict(QUERIES))
    assert_allclose(shares, model.predict_proba(QUERIES), atol=1e-5)
    model = home.KNeighborsRegressor(4, weights=weights, metric=metric).fit(X, X[:, 0])
    (targets,) = answers(model)
    assert_allclose(targets.ravel(), model.predict(QUERIES), atol=1e-5)


@pytest.mark.parametrize(
    "labels", [Y, Y * 10 - 5, Y.astype(float), Y == 1, np.array(list("abc"))[Y]]
)
def test_labels(answers, labels):
    model = KNeighborsClassifier(3).fit(X, labels)
    reference = theirs.KNeighborsClassifier(3).fit(X, labels)
    for options in (None, {"zipmap": False}, {"zipmap": "columns"}, {"nocl": True}):
        for found, expected in zip(
            answers(model, options), answers(reference, options), strict=True
        ):
            assert_array_equal(found, expected)


def test_several_outputs(answers):
    model = KNeighborsRegressor(3).fit(X, X[:, :2])
    assert_allclose(answers(model)[0], model.predict(QUERIES), atol=1e-6)
    both = np.stack([Y, Y[::-1]], axis=1)
    model = KNeighborsClassifier(3).fit(X, both)
    reference = theirs.KNeighborsClassifier(3).fit(X, both)
    for found, expected in zip(
        answers(model, {"zipmap": False}), answers(reference, {"zipmap": False}), strict=True
    ):
        assert_array_equal(found, expected)


def test_options_of_a_class_and_of_one_model(answers):
    model = KNeighborsClassifier(3).fit(X, Y)
    assert isinstance(answers(model)[1][0], dict)
    for key in (KNeighborsClassifier, id(model)):
        assert answers(model, {key: {"zipmap": False}})[1].shape == (40, 3)
    optimised = answers(model, {"zipmap": False, "optim": "cdist"})
    assert_array_equal(optimised[0], model.predict(QUERIES))
    with pytest.raises((NameError, ValueError)):
        answers(model, {id(model): {"no_such_option": True}})


def test_neighbors_themselves(answers):
    model = NearestNeighbors(n_neighbors=3, radius=None).fit(X)
    rows, distances = answers(model)
    assert_array_equal(rows, model.kneighbors(QUERIES)[1])
    assert_allclose(distances, model.kneighbors(QUERIES)[0], rtol=1e-5)
    for mode in ("distance", "connectivity"):
        model = KNeighborsTransformer(mode=mode, n_neighbors=3).fit(X)
        assert_allclose(answers(model)[0], model.transform(QUERIES).toarray(), rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_outliers(answers, p):
    model = LocalOutlierFactor(novelty=True, p=p).fit(X)
    labels, decisions, scores = answers(model, {id(model): {"score_samples": True}})
    assert_array_equal(labels.ravel(), model.predict(QUERIES))
    assert_allclose(decisions.ravel(), model.decision_function(QUERIES), atol=1e-5)
    assert_allclose(scores.ravel(), model.score_samples(QUERIES), atol=1e-5)


def test_estimators_that_choose(answers):
    model = KNeighborsClassifierCV(ks=[1, 3], cv=2).fit(X, Y)
    assert isinstance(answers(model)[1][0], dict)
    labels, shares = answers(model, {id(model): {"zipmap": False}})
    assert_array_equal(labels, model.predict(QUERIES))
    assert_allclose(shares, model.predict_proba(QUERIES), atol=1e-5)
    model = KNeighborsRegressorCV(ks=[1, 3], cv=2).fit(X, X[:, 0])
    assert_allclose(answers(model)[0].ravel(), model.predict(QUERIES), atol=1e-5)


@pytest.mark.parametrize(
    "last", [KNeighborsClassifier(3), KNeighborsClassifierCV(ks=[1, 3], cv=2)], ids=["one", "CV"]
)
def test_inside_others(answers, last):
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), [0, 1, 2, 5]), ("rest", "passthrough", [3])]
    )
    for model in (
        make_pipeline(StandardScaler(), last),
        make_pipeline(columns, last),
        GridSearchCV(make_pipeline(StandardScaler(), KNeighborsClassifier()), {}, cv=2),
        GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=2),
    ):
        model.fit(X, Y)
        assert_array_equal(answers(model)[0], model.predict(QUERIES))
    model = ColumnTransformer([("graph", KNeighborsTransformer(n_neighbors=2), [0, 1, 2, 3, 4, 5])])
    model.fit(X)
    found, expected = answers(model)[0], model.transform(QUERIES)
    expected = expected.toarray() if hasattr(expected, "toarray") else expected
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_types_of_rows_and_queries(answers, dtype):
    rows = random.integers(0, 200, (100, 8)).astype(dtype)
    model = KNeighborsClassifier(3).fit(rows, Y[:100]).append(rows[:50], Y[:50])
    model.predict(rows)  # there is an index, which does not go along
    for kind in (np.float32, np.int64) if dtype != np.float64 else (np.float64,):
        queries = random.integers(0, 200, (20, 8)).astype(kind)
        labels = answers(model, {"zipmap": False}, queries)[0]
        assert_array_equal(labels, model.predict(queries))


def test_what_cannot_be_converted_says_so(answers):
    for made in (KNeighborsClassifier, KNeighborsRegressor):
        model = made(3).fit(X, Y, sample_weight=np.arange(1, 201))
        with pytest.raises(NotImplementedError, match="was fitted with sample_weight"):
            answers(model)
        with pytest.raises(NotImplementedError, match="metric='correlation'"):
            answers(made(3, metric="correlation").fit(X, Y))
    with pytest.raises(RuntimeError, match="weights is callable"):
        answers(KNeighborsRegressor(3, weights=np.ones_like).fit(X, Y))


ORDERS = {
    "fastknn first": "import fastknn.estimators.neighbors, skl2onnx",
    "skl2onnx first": "import skl2onnx, fastknn.estimators.neighbors",
    "a part of skl2onnx": "import fastknn.estimators.neighbors\n"
    "from skl2onnx.common import data_types",
    "estimators that choose first": "import fastknn.estimators.search_cv, skl2onnx",
    "estimators that choose last": "import skl2onnx, fastknn.estimators.search_cv",
    "by hand": "from fastknn.estimators import onnx\nonnx.register()",
    "patched before": "import fastknn\nfastknn.patch_sklearn()\nimport skl2onnx",
    "patched later": "import skl2onnx, fastknn\nfastknn.patch_sklearn()",
}
CONVERT = """
import numpy as np
import sklearn.neighbors
from fastknn import KNeighborsClassifier, KNeighborsClassifierCV, NearestNeighbors
from skl2onnx import to_onnx
X = np.eye(4, dtype=np.float32)
for model in (
    KNeighborsClassifier(1).fit(X, [0, 1, 0, 1]),
    KNeighborsClassifierCV(ks=[1], cv=2).fit(X, [0, 1, 0, 1]),
    NearestNeighbors(n_neighbors=2, radius=None).fit(X),
    sklearn.neighbors.KNeighborsClassifier(1).fit(X, [0, 1, 0, 1]),
    sklearn.neighbors.NearestNeighbors(n_neighbors=2, radius=None).fit(X),
):
    print(len(to_onnx(model, X).graph.output))
"""


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_whatever_is_imported_first(order):
    pytest.importorskip("skl2onnx")
    child = run_python("-c", order + CONVERT)
    assert child.stdout.split() == ["2"] * 5, child.stderr


@pytest.mark.slow
def test_nothing_is_loaded_and_nothing_breaks_without_it():
    code = (
        "import sys, fastknn.estimators.neighbors, fastknn.estimators.search_cv\n"
        "from fastknn.estimators import onnx\n"
        "assert 'skl2onnx' not in sys.modules and 'onnx' not in sys.modules\n"
        "finders = [one for one in sys.meta_path if type(one).__module__ == onnx.__name__]\n"
        "assert len(finders) == 1 and finders[0].find_spec('skl2onnx.common') is None\n"
        "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        "try:\n    onnx.register()\nexcept ImportError as error:\n    print(error)"
    )
    child = run_python("-c", code)
    assert child.stdout.startswith("ONNX needs skl2onnx"), child.stderr


def test_registering_again_changes_nothing(answers):
    onnx.register()
    onnx.register()
    model = KNeighborsClassifier(3).fit(X, Y)
    assert_array_equal(answers(model)[0], model.predict(QUERIES))


# --- skops -----------------------------------------------------------------------------------

HOME = "fastknn.estimators.neighbors."
TREE = ["sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree"]
TRUSTED = {
    "classifier": (KNeighborsClassifier(), [HOME + "KNeighborsClassifier"]),
    "regressor": (KNeighborsRegressor(), [HOME + "KNeighborsRegressor"]),
    "transformer": (KNeighborsTransformer(), [HOME + "KNeighborsTransformer"]),
    "search": (NearestNeighbors(), [HOME + "NearestNeighbors"]),
    "outliers": (LocalOutlierFactor(), ["fastknn.estimators.drop_in.LocalOutlierFactor"]),
    "patched": (drop_in.NearestNeighbors(), ["fastknn.estimators.drop_in.NearestNeighbors"]),
    "tree": (NearestNeighbors(algorithm="kd_tree"), [HOME + "NearestNeighbors", *TREE]),
    "choosing": (
        KNeighborsClassifierCV(ks=[1, 3], cv=2),
        [
            "fastknn.estimators.search_cv.KNeighborsClassifierCV",
            HOME + "KNeighborsClassifier",
        ],
    ),
}


@pytest.mark.parametrize(("model", "trusted"), TRUSTED.values(), ids=TRUSTED)
def test_types_that_skops_must_trust(model, trusted):
    """The documentation's list: what was fitted, and nothing of fastknn's inner classes."""
    skops = pytest.importorskip("skops.io")
    model.fit(X, Y)
    expected = model.kneighbors(QUERIES)
    file = skops.dumps(model)
    assert skops.get_untrusted_types(data=file) == sorted(trusted)
    loaded = skops.loads(file, trusted=trusted)
    for found, before in zip(loaded.kneighbors(QUERIES), expected, strict=True):
        assert_array_equal(found, before)
