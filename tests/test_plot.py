"""Pictures: what is drawn is what was given, on the Axes that were given."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from fastknn import Index, KNeighborsClassifier, KNeighborsRegressor, cross_validate_k, knn, plot

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture(autouse=True)
def no_figures_of_other_tests():
    pyplot.close("all")


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


def test_candidates(ax):
    rows = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    index = Index(rows, screen="quantized")
    with pytest.raises(ValueError, match="index must have searched"):
        plot.candidates(index)
    index.search(rows[:50], 5)
    plot.candidates(index, ax=ax)
    left = [bar.get_width() for bar in ax.patches]
    assert left[0] == 3000
    assert left[1] == index.stats_["candidates"][0] / 50


# --- Wrong arguments: an error that begins with their name, before anything is drawn ----------

RESULTS = {
    "params": [{"n_neighbors": 1}, {"n_neighbors": 3, "weights": "uniform"}],
    "split0_test_score": np.array([0.5, 0.75]),
    "mean_test_score": np.array([0.5, 0.75]),
    "std_test_score": np.array([0.0, 0.25]),
}
POINTS = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 0.0], [5.0, 1.0]])
LABELS = np.array([0, 0, 1, 1])
IMAGES = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)


class Unreadable:
    """As the arrays of some libraries, which NumPy must not read."""

    def __len__(self):
        return 4

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("lies on another device")


class Mute(KNeighborsClassifier):
    """Its answers are not one label for each point."""

    def predict(self, X):
        return np.zeros((len(X), 2))


class Stray(KNeighborsClassifier):
    def predict(self, X):
        return np.full(len(X), 9)


def two_dimensional(**changed):
    classifier = KNeighborsClassifier(1).fit(POINTS, LABELS)
    return {"classifier": classifier, "X": POINTS, "y": LABELS, "resolution": 5, **changed}


def searched():
    index = Index(POINTS)
    index.search(POINTS, 2)
    return index


# For each function: arguments that are right, and wrong values of each.
NO_MATRIX = [None, 3.0, "text", [], [[]], [1.0, 2.0], [[1.0, 2.0], [3.0]], [["a", "b"]], object()]
NO_MATRIX += [[[None, 1.0]], {"a": 1}, sparse.csr_matrix(POINTS), Unreadable()]
NO_LABELS = [None, 3, "text", [], [0, 1], [0, 0, 1, 1, 1], [[0], [0, 1]], [[0], [0], [1], [1]]]
NO_LABELS += [[0, 0, 1, np.nan], [0, None, 1, 1], object(), {"a": 1}, iter(LABELS), Unreadable()]
NO_COUNT = [None, 0, -3, 2.5, "5", [5], True]
NO_AX = ["ax", 3, [], pyplot]
NO_MAPPING = [None, 3, "text", [], [("a", {1: 1.0})], {}, np.ones(3), KNeighborsClassifier()]
ONE_SERIES = {"a": {10: 1.0}}


def without(name):
    return {key: value for key, value in RESULTS.items() if key != name}


FUNCTIONS = {
    plot.accuracy_over_k: (
        lambda: {"results": RESULTS},
        {
            "results": [
                *NO_MAPPING,
                without("params"),
                without("mean_test_score"),
                without("std_test_score"),
                {**RESULTS, "params": []},
                {**RESULTS, "params": None},
                {**RESULTS, "params": "text"},
                {**RESULTS, "params": ["a", "b"]},
                {**RESULTS, "params": [{"knn__n_neighbors": 1}, {"knn__n_neighbors": 3}]},
                {**RESULTS, "params": [{"n_neighbors": 1}, {"n_neighbors": "3"}]},
                {**RESULTS, "params": [{"n_neighbors": 1}, {"n_neighbors": 0}]},
                {**RESULTS, "mean_test_score": [0.5]},
                {**RESULTS, "mean_test_score": None},
                {**RESULTS, "mean_test_score": ["a", "b"]},
                {**RESULTS, "std_test_score": [[0.5, 0.75]]},
                {**RESULTS, "std_test_score": [-0.1, 0.1]},
                {**RESULTS, "split0_test_score": [0.5, 0.75, 1.0]},
                {**RESULTS, "split0_test_score": [[0.5], [0.75, 1.0]]},
                {**RESULTS, "split0_test_score": Unreadable()},
            ],
            "weights": ["distance", "heavy", 3, ["uniform"], np.array(["uniform", "distance"])],
            "ax": NO_AX,
        },
    ),
    plot.nearest_images: (
        lambda: {
            "images": IMAGES[:2],
            "labels": [0, 1],
            "train_images": IMAGES,
            "train_labels": LABELS,
            "indices": [[0, 1, 2], [3, 2, 1]],
            "image_shape": (2, 3),
        },
        {
            "images": [*NO_MATRIX, IMAGES[:2, :5], IMAGES[:2].reshape(2, 3, 2), IMAGES[:0]],
            "labels": [*(one for one in NO_LABELS if one != [0, 1]), [0]],
            "train_images": [*NO_MATRIX, IMAGES[:, :5], IMAGES.reshape(4, 3, 2)],
            "train_labels": [*NO_LABELS, ["a", "b", "a", "b"]],
            "indices": [
                *NO_MATRIX,
                [0, 1],
                [[0, 1]],
                [[0, 1]] * 3,
                [[0, 1], [2]],
                [[0.0, 1.0], [2.0, 3.0]],
                [[False, True], [False, True]],
                [[0, 1], [2, 4]],
                [[0, 1], [2, -1]],
                [[], []],
                np.zeros((2, 1, 1), int),
            ],
            "image_shape": [
                *(None, 6, "23", (), (6,), (2, 2), (2, 3, 3), (-1, 3), (2.0, 3), (3, 0)),
                *((3, 2, 1, 1), (1, 3, 2)),
            ],
            "axes": [*NO_AX, "text", [[None] * 4] * 2, np.ones((2, 4)), [[1], [1, 2]]],
        },
    ),
    plot.decision_regions: (
        two_dimensional,
        {
            "classifier": [
                None,
                "text",
                KNeighborsClassifier,
                KNeighborsClassifier(),
                KNeighborsRegressor(1).fit(POINTS, LABELS),
                KNeighborsClassifier(1).fit(np.ones((4, 3)), LABELS),
                KNeighborsClassifier(1).fit(POINTS, np.c_[LABELS, LABELS]),
                KNeighborsClassifier(1).fit(POINTS, np.c_[LABELS, np.arange(4)]),
                KNeighborsClassifier(metric="precomputed").fit(np.ones((4, 4)), LABELS),
                Mute().fit(POINTS, LABELS),
                Stray().fit(POINTS, LABELS),
            ],
            "X": [
                *NO_MATRIX,
                *(np.ones((4, 3)), np.ones((4, 1)), np.ones((4, 2, 1)), POINTS[:0]),
                *(np.full((4, 2), np.nan), [[-1e308, 0], [1e308, 0], [0, 0], [0, 0]]),
            ],
            "y": [*NO_LABELS, [0, 0, 1, 2], ["0", "0", "1", "1"]],
            "resolution": NO_COUNT,
            "ax": NO_AX,
        },
    ),
    plot.decision_regions_side_by_side: (
        lambda: {"X": POINTS, "y": LABELS, "ks": (1, 3), "resolution": 5},
        {
            "X": [*NO_MATRIX, np.ones((4, 3)), np.ones((4, 1)), POINTS[:0]],
            "y": NO_LABELS,
            "ks": [None, 3, "13", [], [0], [5], [1.5], ["1"], [None], [[1, 2]], [True]],
            "metrics": [
                None,
                3,
                "l2",
                [],
                ["l1", "l7"],
                [2],
                [None],
                [["l1"]],
                ["l1", "precomputed"],
            ],
            "resolution": NO_COUNT,
            "axes": [*NO_AX, "text", [[None] * 2] * 2, np.ones((2, 2)), [[1], [1, 2]]],
        },
    ),
    plot.confusion: (
        lambda: {"labels": LABELS, "predicted": [0, 1, 1, 1]},
        {
            "labels": [
                one for one in NO_LABELS if not (isinstance(one, list) and len(one) in (2, 5))
            ]
            + [[0, {}, 1, 1]],
            "predicted": [*NO_LABELS, ["0", "0", "1", "1"], [{}, {}, {}, {}]],
            "names": [3, "ab", [], ["cat"], ["a", "b", "c"], object()],
            "ax": NO_AX,
        },
    ),
    plot.cost_over_n: (
        lambda: {"seconds": ONE_SERIES},
        {
            "seconds": [
                *NO_MAPPING,
                {3: {10: 1.0}},
                {None: {10: 1.0}},
                {"a": {}},
                {"a": None},
                {"a": [1.0, 2.0]},
                {"a": {10: "1"}},
                {"a": {10: None}},
                {"a": {10: 0.0}},
                {"a": {10: -1.0}},
                {"a": {10: np.nan}},
                {"a": {10: np.inf}},
                {"a": {10: [1.0]}},
                {"a": {10: 1j}},
                {"a": {10: True}},
                {"a": {"10": 1.0}},
                {"a": {0: 1.0}},
                {"a": {10: 1.0, "5": 1.0}},
                {**ONE_SERIES, "b": {None: 1.0}},
            ],
            "ax": NO_AX,
        },
    ),
    plot.candidates: (
        lambda: {"index": searched()},
        {"index": [None, 3, "text", Index, Index(POINTS), POINTS, {}], "ax": NO_AX},
    ),
}


@pytest.fixture(scope="module")
def own_axes():
    """Of a figure that pyplot does not know."""
    return Figure().subplots(2, 4)


def wrong_arguments():
    for function, (_, wrong) in FUNCTIONS.items():
        for name, values in wrong.items():
            for place, value in enumerate(values):
                # None stands for the default there.
                if value is not None or name not in ("ax", "axes", "names", "weights"):
                    label = f"{function.__name__}-{name}-{place}"
                    yield pytest.param(function, name, value, id=label)


@pytest.mark.parametrize(("function", "name", "value"), list(wrong_arguments()))
def test_wrong_arguments_are_named_and_nothing_is_drawn(function, name, value, own_axes):
    arguments = {**FUNCTIONS[function][0](), name: value}
    with pytest.raises((ValueError, TypeError), match=rf"^{name}\b"):
        function(**arguments)
    assert pyplot.get_fignums() == []
    if name not in ("ax", "axes"):
        given = "axes" if "axes" in FUNCTIONS[function][1] else "ax"
        axes = own_axes if function is plot.nearest_images else own_axes[:, :2]
        before = [len(ax.get_children()) for ax in axes.ravel()]
        with pytest.raises((ValueError, TypeError), match=rf"^{name}\b"):
            function(**arguments, **{given: axes if given == "axes" else axes[0, 0]})
        assert [len(ax.get_children()) for ax in axes.ravel()] == before


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_arguments_that_wrong_ones_are_put_among_are_right(function):
    drawn = np.ravel(function(**FUNCTIONS[function][0]()))[0]
    drawn.figure.canvas.draw()
    pyplot.close(drawn.figure)


def test_an_index_that_was_asked_nothing_has_nothing_to_show():
    index = Index(POINTS)
    index.search(POINTS[:0], 2)
    with pytest.raises(ValueError, match=r"^index must have searched"):
        plot.candidates(index)
    assert pyplot.get_fignums() == []


# --- What users also have at hand ------------------------------------------------------------


@pytest.mark.interop
def test_lists_and_tables_are_drawn_as_arrays(ax):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(POINTS, columns=["width", "height"])
    fitted = KNeighborsClassifier(1).fit(table, pandas.Series(LABELS))
    with warnings.catch_warnings():
        # Its grid has the names of the columns that the classifier was fitted on.
        warnings.simplefilter("error")
        plot.decision_regions(fitted, table, pandas.Series(LABELS), resolution=4, ax=ax)
    of_table = ax.collections[0].get_array().ravel()
    fitted.fit(POINTS, LABELS)
    plot.decision_regions(fitted, POINTS.tolist(), LABELS.tolist(), resolution=4, ax=ax)
    np.testing.assert_array_equal(ax.collections[2].get_array().ravel(), of_table)

    axes = plot.decision_regions_side_by_side(table, LABELS.tolist(), [1], ["l1"], resolution=4)
    np.testing.assert_array_equal(axes[0, 0].collections[0].get_array().ravel(), of_table)
    pyplot.close(axes[0, 0].figure)


@pytest.mark.interop
def test_results_in_a_table_may_be_sorted(ax):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(RESULTS).sort_values("mean_test_score", ascending=False)
    plot.accuracy_over_k(table, ax=ax)
    shown = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in ax.lines}
    assert shown == {(1,): (0.5,), (3,): (0.75,)}


def test_only_test_scores_are_points(ax):
    plot.accuracy_over_k({**RESULTS, "split0_train_score": np.full(2, 0.9)}, ax=ax)
    assert not any((np.asarray(line.get_ydata()) == 0.9).any() for line in ax.lines)


@pytest.mark.interop
def test_seconds_in_a_table(ax):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 0.5], "b": [2.0, np.nan]}, index=[10, 5])
    plot.cost_over_n(table, ax=ax)
    assert [list(line.get_xdata()) for line in ax.lines] == [[5, 10], [10]]
    assert [list(line.get_ydata()) for line in ax.lines] == [[500, 1000], [2000]]


@pytest.mark.parametrize("kind", [list, np.asarray, lambda rows: np.reshape(rows, (-1, 2, 3))])
def test_images_of_any_kind(kind):
    indices = [[0, 1], [3, 2]]
    axes = plot.nearest_images(
        kind(IMAGES[:2].tolist()), [0, 1], kind(IMAGES.tolist()), LABELS.tolist(), indices, [2, 3]
    )
    np.testing.assert_array_equal(axes[1, 1].images[0].get_array(), IMAGES[3].reshape(2, 3))
    assert axes[1, 1].title.get_color() == plot.RIGHT
    assert axes[0, 2].title.get_color() == plot.RIGHT
    assert axes[1, 2].title.get_color() == plot.RIGHT
    pyplot.close(axes[0, 0].figure)


def test_axes_as_pyplot_gives_them():
    """In one dimension for a single row or column, and alone for a single one."""
    figure, row = pyplot.subplots(1, 3)
    axes = plot.nearest_images(IMAGES[:1], [0], IMAGES, LABELS, [[0, 1]], (2, 3), axes=row)
    assert axes.shape == (1, 3)
    assert all(ax.images for ax in row)
    pyplot.close(figure)
    figure, ax = pyplot.subplots()
    axes = plot.decision_regions_side_by_side(POINTS, LABELS, [1], ["l2"], resolution=4, axes=ax)
    assert axes.shape == (1, 1)
    assert ax.collections
    pyplot.close(figure)


def test_points_of_one_place_and_of_bytes(ax):
    classifier = KNeighborsClassifier(1).fit(np.ones((2, 2), np.uint8), [True, False])
    plot.decision_regions(classifier, np.ones((2, 2), np.uint8), [True, False], resolution=4, ax=ax)
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]


@pytest.mark.parametrize("labels", [["a", "b", "b"], [True, False, False], [0.5, 1.5, 1.5]])
def test_confusion_of_labels_of_any_kind(ax, labels):
    plot.confusion(np.array(labels, object), labels, ax=ax)
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        str(one) for one in sorted(set(labels))
    ]
    assert sorted(text.get_text() for text in ax.texts) == ["0%", "0%", "100%", "100%"]
