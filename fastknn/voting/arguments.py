"""Checks of arguments that the votes and `topk` have in common. Errors name the argument."""

from numbers import Integral
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.scalars import as_count


def as_matrix_of(array: ArrayLike, name: str, kinds: str, meaning: str) -> NDArray[Any]:
    """``array`` as a non-empty two-dimensional ndarray of one of the dtype ``kinds``.

    Other than `fastknn._utils.matrices.as_matrix` it does not convert the array: votes and `topk`
    convert it a chunk of rows at a time. Values are not looked at, for infinity may be allowed.
    """
    array = as_ndarray(array, name, "a two-dimensional array")
    if array.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if array.dtype.kind not in kinds or array.dtype.itemsize > 8:  # longdouble would lose digits
        raise TypeError(f"{name} must be {meaning}, got dtype {array.dtype}")
    return array


def as_count_up_to(value: int, name: str, highest: int, meaning: str) -> int:
    """``value`` as an int from 1 to ``highest``, which the error calls ``meaning``."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if is_integer and not 1 <= value <= highest:
        raise ValueError(f"{name} must be between 1 and {highest}, {meaning}, got {value}")
    return as_count(value, name)
