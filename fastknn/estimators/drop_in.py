"""What `patch_sklearn` installs: scikit-learn's estimators, with fastknn's search and vote.

One mixin stands in front of scikit-learn's classes and answers their `kneighbors`, through which
most of what they do goes. All else is scikit-learn's own code, with the method and the tree that
it would have had; both are built when they are first asked for. The classes have the methods and
arguments of scikit-learn's and no more: what fastknn adds to them is in `neighbors.py`.
"""

import copy
import inspect
import logging
from numbers import Integral

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import issparse
from sklearn import config_context
from sklearn import neighbors as _theirs
from sklearn.neighbors import _base
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from fastknn._utils.changes import RowsSample
from fastknn._utils.checks import as_readable, hint_of_shape
from fastknn._utils.naming import own_names
from fastknn.search.adaptive import AdaptiveIndex
from fastknn.search.calls import without_self
from fastknn.search.policy import FIT, Known, choose
from fastknn.voting.votes import distance_weights, vote, vote_proba

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
    "sqeuclidean": "sqeuclidean",
    "cosine": "cosine",
    "correlation": "correlation",
}

# What decides, in scikit-learn, on the method of the search and on its tree.
METHOD_PARAMETERS = ("n_neighbors", "algorithm", "leaf_size", "metric", "p", "metric_params")
TREES = (_theirs.KDTree, _theirs.BallTree)
# What `fit` takes besides rows: they have been checked, and have a tree already.
FITTED = (*TREES, _base.NeighborsBase)


# scikit-learn's own class, whatever `patch_sklearn` puts in its place later.
_NearestNeighbors = _theirs.NearestNeighbors


class Derived:
    """What was built from the training rows: fastknn's index, scikit-learn's method and tree.

    It is of use for one array of rows under one metric, and is thrown away where an estimator
    holds others. It is never pickled: see `FastNeighbors.__getstate__`.
    """

    def __init__(self, rows: object, metric: object) -> None:
        self.rows, self.metric = rows, metric
        self.index: AdaptiveIndex | None = None
        self.sample: RowsSample | None = None  # of the rows that were indexed
        self.method_and_tree: tuple | None = None

    def keep(self, index: AdaptiveIndex) -> None:
        """An index of these rows."""
        self.index, self.sample = index, RowsSample(self.rows)


