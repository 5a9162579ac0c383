"""Drop-in means drop-in: what fastknn does not search is scikit-learn as it would have been."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
import sklearn.neighbors
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import cluster, config_context
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import BallTree, KDTree

import fastknn
from fastknn.estimators import drop_in, mixin, neighbors
from fastknn.estimators.patching import patched_sklearn

NAMES = neighbors.__all__
ORIGINAL = {name: getattr(sklearn.neighbors, name) for name in NAMES}
WITH_TARGETS = ("KNeighborsClassifier", "KNeighborsRegressor")


@pytest.fixture(scope="module")
def rows():
    """300 rows of nine features, which scikit-learn searches by a tree, and 40 queries."""
    points = np.random.default_rng(3).normal(size=(340, 9))
    return points[:300], points[300:]


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(4).integers(0, 3, 300)


def fitted(name, *data, **parameters):
    """One of fastknn's estimators and scikit-learn's, fitted on the same."""
    return [home[name](**parameters).fit(*data) for home in (vars(neighbors), ORIGINAL)]


def pair_of(name, rows, labels, **parameters):
    return fitted(name, *((rows, labels) if name in WITH_TARGETS else (rows,)), **parameters)


def assert_same_radius(ours, reference, X, radius):
    for mine, other in zip(
        ours.radius_neighbors(X, radius, sort_results=True),
        reference.radius_neighbors(X, radius, sort_results=True),
        strict=True,
    ):
        for one, another in zip(mine, other, strict=True):
            assert_array_equal(one, another)


# --- the method and the tree that scikit-learn would have chosen --------------------------------


def test_radius_far_from_the_origin():
    """The expanded squares of a brute-force search cancel here; the tree's differences do not."""
    X = np.full((12, 6), 1e6)
    X[:, 0] += np.arange(12) * 0.01
    model = neighbors.NearestNeighbors(radius=0.015).fit(X)
    distances, indices = model.radius_neighbors(X[:1])
    assert sorted(indices[0]) == [0, 1]
    assert_allclose(sorted(distances[0]), [0, 0.01], rtol=1e-6)
    assert model.backend_ == "fastknn"
    graph = model.radius_neighbors_graph(X)
    reference = ORIGINAL["NearestNeighbors"](radius=0.015).fit(X)
    assert_array_equal(graph.toarray(), reference.radius_neighbors_graph(X).toarray())
    expected = cluster.DBSCAN(eps=0.005, min_samples=2).fit_predict(X)
    with patched_sklearn():
        assert_array_equal(cluster.DBSCAN(eps=0.005, min_samples=2).fit_predict(X), expected)
    assert (expected == -1).all()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 3, 5, 6, 9, 15, 16, 40])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "minkowski"])
@pytest.mark.parametrize("algorithm", ["auto", "brute", "kd_tree", "ball_tree"])
@pytest.mark.parametrize("n", [8, 60])
def test_method_and_tree_are_scikit_learns(width, metric, algorithm, n):
    if metric == "cosine" and "tree" in algorithm:
        pytest.skip("no tree knows it")
    points = np.random.default_rng(0).normal(size=(n, width))
    ours, reference = fitted("NearestNeighbors", points, metric=metric, algorithm=algorithm)
    assert (ours.backend_ == "fastknn") == ("tree" not in algorithm)
    assert ours._fit_method == reference._fit_method
    assert type(ours._tree) is type(reference._tree)
    assert_same_radius(ours, reference, points[:5], 0.7)
    assert_same_radius(ours, reference, None, 0.7)
    assert ours.backend_ == ("scikit-learn" if "tree" in algorithm else ours.backend_)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_built_before_it_is_needed(rows, labels, name, monkeypatch):
    train, queries = rows
    built = []
    for tree in ("KDTree", "BallTree"):

        class Counted(getattr(mixin._base, tree)):
            def __init__(self, *arguments, **named):
                super().__init__(*arguments, **named)
                built.append(type(self).__name__)

        monkeypatch.setattr(mixin._base, tree, Counted)
    model, _ = pair_of(name, train, labels)
    built.clear()  # scikit-learn's
    model.kneighbors(queries)
    model.kneighbors()
    pickle.loads(pickle.dumps(copy.deepcopy(copy.copy(model)))).kneighbors(queries)
    clone(model)
    dir(model)
    repr(model)
    model._repr_html_()
    if name in WITH_TARGETS:
        model.predict(queries)
    assert not built
    assert model._tree is model._tree
    assert built == ["Counted"]


