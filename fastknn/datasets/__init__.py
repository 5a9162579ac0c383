"""Readers of labelled image sets, from files on disk.

Nothing is downloaded. Every file is untrusted: its size is checked before memory is taken for
what it claims to hold, and the pickles of CIFAR's Python layout are read without letting them
name a single object outside this package. `_table` lists the formats, and `_lookup` finds the
files of a set.

Labels
------
A label is an int64, the same integer that the file has, and its place in ``class_names`` where the
format has names. So the letters of EMNIST stay 1 to 26 (place 0 has the name "N/A"). A number that
only stands for another is replaced: SVHN's 10 is the digit 0, and STL-10 counts the lines of its
names from 1. Words become their places among the sorted words, which are the names; whole numbers
that are written as words are integers. Where both parts of a set have words, those of the training
part come first, and then the words that only the test part has.

Pixels
------
Colour images are (3, height, width), but for NumPy's files and tables, which keep their order.
In a table a column without a name, in which pandas writes the numbers of the rows, is left out; and
both parts of a set must have their columns in the same order.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fastknn._utils.scalars import as_path
from fastknn.datasets import _idx, _table
from fastknn.datasets._cifar import TEN, tar_layout
from fastknn.datasets._lookup import file_format, locate, part_files, set_of_file
from fastknn.datasets._sets import Dataset, LabelledImages, matched
from fastknn.datasets._source import Part, look_at, refuse

__all__ = [
    "Dataset",
    "LabelledImages",
    "load_cifar10",
    "load_dataset",
    "load_labelled_images",
    "load_mnist",
]

MNIST_SHAPE = (28, 28)
CIFAR10 = (_table.CIFAR10_BINARY, _table.CIFAR10_PYTHON)


def load_cifar10(path: str | os.PathLike[str], *, layout: str | None = None) -> Dataset:
    """Load CIFAR-10 from its official binary or Python layout.

    Parameters
    ----------
    path : str or os.PathLike
        The folder ``cifar-10-batches-bin`` or ``cifar-10-batches-py``, under any name, or the
        folder that holds it; or ``cifar-10-binary.tar.gz`` or ``cifar-10-python.tar.gz``, read
        without being unpacked, or the folder that holds that. ``~`` is expanded.
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
    layouts = {"binary": _table.CIFAR10_BINARY, "python": _table.CIFAR10_PYTHON}
    if not (layout is None or (isinstance(layout, str) and layout in layouts)):
        raise ValueError(f"layout must be None, 'binary' or 'python', got {layout!r}")
    path = as_path(path, "path")
    archive = _cifar10_archive(path, layout)
    if archive is not None:
        return _load_dataset(path, _table.CIFAR_TAR, *archive)
    kinds = list(layouts.values()) if layout is None else [layouts[layout]]
    found = locate(kinds, path)
    found.files("names")  # part of the set, though a lone batch can do without
    return _load_dataset(path, found.kind, found.files("train"), found.files("test"))


def _cifar10_archive(path: Path, layout: str | None) -> tuple[list[Part], list[Part]] | None:
    """The parts of the archive at a path, or of the only thing in this folder: an archive."""
    if path.is_dir():
        folders = [below for kind in CIFAR10 for below in kind.folders]
        names = [name for kind in CIFAR10 for names in kind.parts.values() for name in names]
        if any((path / below / name).is_file() for below in folders for name in names):
            return None
        kinds = ("binary", "python") if layout is None else (layout,)
        archives = [path / f"cifar-10-{kind}.tar.gz" for kind in kinds]
        path = next((archive for archive in archives if archive.is_file()), path)
    if not path.is_file() or not _table.CIFAR_TAR.matches(look_at(path)):
        return None
    parts = _table.CIFAR_TAR.parts_inside(path)
    found = tar_layout(parts["train"])
    if found.cifar is not TEN or layout not in (None, "python" if found.python else "binary"):
        refuse(path, f"CIFAR-10{f' in the {layout} layout' * bool(layout)}", found.folder)
    return parts["train"], parts["test"]


