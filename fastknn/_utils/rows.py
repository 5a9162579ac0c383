"""Rows a block at a time, rows that are made from others, and where the memory of an array is."""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

__all__ = ["BLOCK_ELEMENTS", "InBlocks", "Rows", "is_on_disk", "row_slices"]

# Elements made at a time: what passes from step to step stays in the cache.
BLOCK_ELEMENTS = 1 << 17
# What the kernel names mappings of files that lie in memory: shared memory, and none at all.
IN_MEMORY = ("[", "/dev/shm/", "/dev/zero", "/memfd:", "/SYSV", "/anon_hugepage")


class InBlocks:
    """A matrix whose rows are made when they are asked for: all of them at once never exist.

    Parameters
    ----------
    rows : ndarray (n_rows, width)
        What they are made from.
    make : callable
        Makes an ndarray (m, `width`) of `dtype` of some of the rows, in the same order.
    width : int
    dtype : numpy.dtype

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn._utils.rows import InBlocks
    >>> halves = InBlocks(np.arange(6).reshape(3, 2), lambda some: some / 2, 2, np.float64)
    >>> halves.shape, halves[1:]
    ((3, 2), array([[1. , 1.5],
           [2. , 2.5]]))
    """

    def __init__(
        self,
        rows: np.ndarray,
        make: Callable[[np.ndarray], np.ndarray],
        width: int,
        dtype: np.dtype,
    ) -> None:
        self._rows, self._make = rows, make
        self.shape, self.dtype = (len(rows), width), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, some: slice | np.ndarray) -> np.ndarray:
        return self._make(self._rows[some])


Rows = np.ndarray | InBlocks


def row_slices(n_rows: int, step: int) -> Iterator[slice]:
    """Slices of at most `step` rows, one after another, that make up `n_rows`.

    Examples
    --------
    >>> from fastknn._utils.rows import row_slices
    >>> list(row_slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def is_on_disk(array: np.ndarray) -> bool:
    """Whether the elements of an array lie in a file that is mapped into memory.

    What counts is whose memory it is, not the type of the array: a copy of an `np.memmap` is an
    `np.memmap` too, and a view of one need not be. Files that lie in memory themselves (shared
    memory) do not count. Linux says what each address belongs to; elsewhere every `mmap.mmap`
    counts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn._utils.rows import is_on_disk
    >>> is_on_disk(np.zeros(3))
    False
    """
    owner = _owner(array)
    # Memory that NumPy or Python allocated, as nearly all arrays have.
    if array.size == 0 or owner is None or isinstance(owner, bytes | bytearray):
        return False
    address = array.__array_interface__["data"][0]
    try:
        return _mapped_file(address)
    except OSError:
        return isinstance(owner, mmap.mmap) and _is_within(address, owner)


def _owner(array: object) -> object:
    """The object whose memory an array is in, or None if it is the array's own."""
    while True:
        if isinstance(array, np.ndarray) and array.base is None:
            return None
        base = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
        if base is None:
            return array
        array = base


def _mapped_file(address: int) -> bool:
    with Path("/proc/self/maps").open("rb") as maps:
        for line in maps:
            bounds, _, _, _, _, *name = line.split(None, 5)
            first, last = (int(bound, 16) for bound in bounds.split(b"-"))
            if first <= address < last:
                path = name[0].decode(errors="replace").strip() if name else ""
                return bool(path) and not path.startswith(IN_MEMORY)
    return False


def _is_within(address: int, memory: mmap.mmap) -> bool:
    first = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    return first <= address < first + len(memory)
