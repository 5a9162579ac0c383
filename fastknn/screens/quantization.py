"""Rounding to 8-bit codes, with the error of each row measured in float64 and rounded up."""

import numpy as np

from fastknn.engine import _core
from fastknn.screens.maps import U64

# Scale of a row of zeros: what multiplies it vanishes beside the distances of any encoded data.
NO_SCALE = 1e-30


def upwards(values: np.ndarray) -> np.ndarray:
    """Non-negative float64 values in float32, none of them smaller."""
    return np.nextafter(np.asarray(values).astype(np.float32), np.float32(np.inf))


Encoded = tuple[np.ndarray, np.ndarray, np.ndarray]


def quantize_l2(values: np.ndarray, slack: np.ndarray) -> Encoded:
    """Bytes, scale and error of rows of values, at the finest scale that holds each row.

    But none below what the values are off by: errors stay within sqrt(width) / 2 + 1 scales.
    """
    scale = upwards(np.maximum(np.abs(values).max(axis=1) / _core.MAX_CODE, slack))
    np.maximum(scale, NO_SCALE, out=scale)
    codes = np.rint(values / scale[:, None])
    missed = values - codes * scale[:, None].astype(np.float64)
    error = np.sqrt(np.einsum("ij,ij->i", missed, missed)) + slack
    return (codes + _core.CODE_ZERO).astype(np.uint8), scale, _rounded_up(error, values)


def quantize_l1(values: np.ndarray, slack: np.ndarray, scale: float) -> Encoded:
    """Bytes, scale and error of rows of values, at a given scale; what is clipped is in error."""
    codes = np.clip(np.rint(values / scale), -_core.CODE_ZERO, _core.MAX_CODE)
    error = np.abs(values - codes * scale).sum(axis=1) + slack
    scales = np.full(len(values), scale, np.float32)
    return (codes + _core.CODE_ZERO).astype(np.uint8), scales, _rounded_up(error, values)


def _rounded_up(error: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Errors, with what float64 may have lost of them and of the subtractions before."""
    largest = np.abs(values).max(axis=1)
    width = values.shape[1]
    return error * (1 + (width + 8) * 2 * U64) + 4 * U64 * width * largest