def test_the_tree_is_built_as_fitted(rows):
    """Parameters that were set after `fit` do not matter to scikit-learn's tree."""
    train, queries = rows
    model, reference = fitted("NearestNeighbors", train, leaf_size=7)
    for one in (model, reference):
        one.set_params(n_neighbors=200, leaf_size=99, algorithm="brute", metric="cosine", p=1)
    assert model._fit_method == reference._fit_method == "kd_tree"
    assert len(model._tree.get_arrays()[2]) == len(reference._tree.get_arrays()[2])
    assert model.backend_ == "fastknn"
    for mine, other in zip(model.kneighbors(queries), reference.kneighbors(queries), strict=True):
        assert_allclose(mine, other)


@pytest.mark.parametrize(
    "parameters",
    [
        {"metric": "chebyshev"},
        {"metric": "hamming", "algorithm": "brute"},
        {"p": 3},
        {"metric_params": {"w": np.arange(9.0)}},
        {"metric": "seuclidean", "metric_params": {"V": np.arange(1.0, 10)}},
        {"metric": lambda a, b: np.abs(a - b).max()},
    ],
)
def test_other_metrics_are_searched_by_scikit_learn(rows, parameters):
    train, queries = rows
    ours, reference = fitted("NearestNeighbors", train, **parameters)
    assert ours.backend_ == "scikit-learn"
    assert ours._fit_method == reference._fit_method
    for mine, other in zip(ours.kneighbors(queries), reference.kneighbors(queries), strict=True):
        assert_array_equal(mine, other)
    assert_same_radius(ours, reference, queries, 1.5)


def test_sparse_queries_meet_what_scikit_learn_says(rows):
    train, queries = rows
    ours, reference = fitted("NearestNeighbors", train)
    for one in (ours, reference):
        with pytest.raises(ValueError, match="kd_tree does not work with sparse matrices"):
            one.kneighbors(sparse.csr_matrix(queries))
    ours, reference = fitted("NearestNeighbors", train, algorithm="brute")
    for mine, other in zip(
        ours.kneighbors(sparse.csr_matrix(queries)),
        reference.kneighbors(sparse.csr_matrix(queries)),
        strict=True,
    ):
        assert_array_equal(mine, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: cluster.DBSCAN(eps=1.5, min_samples=4),
        lambda: cluster.DBSCAN(eps=1.5, min_samples=4, metric="cityblock"),
        lambda: cluster.OPTICS(min_samples=5),
        lambda: cluster.HDBSCAN(copy=True),
        lambda: cluster.MeanShift(bandwidth=3),
        lambda: cluster.SpectralClustering(3, affinity="nearest_neighbors", random_state=0),
    ],
)
def test_clusters_are_scikit_learns(rows, make):
    train = rows[0]
    expected = make().fit(train).labels_
    with patched_sklearn():
        found = make().fit(train).labels_
    assert_array_equal(found, expected)


def test_no_neighbors_but_a_radius(rows):
    train, queries = rows
    ours, reference = fitted("NearestNeighbors", train, n_neighbors=None, radius=2.0)
    assert_same_radius(ours, reference, queries, None)
    for one in (ours, reference):
        with pytest.raises(TypeError):
            one.kneighbors(queries)
        assert one.kneighbors(queries, 3)[1].shape == (40, 3)


