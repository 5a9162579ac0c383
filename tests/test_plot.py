"""Pictures: what is drawn is what was given, on the Axes that were given."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from fastknn import Index, KNeighborsClassifier, cross_validate_k, knn, plot

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402


@pytest.fixture
def ax():
    figure, ax = pyplot.subplots()
    yield ax
    figure.canvas.draw()  # whatever only fails when it is drawn
    pyplot.close(figure)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images[:400].astype(np.uint8), labels[:400]


def test_accuracy_over_k(ax, digits):
    results = cross_validate_k(*digits, ks=[1, 5, 60], cv=3)
    assert plot.accuracy_over_k(results, ax=ax) is ax
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert set(lines) == {f"{m}, {w}" for m in ("l1", "l2") for w in ("uniform", "distance")}
    assert ax.get_xscale() == "log"
    for place, one in enumerate(results["params"]):
        line = lines[f"{one['metric']}, {one['weights']}"]
        at = list(line.get_xdata()).index(one["n_neighbors"])
        assert line.get_ydata()[at] == results["mean_test_score"][place]
    points = [
        line for line in ax.lines if line.get_linestyle() == "None" and line.get_marker() == "."
    ]
    assert len(points) == 4 * 3  # each fold of each line
    with pytest.raises(ValueError, match="weights must be among"):
        plot.accuracy_over_k(results, weights="heavy")


def test_accuracy_of_one_weighting(ax, digits):
    results = cross_validate_k(*digits, ks=[1, 5], cv=2)
    plot.accuracy_over_k(results, weights="uniform", ax=ax)
    labels = [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
    assert labels == ["l1", "l2"]
    assert ax.get_xscale() == "linear"


def test_accuracy_of_a_grid_search(ax, digits):
    """Which need not have varied the metric, nor the weights."""
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 5]}, cv=2).fit(*digits)
    plot.accuracy_over_k(search.cv_results_, ax=ax)
    line = next(line for line in ax.lines if line.get_label() == "mean")
    np.testing.assert_array_equal(line.get_ydata(), search.cv_results_["mean_test_score"])


def test_nearest_images(digits):
    images, labels = digits
    _, indices = knn(images[:3], images[3:], 4)
    axes = plot.nearest_images(images[:3], labels[:3], images[3:], labels[3:], indices, (8, 8))
    for row in range(3):
        np.testing.assert_array_equal(axes[row, 0].images[0].get_array().ravel(), images[row])
        for place, near in enumerate(indices[row], start=1):
            shown = axes[row, place]
            np.testing.assert_array_equal(shown.images[0].get_array().ravel(), images[3:][near])
            right = labels[3:][near] == labels[row]
            assert shown.title.get_color() == (plot.RIGHT if right else plot.WRONG)
    pyplot.close(axes[0, 0].figure)


def test_decision_regions(ax):
    points = np.array([[0.0, 0], [0, 1], [5, 0], [5, 1]])
    labels = np.array(["left", "left", "right", "right"])
    classifier = KNeighborsClassifier(1).fit(points, labels)
    plot.decision_regions(classifier, points, labels, resolution=20, ax=ax)
    regions = ax.collections[0].get_array().reshape(20, 20)
    assert (regions[:, :10] == 0).all()
    assert (regions[:, 10:] == 1).all()
    np.testing.assert_array_equal(ax.collections[1].get_offsets(), points)
    with pytest.raises(ValueError, match="X must be points in two dimensions"):
        plot.decision_regions(classifier, np.ones((3, 3)), labels)


def test_decision_regions_side_by_side():
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(40, 2)), random.integers(0, 3, 40)
    axes = plot.decision_regions_side_by_side(points, labels, ks=[1, 9], resolution=15)
    titles = [[ax.get_title() for ax in row] for row in axes]
    assert titles[0][0] == "L1, K = 1: 100% of its points"
    assert titles[1][1].startswith("L2, K = 9: ")
    for row, metric in zip(axes, ("l1", "l2"), strict=True):
        grid = row[1].collections[0].get_array().ravel()
        classifier = KNeighborsClassifier(9, metric=metric).fit(points, labels)
        low, high = points.min(axis=0), points.max(axis=0)
        sides = np.linspace(low - 0.08 * (high - low), high + 0.08 * (high - low), 15).T
        mesh = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
        np.testing.assert_array_equal(grid, classifier.predict(mesh))
    pyplot.close(axes[0, 0].figure)


def test_confusion_and_cost(ax):
    plot.confusion([0, 0, 1, 1], [0, 1, 1, 1], names=["cat", "dog"], ax=ax)
    assert sorted(text.get_text() for text in ax.texts) == ["0%", "100%", "50%", "50%"]
    with pytest.raises(ValueError, match="names must name 2 classes, got 1"):
        plot.confusion([0, 1], [1, 1], names=["cat"], ax=ax)
    with pytest.raises(ValueError, match="seconds must name"):
        plot.cost_over_n({})
    other = plot.cost_over_n({"a": {10: 1.0, 5: 0.5}, "fastknn": {10: 0.1}})
    np.testing.assert_array_equal(other.lines[0].get_xdata(), [5, 10])
    np.testing.assert_array_equal(other.lines[0].get_ydata(), [500, 1000])
    pyplot.close(other.figure)


def test_survivors(ax):
    rows = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    index = Index(rows, screen="rounded")
    with pytest.raises(ValueError, match="index must have searched"):
        plot.survivors(index)
    index.search(rows[:50], 5)
    plot.survivors(index, ax=ax)
    left = [bar.get_width() for bar in ax.patches]
    assert left[0] == 3000
    assert left[1] == index.stats_["survivors"][0] / 50
