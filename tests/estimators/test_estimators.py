"""Sample weights, append, and the conventions of scikit-learn's estimators."""

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn import neighbors as theirs
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from fastknn import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    NearestNeighbors,
)


@pytest.fixture(scope="module")
def continuous():
    """Points without ties, so that every right answer is the same one."""
    generator = np.random.default_rng(7)
    points = generator.normal(size=(400, 20))
    return points[:300], generator.integers(0, 3, 300), points[300:]


# --- sample weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["uniform", "distance", lambda distances: 1 / (1 + distances)])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_sample_weights_count_in_votes_and_means(continuous, weights, convert):
    train, labels, queries = continuous
    sample = np.random.default_rng(2).random(len(train)) + 0.1
    targets = np.column_stack([train[:, 0], labels])
    classifier = KNeighborsClassifier(7, weights=weights)
    classifier.fit(convert(train), labels, sample_weight=sample)
    regressor = KNeighborsRegressor(7, weights=weights)
    regressor.fit(convert(train), targets, sample_weight=sample)
    distances, indices = theirs.NearestNeighbors(n_neighbors=7).fit(train).kneighbors(queries)
    each = sample[indices] * {
        "uniform": lambda distances: 1,
        "distance": lambda distances: 1 / distances,
    }.get(weights, weights)(distances)
    votes = np.stack([(each * (labels[indices] == c)).sum(axis=1) for c in np.unique(labels)], 1)
    assert_allclose(
        classifier.predict_proba(convert(queries)), votes / votes.sum(axis=1, keepdims=True)
    )
    assert_array_equal(
        classifier.predict(convert(queries)), np.unique(labels)[votes.argmax(axis=1)]
    )
    means = (targets[indices] * each[:, :, None]).sum(axis=1) / each.sum(axis=1)[:, None]
    assert_allclose(regressor.predict(convert(queries)), means)
    one = KNeighborsRegressor(7, weights=weights).fit(train, targets[:, 0], sample_weight=sample)
    assert_allclose(one.predict(queries), means[:, 0])


@pytest.mark.parametrize("estimator", [KNeighborsClassifier, KNeighborsRegressor])
def test_weights_that_make_no_difference(continuous, estimator):
    train, labels, queries = continuous
    plain = estimator(5).fit(train, labels)
    assert plain.sample_weight_ is None
    for equal in (np.ones(len(train)), np.full(len(train), 0.3), 2.0):
        model = estimator(5).fit(train, labels, sample_weight=equal)
        assert_allclose(model.predict(queries), plain.predict(queries))
        assert_allclose(model.predict(None), plain.predict(None))
    # Zero is as good as not given.
    weights = np.random.default_rng(5).integers(0, 3, len(train))
    kept = weights > 0
    model = estimator(5).fit(train, labels, sample_weight=weights)
    other = estimator(5).fit(train[kept], labels[kept], sample_weight=weights[kept])
    assert model.n_samples_fit_ == kept.sum()
    assert_array_equal(model.predict(queries), other.predict(queries))
    assert_array_equal(model.kneighbors(queries)[1], other.kneighbors(queries)[1])
    refit = model.fit(train, labels)
    assert_array_equal(refit.predict(queries), plain.predict(queries))


@pytest.mark.parametrize("estimator", [KNeighborsClassifier, KNeighborsRegressor])
@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ([1, 2], ValueError, r"sample_weight.*\(2,\)"),
        (-np.ones(300), ValueError, "Negative values in data passed to `sample_weight`"),
        (np.zeros(300), ValueError, "sample_weight must not be zero for all rows"),
        (np.full(300, np.nan), ValueError, "sample_weight"),
    ],
)
def test_bad_sample_weights(continuous, estimator, weights, error, match):
    train, labels, _ = continuous
    with pytest.raises(error, match=match):
        estimator().fit(train, labels, sample_weight=weights)
    with pytest.raises(TypeError, match=r"fit\(\) takes X, y and sample_weight; got weight"):
        estimator().fit(train, labels, weight=weights)


def test_bagging_draws_samples_as_with_scikit_learns(continuous):
    """If `fit` named its sample_weight, it would pass the numbers of draws as weights."""
    train, labels, queries = continuous
    found = [
        BaggingClassifier(estimator(3), 5, random_state=0).fit(train, labels).predict_proba(queries)
        for estimator in (KNeighborsClassifier, theirs.KNeighborsClassifier)
    ]
    assert_array_equal(*found)