def test_fitted_on_a_tree_or_on_another_estimator(rows):
    train, queries = rows
    other, reference = fitted("NearestNeighbors", train)
    for given in (KDTree(train), BallTree(train), other):
        model = neighbors.NearestNeighbors(n_neighbors=4).fit(given)
        expected = ORIGINAL["NearestNeighbors"](n_neighbors=4).fit(
            reference if given is other else given
        )
        assert model.backend_ == "scikit-learn"
        assert model._fit_method == expected._fit_method
        assert_array_equal(model.kneighbors(queries)[1], expected.kneighbors(queries)[1])


def test_unfitted_estimators_have_nothing(rows):
    for name in NAMES:
        model = getattr(neighbors, name)()
        for attribute in ("_tree", "_fit_method", "_index", "backend_", "sample_weight_", "_fit_X"):
            assert not hasattr(model, attribute)
        with pytest.raises(NotFittedError):
            model.kneighbors(rows[1])
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        neighbors.NearestNeighbors().fit(rows[0]).nothing  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'predict'") as raised:
        neighbors.LocalOutlierFactor().fit(rows[0]).predict(rows[1])
    assert "novelty=False" in str(raised.value.__cause__)  # scikit-learn's reason is not lost


# --- one set of rows, one index -----------------------------------------------------------------


def fields(model):
    """What scikit-learn keeps of a fitted estimator."""
    return {name: value for name, value in vars(model).items() if not name.startswith("__")}


@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_replaced_rows_are_searched(rows, labels, algorithm):
    train, queries = rows
    for name in NAMES:
        parameters = {"novelty": True} if name == "LocalOutlierFactor" else {}
        model, _ = pair_of(name, train, labels, algorithm=algorithm, **parameters)
        model.kneighbors(queries)
        model._tree  # noqa: B018
        model._fit_X = train[::-1] * 2
        expected = ORIGINAL["NearestNeighbors"](algorithm=algorithm).fit(train[::-1] * 2)
        found = model.kneighbors(queries, 5)
        for mine, other in zip(found, expected.kneighbors(queries), strict=True):
            assert_allclose(mine, other)
        assert_array_equal(model.kneighbors(None, 5)[1], expected.kneighbors()[1])
        if name == "NearestNeighbors":
            assert_same_radius(model, expected, queries, 4)
        # The rows belong together with their index in copies too.
        loaded = pickle.loads(pickle.dumps(model))
        assert_array_equal(loaded.kneighbors(queries, 5)[1], found[1])


def test_rows_changed_in_place_are_new_to_another_fit(rows):
    train, queries = rows[0].copy(), rows[1]
    model = neighbors.NearestNeighbors().fit(train)
    model.kneighbors(queries)
    assert model._fit_X is train
    model._tree  # noqa: B018
    train *= 2
    model.fit(train)
    expected = ORIGINAL["NearestNeighbors"]().fit(train.copy())
    assert_array_equal(model.kneighbors(queries)[1], expected.kneighbors(queries)[1])
    assert_same_radius(model, expected, queries, 3)


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_restored_field_by_field(rows, labels, name):
    """As serialisers do that know scikit-learn's fields and not fastknn's."""
    train, queries = rows
    for algorithm in ("auto", "brute", "ball_tree"):
        reference = ORIGINAL[name](3, algorithm=algorithm).fit(train, labels)
        for home in (vars(neighbors), vars(drop_in)):
            model = home[name](3, algorithm=algorithm)
            for field, value in vars(reference).items():
                setattr(model, field, value)
            by_tree = reference._fit_method != "brute"
            assert model.backend_ == ("scikit-learn" if by_tree else "fastknn")
            assert_array_equal(model.predict(queries), reference.predict(queries))
            assert_array_equal(model.predict(None), reference.predict(None))
            assert getattr(model, "sample_weight_", None) is None
            without = home[name](3, algorithm=algorithm)
            for field, value in vars(reference).items():
                if field not in ("_tree", "_fit_method"):
                    setattr(without, field, value)
            assert_array_equal(without.predict(queries), reference.predict(queries))
            assert without._fit_method == reference._fit_method


