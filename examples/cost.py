"""
Prediction cost over the training set
=====================================

Training O(1), prediction O(N): the wrong way round. An index turns it round: it takes longer to
build, and its predictions cost less.
"""

import time

import numpy as np
from common import images, save
from matplotlib import pyplot
from sklearn.neighbors import KNeighborsClassifier as Theirs

from fastknn import Index, plot

# %%
# Each size is searched by fastknn with a screen, by its direct screen, and by scikit-learn.
data = images()
sizes = [n for n in (300, 1000, 3000, 10_000, 25_000, 50_000) if n <= len(data.train)]
seconds: dict[str, dict[int, float]] = {"fastknn": {}, "fastknn direct": {}, "scikit-learn": {}}
building: dict[str, dict[int, float]] = {"fastknn": {}, "fastknn direct": {}, "scikit-learn": {}}


def took(run, *arguments, **named) -> tuple[float, object]:
    started = time.perf_counter()
    result = run(*arguments, **named)
    return time.perf_counter() - started, result


for n in sizes:
    train, few = data.train[:n], data.test[:200]
    for name, screen in (("fastknn", "auto"), ("fastknn direct", "direct")):
        building[name][n], index = took(Index, train, "l2", screen=screen)
        runs = [took(index.search, few, 7)[0] for _ in range(3)]
        seconds[name][n] = np.median(runs) / len(few)
    theirs, asked = Theirs(7, algorithm="brute"), few[:50].astype(np.float32)
    building["scikit-learn"][n], _ = took(theirs.fit, train.astype(np.float32), np.zeros(n))
    seconds["scikit-learn"][n] = took(theirs.kneighbors, asked)[0] / len(asked)
# %%
# Both axes are logarithmic: a straight line of slope one is O(N).
figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
plot.cost_over_n(seconds, ax=axes[0]).set_title("prediction")
plot.cost_over_n(building, ax=axes[1]).set(title="training", ylabel="milliseconds in all")
save(figure, "cost.png")
