"""Drop-in estimators for scikit-learn, and more: sample weights, and rows appended after `fit`.

Everything else, the search and the vote among it, is in `drop_in.py`, whose classes
`patch_sklearn` installs: those do what scikit-learn's do, and refuse what scikit-learn's refuse.
"""

import copy
from numbers import Number

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from fastknn._utils.checks import as_ndarray, as_readable, hint_of_shape
from fastknn._utils.naming import own_names
from fastknn.estimators import drop_in
from fastknn.estimators.drop_in import (
    FastNeighbors,
    LocalOutlierFactor,
    searchable,
    weights_of_neighbors,
)
from fastknn.estimators.onnx import register_when_imported

__all__ = [
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
]


class GrowingRows(FastNeighbors):
    """More training rows after `fit`."""

    def _append(self, X, y=None):
        """Add training rows, which get the next indices. All or nothing is changed."""
        self._check_appendable()
        X = as_readable(X, "X")
        with hint_of_shape(X):
            X = validate_data(self, X, reset=False, accept_sparse="csr", order="C")
        self._check_width(X)
        # Of an estimator that was fitted on a tree, the rows are a buffer.
        before = self._fit_X if issparse(self._fit_X) else np.asarray(self._fit_X)
        X = _as_exactly(X, before.dtype)
        rows = (vstack if issparse(X) or issparse(before) else np.concatenate)([before, X])
        longer = copy.copy(self)
        longer._fit(rows, y)
        if hasattr(self, "feature_names_in_"):  # which an array does not tell
            longer.feature_names_in_ = self.feature_names_in_
        if hasattr(self, "_n_features_out"):
            longer._n_features_out = longer.n_samples_fit_
        derived = self._derived_now()
        index = derived.index
        if index is not None and longer.backend_ == "fastknn" and rows.dtype == before.dtype:
            index.append(searchable(X))
            train = index.index.train
            if (train.shape, train.dtype) == (rows.shape, rows.dtype):
                longer._fit_X = train  # one copy is enough
            longer._derived_now().keep(index)
            derived.index = None  # for a copy of this estimator may share it
        for left_over in vars(self).keys() - vars(longer).keys():
            delattr(self, left_over)
        vars(self).update(vars(longer))
        return self

    def _check_appendable(self) -> None:
        check_is_fitted(self)
        if self.metric == "precomputed":
            raise ValueError(
                "append() does not take rows where metric='precomputed': a row has a distance "
                "to every other, so fit the whole matrix anew"
            )


class AppendableRows(GrowingRows):
    """More training rows after `fit`, for estimators without targets."""

    def append(self, X, y=None):
        """Add training rows; they get the next indices.

        Screens are kept, and only the new rows are encoded. A copy of all rows is made, so that
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


class WeighedTargets(GrowingRows):
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
            What each row's vote, or its target in a mean, counts among the neighbors, times the
            weight that `weights` gives it. Rows of weight zero are left out as if they had not
            been given: indices are those of the others. Under ``metric="precomputed"`` weights
            must not be zero, for queries would still have a distance to each row given.

        Returns
        -------
        self
        """
        weight = _readable_weight(fit_params.pop("sample_weight", None))
        if fit_params:
            raise TypeError(
                f"{type(self).__name__}.fit() takes X, y and sample_weight; "
                f"got {', '.join(fit_params)}"
            )
        if weight is not None:
            if not np.any(weight):
                raise ValueError("sample_weight must not be zero for all rows")
            if self.metric == "precomputed" and not np.all(weight):
                raise ValueError(
                    "sample_weight must not be zero where metric='precomputed': leave out such "
                    "rows, and their columns of X"
                )
            X, y, weight = _with_weight(X, y, weight)
        super().fit(X, y)
        self.sample_weight_ = weight
        return self

    def _fit(self, X, y=None):
        super()._fit(X, y)
        vars(self).pop("sample_weight_", None)  # of other rows; `fit` sets it anew
        return self

    def __getattr__(self, name: str):
        if name == "sample_weight_" and "_fit_X" in vars(self):
            return None  # fitted past `fit`, or restored from scikit-learn's fields
        return super().__getattr__(name)

    def append(self, X, y, sample_weight=None):
        """Add training rows and their targets; they get the next indices.

        Screens are kept, and only the new rows are encoded. A copy of all rows is made, so that
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
        self._check_appendable()
        sample_weight = _readable_weight(sample_weight)
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
        """What neighbors count: by `weights` and by their sample weights; None for the same."""
        weights = weights_of_neighbors(self.weights, distances)
        if self.sample_weight_ is None:
            return weights
        sample = self.sample_weight_[indices]
        return sample if weights is None else weights * sample


@own_names
class KNeighborsClassifier(WeighedTargets, drop_in.KNeighborsClassifier):
    """scikit-learn's k-nearest-neighbors classifier on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsClassifier`,
    with which this page does not differ except as follows.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbors that vote.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much a neighbor's vote counts.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
        "brute" uses fastknn for dense data under L1, L2 or angles, else scikit-learn; so does
        "auto", except that for up to five features it uses the tree that scikit-learn would,
        which is quicker there but does not order equal distances by row: see `backend_`. A tree
        that is asked for by name is scikit-learn's.
    leaf_size : int, default 30
        For scikit-learn's trees.
    p : float, default 2
        Power of the "minkowski" metric: 1 is L1, 2 is L2.
    metric : str or callable, default "minkowski"
        fastknn searches under "minkowski" with p=1 or 2, "l1", "manhattan", "cityblock", "l2",
        "euclidean", "sqeuclidean", "cosine" and "correlation" (constant rows, for which SciPy
        has NaN, are at distance 1).
    metric_params : dict or None, default None
        Further arguments of a metric; with any, scikit-learn searches.
    n_jobs : int or None, default None
        Threads. None and -1 mean all that this process may use (see `fastknn.Index`), where
        scikit-learn takes None for one job (but uses every core too for most searches).

    Attributes
    ----------
    backend_ : {"fastknn", "scikit-learn"}
        Which of the two answers `kneighbors` and predicts. The reason for "scikit-learn" is
        logged by `fit` at level DEBUG under the name "fastknn". Under "scikit-learn" the order of
        equal distances is scikit-learn's. That of its trees, which ``algorithm="auto"`` uses for
        up to five features, is not the order of the rows: which of several equally near rows are
        found may depend on the order of the features and on `n_neighbors`, so that the first 3
        of 5 neighbors need not be those of a search for 3. ``algorithm="brute"`` avoids that.
    sample_weight_ : ndarray (n_samples_fit_,) of float64, or None
        What `fit` was given.

    Raises
    ------
    ValueError, TypeError
        By `fit` and the searches, for what scikit-learn's refuse, with its messages.

    Notes
    -----
    Bytes (uint8) are searched as bytes: do not convert images to floats. Where `backend_` is
    "fastknn", equal distances are ordered by the index of the training row, so results are the
    same on any machine.

    What fastknn does not search, such as a radius or sparse queries, is answered by scikit-learn
    with the method and the tree that it would have chosen; the tree is built when it is needed.

    Training rows in an array that scikit-learn does not copy should not be changed after `fit`.
    Each search looks at some 64 of them: where they have changed, all are indexed anew and the
    answer is for the rows as they are now; a change of a few other rows may go unnoticed.

    Pickles hold what was fitted, and not the index, which depends on the queries that came.
    `joblib.hash` is the same before and after any search.

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

    def _votes_itself(self) -> bool:
        return self.sample_weight_ is not None or super()._votes_itself()

    def _targets(self) -> np.ndarray:
        if not self.outputs_2d_:
            return self.classes_[self._y]
        columns = [classes[codes] for classes, codes in zip(self.classes_, self._y.T, strict=True)]
        return np.stack(columns, axis=1)


