"""An index whose screen grows with the queries that came: what the estimators search with."""

import numpy as np

from fastknn._utils.threads import thread_count
from fastknn.metrics.keys import as_distances, check_found
from fastknn.search.calls import screen_for
from fastknn.search.index import Index

# The screens that an estimator's index has, one after another.
SCREENS = ("none", "direct", "auto")


class AdaptiveIndex:
    """An index that begins with no screen, and gets one once so many queries came that it pays.

    A screen is built when what it would have saved so far exceeds its own cost, so that no
    sequence of searches takes much more than twice what was best for it. Rows and queries are
    scikit-learn's, which has looked for NaN already.
    """

    def __init__(self, train: np.ndarray, metric: str, n_jobs: int | None) -> None:
        self.index = Index(train, metric, screen="none", n_jobs=n_jobs, check_finite=False)
        self.queries_seen = 0

    def search(self, X: np.ndarray, k: int, n_jobs: int | None) -> tuple[np.ndarray, np.ndarray]:
        index = self.index
        self.queries_seen += len(X)
        threads = thread_count(n_jobs)
        screen = screen_for(self.queries_seen, index.train, index.metric, threads)
        if SCREENS.index(screen) > SCREENS.index(index.screen):
            index = self.index = index.with_screen(screen, expected_k=k, n_jobs=threads)
        found = index.search_keys(X, k, n_jobs=threads, check_finite=False, name="X")
        check_found(found, "X")
        return as_distances(found, index.metric), found.rows

    def append(self, X: np.ndarray) -> None:
        self.index.append(X)
