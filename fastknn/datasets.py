"""Readers of labelled image sets: CIFAR-10, MNIST and NumPy archives, from files on disk.

Nothing is downloaded. Every file is untrusted: its size is checked before memory is taken for
what it claims to hold, and the pickles of CIFAR-10's Python layout are read without letting
them name a single object outside this module. The pixels of a set go straight into one array.
"""

import gzip
import math
import os
import pickle
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, NoReturn

import numpy as np

from fastknn._checks import as_path

__all__ = ["Dataset", "LabelledImages", "load_cifar10", "load_labelled_images", "load_mnist"]

CIFAR_SHAPE = (3, 32, 32)  # the red plane, the green and the blue, each by rows
CIFAR_PIXELS = math.prod(CIFAR_SHAPE)
CIFAR_RECORD = 1 + CIFAR_PIXELS  # a label byte comes first
CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
MNIST_SHAPE = (28, 28)
MNIST_CLASSES = tuple("0123456789")

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK"
PICKLE_MAGIC = b"\x80"  # the PROTO opcode, first from protocol 2 on
IDX_MAGIC = b"\0\0\x08"  # two zeros, then 8 for unsigned bytes; the number of dimensions follows

CHUNK_BYTES = 1 << 20
# A gzip's header may claim any size. This much is taken on trust, the rest as it turns up.
TRUSTED_BYTES = 64 << 20