@own_names
class KNeighborsRegressor(WeighedTargets, drop_in.KNeighborsRegressor):
    """scikit-learn's k-nearest-neighbors regressor on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsRegressor`. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.

    Parameters
    ----------
    n_neighbors : int, default 5
        Number of neighbors whose targets are averaged.
    weights : {"uniform", "distance"}, callable or None, default "uniform"
        How much a neighbor's target counts.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    p : float, default 2
    metric : str or callable, default "minkowski"
    metric_params : dict or None, default None
    n_jobs : int or None, default None
        Threads; None and -1 mean all that this process may use.

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
        """Mean of the targets of each query's neighbors.

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


@own_names
class NearestNeighbors(AppendableRows, drop_in.NearestNeighbors):
    """scikit-learn's unsupervised neighbor search on fastknn's exact search.

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
        Threads; None and -1 mean all that this process may use.

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


@own_names
class KNeighborsTransformer(AppendableRows, drop_in.KNeighborsTransformer):
    """Graph of nearest neighbors as a transformer, on fastknn's exact search.

    The same constructor, attributes and results as `sklearn.neighbors.KNeighborsTransformer`: for
    pipelines in front of estimators that take ``metric="precomputed"`` sparse graphs. See
    `KNeighborsClassifier` for what `algorithm`, `metric`, `n_jobs` and `backend_` mean here.

    Parameters
    ----------
    mode : {"distance", "connectivity"}, default "distance"
        What the graph holds.
    n_neighbors : int, default 5
        Neighbors of each row; with "distance", the row itself besides.
    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    leaf_size : int, default 30
    metric : str or callable, default "minkowski"
    p : float, default 2
    metric_params : dict or None, default None
    n_jobs : int or None, default None
        Threads; None and -1 mean all that this process may use.

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


def _readable_weight(weight):
    """Sample weights that scikit-learn can check: it would use masked ones as if they were not."""
    if weight is None or isinstance(weight, Number):
        return weight
    return as_ndarray(weight, "sample_weight", "a number for each row")


def _with_weight(X, y, weight) -> tuple:
    """Rows of positive weight, their targets and their weights, which are checked."""
    weight = _check_sample_weight(weight, X, ensure_non_negative=True, dtype=np.float64)
    kept = np.flatnonzero(weight)
    if len(kept) < len(weight):
        X, y, weight = _safe_indexing(X, kept), _safe_indexing(y, kept), weight[kept]
    return X, y, weight


def _like(targets: np.ndarray, y, n_rows: int) -> np.ndarray:
    """More targets, shaped and, where that does not change them, typed as those before."""
    y = as_ndarray(y, "y", "targets of equal length")
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


register_when_imported()
