"""SVHN's MATLAB files: X of shape (height, width, colours, n), y from 1 to 10, which is a 0.

SciPy reads them, in version 5 of the format. Names, shapes and classes are checked before any
values are read, and shapes that claim more values than the file can hold are refused. The memory
that is written to is bounded by what the file decompresses to, at most `LARGEST_RATIO` times its
size. A false count of bytes inside may make SciPy reserve up to 4 GiB that it never writes to;
where the system refuses that, the error is a ValueError like any other.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

from fastknn.datasets._idx import DIGITS
from fastknn.datasets._sets import LabelledImages, as_classes, checked_labels
from fastknn.datasets._source import FileError, Part, refuse, size_of, words_of

VERSION_5, VERSION_7_3 = 1, 2  # as SciPy numbers them
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NUMBERS = ("double", "single", *INTEGERS)
# What zlib makes of zeros, the most that it can compress.
LARGEST_RATIO = 1032


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
            _check(part, whosmat(stream), size)
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


def _check(part: Part, variables: list[tuple[str, tuple[int, ...], str]], size: int) -> None:
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
