"""
Choose K and the metric
=======================

K, the metric and the weights are hyperparameters: choose them on held-out folds, and use the
test set once.
"""

from common import images, save
from matplotlib import pyplot

from fastknn import KNeighborsClassifierCV, plot

# %%
# One search per metric serves every K and both kinds of weights.
data = images(5000, 500)
model = KNeighborsClassifierCV().fit(data.train, data.train_labels)
print(f"chosen: {model.best_params_}, {model.best_score_:.2%} on held-out folds")
print(f"test: {model.score(data.test, data.test_labels):.2%}")

# %%
# Bars are one standard deviation over the folds.
figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, weights in zip(axes, ("uniform", "distance"), strict=True):
    plot.accuracy_over_k(model.cv_results_, weights=weights, ax=ax)
    ax.set_title(f"{weights} weights")
figure.suptitle(f"{len(data.train):,} images, five folds")
save(figure, "choose_k.png")