class FastNeighbors:
    """fastknn's search in front of one of scikit-learn's neighbors estimators.

    Nothing is built by `fit` that may not be needed. The index, and scikit-learn's `_fit_method`
    and `_tree` where fastknn searches, are built when they are first asked for, from the rows
    that `_fit_X` then is. So an estimator whose `_fit_X` was replaced, or that was restored field
    by field, has the right ones. A method and a tree that somebody set are respected. Rows that
    were changed in place after `fit` are noticed by a sample (`_changes.py`) and indexed anew.

    Attributes
    ----------
    backend_ : {"fastknn", "scikit-learn"}
        Which of the two answers `kneighbors`. The reason for "scikit-learn" is logged by `fit`
        at level DEBUG under the name "fastknn". Under "scikit-learn" the order of equal distances
        is scikit-learn's: a tree's, which "auto" means for up to five features, is not that of
        the rows, and its first 3 of 5 neighbors need not be those of a search for 3.
    """

    _doc_link_module = "fastknn"

    def _doc_link_url_param_generator(self) -> dict:
        """The page of scikit-learn's class, whose constructor and methods these are."""
        return {"estimator_module": "sklearn.neighbors", "estimator_name": type(self).__name__}

    def _fit(self, X, y=None):
        X, y, asked = as_readable(X, "X"), as_readable(y, "y"), self.algorithm
        # Whether fastknn searches depends on the rows too, which scikit-learn has to check first.
        undecided = self._may_be_fast() and not isinstance(X, FITTED)
        if undecided:
            self.algorithm = "brute"  # so that no tree is built for nothing
        try:
            with hint_of_shape(X):
                super()._fit(X, y)
        finally:
            self.algorithm = asked
        vars(self).pop("_as_fitted", None)
        # Always new: the same array may hold other numbers by now.
        self._derived = Derived(self._fit_X, self.effective_metric_)
        if undecided and asked == "auto" and not issparse(self._fit_X):
            del self._fit_method, self._tree
            # Parameters may be set anew after `fit`, before the tree is needed.
            self._as_fitted = self._parameters()
            known = Known.of(self._fit_X, self.effective_metric_)
            if choose(FIT, known).choice == "tree" or not _is_numeric(self._fit_X):
                self._fit_method, self._tree = self._method_and_tree()
        reason = self._why_not_fast()
        if reason is not None:
            logger.debug("%s falls back to scikit-learn: %s", type(self).__name__, reason)
        return self

    def _parameters(self) -> dict:
        return {name: getattr(self, name) for name in METHOD_PARAMETERS}

    def _may_be_fast(self) -> bool:
        """Whether the parameters leave it open that fastknn searches."""
        if self.algorithm not in ("auto", "brute") or self.metric_params:
            return False
        if not isinstance(self.metric, str):
            return False
        return self.metric in FAST_METRICS or (self.metric == "minkowski" and self.p in (1, 2))

    def _why_not_fast(self) -> str | None:
        """Why this estimator, as it is now, needs scikit-learn's search, or None."""
        own = vars(self)
        method = own.get("_fit_method", "brute")
        if own.get("_tree") is not None:  # set by somebody, perhaps without the method
            method = self._fit_method
        if method != "brute":
            return f"the algorithm is {method}"
        metric = "precomputed" if self.metric == "precomputed" else own.get("effective_metric_")
        if not isinstance(metric, str) or metric not in FAST_METRICS:
            return f"the metric is {metric}"
        if own.get("effective_metric_params_"):
            return "the metric has parameters"
        if issparse(self._fit_X):
            return "the data are sparse"
        if not _is_numeric(self._fit_X):
            return f"the data are {getattr(self._fit_X, 'dtype', type(self._fit_X).__name__)}"
        return None

    @property
    def backend_(self) -> str:
        """Which of the two searches: "fastknn" or "scikit-learn"."""
        if "_fit_X" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted: it has no 'backend_'")
        return "fastknn" if self._why_not_fast() is None else "scikit-learn"

    def __getattr__(self, name: str):
        """What is built when it is first asked for, of an estimator that has rows."""
        if name in ("_index", "_fit_method", "_tree") and "_fit_X" in vars(self):
            if name == "_index":
                return self._fast_index()
            return self._method_and_tree()[name == "_tree"]
        return super().__getattribute__(name)  # raises anew what brought us here

    def _derived_now(self) -> Derived:
        """What was built from the rows as they are, or an empty one."""
        derived, metric = vars(self).get("_derived"), vars(self).get("effective_metric_")
        if derived is None or derived.rows is not self._fit_X or derived.metric != metric:
            derived = self._derived = Derived(self._fit_X, metric)
        if derived.index is not None and derived.sample.changed(self._fit_X) is not None:
            logger.info("the training rows have changed: they are indexed anew")
            derived.index = None  # scikit-learn, too, answers for the rows that are there now
        return derived

    def _fast_index(self) -> AdaptiveIndex | None:
        if self._why_not_fast() is not None:
            return None
        derived = self._derived_now()
        if derived.index is None:
            metric = FAST_METRICS[self.effective_metric_]
            index = AdaptiveIndex(searchable(self._fit_X), metric, self._n_threads())
            derived.keep(index)
        return derived.index

    def _method_and_tree(self) -> tuple:
        """scikit-learn's method and tree of these rows, as this estimator was fitted."""
        derived = self._derived_now()
        if derived.method_and_tree is None:
            parameters = vars(self).get("_as_fitted") or self._parameters()
            with config_context(assume_finite=True):  # `fit` has looked
                built = _NearestNeighbors(**parameters)._fit(self._fit_X)
            derived.method_and_tree = built._fit_method, built._tree
        return derived.method_and_tree

    def __getstate__(self) -> dict:
        """What was fitted, and nothing that depends on the searches since then.

        Whether there is an index, and with which screen, depends on the queries that came, and
        the choice of a screen on the clock. With them, `joblib.hash` and so `joblib.Memory` would
        take an estimator that has searched for another one.
        """
        state = dict(super().__getstate__())
        state.pop("_derived", None)
        if isinstance(state.get("_tree"), TREES):
            state["_tree"] = _without_counts(state["_tree"])
        return state

    def __copy__(self):
        return self._with_fields(vars(self))

    def __deepcopy__(self, memo: dict):
        memo[id(self)] = other = self._with_fields({})
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other

    def _with_fields(self, fields: dict):
        """Another of this class. Copies in one process keep the index, which pickles lack."""
        other = type(self).__new__(type(self))
        vars(other).update(fields)
        return other

    def _n_threads(self) -> int | None:
        """`n_jobs`, with scikit-learn's errors."""
        effective_n_jobs(self.n_jobs)
        return None if self.n_jobs is None else int(self.n_jobs)

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest training rows, as scikit-learn's method of the same name.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            By default the training rows themselves, none of which is its own neighbor.
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
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        X = as_readable(X, "X")
        with hint_of_shape(X):
            queries = self._queries(X, k)
            if queries is None:  # scikit-learn answers, or says what is wrong
                return super().kneighbors(X, n_neighbors, return_distance)
        n_threads = self._n_threads()
        found = self._fast_index().search(searchable(queries), int(k) + (X is None), n_threads)
        if X is None:
            found = without_self(*found, spare=0)  # as scikit-learn among equal rows
        return found if return_distance else found[1]

    def _queries(self, X, k) -> np.ndarray | None:
        """The queries as fastknn takes them, or None where it does not answer."""
        if self._why_not_fast() is not None or not isinstance(k, Integral):
            return None
        if not 0 < k <= self.n_samples_fit_ - (X is None):
            return None
        if X is None:
            return self._fit_X
        # Only what has been checked shows whether it is sparse, and of which type.
        X = validate_data(self, X, reset=False, accept_sparse="csr", order="C")
        if not _is_numeric(X):
            return None
        self._check_width(X)
        return X

    def _check_width(self, X) -> None:
        """Raise unless X is as wide as the training rows, in scikit-learn's words."""
        width = self._fit_X.shape[1]
        if X.shape[1] != width:  # which only a restored estimator can leave unnoticed
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {width} "
                "features as input"
            )


