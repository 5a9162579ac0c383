"""Pictures of nearest neighbors, with matplotlib: each function takes Axes and returns them.

matplotlib (``pip install matplotlib``) is loaded when something is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from fastknn._utils.arrays import refuse_masked
from fastknn._utils.labels import as_labels
from fastknn._utils.matrices import as_array, as_matrix, checked_matrix
from fastknn._utils.scalars import as_count, distinct_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

__all__ = [
    "accuracy_over_k",
    "candidates",
    "confusion",
    "cost_over_n",
    "decision_regions",
    "decision_regions_side_by_side",
    "nearest_images",
]

RIGHT, WRONG = "tab:green", "tab:red"


# --- Checks: all of them come before a figure is made or anything is drawn --------------------


def _check_ax(ax: Axes | None) -> None:
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib Axes, got {type(ax).__name__}")


def _check_axes(axes, shape: tuple[int, int]) -> np.ndarray | None:
    """Axes in an array of this shape, also from what `pyplot.subplots` squeezed; None for None."""
    if axes is None:
        return None
    from matplotlib.axes import Axes

    try:
        array = np.asarray(axes, dtype=object)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"axes must be an array of matplotlib Axes: {error}") from error
    for one in array.flat:
        if not isinstance(one, Axes):
            raise TypeError(f"axes must be an array of matplotlib Axes, found {one!r}")
    if array.shape == shape:
        return array
    if array.shape != tuple(length for length in shape if length > 1):
        raise ValueError(f"axes must have shape {shape}, got {array.shape}")
    return array.reshape(shape)


def _axes(ax: Axes | None) -> Axes:
    """These Axes, which were checked, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def _grid_of_axes(axes: np.ndarray | None, shape: tuple[int, int], size: tuple) -> np.ndarray:
    """These Axes, which were checked, or those of a new figure of so many rows and columns."""
    if axes is not None:
        return axes
    from matplotlib import pyplot

    return pyplot.subplots(*shape, figsize=size, squeeze=False, layout="constrained")[1]


def _mapping(value, name: str, meaning: str) -> dict:
    """A mapping, or a table or column of pandas as one, that is not empty."""
    if not isinstance(value, Mapping) and not hasattr(value, "iloc"):
        raise TypeError(f"{name} must be a mapping {meaning}, got {type(value).__name__}")
    items = dict(value.items())
    if not items:
        raise ValueError(f"{name} must name one entry at least, got an empty mapping")
    return items


def _labels(values, name: str, n_rows: int | None = None) -> np.ndarray:
    """Labels, one for each row, of which there are as many as labels unless it is said."""
    try:
        count = len(values)
    except TypeError:
        raise TypeError(
            f"{name} must be a sequence of labels, got {type(values).__name__}"
        ) from None
    labels = as_labels(values, name, count if n_rows is None else n_rows)
    if not len(labels):
        raise ValueError(f"{name} must not be empty")
    return labels


def _classes(labels: np.ndarray, others: np.ndarray, name: str, other_name: str) -> list:
    """The labels of both, sorted; the others must be of the same kind."""
    try:
        return sorted({*labels.tolist(), *others.tolist()})
    except TypeError as error:
        raise TypeError(f"{other_name} must be labels of the kind of {name}: {error}") from error


def _codes(labels: np.ndarray, classes: Sequence, meaning: str) -> np.ndarray:
    """The places of labels among classes."""
    places = {label: place for place, label in enumerate(classes)}
    codes = np.empty(len(labels), np.int64)
    for row, label in enumerate(labels.tolist()):
        if label not in places:
            raise ValueError(f"{meaning}, found {label!r} at row {row}")
        codes[row] = places[label]
    return codes


# --- Pictures ---------------------------------------------------------------------------------


