"""The pickles of CIFAR, read without letting them name a single object outside this module.

A pickle is a program that calls what it names. Here the names that a NumPy array is pickled
under stand for the classes below, which keep what they are given and do nothing with it, and
every other name is refused; NumPy's own __setstate__ methods, written in C and not meant for
hostile states, never run. Each class has a __setstate__: without one, the BUILD opcode would
set attributes on the class itself.
"""

import pickle
import re
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar, NoReturn

import numpy as np

from fastknn.datasets._source import Part, refuse, size_of, words_of


class _PickledType:
    """Stands for a numpy.dtype."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self._code = code
        self._order: Any = "|"

    def __setstate__(self, state: Any) -> None:
        self._order = state[1]  # after a version; the rest is None or -1 for integers

    def dtype(self) -> np.dtype:
        parts = (self._order, self._code)
        name = "".join(part.decode("ascii") if isinstance(part, bytes) else part for part in parts)
        if not re.fullmatch(r"[|<>=][iu][1248]", name):
            raise ValueError(f"its dtype is {name[:20]!r}, not one of integers")
        return np.dtype(name)


class PickledArray:
    """Stands for a numpy.ndarray, and for the function that makes an empty one to be filled."""

    def __init__(self, *ignored: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> np.ndarray:
        """The array, a view of the pickled bytes. Any error means that the state is malformed."""
        _version, shape, kind, by_columns, raw = self._state
        if not isinstance(raw, bytes):
            raise ValueError("its values are not bytes")
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("its shape is not of sizes")
        return np.frombuffer(raw, kind.dtype()).reshape(shape, order="F" if by_columns else "C")


class _BufferArray(PickledArray):
    """Stands for the function that makes an array of a buffer, which protocol 5 uses."""

    def __init__(self, raw: Any, kind: Any, shape: Any, order: Any = "C") -> None:
        if order not in ("C", "F"):
            raise ValueError("an array that is neither in C nor in Fortran order")
        self._state = (1, shape, kind, order == "F", raw)


class _PickledScalar:
    """Stands for the function that makes a NumPy scalar; gives a Python integer."""

    def __new__(cls, kind: Any, raw: Any) -> Any:
        (value,) = np.frombuffer(raw, kind.dtype()).tolist()
        return value

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a scalar has no state")


class _PickledBytes:
    """Stands for bytes, and for _codecs.encode, as which protocols 0 to 2 pickle bytes.

    Only with Latin-1, which they use: a codec may decompress, and this one adds no length.
    """

    def __new__(cls, text: str = "", encoding: str = "latin1") -> Any:
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise ValueError("bytes that are not encoded as Latin-1")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise ValueError("bytes have no state")


_ADMITTED = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _PickledType,
    ("_codecs", "encode"): _PickledBytes,
    ("__builtin__", "bytes"): _PickledBytes,
    ("builtins", "bytes"): _PickledBytes,
}
for _core in ("numpy.core", "numpy._core"):  # as NumPy 1 called it and as NumPy 2 does
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = PickledArray
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _PickledScalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _BufferArray


class _RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """An unpickler of plain containers and of the stand-ins above.

    It is the one in Python, since the one in C takes memory for whatever index into its memo
    the file mentions. A batch has so few opcodes that the time is in its one run of bytes.
    """

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            full_name = f"{module}.{name}"[:200]
            raise ValueError(f"it refers to {full_name!r}, which is refused") from None

    def persistent_load(self, key: Any) -> NoReturn:
        raise ValueError("it has a persistent id, which is refused")

    def get_extension(self, code: int) -> NoReturn:
        raise ValueError("it has an extension code, which is refused")

    def load_bytearray8(self) -> None:
        # Read, where the inherited method first fills as many zeros as the file claims. Nothing
        # here changes the bytes, so bytes will do.
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_dict()

    @staticmethod
    def _check_keys(keys: Sequence[Any]) -> None:
        """Refuse tuples as keys: to hash one that is nested deeply enough ends the process."""
        if any(type(key) not in (bytes, str, int) for key in keys):
            raise ValueError("it has a dictionary with a key that is no string")

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    for _opcode in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET):
        del dispatch[_opcode[0]]  # sets hash too, and no batch has one


class _BoundedFile:
    """A file of known size, of which no more is asked than it has.

    BufferedReader takes the memory for a read before it looks whether there is so much.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = size_of(stream)
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._size))

    def at_end(self) -> bool:
        return self._stream.tell() == self._size


def unpickled(part: Part, stream: BinaryIO) -> Any:
    """What a pickle holds, arrays being `PickledArray` still."""
    file = _BoundedFile(stream)
    try:
        value = _RestrictedUnpickler(file, encoding="bytes").load()
    except Exception as error:  # a malformed pickle can raise nearly anything
        expected = "a pickle of plain containers and arrays"
        refuse(part, expected, f"one that cannot be read ({words_of(error)})", error)
    if not file.at_end():
        refuse(part, "one pickle", "bytes after its end")
    return value
