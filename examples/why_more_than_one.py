"""Why K > 1, and L1 against L2: regions of five classes with an island and noisy points."""

import numpy as np
from common import save
from matplotlib import pyplot

from fastknn import KNeighborsClassifier, plot

random = np.random.default_rng(2)
centres = np.array([[0, 0], [3, 0.5], [1.5, 2.6], [4.2, 3.0], [-0.8, 3.2]])
y = np.repeat(np.arange(5), 40)
X = centres[y] + random.normal(scale=0.75, size=(200, 2))
X[0] = centres[3]  # the island: one point amid another class

figure, axes = pyplot.subplots(2, 3, figsize=(9, 6), layout="constrained")
for row, metric in zip(axes, ("l1", "l2"), strict=True):
    for ax, k in zip(row, (1, 3, 15), strict=True):
        classifier = KNeighborsClassifier(k, metric=metric, algorithm="brute").fit(X, y)
        plot.decision_regions(classifier, X, y, resolution=300, ax=ax)
        ax.set_title(f"{metric.upper()}, K = {k}: {classifier.score(X, y):.0%} of its own points")
figure.suptitle("With K = 1 every noisy point owns an island; a vote of more smooths it away")
save(figure, "why_more_than_one.png")