def test_sample_weights_are_routed(continuous):
    train, labels, queries = continuous
    sample = np.random.default_rng(2).random(len(train))
    with config_context(enable_metadata_routing=True):
        classifier = KNeighborsClassifier(5).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, classifier)
        pipeline.fit(train, labels, sample_weight=sample)
    expected = KNeighborsClassifier(5).fit(
        StandardScaler().fit_transform(train), labels, sample_weight=sample
    )
    scaled = pipeline[0].transform(queries)
    assert_array_equal(pipeline.predict_proba(queries), expected.predict_proba(scaled))
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
    pipeline.fit(train, labels, kneighborsclassifier__sample_weight=sample)
    assert_array_equal(pipeline.predict_proba(queries), expected.predict_proba(scaled))


# --- append -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "chebyshev"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("searched", [False, True])
def test_append_is_fit_on_all(continuous, metric, dtype, searched):
    train, labels, queries = continuous
    train, queries = (np.abs(rows * 40).astype(dtype) for rows in (train, queries))
    words = np.array(list("abc"))[labels]
    if metric == "chebyshev" and parse_version(sklearn.__version__) < parse_version("1.9"):
        words = labels  # its own vote, before 1.9, fails for labels that are words
    for ours, targets in [
        (KNeighborsClassifier(5, metric=metric), labels),
        (KNeighborsClassifier(5, metric=metric), words),
        (KNeighborsClassifier(5, metric=metric), np.column_stack([labels, labels % 2])),
        (KNeighborsRegressor(5, metric=metric), train[:, 0]),
        (KNeighborsRegressor(5, metric=metric), train[:, :2].astype(float)),
    ]:
        order = np.argsort(targets.reshape(len(targets), -1)[:, 0], kind="stable")
        rows, wanted = train[order], targets[order]  # new classes come later
        grown = clone(ours).fit(rows[:150], wanted[:150])
        if searched:
            grown.predict(queries)
        index = grown._index
        assert grown.append(rows[150:299], wanted[150:299]) is grown
        grown.append(rows[299:].tolist(), wanted[299:].tolist())
        whole = clone(ours).fit(rows, wanted)
        assert grown._index is index  # screens are kept
        assert grown.n_samples_fit_ == 300
        assert_array_equal(grown.predict(queries), whole.predict(queries))
        assert_array_equal(grown.predict(None), whole.predict(None))
        if hasattr(ours, "predict_proba"):
            for mine, other in zip(
                grown.predict_proba(queries), whole.predict_proba(queries), strict=True
            ):
                assert_array_equal(mine, other)


@pytest.mark.parametrize("estimator", [NearestNeighbors, KNeighborsTransformer])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_append_without_targets(continuous, estimator, convert):
    train, _, queries = continuous
    grown = estimator(n_neighbors=4).fit(convert(train[:100])).append(convert(train[100:]))
    whole = estimator(n_neighbors=4).fit(convert(train))
    for mine, other in zip(grown.kneighbors(queries), whole.kneighbors(queries), strict=True):
        assert_array_equal(mine, other)
    assert_array_equal(grown.kneighbors()[1], whole.kneighbors()[1])


def test_append_widens_the_type_where_it_must(continuous):
    train, labels, queries = continuous
    bytes_only = np.abs(train * 40).astype(np.uint8)
    grown = KNeighborsClassifier(3).fit(bytes_only, labels)
    grown.append(bytes_only[:5].astype(np.int64), labels[:5])
    assert grown._fit_X.dtype == np.uint8
    grown.append(train[:9], labels[:9])
    whole = KNeighborsClassifier(3).fit(
        np.concatenate([bytes_only, bytes_only[:5], train[:9]]),
        np.r_[labels, labels[:5], labels[:9]],
    )
    assert_array_equal(grown.kneighbors(queries)[1], whole.kneighbors(queries)[1])


def test_append_with_sample_weights(continuous):
    train, labels, queries = continuous
    weights = np.random.default_rng(4).integers(0, 3, 300).astype(float)
    whole = KNeighborsClassifier(5).fit(train, labels, sample_weight=weights)
    grown = KNeighborsClassifier(5).fit(train[:200], labels[:200], sample_weight=weights[:200])
    grown.append(train[200:], labels[200:], sample_weight=weights[200:])
    assert_array_equal(grown.predict_proba(queries), whole.predict_proba(queries))
    later = KNeighborsClassifier(5).fit(train[:200], labels[:200])
    later.append(train[200:], labels[200:], sample_weight=weights[200:])
    ones = np.r_[np.ones(200), weights[200:]]
    whole = KNeighborsClassifier(5).fit(train, labels, sample_weight=ones)
    assert_array_equal(later.predict_proba(queries), whole.predict_proba(queries))
    before = later.n_samples_fit_
    later.append(train[:3], labels[:3], sample_weight=np.zeros(3))
    assert later.n_samples_fit_ == before


