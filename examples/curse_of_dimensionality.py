"""
The curse of dimensionality
===========================

The points needed to cover a cube grow exponentially with its dimensions, and the distances to
the nearest and to the farthest point draw together.
"""

import numpy as np
from common import save
from matplotlib import pyplot

from fastknn import knn, pairwise_distances

# %%
# On the left, points a quarter of the cube's side apart along each axis: 4 to the power of the
# dimensions. On the right, among random points, the nearest is hardly nearer than the average.
random = np.random.default_rng(0)
dimensions = [1, 2, 3, 5, 10, 20, 50, 100, 300, 1000]
figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")

axes[0].semilogy(range(1, 13), [4.0**d for d in range(1, 13)], "o-")
axes[0].set(
    title="Points at a quarter's distance along each axis",
    xlabel="dimensions",
    ylabel="points needed",
)

for metric, color in (("l1", "C0"), ("l2", "C1")):
    near, far = [], []
    for d in dimensions:
        points, queries = random.random((2000, d)), random.random((50, d))
        nearest = knn(queries, points, 1, metric)[0][:, 0]
        everything = pairwise_distances(queries, points, metric)
        near.append((nearest / everything.mean(axis=1)).mean())
        far.append((everything.max(axis=1) / everything.mean(axis=1)).mean())
    axes[1].plot(dimensions, near, "o-", color=color, label=f"nearest, {metric.upper()}")
    axes[1].plot(dimensions, far, "s--", color=color, label=f"farthest, {metric.upper()}")
    print(f"{metric}: in 1,000 dimensions the nearest lies at {near[-1]:.2f} of the mean distance")
axes[1].set(
    title="2,000 random points: nearest and farthest",
    xlabel="dimensions",
    ylabel="share of the mean distance",
    xscale="log",
)
axes[1].legend()
save(figure, "curse_of_dimensionality.png")