def accuracy_over_k(
    results: Mapping, *, weights: str | None = None, ax: Axes | None = None
) -> Axes:
    """Score over the number of neighbors: every fold's point, means and standard deviations.

    Parameters
    ----------
    results : mapping or DataFrame
        What `fastknn.cross_validate_k` returns, or ``cv_results_``: ``params``, each with
        ``n_neighbors``, ``mean_test_score``, ``std_test_score`` and the scores of the splits.
    weights : {"uniform", "distance"}, optional
        Only these; by default a line for each metric and weighting.
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        If results lack one of these or are no such mapping, or no candidate has these weights.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from fastknn import cross_validate_k, plot
    >>> results = cross_validate_k(*load_iris(return_X_y=True), ks=[1, 5, 20])
    >>> ax = plot.accuracy_over_k(results, weights="uniform")
    >>> [line.get_label() for line in ax.lines if not line.get_label().startswith("_")]
    ['l1', 'l2']
    """
    _check_ax(ax)
    if not (weights is None or isinstance(weights, str) or callable(weights)):
        raise TypeError(f"weights must be a str or None, got {weights!r}")
    params, scores = _scores(results)
    means, deviations = scores.pop("mean_test_score"), scores.pop("std_test_score")
    curves: dict[tuple[str, ...], list[int]] = {}
    for place, one in enumerate(params):
        if weights in (None, one.get("weights")):
            # A grid search need not have varied both.
            named = tuple(str(one[name]) for name in ("metric", "weights") if name in one)
            curves.setdefault(named, []).append(place)
    if not curves:
        raise ValueError(f"weights must be among those of results, got {weights!r}")
    ax = _axes(ax)
    one_weighting = len({named[1:] for named in curves}) == 1
    for number, (named, places) in enumerate(curves.items()):
        places = sorted(places, key=lambda place: params[place]["n_neighbors"])
        ks = [params[place]["n_neighbors"] for place in places]
        color = f"C{number}"
        for split in scores.values():
            ax.plot(ks, split[places], ".", color=color, alpha=0.35, markersize=4, label="_")
        ax.errorbar(ks, means[places], deviations[places], color=color, capsize=2, label="_")
        label = ", ".join(named[:1] if one_weighting else named) or "mean"
        ax.plot(ks, means[places], color=color, label=label)
    ax.set(xlabel="k", ylabel="score on held-out folds")
    if max(one["n_neighbors"] for one in params) > 30:
        from matplotlib import ticker

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.0f}"))
        ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    ax.legend()
    return ax


def _scores(results) -> tuple[list[Mapping], dict[str, np.ndarray]]:
    """The candidates of checked results, and their test scores: mean, deviation, each split."""
    results = _mapping(results, "results", "such as cross_validate_k returns")
    for name in ("params", "mean_test_score", "std_test_score"):
        if name not in results:
            raise ValueError(f"results must have {name!r}, got only {list(results)}")
    params = results["params"]
    if not np.iterable(params):
        raise TypeError(f"results must have a sequence of 'params', got {params!r}")
    params = list(params)
    if not params:
        raise ValueError("results must have a candidate at least, got empty 'params'")
    for one in params:
        if not isinstance(one, Mapping) or "n_neighbors" not in one:
            raise ValueError(f"results must have 'n_neighbors' in each of 'params', got {one!r}")
        as_count(one["n_neighbors"], "results: each 'n_neighbors'")
    scores = {}
    for name, values in results.items():
        is_split = str(name).startswith("split") and str(name).endswith("_test_score")
        if not is_split and name not in ("mean_test_score", "std_test_score"):
            continue
        refuse_masked(values, f"results: {name!r}")
        try:
            array = np.asarray(values)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"results must have numbers in {name!r}: {error}") from error
        if array.shape != (len(params),):
            raise ValueError(
                f"results must have a {name!r} for each of {len(params)} 'params', "
                f"got shape {array.shape}"
            )
        if array.dtype.kind not in "biuf":
            raise TypeError(f"results must have numbers in {name!r}, got dtype {array.dtype}")
        scores[name] = array.astype(np.float64)
    if (scores["std_test_score"] < 0).any():
        raise ValueError("results must have no negative 'std_test_score'")
    return params, scores


