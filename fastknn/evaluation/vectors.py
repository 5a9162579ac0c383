"""Files of vectors as the benchmarks of approximate indexes use them, left on disk.

Besides .npy, all of them little-endian:

    .fvecs .bvecs .ivecs                 every row is preceded by its width, an int32
                                         (http://corpus-texmex.irisa.fr)
    .fbin .f16bin .u8bin .i8bin .ibin    the numbers of rows and of columns, two uint32, and then
                                         the rows (https://big-ann-benchmarks.com)
"""

import os
import re
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from fastknn._utils.arrays import as_ndarray
from fastknn._utils.files import kind_of_file, written_whole
from fastknn._utils.npy import open_array, opened
from fastknn._utils.scalars import as_path

__all__ = ["open_vectors", "write_ivecs"]

# Rows whose widths are looked at: each costs a page of the file.
CHECKED_ROWS = 1000
# What big-ann-benchmarks adds to the name of a file of which it kept the first rows.
CROPPED = re.compile(r"\.crop_nb_\d+$")


def open_vectors(path: str | os.PathLike[str]) -> np.ndarray:
    """Rows of a file, mapped and not read.

    Parameters
    ----------
    path : str or os.PathLike
        A file whose name ends in .npy, .fvecs, .bvecs, .ivecs, .fbin, .f16bin, .u8bin, .i8bin or
        .ibin; perhaps followed by .crop_nb_N, as big-ann-benchmarks names the first N rows.

    Returns
    -------
    ndarray (n_rows, width)
        Read-only; float32, float16, uint8, int8 or int32, or what the .npy holds.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If there is no such file, its name ends otherwise, or it is not what its name says.

    Examples
    --------
    >>> import tempfile
    >>> from fastknn.evaluation.vectors import open_vectors, write_ivecs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_ivecs(f"{folder}/three.ivecs", [[1, 2], [3, 4], [5, 6]])
    ...     open_vectors(f"{folder}/three.ivecs").tolist()
    [[1, 2], [3, 4], [5, 6]]
    """
    path = as_path(path, "path")
    with opened(path) as stream:
        ending = Path(CROPPED.sub("", path.name)).suffix
        if ending == ".npy":
            rows = open_array(path, on_disk=True)
            if rows.ndim != 2 or not rows.size:
                raise ValueError(
                    f"{path}: must hold a matrix (rows, width), found shape {rows.shape}"
                )
            return rows
        if ending not in FORMATS:
            raise ValueError(f"{path}: must end in .npy, {', '.join(FORMATS)}")
        dtype, read = FORMATS[ending]
        return read(path, stream, os.fstat(stream.fileno()).st_size, np.dtype(dtype))


def _prefixed(path: Path, stream: BinaryIO, size: int, dtype: np.dtype) -> np.ndarray:
    """Rows each of which follows its width."""
    if size < 4:
        _refuse(path, stream, f"too short for a row, {size} bytes")
    width = int(np.frombuffer(stream.read(4), "<i4")[0])
    row_bytes = 4 + width * dtype.itemsize
    if width < 1 or size % row_bytes:
        _refuse(path, stream, f"its {size:,} bytes are not whole rows of width {width}")
    raw = np.memmap(stream, np.uint8, "r").reshape(-1, row_bytes)
    some = np.unique(np.linspace(0, len(raw) - 1, CHECKED_ROWS).astype(np.int64))
    widths = np.ascontiguousarray(raw[some, :4]).view("<i4").ravel()
    if (widths != width).any():
        row = some[(widths != width).argmax()]
        _refuse(path, stream, f"row {row} is not as wide as the first, {width}")
    return raw[:, 4:].view(dtype) if dtype.itemsize == 1 else raw.view(dtype)[:, 1:]


def _headed(path: Path, stream: BinaryIO, size: int, dtype: np.dtype) -> np.ndarray:
    """Rows that follow how many they are and how wide."""
    if size < 8:
        _refuse(path, stream, f"too short for a header, {size} bytes")
    n_rows, width = np.frombuffer(stream.read(8), "<u4").tolist()
    told = f"its header tells {n_rows:,} rows of width {width:,}"
    if not n_rows or not width:
        _refuse(path, stream, f"{told}, and there must be some")
    expected = n_rows * width * dtype.itemsize
    if size - 8 != expected:
        whole = (size - 8) // (width * dtype.itemsize)
        _refuse(
            path,
            stream,
            f"{told}, which are {expected:,} bytes of {dtype.name}, and it holds {size - 8:,}"
            + (f": the first {whole:,} rows only" if 0 < whole < n_rows else ""),
        )
    return np.memmap(stream, dtype, "r", 8, (n_rows, width))


def _refuse(path: Path, stream: BinaryIO, why: str) -> NoReturn:
    """Say why it is not what its name says, and what it is where that can be seen."""
    stream.seek(0)
    kind = kind_of_file(stream.read(512))
    seen = "" if kind.startswith("bytes of") else f"; it looks like {kind}"
    raise ValueError(f"{path}: {why}{seen}")


# The type of the values of a file and how its rows lie, by the ending of its name.
FORMATS = {
    ".fvecs": ("<f4", _prefixed),
    ".bvecs": ("u1", _prefixed),
    ".ivecs": ("<i4", _prefixed),
    ".fbin": ("<f4", _headed),
    ".f16bin": ("<f2", _headed),
    ".u8bin": ("u1", _headed),
    ".i8bin": ("i1", _headed),
    ".ibin": ("<i4", _headed),
}


def write_ivecs(path: str | os.PathLike[str], rows: ArrayLike) -> None:
    """Write rows of integers, such as neighbors' indices, as .ivecs.

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
    >>> from fastknn.evaluation.vectors import write_ivecs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_ivecs(f"{folder}/two.ivecs", [[7, 8, 9], [4, 5, 6]])
    """
    path = as_path(path, "path")
    rows = as_ndarray(rows, "rows", "a matrix of integers")
    if rows.ndim != 2 or rows.dtype.kind not in "iu":
        raise ValueError(f"rows must be a matrix of integers, got {rows.dtype} {rows.shape}")
    if rows.size and (rows.max() > np.iinfo(np.int32).max or rows.min() < np.iinfo(np.int32).min):
        raise ValueError("rows must be within int32, which is what .ivecs holds")
    widths = np.full((len(rows), 1), rows.shape[1])
    with written_whole(path) as part:
        np.hstack([widths, rows]).astype("<i4").tofile(part)
