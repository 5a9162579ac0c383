"""STL-10, binary: the pixels of 96 by 96 images, each colour by columns, and labels from 1."""

from collections.abc import Sequence

import numpy as np

from fastknn.datasets._cifar import names_in_lines
from fastknn.datasets._sets import LabelledImages, checked_labels
from fastknn.datasets._source import Part, count_records, read_records, refuse

SHAPE = (3, 96, 96)
PIXELS = 27648
CLASSES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The images of one file, with the labels and the names of the files beside it."""
    (part,) = parts
    labels_part = part.beside(part.name.removesuffix("X.bin") + "y.bin")
    if not labels_part.path.is_file():
        raise FileNotFoundError(f"{labels_part}: expected this file of labels, found none")
    with part.path.open("rb") as stream:
        count = count_records(part, stream, PIXELS, f"images of {PIXELS} bytes")
        n_labels = labels_part.path.stat().st_size
        if n_labels != count:
            refuse(labels_part, f"{count} labels, as {part.name} has images", f"{n_labels}")
        labels = np.fromfile(labels_part.path, np.uint8, count)
        # They are the lines of class_names.txt, of which the first is number 1.
        labels = checked_labels(labels_part, labels, len(CLASSES), first=1) - 1
        images = np.empty((count, *SHAPE), np.uint8)
        for rows, block in read_records(part, stream, count, PIXELS):
            images[rows] = block.reshape(-1, *SHAPE).transpose(0, 1, 3, 2)
    return LabelledImages(images.reshape(count, -1), labels, _class_names(part), SHAPE)


def _class_names(part: Part) -> tuple[str, ...]:
    names = part.beside("class_names.txt")
    if not names.path.is_file():
        return CLASSES
    with names.path.open("rb") as stream:
        return names_in_lines(names, stream, CLASSES)
