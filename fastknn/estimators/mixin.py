"""fastknn's search in front of scikit-learn's neighbors estimators.

One mixin stands before scikit-learn's class and answers its `kneighbors`, through which most of
what the class does goes. Everything else is scikit-learn's own code, with the method and the tree
that it would have had. The index, the method and the tree are built when they are first needed.
"""

from __future__ import annotations

import copy
import logging
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn import config_context
from sklearn import neighbors as _theirs
from sklearn.neighbors import _base
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from fastknn._utils.changes import RowsSample
from fastknn._utils.docstrings import documented
from fastknn._utils.sklearn_input import as_readable, hint_of_shape
from fastknn.metrics.keys import as_distances, check_found
from fastknn.search.calls import without_self
from fastknn.search.index import Index

if TYPE_CHECKING:  # the class that the mixin stands before; it has no base of its own
    from sklearn.neighbors._base import KNeighborsMixin as _Estimator
else:
    _Estimator = object

logger = logging.getLogger("fastknn")

# scikit-learn's name of a metric, once p is taken into account, and fastknn's name for it.
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
# The parameters by which scikit-learn chooses the method of its search, and its tree.
METHOD_PARAMETERS = ("n_neighbors", "algorithm", "leaf_size", "metric", "p", "metric_params")
TREES = (_theirs.KDTree, _theirs.BallTree)
# What `fit` takes besides rows: the rows in these are checked, and there is a tree already.
FITTED = (*TREES, _base.NeighborsBase)
# scikit-learn's own class, whatever `patch_sklearn` puts in its place later.
_NearestNeighbors = _theirs.NearestNeighbors


class Derived:
    """What was built from the training rows: fastknn's index, scikit-learn's method and tree.

    It holds for one array of rows under one metric, and is dropped once the estimator has another
    array or metric. It is never pickled: see `FastNeighbors.__getstate__`.
    """

    def __init__(self, rows: Any, metric: object) -> None:
        self.rows, self.metric = rows, metric
        self.index: Index | None = None
        self.sample: RowsSample | None = None  # taken of the rows when they were indexed
        self.method_and_tree: tuple | None = None

    def keep(self, index: Index) -> None:
        """Keep an index of these rows, and a sample of them by which changes are noticed."""
        self.index, self.sample = index, RowsSample(self.rows)

    def is_outdated(self) -> bool:
        """Whether there is an index of rows that have changed since."""
        if self.index is None or self.sample is None:
            return False
        return self.sample.changed(self.rows) is not None