class LabelledImages(NamedTuple):
    """One labelled set of images.

    Attributes
    ----------
    images : ndarray of shape (n, pixels)
        One image a row, C-contiguous; uint8 except for a ``.npz`` that holds another type.
    labels : ndarray of shape (n,), int64
        The class of each image: its place in ``class_names`` where there are any.
    class_names : tuple of str
        The names of the classes; empty for a ``.npz``, which has none.
    image_shape : tuple of int
        The shape that a row of ``images`` has as an image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.datasets import LabelledImages
    >>> images = np.zeros((3, 64), np.uint8)
    >>> LabelledImages(images, np.arange(3), ("a", "b", "c"), (8, 8)).images.dtype
    dtype('uint8')
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set of labelled images.

    Attributes
    ----------
    train, test : ndarray of shape (n, pixels), uint8
        One image a row, C-contiguous.
    train_labels, test_labels : ndarray of shape (n,), int64
        The class of each image: its place in ``class_names``.
    class_names : tuple of str
        The names of the classes.
    image_shape : tuple of int
        The shape that a row has as an image: ``(3, 32, 32)``, channels first, for CIFAR-10 and
        ``(28, 28)`` for MNIST.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.datasets import Dataset
    >>> images, labels = np.zeros((3, 64), np.uint8), np.arange(3)
    >>> Dataset(images, labels, images[:1], labels[:1], ("a", "b", "c"), (8, 8)).train.shape
    (3, 64)
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]


def load_cifar10(path: str | os.PathLike[str], *, layout: str | None = None) -> Dataset:
    """Load CIFAR-10 from its official binary or Python layout.

    Parameters
    ----------
    path : str or os.PathLike
        The folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, under any name, or the
        folder that holds it. ``~`` is expanded.
    layout : {None, "binary", "python"}, default None
        The layout to read. None takes the one that is there, and the binary one, which is
        quicker to read, where both are.

    Returns
    -------
    Dataset
        ``train`` and ``test`` of shape (n, 3072), uint8: the red plane, the green and the blue,
        as ``image_shape`` (3, 32, 32) says; labels int64 of shape (n,). A batch may hold any
        positive number of images, so that small sets work.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files of the layout is missing.
    ValueError
        If a file is truncated, of a wrong size or foreign, holds a label outside 0 to 9, or is a
        pickle of anything but plain containers and NumPy arrays; the message names the file.

    Examples
    --------
    A set of one black image a batch, each of class 7:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from fastknn.datasets import load_cifar10
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for batch in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
    ...                   "data_batch_5", "test_batch"]:
    ...         _ = Path(folder, f"{batch}.bin").write_bytes(bytes([7]) + bytes(3072))
    ...     names = "airplane automobile bird cat deer dog frog horse ship truck"
    ...     _ = Path(folder, "batches.meta.txt").write_text("\\n".join(names.split()))
    ...     cifar = load_cifar10(folder)
    >>> cifar.train.shape, cifar.test.shape, cifar.image_shape
    ((5, 3072), (1, 3072), (3, 32, 32))
    >>> cifar.class_names[cifar.test_labels[0]]
    'horse'
    """
    layouts = {"binary": _CIFAR_BINARY, "python": _CIFAR_PYTHON}
    if layout not in (None, *layouts):
        raise ValueError(f"layout must be None, 'binary' or 'python', got {layout!r}")
    kinds = list(layouts.values()) if layout is None else [layouts[layout]]
    kind, folder = _locate(kinds, as_path(path, "path"))
    _part_files(kind, folder, "names")  # part of the set, though a lone batch can do without
    return _load_dataset(kind, folder)


def load_mnist(path: str | os.PathLike[str]) -> Dataset:
    """Load MNIST, or a set in its layout such as Fashion-MNIST, from its four IDX files.

    Parameters
    ----------
    path : str or os.PathLike
        The folder of ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. Each may be gzipped, with
        ``.gz`` after its name, and spelt ``train-images.idx3-ubyte``. ``~`` is expanded.

    Returns
    -------
    Dataset
        ``train`` and ``test`` of shape (n, 784), uint8; labels int64 of shape (n,); the class
        names are the digits.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the four files is missing.
    ValueError
        If a file is truncated, has bytes to spare or is foreign, a gzip is corrupt, the images
        are not 28 by 28, the numbers of images and labels differ, or a label is outside 0 to 9;
        the message names the file.

    Examples
    --------
    A set of two black images, a 3 and an 8, for training as for testing:

    >>> import struct, tempfile
    >>> from pathlib import Path
    >>> from fastknn.datasets import load_mnist
    >>> images = struct.pack(">4i", 0x803, 2, 28, 28) + bytes(2 * 28 * 28)
    >>> labels = struct.pack(">2i", 0x801, 2) + bytes([3, 8])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ["train", "t10k"]:
    ...         _ = Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         _ = Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ...     mnist = load_mnist(folder)
    >>> mnist.train.shape, mnist.test_labels, mnist.image_shape
    ((2, 784), array([3, 8]), (28, 28))
    """
    return _load_dataset(*_locate((_IDX,), as_path(path, "path")), MNIST_SHAPE)


def load_labelled_images(path: str | os.PathLike[str], *, split: str = "train") -> LabelledImages:
    """Load one labelled set of images from a file or a folder of any known format.

    Parameters
    ----------
    path : str or os.PathLike
        What to read; ``~`` is expanded. Either a file:

        - a CIFAR-10 binary batch, with a name that ends in ``.bin``;
        - a CIFAR-10 Python batch;
        - an IDX file of images of any size, gzipped or not, with its labels in a file beside it
          that has ``labels`` and ``idx1`` in its name for ``images`` and ``idx3``;
        - a ``.npz`` with arrays ``X`` and ``y``, or ``images`` and ``labels``;

        or a folder that `load_cifar10` or `load_mnist` can read. Where a folder holds several
        sets, CIFAR-10 binary comes first, then CIFAR-10 Python, then MNIST.
    split : {"train", "test"}, default "train"
        The part to read of a folder. A file is one part, whatever it is used for: "train", the
        default, reads it whole, and "test" is refused, for it would give the same images again.

    Returns
    -------
    images : ndarray of shape (n, pixels)
        One image a row, C-contiguous; uint8, but for a ``.npz``, whose integers or floats keep
        their type.
    labels : ndarray of shape (n,), int64
        The class of each image.
    class_names : tuple of str
        CIFAR-10's from the file beside the batch, or the official ones if there is none; the
        digits for IDX; empty for a ``.npz``.
    image_shape : tuple of int
        The shape that a row of ``images`` has as an image.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``, or a file that belongs to it is missing.
    ValueError
        If ``split`` is unknown, or "test" of a single file, or a file is foreign or malformed;
        the message names the file.
    TypeError
        If ``path`` is none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from fastknn.datasets import load_labelled_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "small.npz")
    ...     np.savez(file, X=np.zeros((4, 8, 8), np.uint8), y=[0, 1, 1, 0])
    ...     images, labels, class_names, image_shape = load_labelled_images(file)
    >>> images.shape, labels, image_shape
    ((4, 64), array([0, 1, 1, 0]), (8, 8))
    """
    kind, files = part_files(path, split)
    return kind.read(files)


# What is where -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Format:
    """A file format and, if it has one, the layout of a folder of such files."""

    name: str
    matches: Callable[[str, bytes], bool]  # (file name, first bytes) -> whether it is this format
    read: Callable[[Sequence[Path]], LabelledImages]  # the files of one set, in order
    folders: tuple[str, ...] = ()  # where the files may lie under the folder that is given
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spellings: Callable[[str], tuple[str, ...]] = lambda name: (name,)


def _load_dataset(
    kind: _Format, folder: Path, image_shape: tuple[int, ...] | None = None
) -> Dataset:
    """Both parts of the set in ``folder``, whose images must have ``image_shape`` if given."""
    sets = []
    for split in ("train", "test"):
        files = _part_files(kind, folder, split)
        sets.append(kind.read(files))
        if image_shape is not None and sets[-1].image_shape != image_shape:
            _refuse(files[0], f"images of shape {image_shape}", f"{sets[-1].image_shape}")
    train, test = sets
    return Dataset(
        train.images, train.labels, test.images, test.labels, train.class_names, train.image_shape
    )


def _locate(kinds: Sequence[_Format], path: Path) -> tuple[_Format, Path]:
    """The first format of which ``path`` holds at least one file, and the folder it is in."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a folder, found nothing of that name")
    if not path.is_dir():
        _refuse(path, "a folder", "a file")
    for kind in kinds:
        names = [name for part in kind.parts.values() for name in part]
        for folder in (path / below for below in kind.folders):
            if any(_find(kind, folder, name) for name in names):
                return kind, folder
    expected = " or ".join(f"{kind.name} files ({kind.parts['train'][0]} ...)" for kind in kinds)
    listing = sorted(os.listdir(path))
    found = ", ".join(listing[:5]) + (" ..." if len(listing) > 5 else "") or "an empty folder"
    raise FileNotFoundError(f"{path}: expected {expected}, found {found}")


