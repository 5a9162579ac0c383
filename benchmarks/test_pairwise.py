"""Matrices of all distances."""

from functools import partial

import numpy as np
import pytest
from measure import Run, matmul

NAMES = {"l1": ("l1", "cityblock"), "l2": ("euclidean", "euclidean")}


@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_pairwise(side_by_side, metric):
    from scipy.spatial.distance import cdist
    from sklearn.metrics import pairwise_distances as scikit_learn

    from fastknn import pairwise_distances

    generator = np.random.default_rng(0)
    queries = generator.random((2000, 784), np.float32)
    train = generator.random((10_000, 784), np.float32)
    product, multiply_adds = matmul()
    theirs, scipys = NAMES[metric]
    makers = {
        "fastknn": partial(pairwise_distances, metric=metric),
        "scikit-learn": partial(scikit_learn, metric=theirs),
        "SciPy cdist": partial(cdist, metric=scipys),
    }
    runs = {
        name: Run(
            lambda n, make=make: make(queries[:n], train),
            least=len(queries) if name == "fastknn" else 1,
            most=len(queries),
        )
        for name, make in makers.items()
    }
    medians = side_by_side(
        f"all distances, 2,000 x 10,000 x 784 float32, {metric.upper()}",
        runs,
        yardsticks={"matmul": product},
    )
    rate = multiply_adds / medians["matmul"]
    side_by_side.benchmark.extra_info.update(
        kind="pairwise",
        metric=metric,
        times_matmul={name: train.size / medians[name] / rate for name in runs},
    )
