"""`patch_sklearn`: fastknn's estimators in place of scikit-learn's, in all modules."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from sklearn import neighbors as theirs

from fastknn.estimators import drop_in as ours

__all__ = ["patch_sklearn", "patched_sklearn", "unpatch_sklearn"]

logger = logging.getLogger("fastknn")

# Made before anything is replaced.
_REPLACEMENTS = {getattr(theirs, name): getattr(ours, name) for name in ours.__all__}
# Where each class was before: (module, name in it, class).
_replaced: list[tuple[ModuleType, str, type]] = []


def patch_sklearn() -> list[str]:
    """Put fastknn's estimators in place of scikit-learn's.

    In `sklearn.neighbors`, and in every module that has imported the classes from there: code that
    uses them inside (manifolds, spectral clustering, label propagation, outlier factors,
    imbalanced-learn) is faster too. Modules imported later find fastknn's as well, unless they
    reach into scikit-learn's private modules. Estimators that exist stay what they are.

    These classes take the arguments of scikit-learn's and no others: `fit` with `sample_weight`
    raises TypeError as before, and there is no `append`. The classes of `fastknn`, which are
    subclasses of these, have both.

    Returns
    -------
    list of str
        What was replaced by this call, as "module.name"; empty if everything was already.

    See Also
    --------
    unpatch_sklearn : Undoes it.
    patched_sklearn : Does and undoes it around a block.

    Examples
    --------
    >>> import fastknn, sklearn.neighbors
    >>> "sklearn.neighbors.NearestNeighbors" in fastknn.patch_sklearn()
    True
    >>> issubclass(fastknn.NearestNeighbors, sklearn.neighbors.NearestNeighbors)
    True
    >>> sklearn.neighbors.NearestNeighbors().fit([[0.0] * 9, [1.0] * 9]).backend_
    'fastknn'
    >>> len(fastknn.unpatch_sklearn()) >= 5
    True
    """
    done = []
    for module_name, module in list(sys.modules.items()):
        if module is None or module_name.split(".")[0] == "fastknn":
            continue
        for name, value in list(getattr(module, "__dict__", {}).items()):
            replacement = _replacement(value)
            # Where a class is defined, its own methods may call super() by its name.
            if replacement is not None and value.__module__ != module_name:
                setattr(module, name, replacement)
                _replaced.append((module, name, value))
                done.append(f"{module_name}.{name}")
    logger.info("patched scikit-learn: %s", ", ".join(done) or "nothing was left to replace")
    return sorted(done)


def unpatch_sklearn() -> list[str]:
    """Put scikit-learn's own estimators back wherever `patch_sklearn` had replaced them.

    Returns
    -------
    list of str
        What was put back, as "module.name".

    Examples
    --------
    >>> import fastknn, sklearn.neighbors
    >>> _ = fastknn.patch_sklearn()
    >>> "sklearn.neighbors.NearestNeighbors" in fastknn.unpatch_sklearn()
    True
    """
    done = []
    while _replaced:
        module, name, value = _replaced.pop()
        if (
            getattr(module, name, None) is _REPLACEMENTS[value]
        ):  # else it has been replaced by another package
            setattr(module, name, value)
            done.append(f"{module.__name__}.{name}")
    logger.info("unpatched scikit-learn: %s", ", ".join(done) or "nothing was replaced")
    return sorted(done)


@contextmanager
def patched_sklearn() -> Iterator[list[str]]:
    """Patch scikit-learn within a block.

    Returns
    -------
    context manager of list of str
        Gives what `patch_sklearn` replaced. Within an outer patch, which stays, nothing is undone.

    Examples
    --------
    >>> import fastknn, sklearn.neighbors
    >>> with fastknn.patched_sklearn():
    ...     sklearn.neighbors.KNeighborsClassifier.__module__.startswith("fastknn")
    True
    >>> sklearn.neighbors.KNeighborsClassifier.__module__
    'sklearn.neighbors._classification'
    """
    before = len(_replaced)
    done = patch_sklearn()
    try:
        yield done
    finally:
        if before == 0:  # an outer patch stays
            unpatch_sklearn()


def _replacement(value: object) -> type | None:
    try:
        return _REPLACEMENTS.get(value) if isinstance(value, type) else None
    except TypeError:  # a class that cannot be hashed
        return None
