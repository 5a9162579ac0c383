"""Exact k-nearest-neighbour search and classification under L1 and L2, made fast.

The public names are loaded when they are first used, so ``import fastknn`` costs little.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Index": "index",
    "knn": "graph",
    "knn_graph": "graph",
    "load_index": "index",
    "pairwise_distances": "pairwise",
    "cpu_level": "index",
    "KNeighborsClassifier": "neighbors",
    "KNeighborsRegressor": "neighbors",
    "KNeighborsTransformer": "neighbors",
    "LocalOutlierFactor": "neighbors",
    "NearestNeighbors": "neighbors",
    "KNeighborsClassifierCV": "model_selection",
    "KNeighborsRegressorCV": "model_selection",
    "cross_validate_k": "model_selection",
    "ground_truth": "evaluation",
    "probe": "evaluation",
    "patch_sklearn": "patching",
    "patched_sklearn": "patching",
    "unpatch_sklearn": "patching",
    "topk": "vote",
    # Modules that are reached by name.
    "datasets": None,
    "model_selection": None,
    "plot": None,
    "vote": None,
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    if home is None:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