def nearest_images(
    images: ArrayLike,
    labels: ArrayLike,
    train_images: ArrayLike,
    train_labels: ArrayLike,
    indices: ArrayLike,
    image_shape: tuple[int, ...],
    *,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Each image with its nearest training images, framed by whether their labels agree.

    Parameters
    ----------
    images, train_images : array-like (n, width), or (n, ...) in the shape of the images
        Of a type that matplotlib's `imshow` takes: bytes, or floats.
    labels, train_labels : sequence
        Names or numbers, one for each image, written above it.
    indices : array-like (n_images, k) of int
        Rows of `train_images`, nearest first.
    image_shape : tuple of int
        (height, width), or (height, width, 1, 3 or 4), of which a row is the flattened image.
    axes : array-like of Axes (n_images, k + 1), optional
        By default those of a new figure. What ``pyplot.subplots`` returns for this many rows
        and columns will do.

    Returns
    -------
    ndarray of Axes (n_images, k + 1)

    Raises
    ------
    ValueError, TypeError
        If the images do not have that shape, labels are not as many as images or of one kind,
        or indices do not fit them, by name.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_digits
    >>> from fastknn import knn, plot
    >>> X, y = load_digits(return_X_y=True)
    >>> _, indices = knn(X[:3], X[3:], 4)
    >>> plot.nearest_images(X[:3], y[:3], X[3:], y[3:], indices, (8, 8)).shape
    (3, 5)
    """
    shape = _image_shape(image_shape)
    images = _flat_images(images, "images", shape)
    train_images = _flat_images(train_images, "train_images", shape)
    n_pixels = math.prod(shape)
    if images.shape[1] == train_images.shape[1] != n_pixels:
        raise ValueError(
            f"image_shape must be that of the images, of {images.shape[1]} values; got {shape}"
        )
    for name, some in (("images", images), ("train_images", train_images)):
        if some.shape[1] != n_pixels:
            raise ValueError(
                f"{name} must have {n_pixels} values each, as image_shape {shape} says; "
                f"got {some.shape[1]}"
            )
    labels = _labels(labels, "labels", len(images))
    train_labels = _labels(train_labels, "train_labels", len(train_images))
    _classes(labels, train_labels, "labels", "train_labels")
    indices = _neighbor_rows(indices, len(images), len(train_images))
    n_images, k = indices.shape
    grid = n_images, k + 1
    axes = _grid_of_axes(_check_axes(axes, grid), grid, (0.9 * (k + 1), 1.05 * n_images))
    for row in range(n_images):
        _image(axes[row, 0], images[row], shape, labels[row], None)
        for place, near in enumerate(indices[row], start=1):
            agrees = train_labels[near] == labels[row]
            _image(
                axes[row, place],
                train_images[near],
                shape,
                train_labels[near],
                RIGHT if agrees else WRONG,
            )
    return axes


def _image_shape(image_shape) -> tuple[int, ...]:
    """A checked shape: (height, width) where there is one channel, or with 3 or 4 of them."""
    distinct_values(image_shape, "image_shape", lambda length: as_count(length, "image_shape"))
    shape = tuple(image_shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ValueError(
            "image_shape must be (height, width), or (height, width, channels) of 1, 3 or 4 "
            f"channels; got {shape}"
        )
    return _without_single_channel(shape)


def _without_single_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if len(shape) == 3 and shape[2] == 1 else shape


def _flat_images(images, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Images as rows, in the type they have; pixels may be missing (NaN)."""
    images = as_array(images, name)
    if images.ndim > 2:
        if _without_single_channel(images.shape[1:]) != shape:
            raise ValueError(
                f"{name} must have shape (n, {math.prod(shape)}) or {('n', *shape)}, "
                f"got {images.shape}".replace("'n'", "n")
            )
        images = images.reshape(len(images), math.prod(shape))
    return checked_matrix(images, name, check_finite=False)


def _neighbor_rows(indices, n_images: int, n_train: int) -> np.ndarray:
    indices = checked_matrix(indices, "indices")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got dtype {indices.dtype}")
    if len(indices) != n_images:
        raise ValueError(
            f"indices must have a row for each of {n_images} images, got shape {indices.shape}"
        )
    lowest, highest = indices.min(), indices.max()
    if lowest < 0 or highest >= n_train:
        raise ValueError(
            f"indices must be rows of train_images, from 0 to {n_train - 1}, "
            f"got {lowest if lowest < 0 else highest}"
        )
    return indices


def _image(ax: Axes, pixels: np.ndarray, shape: tuple, title, frame: str | None) -> None:
    ax.imshow(np.asarray(pixels).reshape(shape), cmap="gray_r" if len(shape) == 2 else None)
    ax.set_title(str(title), fontsize=7, pad=2, color=frame or "black")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=frame is not None, edgecolor=frame or "none", linewidth=2)


