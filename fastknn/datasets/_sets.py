"""What is loaded, and the one rule for labels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastknn.datasets._source import Part, refuse

# Of no more digits than int64 can hold.
INTEGER = re.compile(r"-?[0-9]{1,18}")
# Numbers up to this are named by their digits, if need be.
MANY = 1_000_000
UNUSED = "N/A"  # the name of a number that no class has


class LabelledImages(NamedTuple):
    """One labelled set of images.

    Attributes
    ----------
    images : ndarray of shape (n, pixels)
        One image a row, C-contiguous; uint8 except for formats that can hold other types.
    labels : ndarray of shape (n,), int64
        The class of each image: its place in ``class_names`` where there are any.
    class_names : tuple of str
        The names of the classes; empty where the format has none.
    image_shape : tuple of int
        The shape that a row of ``images`` has as an image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.datasets import LabelledImages
    >>> images = np.zeros((3, 64), np.uint8)
    >>> LabelledImages(images, np.arange(3), ("a", "b", "c"), (8, 8))
    LabelledImages(3 x 64 uint8, 3 classes, image_shape=(8, 8))
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"LabelledImages({_summary(self.images)}, {_classes(self.labels, self.image_shape)})"


class TableRows(LabelledImages):
    """The rows of a table, which know the names of their columns."""

    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A training and a test set of labelled images.

    Attributes
    ----------
    train, test : ndarray of shape (n, pixels)
        One image a row, C-contiguous; uint8 except for formats that can hold other types.
    train_labels, test_labels : ndarray of shape (n,), int64
        The class of each image: its place in ``class_names`` where there are any.
    class_names : tuple of str
        The names of the classes; empty where the format has none.
    image_shape : tuple of int
        The shape that a row has as an image: ``(3, 32, 32)``, channels first, for CIFAR-10 and
        ``(28, 28)`` for MNIST.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.datasets import Dataset
    >>> images, labels = np.zeros((3, 64), np.uint8), np.arange(3)
    >>> Dataset(images, labels, images[:1], labels[:1], ("a", "b", "c"), (8, 8))
    Dataset(train=3 x 64 uint8, test=1 x 64 uint8, 3 classes, image_shape=(8, 8))
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]

    def __repr__(self) -> str:
        return (
            f"Dataset(train={_summary(self.train)}, test={_summary(self.test)}, "
            f"{_classes(self.train_labels, self.image_shape)})"
        )


def _summary(images: Any) -> str:
    images = np.asarray(images)
    return f"{' x '.join(map(str, images.shape))} {images.dtype}"


def _classes(labels: Any, image_shape: Sequence[int]) -> str:
    count = len(np.unique(np.asarray(labels)))
    return f"{count} class{'' if count == 1 else 'es'}, image_shape={tuple(image_shape)}"


# Labels --------------------------------------------------------------------------------------


def checked_labels(part: Part, labels: np.ndarray, n_classes: int, first: int = 0) -> np.ndarray:
    """``labels`` as int64, all of them from ``first`` to ``first + n_classes - 1``."""
    wrong = np.flatnonzero((labels < first) | (labels >= first + n_classes))
    if len(wrong):
        found = f"{labels[wrong[0]]} at place {wrong[0]}"
        refuse(part, f"labels from {first} to {first + n_classes - 1}", found)
    return labels.astype(np.int64, copy=False)