def _find(kind: _Format, folder: Path, name: str) -> Path | None:
    candidates = (folder / spelling for spelling in kind.spellings(name))
    return next((file for file in candidates if file.is_file()), None)


def _required(kind: _Format, folder: Path, name: str) -> Path:
    file = _find(kind, folder, name)
    if file is None:
        spellings = ", ".join(kind.spellings(name))
        raise FileNotFoundError(f"{folder / name}: expected this file ({spellings}), found none")
    return file


def part_files(path: str | os.PathLike[str], split: str) -> tuple[_Format, list[Path]]:
    """The format of what is at a path, and the files of its training or test part."""
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    path = as_path(path, "path")
    if path.is_dir():
        kind, folder = _locate([kind for kind in _FORMATS if kind.parts], path)
        return kind, _part_files(kind, folder, split)
    kind = _file_format(path)
    if split == "test":
        _refuse(path, "a folder, of which to read the test part", "a file, which has no parts")
    return kind, [path]


def _part_files(kind: _Format, folder: Path, part: str) -> list[Path]:
    return [_required(kind, folder, name) for name in kind.parts[part]]


def _file_format(path: Path) -> _Format:
    """The format of a single file, by its name and first bytes."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or a folder, found nothing of that name")
    if not path.is_file():
        _refuse(path, "a regular file or a folder", "neither")
    with path.open("rb") as stream:
        head = stream.read(4)
    for kind in _FORMATS:
        if kind.matches(path.name, head):
            return kind
    expected = ", ".join(kind.name for kind in _FORMATS)
    _refuse(path, f"one of {expected}", f"a file that begins with {head!r}")


def _refuse(path: Path, expected: str, found: str) -> NoReturn:
    raise ValueError(f"{path}: expected {expected}, found {found}")


def _checked_labels(path: Path, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """``labels`` as int64, all of them from 0 to ``n_classes`` - 1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        found = f"{labels[wrong[0]]} at place {wrong[0]}"
        _refuse(path, f"labels from 0 to {n_classes - 1}", found)
    return labels.astype(np.int64, copy=False)


