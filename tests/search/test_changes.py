"""Training rows that are changed after they were indexed: never a wrong answer without a word."""

import copy
import pickle

import numpy as np
import pytest
from cases import all_dtypes, choose_always, points
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs

from fastknn import Index, KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors, load_index
from fastknn._utils.changes import RowsSample, TrainChanged

CHANGES = {
    "scaled": lambda rows: np.multiply(rows, 2, out=rows, casting="unsafe"),
    "zeroed": lambda rows: rows.fill(0),
    "shuffled": lambda rows: np.random.default_rng(0).shuffle(rows),
    "sorted": lambda rows: rows.sort(axis=0),
    "last row": lambda rows: rows[-1].fill(1),
}


@pytest.mark.slow
@all_dtypes
@pytest.mark.parametrize("screen", ["none", "direct", "quantized"])
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine", "correlation"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_index_says_that_its_rows_have_changed(dtype, screen, metric, change, tmp_path):
    train = points(dtype, 300, 9)
    index = Index(train, metric, screen=screen)
    expected = index.search(train[:5].copy(), 3)
    kept = train.copy()
    change(train)
    for call in (
        lambda: index.search(kept[:5], 3),
        lambda: index.append(kept),
        lambda: index.subset([0, 1]),
        lambda: index.save(tmp_path / "index"),
    ):
        with pytest.raises(TrainChanged, match=r"^train has changed since the index was built"):
            call()
    train[:] = kept
    for found, before in zip(index.search(kept[:5], 3), expected, strict=True):
        assert_array_equal(found, before)


def test_a_change_of_any_of_few_rows_is_noticed():
    for row in range(64):
        train = points(np.float32, 64, 5)
        index = Index(train)
        train[row, 3] += 1
        with pytest.raises(TrainChanged, match=rf"\(row {row}\)"):
            index.search(train[:1], 1)


def test_rows_that_were_copied_may_change(tmp_path):
    train = np.arange(60).reshape(20, 3)
    index = Index(train)
    index.save(tmp_path / "index")
    expected = index.search(train[:5].copy(), 3)
    train *= 7
    for one in (index, load_index(tmp_path / "index", mmap=True)):
        for found, before in zip(one.search(np.arange(15).reshape(5, 3), 3), expected, strict=True):
            assert_array_equal(found, before)


def test_nan_is_no_change():
    rows = np.array([[np.nan, 1.0], [0.0, -0.0]])
    sample = RowsSample(rows)
    rows[1] = -rows[1]  # equal, in other bits
    sample.check(rows)
    rows[0, 0] = 3
    with pytest.raises(TrainChanged):
        sample.check(rows)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("screen", ["none", "direct", "auto"])
@pytest.mark.parametrize("metric", ["manhattan", "euclidean", "cosine"])
def test_estimators_answer_for_the_rows_as_they_are(dtype, screen, metric, monkeypatch):
    choose_always(monkeypatch, screen)
    random = np.random.default_rng(1)
    train = random.integers(1, 100, (300, 8)).astype(dtype)
    queries = random.integers(1, 100, (20, 8)).astype(dtype)
    labels = random.integers(0, 3, 300)
    for ours in (KNeighborsClassifier, KNeighborsRegressor):
        rows = train.copy()
        model = ours(3, metric=metric, algorithm="brute").fit(rows, labels)
        model.predict(queries)
        CHANGES["shuffled"](rows)
        reference = getattr(theirs, ours.__name__)(3, metric=metric, algorithm="brute")
        reference.fit(rows.copy(), labels)
        assert_allclose(model.kneighbors(queries)[0], reference.kneighbors(queries)[0], atol=1e-6)
        own = ours(3, metric=metric, algorithm="brute").fit(rows.copy(), labels)
        assert_array_equal(model.predict(queries), own.predict(queries))
        rows[::2] += 1
        more = own.fit(rows.copy(), labels).append(train[:9], labels[:9])
        model.append(train[:9], labels[:9])
        assert_array_equal(model.kneighbors(queries)[1], more.kneighbors(queries)[1])


def test_a_transformed_copy_is_not_needed():
    rows = points(np.float64, 100, 8)
    search = NearestNeighbors(n_neighbors=2).fit(rows)
    rows -= rows.mean(axis=0)
    assert_array_equal(search.kneighbors(rows[:3])[1][:, 0], [0, 1, 2])


def test_what_is_pickled_knows_too():
    train = points(np.float64, 200, 6)
    index = Index(train, screen="direct")
    for _ in range(2):
        index = pickle.loads(pickle.dumps(index))
        index.search(train[:3], 2)
    index.train[:] = index.train * 2
    for copied in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        with pytest.raises(TrainChanged):
            copied.search(train[:3], 2)