@pytest.mark.parametrize("name", WITH_TARGETS)
def test_subclasses_that_fit_in_their_own_way(rows, labels, name):
    train, queries = rows
    weights = np.arange(300.0)
    for home in (vars(neighbors), vars(drop_in)):

        class Own(home[name]):
            def fit(self, X, y):
                return self._fit(X, y)

        model, reference = Own().fit(train, labels), ORIGINAL[name]().fit(train, labels)
        assert_allclose(model.predict(queries), reference.predict(queries))
        assert model.backend_ == "fastknn"
    model.append(train[:2], labels[:2]) if hasattr(model, "append") else None
    # Weights do not outlive the rows that they belong to.
    model = getattr(neighbors, name)().fit(train, labels, sample_weight=weights)
    model._fit(train[:20], labels[:20])
    assert model.sample_weight_ is None
    assert_allclose(
        model.predict(queries), ORIGINAL[name]().fit(train[:20], labels[:20]).predict(queries)
    )


def test_a_method_set_by_hand_is_respected(rows):
    train, queries = rows
    model, reference = fitted("NearestNeighbors", train)
    for one in (model, reference):
        one._fit_method, one._tree = "ball_tree", BallTree(train[:50])
    assert model.backend_ == "scikit-learn"
    assert_array_equal(model.kneighbors(queries)[1], reference.kneighbors(queries)[1])
    model, reference = fitted("NearestNeighbors", train)
    for one in (model, reference):
        one._tree = KDTree(train[:50])
    assert_array_equal(model.kneighbors(queries)[1], reference.kneighbors(queries)[1])
    model.fit(train)
    assert model.backend_ == "fastknn"


@pytest.mark.parametrize("searched", [False, True])
def test_copies(rows, labels, searched):
    train, queries = rows
    for name in NAMES:
        model, _ = pair_of(name, train, labels)
        expected = model.kneighbors(queries)
        if searched:
            model._tree  # noqa: B018
        file = io.BytesIO()
        joblib.dump(model, file)
        file.seek(0)
        for other in (copy.copy(model), copy.deepcopy(model)):
            # What was built is not built again.
            assert other._derived_now() is other._derived
            assert other._derived.index is not None
            assert (other._derived.method_and_tree is not None) == searched
            assert_array_equal(other.kneighbors(queries)[1], expected[1])
        for other in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
            # A pickle has what was fitted: what was built since then depends on the searches.
            assert "_derived" not in vars(other)
            assert_array_equal(other.kneighbors(queries)[1], expected[1])
        assert_array_equal(clone(model).get_params(), model.get_params())


def test_a_file_holds_the_rows_once(rows):
    large = np.random.default_rng(0).normal(size=(2000, 20))
    model = neighbors.NearestNeighbors().fit(large)
    file = io.BytesIO()
    joblib.dump(model, file)  # which writes an array as often as it is referred to
    assert len(file.getvalue()) < 1.2 * large.nbytes
    model.kneighbors(large[:2])
    assert len(pickle.dumps(model)) < 1.2 * large.nbytes


def test_a_copy_keeps_its_rows_when_the_other_grows(rows, labels):
    train, queries = rows
    model = neighbors.KNeighborsClassifier().fit(train, labels)
    expected = model.kneighbors(queries)
    other = copy.copy(model)
    model.append(queries, labels[:40])
    assert (model.kneighbors(queries, 1)[0] == 0).all()
    for found, before in zip(other.kneighbors(queries), expected, strict=True):
        assert_array_equal(found, before)
    assert other.n_samples_fit_ == 300


# --- what is given, and what only its validation shows ------------------------------------------


@pytest.mark.interop
@pytest.mark.parametrize("name", WITH_TARGETS)
@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_sparse_columns_of_pandas(labels, name, algorithm):
    pandas = pytest.importorskip("pandas")
    points = np.random.default_rng(0).integers(0, 3, (340, 20)).astype(float)
    points += np.random.default_rng(1).random(points.shape) * (points > 0)
    frame = pandas.DataFrame(points, columns=[f"c{i}" for i in range(20)])
    thin = frame.astype(pandas.SparseDtype("float64", 0.0))
    for train, queries in ((thin, thin), (thin, frame), (frame, thin)):
        ours, reference = fitted(name, train[:300], labels, algorithm=algorithm)
        assert ours.backend_ == ("fastknn" if train is frame else "scikit-learn")
        assert_allclose(ours.predict(queries[300:]), reference.predict(queries[300:]))
        assert_array_equal(
            ours.kneighbors(queries[300:])[1], reference.kneighbors(queries[300:])[1]
        )
        weighed = getattr(neighbors, name)(algorithm=algorithm)
        weighed.fit(train[:300], labels, sample_weight=np.arange(300))
        assert weighed.predict(queries[300:]).shape == (40,)


