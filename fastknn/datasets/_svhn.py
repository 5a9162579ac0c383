"""SVHN's MATLAB files: X of shape (height, width, colours, n), y from 1 to 10, which is a 0.

Only arrays of numbers in files of version 5 are read. SciPy's reader takes memory for whatever
the file claims to hold; this one takes it as the bytes turn up.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastknn.datasets._idx import DIGITS
from fastknn.datasets._sets import LabelledImages, as_classes, checked_labels
from fastknn.datasets._source import CHUNK_BYTES, ZIP_MAGIC, Part, refuse, words_of

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
# The types of the values in the file.
TYPES = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
# The classes of arrays: what they are in MATLAB, whose values may be stored in smaller types.
CLASSES = (
    *("nothing", "cell", "struct", "object", "char", "sparse", "double", "single"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
NUMBERS = CLASSES[6:]
# As much of a variable as its name and its shape can take.
FRONT_BYTES = 512


class Variable(NamedTuple):
    """An array of a file, as its header describes it."""

    kind: str
    shape: tuple[int, ...]
    content: memoryview  # all of it, compressed or not
    compressed: bool
    start: int  # of its values


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The images X and the labels y of one file."""
    (part,) = parts
    content = part.path.read_bytes()
    order = _byte_order(part, content)
    try:
        variables = dict(_variables(content, order))
    except Exception as error:  # struct and zlib, of whatever bytes these are
        refuse(part, "a MATLAB file", f"one that cannot be read ({words_of(error)})", error)
    _check(part, variables)
    try:
        images, labels = (_values(variables[name], order) for name in ("X", "y"))
    except Exception as error:
        refuse(part, "whole variables X and y", f"a damaged one ({words_of(error)})", error)
    if images.dtype != np.uint8:
        refuse(part, "X to be stored in bytes", f"{images.dtype}")
    height, width, colours, count = images.shape
    numbers, _ = as_classes(part, labels, count, "y")
    numbers = checked_labels(part, numbers, 11)
    if (numbers == 0).any() and (numbers == 10).any():
        refuse(part, "y from 1 to 10, or from 0 to 9", "both 0 and 10")
    first = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    shape = (colours, height, width) if colours > 1 else (height, width)
    return LabelledImages(first.reshape(count, -1), numbers % 10, DIGITS, shape)


def _byte_order(part: Part, content: bytes) -> str:
    if content.startswith((b"MATLAB 7", b"\x89HDF")):
        refuse(part, "a MATLAB file of version 5 (save -v7)", "one of version 7.3, which is HDF5")
    marks = {b"IM": "<", b"MI": ">"}
    if content.startswith(ZIP_MAGIC) or content[126:128] not in marks:
        refuse(part, "a MATLAB file of version 5", "another one" if content else "an empty file")
    return marks[content[126:128]]


def _check(part: Part, variables: dict[str, Variable]) -> None:
    if not {"X", "y"} <= set(variables):
        refuse(part, "variables X and y, as SVHN has", f"{sorted(variables)[:5]}")
    images, labels = variables["X"], variables["y"]
    shape = images.shape
    if images.kind != "uint8" or len(shape) != 4 or min(shape) < 1 or shape[2] > 4:
        expected = "X to be uint8 of shape (height, width, colours, n), none of the sizes 0"
        refuse(part, expected, f"{images.kind} of shape {shape}")
    if labels.kind not in NUMBERS:
        refuse(part, "y to be numbers", f"{labels.kind} of shape {labels.shape}")
    if math.prod(labels.shape) != shape[3]:
        refuse(part, f"y to be integers or words of shape ({shape[3]},)", f"{labels.shape}")


def _variables(content: bytes, order: str) -> Iterator[tuple[str, Variable]]:
    """The names and headers of all variables; of compressed ones only the front is unpacked."""
    view, place = memoryview(content), HEADER_BYTES
    while place < len(content):
        kind, size = struct.unpack_from(order + "II", content, place)
        element = view[place : place + 8 + size]
        if len(element) != 8 + size:
            raise ValueError("it ends within a variable")
        place += 8 + size
        compressed = kind == COMPRESSED
        front = bytes(element[:FRONT_BYTES])
        if compressed:
            front = zlib.decompressobj().decompress(element[8:], FRONT_BYTES)
            (kind,) = struct.unpack_from(order + "I", front)
        if kind != MATRIX:
            continue
        (flags,) = struct.unpack_from(order + "I", front, 16)
        _, start, size = _element(front, 24, order)
        shape = struct.unpack_from(f"{order}{size // 4}i", front, start)
        _, start, size = _element(front, _after(start, size), order)
        name = front[start : start + size].decode("latin1")
        described = CLASSES[flags & 0xFF] if flags & 0xFF < len(CLASSES) else "an unknown class"
        if flags & 0x800:
            described = f"complex {described}"
        after = _after(start, size)
        yield name, Variable(described, shape, element, compressed, after)


def _element(content: bytes, place: int, order: str) -> tuple[int, int, int]:
    """The type, the place and the size of what is stored here; four bytes fit into its tag."""
    kind, size = struct.unpack_from(order + "II", content, place)
    if kind >> 16:
        return kind & 0xFFFF, place + 4, kind >> 16
    return kind, place + 8, size


def _after(start: int, size: int) -> int:
    return start + size + -(start + size) % 8


def _values(variable: Variable, order: str) -> np.ndarray:
    content: memoryview | bytes | bytearray = variable.content
    count = math.prod(variable.shape)
    if variable.compressed:
        # As many bytes as the values can take, and no more than there are.
        content = _unpacked(variable.content[8:], variable.start + 9 + 8 * count)
    kind, start, size = _element(bytes(content[: variable.start + 8]), variable.start, order)
    dtype = np.dtype(TYPES[kind]).newbyteorder(order)
    if size != count * dtype.itemsize:
        raise ValueError(f"{size} bytes for shape {variable.shape} of {dtype}")
    return np.frombuffer(content, dtype, count, start).reshape(variable.shape, order="F")


def _unpacked(packed: memoryview, most: int) -> bytearray:
    """The first bytes of what is compressed; if that is all of it, its checksum is compared."""
    unpacker, content = zlib.decompressobj(), bytearray()
    for start in range(0, len(packed), CHUNK_BYTES):
        rest: memoryview | bytes = packed[start : start + CHUNK_BYTES]
        while rest and len(content) < most:
            content += unpacker.decompress(rest, min(CHUNK_BYTES, most - len(content)))
            rest = unpacker.unconsumed_tail
    if len(content) < most and not unpacker.eof:
        raise ValueError("compressed data that is cut off")
    return content
