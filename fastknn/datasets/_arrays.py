"""NumPy's files: archives (.npz) of one set or of its parts, and pairs of arrays (.npy).

The arrays keep the shape that they have: colours stay where they are.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastknn._utils.npy import Archive, open_array
from fastknn.datasets._cifar import CLASSES
from fastknn.datasets._sets import LabelledImages, as_classes, checked_labels
from fastknn.datasets._source import FileError, Part, refuse

# What images and their labels are called, in any case of letters. With the name of a part before
# or after it, too, as in train_images or x_test.
PAIRS = (
    ("x", "y"),
    ("images", "labels"),
    ("imgs", "labels"),
    ("data", "labels"),
    ("data", "label"),
    ("data", "target"),
    ("features", "labels"),
)
UNNAMED = ("arr_0", "arr_1")
SPLITS = ("train", "test")
EXPECTED = (
    "arrays x_train, y_train, x_test and y_test, or train_images, train_labels and so on, or "
    "arr_0 and arr_1, or X and y, or images and labels"
)
# A word of a file's name, and what stands in its place in the name of the file of labels.
WORDS = re.compile(r"(?<![A-Za-z])(images|image|imgs|data|features|X|x)(?![A-Za-z])")
LABEL_WORDS = ("labels", "label", "targets", "target", "y", "Y")
LETTERS = ("y", "Y", *LABEL_WORDS[:4])  # likelier, where the images are X


def read_archive(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """One part of a NumPy archive, or all of one that has no parts."""
    (part,) = parts
    with _archive(part.path) as archive:
        names = _names(archive.names, part.member)
        if names is None and archive.names == ("arr_0",):  # as K49 and KMNIST have it
            images, labels_part = archive["arr_0"], labels_beside(part)
            with _archive(labels_part.path) as other:
                if len(other.names) != 1:
                    refuse(labels_part, "an archive of one array", f"{list(other.names[:5])}")
                return _labelled(part, images, labels_part, other[other.names[0]])
        if names is None:
            refuse(part, EXPECTED, f"{list(archive.names[:5])}")
        return _labelled(part, archive[names[0]], part, archive[names[1]])


@contextmanager
def _archive(path: Path) -> Iterator[Archive]:
    try:
        with Archive(path) as archive:
            yield archive
    except FileError:
        raise
    except ValueError as error:
        raise FileError(str(error), path) from error


def _array(path: Path) -> np.ndarray:
    try:
        return open_array(path, on_disk=False)
    except ValueError as error:
        raise FileError(str(error), path) from error


def archive_parts(path: Path) -> dict[str, list[Part]]:
    """The parts of an archive that has arrays for both."""
    with _archive(path) as archive:
        if all(_names(archive.names, split) for split in SPLITS):
            return {split: [Part(path, split)] for split in SPLITS}
    return {}


def _names(present: Sequence[str], split: str) -> tuple[str, str] | None:
    """The names of images and labels among those that are present."""
    lowered: dict[str, str] = {}
    for name in present:
        lowered.setdefault(name.lower(), name)
    for images, labels in _pairs(split):
        if images in lowered and labels in lowered:
            return lowered[images], lowered[labels]
    return None


def _pairs(split: str) -> Iterator[tuple[str, str]]:
    if not split:
        yield from (*PAIRS, UNNAMED)
        return
    for images, labels in PAIRS:
        yield f"{images}_{split}", f"{labels}_{split}"
        yield f"{split}_{images}", f"{split}_{labels}"
        yield f"{images}{split}", f"{labels}{split}"
        yield f"{split}{images}", f"{split}{labels}"


def read_pair(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The images of a .npy file, with the labels of the one beside it."""
    (part,) = parts
    labels_part = labels_beside(part)
    images = _array(part.path)
    return _labelled(part, images, labels_part, _array(labels_part.path))


def read_cifar10_1(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """CIFAR-10.1, whose pixels are put in the order of CIFAR-10's: colours first."""
    (part,) = parts
    images, labels, _, shape = read_pair(parts, label)
    if images.dtype != np.uint8 or shape != (32, 32, 3):
        refuse(part, "uint8 images of shape (n, 32, 32, 3)", f"{images.dtype}, (n, *{shape})")
    checked_labels(labels_beside(part), labels, len(CLASSES))
    first = np.ascontiguousarray(images.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))
    return LabelledImages(first.reshape(len(labels), -1), labels, CLASSES, (3, 32, 32))


def labels_beside(part: Part) -> Part:
    """The file of labels that belongs to this file of images."""
    words = list(WORDS.finditer(part.path.stem))
    if not words:
        expected = "a name with 'images', 'data' or 'X', to find the labels of an array (.npy) by"
        refuse(part, expected, f"{part.name!r}")
    names = [
        part.path.stem[: word.start()] + other + part.path.stem[word.end() :] + part.path.suffix
        for word in reversed(words)
        for other in (LETTERS if word[0] in "xX" else LABEL_WORDS)
    ]
    for name in names:
        if part.beside(name).path.is_file():
            return part.beside(name)
    raise FileNotFoundError(
        f"{part.path.with_name(names[0])}: expected the labels of {part.name} in this file "
        f"(or {names[2]}), found none"
    )


def _labelled(part: Part, images: Any, labels_part: Part, labels: Any) -> LabelledImages:
    images = checked_images(part, images)
    numbers, names = as_classes(labels_part, labels, len(images))
    return LabelledImages(images.reshape(len(images), -1), numbers, names, images.shape[1:])


def checked_images(part: Part, images: np.ndarray) -> np.ndarray:
    """Images of numbers, in the order of bytes and of elements that is native here."""
    if images.ndim < 2 or images.dtype.kind not in "buif" or not images.size:
        expected = "images to be integers or floats of shape (n, ...), none of the sizes 0"
        refuse(part, expected, f"{images.dtype} of shape {images.shape}")
    if images.dtype.kind == "b":
        images = images.view(np.uint8) if images.flags.c_contiguous else images.astype(np.uint8)
    return images.astype(images.dtype.newbyteorder("="), order="C", copy=False)