class _ByteBuffer:
    """One array that files are read into, end to end.

    It grows and shrinks in place, and pages that are never written to cost nothing, so a
    capacity that is a little too large is no second copy.
    """

    def __init__(self, capacity: int, limit: int | None = None) -> None:
        self._bytes = np.empty(capacity, np.uint8)
        self._limit = limit
        self._used = 0

    def room(self, size: int) -> np.ndarray:
        """The next ``size`` bytes, to be filled and let go of before the next call."""
        end = self._used + size
        if end > len(self._bytes):
            doubled = 2 * len(self._bytes)
            grown = max(end, doubled if self._limit is None else min(doubled, self._limit))
            # No check of references: a view would be one, and those are gone by now.
            self._bytes.resize(grown, refcheck=False)
        view = self._bytes[self._used : end]
        self._used = end
        return view

    def finish(self, shape: tuple[int, ...]) -> np.ndarray:
        """The array itself, cut to the bytes that were used, which ``shape`` accounts for."""
        if math.prod(shape) != self._used:
            raise AssertionError(f"{self._used} bytes were read for an array of shape {shape}")
        self._bytes.resize(shape, refcheck=False)
        return self._bytes


# CIFAR-10 ------------------------------------------------------------------------------------


def _read_cifar(
    paths: Sequence[Path],
    append: Callable[[Path, _ByteBuffer], np.ndarray],
    read_names: Callable[[Path], tuple[str, ...]],
    names_file: str,
) -> LabelledImages:
    """The set that the batches ``paths`` make, the pixels of all of them in one array."""
    names = paths[0].with_name(names_file)
    class_names = read_names(names) if names.is_file() else CIFAR_CLASSES
    # In neither layout does a pixel take less than a byte of the file.
    buffer = _ByteBuffer(sum(path.stat().st_size for path in paths))
    labels = np.concatenate([append(path, buffer) for path in paths])
    return LabelledImages(
        buffer.finish((len(labels), CIFAR_PIXELS)), labels, class_names, CIFAR_SHAPE
    )


