"""The direct screen at each forced CPU level, and the memory that a search takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from measure import matmul, once

WORKER = Path(__file__).resolve().parent / "worker.py"
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def worker(cifar10, tmp_path_factory):
    """Searches of CIFAR-10 in processes of their own, by level."""
    folder = tmp_path_factory.mktemp("worker")
    np.save(folder / "train.npy", cifar10.train)
    np.save(folder / "test.npy", cifar10.test)
    started = {}

    def ask(level: str, metric: str, count: int) -> dict:
        if level not in started:
            started[level] = subprocess.Popen(
                [sys.executable, str(WORKER), "train.npy", "test.npy"],
                cwd=folder,
                env={**os.environ, "FASTKNN_CPU": level},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = started[level]
        process.stdin.write(f"{metric} 7 {count}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    for process in started.values():
        process.stdin.close()
        process.wait()


@pytest.mark.parametrize("level", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_level_cifar10(side_by_side, worker, cifar10, metric, level):
    from fastknn.engine import _core

    if level not in _core.cpu_levels():
        pytest.skip(f"this machine does not run {level}")
    count = 50 if level == "portable" else 500
    product, multiply_adds = matmul()
    last = {}

    def run() -> float:
        last.update(worker(level, metric, count))
        return last["seconds"]

    name = f"fastknn {level}"
    medians = side_by_side(
        f"{count} queries of CIFAR-10, {level}, {metric.upper()}",
        {name: once(run)},
        unit="search",
        yardsticks={"matmul": product},
    )
    rate = cifar10.train.size * count / medians[name]
    side_by_side.benchmark.extra_info.update(
        kind="level",
        metric=metric,
        level=level,
        element_rate=rate,
        times_matmul={name: rate / (multiply_adds / medians["matmul"])},
        search_peak_bytes=last["peak"],
        process_peak_bytes=last["rss"],
    )