def decision_regions(
    classifier, X: ArrayLike, y: ArrayLike, *, resolution: int = 200, ax: Axes | None = None
) -> Axes:
    """What a fitted classifier answers everywhere about points in two dimensions.

    Parameters
    ----------
    classifier : fitted classifier of two features
        With ``classes_``, and with a `predict` that returns one of them for each point.
    X : array-like of shape (n_points, 2)
        Of any type that `fastknn.Index` takes, tables included.
    y : sequence of labels
        Of the classes of the classifier, one for each point.
    resolution : int, default 200
        Points of the grid on each axis.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        If the points are not in two dimensions, the classifier is not fitted to such points,
        or y is not of its classes, by name.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from fastknn import KNeighborsClassifier, plot
    >>> points, labels = np.array([[0.0, 0], [1, 1], [0, 1]]), [0, 1, 1]
    >>> ax = plot.decision_regions(KNeighborsClassifier(1).fit(points, labels), points, labels)
    """
    _check_ax(ax)
    resolution = as_count(resolution, "resolution")
    points = _points(X)
    classes = _classes_of(classifier)
    y = _labels(y, "y", len(points))
    codes = _codes(y, classes, "y must be of the classes of classifier")
    sides = _sides(points, resolution)
    grid = _grid(sides)
    if hasattr(X, "iloc"):
        # A classifier that was fitted on a table asks for the names of its columns.
        table: Any = X
        grid = type(table)(grid, columns=table.columns)
    regions = _predicted(classifier, grid, classes)
    return _draw_regions(_axes(ax), points, codes, sides, regions)


def _points(X) -> np.ndarray:
    points = as_matrix(X, "X")
    if points.shape[1] != 2:
        raise ValueError(f"X must be points in two dimensions, got shape {points.shape}")
    return points.astype(np.float64, copy=False)


def _classes_of(classifier) -> list:
    if isinstance(classifier, type) or not callable(getattr(classifier, "predict", None)):
        raise TypeError(f"classifier must be a fitted classifier, got {classifier!r}")
    classes = getattr(classifier, "classes_", None)
    if classes is None:
        raise ValueError(
            f"classifier must be a fitted classifier: {type(classifier).__name__} has no classes_"
        )
    try:
        array = np.asarray(classes)
    except ValueError:  # of several outputs, which have unequal numbers of classes
        array = None
    if array is None or array.ndim != 1:
        raise ValueError("classifier must have one output, found classes_ of several")
    return array.tolist()


