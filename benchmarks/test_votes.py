"""Majority votes, and the k smallest of a given matrix."""

import numpy as np
from measure import once


def test_vote(side_by_side):
    """Votes of 10 neighbors, for one k and for all k of 1 to 10 at once."""
    from scipy.stats import mode

    from fastknn import vote

    labels = np.random.default_rng(0).integers(0, 10, (100_000, 10))
    runs = {
        "fastknn": once(lambda: vote(labels)),
        "fastknn, ten k": once(lambda: vote(labels, ks=range(1, 11))),
        "SciPy mode": once(lambda: mode(labels, axis=1)),
    }
    side_by_side("100,000 votes of 10 neighbors", runs, unit="vote of all", kind="vote")


def test_topk(side_by_side):
    """The k smallest; NumPy's partition leaves ties and their order to chance."""
    from fastknn import topk

    distances = np.random.default_rng(0).random((400, 20_000))
    runs = {
        "fastknn": once(lambda: topk(distances, 7)),
        "NumPy argpartition": once(lambda: np.argpartition(distances, 6, axis=1)[:, :7]),
    }
    side_by_side("7 smallest of 400 x 20,000", runs, unit="matrix", kind="vote")
