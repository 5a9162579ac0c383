"""Cross-validation over K, metric and weights."""

import numpy as np
import pytest
from measure import once

METRICS = ("l2", "l1")
KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)
GRID = {
    "metric": ["l1", "euclidean"],
    "n_neighbors": list(KS),
    "weights": ["uniform", "distance"],
}


@pytest.mark.full
def test_choose_k_cifar10(side_by_side, cifar10):
    """All combinations on 5 folds of all rows, beside two plain searches of as many pairs."""
    from fastknn import Index, cross_validate_k

    X, y = cifar10.train, cifar10.train_labels

    def searches() -> None:
        """Of all rows among four fifths of them, for each metric; indexes included."""
        for metric in METRICS:
            Index(X[: len(X) * 4 // 5], metric, expected_k=max(KS)).search(X, max(KS))

    runs = {
        "fastknn": once(lambda: cross_validate_k(X, y, KS)),
        "fastknn, two plain searches": once(searches),
    }
    medians = side_by_side(
        f"40 combinations on 5 folds of {cifar10.name}", runs, unit="choice", rounds=2
    )
    side_by_side.benchmark.extra_info.update(
        kind="choosing k",
        times_searches=medians["fastknn"] / medians["fastknn, two plain searches"],
    )


@pytest.mark.full
def test_choose_k_of_the_course(side_by_side, cifar10):
    """5,000 images on 5 folds, and then 500 test images."""
    from fastknn import KNeighborsClassifierCV

    X, y = cifar10.train[:5000], cifar10.train_labels[:5000]

    def choose() -> None:
        KNeighborsClassifierCV(KS).fit(X, y).predict(cifar10.test[:500])

    side_by_side(
        f"40 combinations on 5 folds of 5,000 of {cifar10.name}",
        {"fastknn": once(choose)},
        unit="choice",
        kind="choosing k",
    )


@pytest.mark.parametrize(
    "n_rows", [200, *(pytest.param(n, marks=pytest.mark.full) for n in (500, 1000))]
)
def test_choose_k_grid_search(side_by_side, cifar10, n_rows):
    """The same combinations beside GridSearchCV.

    Its work grows with the square of the rows; ours as well, but for the cost of each fold.
    """
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier as Theirs

    from fastknn import cross_validate_k

    X, y = cifar10.train[:n_rows], cifar10.train_labels[:n_rows]
    floats = X.astype(np.float32)
    search = GridSearchCV(Theirs(algorithm="brute"), GRID, cv=5)
    runs = {
        "fastknn": once(lambda: cross_validate_k(X, y, KS)),
        "GridSearchCV": once(lambda: search.fit(floats, y)),
    }
    title = f"40 combinations on 5 folds of {n_rows:,} of {cifar10.name}"
    rounds = 2 if side_by_side.effort.full else 1
    side_by_side(title, runs, unit="choice", rounds=rounds, kind="choosing k")
