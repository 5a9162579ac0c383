"""What is pickled depends on what was fitted, and not on the searches that were made since.

`joblib.Memory` looks a result up by the hash of its arguments, and that is the hash of a pickle.
"""

import copy
import pickle
import threading

import joblib
import numpy as np
import pytest
from cases import assert_same, choose_always, points, run_python
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastknn import (
    Index,
    KNeighborsClassifier,
    KNeighborsClassifierCV,
    KNeighborsRegressor,
    KNeighborsRegressorCV,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
    load_index,
)
from fastknn.estimators import drop_in
from fastknn.search import index as index_module

PLAIN = [
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    NearestNeighbors,
    LocalOutlierFactor,
]
# Every estimator, and each way in which it answers.
ESTIMATORS = {
    **{f"{ours.__name__}, index": lambda ours=ours: ours() for ours in PLAIN},
    **{
        f"{ours.__name__}, {algorithm}": lambda ours=ours, algorithm=algorithm: ours(
            algorithm=algorithm
        )
        for ours in PLAIN
        for algorithm in ("brute", "kd_tree", "ball_tree")
    },
    **{f"{name}, patched": lambda name=name: getattr(drop_in, name)() for name in drop_in.__all__},
    "novelty": lambda: LocalOutlierFactor(novelty=True),
    "cosine": lambda: KNeighborsClassifier(metric="cosine", weights="distance"),
    "manhattan": lambda: KNeighborsClassifier(p=1),
    "other metric": lambda: KNeighborsClassifier(metric="chebyshev"),
    "classifier that chooses": lambda: KNeighborsClassifierCV(ks=[1, 3], cv=2),
    "regressor that chooses": lambda: KNeighborsRegressorCV(ks=[1, 3], cv=2),
}
every_estimator = pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
widths = pytest.mark.parametrize("width", [3, 8])  # "auto" means a tree, or fastknn


def data(width, dtype=np.float32, n_rows=300):
    rows = points(dtype, n_rows + 40, width)
    return rows[:n_rows].copy(), np.arange(n_rows) % 3, rows[n_rows:].copy()


def use(model, queries):
    """Call every search and prediction that this estimator has."""
    model.kneighbors(queries)
    model.kneighbors()
    model.kneighbors(queries[:1], 1)
    labels = np.arange(len(queries)) % 3
    for name, arguments in {
        "kneighbors_graph": (queries,),
        "radius_neighbors": (queries, 1.0),
        "radius_neighbors_graph": (queries, 1.0),
        "predict": (queries,),
        "predict_proba": (queries,),
        "score": (queries, labels),
        "transform": (queries,),
        "decision_function": (queries,),
        "score_samples": (queries,),
    }.items():
        if hasattr(model, name):
            getattr(model, name)(*arguments)
    inner = getattr(model, "best_estimator_", model)
    for name in ("backend_", "_index", "_tree", "_fit_method", "sample_weight_"):
        getattr(inner, name, None)
    repr(model), clone(model)


@pytest.mark.slow
@widths
@every_estimator
def test_using_an_estimator_does_not_change_its_pickle(make, width):
    train, labels, queries = data(width)
    model = make().fit(train, labels)
    hashed, pickled = joblib.hash(model), pickle.dumps(model)
    for _ in range(2):
        use(model, queries)
        assert joblib.hash(model) == hashed
        assert pickle.dumps(model) == pickled
    assert joblib.hash(make().fit(train, labels)) == hashed
    assert joblib.hash(model.fit(train, labels)) == hashed
    assert joblib.hash(make().fit(train + 1, labels)) != hashed


@pytest.mark.slow
@widths
@every_estimator
def test_copies_of_an_estimator_hash_alike(make, width):
    train, labels, queries = data(width)
    model = make().fit(train, labels)
    hashed, expected = joblib.hash(model), model.kneighbors(queries)
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert joblib.hash(other) == hashed
        assert_same(other.kneighbors(queries), expected)
        use(other, queries)
        assert joblib.hash(other) == hashed
        if hasattr(model, "predict"):
            assert_array_equal(other.predict(queries), model.predict(queries))


