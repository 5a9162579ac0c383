"""Which format a file or a folder has, and which files are the parts of the set."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastknn._utils.scalars import as_path
from fastknn.datasets import _pictures
from fastknn.datasets._source import Part, description, look_at, refuse
from fastknn.datasets._table import FORMATS, PICTURES, Format, Parts


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


def part_files(path: str | os.PathLike[str], split: str) -> tuple[Format, list[Part]]:
    """The format of what is at a path, and what its training or test part is read from."""
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    path = as_path(path, "path")
    if path.is_dir():
        found = located(path)
        return found.kind, found.files(split)
    kind = file_format(path)
    parts = kind.parts_inside(path)
    if parts:
        return kind, parts[split]
    if split == "test":
        refuse(path, "a folder, of which to read the test part", "a file, which has no parts")
    return kind, [Part(path)]


def has_parts(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a training and a test part, or a folder is more than one part itself."""
    path = as_path(path, "path")
    if path.is_dir():
        below = located(path).parts_below
        return below is None or below["train"] != [Part(path)]
    return bool(file_format(path).parts_inside(path))


def located(path: Path) -> Found:
    """The set in a folder, of any format."""
    return locate([kind for kind in FORMATS if kind.parts or kind.below], path)
