"""
A linear classifier beside nearest neighbors
============================================

A linear classifier f(x, W) = Wx + b learns one template per class: slow to train, quick to
predict, and unable to separate what no line separates.
"""

import time

import numpy as np
from common import images, save
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastknn import KNeighborsClassifier, plot

# %%
# Templates, accuracy and time on images
# --------------------------------------
data = images(10_000, 2000)
linear = make_pipeline(
    StandardScaler(), SGDClassifier(loss="log_loss", alpha=0.5, max_iter=30, random_state=0)
)
nearest = KNeighborsClassifier(5, metric="l1")
lines = []
for name, model in (("linear", linear), ("nearest neighbors", nearest)):
    started = time.perf_counter()
    model.fit(data.train, data.train_labels)
    fitted = time.perf_counter()
    accuracy = model.score(data.test, data.test_labels)
    ended = time.perf_counter()
    lines.append(
        f"{name}: {accuracy:.1%}; training {fitted - started:.2f} s, "
        f"prediction {(ended - fitted) / len(data.test) * 1e6:.0f} us per image"
    )
print("\n".join(lines))

figure, axes = pyplot.subplots(1, 10, figsize=(11, 1.9), layout="constrained")
scaler, classifier = linear[0], linear[-1]
for ax, template, name in zip(axes, classifier.coef_ / scaler.scale_, data.names, strict=True):
    picture = data.picture(template)
    span = np.percentile(np.abs(picture), 97)  # a pixel that is hardly used may weigh very much
    ax.imshow(np.clip((picture + span) / (2 * span), 0, 1), cmap="gray")
    ax.set(xticks=[], yticks=[])
    ax.set_title(name, fontsize=8)
figure.suptitle("   ".join(lines), fontsize=8)
save(figure, "linear_templates.png")

# %%
# What no line separates
# ----------------------
# Three sets of two classes in the plane.
random = np.random.default_rng(0)
points = random.uniform(-1, 1, size=(500, 2))
modes = np.array([[-0.6, -0.5], [0.6, -0.4], [0, 0.65]])
sets = {
    "quadrants": points[:, 0] * points[:, 1] > 0,
    "ring": np.abs(np.linalg.norm(points, axis=1) - 0.65) < 0.2,
    "three modes": np.linalg.norm(points[:, None] - modes, axis=2).min(axis=1) < 0.3,
}
figure, axes = pyplot.subplots(2, 3, figsize=(9, 6), layout="constrained")
for column, (name, labels) in zip(axes.T, sets.items(), strict=True):
    for ax, model in zip(column, (LogisticRegression(), KNeighborsClassifier(5)), strict=True):
        model.fit(points, labels)
        plot.decision_regions(model, points, labels, ax=ax)
        kind = "linear" if isinstance(model, LogisticRegression) else "5 nearest neighbors"
        ax.set_title(f"{name}: {kind}, {model.score(points, labels):.0%}", fontsize=9)
save(figure, "linear_regions.png")
