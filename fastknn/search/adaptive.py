"""An index whose screen grows with the queries that came: what the estimators search with."""

import numpy as np

from fastknn._utils.locks import Lock
from fastknn._utils.threads import thread_count
from fastknn.metrics.keys import as_distances, check_found
from fastknn.search.index import Index
from fastknn.search.policy import INDEX, Known, choose

__all__ = ["AdaptiveIndex"]

# The screens that the index has, one after another.
SCREENS = ("none", "direct", "grouped", "auto")


class AdaptiveIndex:
    """An index that begins with no screen, and gets one when the queries that came pay for it.

    The policy decides with the number of queries so far. A screen is built when what it would have
    saved exceeds its own cost, so no sequence of searches takes much more than twice what was best
    for it. Searches from many threads are safe: one of them builds the next screen, and the others
    go on with the one that is there. Rows and queries are scikit-learn's, which has looked for NaN
    already. It is never pickled: estimators leave it out.

    Parameters
    ----------
    train : ndarray (n_rows, width)
    metric : str
        As for `Index`.
    n_jobs : int or None
        Threads that build the first index.
    """

    def __init__(self, train: np.ndarray, metric: str, n_jobs: int | None) -> None:
        self.index = Index(train, metric, screen="none", n_jobs=n_jobs, check_finite=False)
        self.n_queries, self._lock, self._is_building = 0, Lock(), False

    def search(self, X: np.ndarray, k: int, n_jobs: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest rows of each query.

        Parameters
        ----------
        X : ndarray (n_queries, width)
        k : int
        n_jobs : int or None

        Returns
        -------
        distances : ndarray (n_queries, k) of float64
        indices : ndarray (n_queries, k) of int64
        """
        n_threads = thread_count(n_jobs)
        self._grow(len(X), k, n_threads)
        index = self.index
        found = index.search_keys(X, k, n_jobs=n_threads, check_finite=False, name="X")
        check_found(found, "X")
        return as_distances(found, index.metric), found.rows

    def append(self, X: np.ndarray) -> None:
        """Add training rows.

        Parameters
        ----------
        X : ndarray (n_rows, width)
        """
        with self._lock:
            self.index.append(X)

    def _grow(self, n_queries: int, k: int, n_threads: int) -> None:
        """Build the next screen if these queries pay for it, and nobody else is building it."""
        with self._lock:
            self.n_queries += n_queries
            before, train = self.index, self.index.train
            known = Known.of(
                train, before.metric, k=k, n_queries=self.n_queries, n_threads=n_threads
            )
            screen = choose(INDEX, known).choice
            if self._is_building or SCREENS.index(screen) <= SCREENS.index(before.screen):
                return
            self._is_building = True
        try:
            grown = before.with_screen(screen, expected_k=k, n_jobs=n_threads)
            with self._lock:
                if self.index.train is train:  # else rows were appended meanwhile
                    self.index = grown
        finally:
            self._is_building = False