TYPES = [np.longdouble, np.float16, object, np.int64, np.uint64, np.int32, bool]


@pytest.mark.slow
@pytest.mark.parametrize("query_type", TYPES)
@pytest.mark.parametrize("given", [np.uint8, np.float32, np.float64, np.longdouble, np.int64])
def test_types_of_rows_and_queries(labels, given, query_type):
    points = np.random.default_rng(0).integers(0, 200, (340, 12))
    train, queries = points[:300].astype(given), points[300:].astype(query_type)
    for weights in ("uniform", lambda distances: 1 / (1 + distances)):
        ours, reference = fitted("KNeighborsClassifier", train, labels, weights=weights)
        reference = ORIGINAL["KNeighborsClassifier"](weights=weights, algorithm="brute")
        reference.fit(train.astype(float), labels)
        assert ours.backend_ == "fastknn"
        found, expected = ours.kneighbors(queries), reference.kneighbors(queries.astype(float))
        assert_allclose(found[0], expected[0], atol=1e-6)
        assert found[0].dtype == np.float64
        assert ours.predict(queries).shape == (40,)
    grown = clone(ours).fit(train[:200], labels[:200])
    grown.kneighbors(queries)
    grown.append(train[200:].astype(np.longdouble), labels[200:])
    assert_array_equal(grown.kneighbors(queries)[1], found[1])
    grown.append(queries, labels[:40])
    assert (grown.kneighbors(queries, 1)[0] == 0).all()


@pytest.mark.parametrize("algorithm", ["auto", "brute"])
def test_integers_beyond_2_53_are_rounded(algorithm):
    train = np.full((9, 8), 2**62) + np.arange(9)[:, None] * 2**40
    ours = neighbors.NearestNeighbors(n_neighbors=2, algorithm=algorithm).fit(train)
    assert_array_equal(ours.kneighbors(train + 1)[1][:, 0], np.arange(9))
    assert ours._fit_X.dtype == np.int64
    assert_array_equal(ours.kneighbors(train.astype(np.uint64))[1][:, 0], np.arange(9))


BAD = {
    "complex": (np.ones((2, 9), complex), ValueError),
    "words": (np.full((2, 9), "a"), ValueError),
    "none": (np.full((2, 9), None), (TypeError, ValueError)),
    "NaN": (np.full((2, 9), np.nan), ValueError),
    "long NaN": (np.full((2, 9), np.nan, np.longdouble), ValueError),
    "too long": (np.full((2, 9), np.longdouble("1e400")), ValueError),
    "narrow": (np.ones((2, 8)), ValueError),
    "one row": (np.ones(9), ValueError),
    "three dimensions": (np.ones((2, 3, 3)), ValueError),
    "no rows": (np.ones((0, 9)), ValueError),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("method", ["kneighbors", "predict", "predict_proba", "kneighbors_graph"])
def test_bad_queries_are_refused_as_by_scikit_learn(rows, labels, what, method):
    X, error = BAD[what]
    messages = []
    for model in fitted("KNeighborsClassifier", rows[0], labels, algorithm="brute"):
        with pytest.raises(error) as raised:
            getattr(model, method)(X)
        messages.append(str(raised.value))
    assert "queries" not in messages[0]
    assert messages[0] == messages[1] or what == "too long"


def test_widths_of_restored_objects(rows):
    """Without `n_features_in_` scikit-learn reads past the end of rows."""
    train, queries = rows
    model = neighbors.NearestNeighbors(algorithm="brute").fit(train)
    del model.n_features_in_
    for X in (queries[:, :4], np.column_stack([queries, queries])):
        with pytest.raises(ValueError, match=r"^X has (4|18) features, but Nearest.* expecting 9"):
            model.kneighbors(X)


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [True, False, np.True_, np.int8(3), np.uint64(4), 3.0, "3", 0, -1])
def test_n_neighbors_means_what_it_means_to_scikit_learn(rows, k):
    outcomes = []
    for model in fitted("NearestNeighbors", rows[0], algorithm="brute"):
        for X in (rows[1], None):
            try:
                outcomes.append(model.kneighbors(X, k)[1])
            except Exception as error:
                outcomes.append((type(error), str(error)))
    for mine, other in zip(outcomes[:2], outcomes[2:], strict=True):
        assert type(mine) is type(other)
        assert_array_equal(mine, other)


