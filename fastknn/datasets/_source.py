"""Files that are read: what they look like, what is said of them, and the memory they take."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from fastknn._utils.files import kind_of_file

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
HEAD_BYTES = 1024
CHUNK_BYTES = 1 << 20
IDX_TYPES: dict[int, np.dtype] = {
    8: np.dtype("u1"),
    9: np.dtype("i1"),
    0xB: np.dtype(">i2"),
    0xC: np.dtype(">i4"),
    0xD: np.dtype(">f4"),
    0xE: np.dtype(">f8"),
}


class Part(NamedTuple):
    """What one part of a set is read from: a file, a folder, or a member of a file."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The name of the file, without folders."""
        return self.member.rpartition("/")[2] if self.member else self.path.name

    def beside(self, name: str) -> "Part":
        """The file of this name that lies beside this one."""
        if self.member:
            return Part(self.path, self.member.rpartition("/")[0] + "/" + name)
        return Part(self.path.with_name(name))

    def samefile(self, other: "Part") -> bool:
        """Whether what one of them holds, the other holds as well."""
        one_member = self.member == other.member or not (self.member and other.member)
        return one_member and self.path.samefile(other.path)


class FileError(ValueError):
    """A file is not what was expected. ``path`` is that file."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def refuse(
    part: Part | Path, expected: str, found: str, cause: BaseException | None = None
) -> NoReturn:
    """Raise the error of a file that is not what it should be."""
    path = part.path if isinstance(part, Part) else part
    raise FileError(f"{part}: expected {expected}, found {found}", path) from cause


def words_of(error: Exception) -> str:
    """What an error of some parser says, in one line that is not too long."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# What a file looks like -----------------------------------------------------------------------


class Look(NamedTuple):
    """What tells the format of a file."""

    name: str
    head: bytes  # the first bytes; of a gzip file, those of what is compressed
    zipped: bool  # whether it is a gzip file
    size: int  # of the file, compressed or not


def look_at(path: Path) -> Look:
    """The name, the first bytes and the size of a file; it looks into gzip files."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
        size = os.fstat(stream.fileno()).st_size
    zipped = head.startswith(GZIP_MAGIC)
    return Look(path.name, _unzipped(head) if zipped else head[:HEAD_BYTES], zipped, size)


def _unzipped(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def description(look: Look) -> str:
    """What a file is by its first bytes, in words."""
    if look.zipped and not look.head:
        return "a gzip file that is empty, truncated or damaged"
    kind = _kind(look.head)
    return f"a gzip file of {kind}" if look.zipped else kind


def _kind(head: bytes) -> str:
    if is_tar(head):
        return "a tar archive"
    if is_idx(head):
        return f"an IDX file of {IDX_TYPES[head[2]].name} values of rank {head[3]}"
    if head.startswith(ZIP_MAGIC) and len(head) > 30:
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
        if name.endswith((".pkl", "/version")):
            return "a PyTorch file (a zip archive of pickles)"
        if name == "[Content_Types].xml":
            return "an Office document (such as .xlsx)"
        if not name.endswith(".npy"):
            return f"a zip archive that begins with {name[:60]!r}"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP picture"
    return kind_of_file(head)


def is_idx(head: bytes) -> bool:
    """Whether these are the first bytes of an IDX file: two zeros, a type, and a rank."""
    return len(head) > 3 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 0 < head[3] < 9


def is_tar(head: bytes) -> bool:
    """Whether this is the header of a tar archive's first member."""
    return len(head) >= 512 and tar_checksum_fits(head[:512])


def tar_checksum_fits(header: bytes) -> bool:
    """Whether the checksum that a tar header contains is its own."""
    stored = re.fullmatch(rb"[ \0]*([0-7]{1,8})[ \0]*", header[148:156])
    return stored is not None and int(stored[1], 8) == sum(header) - sum(header[148:156]) + 256


# Reading --------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, int | None]]:
    """The bytes of a file, without gzip if it has that, and their number where it is known."""
    with path.open("rb") as file:
        zipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not zipped:
            yield file, os.fstat(file.fileno()).st_size
            return
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                yield stream, None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            refuse(path, "a whole gzip file", f"a truncated or corrupt one ({error})", error)


def count_records(part: Part, stream: BinaryIO, record: int, held: str) -> int:
    """How many records of so many bytes a file holds; there must be one, and nothing else."""
    size = size_of(stream)
    count, rest = divmod(size, record)
    if count == 0 or rest:
        expected = f"one or more whole {held}"
        refuse(part, expected, f"{size} bytes, {count} of them and {rest} bytes over")
    return count


def read_records(
    part: Part, stream: BinaryIO, count: int, record: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """The records of a file in blocks: which ones, and their bytes, until the next are read."""
    block = np.empty((min(count, CHUNK_BYTES // record), record), np.uint8)
    for start in range(0, count, len(block)):
        some = block[: count - start]
        if stream.readinto(some) != some.nbytes:  # type: ignore[attr-defined]
            refuse(part, f"{count * record} bytes", "fewer: the file shrank while it was read")
        yield slice(start, start + len(some)), some


def size_of(stream: BinaryIO) -> int:
    """The bytes of a file, or of what is in memory, that is at its beginning."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size
