"""Data of few columns or few degrees of freedom: groups of rows beside trees, scans and a graph."""

import importlib
from functools import partial

import numpy as np
import pytest
from contenders import CONTENDERS
from data import structured
from measure import once
from searches import compare_search, search_runs, title

PEERS = ["faiss", "scikit-learn-intelex"]
TREES = [name for name, one in CONTENDERS.items() if one.is_tree]
full = partial(pytest.param, marks=pytest.mark.full)


@pytest.mark.parametrize("metric", ["l2", full("l1")])
@pytest.mark.parametrize(
    ("name", "n_rows"),
    [
        full("noise of 2 columns", 1_000_000),
        full("noise of 3 columns", 1_000_000),
        full("noise of 6 columns", 200_000),
        full("noise of 8 columns", 200_000),
        full("random walk", 100_000),
        full("lags of a series", 100_000),
        full("bent sheet", 100_000),
        ("6 factors", 200_000),
        full("cells", 200_000),
    ],
)
def test_search_structured(side_by_side, name, n_rows, metric):
    data = structured(name, n_rows)
    # Neighbors are near: peers that expand squares in float32 lose half the digits of the norms.
    lost = 2.0**-11 * float(np.linalg.norm(data.train[:1000].astype(float), axis=1).max())
    names = ["fastknn", *TREES, *PEERS]
    compare_search(side_by_side, data, metric, 10, 2000, names, atol=lost)


@pytest.mark.full
@pytest.mark.parametrize("n_rows", [100_000, 300_000, 1_000_000, 3_000_000])
@pytest.mark.parametrize("name", ["6 factors", "cells"])
def test_structured_over_n(side_by_side, name, n_rows):
    """How the cost of a query grows with the rows: far slower than O(N)."""
    data = structured(name, n_rows, 1000)
    runs, absent, ours = search_runs(data, "l2", 10, 1000, ["fastknn"])
    side_by_side(
        title(data, "l2", 10),
        runs,
        rounds=5,
        kind="structured over n",
        n_rows=n_rows,
        absent=absent,
    )
    info = side_by_side.benchmark.extra_info
    info["work"] = {one: search.work(info["counts"][one]) for one, search in ours.items()}


@pytest.mark.full
@pytest.mark.parametrize("n_rows", [50_000, 200_000, 1_000_000])
def test_graph(side_by_side, n_rows):
    """The exact graph of k neighbors beside pynndescent's approximate one, building included."""
    from fastknn import knn_graph

    X, k = structured("cells", n_rows, 1).train, 15
    runs = {"fastknn": once(partial(knn_graph, X, k, include_self=True))}
    absent = {}
    try:
        descent = importlib.import_module("pynndescent").NNDescent
    except ImportError as error:
        absent["pynndescent (approximate)"] = str(error)
    else:
        descent(X[:2000], n_neighbors=k).neighbor_graph  # noqa: B018 compiles
        runs["pynndescent (approximate)"] = once(
            lambda: np.asarray(descent(X, n_neighbors=k).neighbor_graph[0])
        )
    side_by_side(
        f"graph of cells, {n_rows:,} x {X.shape[1]}, k={k}",
        runs,
        rounds=3,
        kind="graph",
        unit="graph",
        absent=absent,
    )
