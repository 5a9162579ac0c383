"""Members of a tar archive, read from its start to its end, in memory.

Nothing is ever written to disk. The memory is bounded: by `HEADER_BYTES` for all headers together,
which the format lets claim any size, and by `MEMBER_BYTES` for each member that is read.
"""

import tarfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastknn.datasets._source import CHUNK_BYTES, FileError, opened, refuse, words_of

# Of thousands of members. The archives of CIFAR have ten.
HEADER_BYTES = 4 << 20
# No batch of CIFAR has more: the members of an archive are held in memory one by one.
MEMBER_BYTES = 1 << 30


class _Source:
    """The stream that `tarfile` reads: it gives no more than is allowed, and never goes back."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.tell = stream.tell
        self.allowed = HEADER_BYTES

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.allowed:
            raise tarfile.ReadError(f"its headers have more than {HEADER_BYTES} bytes")
        self.allowed -= size
        return self._stream.read(size)

    def seek(self, place: int) -> None:
        # A member of negative size would be found again and again. By one byte tarfile goes back
        # itself, to see whether what lies before a header is there.
        if place < self.tell() - 1:
            raise tarfile.ReadError("it has a member of negative size")
        self._stream.seek(place)


def read_members(path: Path, names: set[str]) -> dict[str, bytes]:
    """The contents of the members of these names, as far as they are there."""
    found: dict[str, bytes] = {}
    with _opened_archive(path) as (source, archive):
        for name, member in _files(archive):
            if name not in names or name in found:
                continue
            if member.size > MEMBER_BYTES:
                refuse(path, f"members of at most {MEMBER_BYTES} bytes", f"{name} of {member.size}")
            source.allowed += member.size
            content = archive.extractfile(member)
            assert content is not None  # as it is for files
            found[name] = b"".join(iter(partial(content.read, CHUNK_BYTES), b""))
            if len(found) == len(names):
                break
    return found


def first_member(path: Path, names: Container[str]) -> str | None:
    """The first member whose name, without folders, is one of these."""
    with _opened_archive(path) as (_, archive):
        return next((name for name, _ in _files(archive) if name.rpartition("/")[2] in names), None)


@contextmanager
def _opened_archive(path: Path) -> Iterator[tuple[_Source, tarfile.TarFile]]:
    with opened(path) as (stream, _):
        source: Any = _Source(stream)
        try:
            with tarfile.open(
                fileobj=source, mode="r:", encoding="utf-8", errors="replace"
            ) as archive:
                yield source, archive
        except FileError:
            raise
        except Exception as error:  # of tarfile and of gzip, whatever these bytes are
            found = f"one that cannot be read ({words_of(error)})"
            refuse(path, "a whole tar archive", found, error)


def _files(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The regular files; not links, nor sparse files, which may be larger than the archive."""
    for member in archive:
        if member.isreg() and not member.issparse():
            yield member.name.removeprefix("./"), member
