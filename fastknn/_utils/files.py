"""Files: results are written whole or not at all; and what a file is, where it is not the one."""

import codecs
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_ending", "check_writable", "kind_of_file", "new_folder", "written_whole"]

# How files begin: (place, bytes, what such a file is).
BEGINNINGS = (
    (0, b"\x93NUMPY", "an array (.npy)"),
    (0, b"PK", "a zip archive (as .npz files are)"),
    (0, b"\x1f\x8b", "a file compressed by gzip"),
    (0, b"BZh", "a file compressed by bzip2"),
    (0, b"\xfd7zXZ\0", "a file compressed by xz"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed by zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file (.mat)"),
    (0, b"MATLAB 7", "a MATLAB file (.mat, version 7.3: HDF5)"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    *((0, order, "a TIFF picture") for order in (b"II*\0", b"MM\0*")),
    (0, b"Rar!", "a RAR archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\x08\x01", "an IDX file of labels"),
    (0, b"\0\0\x08\x03", "an IDX file of images"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, whose file was not fetched"),
    *((0, b"\x80" + bytes([protocol]), "a pickle") for protocol in range(2, 6)),
    *((0, text, "a pickle") for text in (b"(dp", b"(lp", b"ccopy_reg\n", b"cnumpy")),
)


def kind_of_file(head: bytes) -> str:
    """What a file is by its first bytes (some hundreds of them), in words, for a message.

    Examples
    --------
    >>> from fastknn._utils.files import kind_of_file
    >>> kind_of_file(b""), kind_of_file(b"PK\x03\x04"), kind_of_file(b"1,2,3\\n")
    ('an empty file', 'a zip archive (as .npz files are)', "text that begins with '1,2,3'")
    """
    if not head:
        return "an empty file"
    for place, beginning, kind in BEGINNINGS:
        if head[place : place + len(beginning)] == beginning:
            return kind
    if not head.strip(b"\0"):
        return "a file of zeros"
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    try:
        # What was read may end amid a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter in "\t\r\n\f" for letter in text):
        line = text.strip().partition("\n")[0].strip()
        return f"text that begins with {line[:40]!r}" if line else "a file of blanks"
    return f"bytes of another kind, the first of them 0x{head[:4].hex()}"


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to write, which takes the place of `path` at the end; after an error it is removed.

    Nobody sees half a file, and what was there stays if anything fails, Ctrl-C included. It
    has the same ending, by which writers of pictures and arrays know what is wanted. What is
    there and is not a file, such as /dev/stdout, is written to as it is.

    Parameters
    ----------
    path : str or os.PathLike
        In a folder that exists.
    """
    target = Path(path).expanduser().resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    _check_parent(target, str(path))
    part = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _of_target(error, part, path) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which appears as `path` at the end; after an error it is removed.

    Parameters
    ----------
    path : str or os.PathLike
        Of which nothing exists yet, in a folder that does.

    Raises
    ------
    FileExistsError, OSError
        If there is something already, or it cannot be written; errors name `path`.
    """
    target = Path(path).expanduser().absolute()
    if os.path.lexists(target):
        raise FileExistsError(f"path must not exist yet, and {target} does")
    _check_parent(target, str(path))
    part = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        part.mkdir()
        yield part
        os.rename(part, target)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _of_target(error, part, path) from None
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _check_parent(target: Path, named: str) -> None:
    """Raise unless there is a folder for what is to be written; `named` is what was asked for."""
    if not target.parent.is_dir():
        kind = NotADirectoryError if target.parent.exists() else FileNotFoundError
        raise kind(f"{named}: {_no_folder(target.parent)}")


def _no_folder(parent: Path) -> str:
    if parent.exists():
        return f"{parent} is a file, not a folder"
    return f"there is no folder {parent}"


def _of_target(error: OSError, part: Path, path: str | os.PathLike[str]) -> OSError:
    """The same error, naming what was asked for and not the temporary name beside it."""
    named = os.fspath(path)
    if error.filename is not None and str(part) not in str(error.filename):
        return error  # of another file, which was read meanwhile
    if error.errno is not None and error.strerror is not None:
        return OSError(error.errno, error.strerror, named)  # of the kind that the number means
    return type(error)(*(str(one).replace(str(part), named) for one in error.args))


def check_writable(path: str | os.PathLike[str] | None, name: str) -> None:
    """Better now than after the work: raise if a file could not be written there.

    Parameters
    ----------
    path : str, os.PathLike or None
        None for a file that nobody wants.
    name : str
        Of the argument, for the message.
    """
    if path is None:
        return
    target = Path(path).expanduser().absolute()
    if not target.parent.is_dir():
        raise ValueError(f"{name}: {_no_folder(target.parent)}")
    if target.is_dir():
        raise ValueError(f"{name}: cannot write {os.fspath(path)!r}, which is a folder")
    # What is there and is not a file, such as /dev/stdout, is written to as it is.
    place = target if target.exists() and not target.is_file() else target.parent
    if not os.access(place, os.W_OK):
        raise ValueError(f"{name}: cannot write {os.fspath(path)!r}: permission denied")


def check_ending(path: str | os.PathLike[str], name: str, endings: Sequence[str]) -> None:
    """Raise if a file of this argument is not named as those that can be written."""
    if Path(path).suffix not in endings:
        *others, last = endings
        raise ValueError(f"{name} must end in {', '.join(others)} or {last}; got {os.fspath(path)}")