def _sides(points: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates of a grid around points, along x and along y."""
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore"):
        span = high - low
        # Points on a line have some space around them as well.
        margin = 0.08 * np.where(span > 0, span, np.maximum(1, np.abs(low)))
        low, high = low - margin, high + margin
        if not np.isfinite(high - low).all():
            raise ValueError("X must be points whose range is a finite float64")
    return tuple(np.linspace(low, high, resolution).T)


def _grid(sides: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _predicted(classifier, grid, classes: Sequence) -> np.ndarray:
    """The codes of what a classifier answers about a grid."""
    try:
        answers = np.asarray(classifier.predict(grid))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(
            f"classifier must predict labels of points in two dimensions: {error}"
        ) from error
    if answers.shape != (len(grid),):
        raise ValueError(
            f"classifier must predict a label for each of {len(grid)} points, "
            f"got shape {answers.shape}"
        )
    return _codes(answers, classes, "classifier must predict labels of its classes_")


def _draw_regions(ax: Axes, points: np.ndarray, codes, sides, regions) -> Axes:
    colors: dict[str, Any] = {"cmap": "tab10", "vmin": -0.5, "vmax": 9.5}
    regions = regions.reshape(len(sides[1]), len(sides[0])) % 10
    ax.pcolormesh(*sides, regions, alpha=0.3, shading="nearest", rasterized=True, **colors)
    ax.scatter(
        points[:, 0], points[:, 1], c=codes % 10, s=9, edgecolor="white", linewidth=0.3, **colors
    )
    ax.set(xticks=[], yticks=[])
    return ax


def decision_regions_side_by_side(
    X: ArrayLike,
    y: ArrayLike,
    ks: Sequence[int] = (1, 3, 15),
    metrics: Sequence[str] = ("l1", "l2"),
    *,
    resolution: int = 200,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Regions of nearest-neighbor classifiers: a row for each metric, a column for each k.

    Parameters
    ----------
    X : array-like of shape (n_points, 2)
        Of any type that `fastknn.Index` takes, tables included.
    y : sequence of labels
        One for each point.
    ks : sequence of int, default (1, 3, 15)
        At most as many as there are points; each is drawn once.
    metrics : sequence of str, default ("l1", "l2")
        Of those that `fastknn.KNeighborsClassifier` takes; each is drawn once.
    resolution : int, default 200
        Points of the grid on each axis.
    axes : array-like of Axes (n_metrics, n_ks), optional
        By default those of a new figure. What ``pyplot.subplots`` returns for this many rows
        and columns will do.

    Returns
    -------
    ndarray of Axes (n_metrics, n_ks)

    Raises
    ------
    ValueError, TypeError
        If the points are not in two dimensions, there are not axes for all, or another argument
        does not fit, by name.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> points, labels = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [0, 1, 1]
    >>> plot.decision_regions_side_by_side(points, labels, ks=[1, 2]).shape
    (2, 2)
    """
    from fastknn.estimators.neighbors import KNeighborsClassifier

    resolution = as_count(resolution, "resolution")
    X = _points(X)
    y = _labels(y, "y", len(X))
    classes = _classes(y, y, "y", "y")
    codes = _codes(y, classes, "y must be labels")
    ks = distinct_values(ks, "ks", lambda k: as_count(k, "ks"))
    if max(ks) > len(X):
        raise ValueError(f"ks must be at most the number of points, {len(X)}; got {max(ks)}")
    metrics = distinct_values(metrics, "metrics", _check_metric)
    shape = len(metrics), len(ks)
    axes = _check_axes(axes, shape)
    sides = _sides(X, resolution)
    grid = _grid(sides)
    regions, scores = {}, {}
    for metric in metrics:
        for k in ks:
            classifier = KNeighborsClassifier(k, metric=metric, algorithm="brute")
            try:
                regions[metric, k] = classifier.fit(X, codes).predict(grid)
                scores[metric, k] = classifier.score(X, codes)
            except (ValueError, TypeError) as error:  # of scikit-learn, for its other metrics
                raise ValueError(
                    f"metrics must be such as compare points in two dimensions, got {metric!r}: "
                    f"{error}"
                ) from error
    axes = _grid_of_axes(axes, shape, (3 * len(ks), 3 * len(metrics)))
    for row, metric in zip(axes, metrics, strict=True):
        for ax, k in zip(row, ks, strict=True):
            _draw_regions(ax, X, codes, sides, regions[metric, k])
            ax.set_title(f"{metric.upper()}, K = {k}: {scores[metric, k]:.0%} of its points")
    return axes


def _check_metric(metric) -> None:
    if not isinstance(metric, str):
        raise TypeError(f"metrics must be names of metrics, got {metric!r}")


def confusion(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Shares of every class's rows by what they were taken for.

    Parameters
    ----------
    labels, predicted : sequences of one length
        Of labels of one kind.
    names : sequence of str, optional
        Of the classes in sorted order: of all labels that occur in either.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        If labels and predictions differ in number or in kind, or names and classes in number.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> ax = plot.confusion([0, 0, 1], [0, 1, 1], names=["cat", "dog"])
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    _check_ax(ax)
    labels = _labels(labels, "labels")
    predicted = _labels(predicted, "predicted", len(labels))
    classes = _classes(labels, predicted, "labels", "predicted")
    if names is None:
        names = classes
    elif isinstance(names, str) or not np.iterable(names):
        raise TypeError(f"names must be a sequence of names, got {names!r}")
    names = list(names)
    if len(names) != len(classes):
        raise ValueError(f"names must name {len(classes)} classes, got {len(names)}")
    # Codes, as scikit-learn refuses labels of some types.
    return ConfusionMatrixDisplay.from_predictions(
        *(_codes(some, classes, "labels") for some in (labels, predicted)),
        display_labels=names,
        normalize="true",
        values_format=".0%",
        xticks_rotation="vertical",
        colorbar=False,
        text_kw={"fontsize": 7},
        ax=_axes(ax),
    ).ax_


def cost_over_n(seconds: Mapping[str, Mapping[int, float]], *, ax: Axes | None = None) -> Axes:
    """Prediction cost over the size of the training set, on logarithmic axes.

    Parameters
    ----------
    seconds : mapping of str to mapping of int to float, or DataFrame
        For each contender, seconds per query by number of training rows. In a table these are its
        columns and its index, and values may be missing.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError, TypeError
        If `seconds` is empty, not such a mapping, or has a number that is not above 0.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> ax = plot.cost_over_n({"fastknn": {1000: 1e-5, 10_000: 5e-5}})
    """
    _check_ax(ax)
    contenders: dict[str, dict[int, float]] = {}
    for name, by_rows in _mapping(seconds, "seconds", "of contenders").items():
        if not isinstance(name, str):
            raise TypeError(f"seconds must name each contender by a str, got {name!r}")
        if hasattr(by_rows, "dropna"):
            by_rows = by_rows.dropna()
        by_rows = _mapping(by_rows, f"seconds of {name!r}", "of training rows to seconds")
        for number in (*by_rows, *by_rows.values()):
            if not isinstance(number, Real) or isinstance(number, bool | np.bool_):
                raise TypeError(f"seconds of {name!r} must hold numbers, got {number!r}")
            if not 0 < float(number) < np.inf:
                raise ValueError(f"seconds of {name!r} must be finite and above 0, got {number}")
        contenders[name] = dict(sorted(by_rows.items()))
    ax = _axes(ax)
    for number, (name, by_rows) in enumerate(contenders.items()):
        ours = name.startswith("fastknn")
        ax.loglog(
            list(by_rows),
            [1e3 * one for one in by_rows.values()],
            marker="o",
            markersize=4,
            color=f"C{number}",
            linewidth=2.5 if ours else 1.2,
            label=name,
        )
    ax.set(xlabel="training rows", ylabel="milliseconds per query")
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize="small")
    return ax


def candidates(index, *, ax: Axes | None = None) -> Axes:
    """How many rows per query had left after each stage of an index's last search.

    Parameters
    ----------
    index : fastknn.Index
        That has searched.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If it has not, or only for no queries at all.
    TypeError
        If this is no index.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from fastknn import Index, plot
    >>> rows = np.random.default_rng(0).normal(size=(3000, 64)).astype("float32")
    >>> index = Index(rows, screen="quantized")
    >>> _ = index.search(rows[:50], 5)
    >>> ax = plot.candidates(index)
    """
    from fastknn.search.index import Index

    _check_ax(ax)
    if not isinstance(index, Index):
        raise TypeError(f"index must be a fastknn.Index, got {type(index).__name__}")
    stats = index.stats_
    if not stats.get("candidates"):
        raise ValueError("index must have searched: its stats_ do not say what survived yet")
    ax = _axes(ax)
    n_queries = stats["rows_screened"] / len(index)
    left = [len(index), *(count / n_queries for count in stats["candidates"])]
    stages = ["all rows", *(f"stage {place}" for place in range(1, len(left)))]
    bars = ax.barh(stages, left, color="C0")
    ax.bar_label(bars, [f"{count:,.0f}" for count in left], padding=3)
    ax.set_xscale("log")
    ax.margins(x=0.15)
    ax.invert_yaxis()
    ax.set(xlabel="rows left per query", title=stats["cascade"])
    return ax
