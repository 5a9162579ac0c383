"""Exact k-nearest-neighbor search and classification under L1, L2 and cosine, made fast.

The public names are loaded when they are first used, so ``import fastknn`` costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ gives, for type checkers and editors
    from fastknn import datasets as datasets
    from fastknn import evaluation as evaluation
    from fastknn import plot as plot
    from fastknn import voting as voting
    from fastknn.estimators.cross_validation import cross_validate_k as cross_validate_k
    from fastknn.estimators.neighbors import KNeighborsClassifier as KNeighborsClassifier
    from fastknn.estimators.neighbors import KNeighborsRegressor as KNeighborsRegressor
    from fastknn.estimators.neighbors import KNeighborsTransformer as KNeighborsTransformer
    from fastknn.estimators.neighbors import LocalOutlierFactor as LocalOutlierFactor
    from fastknn.estimators.neighbors import NearestNeighbors as NearestNeighbors
    from fastknn.estimators.patching import patch_sklearn as patch_sklearn
    from fastknn.estimators.patching import patched_sklearn as patched_sklearn
    from fastknn.estimators.patching import unpatch_sklearn as unpatch_sklearn
    from fastknn.estimators.search_cv import KNeighborsClassifierCV as KNeighborsClassifierCV
    from fastknn.estimators.search_cv import KNeighborsRegressorCV as KNeighborsRegressorCV
    from fastknn.evaluation.probing import probe as probe
    from fastknn.evaluation.truth import ground_truth as ground_truth
    from fastknn.search.calls import knn as knn
    from fastknn.search.calls import knn_graph as knn_graph
    from fastknn.search.index import Index as Index
    from fastknn.search.index import cpu_level as cpu_level
    from fastknn.search.index import load_index as load_index
    from fastknn.search.pairwise import pairwise_distances as pairwise_distances
    from fastknn.voting.selection import topk as topk
    from fastknn.voting.votes import vote as vote
    from fastknn.voting.votes import vote_proba as vote_proba

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


if not TYPE_CHECKING:  # else every name that does not exist would have a type

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
