"""The formats: how a file is recognised, which files are the parts of a set, and who reads them.

A new format is one more module with a reader, and one more entry in `FORMATS`. They are looked for
in this order.
"""

import os
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
    refuse,
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


# Files of a set ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A set in a folder, of which some file at least is there."""

    kind: Format
    folder: Path
    set_name: str  # what stands for the star
    parts_below: Parts | None = None  # where the files have no fixed names

    def files(self, part: str) -> list[Part]:
        """The files of this part, all of which must be there."""
        if self.parts_below is not None:
            if part not in self.parts_below:
                names = " or ".join(_pictures.SPLITS[part][:2])
                raise FileNotFoundError(
                    f"{self.folder}: expected a folder {names} with a folder for each class, "
                    "found none"
                )
            return self.parts_below[part]
        files = []
        for template in self.kind.parts[part]:
            file = self._required(template)
            files += self.kind.parts_inside(file).get(part, [Part(file)])
        return files

    def _required(self, template: str) -> Path:
        names = [spelling.replace("*", self.set_name) for spelling in self.kind.spellings(template)]
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        name = template.replace("*", self.set_name)
        raise FileNotFoundError(
            f"{self.folder / name}: expected this file ({', '.join(names[:4])}), found none"
        )


def locate(kinds: Sequence[Format], path: Path, any_set: bool = True) -> Found:
    """The first format of which ``path`` holds at least one file, and the set it belongs to.

    Parameters
    ----------
    any_set : bool
        Whether sets with names before those of the files count.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a folder, found nothing of that name")
    if not path.is_dir():
        refuse(path, "a folder", "a file")
    for kind in kinds:
        if kind.below is not None:
            parts = kind.below(path)
            if parts:
                return Found(kind, path, "", {"train": parts[""]} if "" in parts else parts)
            continue
        found = [
            Found(kind, path / below, name)
            for below in kind.folders
            for name in _set_names(kind, path / below)
            if any_set or not name
        ]
        if len(found) > 1 and any_set and any("*" in name for name in kind.parts["train"]):
            shown = ", ".join(str((one.folder / one.set_name).relative_to(path)) for one in found)
            expected = "one set, or the path of the file of training images of one of them"
            refuse(path, expected, f"{len(found)} sets of {kind.name}: {shown}")
        if found:
            return found[0]
    if len(kinds) > 2:
        expected = f"a set of a known format ({', '.join(kind.name for kind in kinds)})"
    else:
        names = [(kind.name, kind.parts["train"][0].removeprefix("*")) for kind in kinds]
        expected = " or ".join(f"{name} files ({file} ...)" for name, file in names)
    listing = sorted(os.listdir(path))
    seen = ", ".join(listing[:5]) + (" ..." if len(listing) > 5 else "") or "an empty folder"
    if any((path / name).is_file() for name in listing):
        seen += " (a single file is read by its own path)"
    raise FileNotFoundError(f"{path}: expected {expected}, found {seen}")


def _set_names(kind: Format, folder: Path) -> list[str]:
    """The names of the sets of this format in a folder, sorted; the empty one first."""
    if not folder.is_dir():
        return []
    templates = [name for names in kind.parts.values() for name in names]
    spellings = {form for template in templates for form in kind.spellings(template)}
    present = [name for name in os.listdir(folder) if (folder / name).is_file()]
    names = {_set_name(form, name) for form in spellings for name in present}
    return sorted(name for name in names if name is not None)


def _set_name(template: str, name: str) -> str | None:
    """What the star of a template stands for in a name; None if it does not fit."""
    ending = template.removeprefix("*")
    star = name.removesuffix(ending)
    fits = name.endswith(ending) and (not star or (template != ending and star[-1] in "-_. "))
    return star if fits else None


def set_of_file(kind: Format, path: Path) -> Found | None:
    """The set whose training images are this file, if they are in one file."""
    if len(kind.parts.get("train", ())) != 1:
        return None
    for form in kind.spellings(kind.parts["train"][0]):
        name = _set_name(form, path.name)
        if name is not None:
            return Found(kind, path.parent, name)
    return None


def file_format(path: Path) -> Format:
    """The format of a single file, by its first bytes and its name."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or a folder, found nothing of that name")
    if not path.is_file():
        refuse(path, "a regular file or a folder", "neither")
    look = look_at(path)
    for kind in FORMATS:
        if kind.matches(look):
            return kind
    expected = ", ".join(kind.name for kind in FORMATS if kind is not PICTURES)
    if description(look).startswith(PICTURES.looks):
        expected += ", or of images the folder that has a folder of them for each class"
    begins = f", which begins with {look.head[:4]!r}" if look.head and not look.zipped else ""
    refuse(path, f"one of {expected}", f"{description(look)}{begins}")