def _documentation(original: type) -> str:
    """scikit-learn's documentation, but for examples of what it prints."""
    # `getdoc` takes the indentation away in every Python; since 3.13 the compiler does, too.
    return (inspect.getdoc(original) or "").split("\nExamples\n---")[0].rstrip()


@own_names
class KNeighborsClassifier(FastNeighbors, _theirs.KNeighborsClassifier):
    __doc__ = _documentation(_theirs.KNeighborsClassifier)

    def predict(self, X) -> np.ndarray:
        """Class with the most votes among each query's neighbors; ties go to the smallest.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries,) or (n_queries, n_outputs)
        """
        check_is_fitted(self)
        if not self._votes_itself():
            return super().predict(X)
        chosen = [classes[vote(**ballots)] for classes, ballots in self._ballots(X)]
        return np.stack(chosen, axis=1) if self.outputs_2d_ else chosen[0]

    def predict_proba(self, X) -> np.ndarray | list[np.ndarray]:
        """Each class's share of the votes among each query's neighbors.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), or None
            None for the training rows, each without itself.

        Returns
        -------
        ndarray of shape (n_queries, n_classes), or a list of one for each output
        """
        check_is_fitted(self)
        if not self._votes_itself():
            return super().predict_proba(X)
        shares = [vote_proba(**ballots) for _, ballots in self._ballots(X)]
        return shares if self.outputs_2d_ else shares[0]

    def _votes_itself(self) -> bool:
        """Whether the vote is fastknn's; scikit-learn's own calls `kneighbors` just as well."""
        return self._why_not_fast() is None and not callable(self.weights)

    def _neighbor_weights(self, distances: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
        """What neighbors count by `weights`; None for the same."""
        return weights_of_neighbors(self.weights, distances)

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
                    "n_jobs": self._n_threads(),
                },
            )
            for output, classes in enumerate(outputs)
        ]


@own_names
class KNeighborsRegressor(FastNeighbors, _theirs.KNeighborsRegressor):
    __doc__ = _documentation(_theirs.KNeighborsRegressor)


@own_names
class NearestNeighbors(FastNeighbors, _theirs.NearestNeighbors):
    __doc__ = _documentation(_theirs.NearestNeighbors)

    def radius_neighbors(self, X=None, radius=None, return_distance=True, sort_results=False):
        """Find the training rows within a radius: scikit-learn's search, as its documentation says.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            By default the training rows themselves, none of which is its own neighbor.
        radius : float, optional
            By default the constructor's.
        return_distance : bool, default True
            Whether to return the distances too.
        sort_results : bool, default False
            Whether the nearest come first.

        Returns
        -------
        distances : ndarray (n_queries,) of arrays of float64
            Only if `return_distance`.
        indices : ndarray (n_queries,) of arrays of int64
        """
        X = as_readable(X, "X")
        with hint_of_shape(X):
            return super().radius_neighbors(X, radius, return_distance, sort_results)


@own_names
class KNeighborsTransformer(FastNeighbors, _theirs.KNeighborsTransformer):
    __doc__ = _documentation(_theirs.KNeighborsTransformer)


@own_names
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
        Threads; None and -1 mean all that this process may use.

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


def weights_of_neighbors(weights, distances: np.ndarray) -> np.ndarray | None:
    """What neighbors count by the parameter `weights`; None for the same."""
    if weights == "distance":
        return distance_weights(distances)
    return weights(distances) if callable(weights) else None


def _without_counts(tree):
    """The same tree, whose pickle does not say what its searches have counted."""
    make, arguments, state = tree.__reduce__()
    other = make(*arguments)
    other.__setstate__((*state[:7], 0, 0, 0, 0, *state[11:]))  # trims, leaves, splits, calls
    return other


def _is_numeric(X: object) -> bool:
    """Whether these are dense rows of real numbers."""
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf"


def searchable(X: np.ndarray) -> np.ndarray:
    """64-bit integers and long doubles rounded to float64, as in scikit-learn; all else as it is.

    Raises ValueError, in scikit-learn's words, for what float64 cannot hold.
    """
    exact = X.dtype.itemsize < 8 or X.dtype == np.float64
    return X if exact else check_array(X, dtype=np.float64, input_name="X")
