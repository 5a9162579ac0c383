"""Drop-in estimators for scikit-learn: its validation and attributes, fastknn's search and vote.

One mixin stands in front of scikit-learn's classes: it builds an index when they are fitted and
answers their `kneighbors`, through which all they do goes. What fastknn does not search goes on to
scikit-learn's own code.
"""

import copy
import logging

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn import neighbors as _theirs
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from fastknn._threads import thread_count
from fastknn.graph import screen_for, without_self
from fastknn.index import Index
from fastknn.vote import distance_weights, vote, vote_proba

__all__ = [
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
]

logger = logging.getLogger("fastknn")

# scikit-learn's names for what is left of a metric once p is taken into account.
FAST_METRICS = {
    "manhattan": "l1",
    "cityblock": "l1",
    "l1": "l1",
    "euclidean": "l2",
    "l2": "l2",
    "cosine": "cosine",
}


# Up to this width "auto" leaves the search to scikit-learn's tree, which then is quicker than any
# scan: at 100,000 rows 2 us a query against 38 in two dimensions, 50 against 16 in six.
TREE_WIDTH = 5


# The screens that an estimator's index has, one after another.
PATIENCE = ("none", "direct", "auto")


class PatientIndex:
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
        if PATIENCE.index(screen) > PATIENCE.index(index.screen):
            index = self.index = index.with_screen(screen, k=k, n_jobs=n_jobs)
        return index.search(X, k, n_jobs=n_jobs, check_finite=False)

    def append(self, X: np.ndarray) -> None:
        self.index.append(X)