@pytest.mark.parametrize("screen", ["none", "direct", "auto"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_pickles_are_the_same_with_every_screen(dtype, screen, monkeypatch):
    train, labels, queries = data(30, dtype)
    model = KNeighborsClassifier(3).fit(train, labels)
    hashed = joblib.hash(model)
    choose_always(monkeypatch, screen)
    expected = model.predict_proba(queries)
    assert model._index._growth.stage == screen
    assert joblib.hash(model) == hashed
    other = pickle.loads(pickle.dumps(model))
    assert_array_equal(other.predict_proba(queries), expected)


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("ours", [KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors])
def test_appended_rows_are_as_those_of_a_fit(ours, searched):
    train, labels, queries = data(8)
    whole = ours().fit(train, labels)
    model = ours().fit(train[:200], labels[:200])
    if searched:
        use(model, queries)
    model.append(train[200:], labels[200:])
    assert joblib.hash(model) == joblib.hash(whole)
    before = joblib.hash(model)
    use(model, queries)
    assert joblib.hash(model) == before
    assert_same(model.kneighbors(queries), whole.kneighbors(queries))


def test_weights_of_samples_are_state():
    train, labels, queries = data(8)
    weights = np.arange(1.0, 301)
    model = KNeighborsClassifier().fit(train, labels, sample_weight=weights)
    hashed = joblib.hash(model)
    use(model, queries)
    assert joblib.hash(model) == hashed
    assert hashed != joblib.hash(KNeighborsClassifier().fit(train, labels))
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.predict_proba(queries), model.predict_proba(queries))


@pytest.mark.parametrize("made", [KNeighborsClassifier, Index], ids=["classifier", "index"])
def test_hashes_while_threads_search(made):
    train, labels, queries = data(8)
    # Only an index that gets another screen, once the queries pay for it, is another one then.
    model = Index(train, screen="direct") if made is Index else made().fit(train, labels)
    hashed, done, hashes = joblib.hash(model), threading.Event(), set()

    def search():
        while not done.is_set():
            model.search(queries, 3) if made is Index else model.predict(queries)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            hashes.add(joblib.hash(model))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert hashes == {hashed}


def test_scores_are_masked_arrays_again_when_they_are_loaded():
    train, labels, _ = data(8)
    model = KNeighborsClassifierCV(ks=[1, 3], cv=2).fit(train, labels)
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for scores in (model.cv_results_, other.cv_results_):  # the first one has not changed
            assert type(scores["param_n_neighbors"]) is np.ma.MaskedArray
        for name, values in model.cv_results_.items():
            assert_array_equal(other.cv_results_[name], values)


# --- an index --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
@pytest.mark.parametrize("screen", ["none", "direct", "quantized", "auto"])
def test_searching_does_not_change_the_pickle_of_an_index(dtype, metric, screen):
    train, _, queries = data(30, dtype)
    index = Index(train, metric, screen=screen)
    hashed, pickled = joblib.hash(index), pickle.dumps(index)
    for k in (1, 5, 290):  # for very many neighbors a direct screen is packed
        index.search(queries, k)
        index.search(queries[:1], k, n_jobs=1)
        assert joblib.hash(index) == hashed
        assert pickle.dumps(index) == pickled
    assert joblib.hash(Index(train.copy(), metric, screen=screen, n_jobs=1)) == hashed
    assert joblib.hash(index.with_screen(screen)) == hashed
    for other in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickled)):
        assert joblib.hash(other) == hashed
        assert_same(other.search(queries, 5), index.search(queries, 5))
    assert joblib.hash(index.append(queries)) != hashed


def test_a_screen_that_was_given_up_is_not_state():
    """Rows without structure: the cascade keeps too many, and the direct screen takes over."""
    train = np.random.default_rng(0).integers(0, 256, (4000, 64), dtype=np.uint8)
    index = Index(train, screen="projected")
    hashed = joblib.hash(index)
    index.search(train[:30], 1500)
    assert joblib.hash(index) == hashed


def test_a_loaded_index_has_its_screens_and_does_not_choose_again(monkeypatch, tmp_path):
    train, _, queries = data(64, np.float32, 9000)
    index = Index(train, expected_queries=10**6)
    assert index.costs_
    expected = index.search(queries, 5)
    dump, hashed = pickle.dumps(index), joblib.hash(index)
    index.save(tmp_path / "index")
    monkeypatch.setattr(index_module, "choose_screen", None)
    loaded = pickle.loads(dump)
    assert (loaded.cascade, loaded.costs_) == (index.cascade, {})
    assert loaded.reason == "chosen before it was copied"
    assert loaded.stats_ == {"cascade": index.cascade, "reason": loaded.reason, "costs": {}}
    assert_same(loaded.search(queries, 5), expected)
    assert joblib.hash(loaded) == hashed
    index.costs_["direct"] = 1e9  # other times of the same choice
    assert joblib.hash(index) == hashed
    kept = load_index(tmp_path / "index")  # a folder is no pickle, and says what was tried
    assert set(kept.costs_) == set(index.costs_)
    assert joblib.hash(kept) == hashed


# --- joblib.Memory ---------------------------------------------------------------------------

RERUN = """
import sys
import joblib
import numpy as np
from fastknn import Index, KNeighborsClassifier

train = np.random.default_rng(0).normal(size=(300, 8))
model = KNeighborsClassifier().fit(train, train[:, 0] > 0)
index = Index(train)
if sys.argv[2] == "searched":
    model.predict(train[:9])
    index.search(train[:9], 2)
print(joblib.hash(model), joblib.hash(index))
memory = joblib.Memory(sys.argv[1], verbose=0)

@memory.cache
def score(model, index):
    print("called")
    return model.score(train, train[:, 0] > 0)

score(model, index)
"""


def test_memory_answers_for_an_estimator_that_has_searched(tmp_path):
    train, labels, queries = data(8)
    memory, calls = joblib.Memory(tmp_path, verbose=0), []

    @memory.cache(ignore=["calls"])
    def predicted(model, queries, calls):
        calls.append(model)
        return model.predict(queries)

    for ours in (KNeighborsClassifier, KNeighborsRegressor):
        model = ours().fit(train, labels)
        expected = model.predict(queries)
        before = len(calls)
        for _ in range(3):
            assert_array_equal(predicted(model, queries, calls), expected)
        predicted(pickle.loads(pickle.dumps(model)), queries, calls)
        predicted(ours().fit(train, labels), queries, calls)
        assert len(calls) == before + 1


@pytest.mark.slow
def test_memory_answers_in_another_process(tmp_path):
    (tmp_path / "rerun.py").write_text(RERUN)
    answers = []
    for searched in ("not", "searched"):
        child = run_python(tmp_path / "rerun.py", tmp_path / "memory", searched)
        assert not child.returncode, child.stderr
        answers.append(child.stdout.split("\n"))
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] == "called"
    assert "called" not in answers[1]
