"""IDX: MNIST and its relatives (Fashion-MNIST, KMNIST, EMNIST, QMNIST), gzipped or not.

Two zeros, a type, the number of dimensions, the sizes as big-endian uint32, and the values.
"""

import math
import struct
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from fastknn._utils.npy import TRUSTED_BYTES, read_bytes
from fastknn.datasets._sets import UNUSED, LabelledImages, as_classes, checked_labels
from fastknn.datasets._source import IDX_TYPES, Part, is_idx, opened, refuse

DIGITS = tuple("0123456789")
CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
MERGED = (*DIGITS, *CAPITALS, *"abdefghnqrt")  # where the two cases of a letter look different
NAMES = {  # by the name of the split, as in emnist-letters-train-images-idx3-ubyte
    "byclass": (*DIGITS, *CAPITALS, *LETTERS),
    "bymerge": MERGED,
    "balanced": MERGED,
    "letters": (UNUSED, *LETTERS),  # which are numbered from 1
    "digits": DIGITS,
    "mnist": DIGITS,
}
FOLDER_NAMES = {
    "FashionMNIST": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
TYPE_NAMES = ("ubyte", "byte", "short", "int", "float", "double")


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The images of an IDX file of any type and rank, with the labels of the one beside it."""
    (part,) = parts
    _check_images_name(part)
    images, sizes = _read_array(part, "images", None, range(2, 9))
    labels_part, labels = _read_labels(part, len(images), None, (1, 2))
    if labels.shape[1] != 1 and "qmnist" not in part.name:
        refuse(labels_part, "one label per image", f"{labels.shape[1]}")
    # QMNIST's other columns tell who wrote the digit.
    numbers, _ = as_classes(labels_part, labels[:, 0], len(images))
    return LabelledImages(images, numbers, _class_names(part, numbers), sizes[1:])


def read_mnist(parts: Sequence[Part]) -> LabelledImages:
    """Digits in bytes, images of rank 3, and nothing else."""
    (part,) = parts
    images, sizes = _read_array(part, "images", 8, (3,))
    labels_part, labels = _read_labels(part, len(images), 8, (1,))
    numbers = checked_labels(labels_part, labels[:, 0], len(DIGITS))
    return LabelledImages(images, numbers, DIGITS, sizes[1:])


def _read_labels(
    part: Part, n_images: int, code: int | None, ranks: Sequence[int]
) -> tuple[Part, np.ndarray]:
    """The file of labels beside these images, and what it holds: a row per image."""
    labels_part = labels_beside(part)
    labels, _ = _read_array(labels_part, "labels", code, ranks)
    if len(labels) != n_images:
        refuse(labels_part, f"{n_images} labels, as {part.name} has images", f"{len(labels)}")
    return labels_part, labels


def _class_names(part: Part, labels: np.ndarray) -> tuple[str, ...]:
    words = part.name.split("-")
    if words[0] == "emnist" and len(words) > 2 and words[1] in NAMES:
        names = NAMES[words[1]]
    else:
        folders = [name for name in part.path.absolute().parts[-3:-1] if name in FOLDER_NAMES]
        names = FOLDER_NAMES[folders[-1]] if folders else DIGITS
    fits = labels.min() >= 0 and labels.max() < len(names)
    return names if fits else ()


def _check_images_name(part: Part) -> None:
    if "images" not in part.name:
        refuse(part, "'images' in the name, to find the labels by", f"{part.name!r}")


def labels_beside(part: Part) -> Part:
    """The file of labels that belongs to this file of images."""
    _check_images_name(part)
    name = part.name.replace("images", "labels")
    for rank in range(2, 9):
        name = name.replace(f"idx{rank}", "idx1")
    for candidate in spellings(name):
        if part.beside(candidate).path.is_file():
            return part.beside(candidate)
    raise FileNotFoundError(
        f"{part.beside(name)}: expected this file ({', '.join(spellings(name)[:4])}), found none"
    )


def spellings(name: str) -> tuple[str, ...]:
    """Other names that a file may have, the likely ones first."""
    plain = name.removesuffix(".gz")
    dashed, dotted = plain.replace(".idx", "-idx"), plain.replace("-idx", ".idx")
    both = [ending for stem in (plain, dashed, dotted) for ending in (stem, f"{stem}.gz")]
    stem, mark, _ = dashed.partition("-idx")
    if mark:
        both += [
            f"{form}{mark}idx{rank}-{kind}{ending}"
            for form, rank, kind, mark, ending in product(
                (stem, stem.replace("t10k-", "test-")),
                (1, 2) if "labels" in stem else (3, 4, 2),
                TYPE_NAMES,
                ("-", "."),
                ("", ".gz"),
            )
        ]
    return tuple(dict.fromkeys([name, *both]))  # without the repeats, ``name`` itself first


def _read_array(
    part: Part, held: str, code: int | None, ranks: Sequence[int]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The values of an IDX file as (first size, product of the others), and its sizes.

    Parameters
    ----------
    code : int or None
        Of the only type that is accepted.
    ranks : sequence of int
        Those that are accepted.
    """
    with opened(part.path) as (stream, size):
        return _parse(part, held, code, ranks, stream, size)


def _parse(
    part: Part, held: str, code: int | None, ranks: Sequence[int], stream: Any, size: int | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The same from an open file, whose size is None if only reading on will tell it."""
    magic = stream.read(4)
    if not is_idx(magic) or magic[3] not in ranks or code not in (None, magic[2]):
        usual = 3 if held == "images" else 1
        expected = f"an IDX file of {held} (magic number 0x0000{code or 8:02x}{usual:02x})"
        refuse(part, expected, f"0x{magic.hex()}" if magic else "an empty file")
    kind, rank = IDX_TYPES[magic[2]], magic[3]
    header = stream.read(4 * rank)
    if len(header) != 4 * rank:
        refuse(part, f"an IDX header of {4 * (1 + rank)} bytes", f"{4 + len(header)}")
    sizes = struct.unpack(f">{rank}I", header)
    if 0 in sizes:
        refuse(part, "dimensions of at least 1", f"{sizes}")
    n_bytes = math.prod(sizes) * kind.itemsize
    expected = f"{n_bytes} bytes after the header, as dimensions {sizes} say"
    there = None if size is None else size - 4 * (1 + rank)
    if there not in (None, n_bytes):
        refuse(part, expected, f"{there}")

    values = read_bytes(stream.read, n_bytes, TRUSTED_BYTES if size is None else n_bytes)
    if len(values) < n_bytes:
        refuse(part, expected, f"{len(values)}")
    if stream.read(1):  # at its end, this is what makes gzip check the checksum too
        refuse(part, expected, "more")
    # In place, so that the array owns its bytes.
    values.resize((sizes[0], n_bytes // sizes[0]), refcheck=False)
    if kind != np.uint8:
        values = values.view(kind)
    if not kind.isnative:
        values = values.byteswap(inplace=True).view(kind.newbyteorder("="))
    return values, sizes
