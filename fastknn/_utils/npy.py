"""The reader of NumPy's array format: every file is untrusted, and named by every error.

It is built on the parser of headers in `numpy.lib.format`, and not on `np.load`, which guesses
what a file is and so returns and raises more than a caller can foresee. A header may claim any
size: it is compared with the bytes that are there before memory is taken for it.
"""

import io
import math
import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np

from fastknn._utils.files import kind_of_file

__all__ = ["Archive", "open_array", "read_array"]

# No header of an array of numbers or text is as long; NumPy itself refuses longer ones than 10,000.
HEADER_BYTES = 1 << 14
# The directory of an archive may claim any size. This much is taken on trust, the rest as it comes.
TRUSTED_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
# Kinds of types that are read: numbers, truth values, times and text. Not objects, which are
# pickles, nor records.
KINDS = "biufcmMSU"
# Versions 2 and 3 differ only in how the names of a record's fields are written.
READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
ENDING = ".npy"
EXPECTED = "a .npy file of numbers or text"


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    n_header: int  # bytes before the first element

    @property
    def n_bytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_array(path: str | os.PathLike[str], *, on_disk: bool) -> np.ndarray:
    """The array of a .npy file.

    Parameters
    ----------
    path : str or os.PathLike
    on_disk : bool
        Whether it is mapped, read-only, rather than read.

    Returns
    -------
    ndarray
        As it was saved: of any shape, order of bytes and order of elements, but never of objects
        or records.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    ValueError
        If it is anything else than one whole array; the message begins with the path.
    """
    path = Path(path)
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        header = _read_header(stream.read(HEADER_BYTES), str(path), size)
        if not header.n_bytes:
            return _arranged(header, np.empty(0, header.dtype), str(path))
        n_elements = math.prod(header.shape)
        elements: np.ndarray
        try:
            if on_disk:
                elements = np.memmap(stream, header.dtype, "r", header.n_header, (n_elements,))
            else:
                stream.seek(header.n_header)
                elements = np.fromfile(stream, header.dtype, n_elements)
        except (OSError, ValueError) as error:
            _refuse(str(path), f"cannot be read ({_words(error)})", error)
    return _arranged(header, elements, str(path))


def read_array(stream: BinaryIO, name: str, size: int) -> np.ndarray:
    """The array of a stream in the format of .npy, such as a member of an archive.

    Parameters
    ----------
    stream : file object
        Only read, from where it stands to its end.
    name : str
        For messages.
    size : int
        Bytes of the stream, as its container says. This is not trusted either: memory is taken
        as the bytes turn up.

    Raises
    ------
    ValueError
        If it is anything else than one whole array.
    """
    head = b""
    while len(head) < HEADER_BYTES and (more := _read(stream, HEADER_BYTES - len(head), name)):
        head += more
    header = _read_header(head, name, size)
    first = head[header.n_header :]  # no more than the size allows
    elements = read_bytes(
        lambda n_bytes: _read(stream, n_bytes, name), header.n_bytes, TRUSTED_BYTES, first
    )
    if len(elements) < header.n_bytes:
        _refuse(name, _cut_off(len(elements), header.n_bytes))
    if len(first) > header.n_bytes or _read(
        stream, 1, name
    ):  # at the end an archive compares its checksum
        _refuse(name, f"holds more than the {header.n_bytes:,} bytes that its header tells")
    return _arranged(header, elements.view(header.dtype), name)


def read_bytes(
    read: Callable[[int], bytes], n_bytes: int, n_trusted: int, first: bytes = b""
) -> np.ndarray:
    """The next bytes of a stream that claims to have so many of them.

    Parameters
    ----------
    read : callable
        Reads at most so many bytes; none is the end.
    n_bytes : int
        How many are claimed.
    n_trusted : int
        For how many memory is taken at once. For others it is taken as they turn up.
    first : bytes
        What has been read already.

    Returns
    -------
    ndarray (n_bytes,), uint8
        Or a shorter one, if the stream has less.
    """
    buffer = np.empty(min(n_bytes, n_trusted), np.uint8)
    rest, filled = first[:n_bytes], 0
    while filled < n_bytes and (rest := rest or read(min(CHUNK_BYTES, n_bytes - filled))):
        end = filled + len(rest)
        if end > len(buffer):  # in place, so that it is no second copy
            buffer.resize(min(max(end, 2 * len(buffer)), n_bytes), refcheck=False)
        buffer[filled:end] = np.frombuffer(rest, np.uint8)
        rest, filled = b"", end
    buffer.resize(filled, refcheck=False)
    return buffer