def _append_binary(path: Path, buffer: _ByteBuffer) -> np.ndarray:
    """Put the pixels of a binary batch into ``buffer`` and return its labels."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        count, rest = divmod(size, CIFAR_RECORD)
        if count == 0 or rest:
            expected = f"one or more whole records of {CIFAR_RECORD} bytes (a label and the pixels)"
            _refuse(path, expected, f"{size} bytes, {count} records and {rest} bytes over")
        pixels = buffer.room(count * CIFAR_PIXELS).reshape(count, CIFAR_PIXELS)
        labels = np.empty(count, np.uint8)
        records = np.empty((min(count, CHUNK_BYTES // CIFAR_RECORD), CIFAR_RECORD), np.uint8)
        for start in range(0, count, len(records)):
            block = records[: count - start]
            if stream.readinto(block) != block.nbytes:  # type: ignore[arg-type]
                _refuse(path, f"{size} bytes", "fewer: the file shrank while it was read")
            labels[start : start + len(block)] = block[:, 0]
            pixels[start : start + len(block)] = block[:, 1:]
    return _checked_labels(path, labels, len(CIFAR_CLASSES))


def _binary_names(path: Path) -> tuple[str, ...]:
    with path.open("rb") as stream:
        lines = stream.read(CHUNK_BYTES).splitlines()
    return _checked_names(path, [line.strip() for line in lines if line.strip()])


def _append_python(path: Path, buffer: _ByteBuffer) -> np.ndarray:
    """Put the pixels of a pickled batch into ``buffer`` and return its labels."""
    batch = _unpickle(path)
    data = _entry(path, batch, "data")
    if not isinstance(data, np.ndarray):
        _refuse(path, "'data' to be a NumPy array", f"an object of type {type(data).__name__}")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != CIFAR_PIXELS or not len(data):
        expected = f"'data' to be uint8 of shape (n, {CIFAR_PIXELS}), n at least 1"
        _refuse(path, expected, f"{data.dtype} of shape {data.shape}")
    labels = _entry(path, batch, "labels")
    # A bool is an int to isinstance, and no label.
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        _refuse(path, "'labels' to be a list of integers", "something else")
    if len(labels) != len(data):
        _refuse(path, f"as many labels as images, {len(data)}", f"{len(labels)} labels")
    try:
        numbers = np.array(labels, np.int64)
    except OverflowError:
        _refuse(path, "labels from 0 to 9", "one that does not fit into 64 bits")
    numbers = _checked_labels(path, numbers, len(CIFAR_CLASSES))
    buffer.room(data.size).reshape(data.shape)[...] = data
    return numbers


def _python_names(path: Path) -> tuple[str, ...]:
    names = _entry(path, _unpickle(path), "label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        _refuse(path, "'label_names' to be a list of names", "something else")
    return _checked_names(path, names)


def _checked_names(path: Path, names: Sequence[bytes | str]) -> tuple[str, ...]:
    if len(names) != len(CIFAR_CLASSES):
        _refuse(path, f"{len(CIFAR_CLASSES)} class names", f"{len(names)}")
    try:
        return tuple(name.decode() if isinstance(name, bytes) else name for name in names)
    except UnicodeDecodeError:
        _refuse(path, "class names in UTF-8", "other bytes")


def _entry(path: Path, batch: Any, key: str) -> Any:
    """``batch[key]``: the official files have keys of bytes, ones pickled anew may have str."""
    if not isinstance(batch, dict):
        _refuse(path, "a pickled dictionary", f"an object of type {type(batch).__name__}")
    for spelling in (key.encode(), key):
        if spelling in batch:
            value = batch[spelling]
            if not isinstance(value, _PickledArray):
                return value
            try:
                return value.array()
            except Exception as error:  # its shape, type and bytes are whatever the file said
                raise ValueError(
                    f"{path}: expected {key!r} to be a whole array of integers, found a "
                    f"malformed one ({type(error).__name__}: {error})"
                ) from error
    _refuse(path, f"an entry {key!r}", "a dictionary without it")


# CIFAR-10's pickles --------------------------------------------------------------------------
#
# A pickle is a program that calls what it names. Here the names that a NumPy array is pickled
# under stand for the classes below, which keep what they are given and do nothing with it, and
# every other name is refused; NumPy's own __setstate__ methods, written in C and not meant for
# hostile states, never run. Each class has a __setstate__: without one, the BUILD opcode would
# set attributes on the class itself.


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


class _PickledArray:
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


class _BufferArray(_PickledArray):
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
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledType,
    ("_codecs", "encode"): _PickledBytes,
    ("__builtin__", "bytes"): _PickledBytes,
    ("builtins", "bytes"): _PickledBytes,
}
for _core in ("numpy.core", "numpy._core"):  # as NumPy 1 called it and as NumPy 2 does
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _PickledArray
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
        self._size = os.fstat(stream.fileno()).st_size
        self.readline = stream.readline

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, self._size))

    def at_end(self) -> bool:
        return self._stream.tell() == self._size


def _unpickle(path: Path) -> Any:
    """What the pickle at ``path`` holds, arrays being `_PickledArray` still."""
    with path.open("rb") as stream:
        file = _BoundedFile(stream)
        try:
            value = _RestrictedUnpickler(file, encoding="bytes").load()
        except Exception as error:  # a malformed pickle can raise nearly anything
            detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise ValueError(
                f"{path}: expected a pickle of plain containers and arrays, found one that "
                f"cannot be read ({detail})"
            ) from error
        if not file.at_end():
            _refuse(path, "one pickle", "bytes after its end")
    return value


# IDX -----------------------------------------------------------------------------------------


def _read_idx(paths: Sequence[Path]) -> LabelledImages:
    """The images of an IDX file, with the labels of the one beside it."""
    (path,) = paths
    images, sizes = _read_idx_array(path, 3)
    labels_path = _idx_labels_path(path)
    labels, _ = _read_idx_array(labels_path, 1)
    if len(labels) != len(images):
        _refuse(labels_path, f"{len(images)} labels, as {path.name} has images", f"{len(labels)}")
    labels = _checked_labels(labels_path, labels[:, 0], len(MNIST_CLASSES))
    return LabelledImages(images, labels, MNIST_CLASSES, sizes[1:])


def _idx_labels_path(path: Path) -> Path:
    if "images" not in path.name:
        _refuse(path, "'images' in the name, to find the labels by", f"{path.name!r}")
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    return _required(_IDX, path.parent, name)


def _idx_spellings(name: str) -> tuple[str, ...]:
    plain = name.removesuffix(".gz")
    dashed, dotted = plain.replace(".idx", "-idx"), plain.replace("-idx", ".idx")
    both = [ending for stem in (plain, dashed, dotted) for ending in (stem, f"{stem}.gz")]
    return tuple(dict.fromkeys([name, *both]))  # without the repeats, ``name`` itself first


def _read_idx_array(path: Path, n_dimensions: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The bytes of an IDX file as (first size, product of the others), and its sizes."""
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not zipped:
            return _parse_idx(path, file, os.fstat(file.fileno()).st_size, n_dimensions)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                return _parse_idx(path, stream, None, n_dimensions)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: expected a whole gzip file, found a truncated or corrupt one ({error})"
            ) from error


