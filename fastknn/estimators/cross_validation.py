"""Scores of every k, metric and weighting on held-out folds, with one search per metric and fold.

The neighbors found for the largest k include those for every smaller k. So each metric and fold is
searched once, whatever the numbers of neighbors and the weights. The index of a fold shares the
screens and the codes of the index of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid
from sklearn.utils.multiclass import check_classification_targets

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.docstrings import documented
from fastknn._utils.labels import as_labels
from fastknn._utils.matrices import as_matrix, checked_matrix
from fastknn._utils.progress import Progress, ProgressArgument, check_progress, show_progress
from fastknn._utils.scalars import as_count, distinct_values
from fastknn._utils.tables import array_of_columns
from fastknn._utils.threads import thread_count
from fastknn.estimators.answers import HeldOutAnswers, HeldOutMeans, HeldOutVotes, run_slices
from fastknn.estimators.folds import Folds, Splitter, check_groups, make_folds
from fastknn.metrics.names import metric_name
from fastknn.search.calls import index_for, without_self
from fastknn.search.index import Index

__all__ = ["cross_validate_k"]

# The numbers of neighbors of the lecture's experiment.
KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)
METRICS = ("l1", "l2")
WEIGHTS = ("uniform", "distance")
# Combinations in the table that is shown.
ROWS_SHOWN = 12


class Scores(dict):
    """Scores in the layout of `GridSearchCV.cv_results_`, shown as a table with the best first."""

    def __repr__(self) -> str:
        if not {"params", "rank_test_score", "mean_test_score", "std_test_score"} <= set(self):
            return super().__repr__()  # a user has removed what the table shows
        order = np.argsort(self["rank_test_score"], kind="stable")
        lines = ["rank  metric              k  weights       mean       sd"]
        for place in order[:ROWS_SHOWN]:
            one = self["params"][place]
            lines.append(
                f"{self['rank_test_score'][place]:>4}  {one['metric']:<11} "
                f"{one['n_neighbors']:>9}  {one['weights']:<9} "
                f"{self['mean_test_score'][place]:>8.4f} {self['std_test_score'][place]:>8.4f}"
            )
        if len(order) > ROWS_SHOWN:
            lines.append(f"      and {len(order) - ROWS_SHOWN} more")
        return "\n".join(lines)


@documented
def cross_validate_k(
    X: ArrayLike,
    y: ArrayLike,
    ks: Sequence[int] | None = None,
    metrics: Sequence[str] = METRICS,
    weights: Sequence[str] = WEIGHTS,
    cv: Splitter = 5,
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., float] = "accuracy",
    *,
    regression: bool = False,
    n_jobs: int | None = None,
    progress: ProgressArgument = None,
) -> Scores:
    """Score every number of neighbors, metric and weighting on held-out folds.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Of any type that `fastknn.Index` takes, tables included; bytes stay bytes.
    y : array-like of shape (n_rows,), or (n_rows, n_outputs) for a regression
        Labels, or the targets of a regression.
    %(combinations)s
    cv : int, cross-validation generator or iterable of (train, test), default 5
        As in scikit-learn: a number means stratified folds where there are labels.
    groups : array-like of shape (n_rows,), optional
        For generators that keep groups together.
    scoring : str or callable, default "accuracy"
        Any of scikit-learn's names, or a scorer that calls `predict` or `predict_proba`. A
        regression is scored by R² where this says accuracy.
    regression : bool, default False
        Whether the targets of the neighbors are averaged, rather than their labels counted.
    %(threads and progress)s

    Returns
    -------
    dict of str to ndarray
        The scores of all combinations of k, metric and weights. It is shown as a table of the
        best. Its layout is that of `GridSearchCV.cv_results_`, which pandas.DataFrame takes:
        ``params``, ``param_metric``, ``param_n_neighbors``, ``param_weights``,
        ``split0_test_score`` and so on, ``mean_test_score``, ``std_test_score`` and
        ``rank_test_score``.

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used. The message names the argument.

    Notes
    -----
    The scores are those of `GridSearchCV` over scikit-learn's estimators, except where rows are at
    equal distances. Time: for each metric, one search of all held-out rows among the training rows
    of their fold, for the largest k. Memory: the rows of a fold and their codes once more; for
    each of its held-out rows and each of the largest k neighbors 8 bytes, and 1 or more for the
    label (4 or more for the row of a regression); and some 50 MiB, at any size. Leave-one-out
    stores the neighbors of a run of rows at a time.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastknn import cross_validate_k
    >>> X, y = load_digits(return_X_y=True)
    >>> results = cross_validate_k(X.astype("uint8"), y, ks=[1, 3, 50], metrics=["l2"])
    >>> best = results["params"][results["mean_test_score"].argmax()]
    >>> best["metric"], best["n_neighbors"]
    ('l2', 3)
    """
    thread_count(n_jobs)
    check_progress(progress)
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2:
        X = array_of_columns(list(X.T), "X")  # numbers, as scikit-learn's searches take them
    X = np.ascontiguousarray(as_matrix(X, "X"))
    y = _checked_targets(y, len(X), regression)
    if groups is not None:
        check_groups(groups, len(X))
    answers: type[HeldOutAnswers] = HeldOutMeans if regression else HeldOutVotes
    scoring = "r2" if regression and scoring == "accuracy" else scoring
    scorer = check_scoring(answers(), scoring=scoring)
    if isinstance(scoring, list | tuple | set | dict):
        raise TypeError(f"scoring must be one name or scorer, got {scoring!r}")
    folds = make_folds(cv, X, y, groups, regression)
    ks = _checked_ks(ks, min((len(train) for train, _ in folds or ()), default=len(X) - 1))
    metrics = [str(metric) for metric in distinct_values(metrics, "metrics", metric_name)]
    weights = [str(weight) for weight in distinct_values(weights, "weights", _check_weights)]
    combinations = list(ParameterGrid({"metric": metrics, "n_neighbors": ks, "weights": weights}))
    scores = np.empty((len(combinations), len(X) if folds is None else len(folds)))
    score = _score_for_each_row(scorer, scoring) if folds is None else scorer
    n_queries = len(X) if folds is None else sum(len(test) for _, test in folds)
    make_answers = partial(answers, ks=ks, weights=weights, n_jobs=n_jobs)
    with show_progress(progress, n_queries * len(metrics)) as advance:
        options = {"n_jobs": n_jobs, "progress": Progress(advance)}
        for metric in metrics:
            places = [at for at, one in enumerate(combinations) if one["metric"] == metric]
            index = index_for(n_queries, X, max(ks), metric, n_jobs, advance)
            for columns, rows, answer in _answers_of_folds(
                index, X, y, folds, max(ks), make_answers, options
            ):
                queries, truth = X[rows], y[rows]  # copied once for all combinations
                for place in places:
                    answer.combination = combinations[place]
                    scores[place, columns] = score(answer, queries, truth)
    return _as_cv_results(combinations, scores)


def _answers_of_folds(
    index: Index,
    X: np.ndarray,
    y: np.ndarray,
    folds: Folds | None,
    k: int,
    make_answers: Callable[[np.ndarray, int], HeldOutAnswers],
    options: dict[str, Any],
) -> Iterator[tuple[int | slice, np.ndarray | slice, HeldOutAnswers]]:
    """For held-out rows: their columns in the scores, the rows, and what answers for them."""
    if folds is None:
        for run in run_slices(len(X), k + 1):
            answer = make_answers(y, len(X[run]))
            found = index.search(X[run], k + 1, **options)
            answer.hold(slice(None), *without_self(*found, first=run.start))
            yield run, run, answer
        return
    for fold, (train, test) in enumerate(folds):
        of_fold = index.subset(train, n_jobs=options["n_jobs"])
        answer = make_answers(y[train], len(test))
        for run in run_slices(len(test), k):
            answer.hold(run, *of_fold.search(X[test[run]], k, **options))
        yield fold, test, answer


def _score_for_each_row(scorer: Callable, scoring: object) -> Callable:
    """A scorer for leave-one-out, where each row is a fold of its own: one score per row."""

    def score(answer, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        if scoring == "accuracy":
            return (answer.predict(X) == y).astype(np.float64)
        rows = [slice(row, row + 1) for row in range(len(X))]
        return np.array([scorer(answer.only(row), X[row], y[row]) for row in rows])

    return score


def _as_cv_results(combinations: list[dict], scores: np.ndarray) -> Scores:
    """Combinations and their scores (combinations, folds) in the layout of `cv_results_`."""
    results = Scores()
    for name in sorted(combinations[0]):
        values = [combination[name] for combination in combinations]
        kind = np.int64 if name == "n_neighbors" else object
        results[f"param_{name}"] = np.ma.MaskedArray(np.array(values, kind), mask=False)
    results["params"] = combinations
    for fold, column in enumerate(scores.T):
        results[f"split{fold}_test_score"] = column
    means = scores.mean(axis=1)
    results["mean_test_score"], results["std_test_score"] = means, scores.std(axis=1)
    ranked = np.nan_to_num(means, nan=-np.inf)  # combinations without a score come last
    results["rank_test_score"] = rankdata(-ranked, method="min").astype(np.int32)
    return results


def _checked_targets(y: ArrayLike, n_rows: int, regression: bool) -> np.ndarray:
    """Labels (n_rows,), or the targets of a regression (n_rows,) or (n_rows, n_outputs)."""
    if not regression:
        y = as_labels(y, "y", n_rows)
        check_classification_targets(y)
        return y
    y = as_ndarray(y, "y", "targets of equal length")
    if y.ndim not in (1, 2) or len(y) != n_rows:
        raise ValueError(f"y must have a target for each of {n_rows} rows, got shape {y.shape}")
    columns = y.reshape(n_rows, -1)
    if y.dtype == object:
        columns = array_of_columns(list(columns.T), "y")
    return checked_matrix(columns, "y").reshape(y.shape)


def _checked_ks(ks: Sequence[int] | None, most: int) -> list[int]:
    if most < 1:
        raise ValueError("X must have two rows at least: one to learn from, one to hold out")
    if ks is None:
        return [k for k in KS if k <= most]
    ks = distinct_values(ks, "ks", lambda k: as_count(k, "ks"))
    if max(ks) > most:
        raise ValueError(
            f"ks must be at most {most}, the training rows of the smallest fold; got {max(ks)}"
        )
    return [int(k) for k in ks]


def _check_weights(weights: str) -> None:
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be 'uniform' or 'distance', got {weights!r}")
