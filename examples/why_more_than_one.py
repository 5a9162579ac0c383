"""
Why K is more than one
======================

Regions of five classes with noisy points and an island, for several K, under L1 and L2.
"""

import numpy as np
from common import save

from fastknn import plot

# %%
# One point of a class lies amid another class: the island.
random = np.random.default_rng(2)
centres = np.array([[0, 0], [3, 0.5], [1.5, 2.6], [4.2, 3.0], [-0.8, 3.2]])
y = np.repeat(np.arange(5), 40)
X = centres[y] + random.normal(scale=0.75, size=(200, 2))
X[0] = centres[3]  # the island: one point amid another class

# %%
# With K = 1 every noisy point owns a region; the vote of more neighbors smooths them away.
axes = plot.decision_regions_side_by_side(X, y, ks=(1, 3, 15), resolution=300)
figure = axes[0, 0].figure
figure.suptitle("With K = 1 every noisy point owns an island; a vote of more smooths it away")
save(figure, "why_more_than_one.png")