def test_a_failed_append_changes_nothing(continuous):
    train, labels, queries = continuous
    model = KNeighborsClassifier(3).fit(train, labels)
    expected = model.predict_proba(queries)
    for X, y in [
        (train[:4, :-1], labels[:4]),
        (np.full_like(train[:4], np.nan), labels[:4]),
        (train[:4], labels[:3]),
        (train[:4], np.column_stack([labels[:4]] * 2)),
        (train[:4], [0.5, 1.5, 2.5, 3.5]),
        (train[:4], ["0", "1", "2", "0"]),
    ]:
        with pytest.raises(ValueError):
            model.append(X, y)
        assert model.n_samples_fit_ == 300
        assert_array_equal(model.predict_proba(queries), expected)


# --- the rest of scikit-learn's manners -------------------------------------------------------


@pytest.mark.interop
def test_pandas_in_and_out(continuous):
    pandas = pytest.importorskip("pandas")
    train, labels, queries = continuous
    names = [f"feature {i}" for i in range(train.shape[1])]
    frame, queried = (pandas.DataFrame(rows, columns=names) for rows in (train, queries))
    targets = pandas.Series(np.array(list("xyz"))[labels], name="kind")
    model = KNeighborsClassifier(5).fit(frame, targets)
    reference = theirs.KNeighborsClassifier(5).fit(frame, targets)
    assert_array_equal(model.feature_names_in_, names)
    assert_array_equal(model.predict(queried), reference.predict(queried))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(queried[names[::-1]])
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(queries)
    model.append(frame[:7], targets[:7])
    assert_array_equal(model.feature_names_in_, names)
    assert model.fit(frame, targets, sample_weight=targets.map({"x": 0, "y": 1, "z": 2})) is model
    assert list(model.classes_) == ["y", "z"]
    graph = KNeighborsTransformer(n_neighbors=3).fit(frame)
    theirs_graph = theirs.KNeighborsTransformer(n_neighbors=3).fit(frame)
    assert_array_equal(
        graph.get_feature_names_out(),
        [name for name in (f"kneighborstransformer{i}" for i in range(300))],
    )
    assert_allclose(graph.transform(queried).toarray(), theirs_graph.transform(queried).toarray())


def test_html_repr_and_parameters(continuous):
    train, labels, queries = continuous
    model = KNeighborsClassifier(n_neighbors=9, weights="distance")
    assert repr(model) == "KNeighborsClassifier(n_neighbors=9, weights='distance')"
    html = model.fit(train, labels)._repr_html_()
    assert "KNeighborsClassifier" in html
    assert "n_neighbors" in html
    assert model.get_params() == theirs.KNeighborsClassifier(9, weights="distance").get_params()
    model.set_params(n_neighbors=3, weights="uniform")  # takes effect without another fit
    expected = theirs.KNeighborsClassifier(3).fit(train, labels).predict_proba(queries)
    assert_array_equal(model.predict_proba(queries), expected)
    with pytest.raises(ValueError, match="Invalid parameter 'neighbors'"):
        model.set_params(neighbors=3)


@pytest.mark.slow
def test_joblib(continuous, tmp_path):
    train, labels, queries = continuous
    model = KNeighborsClassifier(5).fit(train, labels)
    expected = model.predict_proba(queries)
    joblib.dump(model, tmp_path / "model")
    for mode in (None, "r"):  # the training rows may stay on disk, read-only
        loaded = joblib.load(tmp_path / "model", mmap_mode=mode)
        assert_array_equal(loaded.predict_proba(queries), expected)
    # Its processes get arrays that are mapped from disk and read-only.
    score = cross_val_score(model, train, labels, n_jobs=2)
    assert_array_equal(score, cross_val_score(model, train, labels))


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int32, np.int64, bool, np.uint16])
def test_other_types_are_converted_once(continuous, dtype):
    train, labels, queries = continuous
    train, queries = (train * 3).astype(dtype), (queries * 3).astype(dtype)
    ours = KNeighborsClassifier(5).fit(train, labels)
    assert ours.backend_ == "fastknn"
    converted = ours._index.train
    distances, indices = ours.kneighbors(queries)
    assert ours._index.train is converted
    reference = theirs.KNeighborsClassifier(5, algorithm="brute").fit(train.astype(float), labels)
    expected = reference.kneighbors(queries.astype(float))[0]
    assert_allclose(distances, expected, atol=1e-6)
    assert distances.dtype == np.float64
    assert indices.dtype == np.int64
