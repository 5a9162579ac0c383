"""Every spelling of a metric, and the one name by which the package knows it."""

METRICS = {
    "l1": "l1",
    "manhattan": "l1",
    "cityblock": "l1",
    "l2": "l2",
    "euclidean": "l2",
    "sqeuclidean": "sqeuclidean",
    "cosine": "cosine",
    "correlation": "correlation",
}


# Their one name each, in the order of the above.
METRIC_NAMES = tuple(dict.fromkeys(METRICS.values()))


def metric_name(metric: str, p: float = 2) -> str:
    """Return the one name of a metric for any of scikit-learn's spellings of it."""
    if isinstance(metric, str):
        if metric == "minkowski" and p in (1, 2):
            return f"l{int(p)}"
        if metric in METRICS:
            return METRICS[metric]
    raise ValueError(
        f"metric must be one of {', '.join(map(repr, METRICS))}, or 'minkowski' with p=1 or 2; "
        f"got {metric!r}" + (f" with p={p!r}" if metric == "minkowski" else "")
    )


# Metrics whose keys are angles.
ANGLES = ("cosine", "correlation")


def kernel_metric(metric: str) -> str:
    """The metric under which screens compare rows: "l1" or "l2"."""
    return "l1" if metric == "l1" else "l2"
