"""kNN accuracy of embeddings: what they are worth as features."""

from collections.abc import Sequence
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from fastknn._utils.docstrings import documented
from fastknn._utils.labels import as_labels
from fastknn._utils.matrices import as_matrix, check_width
from fastknn._utils.progress import ProgressArgument, check_progress
from fastknn._utils.scalars import as_count, distinct_values
from fastknn._utils.threads import thread_count
from fastknn.search.calls import knn
from fastknn.voting.votes import vote_proba

__all__ = ["probe"]

# Elements of the classes' shares that are held at a time.
SHARE_ELEMENTS = 1 << 24


@documented
def probe(
    train_features: ArrayLike,
    train_labels,
    test_features: ArrayLike,
    test_labels,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperatures: Sequence[float] = (0.07,),
    *,
    n_jobs: int | None = None,
    progress: ProgressArgument = None,
) -> dict[str, np.ndarray]:
    """Judge embeddings by their nearest neighbors: top-1 and top-5 for every k and temperature.

    The k training rows of the greatest cosine similarity s vote with weight exp(s / T), as in
    Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination (2018),
    and in most work on self-supervision since, where T is 0.07 and k often 20 or 200.

    Parameters
    ----------
    train_features : array-like of shape (n_rows, width)
    train_labels : array-like of shape (n_rows,)
    test_features : array-like of shape (n_queries, width)
    test_labels : array-like of shape (n_queries,)
    ks : sequence of int, default (10, 20, 100, 200)
        Numbers of neighbors; those beyond n_rows mean all rows.
    temperatures : sequence of float, default (0.07,)
        Positive.
    %(n_jobs)s
    %(progress)s

    Returns
    -------
    dict of str to ndarray
        ``n_neighbors``, ``temperature``, ``top1`` and ``top5``, a row for each pair; shares of
        the queries from 0 to 1. pandas.DataFrame takes it. Classes with equal votes rank in
        their order; with five classes or fewer, ``top5`` is 1 if the query's class is known.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, by name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn import probe
    >>> points, labels = np.eye(3).repeat(4, axis=0), np.arange(3).repeat(4)
    >>> probe(points, labels, points + 0.1, labels, ks=[1, 4])["top1"]
    array([1., 1.])
    """
    thread_count(n_jobs)
    check_progress(progress)
    train, queries = (
        as_matrix(features, name)
        for features, name in ((train_features, "train_features"), (test_features, "test_features"))
    )
    check_width(queries, train.shape[1], "test_features")
    train_labels = as_labels(train_labels, "train_labels", len(train))
    test_labels = as_labels(test_labels, "test_labels", len(queries))
    asked = distinct_values(ks, "ks", lambda k: as_count(k, "ks"))
    temperatures = [
        float(one) for one in distinct_values(temperatures, "temperatures", _temperature)
    ]
    effective = [min(k, len(train)) for k in asked]
    numbers, are_numbers = (one.dtype.kind in "biuf" for one in (train_labels, test_labels))
    if numbers != are_numbers:
        raise ValueError(
            f"test_labels must be of a kind with train_labels, {train_labels.dtype}; "
            f"got {test_labels.dtype}"
        )
    classes, codes = np.unique(train_labels, return_inverse=True)
    truth = np.searchsorted(classes, test_labels)
    truth[
        (truth == len(classes)) | (classes[np.minimum(truth, len(classes) - 1)] != test_labels)
    ] = -1
    distances, indices = knn(
        queries, train, max(effective), "cosine", n_jobs=n_jobs, progress=progress
    )
    ranks = np.empty((len(temperatures), len(asked), len(queries)), np.int64)
    step = max(1, SHARE_ELEMENTS // (len(classes) * len(asked)))
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        for place, temperature in enumerate(temperatures):
            # Over the nearest one's: nothing overflows, and shares stay what they are.
            nearer = distances[some, :1] - distances[some]
            shares = vote_proba(
                codes[indices[some]],
                n_classes=len(classes),
                weights=np.exp(nearer / temperature),
                ks=effective,
                n_jobs=n_jobs,
            )
            ranks[place, :, some] = _ranks(shares, truth[some])
    pairs = [(k, temperature) for temperature in temperatures for k in asked]
    return {
        "n_neighbors": np.array([k for k, _ in pairs]),
        "temperature": np.array([temperature for _, temperature in pairs]),
        "top1": (ranks < 1).mean(axis=2).ravel(),
        "top5": (ranks < 5).mean(axis=2).ravel(),
    }


def _temperature(value: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < np.inf:
        raise ValueError(f"temperatures must be positive, got {value!r}")


def _ranks(shares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Place of each query's true class among all by votes, from 0 on; unknown ones come last.

    shares : ndarray (n_ks, n_queries, n_classes)
    """
    n_classes = shares.shape[2]
    own = np.take_along_axis(shares, np.maximum(truth, 0)[None, :, None], axis=2)
    before = np.arange(n_classes) < truth[:, None]
    ahead = (shares > own) | ((shares == own) & before)
    return np.where(truth < 0, n_classes + 5, ahead.sum(axis=2))
