"""Folders of image files, one folder per class; Pillow decodes them.

If every image is gray, an image is (height, width); otherwise all of them are turned into RGB,
(3, height, width). What is transparent keeps the colour that it has beneath.
"""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastknn.datasets._sets import LabelledImages, as_classes, matched
from fastknn.datasets._source import FileError, Part, refuse, words_of

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff"),
)
# Others, such as PostScript's, run programs.
DECODERS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
GRAY = ("1", "L", "LA", "La")
COLOURS = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
SPLITS = {
    "train": ("train", "training", "Train", "Training"),
    "test": ("test", "testing", "Test", "Testing", "val", "valid", "validation"),
}
# Folders below that of a class, as in tiny-imagenet; not a whole file system.
DEEPEST = 2
# An image may claim any size. No file of an image is so much smaller than its pixels.
LARGEST_RATIO = 20_000
SLACK = 1 << 16


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """All images below a folder, the class of each being the folder in it that it lies in."""
    (part,) = parts
    files, words = [], []
    folders = class_folders(part.path)
    if len(folders) == 1 and _looks_like_a_set(folders[0]):
        expected = "a folder of images for each class"
        refuse(part, expected, f"only {folders[0].name}, which has such folders: give its path")
    for folder in folders:
        found = list(_files(folder))
        if not found:
            expected = f"image files ({', '.join(ENDINGS[:4])} ...) in each of its folders"
            refuse(part, expected, f"none in {folder.name}")
        files += found
        words += [folder.name] * len(found)
    if not files:
        refuse(part, "folders of images, one for each class", "none")
    numbers, class_names = _numbers(part)
    labels = np.array([numbers[word] for word in words], np.int64)
    images = decoded([Picture(Part(file)) for file in files])
    return LabelledImages(images.reshape(len(files), -1), labels, class_names, images.shape[1:])


class Picture(NamedTuple):
    """An image file, or one that is held in memory."""

    part: Part
    content: bytes | None = None


def decoded(pictures: Sequence[Picture]) -> np.ndarray:
    """All pictures as one array: (n, height, width), or (n, 3, height, width) with colours."""
    size, gray = _common(pictures)
    channels = () if gray else (3,)
    images = np.empty((len(pictures), size[1], size[0], *channels), np.uint8)
    for row, picture in enumerate(pictures):
        with _opened(picture) as image:
            # By RGBA, since a palette may have transparent colours, of which Pillow warns.
            if not gray and "transparency" in image.info and image.mode == "P":
                image = image.convert("RGBA")
            images[row] = np.asarray(image.convert("L" if gray else "RGB"))
    return images if gray else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _common(pictures: Sequence[Picture]) -> tuple[tuple[int, int], bool]:
    """Width and height of all images, and whether all of them are gray. Only headers are read."""
    size, gray = None, True
    for picture in pictures:
        with _opened(picture) as image:
            if image.mode not in (*GRAY, *COLOURS):
                expected = "an image of 8 bits per channel"
                refuse(picture.part, expected, f"one of Pillow's mode {image.mode}")
            size = size or image.size
            if image.size != size:
                expected = f"an image of {size[0]} x {size[1]} pixels, as {pictures[0].part} is"
                refuse(picture.part, expected, f"one of {image.size[0]} x {image.size[1]}")
            gray = gray and image.mode in GRAY
    assert size is not None
    return size, gray


@contextmanager
def _opened(picture: Picture) -> Iterator[Any]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "folders of image files need Pillow: pip install pillow, or this package with its "
            'extra "images"'
        ) from error
    part, content = picture
    source = part.path if content is None else io.BytesIO(content)
    n_bytes = part.path.stat().st_size if content is None else len(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of large sizes, which are checked
            with Image.open(source, formats=DECODERS) as image:
                width, height = image.size
                if width * height > LARGEST_RATIO * n_bytes + SLACK:
                    refuse(part, "an image", f"a claim of {width} x {height} pixels")
                yield image
    except FileError:
        raise
    except Exception as error:  # the decoders raise many kinds
        refuse(part, "an image file", f"one that cannot be read ({words_of(error)})", error)


def class_folders(root: Path) -> list[Path]:
    """The folders right below this one, in the order of their names, without hidden ones."""
    with os.scandir(root) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith((".", "__"))
        )
    return [root / name for name in names]


def _looks_like_a_set(folder: Path) -> bool:
    """Whether what should be a class has itself several folders of images, and no other images."""
    first = [file.relative_to(folder).parts for file in _files(folder)]
    return all(len(parts) > 1 for parts in first) and len({parts[0] for parts in first}) > 1


def _numbers(part: Part) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each class, and the names, alike for both parts of a set."""
    both = folder_parts(part.path.parent)
    parts = both["train"] + both.get("test", []) if "train" in both else []
    words = [[folder.name for folder in class_folders(one.path)] for one in parts]
    # Parts without a class in common have no numbering in common: whoever wants both will say so.
    if part not in parts or (len(parts) == 2 and set(words[0]).isdisjoint(words[1])):
        parts, words = [part], [[folder.name for folder in class_folders(part.path)]]
    sets = []
    for one, names in zip(parts, words, strict=True):
        numbers, class_names = as_classes(one, names, len(names), "the names of its folders")
        sets.append(LabelledImages(np.empty((len(names), 1)), numbers, class_names, (1,)))
    if len(sets) == 2:
        sets = list(matched(sets[0], sets[1]))
    labels: dict[str, int] = {}
    for names, one_set in zip(words, sets, strict=True):
        labels |= dict(zip(names, one_set.labels.tolist(), strict=True))
    return labels, sets[0].class_names


def _files(folder: Path) -> Iterator[Path]:
    """The images in a folder or a little below, in a fixed order."""
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(
            name for name in folders if depth < DEEPEST and not name.startswith((".", "__"))
        )
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(ENDINGS):
                yield Path(place, name)


def folder_parts(path: Path) -> dict[str, list[Part]]:
    """The parts of a folder: those named so, or else all of it, which has no test part."""
    parts = {}
    for split, names in SPLITS.items():
        for folder in (path / name for name in names):
            if folder.is_dir() and _holds_classes(folder):
                parts[split] = [Part(folder)]
                break
    if "train" in parts:
        return parts
    return {"": [Part(path)]} if _holds_classes(path) else {}


def _holds_classes(folder: Path) -> bool:
    return any(next(_files(inner), None) for inner in class_folders(folder))