@documented
class FastNeighbors(_Estimator):
    """fastknn's search in front of one of scikit-learn's neighbors estimators.

    `fit` builds nothing that may not be needed. The index, and scikit-learn's `_fit_method` and
    `_tree` where fastknn searches, are built when they are first needed, from the rows that
    `_fit_X` then holds. So they are right for an estimator whose `_fit_X` was replaced, or that was
    restored field by field. A method and a tree that were set from outside are used. Rows that were
    changed in place after `fit` are noticed by a sample (`_utils/changes.py`) and indexed anew.

    Attributes
    ----------
    %(backend)s
    """

    _doc_link_module = "fastknn"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """The page of scikit-learn's class, which has the same constructor and methods."""
        return {"estimator_module": "sklearn.neighbors", "estimator_name": type(self).__name__}

    def _fit(self, X, y=None):
        X, y, algorithm = as_readable(X, "X"), as_readable(y, "y"), self.algorithm
        # Whether fastknn searches depends on the rows too, which scikit-learn has to check first.
        undecided = self._may_be_fast() and not isinstance(X, FITTED)
        if undecided:
            self.algorithm = "brute"  # so that no tree is built that is not needed
        try:
            with hint_of_shape(X):
                super()._fit(X, y)
        finally:
            self.algorithm = algorithm
        self.__dict__.pop("_as_fitted", None)
        # Always new: the same array may hold other values than at the last `fit`.
        self._derived = Derived(self._fit_X, self.effective_metric_)
        if undecided and algorithm == "auto" and not issparse(self._fit_X):
            del self._fit_method, self._tree
            # The tree may be needed after the parameters have been set anew.
            self._as_fitted = self._parameters()
            if not _is_numeric(self._fit_X):
                self._fit_method, self._tree = self._method_and_tree()
        reason = self._why_not_fast()
        if reason is not None:
            logger.debug("%s falls back to scikit-learn: %s", type(self).__name__, reason)
        return self

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in METHOD_PARAMETERS}

    def _may_be_fast(self) -> bool:
        """Whether fastknn can search under these parameters, if the rows are such that it can."""
        if self.algorithm not in ("auto", "brute") or self.metric_params:
            return False
        if not isinstance(self.metric, str):
            return False
        return self.metric in FAST_METRICS or (self.metric == "minkowski" and self.p in (1, 2))

    def _why_not_fast(self) -> str | None:
        """The reason why this estimator, as it is now, needs scikit-learn's search, or None."""
        own = self.__dict__
        method = own.get("_fit_method", "brute")
        if own.get("_tree") is not None:  # set from outside, perhaps without the method
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
        if "_fit_X" not in self.__dict__:
            raise AttributeError(f"this {type(self).__name__} is not fitted: it has no 'backend_'")
        return "fastknn" if self._why_not_fast() is None else "scikit-learn"

    def __getattr__(self, name: str) -> Any:
        """Build the index, the method or the tree when it is first needed, once there are rows."""
        if name in ("_index", "_fit_method", "_tree") and "_fit_X" in self.__dict__:
            if name == "_index":
                return self._fast_index()
            return self._method_and_tree()[name == "_tree"]
        return super().__getattribute__(name)  # raises the AttributeError that led here

    def _derived_now(self) -> Derived:
        """What was built from the rows as they are now. It is empty if they have changed."""
        derived, metric = self.__dict__.get("_derived"), self.__dict__.get("effective_metric_")
        if derived is None or derived.rows is not self._fit_X or derived.metric != metric:
            derived = self._derived = Derived(self._fit_X, metric)
        if derived.is_outdated():
            logger.info("the training rows have changed: they are indexed anew")
            derived.index = None  # scikit-learn, too, answers for the rows as they are now
        return derived

    def _fast_index(self) -> Index | None:
        if self._why_not_fast() is not None:
            return None
        derived = self._derived_now()
        if derived.index is None:
            metric = FAST_METRICS[self.effective_metric_]
            # No screen yet: it gets one once the queries that came pay for it.
            index = Index(
                searchable(self._fit_X),
                metric,
                expected_queries=0,
                n_jobs=self._n_threads(),
                check_finite=False,
            )
            derived.keep(index)
        return derived.index

    def _method_and_tree(self) -> tuple:
        """scikit-learn's method and tree for these rows, by the parameters at the time of `fit`."""
        derived = self._derived_now()
        if derived.method_and_tree is None:
            parameters = self.__dict__.get("_as_fitted") or self._parameters()
            with config_context(assume_finite=True):  # `fit` has checked
                built = _NearestNeighbors(**parameters)._fit(self._fit_X)
            derived.method_and_tree = built._fit_method, built._tree
        return derived.method_and_tree

    def __getstate__(self) -> dict:
        """What was fitted, and nothing that depends on the searches since then.

        Whether there is an index, and with which screen, depends on the queries so far, and the
        choice of a screen on timings. With them, `joblib.hash` and so `joblib.Memory` would take
        an estimator that has searched for another one.
        """
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_derived", None)
        if isinstance(state.get("_tree"), TREES):
            state["_tree"] = _without_counts(state["_tree"])
        return state

    def __copy__(self) -> Self:
        return self._with_fields(self.__dict__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = other = self._with_fields({})
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    def _with_fields(self, fields: dict[str, Any]) -> Self:
        """Another estimator of this class. Copies keep the index, which pickles do not hold."""
        other = type(self).__new__(type(self))
        other.__dict__.update(fields)
        return other

    def _n_threads(self) -> int | None:
        """`n_jobs`, with scikit-learn's errors."""
        if self.n_jobs is None:  # which joblib takes longer to say than some searches
            return None
        effective_n_jobs(self.n_jobs)
        return int(self.n_jobs)

    @overload
    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: Literal[True] = True,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        *,
        return_distance: bool,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]: ...

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
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
            if queries is None:  # scikit-learn answers, or raises its error
                return super().kneighbors(X, n_neighbors, return_distance)
        n_threads = self._n_threads()
        index = self._fast_index()
        assert index is not None  # fastknn answers, as `_queries` says
        keys = index.search_keys(
            searchable(queries),
            int(k) + (X is None),
            n_jobs=n_threads,
            check_finite=False,  # scikit-learn has looked
            name="X",
        )
        check_found(keys, "X")
        found = as_distances(keys, index.metric), keys.rows
        if X is None:
            found = without_self(*found, spare=0)  # as scikit-learn among equal rows
        return found if return_distance else found[1]

    def _queries(self, X, k) -> np.ndarray | None:
        """The queries as fastknn takes them, or None where scikit-learn has to answer."""
        if self._why_not_fast() is not None or not isinstance(k, Integral):
            return None
        if not 0 < int(k) <= self.n_samples_fit_ - (X is None):
            return None
        if X is None:
            return self._fit_X
        # Only what has been checked shows whether it is sparse, and of which type.
        X = validate_data(self, X, reset=False, accept_sparse="csr", order="C")
        if not _is_numeric(X):
            return None
        self._check_width(X)
        return X

    def _check_width(self, X: Any) -> None:
        """Raise unless X is as wide as the training rows, with scikit-learn's message."""
        width = self._fit_X.shape[1]
        if X.shape[1] != width:  # scikit-learn notices it except where it was restored
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {width} "
                "features as input"
            )


def _without_counts(tree):
    """The same tree, whose pickle does not hold the counts of its searches."""
    make, arguments, state = tree.__reduce__()
    other = make(*arguments)
    other.__setstate__((*state[:7], 0, 0, 0, 0, *state[11:]))  # trims, leaves, splits, calls
    return other


def _is_numeric(X: object) -> bool:
    """Whether these are dense rows of real numbers."""
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf"


def searchable(X: np.ndarray) -> np.ndarray:
    """Rows as an index takes them: 64-bit integers and long doubles become float64.

    They are rounded as scikit-learn does. Raises its ValueError for what float64 cannot hold.
    """
    exact = X.dtype.itemsize < 8 or X.dtype == np.float64
    return X if exact else check_array(X, dtype=np.float64, input_name="X")
