"""scikit-learn's estimators on fastknn's exact search, and the choice of k by cross-validation.

- `mixin.py`: the search that stands in front of scikit-learn's classes;
- `drop_in.py`: the classes that `patch_sklearn` (`patching.py`) installs;
- `neighbors.py`: the public classes, which also take sample weights (`weighted.py`) and more
  training rows after `fit` (`growing.py`);
- `cross_validation.py`: `cross_validate_k`, with its folds (`folds.py`) and what the neighbors of
  held-out rows answer (`answers.py`);
- `search_cv.py`: estimators that choose k, the metric and the weights in `fit`;
- `onnx.py`: conversion by skl2onnx.

The public names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastknn.estimators.cross_validation import cross_validate_k
    from fastknn.estimators.neighbors import (
        KNeighborsClassifier,
        KNeighborsRegressor,
        KNeighborsTransformer,
        LocalOutlierFactor,
        NearestNeighbors,
    )
    from fastknn.estimators.patching import patch_sklearn, patched_sklearn, unpatch_sklearn
    from fastknn.estimators.search_cv import KNeighborsClassifierCV, KNeighborsRegressorCV

__all__ = [
    "KNeighborsClassifier",
    "KNeighborsClassifierCV",
    "KNeighborsRegressor",
    "KNeighborsRegressorCV",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
    "cross_validate_k",
    "patch_sklearn",
    "patched_sklearn",
    "unpatch_sklearn",
]

# Public name: the module that defines it.
_HOME = {
    "KNeighborsClassifier": "neighbors",
    "KNeighborsClassifierCV": "search_cv",
    "KNeighborsRegressor": "neighbors",
    "KNeighborsRegressorCV": "search_cv",
    "KNeighborsTransformer": "neighbors",
    "LocalOutlierFactor": "neighbors",
    "NearestNeighbors": "neighbors",
    "cross_validate_k": "cross_validation",
    "patch_sklearn": "patching",
    "patched_sklearn": "patching",
    "unpatch_sklearn": "patching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