def as_classes(
    part: Part, values: Any, n_images: int, name: str = "labels"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of any kind as int64, and the names of the classes.

    Whole numbers of any type, also when they are written as text, are kept as they are and have
    no names. Other words become their places among the sorted words, which are the names.

    Parameters
    ----------
    values : array-like of shape (n_images,), (n_images, 1) or (1, n_images)
    name : str
        What the file calls them, for messages.
    """
    labels = np.asarray(values)
    expected = f"{name} to be integers or words of shape ({n_images},)"
    if labels.size == n_images and labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.shape != (n_images,):
        refuse(part, expected, f"{labels.dtype} of shape {labels.shape}")
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels)) & (np.abs(labels) < 2**63)
        if not whole.all():
            refuse(part, expected, f"{labels.dtype}, {labels[~whole][0]} among them")
        labels = labels.astype(np.int64)
    if labels.dtype.kind in "bui":
        if labels.max() > np.iinfo(np.int64).max:
            refuse(part, f"{name} that fit into int64", f"{labels.max()}")
        return labels.astype(np.int64), ()
    if labels.dtype.kind not in "OUST":
        refuse(part, expected, f"{labels.dtype} of shape {labels.shape}")
    return _numbered(part, labels.tolist(), name)


def _numbered(part: Part, words: list, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    for row, word in enumerate(words):
        if isinstance(word, bytes):
            try:
                words[row] = word.decode()
            except UnicodeDecodeError:
                refuse(part, f"{name} in UTF-8", f"{word[:40]!r} at place {row}")
        elif isinstance(word, bool | int):
            words[row] = str(int(word))
        elif not isinstance(word, str):
            refuse(part, f"{name} to be integers or words", f"{word!r} at place {row}")
    classes = sorted(set(words))
    if all(map(INTEGER.fullmatch, classes)) and len(set(map(int, classes))) == len(classes):
        return np.array([int(word) for word in words], np.int64), ()
    places = {word: place for place, word in enumerate(classes)}
    return np.array([places[word] for word in words], np.int64), tuple(classes)


def matched(
    train: LabelledImages, test: LabelledImages, name: str = "test"
) -> tuple[LabelledImages, LabelledImages]:
    """A training and a test set with one numbering of classes and one order of pixels.

    Each file numbers its own words and may have colours as its first or as its last dimension.
    An integer without a name counts as the word of its digits where the other set has such words.

    Raises
    ------
    ValueError
        If images of the two sets have different shapes, although they have as many pixels, two
        tables have a column of the same name in different places, or no class has a name that
        both sets know.
    """
    _check_columns(train, test, name)
    return _one_numbering(train, _one_order(train, test, name), name)


def _one_numbering(
    train: LabelledImages, test: LabelledImages, name: str
) -> tuple[LabelledImages, LabelledImages]:
    """The labels of ``train`` stay; names that only ``test`` has come after the others."""
    ours, theirs = train.class_names, test.class_names
    if ours == theirs:
        return train, test
    if not ours or not theirs:
        named, numbered = (train, test) if ours else (test, train)
        labels = np.unique(numbered.labels)
        words = [str(label) for label in labels.tolist()]
        names = named.class_names
        if not set(words) <= set(names) or labels[0] < 0 or labels[-1] > len(labels) + MANY:
            return train, test  # numbers of the same classes, as far as anyone can tell
        if all(
            names[label : label + 1] == (word,) for label, word in zip(labels, words, strict=True)
        ):
            return train, test
        digits = tuple(str(label) for label in range(1 + int(labels[-1])))
        ours, theirs = ours or digits, theirs or digits
    known = set(ours)
    if known.isdisjoint(theirs):  # then no prediction could be right
        one, other = (", ".join(map(repr, some[:3])) for some in (theirs, ours))
        raise ValueError(f"{name} must have a class of train: it has {one}, and train has {other}")
    names = (*ours, *(word for word in theirs if word not in known))
    places = {word: place for place, word in enumerate(names)}
    moved = np.array([places[word] for word in theirs], np.int64)
    return (
        train._replace(class_names=names),
        test._replace(labels=moved[test.labels], class_names=names),
    )


def _check_columns(train: LabelledImages, test: LabelledImages, name: str) -> None:
    ours, theirs = (getattr(one, "columns", ()) for one in (train, test))
    if len(ours) != len(theirs):
        return  # which whoever compares widths will say
    places = {column: place for place, column in enumerate(ours)}
    for place, column in enumerate(theirs):
        if places.get(column, place) != place:
            raise ValueError(
                f"{name} must have the columns of train in the same order, and has {column!r} "
                f"where train has {ours[place]!r}"
            )


def _one_order(train: LabelledImages, test: LabelledImages, name: str) -> LabelledImages:
    """The test images with their colours where the training images have them."""
    ours, theirs = train.image_shape, test.image_shape
    plain = [tuple(size for size in shape if size != 1) for shape in (ours, theirs)]
    if plain[0] == plain[1] or 1 in map(len, plain):
        return test
    if train.images.shape[1] != test.images.shape[1]:
        return test  # which whoever compares widths will say
    last, first = (2, 0, 1), (1, 2, 0)
    if len(ours) == len(theirs) == 3:
        for axes in (last, first):
            if tuple(theirs[axis] for axis in axes) == ours:
                turned = test.images.reshape(-1, *theirs).transpose(0, *(1 + a for a in axes))
                images = np.ascontiguousarray(turned).reshape(len(test.images), -1)
                return test._replace(images=images, image_shape=ours)
    raise ValueError(f"{name} must have images of shape {ours}, as train has; got {theirs}")
