"""The formats: how a file is recognised, which files are the parts of a set, and who reads them.

A new format is one more module with a reader, and one more entry in `FORMATS`. They are looked for
in this order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from fastknn.datasets import (
    _arrays,
    _cifar,
    _columns,
    _idx,
    _pictures,
    _stl10,
    _svhn,
)
from fastknn.datasets._sets import LabelledImages
from fastknn.datasets._source import (
    ZIP_MAGIC,
    FileError,
    Look,
    Part,
    description,
    is_idx,
    is_tar,
    look_at,
)

T = TypeVar("T")
Parts = dict[str, list[Part]]
# How descriptions begin that tell no format, and so are never added to an error.
VAGUE = ("bytes of", "a file of")


@dataclass(frozen=True)
class Format:
    """A file format and, if it has one, the layout of a folder of such files.

    Attributes
    ----------
    name : str
        For messages.
    matches : callable
        Tells a file of this format, by its content and, where that says nothing, by its name.
    reader : callable
        Reads the files of one part, in order.
    folders : tuple of str
        Where the files may lie, below the folder that is given.
    parts : mapping of str to tuple of str
        The names of the files of each part. A star at the beginning is the name of the set, and
        a folder may hold several sets.
    spellings : callable
        Other forms of such a name.
    inside : callable, optional
        The parts that one file holds; none if it is a part itself.
    below : callable, optional
        The parts of a folder, where they have no fixed names.
    looks : tuple of str
        How the descriptions of such files begin. Errors about them leave these descriptions out,
        since they say only what was expected.
    label : str
        What the argument `label` chooses; empty if there is nothing to choose.
    words : bool
        Whether its labels may be words that each file numbers for itself.
    """

    name: str
    matches: Callable[[Look], bool]
    reader: Callable[[Sequence[Part], str | None], LabelledImages]
    folders: tuple[str, ...] = ("",)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spellings: Callable[[str], tuple[str, ...]] = lambda name: (name,)
    inside: Callable[[Path], Parts] | None = None
    below: Callable[[Path], Parts] | None = None
    looks: tuple[str, ...] = ()
    label: str = ""
    words: bool = False

    def read(self, parts: Sequence[Part], label: str | None = None) -> LabelledImages:
        """The set that these files make. A file that is foreign is described by the error."""
        if label is not None and not self.label:
            choices = "; ".join(f"{kind.name}: {kind.label}" for kind in FORMATS if kind.label)
            raise ValueError(f"label must be left out for {self.name}, got {label!r} ({choices})")
        return described(lambda: self.reader(parts, label), self.looks)

    def parts_inside(self, path: Path) -> Parts:
        """The parts that one file holds; none if it is a part itself."""
        inside = self.inside
        return {} if inside is None else described(lambda: inside(path), self.looks)


def described(read: Callable[[], T], looks: Sequence[str]) -> T:
    """What a reader returns; to its errors is added what the file looks like.

    Parameters
    ----------
    looks : sequence of str
        How the descriptions begin that are left out, since the file is of this kind anyhow.
    """
    try:
        return read()
    except FileError as error:
        seen = description(look_at(error.path)) if error.path.is_file() else ""
        if not seen or seen in str(error) or seen.startswith((*VAGUE, *looks)):
            raise
        raise ValueError(f"{error}; the file looks like {seen}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{error.filename}: cannot be read: {error.strerror or error}") from error


# Recognising ---------------------------------------------------------------------------------


def _holds_records(look: Look, size: int) -> bool:
    """Whether a file is a .bin file of whole records of this size."""
    return look.name.endswith(".bin") and look.size > 0 and look.size % size == 0


def _is_cifar100(look: Look) -> bool:
    """Whether a binary file is of CIFAR-100, by its name or because only its records fit."""
    if look.name in ("train.bin", "test.bin"):
        return True
    return _holds_records(look, 3074) and not _holds_records(look, 3073)


def _is_pickle(look: Look) -> bool:
    return not look.zipped and (look.head.startswith(b"\x80") or description(look) == "a pickle")


def _other_spellings(*names: str) -> Callable[[str], tuple[str, ...]]:
    """Spellings of a training or test file whose usual name ends in the first of these."""

    def spellings(name: str) -> tuple[str, ...]:
        split = "test" if "test" in name else "train"
        upper = split.capitalize()
        pairs = [(one.replace("train", split), one.replace("train", upper)) for one in names]
        return tuple(dict.fromkeys([name, *(form for pair in pairs for form in pair)]))

    return spellings


def _train_and_test(ending: str) -> dict[str, tuple[str, ...]]:
    return {"train": (f"*train{ending}",), "test": (f"*test{ending}",)}


TEN_BINARY, TEN_PYTHON, HUNDRED_BINARY, HUNDRED_PYTHON = _cifar.LAYOUTS
TORCHVISION = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST")

NPZ = Format(
    "a NumPy archive (.npz)",
    lambda look: look.head.startswith((ZIP_MAGIC, b"PK\x05\x06")) or look.name.endswith(".npz"),
    _arrays.read_archive,
    parts=_train_and_test(".npz"),
    spellings=_other_spellings("*train-imgs.npz", "*train_images.npz"),
    inside=_arrays.archive_parts,
    looks=("a zip archive (",),
    words=True,
)
CIFAR10_1 = Format(
    "CIFAR-10.1 (.npy)",
    lambda look: look.head.startswith(b"\x93NUMPY") and look.name.startswith("cifar10.1"),
    _arrays.read_cifar10_1,
    looks=("an array",),
)
NPY = Format(
    "NumPy arrays (.npy)",
    lambda look: look.head.startswith(b"\x93NUMPY") or look.name.endswith(".npy"),
    _arrays.read_pair,
    parts=_train_and_test("_images.npy"),
    spellings=_other_spellings(
        *("*X_train.npy", "*x_train.npy", "*train_X.npy", "*train_x.npy", "*images_train.npy"),
        *("*train_data.npy", "*data_train.npy", "*train-images.npy", "*train_imgs.npy"),
    ),
    looks=("an array",),
    words=True,
)
STL10 = Format(
    "STL-10 binary (X.bin)",
    lambda look: look.name.endswith("X.bin"),
    _stl10.read,
    folders=("", "stl10_binary"),
    parts={"train": ("train_X.bin",), "test": ("test_X.bin",)},
)
CIFAR100_BINARY = Format(
    "CIFAR-100 binary (.bin)",
    _is_cifar100,
    HUNDRED_BINARY.read,
    folders=("", HUNDRED_BINARY.folder),
    parts={"train": HUNDRED_BINARY.train, "test": HUNDRED_BINARY.test},
    label="'fine' or 'coarse'",
)
CIFAR10_BINARY = Format(
    "CIFAR-10 binary (.bin)",
    # By name, before IDX: a label 0 and dark pixels can look like IDX's magic number.
    lambda look: look.name.endswith(".bin") and not _is_cifar100(look) and not STL10.matches(look),
    TEN_BINARY.read,
    folders=("", TEN_BINARY.folder),
    parts={"train": TEN_BINARY.train, "test": TEN_BINARY.test, "names": ("batches.meta.txt",)},
)
CIFAR10_PYTHON = Format(
    "CIFAR-10 Python",
    lambda look: look.name in (*TEN_PYTHON.train, *TEN_PYTHON.test),
    TEN_PYTHON.read,
    folders=("", TEN_PYTHON.folder),
    parts={
        "train": TEN_PYTHON.train,
        "test": TEN_PYTHON.test,
        "names": ("batches.meta",),
    },
    looks=("a pickle",),
)
CIFAR100_PYTHON = Format(
    "CIFAR-100 Python",
    lambda look: look.name in (*HUNDRED_PYTHON.train, *HUNDRED_PYTHON.test) and _is_pickle(look),
    HUNDRED_PYTHON.read,
    folders=("", HUNDRED_PYTHON.folder),
    parts={"train": HUNDRED_PYTHON.train, "test": HUNDRED_PYTHON.test},
    looks=("a pickle",),
    label="'fine' or 'coarse'",
)
CIFAR_PICKLE = Format(
    "a CIFAR pickle of another name",
    _is_pickle,
    partial(_cifar.read_python, (_cifar.TEN, _cifar.HUNDRED)),
    looks=("a pickle",),
    label="'fine' or 'coarse'",
)
CIFAR_TAR = Format(
    "CIFAR in a tar archive (.tar.gz)",
    lambda look: is_tar(look.head) or look.name.endswith((".tar.gz", ".tgz", ".tar")),
    _cifar.read_tar,
    parts={"train": ("cifar-10-binary.tar.gz",), "test": ("cifar-10-binary.tar.gz",)},
    spellings=lambda name: (
        *("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"),
        *("cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"),
    ),
    inside=_cifar.tar_parts,
    looks=("a tar", "a gzip file of a tar"),
    label="'fine' or 'coarse'",
)
IDX = Format(
    "IDX images (MNIST and others like it)",
    lambda look: is_idx(look.head) or "idx3-ubyte" in look.name or "-idx" in look.name,
    _idx.read,
    folders=("", "raw", *(f"{name}/raw" for name in TORCHVISION), "gzip"),
    parts={"train": ("*train-images-idx3-ubyte",), "test": ("*t10k-images-idx3-ubyte",)},
    spellings=_idx.spellings,
    looks=("an IDX", "a gzip file of an IDX"),
)
SVHN = Format(
    "SVHN (.mat)",
    lambda look: look.head.startswith(b"MATLAB") or look.name.endswith(".mat"),
    _svhn.read,
    parts={"train": ("train_32x32.mat",), "test": ("test_32x32.mat",)},
    looks=("a MATLAB",),
)
COLUMNS = Format(
    "a table (.csv, .tsv, .parquet)",
    lambda look: (
        look.head.startswith(_columns.PARQUET_MAGIC)
        or look.name.lower().endswith((".csv", ".tsv", ".parquet"))
    ),
    _columns.read,
    parts=_train_and_test(".csv"),
    spellings=_other_spellings(
        "*train.csv", "*train.tsv", "*train.parquet", "*train-00000-of-00001.parquet"
    ),
    looks=("a Parquet", "text"),
    label="the name of the column with the labels",
    words=True,
)
PICTURES = Format(
    "a folder of images for each class",
    lambda look: False,
    _pictures.read,
    below=_pictures.folder_parts,
    looks=tuple(f"a {one}" for one in ("PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF")),
)
FORMATS = (
    *(CIFAR10_BINARY, CIFAR10_PYTHON, IDX, CIFAR100_BINARY, CIFAR100_PYTHON, STL10, SVHN),
    *(CIFAR_TAR, CIFAR10_1, NPY, NPZ, COLUMNS, CIFAR_PICKLE, PICTURES),
)