class FastNeighbors:
    """fastknn's search in front of one of scikit-learn's neighbours estimators.

    Attributes
    ----------
    backend_ : {"fastknn", "scikit-learn"}
        Which of the two searches. The reason for "scikit-learn" is logged at level DEBUG under
        the name "fastknn".
    """

    def _fit(self, X, y=None):
        asked = self.algorithm
        try:
            known = isinstance(self.metric, str) and self.metric in (*FAST_METRICS, "minkowski")
            if asked == "auto" and known and _width(X) > TREE_WIDTH:
                self.algorithm = "brute"  # so that no tree is built for nothing
            super()._fit(X, y)
        finally:
            self.algorithm = asked
        self._index = None
        reason = self._why_not_fast()
        if reason is None:
            metric = FAST_METRICS[self.effective_metric_]
            self._index = PatientIndex(_searchable(self._fit_X), metric, self.n_jobs)
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
        if self._index is None or issparse(X):
            return super().kneighbors(X, n_neighbors, return_distance)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        available = self.n_samples_fit_ - (X is None)
        if not isinstance(k, int | np.integer) or not 0 < k <= available:
            return super().kneighbors(X, n_neighbors, return_distance)  # which says what is wrong
        if X is None:
            found = self._index.search(_searchable(self._fit_X), k + 1, self.n_jobs)
            distances, indices = without_self(*found, spare=0)  # as scikit-learn among equal rows
        else:
            X = validate_data(self, X, reset=False, order="C")
            distances, indices = self._index.search(_searchable(X), k, self.n_jobs)
        return (distances, indices) if return_distance else indices

    def _append(self, X, y=None):
        """Add training rows, which get the next indices. All or nothing is changed."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", order="C")
        X = _as_exactly(X, self._fit_X.dtype)
        rows = (vstack if issparse(X) or issparse(self._fit_X) else np.concatenate)(
            [self._fit_X, X]
        )
        longer = copy.copy(self)
        longer._fit(rows, y)
        if hasattr(self, "feature_names_in_"):  # which an array does not tell
            longer.feature_names_in_ = self.feature_names_in_
        if None not in (self._index, longer._index) and rows.dtype == self._fit_X.dtype:
            self._index.append(_searchable(X))
            longer._index, train = self._index, self._index.index.train
            longer._fit_X = train if train.shape == rows.shape else rows  # one copy is enough
        vars(self).update(vars(longer))
        return self


class AppendableRows(FastNeighbors):
    """More training rows after `fit`, for estimators without targets."""

    def append(self, X, y=None):
        """Add training rows; they get the next indices.

        Screens are kept, and only the new rows are coded. A copy of all rows is made, so that
        appending a few at a time costs a copy of all each time.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : ignored

        Returns
        -------
        self
        """
        return self._append(X)


class WeighedTargets(FastNeighbors):
    """Sample weights, and more training rows after `fit`, for estimators with targets.

    Attributes
    ----------
    sample_weight_ : ndarray (n_samples_fit_,) of float64, or None
        The weights of the training rows.
    """

    # `fit` takes it by keyword without naming it: scikit-learn's bagging and boosting ask the
    # signature, and would pass weights where with its own estimators they draw samples.
    __metadata_request__fit = {"sample_weight": None}  # noqa: RUF012

    def fit(self, X, y, **fit_params):
        """Keep the training rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional, by keyword
            What each row's vote, or its target in a mean, counts among the neighbours, times the
            weight that `weights` gives it. Rows of weight zero are left out as if they had not
            been given: indices are those of the others.

        Returns
        -------
        self
        """
        weight = fit_params.pop("sample_weight", None)
        if fit_params:
            raise TypeError(f"fit() takes X, y and sample_weight; got {', '.join(fit_params)}")
        if weight is not None:
            if not np.any(weight):
                raise ValueError("sample_weight must not be zero for all rows")
            X, y, weight = _with_weight(X, y, weight)
        super().fit(X, y)
        self.sample_weight_ = weight
        return self

    def append(self, X, y, sample_weight=None):
        """Add training rows and their targets; they get the next indices.

        Screens are kept, and only the new rows are coded. A copy of all rows is made, so that
        appending a few at a time costs a copy of all each time. Of a classifier, classes that
        are new join `classes_`.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), optional
            Their weights, as in `fit`; 1 by default.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        if sample_weight is not None and not np.any(sample_weight):
            return self
        weight = self.sample_weight_
        if weight is not None or sample_weight is not None:
            X, y, given = _with_weight(X, y, sample_weight)
            before = np.ones(self.n_samples_fit_) if weight is None else weight
            weight = np.concatenate([before, given])
        targets = self._targets()
        self._append(X, np.concatenate([targets, _like(targets, y, _num_samples(X))]))
        self.sample_weight_ = weight
        return self

    def _targets(self) -> np.ndarray:
        """What was fitted as y."""
        return self._y

    def _neighbor_weights(self, distances: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
        """What neighbours count: by `weights` and by their sample weights; None for the same."""
        if self.weights == "distance":
            weights = distance_weights(distances)
        else:
            weights = self.weights(distances) if callable(self.weights) else None
        if self.sample_weight_ is None:
            return weights
        sample = self.sample_weight_[indices]
        return sample if weights is None else weights * sample


class KNeighborsClassifier(WeighedTargets, _theirs.KNeighborsClassifier):
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
        "brute" uses fastknn for dense data under L1, L2 or cosine, else scikit-learn;
        "auto" does too, but for up to five features, where scikit-learn's tree is quicker; a tree
        that is asked for by name is scikit-learn's.
    leaf_size : int, default 30
        For scikit-learn's trees.
    p : float, default 2
        Power of the "minkowski" metric: 1 is L1, 2 is L2.
    metric : str or callable, default "minkowski"
        fastknn searches under "minkowski" with p=1 or 2, "l1", "manhattan", "cityblock", "l2",
        "euclidean" and "cosine".
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
    sample_weight_ : ndarray (n_samples_fit_,) of float64, or None
        What `fit` was given.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

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
        chosen = [classes[vote(**ballots)] for classes, ballots in self._ballots(X)]
        return np.stack(chosen, axis=1) if self.outputs_2d_ else chosen[0]

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
        shares = [vote_proba(**ballots) for _, ballots in self._ballots(X)]
        return shares if self.outputs_2d_ else shares[0]

    def _votes_itself(self, X) -> bool:
        """Whether the vote is fastknn's; scikit-learn's own calls `kneighbors` just as well."""
        if self.sample_weight_ is not None:
            return True
        return self._index is not None and not issparse(X) and not callable(self.weights)

    def _ballots(self, X) -> list[tuple[np.ndarray, dict]]:
        """The classes and what `vote` takes, for each output."""
        distances, indices = self.kneighbors(X)
        weights = self._neighbor_weights(distances, indices)
        outputs = self.classes_ if self.outputs_2d_ else [self.classes_]
        labels = self._y.reshape(len(self._y), -1)
        return [
            (
                classes,
                {
                    "neighbor_labels": labels[:, output][indices],
                    "n_classes": len(classes),
                    "weights": weights,
                    "n_jobs": self.n_jobs,
                },
            )
            for output, classes in enumerate(outputs)
        ]

    def _targets(self) -> np.ndarray:
        if not self.outputs_2d_:
            return self.classes_[self._y]
        columns = [classes[codes] for classes, codes in zip(self.classes_, self._y.T, strict=True)]
        return np.stack(columns, axis=1)


class KNeighborsRegressor(WeighedTargets, _theirs.KNeighborsRegressor):
    """scikit-learn's k-nearest-neighbours regressor on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsRegressor`. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbours whose targets are averaged.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much a neighbour's target counts.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    p : float, default 2
    metric : str or callable, default "minkowski"
    metric_params : dict or None, default None
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

    Examples
    --------
    >>> from fastknn import KNeighborsRegressor
    >>> KNeighborsRegressor(2).fit([[0.0], [1.0], [5.0]], [0, 1, 5]).predict([[0.4]])
    array([0.5])
    """

    def predict(self, X) -> np.ndarray:
        """Mean of the targets of each query's neighbours.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs) of float64
        """
        check_is_fitted(self)
        if self.sample_weight_ is None:
            return super().predict(X)
        distances, indices = self.kneighbors(X)
        weights = self._neighbor_weights(distances, indices)
        targets = self._y[indices]
        weights = weights.reshape(*weights.shape, *[1] * (targets.ndim - 2))
        return (targets * weights).sum(axis=1) / weights.sum(axis=1)


class NearestNeighbors(AppendableRows, _theirs.NearestNeighbors):
    """scikit-learn's unsupervised neighbour search on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.NearestNeighbors`. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.
    `radius_neighbors` is scikit-learn's.

    Parameters
    ----------
    n_neighbors : int, default 5
    radius : float, default 1.0
        For `radius_neighbors`.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    metric : str or callable, default "minkowski"
    p : float, default 2
    metric_params : dict or None, default None
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

    Examples
    --------
    >>> from fastknn import NearestNeighbors
    >>> search = NearestNeighbors(n_neighbors=1).fit([[0.0, 0.0], [3.0, 4.0]])
    >>> search.kneighbors([[3.0, 3.0]])
    (array([[1.]]), array([[1]]))
    """


class KNeighborsTransformer(AppendableRows, _theirs.KNeighborsTransformer):
    """Graph of nearest neighbours as a transformer, on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsTransformer`: for
    pipelines in front of estimators that take ``metric="precomputed"`` sparse graphs. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.

    Parameters
    ----------
    mode : {"distance", "connectivity"}, default "distance"
        What the graph holds.
    n_neighbors : int, default 5
        Neighbours of each row; with "distance", the row itself besides.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    metric : str or callable, default "minkowski"
    p : float, default 2
    metric_params : dict or None, default None
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

    Examples
    --------
    >>> from fastknn import KNeighborsTransformer
    >>> graph = KNeighborsTransformer(n_neighbors=1).fit_transform([[0.0], [1.0], [5.0]])
    >>> graph.toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 4., 0.]])
    """


class LocalOutlierFactor(FastNeighbors, _theirs.LocalOutlierFactor):
    """scikit-learn's local outlier factor on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.LocalOutlierFactor`. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.

    Parameters
    ----------
    n_neighbors : int, default 20
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    metric : str or callable, default "minkowski"
    p : float, default 2
    metric_params : dict or None, default None
    contamination : "auto" or float, default "auto"
        Share of outliers.
    novelty : bool, default False
        Whether new data will be judged, rather than the fitted rows.
    n_jobs : int or None, default None
        Threads; None and -1 mean every core.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

    Examples
    --------
    >>> from fastknn import LocalOutlierFactor
    >>> LocalOutlierFactor(n_neighbors=2).fit_predict([[-1.1], [0.2], [101.1], [0.3]])
    array([ 1,  1, -1,  1])
    """


def _width(X) -> int:
    """Features of what was given to be fitted, as far as that is known before it is checked."""
    try:
        return X.shape[1] if hasattr(X, "shape") else len(X[0])
    except (TypeError, IndexError, KeyError):
        return TREE_WIDTH + 1


def _with_weight(X, y, weight) -> tuple:
    """Rows of positive weight, their targets and their weights, which are checked."""
    weight = _check_sample_weight(weight, X, ensure_non_negative=True, dtype=np.float64)
    kept = np.flatnonzero(weight)
    if len(kept) < len(weight):
        X, y, weight = _safe_indexing(X, kept), _safe_indexing(y, kept), weight[kept]
    return X, y, weight


def _like(targets: np.ndarray, y, n_rows: int) -> np.ndarray:
    """More targets, shaped and, where that does not change them, typed as those before."""
    y = np.asarray(y)
    if len(y) != n_rows:
        raise ValueError(f"y must be as long as X, got {len(y)} for {n_rows} rows")
    if y.reshape(n_rows, -1).shape[1] != targets.reshape(len(targets), -1).shape[1]:
        raise ValueError(f"y must have as many outputs as in fit, got shape {y.shape}")
    numbers, are_numbers = (array.dtype.kind in "biuf" for array in (targets, y))
    if numbers != are_numbers:
        raise ValueError(f"y must be of a kind with {targets.dtype}, as in fit; got {y.dtype}")
    y = y.reshape(n_rows, *targets.shape[1:])
    return _as_exactly(y, targets.dtype) if numbers else y


def _as_exactly(X: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rows in this type if that does not change them, else as they are."""
    with np.errstate(invalid="ignore", over="ignore"):
        converted = X.astype(dtype)
    return X if (converted != X).sum() else converted


def _searchable(X: np.ndarray) -> np.ndarray:
    """64-bit integers as scikit-learn takes them, rounded to float64; all else as it is."""
    return X.astype(np.float64) if X.dtype.kind in "iu" and X.dtype.itemsize == 8 else X
