"""CIFAR-10 and CIFAR-100, binary and Python, in folders or straight from their tar archives.

A binary record is one label byte (CIFAR-100: the coarse one and the fine one) and 3072 pixels:
the red plane, the green and the blue, each by rows. The Python layout has the same pixels in a
pickled dictionary.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastknn.datasets._pickles import PickledArray, unpickled
from fastknn.datasets._sets import LabelledImages, checked_labels
from fastknn.datasets._source import (
    CHUNK_BYTES,
    Part,
    count_records,
    read_records,
    refuse,
    size_of,
    words_of,
)
from fastknn.datasets._tar import first_member, read_members

SHAPE = (3, 32, 32)
PIXELS = 3072
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
FINE_TEXT = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
FINE = tuple(FINE_TEXT.split())
COARSE_TEXT = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things
large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""
COARSE = tuple(COARSE_TEXT.split())


class Labels(NamedTuple):
    """One of the labels that an image has."""

    place: int  # among the label bytes of a binary record
    key: str  # of the labels in a pickled batch
    names_key: str  # of their names in the pickle beside it
    names_file: str  # of their names beside a binary batch
    classes: tuple[str, ...]  # what they are called if no file says


@dataclass(frozen=True)
class Cifar:
    """What differs between CIFAR-10 and CIFAR-100. The first of the labels is the default."""

    labels: dict[str, Labels]
    meta: str  # the pickle with the names

    @property
    def record(self) -> int:
        """Bytes of a binary record."""
        return len(self.labels) + PIXELS

    def chosen(self, label: str | None) -> Labels:
        """The labels of a name, or the default."""
        if label is None:
            return next(iter(self.labels.values()))
        if len(self.labels) == 1:
            raise ValueError(f"label must be left out for CIFAR-10, got {label!r}")
        if label not in self.labels:
            choice = " or ".join(map(repr, self.labels))
            raise ValueError(f"label must be {choice}, got {label!r}")
        return self.labels[label]


TEN = Cifar(
    {"label": Labels(0, "labels", "label_names", "batches.meta.txt", CLASSES)}, "batches.meta"
)
HUNDRED = Cifar(
    {
        "fine": Labels(1, "fine_labels", "fine_label_names", "fine_label_names.txt", FINE),
        "coarse": Labels(
            0, "coarse_labels", "coarse_label_names", "coarse_label_names.txt", COARSE
        ),
    },
    "meta",
)


class _Pixels:
    """The rows that batches are read into, one after the other.

    There may be more than enough: those that are never written to take no memory.
    """

    def __init__(self, n_rows: int) -> None:
        self._rows = np.empty((n_rows, PIXELS), np.uint8)
        self._n_used = 0

    def next_rows(self, count: int) -> np.ndarray:
        """A view of the next rows, to be filled."""
        self._n_used += count
        return self._rows[self._n_used - count : self._n_used]

    def used(self) -> np.ndarray:
        """The array itself, cut in place to the rows that are filled."""
        # No check of references: views of it are gone by now.
        self._rows.resize((self._n_used, PIXELS), refcheck=False)
        return self._rows


def read_binary(cifar: Cifar, parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The set that these binary batches make."""
    labels = cifar.chosen(label)

    def append(part: Part, stream: BinaryIO, pixels: _Pixels) -> np.ndarray:
        return _append_binary(cifar, labels, part, stream, pixels)

    return _read(parts, labels.names_file, labels, _binary_names, append)


def read_python(
    layouts: Sequence[Cifar], parts: Sequence[Part], label: str | None
) -> LabelledImages:
    """The set that these pickled batches make, which may be of any of these layouts."""
    cifar = layouts[0]
    if len(layouts) > 1:
        with _contents(parts[:1])[parts[0]]() as stream:
            batch = unpickled(parts[0], stream)
        if isinstance(batch, dict):
            keys = {key.decode("latin1") if isinstance(key, bytes) else key for key in batch}
            held = [one for one in layouts if keys & {kind.key for kind in one.labels.values()}]
            cifar = held[0] if held else cifar
        del batch
    labels = cifar.chosen(label)

    def append(part: Part, stream: BinaryIO, pixels: _Pixels) -> np.ndarray:
        return _append_python(labels, part, stream, pixels)

    return _read(parts, cifar.meta, labels, _python_names, append)


