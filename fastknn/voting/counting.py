"""Votes counted by NumPy, and what that costs: for votes too few to load Numba for."""

import numpy as np
from numpy.typing import NDArray

# What NumPy takes more than the kernel of `compiled.py`, in seconds on one thread, measured with
# NumPy 2.4 and Numba 0.68 on one core of about 3 GHz: for each chunk and number of neighbors; for
# each neighbor that votes, where labels are sorted and where they are not; and for each class of
# each query. `compiled.LOAD_SECONDS` is what they are compared with.
CHUNK_SECONDS = 5e-5
SORTED_SECONDS, DENSE_SECONDS = 1e-7, 5e-9
CLASS_SECONDS = 1e-9
# Classes per neighbor up to which a look at the votes of all classes costs less than sorting the
# labels.
DENSE_CLASSES = 16


def numpy_seconds(
    n_rows: int, n_classes: int, ks: NDArray[np.int64], n_chunks: int, shares: bool
) -> float:
    """Seconds that NumPy takes more than the kernel for these votes, about.

    Parameters
    ----------
    n_rows, n_classes : int
    ks : ndarray of int64
        Numbers of neighbors that vote, ascending.
    n_chunks : int
        Chunks that the rows are counted in.
    shares : bool
        Whether the votes of all classes are wanted, rather than the winners.
    """
    votes, n_ks = n_rows * int(ks.sum()), len(ks)
    seconds = n_chunks * n_ks * CHUNK_SECONDS
    if not shares and n_classes > DENSE_CLASSES * int(ks[-1]):
        return seconds + votes * SORTED_SECONDS
    return seconds + votes * DENSE_SECONDS + n_rows * n_ks * n_classes * CLASS_SECONDS


def count_by_numpy(
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    ks: NDArray[np.int64],
    slots: NDArray[np.int64],
    first: int,
    n_classes: int,
    codes: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> None:
    """Count the votes of a chunk of rows: the same sums, to the bit, as `compiled.vote_rows`.

    For each k it takes a few calls of NumPy. `numpy.add.at` and `numpy.bincount` add weights one
    after another, in the order of the columns, as the kernel does.
    """
    m = len(labels)
    rows = slice(first, first + m)
    weights = np.broadcast_to(weights, labels.shape)
    for slot, k in zip(slots, ks, strict=True):
        nearest, counting = labels[:, :k], weights[:, :k]
        if not shares.size and n_classes > DENSE_CLASSES * k:
            codes[slot, rows] = _winners(nearest, counting)
            continue
        places = (nearest + np.arange(0, m * n_classes, n_classes)[:, None]).ravel()
        if shares.size:
            votes = shares[slot, rows].reshape(-1)
            votes[:] = 0
            np.add.at(votes, places, counting.ravel())
        else:  # the first of equal votes is that of the smallest class
            sums = np.bincount(places, counting.ravel(), m * n_classes)
            codes[slot, rows] = sums.reshape(m, n_classes).argmax(axis=1)


def _winners(labels: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The winning classes, without a look at classes that have no vote: (m,)."""
    order = np.argsort(labels, axis=1, kind="stable")  # within a class, nearest first
    labels = np.take_along_axis(labels, order, 1)
    weights = np.take_along_axis(weights, order, 1)
    starts = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    groups = np.cumsum(starts) - 1
    votes = np.bincount(groups, weights.ravel())[groups].reshape(labels.shape)
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]
