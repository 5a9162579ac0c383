"""Tables of pandas, polars and pyarrow, column by column."""

from collections.abc import Sequence
from numbers import Integral, Number

import numpy as np

from fastknn._utils.dtypes import LARGEST_INTEGER, check_values
from fastknn._utils.scalars import is_missing


def is_table(array) -> bool:
    """Whether this is a table of pandas (or one that acts like it), polars or pyarrow."""
    if hasattr(array, "iloc"):
        return getattr(array, "ndim", None) == 2
    return hasattr(array, "__array__") and any(
        hasattr(array, name) for name in ("get_columns", "num_columns")
    )


def _columns(table) -> Sequence:
    if hasattr(table, "iloc"):
        return [table.iloc[:, place] for place in range(table.shape[1])]
    if hasattr(table, "get_columns"):
        return table.get_columns()
    return [table.column(place) for place in range(table.num_columns)]


def table_as_array(table, name: str) -> np.ndarray:
    """A table in the type that NumPy finds for its columns, each in its own: bytes stay bytes.

    scikit-learn's `check_array` makes float64 of every nullable type, takes text such as "1" for
    a number, and rounds large integers; here they are refused, as they are in arrays.
    """
    dtypes = list(getattr(table, "dtypes", ()))
    if any(type(dtype).__name__ == "SparseDtype" for dtype in dtypes):
        raise TypeError(f"{name} must be a dense array, got a table with sparse columns")
    if dtypes and isinstance(dtypes[0], np.dtype) and len(set(dtypes)) == 1:
        array = np.asarray(table)  # as it lies in memory
        if array.dtype != object:
            return array
    columns = _columns(table)
    return array_of_columns(columns, name) if columns else np.empty((len(table), 0))


def array_of_columns(columns: Sequence, name: str) -> np.ndarray:
    """A matrix of these columns, in the type that NumPy finds for all; objects become float64."""
    arrays = []
    for place, column in enumerate(columns):
        array = np.asarray(column)
        if array.dtype == object:
            array = _numbers(array, name, place)
        if array.ndim != 1:
            raise TypeError(f"{name} must hold numbers, found arrays in column {place}")
        check_values(array, name)
        arrays.append(array)
    matrix = np.empty((len(arrays[0]), len(arrays)), np.result_type(*arrays))
    for place, array in enumerate(arrays):
        matrix[:, place] = array
    return matrix


def _numbers(column: np.ndarray, name: str, place: int) -> np.ndarray:
    """A column of Python's objects in float64, where those are numbers or missing (NaN)."""
    values = []
    for row, value in enumerate(column.tolist()):
        if value is None or is_missing(value):
            value = np.nan
        elif not isinstance(value, Number | np.bool_) or isinstance(value, complex):
            raise TypeError(
                f"{name} must hold numbers, found {value!r} at row {row}, column {place}"
            )
        elif isinstance(value, Integral) and abs(int(value)) > LARGEST_INTEGER:
            raise ValueError(f"{name} has integers beyond 2**53, which float64 cannot hold exactly")
        values.append(float(value))  # type: ignore[arg-type]
    return np.array(values, np.float64)
