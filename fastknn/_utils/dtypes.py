"""The types that are searched, and what others are converted to."""

import re

import numpy as np

NATIVE = tuple(np.dtype(kind) for kind in (np.uint8, np.int8, np.float32, np.float64))
LARGEST_INTEGER = 2**53
# Types of other libraries that float32 holds without loss.
NARROW_FLOATS = re.compile("bfloat16|float8|float6|float4")


def native_type(dtype: np.dtype) -> np.dtype:
    """The type, of those that are searched, that rows of this type are converted to."""
    dtype = dtype.newbyteorder("=")
    if dtype in NATIVE:
        return dtype
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iuf" and dtype.itemsize == 2:
        return np.dtype(np.float32)
    if dtype.kind in "iu":
        return np.dtype(np.float64)
    raise TypeError(
        "must hold numbers (uint8, float32 or float64, or a type that converts to one "
        f"without loss), got dtype {dtype}"
        + (": convert it by astype('float32')" if NARROW_FLOATS.search(dtype.name) else "")
    )


def check_values(array: np.ndarray, name: str) -> None:
    """Raise unless the type that an array is converted to holds each of its values."""
    try:
        native_type(array.dtype)
    except TypeError as error:
        raise TypeError(f"{name} {error}") from None
    if (array.dtype.kind in "iu" and array.itemsize == 8) and (
        array.max(initial=0) > LARGEST_INTEGER or array.min(initial=0) < -LARGEST_INTEGER
    ):
        raise ValueError(f"{name} has integers beyond 2**53, which float64 cannot hold exactly")