def _parse_idx(
    path: Path, stream: BinaryIO | gzip.GzipFile, file_size: int | None, n_dimensions: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The same from an open file, whose size is None if only reading on will tell it."""
    header = stream.read(4 * (1 + n_dimensions))
    magic = IDX_MAGIC + bytes([n_dimensions])
    if header[:4] != magic:
        held = "images" if n_dimensions == 3 else "labels"
        expected = f"an IDX file of {held} (magic number 0x{magic.hex()})"
        _refuse(path, expected, f"0x{header[:4].hex()}" if header else "an empty file")
    if len(header) != 4 * (1 + n_dimensions):
        _refuse(path, f"an IDX header of {4 * (1 + n_dimensions)} bytes", f"{len(header)}")
    sizes = struct.unpack(f">{n_dimensions}I", header[4:])
    if 0 in sizes:
        _refuse(path, "dimensions of at least 1", f"{sizes}")
    n_bytes = math.prod(sizes)
    expected = f"{n_bytes} bytes after the header, as dimensions {sizes} say"
    if file_size is not None and file_size - len(header) != n_bytes:
        _refuse(path, expected, f"{file_size - len(header)}")

    known = n_bytes if file_size is not None else min(n_bytes, TRUSTED_BYTES)
    buffer = _ByteBuffer(known, limit=n_bytes)
    for start in range(0, n_bytes, CHUNK_BYTES):
        _fill(path, stream, buffer.room(min(CHUNK_BYTES, n_bytes - start)), expected, start)
    if stream.read(1):  # at its end, this is what makes gzip check the checksum too
        _refuse(path, expected, "more")
    return buffer.finish((sizes[0], n_bytes // sizes[0])), sizes


def _fill(
    path: Path, stream: BinaryIO | gzip.GzipFile, room: np.ndarray, expected: str, before: int
) -> None:
    """Read all of ``room``, in as many reads as it takes."""
    filled = 0
    while filled < len(room):
        got = stream.readinto(room[filled:])  # type: ignore[union-attr, arg-type]
        if not got:
            _refuse(path, expected, f"{before + filled}")
        filled += got


# NumPy archives ------------------------------------------------------------------------------


def _read_npz(paths: Sequence[Path]) -> LabelledImages:
    """The arrays X and y, or images and labels, of a NumPy archive."""
    (path,) = paths
    with path.open("rb") as stream:
        images, labels = _npz_arrays(path, stream)
    if images.ndim < 2 or images.dtype.kind not in "uif" or not images.size:
        expected = "images to be integers or floats of shape (n, ...), none of the sizes 0"
        _refuse(path, expected, f"{images.dtype} of shape {images.shape}")
    if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
        expected = f"labels to be integers of shape ({len(images)},)"
        _refuse(path, expected, f"{labels.dtype} of shape {labels.shape}")
    if labels.max() > np.iinfo(np.int64).max:
        _refuse(path, "labels that fit into int64", f"{labels.max()}")
    images_native = images.astype(images.dtype.newbyteorder("="), order="C", copy=False)
    return LabelledImages(
        images_native.reshape(len(images), -1), labels.astype(np.int64), (), images.shape[1:]
    )


def _npz_arrays(path: Path, stream: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(stream, allow_pickle=False) as archive:
            found = archive.files
            for pair in (("X", "y"), ("images", "labels")):
                if set(pair) <= set(found):
                    return archive[pair[0]], archive[pair[1]]
    except Exception as error:  # zipfile and the .npy header's parser raise many kinds
        raise ValueError(
            f"{path}: expected a NumPy archive of plain arrays, found one that cannot be read "
            f"({type(error).__name__}: {error})"
        ) from error
    _refuse(path, "arrays X and y, or images and labels", f"{found[:5]}")


# The formats, in the order in which they are looked for --------------------------------------

_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

_NPZ = _Format("NumPy archive (.npz)", lambda name, head: head.startswith(ZIP_MAGIC), _read_npz)
_CIFAR_BINARY = _Format(
    "CIFAR-10 binary batch (.bin)",
    # By name, before IDX: a label 0 and dark pixels can look like IDX's magic number.
    lambda name, head: name.endswith(".bin"),
    lambda paths: _read_cifar(paths, _append_binary, _binary_names, "batches.meta.txt"),
    folders=("", "cifar-10-batches-bin"),
    parts={
        "train": tuple(f"{batch}.bin" for batch in _BATCHES),
        "test": ("test_batch.bin",),
        "names": ("batches.meta.txt",),
    },
)
_IDX = _Format(
    "IDX images (MNIST, gzipped or not)",
    lambda name, head: head.startswith((GZIP_MAGIC, IDX_MAGIC)) or "idx3-ubyte" in name,
    _read_idx,
    folders=("",),
    parts={"train": ("train-images-idx3-ubyte",), "test": ("t10k-images-idx3-ubyte",)},
    spellings=_idx_spellings,
)
_CIFAR_PYTHON = _Format(
    "CIFAR-10 Python batch",
    lambda name, head: head.startswith(PICKLE_MAGIC) or name in (*_BATCHES, "test_batch"),
    lambda paths: _read_cifar(paths, _append_python, _python_names, "batches.meta"),
    folders=("", "cifar-10-batches-py"),
    parts={"train": _BATCHES, "test": ("test_batch",), "names": ("batches.meta",)},
)
_FORMATS = (_NPZ, _CIFAR_BINARY, _CIFAR_PYTHON, _IDX)
