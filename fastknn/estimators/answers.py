"""What held-out rows would be answered, for each combination of k and weights, by their neighbors.

Scorers of scikit-learn take a fitted estimator. Here it is one that has been given the neighbors
of the held-out rows under one metric, found once for the largest k.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from fastknn._utils.rows import row_slices
from fastknn.voting.votes import distance_weights, vote, vote_proba

# Bytes of neighbors as a search returns them: for so many rows at a time neighbors are searched,
# and votes are counted.
RUN_BYTES = 1 << 24


def run_slices(n_rows: int, k: int) -> Iterator[slice]:
    """Slices of rows, the k neighbors of which take RUN_BYTES as a search returns them."""
    return row_slices(n_rows, max(1, RUN_BYTES // (16 * k)))


class HeldOutAnswers(BaseEstimator):
    """An estimator that scorers take for a fitted one. It answers for one combination at a time.

    `combination` says for which: it is set before each score, and has ``n_neighbors`` and
    ``weights``. Whatever X a scorer hands to `predict`, the answer is for the held-out rows.

    Parameters
    ----------
    targets : ndarray (n_train, ...), optional
        Labels, or targets of a regression, of the training rows of the fold.
    n_rows : int
        Held-out rows.
    ks, weights, n_jobs
        Those of all combinations.
    """

    def __init__(
        self,
        targets: np.ndarray | None = None,
        n_rows: int = 0,
        ks: Sequence[int] = (1,),
        weights: Sequence[str] = (),
        n_jobs: int | None = None,
    ) -> None:
        self.ks, self.largest_k, self.n_jobs = list(ks), max(ks), n_jobs
        self.combination: dict[str, Any] = {}
        self.targets: Any = targets
        if targets is not None:
            # What is stored for each neighbor, in the narrowest type that holds it.
            stored = self._stored_for_rows()
            self._stored = stored.astype(np.min_scalar_type(stored.max()))
            self._neighbors = np.empty((n_rows, self.largest_k), self._stored.dtype)
            n_distances = self.largest_k if "distance" in weights else 0
            self._distances = np.empty((n_rows, n_distances))

    def fit(self, X: object, y: object) -> Self:
        return self

    def hold(self, rows: slice, distances: np.ndarray, indices: np.ndarray) -> None:
        """Store the neighbors that a search found for these held-out rows."""
        self._neighbors[rows] = self._stored[indices]
        self._distances[rows] = distances[:, : self._distances.shape[1]]

    def only(self, rows: slice) -> Self:
        """An estimator that answers for these held-out rows alone."""
        part = copy.copy(self)
        part._neighbors, part._distances = self._neighbors[rows], self._distances[rows]
        return part

    def _stored_for_rows(self) -> np.ndarray:
        """What is stored for each training row where it is a neighbor: an integer."""
        raise NotImplementedError

    def _by_runs(self, answer: Callable[[slice], np.ndarray], axis: int = 0) -> np.ndarray:
        """The answers for all held-out rows, made for a run of rows at a time to save memory."""
        parts = [answer(rows) for rows in run_slices(len(self._neighbors), self.largest_k)]
        return np.concatenate(parts, axis=axis)

    def _weights(self, rows: slice, k: int) -> np.ndarray | None:
        """Weights of the first k neighbors of these rows; None where all weigh the same."""
        if self.combination["weights"] == "uniform":
            return None
        return distance_weights(self._distances[rows, :k])


class HeldOutVotes(ClassifierMixin, HeldOutAnswers):
    """Classes by majority vote. The votes are counted for every k at once, and kept."""

    def _stored_for_rows(self) -> np.ndarray:
        self.classes_, codes = np.unique(self.targets, return_inverse=True)
        self._counted: dict[str, np.ndarray] = {}
        return codes

    def only(self, rows: slice) -> Self:
        part = super().only(rows)
        part._counted = {}
        return part

    def predict(self, X: object) -> np.ndarray:
        weights = self.combination["weights"]
        if weights not in self._counted:
            self._counted[weights] = self._by_runs(
                lambda rows: vote(**self._ballots(rows, self.largest_k), ks=self.ks), axis=1
            )
        place = self.ks.index(self.combination["n_neighbors"])
        return self.classes_[self._counted[weights][place]]

    def predict_proba(self, X: object) -> np.ndarray:
        k = self.combination["n_neighbors"]
        return self._by_runs(lambda rows: vote_proba(**self._ballots(rows, k)))

    def _ballots(self, rows: slice, k: int) -> dict[str, Any]:
        return {
            "neighbor_labels": self._neighbors[rows, :k],
            "n_classes": len(self.classes_),
            "weights": self._weights(rows, k),
            "n_jobs": self.n_jobs,
        }


class HeldOutMeans(RegressorMixin, HeldOutAnswers):
    """Means of targets, summed in the order of scikit-learn, so that they are the same bits."""

    def _stored_for_rows(self) -> np.ndarray:
        return np.arange(len(self.targets))

    def predict(self, X: object) -> np.ndarray:
        return self._by_runs(self._means)

    def _means(self, rows: slice) -> np.ndarray:
        k = self.combination["n_neighbors"]
        neighbors, weights = self._neighbors[rows, :k], self._weights(rows, k)
        targets = self.targets.reshape(len(self.targets), -1)
        if weights is None:
            means = targets[neighbors].mean(axis=1)
        else:
            sums = [(column[neighbors] * weights).sum(axis=1) for column in targets.T]
            means = np.stack(sums, axis=1) / weights.sum(axis=1)[:, None]
        return means.reshape(len(means), *self.targets.shape[1:])
