"""The votes of one call of `vote` or `vote_proba`: checked arguments, and how they are counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.threads import for_each
from fastknn.voting.arguments import as_count_up_to, as_matrix_of
from fastknn.voting.chunks import as_kernel_array, chunk_slices
from fastknn.voting.compiled import VOTE_SIGNATURE, compile_once, vote_rows, worth_loading
from fastknn.voting.counting import DENSE_CLASSES, count_by_numpy, numpy_seconds


class Ballots:
    """Checked arguments of `vote` and `vote_proba`, ready to be counted."""

    def __init__(
        self,
        neighbor_labels: ArrayLike,
        n_classes: int | None,
        weights: ArrayLike | None,
        ks: Sequence[int] | None,
    ) -> None:
        self.labels = as_matrix_of(neighbor_labels, "neighbor_labels", "iu", "integers")
        self.n_rows, k = self.labels.shape
        self.n_classes = _class_count(self.labels, n_classes)
        wanted = np.array([k]) if ks is None else _neighbor_counts(ks, k)
        # Both ways to count take numbers of neighbors in ascending order, and `slots`: where the
        # results of each go.
        self.slots = np.argsort(wanted, kind="stable").astype(np.int64)
        self.ks = wanted[self.slots].astype(np.int64)
        self.weights = None if weights is None else _vote_weights(weights, self.labels.shape)
        if self.weights is not None:
            _refuse_rows_without_weight(self.weights[:, : self.ks[0]])

    def count(self, codes: NDArray[np.int64], shares: NDArray[np.float64], n_threads: int) -> None:
        """Fill ``codes`` (n_ks, m) or ``shares`` (n_ks, m, C), whichever is not empty."""
        k, n_ks = self.labels.shape[1], len(self.ks)
        row_size = k + n_ks * (self.n_classes if shares.size else 1)
        if not shares.size and self.n_classes <= DENSE_CLASSES * k:
            row_size += self.n_classes
        chunks = list(chunk_slices(self.n_rows, row_size))
        counted = count_by_numpy
        seconds = numpy_seconds(self.n_rows, self.n_classes, self.ks, len(chunks), shares.size > 0)
        if worth_loading(seconds):
            kernel = compile_once(vote_rows, VOTE_SIGNATURE)

            def counted(labels, weights, ks, slots, first, n_classes, codes, shares):
                kernel(labels, weights, ks, slots, first, np.zeros(n_classes), codes, shares)

        ones = np.ones(
            (1, k)
        )  # one row of weights for all rows: uniform votes need no kernel of their own

        def count_rows(rows: slice) -> None:
            labels = as_kernel_array(self.labels[rows], np.int64)
            weights = ones
            if self.weights is not None:
                weights = as_kernel_array(self.weights[rows], np.float64)
            counted(labels, weights, self.ks, self.slots, rows.start, self.n_classes, codes, shares)
            if shares.size:
                block = shares[:, rows]
                # NumPy's order of summation, not the kernel's: scikit-learn's, to the bit.
                block /= block.sum(axis=2, keepdims=True)

        for_each(count_rows, chunks, n_threads)


def _class_count(labels: NDArray[np.integer], n_classes: int | None) -> int:
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise ValueError(f"neighbor_labels must be class codes from 0 on, got {smallest}")
    if n_classes is None:
        return largest + 1
    n_classes = as_count_up_to(n_classes, "n_classes", np.iinfo(np.int64).max, "the largest int64")
    if largest >= n_classes:
        raise ValueError(f"neighbor_labels must be less than n_classes, {n_classes}, got {largest}")
    return n_classes


def _neighbor_counts(ks: Sequence[int], k: int) -> NDArray[np.integer]:
    counts = as_ndarray(ks, "ks", "a sequence of integers")
    if counts.ndim != 1:
        raise TypeError(f"ks must be a sequence of integers, got {ks!r}")
    if counts.size == 0:
        raise ValueError("ks must not be empty")
    if counts.dtype.kind not in "iu":
        raise TypeError(f"ks must be integers, got dtype {counts.dtype}")
    if counts.min() < 1 or counts.max() > k:
        raise ValueError(
            f"ks must be between 1 and {k}, the number of columns of neighbor_labels, "
            f"got {counts.min()} to {counts.max()}"
        )
    return counts


def _vote_weights(weights: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    if isinstance(weights, str) or callable(weights):
        raise TypeError(
            f"weights must be an array or None, got {weights!r}; "
            "for weights by distance pass distance_weights(distances)"
        )
    weights = as_matrix_of(weights, "weights", "fiu", "float64 or narrower, or integers")
    if weights.shape != shape:
        raise ValueError(
            f"weights must have the shape of neighbor_labels, {shape}, got {weights.shape}"
        )
    smallest, largest = weights.min(), weights.max()
    if not smallest >= 0:  # written so that NaN fails as well
        raise ValueError(f"weights must be non-negative and not NaN, got {smallest}")
    limit = np.finfo(np.float64).max / shape[1]
    if largest > limit:
        raise ValueError(
            f"weights must be at most {limit:.3g}, so that a row's sum is finite, got {largest}"
        )
    return weights


def _refuse_rows_without_weight(weights: NDArray[Any]) -> None:
    """Raise where all votes of a row have weight zero, as no class wins then."""
    suspects = np.flatnonzero(weights[:, 0] == 0)  # few, as the nearest neighbor weighs most
    empty = suspects[~weights[suspects].any(axis=1)]
    if empty.size:
        raise ValueError(
            "weights must not be zero for all the neighbors of a query, but are "
            f"in row {empty[0]} among the nearest {weights.shape[1]}"
        )