def test_arguments_by_position(rows):
    train, queries = rows
    ours, reference = fitted("NearestNeighbors", train, algorithm="brute")
    assert ours.kneighbors(queries, True)[1].shape == (40, 1)
    assert_array_equal(ours.kneighbors(queries, 2, False), reference.kneighbors(queries, 2, False))
    assert_array_equal(
        ours.kneighbors_graph(queries, True).toarray(),
        reference.kneighbors_graph(queries, True).toarray(),
    )


@pytest.mark.parametrize("algorithm", ["auto", "brute", "kd_tree"])
@pytest.mark.parametrize("n_jobs", [0, True, -1, -50, 2, np.int64(1)])
def test_n_jobs_as_scikit_learn(rows, labels, n_jobs, algorithm):
    train, queries = rows
    for name in ("NearestNeighbors", *WITH_TARGETS):
        for model in pair_of(name, train, labels, n_jobs=n_jobs, algorithm=algorithm):
            method = model.predict if name in WITH_TARGETS else model.kneighbors
            if n_jobs == 0 and (name, algorithm) != ("KNeighborsClassifier", "brute"):
                with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
                    method(queries)
            elif n_jobs != 0:
                method(queries)
    if n_jobs == 0:
        for home in (vars(neighbors), ORIGINAL):
            with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
                home["LocalOutlierFactor"](n_jobs=0, algorithm=algorithm).fit(train)
            later = home["NearestNeighbors"](algorithm=algorithm).fit(train)
            later.set_params(n_jobs=0)
            with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
                later.kneighbors()


def test_documentation_links(rows):
    for name in NAMES:
        expected = ORIGINAL[name]()._get_doc_link()
        assert expected.endswith(f"sklearn.neighbors.{name}.html")
        for model in (getattr(neighbors, name)(), getattr(drop_in, name)()):
            assert model._get_doc_link() == expected
            assert expected in model._repr_html_()

            class Own(type(model)):
                pass

            assert Own()._get_doc_link() == ""  # nobody documents it there


# --- precomputed distances ----------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_TARGETS)
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, np.ndarray.tolist])
def test_precomputed_distances(name, convert):
    distances = np.abs(np.subtract.outer([0.0, 1, 5, 7], [0.0, 1, 5, 7]))
    y = [0, 0, 1, 1]
    model = getattr(neighbors, name)(1, metric="precomputed")
    with pytest.raises(ValueError, match="sample_weight must not be zero where metric='precomp"):
        model.fit(convert(distances), y, sample_weight=[1, 0, 1, 1])
    model.fit(np.asarray(distances), y, sample_weight=[1, 2, 3, 4])
    assert_array_equal(model.predict(distances[:, :4]), y)
    for weight in (None, [1, 1], [0, 0]):
        with pytest.raises(ValueError, match=r"^append\(\) does not take rows where metric='prec"):
            model.append(convert(distances[:2]), y[:2], sample_weight=weight)
    assert model.n_samples_fit_ == 4