def _read(
    parts: Sequence[Part],
    names_file: str,
    labels: Labels,
    read_names: Callable[[Part, BinaryIO, Labels], tuple[str, ...]],
    append: Callable[[Part, BinaryIO, _Pixels], np.ndarray],
) -> LabelledImages:
    """The pixels of all batches in one array, and the names of the classes if they are there."""
    names, class_names = parts[0].beside(names_file), labels.classes
    contents = _contents(parts, names)
    if names in contents:
        with contents[names]() as stream:
            class_names = read_names(names, stream, labels)
    # In neither layout does a pixel take less than a byte of the file.
    total = 0
    for part in parts:
        with contents[part]() as stream:
            total += size_of(stream)
    pixels, found = _Pixels(total // PIXELS), []
    for part in parts:
        with contents.pop(part)() as stream:  # what was in memory is let go of, one by one
            found.append(append(part, stream, pixels))
    numbers = np.concatenate(found)
    return LabelledImages(pixels.used(), numbers, class_names, SHAPE)


def _contents(
    parts: Sequence[Part], optional: Part | None = None
) -> dict[Part, Callable[[], BinaryIO]]:
    """How to open each part, and what may be there besides. A tar archive is read once."""
    wanted = [*parts, optional] if optional else list(parts)
    if not parts[0].member:
        return {
            part: lambda path=part.path: path.open("rb")  # type: ignore[misc]
            for part in wanted
            if part is not optional or part.path.is_file()
        }
    path = parts[0].path
    members = read_members(path, {part.member for part in wanted})
    for part in parts:
        if part.member not in members:
            refuse(path, f"a tar archive with {part.member}", "one without it")
    return {
        part: lambda content=members[part.member]: io.BytesIO(content)  # type: ignore[misc]
        for part in wanted
        if part.member in members
    }


# Binary --------------------------------------------------------------------------------------


def _append_binary(
    cifar: Cifar, labels: Labels, part: Part, stream: BinaryIO, pixels: _Pixels
) -> np.ndarray:
    """Put the pixels of a binary batch into ``pixels`` and return its labels."""
    record = cifar.record
    first = "a label" if record == PIXELS + 1 else "two labels"
    held = f"records of {record} bytes ({first} and the pixels)"
    count = count_records(part, stream, record, held)
    rows, numbers = pixels.next_rows(count), np.empty(count, np.uint8)
    for place, block in read_records(part, stream, count, record):
        numbers[place] = block[:, labels.place]
        rows[place] = block[:, record - PIXELS :]
    return checked_labels(part, numbers, len(labels.classes))


def _binary_names(part: Part, stream: BinaryIO, labels: Labels) -> tuple[str, ...]:
    return names_in_lines(part, stream, labels.classes)


def names_in_lines(part: Part, stream: BinaryIO, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes in a file with a line for each."""
    lines = stream.read(CHUNK_BYTES).splitlines()
    return _checked_names(part, [line.strip() for line in lines if line.strip()], classes)


def _checked_names(
    part: Part, names: Sequence[bytes | str], classes: Sequence[str]
) -> tuple[str, ...]:
    """Names in UTF-8, as many as there are classes."""
    if len(names) != len(classes):
        refuse(part, f"{len(classes)} class names", f"{len(names)}")
    try:
        return tuple(name.decode() if isinstance(name, bytes) else name for name in names)
    except UnicodeDecodeError:
        refuse(part, "class names in UTF-8", "other bytes")


# Python --------------------------------------------------------------------------------------


def _append_python(labels: Labels, part: Part, stream: BinaryIO, pixels: _Pixels) -> np.ndarray:
    """Put the pixels of a pickled batch into ``pixels`` and return its labels."""
    batch, key = unpickled(part, stream), labels.key
    data = _entry(part, batch, "data")
    if not isinstance(data, np.ndarray):
        refuse(part, "'data' to be a NumPy array", f"an object of type {type(data).__name__}")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS or not len(data):
        expected = f"'data' to be uint8 of shape (n, {PIXELS}), n at least 1"
        refuse(part, expected, f"{data.dtype} of shape {data.shape}")
    numbers = _entry(part, batch, key)
    # A bool is an int to isinstance, and no label.
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        refuse(part, f"{key!r} to be a list of integers", "something else")
    if len(numbers) != len(data):
        refuse(part, f"as many labels as images, {len(data)}", f"{len(numbers)} labels")
    try:
        array = np.array(numbers, np.int64)
    except OverflowError:
        expected = f"labels from 0 to {len(labels.classes) - 1}"
        refuse(part, expected, "one that does not fit into 64 bits")
    array = checked_labels(part, array, len(labels.classes))
    pixels.next_rows(len(data))[...] = data
    return array


def _python_names(part: Part, stream: BinaryIO, labels: Labels) -> tuple[str, ...]:
    key = labels.names_key
    names = _entry(part, unpickled(part, stream), key)
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        refuse(part, f"{key!r} to be a list of names", "something else")
    return _checked_names(part, names, labels.classes)


def _entry(part: Part, batch: Any, key: str) -> Any:
    """``batch[key]``: the official files have keys of bytes, ones pickled anew may have str."""
    if not isinstance(batch, dict):
        refuse(part, "a pickled dictionary", f"an object of type {type(batch).__name__}")
    for spelling in (key.encode(), key):
        if spelling in batch:
            value = batch[spelling]
            if not isinstance(value, PickledArray):
                return value
            try:
                return value.array()
            except Exception as error:  # its shape, type and bytes are whatever the file said
                expected = f"{key!r} to be a whole array of integers"
                refuse(part, expected, f"a malformed one ({words_of(error)})", error)
    refuse(part, f"an entry {key!r}", "a dictionary without it")


# Tar archives ---------------------------------------------------------------------------------

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


class Layout(NamedTuple):
    """One of the four layouts: its files, in a folder and in the official archive."""

    cifar: Cifar
    python: bool
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def read(self, parts: Sequence[Part], label: str | None) -> LabelledImages:
        """The set that these batches of the layout make."""
        if self.python:
            return read_python((self.cifar,), parts, label)
        return read_binary(self.cifar, parts, label)


LAYOUTS = (
    Layout(
        TEN,
        False,
        "cifar-10-batches-bin",
        tuple(f"{batch}.bin" for batch in BATCHES),
        ("test_batch.bin",),
    ),
    Layout(TEN, True, "cifar-10-batches-py", BATCHES, ("test_batch",)),
    Layout(HUNDRED, False, "cifar-100-binary", ("train.bin",), ("test.bin",)),
    Layout(HUNDRED, True, "cifar-100-python", ("train",), ("test",)),
)


def tar_layout(parts: Sequence[Part]) -> Layout:
    """The layout of these members of an archive, told by their names."""
    return next(one for one in LAYOUTS if parts[0].name in (*one.train, *one.test))


def read_tar(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """The set that these members of an archive make."""
    return tar_layout(parts).read(parts, label)


def tar_parts(path: Path) -> dict[str, list[Part]]:
    """The members of an archive that are the training and the test part."""
    known = {name: one for one in LAYOUTS for name in (*one.train, *one.test)}
    member = first_member(path, known)
    if member is None:
        expected = "a tar archive of CIFAR-10 or CIFAR-100, such as cifar-10-python.tar.gz"
        refuse(path, expected, "one without any of their files")
    folder, slash, name = member.rpartition("/")
    layout = known[name]
    return {
        split: [Part(path, f"{folder}{slash}{name}") for name in names]
        for split, names in (("train", layout.train), ("test", layout.test))
    }
