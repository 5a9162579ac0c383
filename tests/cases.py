"""Shapes, types and data that several tests go through."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastknn
from fastknn.engine import _core
from fastknn.reference import reference_knn
from fastknn.screens import near, proposals
from fastknn.search import plan, policy, trial
from fastknn.search.searcher import Searcher

# -P: in a folder with fastknn's source, the installed fastknn is imported all the same.
PYTHON = [sys.executable, "-P"]
DTYPES = [np.uint8, np.float32, np.float64]
METRICS = ["l1", "l2"]
ANGLES = ["cosine", "correlation"]
SCREENS = ["none", "direct", "quantized", "projected", "grouped", "auto"]
# Around every number of queries in a tile, rows in a panel and elements in a group.
SIZES = sorted({max(1, size + by) for size in (1, 4, 6, 8, 12, 16, 32, 64) for by in (-1, 0, 1)})

both_metrics = pytest.mark.parametrize("metric", METRICS)
all_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def environment(without=(), **variables):
    """What a process inherits, but for the names in `without`, and where this package is."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    package = {"PYTHONPATH": str(Path(fastknn.__file__).parents[1]), "PYTHONSAFEPATH": "1"}
    return {**kept, **package, **variables}


def run_python(*arguments, cwd=None, timeout=300, without=(), **variables):
    """A Python of its own with these arguments, once it has ended; its output is text."""
    return subprocess.run(
        [*PYTHON, *map(str, arguments)],
        cwd=cwd,
        env=environment(without, **variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def assert_same_on_every_level(code, folder):
    """A program that is given a folder and a level, and says "same", run with each level."""
    for level in _core.cpu_levels():
        done = run_python("-c", code, folder, level, FASTKNN_CPU=level)
        assert done.stdout.strip() == "same", (level, done.stderr)


def points(dtype, n, width, seed=0):
    """Random bytes, or normal floats."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype) == np.uint8:
        return random.integers(0, 256, (n, width), np.uint8)
    return random.normal(size=(n, width)).astype(dtype)


def grid(dtype, n, width, seed=0, values=(0, 1, 2)):
    """Few values: most distances are equal to some other."""
    return np.random.default_rng(seed).choice(np.array(values, dtype), (n, width))


def structured(dtype, rows, width, seed=0):
    """Rows near a few directions, as images are."""
    random = np.random.default_rng(seed)
    basis = random.normal(size=(5, width)).cumsum(axis=1)
    values = random.normal(size=(rows, 5)) @ basis + random.normal(size=(rows, width)) / 4
    values = 128 + 40 * values / np.abs(values).std()
    return values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def embed(array, rows=slice(1, None, 2), columns=slice(1, None, 3)):
    """The same values in every other row, every third column of a larger array."""
    big = np.full((2 * array.shape[0] + 1, 3 * array.shape[1] + 1), 99, array.dtype)
    view = big[rows, columns][: array.shape[0], : array.shape[1]]
    view[...] = array
    return view


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    result = raw.view(array.dtype).reshape(array.shape)
    result[...] = array
    assert array.itemsize == 1 or not result.flags.aligned
    return result


def peak(function):
    """The result of a call, and the most bytes that were held on the way."""
    tracemalloc.start()
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_same(found, expected):
    """Two pairs of distances and indices, equal to the bit."""
    for fast, slow in zip(found, expected, strict=True):
        assert_array_equal(fast, slow, strict=True)
        assert fast.tobytes() == slow.tobytes()


def assert_finds(index, queries, k, train=None):
    """An index finds what the reference finds, in its own rows or in those that it should have."""
    train = index.train if train is None else train
    distances, indices = index.search(queries, k)
    expected_distances, expected_indices = reference_knn(queries, train, k, index.metric)
    assert_array_equal(indices, expected_indices)
    assert_array_equal(distances, expected_distances)


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


def let_choices_cost_nothing(monkeypatch):
    """The policy that tries screens for any rows, unless next to no queries are expected."""
    costs = dict.fromkeys(("fit_seconds", "fit_seconds_per_feature", "fit_seconds_per_element"), 0)
    set_limits(monkeypatch, small_elements=0, **costs)


def set_sizes(monkeypatch, **sizes):
    """The plan of a search with other constants, for one test."""
    monkeypatch.setattr(plan, "SIZES", plan.SIZES._replace(**sizes))


def set_plans(monkeypatch, **plans):
    """The cascades that are proposed with other constants, for one test."""
    if "l2" in plans:
        plans.setdefault("l2_bytes", plans["l2"])
    monkeypatch.setattr(proposals, "PLANS", proposals.PLANS._replace(**plans))


def set_reach(monkeypatch, **reach):
    """The search for near rows with other constants, for one test."""
    monkeypatch.setattr(near, "REACH", near.REACH._replace(**reach))


def set_effort(monkeypatch, **effort):
    """The trial with other constants, for one test."""
    monkeypatch.setattr(trial, "EFFORT", trial.EFFORT._replace(**effort))


def choose_always(monkeypatch, screen):
    """The policy that chooses this screen whatever is known of rows and queries."""
    rule = policy.Rule(policy.INDEX, screen, lambda known, limits: True, "for this test")
    monkeypatch.setattr(policy, "RULES", (rule, *policy.RULES))
