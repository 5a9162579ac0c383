"""What goes on to scikit-learn: refused or converted where its own errors would not help."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastknn._utils.arrays import as_ndarray, first_item, refuse_masked
from fastknn._utils.matrices import shape_hint
from fastknn._utils.tables import is_table


def as_readable(array, name: str):
    """Return what scikit-learn may convert as it does: all else is converted here, or refused.

    It uses masked values as if they were not, and does not name a tensor that it cannot read.
    """
    refuse_masked(array, name)
    first = first_item(array)
    foreign = not isinstance(first, np.ndarray | np.generic) and hasattr(first, "__array__")
    if not foreign or hasattr(array, "iloc") or hasattr(array, "tocsr") or is_table(array):
        return array
    converted = as_ndarray(array, name, "an array")
    return array if converted.dtype == object else converted  # it may have words for those


@contextmanager
def hint_of_shape(X) -> Iterator[None]:
    """Note at scikit-learn's error for X of more than two dimensions how it becomes a matrix.

    The traceback shows the note; the message stays scikit-learn's.
    """
    try:
        yield
    except ValueError as error:
        shape = getattr(X, "shape", ())
        if isinstance(shape, tuple) and len(shape) > 2:
            error.add_note(shape_hint(shape, "X", None).removeprefix(": "))
        raise