class Archive:
    """The arrays of a .npz file, each read when it is asked for.

    Parameters
    ----------
    path : str or os.PathLike

    Attributes
    ----------
    names : tuple of str
        Of the arrays, without the .npy that their names end in within the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `open_array`, also by ``archive[name]``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastknn._utils.npy import Archive
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/set.npz", x=np.arange(3), y=np.eye(2))
    ...     with Archive(f"{folder}/set.npz") as archive:
    ...         archive.names, archive["x"].tolist()
    (('x', 'y'), [0, 1, 2])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path, self._file = Path(path), None
        with opened(self._path) as stream:
            head = stream.read(HEADER_BYTES)
        try:
            self._file = zipfile.ZipFile(self._path)
        except Exception as error:  # the parser raises many kinds
            why = "is " + kind_of_file(head)
            if head.startswith(b"PK"):
                why = f"is cut off or damaged ({_words(error)})"
            _refuse(str(self._path), why, error, "a NumPy archive (.npz)")
        self._members = {
            member.filename.removesuffix(ENDING): member
            for member in self._file.infolist()
            if member.filename.endswith(ENDING)
        }
        self.names = tuple(self._members)

    def __getitem__(self, name: str) -> np.ndarray:
        assert self._file is not None
        member, shown = self._members[name], f"{self._path}: {name}{ENDING}"
        try:
            stream = self._file.open(member)
        except Exception as error:  # encrypted, or compressed in a way that is not known
            _refuse(shown, f"cannot be read ({_words(error)})", error)
        with stream:
            return read_array(stream, shown, member.file_size)  # type: ignore[arg-type]

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: object) -> None:
        assert self._file is not None
        self._file.close()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading: FileNotFoundError and ValueError are all it raises."""
    try:
        mode = path.stat().st_mode
        stream = path.open("rb") if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise ValueError(f"{str(path)!r}: cannot be read: {error}") from error
    if stream is None:
        found = "a folder" if stat.S_ISDIR(mode) else "a device"
        raise ValueError(f"{path}: expected a file, found {found}")
    with stream:
        yield stream


def _refuse(
    name: str, why: str, cause: BaseException | None = None, expected: str = EXPECTED
) -> NoReturn:
    raise ValueError(f"{name}: not {expected}: it {why}") from cause


def _words(error: Exception) -> str:
    """What an error of some parser says, in one line that is not too long."""
    words = str(error).partition("\n")[0].partition(": <ast")[0]  # no addresses of objects
    return words[:200] or type(error).__name__


def _read(stream: BinaryIO, n_bytes: int, name: str) -> bytes:
    """At most so many of the next bytes: as many as one call returns, none at the end."""
    try:
        return stream.read(n_bytes)
    except Exception as error:  # zipfile and the decompressors raise many kinds
        _refuse(name, f"cannot be read ({_words(error)})", error)


def _read_header(head: bytes, name: str, size: int) -> _Header:
    """What the first bytes of a file say of the rest, compared with the bytes that there are."""
    magic = np.lib.format.MAGIC_PREFIX
    if not head.startswith(magic):
        cut = head and magic.startswith(head)
        _refuse(name, "is " + (f"the first {size} bytes of one" if cut else kind_of_file(head)))
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in READERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")
        with warnings.catch_warnings():  # of files from Python 2, and of what is no header at all
            warnings.simplefilter("ignore")
            shape, fortran_order, dtype = READERS[version](stream)
        if not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError(f"shape {shape}")
    except Exception as error:  # the parser of literals raises many kinds
        if len(head) < HEADER_BYTES and str(error).startswith("EOF: reading"):
            _refuse(name, f"is the first {size:,} bytes of one", error)
        _refuse(name, f"has a damaged header ({_words(error)})", error)
    if dtype.hasobject:
        _refuse(name, "holds Python objects (a pickle), which are never read")
    if dtype.names is not None:
        _refuse(name, f"holds records with the fields {', '.join(dtype.names)[:200]}")
    if dtype.kind not in KINDS or not dtype.itemsize:
        _refuse(name, f"holds values of type {dtype}")
    header = _Header(shape, fortran_order, dtype, stream.tell())
    there = size - header.n_header
    if there < header.n_bytes:
        _refuse(name, _cut_off(there, header.n_bytes))
    if there > header.n_bytes:
        _refuse(
            name,
            f"holds {there:,} bytes of elements, where its header tells {header.n_bytes:,}: "
            f"shape {shape} of {dtype}",
        )
    return header


def _arranged(header: _Header, elements: np.ndarray, name: str) -> np.ndarray:
    """The array of these elements, which are in the order of the file."""
    try:
        if header.fortran_order:
            return elements.reshape(header.shape[::-1]).T
        return elements.reshape(header.shape)
    except (ValueError, OverflowError) as error:  # a shape that no array has, or fewer elements
        _refuse(name, f"cannot be read ({_words(error)})", error)


def _cut_off(there: int, claimed: int) -> str:
    return f"is cut off: it holds {there:,} of the {claimed:,} bytes that its header tells"
