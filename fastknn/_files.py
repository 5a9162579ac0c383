"""Results on disk: whole, or not at all."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_ending", "check_writable", "written_whole"]


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
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: there is no folder {target.parent}")
    part = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield part
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
        raise ValueError(f"{name}: there is no folder {target.parent}")
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise ValueError(f"{name}: cannot write {path}")


def check_ending(path: str | os.PathLike[str], name: str, endings: Sequence[str]) -> None:
    """Raise if a file of this argument is not named as those that can be written."""
    if Path(path).suffix not in endings:
        *others, last = endings
        raise ValueError(f"{name} must end in {', '.join(others)} or {last}; got {os.fspath(path)}")
