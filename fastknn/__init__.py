"""Exact k-nearest-neighbor search and classification under L1, L2 and cosine, made fast.

The public names are loaded when they are first used, so ``import fastknn`` costs little.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name: the module that defines it. None: a module or folder that is reached by name.
_HOME = {
    "Index": "search.index",
    "load_index": "search.index",
    "cpu_level": "search.index",
    "knn": "search.calls",
    "knn_graph": "search.calls",
    "pairwise_distances": "search.pairwise",
    "KNeighborsClassifier": "estimators.neighbors",
    "KNeighborsRegressor": "estimators.neighbors",
    "KNeighborsTransformer": "estimators.neighbors",
    "LocalOutlierFactor": "estimators.neighbors",
    "NearestNeighbors": "estimators.neighbors",
    "KNeighborsClassifierCV": "estimators.search_cv",
    "KNeighborsRegressorCV": "estimators.search_cv",
    "cross_validate_k": "estimators.cross_validation",
    "patch_sklearn": "estimators.patching",
    "patched_sklearn": "estimators.patching",
    "unpatch_sklearn": "estimators.patching",
    "ground_truth": "evaluation.truth",
    "probe": "evaluation.probing",
    "topk": "voting.selection",
    "vote": "voting.votes",
    "vote_proba": "voting.votes",
    "datasets": None,
    "evaluation": None,
    "plot": None,
    "voting": None,
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
