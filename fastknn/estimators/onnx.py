"""ONNX: the estimators are registered with skl2onnx, which does not look at base classes.

Each is converted as the scikit-learn estimator that it stands for, by skl2onnx's own parser, shape
calculator and converter, with the same options. The modules of the estimators register them once
skl2onnx is imported, before these modules or after.
"""

import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["register"]

logger = logging.getLogger("fastknn")

# The estimators, by module, and the name of scikit-learn's estimator that each is converted as.
NAMES = (
    "KNeighborsClassifier",
    "KNeighborsRegressor",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
)
ESTIMATORS = {
    "drop_in": dict(zip(NAMES, NAMES, strict=True)),
    "neighbors": dict(zip(NAMES, NAMES, strict=True)),
    "search_cv": {
        "KNeighborsClassifierCV": "KNeighborsClassifier",
        "KNeighborsRegressorCV": "KNeighborsRegressor",
    },
}
# skl2onnx's names for metrics under which fastknn searches.
METRICS = {"l1": "manhattan", "cityblock": "manhattan", "l2": "euclidean"}


def register() -> None:
    """Make the estimators known to skl2onnx.

    This happens by itself when skl2onnx and an estimator of fastknn have been imported, in either
    order. It may be done again, as after something else was registered for the same classes.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn import KNeighborsClassifier
    >>> from fastknn.estimators import onnx
    >>> onnx.register()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> X = np.array([[0, 0], [3, 4]], dtype=np.float32)
    >>> model = KNeighborsClassifier(1).fit(X, [0, 1])
    >>> model_bytes = to_onnx(model, X[:1]).SerializeToString()  # doctest: +SKIP
    """
    from fastknn.estimators import search_cv  # noqa: F401  which loads the others

    try:
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX needs skl2onnx, which the extra "onnx" of fastknn has') from error
    _register_loaded()


def register_when_imported() -> None:
    """Register the estimators now if skl2onnx is imported, else as soon as it is.

    Modules of estimators call this at their end. skl2onnx is not imported for this: it takes
    seconds.
    """
    if "skl2onnx" in sys.modules:
        _register_loaded()
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


class _AfterImport(MetaPathFinder):
    """Finds skl2onnx through the other finders, and registers the estimators once it is loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "skl2onnx":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        loader: Any = spec.loader
        load = getattr(loader, "exec_module", None)
        if load is not None:

            def load_and_register(module: ModuleType) -> None:
                load(module)
                try:
                    _register_loaded()
                except Exception:  # this version can still convert other models
                    logger.warning("fastknn is unknown to this skl2onnx", exc_info=True)

            loader.exec_module = load_and_register
        return spec


def _register_loaded() -> None:
    """Register the classes of those modules of estimators that are loaded."""
    from skl2onnx import update_registered_converter
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common._registration import get_converter

    known = {alias: model for model, alias in sklearn_operator_name_map.items()}
    for home, classes in ESTIMATORS.items():
        for name, theirs in classes.items():
            ours = getattr(sys.modules.get(f"fastknn.estimators.{home}"), name, None)
            if ours is None or sklearn_operator_name_map.get(ours) == f"Sklearn{theirs}":
                continue  # patched in before: skl2onnx has taken it for scikit-learn's
            shape, convert, parse = _delegates(known[f"Sklearn{theirs}"], f"Fastknn{name}")
            options = get_converter(f"Sklearn{theirs}").get_allowed_options()
            update_registered_converter(
                ours, f"Fastknn{name}", shape, convert, parser=parse, options=options
            )


def _delegates(theirs: type, alias: str) -> tuple:
    """skl2onnx's shape calculator, converter and parser, given scikit-learn's estimator."""
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx._supported_operators import get_model_alias
    from skl2onnx.common._registration import get_converter, get_shape_calculator

    def stand_in(operator):
        # Kept with the operator: options are found by the identity of what they are for.
        if not hasattr(operator, "stand_in"):
            operator.stand_in = _as_theirs(operator.raw_operator, theirs)
        return operator.stand_in

    def shape(operator) -> None:
        model = operator.raw_operator
        operator.raw_operator = stand_in(operator)
        try:
            get_shape_calculator(get_model_alias(theirs))(operator)
        finally:
            operator.raw_operator = model

    def convert(scope, operator, container) -> None:
        model = operator.raw_operator
        operator.raw_operator = plain = stand_in(operator)
        container.add_options(id(plain), container.get_options(model))
        scope.add_options(id(plain), scope.get_options(model))
        n_before = len(container.nodes)
        try:
            get_converter(get_model_alias(theirs))(scope, operator, container)
        finally:
            operator.raw_operator = model
        if getattr(plain, "weights", None) == "distance":
            _weigh_by_distance(container.nodes[n_before:])

    def parse(scope, model, inputs, custom_parsers=None) -> list:
        plain = _as_theirs(model, theirs)
        scope.add_options(id(plain), scope.get_options(model))
        known = None if type(plain) is theirs else get_model_alias(theirs)
        outputs = _parse_sklearn(scope, plain, inputs, custom_parsers=custom_parsers, alias=known)
        for operator in scope.operators.values():
            if operator.raw_operator is plain:
                operator.stand_in = plain
        scope.replace_raw_operator(plain, model, alias)
        return outputs

    return shape, convert, parse


def _weigh_by_distance(nodes: list) -> None:
    """Compute weights from the distances, where skl2onnx uses their negatives.

    Its converter takes 1 / max(-distance, 1e-6), by which all neighbors weigh the same.
    """
    made_by = {output: node for node in nodes for output in node.output}
    for node in nodes:
        negative = made_by.get(node.input[0]) if node.op_type == "Max" else None
        if negative is None or negative.op_type != "Mul":
            continue
        found = made_by.get(negative.input[0])
        if found is not None and found.op_type == "TopK":
            node.input[0] = negative.input[0]


def _as_theirs(model: Any, theirs: type) -> Any:
    """scikit-learn's estimator with the fields of this one, or of its `best_estimator_`."""
    model = getattr(model, "best_estimator_", model)
    if getattr(model, "sample_weight_", None) is not None:
        raise NotImplementedError(
            f"{type(model).__name__} was fitted with sample_weight, which scikit-learn's has not, "
            "nor its converter: fit it without sample_weight to convert it"
        )
    # Some classes are looked up by a name that `patch_sklearn` may have bound to another class.
    kind: Any = getattr(sys.modules["skl2onnx._parse"], theirs.__name__, theirs)
    plain = kind.__new__(kind)
    vars(plain).update(vars(model))
    metric = getattr(model, "effective_metric_", None)
    if isinstance(metric, str) and metric != "minkowski":
        plain.effective_metric_ = METRICS.get(metric, metric)
        plain.p = 2  # the converter of LocalOutlierFactor passes any other to every metric
    if getattr(model, "weights", "") is None:
        plain.weights = "uniform"
    return plain
