"""Files of vectors as the benchmarks of approximate indexes use them, left on disk.

`.npy`; and `.fvecs`, `.bvecs`, `.ivecs`, in which every row is preceded by its width as a
little-endian int32: float32, uint8 and int32 rows (http://corpus-texmex.irisa.fr).
"""

import os

import numpy as np

from fastknn._arrays import open_array
from fastknn._checks import as_path
from fastknn._files import written_whole

__all__ = ["open_vectors", "write_ivecs"]

# Rows whose widths are looked at: each costs a page of the file.
CHECKED_ROWS = 1000
KINDS = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1"), ".ivecs": np.dtype("<i4")}


def open_vectors(path: str | os.PathLike[str]) -> np.ndarray:
    """Rows of a file, mapped and not read.

    Parameters
    ----------
    path : str or os.PathLike
        A file whose name ends in .npy, .fvecs, .bvecs or .ivecs.

    Returns
    -------
    ndarray (n_rows, width)
        Read-only; float32, uint8 or int32, or what the .npy holds.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If there is no such file, its name ends otherwise, or it is not what its name says.

    Examples
    --------
    >>> import tempfile
    >>> from fastknn.vectors import open_vectors, write_ivecs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_ivecs(f"{folder}/three.ivecs", [[1, 2], [3, 4], [5, 6]])
    ...     open_vectors(f"{folder}/three.ivecs").tolist()
    [[1, 2], [3, 4], [5, 6]]
    """
    path = as_path(path, "path")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".npy":
        rows = open_array(path, on_disk=True)
        if rows.ndim != 2 or not rows.size:
            raise ValueError(f"{path}: must hold a matrix (rows, width), found shape {rows.shape}")
        return rows
    if path.suffix not in KINDS:
        raise ValueError(f"{path}: must end in .npy, {', '.join(KINDS)}")
    kind = KINDS[path.suffix]
    size = path.stat().st_size
    if size < 4:
        raise ValueError(f"{path}: too short for a row, {size} bytes")
    width = int(np.fromfile(path, "<i4", 1)[0])
    row_bytes = 4 + width * kind.itemsize
    if width < 1 or size % row_bytes:
        raise ValueError(f"{path}: its {size} bytes are not whole rows of width {width}")
    raw = np.memmap(path, np.uint8, "r").reshape(-1, row_bytes)
    some = np.unique(np.linspace(0, len(raw) - 1, CHECKED_ROWS).astype(np.int64))
    widths = np.ascontiguousarray(raw[some, :4]).view("<i4").ravel()
    if (widths != width).any():
        row = some[(widths != width).argmax()]
        raise ValueError(f"{path}: row {row} is not as wide as the first, {width}")
    return raw[:, 4:].view(kind) if kind.itemsize == 1 else raw.view(kind)[:, 1:]


def write_ivecs(path: str | os.PathLike[str], rows) -> None:
    """Write rows of integers, such as neighbours' indices, as .ivecs.

    Parameters
    ----------
    path : str or os.PathLike
    rows : array-like of int, shape (n_rows, width)
        Within int32.

    Raises
    ------
    ValueError, TypeError
        If they are not.
    OSError
        If the file cannot be written; then no part of it is.

    Examples
    --------
    >>> import tempfile
    >>> from fastknn.vectors import write_ivecs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_ivecs(f"{folder}/two.ivecs", [[7, 8, 9], [4, 5, 6]])
    """
    path = as_path(path, "path")
    try:
        rows = np.asarray(rows)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"rows must be a matrix of integers: {error}") from error
    if rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise ValueError(f"rows must be a matrix of integers, got {rows.dtype} {rows.shape}")
    if rows.size and (rows.max() > np.iinfo(np.int32).max or rows.min() < np.iinfo(np.int32).min):
        raise ValueError("rows must be within int32, which is what .ivecs holds")
    widths = np.full((len(rows), 1), rows.shape[1])
    with written_whole(path) as part:
        np.hstack([widths, rows]).astype("<i4").tofile(part)
