"""Array-likes of any kind as ndarrays, and arrays that are not matrices of rows."""

import numpy as np

from fastknn._utils.dtypes import NARROW_FLOATS


def as_ndarray(array, name: str, meaning: str) -> np.ndarray:
    """Return any array-like as an ndarray, of whatever shape and type.

    Parameters
    ----------
    array : array-like
        Masked arrays without masked values, and whatever NumPy makes an array of.
    name : str
    meaning : str
        What it must be, for the message.

    Raises
    ------
    ValueError, TypeError
        Whatever NumPy or the array's own library raise, by the argument's name.
    """
    refuse_masked(array, name)
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    try:
        return np.asarray(array)
    except MemoryError:
        raise
    except Exception as error:  # rows of unequal length; of other libraries' arrays, anything
        kind = TypeError if isinstance(error, TypeError) else ValueError
        repair = _repair(array, name)
        if repair:
            message = f"which a {type(first_item(array)).__name__} like this is not: pass {repair}"
            raise kind(f"{name} must be {meaning} that NumPy can read, {message}") from error
        raise kind(f"{name} must be {meaning}: {error}") from error


def refuse_masked(array, name: str) -> None:
    """Raise if an array, or one of a list of arrays, has masked values: NumPy drops the masks."""
    parts = array if isinstance(array, list | tuple) else (array,)
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise ValueError(
            f"{name} must not have masked values: leave them out, or fill them, as "
            f"{'numpy.ma.' if parts is array else f'{name}.'}filled does"
        )


def first_item(array):
    """The first of a list or tuple; anything else, itself."""
    return array[0] if isinstance(array, list | tuple) and array else array


def _repair(array, name: str) -> str:
    """What makes an array of some other library one that NumPy reads, by what it says of itself."""
    if first_item(array) is not array:
        of_rows = _repair(first_item(array), "")
        return f"[row{of_rows} for row in {name}]" if of_rows else ""

    def seen(attribute: str) -> str:
        try:
            return str(getattr(array, attribute, ""))
        except Exception:
            return ""

    steps = [".detach()"] if seen("requires_grad") == "True" else []
    if "sparse" in seen("layout") or "Sparse" in type(array).__name__:
        steps.append(".to_dense()")
    elsewhere = seen("device").lower()
    if hasattr(array, "cpu") and elsewhere not in ("", "cpu"):
        steps.append(".cpu()")
    elif "cuda" in elsewhere and hasattr(array, "get"):
        steps.append(".get()")
    if NARROW_FLOATS.search(seen("dtype")):
        steps.append(".float()" if hasattr(array, "float") else ".astype('float32')")
    return name + "".join(steps) if steps else ""


def as_indices(rows, name: str, n_rows: int) -> np.ndarray:
    """Return indices of training rows, one at least, as an ndarray (n,) of int64."""
    rows = as_ndarray(rows, name, "a sequence of indices")
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"{name} must be a sequence of indices, got {rows.dtype} {rows.shape}")
    if rows.min() < 0 or rows.max() >= n_rows:
        raise ValueError(f"{name} must be from 0 to {n_rows - 1}, got {rows.min()} to {rows.max()}")
    return rows.astype(np.int64)


def as_out(out, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Return ``out``, or a new matrix where it is None, checked to take distances."""
    if out is None:
        return np.empty(shape, dtype)
    refuse_masked(out, "out")
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype not in (np.float32, np.float64) or not out.dtype.isnative:
        raise TypeError(f"out must be float32 or float64 in native byte order, got {out.dtype}")
    if not (out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be writable and aligned")
    if out.size and out.strides[1] != out.itemsize and out.shape[1] > 1:
        raise ValueError("out must have consecutive elements in each row (C order)")
    return out
