"""Pictures of nearest neighbours, with matplotlib: each function takes Axes and returns them.

matplotlib comes with ``pip install "fastknn[plot]"``, and is loaded when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "accuracy_over_k",
    "confusion",
    "cost_over_n",
    "decision_regions",
    "decision_regions_side_by_side",
    "nearest_images",
    "survivors",
]

RIGHT, WRONG = "tab:green", "tab:red"


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def accuracy_over_k(
    results: Mapping, *, weights: str | None = None, ax: Axes | None = None
) -> Axes:
    """Score over the number of neighbours: every fold's point, means and standard deviations.

    Parameters
    ----------
    results : mapping
        What `fastknn.cross_validate_k` returns, or ``cv_results_``.
    weights : {"uniform", "distance"}, optional
        Only these; by default a line for each metric and weighting.
    ax : matplotlib Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If no candidate has these weights.

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
    ax = _axes(ax)
    splits = [results[name] for name in results if name.startswith("split")]
    curves: dict[tuple[str, ...], list[int]] = {}
    for place, one in enumerate(results["params"]):
        if weights in (None, one.get("weights")):
            # A grid search need not have varied both.
            named = tuple(one[name] for name in ("metric", "weights") if name in one)
            curves.setdefault(named, []).append(place)
    if not curves:
        raise ValueError(f"weights must be among those of results, got {weights!r}")
    one_weighting = len({named[1:] for named in curves}) == 1
    for number, (named, places) in enumerate(curves.items()):
        places = sorted(places, key=lambda place: results["params"][place]["n_neighbors"])
        ks = [results["params"][place]["n_neighbors"] for place in places]
        color = f"C{number}"
        for scores in splits:
            ax.plot(ks, scores[places], ".", color=color, alpha=0.35, markersize=4, label="_")
        ax.errorbar(
            ks,
            results["mean_test_score"][places],
            results["std_test_score"][places],
            color=color,
            capsize=2,
            label="_",
        )
        label = ", ".join(map(str, named[:1] if one_weighting else named)) or "mean"
        ax.plot(ks, results["mean_test_score"][places], color=color, label=label)
    ax.set(xlabel="k", ylabel="score on held-out folds")
    if max(one["n_neighbors"] for one in results["params"]) > 30:
        from matplotlib import ticker

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.0f}"))
        ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    ax.legend()
    return ax


def nearest_images(
    images: np.ndarray,
    labels: Sequence,
    train_images: np.ndarray,
    train_labels: Sequence,
    indices: np.ndarray,
    image_shape: tuple[int, ...],
    *,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Each image with its nearest training images, framed by whether their labels agree.

    Parameters
    ----------
    images, train_images : ndarray (n, width) of uint8
    labels, train_labels : sequence
        Names or numbers, written above the images.
    indices : ndarray (n_images, k) of int
        Rows of `train_images`, nearest first.
    image_shape : tuple of int
        (height, width) or (height, width, 3), of which a row is the flattened image.
    axes : ndarray of Axes (n_images, k + 1), optional
        By default those of a new figure.

    Returns
    -------
    ndarray of Axes (n_images, k + 1)

    Raises
    ------
    ValueError
        If the images do not have that shape.

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
    n_images, k = indices.shape
    if axes is None:
        from matplotlib import pyplot

        size = (0.9 * (k + 1), 1.05 * n_images)
        axes = pyplot.subplots(n_images, k + 1, figsize=size, squeeze=False, layout="constrained")[
            1
        ]
    for row in range(n_images):
        _image(axes[row, 0], images[row], image_shape, labels[row], None)
        for place, near in enumerate(indices[row], start=1):
            agrees = train_labels[near] == labels[row]
            _image(
                axes[row, place],
                train_images[near],
                image_shape,
                train_labels[near],
                RIGHT if agrees else WRONG,
            )
    return axes


def _image(ax: Axes, pixels: np.ndarray, shape: tuple, title, frame: str | None) -> None:
    ax.imshow(np.asarray(pixels).reshape(shape), cmap="gray_r" if len(shape) == 2 else None)
    ax.set_title(str(title), fontsize=7, pad=2, color=frame or "black")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=frame is not None, edgecolor=frame or "none", linewidth=2)


def decision_regions(
    classifier, X: np.ndarray, y: Sequence, *, resolution: int = 200, ax: Axes | None = None
) -> Axes:
    """What a fitted classifier answers everywhere about points in two dimensions.

    Parameters
    ----------
    classifier : fitted classifier of two features
    X : array-like of shape (n_points, 2)
    y : sequence of labels
    resolution : int, default 200
        Points of the grid on each axis.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the points are not in two dimensions.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from fastknn import KNeighborsClassifier, plot
    >>> points, labels = np.array([[0.0, 0], [1, 1], [0, 1]]), [0, 1, 1]
    >>> ax = plot.decision_regions(KNeighborsClassifier(1).fit(points, labels), points, labels)
    """
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must be points in two dimensions, got shape {X.shape}")
    ax = _axes(ax)
    margin = 0.08 * (X.max(axis=0) - X.min(axis=0))
    sides = [
        np.linspace(low, high, resolution)
        for low, high in zip(X.min(axis=0) - margin, X.max(axis=0) + margin, strict=True)
    ]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    classes = np.asarray(classifier.classes_)
    regions = np.searchsorted(classes, classifier.predict(grid)).reshape(resolution, resolution)
    colors = {"cmap": "tab10", "vmin": -0.5, "vmax": 9.5}
    ax.pcolormesh(*sides, regions % 10, alpha=0.3, shading="nearest", rasterized=True, **colors)
    ax.scatter(
        *X.T, c=np.searchsorted(classes, y) % 10, s=9, edgecolor="white", linewidth=0.3, **colors
    )
    ax.set(xticks=[], yticks=[])
    return ax


