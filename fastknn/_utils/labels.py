"""Labels of rows."""

import numpy as np

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.scalars import is_missing


def as_labels(values, name: str, n_rows: int) -> np.ndarray:
    """Return labels as an array (n_rows,), if there is one for each row and none is missing."""
    labels = as_ndarray(values, name, "a sequence of labels")
    if labels.ndim > 1:
        raise ValueError(f"{name} must have one label per row, got shape {labels.shape}")
    if labels.shape != (n_rows,):
        raise ValueError(f"{name} must have a label for each of {n_rows} rows, got {labels.shape}")
    missing = _missing(labels)
    if missing.any():
        row = missing.argmax()
        found = "NaN" if labels.dtype.kind in "fc" else labels[row]
        raise ValueError(f"{name} must not be {found}, found it at row {row}")
    if labels.dtype == object:
        try:
            np.unique(labels)
        except TypeError as error:
            raise TypeError(f"{name} must be labels of one kind: {error}") from error
    return labels


def _missing(labels: np.ndarray) -> np.ndarray:
    """Where labels are NaN, or what pandas has in its place."""
    if labels.dtype.kind in "fc":
        return np.isnan(labels)
    if labels.dtype.kind in "mM":
        return np.isnat(labels)
    if labels.dtype != object:
        return np.zeros(len(labels), bool)
    return np.array([is_missing(label) for label in labels.tolist()], bool)
