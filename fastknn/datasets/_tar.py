"""Members of a tar archive, read from start to end, in memory.

Nothing is ever written to disk, and no more memory is taken than for what is asked for, as its
bytes turn up: `tarfile` would read extended headers of whatever size they claim.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from fastknn.datasets._source import CHUNK_BYTES, opened, refuse, tar_checksum_fits

BLOCK = 512
# Regular files; all else, such as links and extended headers, is skipped.
REGULAR = (b"0", b"\0", b"7")
# No batch of CIFAR has more: the members of an archive are held in memory one by one.
MEMBER_BYTES = 1 << 30


def read_members(path: Path, names: Container[str]) -> dict[str, bytes]:
    """The contents of the members of these names, as far as they are there."""
    found: dict[str, bytes] = {}
    wanted = len(names)  # type: ignore[arg-type]
    with opened(path) as (stream, _):
        for name, size in _members(path, stream):
            if name not in names or name in found:
                _skip(path, stream, size + -size % BLOCK)
                continue
            if size > MEMBER_BYTES:
                refuse(path, f"members of at most {MEMBER_BYTES} bytes", f"{name} of {size}")
            found[name] = _read(path, stream, size)
            if len(found) == wanted:
                break
            _skip(path, stream, -size % BLOCK)
    return found


def first_member(path: Path, names: Container[str]) -> str | None:
    """The first member whose name, without folders, is one of these."""
    with opened(path) as (stream, _):
        for name, size in _members(path, stream):
            if name.rpartition("/")[2] in names:
                return name
            _skip(path, stream, size + -size % BLOCK)
    return None


def _members(path: Path, stream: Any) -> Iterator[tuple[str, int]]:
    """Names and sizes of the regular files, each to be read or skipped before the next."""
    while True:
        header = stream.read(BLOCK)
        if not header.strip(b"\0"):  # the end, with or without its blocks of zeros
            return
        if len(header) < BLOCK or not tar_checksum_fits(header):
            refuse(path, "a whole tar archive", "a truncated or damaged one")
        size = _size(path, header[124:136])
        if header[156:157] not in REGULAR:
            _skip(path, stream, size + -size % BLOCK)
            continue
        name = header[:100].partition(b"\0")[0]
        prefix = header[345:500].partition(b"\0")[0] if header[257:262] == b"ustar" else b""
        full = prefix + b"/" + name if prefix and header[263:265] == b"00" else name
        yield full.decode("utf-8", "replace").removeprefix("./"), size


def _size(path: Path, field: bytes) -> int:
    if field[0] & 0x80:  # in binary, as for files of 8 GiB or more
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        refuse(path, "a whole tar archive", "one with a damaged header")


def _read(path: Path, stream: Any, size: int) -> bytes:
    pieces = []
    while size:
        piece = stream.read(min(size, CHUNK_BYTES))
        if not piece:
            refuse(path, "a whole tar archive", "a truncated one")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _skip(path: Path, stream: Any, size: int) -> None:
    while size:
        piece = stream.read(min(size, CHUNK_BYTES))
        if not piece:
            refuse(path, "a whole tar archive", "a truncated one")
        size -= len(piece)