def decision_regions_side_by_side(
    X: np.ndarray,
    y: Sequence,
    ks: Sequence[int] = (1, 3, 15),
    metrics: Sequence[str] = ("l1", "l2"),
    *,
    resolution: int = 200,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Regions of nearest-neighbour classifiers: a row for each metric, a column for each k.

    Parameters
    ----------
    X : array-like of shape (n_points, 2)
    y : sequence of labels
    ks : sequence of int, default (1, 3, 15)
    metrics : sequence of str, default ("l1", "l2")
    resolution : int, default 200
        Points of the grid on each axis.
    axes : ndarray of Axes (n_metrics, n_ks), optional
        By default those of a new figure.

    Returns
    -------
    ndarray of Axes (n_metrics, n_ks)

    Raises
    ------
    ValueError
        If the points are not in two dimensions, or there are not axes for all.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> points, labels = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [0, 1, 1]
    >>> plot.decision_regions_side_by_side(points, labels, ks=[1, 2]).shape
    (2, 2)
    """
    from fastknn.neighbors import KNeighborsClassifier

    if axes is None:
        from matplotlib import pyplot

        size = 3 * len(ks), 3 * len(metrics)
        axes = pyplot.subplots(
            len(metrics), len(ks), figsize=size, squeeze=False, layout="constrained"
        )[1]
    for row, metric in zip(axes, metrics, strict=True):
        for ax, k in zip(row, ks, strict=True):
            classifier = KNeighborsClassifier(k, metric=metric, algorithm="brute").fit(X, y)
            decision_regions(classifier, X, y, resolution=resolution, ax=ax)
            ax.set_title(f"{metric.upper()}, K = {k}: {classifier.score(X, y):.0%} of its points")
    return axes


def confusion(
    labels: Sequence,
    predicted: Sequence,
    *,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Shares of every class's rows by what they were taken for.

    Parameters
    ----------
    labels, predicted : sequences of one length
    names : sequence of str, optional
        Of the classes in sorted order.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If labels and predictions differ in number, or names and classes.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> ax = plot.confusion([0, 0, 1], [0, 1, 1], names=["cat", "dog"])
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    n_classes = len(np.union1d(labels, predicted))
    if names is not None and len(names) != n_classes:
        raise ValueError(f"names must name {n_classes} classes, got {len(names)}")
    return ConfusionMatrixDisplay.from_predictions(
        labels,
        predicted,
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
    seconds : mapping of str to mapping of int to float
        For each contender, seconds a query by number of training rows.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If `seconds` is empty.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from fastknn import plot
    >>> ax = plot.cost_over_n({"fastknn": {1000: 1e-5, 10_000: 5e-5}})
    """
    if not seconds:
        raise ValueError("seconds must name a contender at least")
    ax = _axes(ax)
    for number, (name, by_rows) in enumerate(seconds.items()):
        rows = sorted(by_rows)
        ours = name.startswith("fastknn")
        ax.loglog(
            rows,
            [by_rows[n] * 1e3 for n in rows],
            marker="o",
            markersize=4,
            color=f"C{number}",
            linewidth=2.5 if ours else 1.2,
            label=name,
        )
    ax.set(xlabel="training rows", ylabel="milliseconds a query")
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize="small")
    return ax


def survivors(index, *, ax: Axes | None = None) -> Axes:
    """How many rows a query had left after each stage of an index's last search.

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
        If it has not.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from fastknn import Index, plot
    >>> rows = np.random.default_rng(0).normal(size=(3000, 64)).astype("float32")
    >>> index = Index(rows, screen="rounded")
    >>> _ = index.search(rows[:50], 5)
    >>> ax = plot.survivors(index)
    """
    stats = index.stats_
    if "survivors" not in stats:
        raise ValueError("index must have searched: its stats_ do not say what survived yet")
    ax = _axes(ax)
    n_queries = stats["rows_screened"] / len(index)
    left = [len(index), *(count / n_queries for count in stats["survivors"])]
    stages = ["all rows", *(f"stage {place}" for place in range(1, len(left)))]
    bars = ax.barh(stages, left, color="C0")
    ax.bar_label(bars, [f"{count:,.0f}" for count in left], padding=3)
    ax.set_xscale("log")
    ax.margins(x=0.15)
    ax.invert_yaxis()
    ax.set(xlabel="rows left, a query", title=stats["cascade"])
    return ax