def load_mnist(path: str | os.PathLike[str]) -> Dataset:
    """Load MNIST, or a set in its layout such as Fashion-MNIST, from its four IDX files.

    Parameters
    ----------
    path : str or os.PathLike
        The folder of ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``. Each may be gzipped, with
        ``.gz`` after its name, and spelt ``train-images.idx3-ubyte``. Or a folder in which
        they lie in ``raw``, ``MNIST/raw`` or ``FashionMNIST/raw``. ``~`` is expanded.

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
    path = as_path(path, "path")
    found = locate((_table.IDX,), path, any_set=False)
    sets = []
    for split in ("train", "test"):
        files = found.files(split)
        sets.append(_table.described(partial(_idx.read_mnist, files), _table.IDX.looks))
        if sets[-1].image_shape != MNIST_SHAPE:
            refuse(files[0], f"images of shape {MNIST_SHAPE}", f"{sets[-1].image_shape}")
    return _dataset(*sets)


def load_dataset(path: str | os.PathLike[str], *, label: str | None = None) -> Dataset:
    """Load a set with a training and a test part, of any known format.

    Parameters
    ----------
    path : str or os.PathLike
        What to read; ``~`` is expanded. Either a folder that holds one of these, under the names
        that they are published with:

        - CIFAR-10, binary or Python;
        - MNIST, Fashion-MNIST, KMNIST, EMNIST or QMNIST: IDX files, gzipped or not, also where
          torchvision puts them (``MNIST/raw``);
        - CIFAR-100, binary or Python; STL-10, binary; SVHN (``train_32x32.mat``);
        - CIFAR-10 or CIFAR-100 in their ``.tar.gz``, which is read without being unpacked;
        - ``X_train.npy``, ``y_train.npy`` and so on, or ``train_images.npy``, ``train_labels.npy``;
        - ``train.csv`` and ``test.csv``, or ``.tsv`` or ``.parquet``, with a column of labels;
        - ``train`` and ``test``, folders with a folder of image files for each class;

        or a file: the ``.tar.gz`` of CIFAR, a ``.npz`` with the arrays of both parts (such as
        MedMNIST's and Keras's; arrays of a validation part are left out), or the training images
        of one of several sets in a folder, such as ``emnist-letters-train-images-idx3-ubyte.gz``.
        Where a folder holds several formats, the first of them in the order of this list is read.
    label : str, optional
        Which labels to take where there are several: "fine" (the default) or "coarse" of
        CIFAR-100; for a table the name of its column (default: label, class, target or y).

    Returns
    -------
    Dataset
        Images as rows; ``image_shape`` says what a row is. See the top of this module for the
        labels.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``, or a file that belongs to it is missing.
    ValueError
        If a file is foreign or malformed, with the path and what the file looks like; if a folder
        holds several sets of one format; or if the two parts do not fit together.
    TypeError
        If ``path`` is none.
    ImportError
        If a format needs a package that is not there: pandas (tables) or Pillow (image files).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from fastknn.datasets import load_dataset
    >>> images, labels = np.zeros((4, 8, 8), np.uint8), [0, 1, 1, 0]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "small.npz")
    ...     np.savez(file, x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])
    ...     load_dataset(file)
    Dataset(train=4 x 64 uint8, test=1 x 64 uint8, 2 classes, image_shape=(8, 8))
    """
    path = as_path(path, "path")
    if not path.is_dir():
        kind = file_format(path)
        found = None if kind.parts_inside(path) else set_of_file(kind, path)
        if found is not None:
            return _load_dataset(path, kind, found.files("train"), found.files("test"), label)
    kind, train = part_files(path, "train")
    return _load_dataset(path, kind, train, part_files(path, "test")[1], label)


def load_labelled_images(
    path: str | os.PathLike[str], *, split: str = "train", label: str | None = None
) -> LabelledImages:
    """Load one labelled set of images from a file or a folder of any known format.

    Parameters
    ----------
    path : str or os.PathLike
        What to read; ``~`` is expanded. Either a file:

        - a CIFAR-10 or CIFAR-100 binary file, with a name that ends in ``.bin``;
        - a CIFAR-10 or CIFAR-100 Python batch;
        - an IDX file of images of any type and size, gzipped or not, with its labels in a file
          beside it that has ``labels`` and ``idx1`` in its name for ``images`` and ``idx3``;
        - a ``.npz`` with arrays ``X`` and ``y``, ``images`` and ``labels``, or ``arr_0`` and
          ``arr_1``;
        - a ``.npy`` of images, with its labels in a file beside it that has ``labels`` or ``y`` in
          its name for ``images``, ``data`` or ``X``; also that of CIFAR-10.1;
        - a ``_X.bin`` of STL-10, or a ``.mat`` of SVHN;
        - a ``.csv``, ``.tsv`` or ``.parquet`` with a column of labels;

        or a folder with a folder of image files for each class; or whatever `load_dataset` can
        read. Where a folder holds several formats, CIFAR-10 binary comes first, then CIFAR-10
        Python, then MNIST.
    split : {"train", "test"}, default "train"
        The part to read of a folder, and of a file that holds both parts. Another file is one
        part, whatever it is used for: "train", the default, reads it whole, and "test" is
        refused, for it would give the same images again.
    label : str, optional
        Which labels to take where there are several: "fine" (the default) or "coarse" of
        CIFAR-100; for a table the name of its column (default: label, class, target or y).

    Returns
    -------
    images : ndarray of shape (n, pixels)
        One image a row, C-contiguous; uint8, but for formats that can hold other integers or
        floats, which keep their type.
    labels : ndarray of shape (n,), int64
        The class of each image.
    class_names : tuple of str
        From the file beside the images, or the official ones if there is none; the digits for
        IDX files without names; the words where labels are words; otherwise empty.
    image_shape : tuple of int
        The shape that a row of ``images`` has as an image.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``, or a file that belongs to it is missing.
    ValueError
        If ``split`` or ``label`` is unknown, or "test" of a file without parts, or a file is
        foreign or malformed; the message names the file and says what it looks like.
    TypeError
        If ``path`` is none.
    ImportError
        If a format needs a package that is not there: pandas (tables) or Pillow (image files).

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
    images = kind.read(files, label)
    if split == "test" and kind.words and images.class_names:
        # Each part numbers its own words: the training part tells the numbers of both.
        return matched(kind.read(part_files(path, "train")[1], label), images)[1]
    return images


def _load_dataset(
    path: Path,
    kind: _table.Format,
    train: Sequence[Part],
    test: Sequence[Part],
    label: str | None = None,
) -> Dataset:
    sets = kind.read(train, label), kind.read(test, label)
    if sets[0].images.shape[1] != sets[1].images.shape[1]:
        expected = f"images of shape {sets[0].image_shape} in both parts"
        refuse(path, expected, f"{sets[1].image_shape} in the test part")
    return _dataset(*matched(*sets, name=f"{path}: the test part"))


def _dataset(train: LabelledImages, test: LabelledImages) -> Dataset:
    return Dataset(
        train.images, train.labels, test.images, test.labels, train.class_names, train.image_shape
    )