@pytest.mark.parametrize("estimator", ["NearestNeighbors", "KNeighborsTransformer"])
def test_no_rows_are_appended_to_precomputed_distances(estimator):
    model = getattr(neighbors, estimator)(n_neighbors=1, metric="precomputed").fit(1 - np.eye(3))
    with pytest.raises(ValueError, match=r"^append\(\) does not take rows where metric='prec"):
        model.append(np.ones((1, 3)))


def test_rows_are_appended_to_those_of_a_tree(rows):
    train, queries = rows
    model = neighbors.NearestNeighbors().fit(KDTree(train))
    with pytest.raises(ValueError, match=r"^X has 4 features, but Nearest.* expecting 9"):
        model.append(queries[:, :4])
    model.append(queries)
    assert (model.n_samples_fit_, model.backend_) == (340, "fastknn")
    assert_array_equal(model.kneighbors(queries, 1)[1][:, 0], np.arange(300, 340))


def test_appended_rows_are_features_of_the_graph(rows):
    model = neighbors.KNeighborsTransformer().fit(rows[0]).append(rows[1])
    assert len(model.get_feature_names_out()) == model.transform(rows[1]).shape[1] == 340


# --- under the patch ----------------------------------------------------------------------------


def surface(kind):
    """Public names of a class, and how its methods are called."""
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
def test_patched_classes_have_scikit_learns_surface(name):
    with patched_sklearn():
        patched = getattr(sklearn.neighbors, name)
        public = getattr(fastknn, name)
        assert surface(patched) - {"backend_"} == surface(ORIGINAL[name])
        assert issubclass(patched, ORIGINAL[name])
        assert issubclass(public, patched)
        assert isinstance(public(), patched)
        assert patched.__name__ == patched.__qualname__ == name
        model = patched().fit(np.eye(12), np.arange(12) % 2)
        loaded = pickle.loads(pickle.dumps(model))
        assert type(loaded) is patched
    assert type(pickle.loads(pickle.dumps(model))) is patched
    assert getattr(fastknn, name) is getattr(neighbors, name) is public


@pytest.mark.parametrize("name", WITH_TARGETS)
@pytest.mark.parametrize("routing", [False, True])
def test_patched_classes_refuse_sample_weights(rows, labels, name, routing):
    train, _ = rows
    weights = np.ones(300)
    messages = []
    with patched_sklearn(), config_context(enable_metadata_routing=routing):
        for kind in (getattr(sklearn.neighbors, name), ORIGINAL[name]):
            with pytest.raises(TypeError) as raised:
                kind().fit(train, labels, sample_weight=weights)
            messages.append(str(raised.value))
            assert not hasattr(kind, "append")
            assert not hasattr(kind, "set_fit_request")
            assert not sklearn.utils.validation.has_fit_parameter(kind(), "sample_weight")
        assert getattr(fastknn, name)().fit(train, labels, sample_weight=weights)
    assert messages[0] == messages[1]


def test_votes_of_several_estimators_refuse_sample_weights(rows, labels):
    train, _ = rows
    with patched_sklearn():
        for kind in (sklearn.neighbors.KNeighborsClassifier, ORIGINAL["KNeighborsClassifier"]):
            model = VotingClassifier([("knn", kind())])
            with pytest.raises(TypeError, match="does not support sample weights"):
                model.fit(train, labels, sample_weight=np.ones(300))
        model = VotingClassifier([("knn", fastknn.KNeighborsClassifier())])
        model.fit(train, labels, sample_weight=np.ones(300))


# --- rows that were not checked -----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["auto", "brute"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
@pytest.mark.parametrize("place", ["rows", "queries"])
def test_unchecked_nan_never_points_outside(rows, algorithm, metric, place):
    train, queries = rows[0].copy(), rows[1].copy()
    (train if place == "rows" else queries)[:] = np.nan
    with config_context(assume_finite=True):
        for name in ("NearestNeighbors", "KNeighborsTransformer"):
            model = getattr(neighbors, name)(algorithm=algorithm, metric=metric)
            try:
                indices = model.fit(train).kneighbors(queries)[1]
            except ValueError:
                continue  # an error that says so is as good
            assert indices.min() >= 0
            assert indices.max() < len(train)
