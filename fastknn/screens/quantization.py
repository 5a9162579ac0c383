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


def quantize_l2(values: np.ndarray, slack: np.ndarray, width: int | None = None) -> Encoded:
    """Bytes, scale and error of rows of values, at the finest scale that holds each row.

    But none below what the values are off by: errors stay within sqrt(width) / 2 + 1 scales.
    Rows of codes are filled up to `width`, if given, with codes of zero.
    """
    values, n = np.ascontiguousarray(values), len(values)
    codes = np.empty((n, values.shape[1] if width is None else width), np.uint8)
    scale, missed, largest = np.empty(n, np.float32), np.empty(n), np.empty(n)
    slack = np.ascontiguousarray(slack)
    _core.quantize(values, slack, NO_SCALE, codes, scale, missed, largest)
    return codes, scale, _rounded_up(np.sqrt(missed) + slack, values.shape[1], largest)


def quantize_l1(
    values: np.ndarray, slack: np.ndarray, scale: float, width: int | None = None
) -> Encoded:
    """The same at a given scale; what is clipped is in the error."""
    codes = np.clip(np.rint(values / scale), -_core.CODE_ZERO, _core.MAX_CODE)
    error = np.abs(values - codes * scale).sum(axis=1) + slack
    scales = np.full(len(values), scale, np.float32)
    n_columns, largest = values.shape[1], np.abs(values).max(axis=1)
    widened = np.full(
        (len(values), n_columns if width is None else width), _core.CODE_ZERO, np.uint8
    )
    widened[:, :n_columns] += codes.astype(np.int8).view(np.uint8)  # modulo 256
    return widened, scales, _rounded_up(error, n_columns, largest)


def _rounded_up(error: np.ndarray, width: int, largest: np.ndarray) -> np.ndarray:
    """Errors, with what float64 may have lost of them and of the subtractions before."""
    return error * (1 + (width + 8) * 2 * U64) + 4 * U64 * width * largest
