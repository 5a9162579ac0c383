"""Shapes, types and data that several tests go through."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastknn.engine import _core
from fastknn.search import plan, policy
from fastknn.search.searcher import Searcher

# -P: in a folder with fastknn's source, the installed fastknn is imported all the same.
PYTHON = [sys.executable, "-P"]
DTYPES = [np.uint8, np.float32, np.float64]
METRICS = ["l1", "l2"]
# Around every number of queries in a tile, rows in a panel and elements in a group.
SIZES = sorted({max(1, size + by) for size in (1, 4, 6, 8, 12, 16, 32, 64) for by in (-1, 0, 1)})

both_metrics = pytest.mark.parametrize("metric", METRICS)
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def points(dtype, n, width, seed=0):
    """Random bytes, or normal floats."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype) == np.uint8:
        return random.integers(0, 256, (n, width), np.uint8)
    return random.normal(size=(n, width)).astype(dtype)


def grid(dtype, n, width, seed=0, values=(0, 1, 2)):
    """Few values: most distances are equal to some other."""
    return np.random.default_rng(seed).choice(np.array(values, dtype), (n, width))


def assert_same(found, expected):
    """Two pairs of distances and indices, equal to the bit."""
    for fast, slow in zip(found, expected, strict=True):
        assert_array_equal(fast, slow, strict=True)
        assert fast.tobytes() == slow.tobytes()


def without_bounds(index):
    """The searcher of an index with codes whose errors are infinite: they rule nothing out."""
    useful = index._searcher
    errors = np.full(len(index.train), np.inf, np.float32)
    codes = [
        _core.CodeRows(rows.codes, useful.screen_metric, rows.scale, errors)
        for rows in useful.codes
    ]
    return Searcher(useful.train, useful.metric, useful.screen, 2, codes)


def set_limits(monkeypatch, **limits):
    """The policy with other constants, for one test."""
    monkeypatch.setattr(policy, "LIMITS", policy.LIMITS._replace(**limits))


def set_sizes(monkeypatch, **sizes):
    """The plan of a search with other constants, for one test."""
    monkeypatch.setattr(plan, "SIZES", plan.SIZES._replace(**sizes))


def choose_always(monkeypatch, screen):
    """The policy that chooses this screen whatever is known of rows and queries."""
    rule = policy.Rule(policy.INDEX, screen, lambda known, limits: True, "for this test")
    monkeypatch.setattr(policy, "RULES", (rule, *policy.RULES))
