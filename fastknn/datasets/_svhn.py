"""SVHN's MATLAB files: X of shape (height, width, colours, n), y from 1 to 10, which is a 0.

SciPy reads them, in version 5 of the format. It is not made for hostile files: a number of a type
that does not exist ends the process, and memory is reserved for as many bytes as the file claims.
So what the headers of X and y tell is checked first, by SciPy's list of variables and by
`_check_values`, and no more values are read than a file of this size can hold. Not bounded but by
the size of the file, decompressed, are the names of the variables.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from fastknn.datasets._idx import DIGITS
from fastknn.datasets._sets import LabelledImages, as_classes, checked_labels
from fastknn.datasets._source import FileError, Part, refuse, size_of, words_of

VERSION_5, VERSION_7_3 = 1, 2  # as SciPy numbers them
HEADER_BYTES = 128  # of the file, before the first variable
FRONT_BYTES = 512  # more than the header of a variable of few dimensions and a short name takes
COMPRESSED = 15
COMPLEX = 0x800
# The types in which values are stored, and the bytes of one value.
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NUMBERS = ("double", "single", *INTEGERS)
# What zlib makes of zeros, the most that it can compress.
LARGEST_RATIO = 1032
Variables = list[tuple[str, tuple[int, ...], str]]  # names, shapes and classes


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The images X and the labels y of one file."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import matfile_version

    (part,) = parts
    with part.path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("error")  # of variables that cannot be read
        size = size_of(stream)
        try:
            version, _ = matfile_version(stream)
            if version == VERSION_7_3:
                expected = "a MATLAB file of version 5 (save -v7)"
                refuse(part, expected, "one of version 7.3, which is HDF5")
            if version != VERSION_5:
                refuse(part, "a MATLAB file of version 5", "another file")
            variables = whosmat(stream)
            _check_variables(part, variables, size)
            _check_values(part, variables, stream)
            values = loadmat(stream, variable_names=["X", "y"])
        except FileError:
            raise
        except Exception as error:  # SciPy raises many kinds
            found = f"one that cannot be read ({words_of(error)})"
            refuse(part, "a MATLAB file of version 5", found, error)
    images = values["X"]
    if images.dtype != np.uint8:
        refuse(part, "X to be stored in bytes", f"{images.dtype}")
    height, width, colours, count = images.shape
    numbers, _ = as_classes(part, values["y"], count, "y")
    numbers = checked_labels(part, numbers, 11)
    if (numbers == 0).any() and (numbers == 10).any():
        refuse(part, "y from 1 to 10, or from 0 to 9", "both 0 and 10")
    first = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    shape = (colours, height, width) if colours > 1 else (height, width)
    return LabelledImages(first.reshape(count, -1), numbers % 10, DIGITS, shape)


def _check_variables(part: Part, variables: Variables, size: int) -> None:
    """Raise unless X and y, each once, are what they should be, by what their headers tell."""
    names = [name for name, _, _ in variables]
    if (names.count("X"), names.count("y")) != (1, 1):
        refuse(part, "variables X and y, as SVHN has", f"{sorted(names)[:5]}")
    described = {name: (shape, kind) for name, shape, kind in variables}
    (shape, kind), (label_shape, label_kind) = described["X"], described["y"]
    if kind != "uint8" or len(shape) != 4 or min(shape) < 1 or shape[2] > 4:
        expected = "X to be uint8 of shape (height, width, colours, n), none of the sizes 0"
        refuse(part, expected, f"{kind} of shape {shape}")
    if math.prod(shape) > LARGEST_RATIO * size:
        refuse(part, "X to be whole", f"a claim of shape {shape} in a file of {size} bytes")
    if label_kind not in NUMBERS:
        refuse(part, "y to be numbers", f"{label_kind} of shape {label_shape}")
    if math.prod(label_shape) != shape[3]:
        refuse(part, f"y to be integers or words of shape ({shape[3]},)", f"{label_shape}")


def _check_values(part: Part, variables: Variables, stream: BinaryIO) -> None:
    """Raise unless X and y are real numbers of a known type, and as many bytes as their shape."""
    stream.seek(HEADER_BYTES - 2)
    order, place = "<" if stream.read(2) == b"IM" else ">", HEADER_BYTES
    for name, shape, _ in variables:
        stream.seek(place)
        kind, size = struct.unpack(f"{order}2I", stream.read(8))
        place += 8 + size
        if name not in ("X", "y"):
            continue
        front = stream.read(FRONT_BYTES)
        if kind == COMPRESSED:  # with the eight bytes that an uncompressed one begins with
            front = zlib.decompressobj().decompress(front, FRONT_BYTES)[8:]
        words = np.frombuffer(front[: len(front) // 4 * 4], f"{order}u4").tolist()
        # Flags and shape, each after the type and the size of its values.
        if words[2] & COMPLEX or words[5] != 4 * len(shape):
            refuse(part, f"{name} to be real numbers", "others")
        at = 6 + len(shape) + len(shape) % 2
        at += 2 if words[at] >> 16 else 4  # the name: one byte, which fits beside its type
        stored, n_bytes = words[at], words[at + 1]
        if stored >> 16:  # so do values of up to four bytes
            stored, n_bytes = stored & 0xFFFF, stored >> 16
        if n_bytes != ITEM_BYTES.get(stored, 0) * math.prod(shape):
            found = f"{n_bytes} bytes of type {stored}"
            refuse(part, f"whole variables X and y, {name} of shape {shape}", found)
