"""Drop-in estimators for scikit-learn: its validation and attributes, fastknn's search and vote."""

import logging

import numpy as np
from sklearn.neighbors import KNeighborsClassifier as _KNeighborsClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

from fastknn.index import Index
from fastknn.vote import distance_weights, vote, vote_proba

__all__ = ["KNeighborsClassifier"]

logger = logging.getLogger("fastknn")

# scikit-learn's names for what is left of a metric once p is taken into account.
FAST_METRICS = {
    "manhattan": "l1",
    "cityblock": "l1",
    "l1": "l1",
    "euclidean": "l2",
    "l2": "l2",
}


class KNeighborsClassifier(_KNeighborsClassifier):
    """scikit-learn's k-nearest-neighbours classifier on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsClassifier`,
    with which this page does not differ except as follows.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbours that vote.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much a neighbour's vote counts.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
        "auto" and "brute" use fastknn for dense data under L1 or L2, and scikit-learn for
        anything else; a tree that is asked for by name is scikit-learn's.
    leaf_size : int, default 30
        For scikit-learn's trees.
    p : float, default 2
        Power of the "minkowski" metric: 1 is L1, 2 is L2.
    metric : str or callable, default "minkowski"
        fastknn searches under "minkowski" with p=1 or 2, "l1", "manhattan", "cityblock", "l2"
        and "euclidean".
    metric_params : dict or None, default None
        Further arguments of a metric; with any, scikit-learn searches.
    n_jobs : int or None, default None
        Threads. None and -1 mean every core, where scikit-learn takes None for one job (but
        uses every core too for most searches).

    Attributes
    ----------
    backend_ : {"fastknn", "scikit-learn"}
        Which of the two searches. The reason for "scikit-learn" is logged at level DEBUG under
        the name "fastknn".

    Notes
    -----
    Bytes (uint8) are searched as bytes: do not convert images to floats. Equal distances are
    ordered by the index of the training row, so results are the same on any machine.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn import KNeighborsClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = KNeighborsClassifier(n_neighbors=3).fit(X[:1000].astype("uint8"), y[:1000])
    >>> classifier.score(X[1000:].astype("uint8"), y[1000:]) > 0.95
    True
    >>> classifier.backend_
    'fastknn'
    """

    def fit(self, X, y) -> "KNeighborsClassifier":
        """Fit from training data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            uint8, float32 and float64 are searched as they are; other types are converted.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels.

        Returns
        -------
        self : KNeighborsClassifier
        """
        asked = self.algorithm
        try:
            if asked == "auto" and self.metric in (*FAST_METRICS, "minkowski"):
                self.algorithm = "brute"  # so that no tree is built for nothing
            super().fit(X, y)
        finally:
            self.algorithm = asked
        self._index = None
        reason = self._why_not_fast()
        if reason is None:
            metric = FAST_METRICS[self.effective_metric_]
            self._index = Index(_searchable(self._fit_X), metric, n_jobs=self.n_jobs)
        else:
            logger.debug("%s falls back to scikit-learn: %s", type(self).__name__, reason)
        self.backend_ = "scikit-learn" if self._index is None else "fastknn"
        return self

    def _why_not_fast(self) -> str | None:
        """Why the fitted data need scikit-learn's search, or None."""
        if self._fit_method != "brute":
            return f"the algorithm is {self._fit_method}"
        if not isinstance(self.effective_metric_, str) or (
            self.effective_metric_ not in FAST_METRICS
        ):
            return f"the metric is {self.effective_metric_}"
        if self.effective_metric_params_:
            return "the metric has parameters"
        if not isinstance(self._fit_X, np.ndarray):
            return "the data are sparse"
        if self._fit_X.dtype.kind not in "biuf" or self._fit_X.dtype.itemsize > 8:
            return f"the data are {self._fit_X.dtype}"
        return None

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest training rows, as scikit-learn's method of the same name.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            By default the training rows themselves, none of which is its own neighbour.
        n_neighbors : int, optional
            By default the constructor's.
        return_distance : bool, default True
            Whether to return the distances too.

        Returns
        -------
        distances : ndarray (n_queries, n_neighbors) of float64
            Only if `return_distance`.
        indices : ndarray (n_queries, n_neighbors) of int64
            Nearest first, equal distances by index.
        """
        check_is_fitted(self)
        if self._index is None or _is_sparse(X):
            return super().kneighbors(X, n_neighbors, return_distance)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        self._check_n_neighbors(k, with_self=X is None)
        if X is None:
            distances, indices = self._search_others(k)
        else:
            X = validate_data(self, X, reset=False, order="C")
            distances, indices = self._index.search(_searchable(X), k, n_jobs=self.n_jobs)
        return (distances, indices) if return_distance else indices

    def _check_n_neighbors(self, k: int, with_self: bool) -> None:
        """scikit-learn's errors for a number of neighbours."""
        if not isinstance(k, int | np.integer):
            raise TypeError(f"n_neighbors does not take {type(k)} value, enter integer value")
        if k <= 0:
            raise ValueError(f"Expected n_neighbors > 0. Got {k}")
        available = self.n_samples_fit_ - with_self
        if k > available:
            relation = "<" if with_self else "<="
            raise ValueError(
                f"Expected n_neighbors {relation} n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}"
            )

    def _search_others(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours of the training rows, each without itself.

        Among duplicates a row may not be in its own first k + 1; then those are k + 1 others,
        and the last goes.
        """
        distances, indices = self._index.search(self._index.train, k + 1, n_jobs=self.n_jobs)
        others = indices != np.arange(len(indices))[:, None]
        others[:, -1] &= ~others.all(axis=1)
        shape = len(indices), k
        return distances[others].reshape(shape), indices[others].reshape(shape)

    def predict(self, X) -> np.ndarray:
        """Class with the most votes among each query's neighbours; ties go to the smallest.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs)
        """
        check_is_fitted(self)
        if not self._votes_itself(X):
            return super().predict(X)
        codes = vote(**self._ballots(X))
        return self.classes_[codes]

    def predict_proba(self, X) -> np.ndarray | list[np.ndarray]:
        """Each class's share of the votes among each query's neighbours.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries, n_classes), or a list of one for each output
        """
        check_is_fitted(self)
        if not self._votes_itself(X):
            return super().predict_proba(X)
        return vote_proba(**self._ballots(X))

    def _votes_itself(self, X) -> bool:
        """Whether the vote is fastknn's; scikit-learn's own calls `kneighbors` just as well."""
        return (
            self._index is not None
            and not _is_sparse(X)
            and not self.outputs_2d_
            and self.weights in ("uniform", "distance", None)
        )

    def _ballots(self, X) -> dict:
        distances, indices = self.kneighbors(X)
        return {
            "neighbor_labels": self._y[indices],
            "n_classes": len(self.classes_),
            "weights": distance_weights(distances) if self.weights == "distance" else None,
            "n_jobs": self.n_jobs,
        }


def _is_sparse(X) -> bool:
    return hasattr(X, "tocsr")


def _searchable(X: np.ndarray) -> np.ndarray:
    """64-bit integers as scikit-learn takes them, rounded to float64; all else as it is."""
    return X.astype(np.float64) if X.dtype.kind in "iu" and X.dtype.itemsize == 8 else X
