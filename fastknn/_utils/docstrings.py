"""Paragraphs that several docstrings have in common: each is written once, here.

A docstring has ``%(name)s`` in their place, at the indentation of the docstring itself.
"""

import inspect
from typing import TypeVar

Documented = TypeVar("Documented", bound=object)

SHARED = {
    # --- Searches ---
    "metric": """\
metric : str, default "l2"
    As for `Index`.""",
    "n_jobs": """\
n_jobs : int or None, default None
    Threads; None and -1 mean all that this process may use, as for `Index`.""",
    "progress": """\
progress : bool or object with an ``update(n)`` method, default None
    True shows a tqdm bar; an object is told of every (perhaps fractional) number of queries
    done.""",
    "errors of searches": """\
ValueError, TypeError
    For arguments that cannot be searched, by name.""",
    # --- Votes ---
    "ballots": """\
weights : array_like of float, shape (m, k), optional
    Finite, non-negative weight of each neighbor's vote, such as `distance_weights` gives; by
    default every vote counts one.
ks : sequence of int, optional
    Vote once for each of these numbers of neighbors, 1 <= ks[i] <= k, in any order and repeats
    allowed; by default all k neighbors vote, once.
n_jobs : int or None, default None
    Threads; None and -1 mean all that this process may use.""",
    # --- The estimators of `drop_in.py` and `neighbors.py` ---
    "search parameters": """\
algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default "auto"
    "auto" and "brute" mean fastknn's search for dense data under the metrics listed below, and
    else scikit-learn's. "kd_tree" and "ball_tree" are scikit-learn's trees, which do not order
    equal distances by row (see `backend_`).
leaf_size : int, default 30
    For scikit-learn's trees.
metric : str or callable, default "minkowski"
    fastknn searches under "minkowski" with p=1 or 2, "l1", "manhattan", "cityblock", "l2",
    "euclidean", "sqeuclidean", "cosine" and "correlation" (constant rows, for which SciPy
    has NaN, are at distance 1).
p : float, default 2
    Power of the "minkowski" metric: 1 is L1, 2 is L2.
metric_params : dict or None, default None
    Further arguments of a metric; with any, scikit-learn searches.
n_jobs : int or None, default None
    Threads. None and -1 mean all that this process may use (see `fastknn.Index`), where
    scikit-learn takes None for one job (but uses every core too for most searches).""",
    "backend": """\
backend_ : {"fastknn", "scikit-learn"}
    Which of the two searches. The reason for "scikit-learn" is logged by `fit` at level DEBUG
    under the name "fastknn". Under "scikit-learn" the order of equal distances is
    scikit-learn's. That of its trees is not the order of the rows: which of several equally near
    rows are found may depend on the order of the features and on `n_neighbors`, so that the first
    3 of 5 neighbors need not be those of a search for 3.""",
    "sample weight": """\
sample_weight_ : ndarray (n_rows,) of float64, or None
    The weights of the training rows that `fit` was given.""",
    "errors of scikit-learn": """\
ValueError, TypeError
    Raised by `fit` and by the searches for what scikit-learn's estimator refuses, with
    scikit-learn's messages.""",
    "notes on the search": """\
Bytes (uint8) are searched as bytes: do not convert images to floats. Where `backend_` is
"fastknn", equal distances are ordered by the index of the training row, so results are the
same on any machine.

What fastknn does not search, such as a radius or sparse queries, is answered by scikit-learn
with the method and the tree that it would have chosen; the tree is built when it is needed.

Training rows in an array that scikit-learn does not copy should not be changed after `fit`.
Each search looks at some 64 of them: where they have changed, all are indexed anew and the
answer is for the rows as they are now; a change of a few other rows may go unnoticed.

Pickles hold what was fitted, and not the index, which depends on the queries so far.
`joblib.hash` is the same before and after any search.""",
    # --- `cross_validate_k` and the estimators of `search_cv.py` ---
    "combinations": """\
ks : sequence of int, optional
    Numbers of neighbors; by default 1, 3, 5, 8, 10, 12, 15, 20, 50, 100, as far as every
    fold has so many training rows.
metrics : sequence of str, default ("l1", "l2")
    Any that `fastknn.Index` takes.
weights : sequence of {"uniform", "distance"}, default both""",
    "threads and progress": """\
n_jobs : int or None, default None
    Threads; None and -1 mean all that this process may use.
progress : bool, None or object with an ``update(n)`` method, optional
    True shows a tqdm bar over all held-out rows and metrics.""",
    "best": """\
cv_results_ : dict of ndarray
    The scores of all combinations, in the layout of `GridSearchCV.cv_results_`.
best_params_ : dict
    ``metric``, ``n_neighbors`` and ``weights`` of the best mean score; of equal scores, the
    first.
best_index_ : int
    The place of that combination in `cv_results_`.
best_score_ : float
    Its mean score.""",
    "errors by name": """\
ValueError, TypeError
    Raised by `fit` for arguments that it cannot use. The message names the argument.""",
}


def documented(one: Documented) -> Documented:
    """Fill in the shared paragraphs of the docstring of a class or function.

    Examples
    --------
    >>> @documented
    ... class Cross:
    ...     '''What it is.
    ...
    ...     %(sample weight)s
    ...     '''
    >>> print(Cross.__doc__.splitlines()[2])
    sample_weight_ : ndarray (n_rows,) of float64, or None
    """
    if one.__doc__ is not None:  # which `python -OO` leaves out
        # Python takes the indentation away itself since 3.13.
        one.__doc__ = inspect.cleandoc(one.__doc__) % SHARED
    return one
