"""Files of arrays: what is read, and what is said of files that are something else."""

import bz2
import gzip
import io
import os
import pickle
import tarfile
import tracemalloc
import warnings
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastknn._utils import npy as _arrays
from fastknn._utils.npy import Archive, open_array, read_array

MATRIX = np.arange(12.0).reshape(3, 4)
WHOLE = {
    "C order": MATRIX,
    "Fortran order": np.asfortranarray(MATRIX),
    "big-endian": MATRIX.astype(">i4"),
    "no rows": np.empty((0, 5)),
    "no dimension": np.array(3),
    "words": np.array(["seven", "six"]),
    "bytes": np.array([b"seven", b"six"]),
    "truth values": MATRIX > 5,
    "half precision": MATRIX.astype(np.float16),
    "days": np.array(["2020-01-01"], "M8[D]"),
    "many dimensions": np.ones((1,) * 64),
}


def npy(array, version=None):
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version)
    return stream.getvalue()


def with_header(header, elements=b"\0" * 96, version=1):
    """A .npy file with this text as its header."""
    text = header.encode()
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return np.lib.format.magic(version, 0) + length + text + elements


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("array", WHOLE.values(), ids=WHOLE)
def test_whole_arrays(tmp_path, array, version):
    data = npy(array, version)
    (tmp_path / "a.npy").write_bytes(data)
    for on_disk in (False, True):
        found = open_array(tmp_path / "a.npy", on_disk=on_disk)
        assert_array_equal(found, array, strict=True)
        if on_disk and array.size:
            assert isinstance(found, np.memmap)
            assert not found.flags.writeable
    assert_array_equal(read_array(io.BytesIO(data), "a", len(data)), array, strict=True)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "a.npz", a=array, b=MATRIX)
        with Archive(tmp_path / "a.npz") as archive:
            assert archive.names == ("a", "b")
            assert_array_equal(archive["a"], array, strict=True)


def test_files_of_python_2_are_read_quietly(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 4L), }\n"
    (tmp_path / "a.npy").write_bytes(with_header(header, MATRIX.tobytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(open_array(tmp_path / "a.npy", on_disk=False), MATRIX)


def zipped(method=zipfile.ZIP_STORED, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def tarred():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("member"))
    return stream.getvalue()


def objects():
    stream = io.BytesIO()
    np.save(stream, np.array([{}, "a"], dtype=object), allow_pickle=True)
    return stream.getvalue()


def header(elements=b"\0" * 96, **changes):
    about = {"descr": "<f8", "fortran_order": False, "shape": (3, 4), **changes}
    return with_header(repr(about), elements)


OTHER = {
    # what is in the file, what is said of it
    "empty": (b"", "is an empty file$"),
    "zip": (zipped(a=npy(MATRIX)), r"a zip archive \(as .npz files are\)"),
    "gzip": (gzip.compress(npy(MATRIX)), "a file compressed by gzip"),
    "bzip2": (bz2.compress(npy(MATRIX)), "a file compressed by bzip2"),
    "tar": (tarred(), "a tar archive"),
    "pickle": (pickle.dumps(MATRIX), "a pickle"),
    "text": (b"width,height\n1,2\n", "text that begins with 'width,height'"),
    "words": ("größer\n".encode() * 90, "text that begins with 'größer'"),
    "web page": (b"\n<!DOCTYPE html><html>", "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
    "zeros": (bytes(512), "a file of zeros"),
    "garbage": (b"\x81\x9f\0\1" * 9, "bytes of another kind, the first of them 0x819f0001"),
    "magic": (npy(MATRIX)[:6], "the first 6 bytes of one"),
    "part of the magic": (npy(MATRIX)[:3], "the first 3 bytes of one"),
    "half a header": (npy(MATRIX)[:60], "the first 60 bytes of one"),
    "header only": (npy(MATRIX)[:128], "it holds 0 of the 96 bytes that its header tells"),
    "half the elements": (npy(MATRIX)[:-50], "it holds 46 of the 96 bytes that its header tells"),
    "two arrays": (npy(MATRIX) * 2, "holds 320 bytes of elements, where its header tells 96"),
    "objects": (objects(), "holds Python objects"),
    "records": (npy(np.zeros(2, "u1,f4")), "holds records with the fields f0, f1"),
    "version": (b"\x93NUMPY\x09\0" + npy(MATRIX)[8:], r"version 9\.0 of the format is unknown"),
    "no header": (with_header("[1, 2]"), "a damaged header"),
    "nested": (with_header("(" * 9000), "a damaged header"),
    "long header": (with_header(" " * 60000), "a damaged header"),
    "claims a long header": (
        np.lib.format.magic(2, 0) + b"\xff\xff\xff\xff{}",
        "the first 14 bytes of one",
    ),
    "escape": (with_header(r"{'\d': 1}"), "a damaged header"),
    "name": (with_header("{'descr': spam}"), "a damaged header"),
    "missing key": (with_header("{'descr': '<f8'}"), "a damaged header"),
    "huge": (header(shape=(2**62, 2**62)), "it holds 96 of the .* bytes"),
    "huge, with no rows": (header(shape=(0, 2**62, 2**62), elements=b""), "cannot be read"),
    "beyond any integer": (header(shape=(0, 2**70), elements=b""), "cannot be read"),
    "negative": (header(shape=(-3, -4)), r"shape \(-3, -4\)"),
    "truth value": (header(shape=(True, 12)), r"shape \(True, 12\)"),
    "no type": (header(descr="spam"), "a damaged header"),
    "type of no bytes": (header(descr="|V0"), "holds values of type"),
    "void": (header(descr="|V8"), "holds values of type"),
    "arrays as elements": (header(descr=("<f8", (2,))), "holds values of type"),
    "too many dimensions": (header(shape=(1,) * 70 + (12,)), "cannot be read"),
}


@pytest.mark.parametrize(("data", "found"), OTHER.values(), ids=OTHER)
def test_what_a_file_is_instead(tmp_path, data, found):
    file = tmp_path / "rows.npy"
    file.write_bytes(data)
    expected = rf"not a \.npy file of numbers or text: it .*{found}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for on_disk in (False, True):
            with pytest.raises(ValueError, match=expected) as caught:
                open_array(file, on_disk=on_disk)
            assert str(caught.value).startswith(str(file))
            assert "\n" not in str(caught.value)
        (tmp_path / "set.npz").write_bytes(zipped(rows=data))
        with (
            Archive(tmp_path / "set.npz") as archive,
            pytest.raises(ValueError, match=r"set\.npz: rows\.npy: " + expected),
        ):
            archive["rows"]


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (Archive, lambda path: open_array(path, on_disk=True)):
        with pytest.raises(FileNotFoundError, match=r"none\.npy: no such file"):
            read(tmp_path / "none.npy")
        with pytest.raises(ValueError, match="expected a file, found a folder"):
            read(tmp_path)
        with pytest.raises(ValueError, match="expected a file, found a device"):
            read(tmp_path / "pipe")
        with pytest.raises(ValueError, match="cannot be read"):
            read(tmp_path / "a\0.npy")
        with pytest.raises(ValueError, match=r"aaa\.npy: cannot be read: File name too long"):
            read(tmp_path / f"{'a' * 300}.npy")
        (tmp_path / "file").touch()
        with pytest.raises(FileNotFoundError, match="no such file"):
            read(tmp_path / "file" / "a.npy")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy(MATRIX))
    (tmp_path / "a.npy").chmod(0)
    for read in (Archive, lambda path: open_array(path, on_disk=True)):
        with pytest.raises(ValueError, match=r"a\.npy: cannot be read"):
            read(tmp_path / "a.npy")


def test_errors_of_the_system_name_the_file(tmp_path, monkeypatch):
    (tmp_path / "a.npy").write_bytes(npy(MATRIX))

    def fail(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", fail)
    with pytest.raises(ValueError, match=r"a\.npy: cannot be read: Permission denied"):
        open_array(tmp_path / "a.npy", on_disk=True)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_archives_cut_off_or_altered(tmp_path, method):
    whole, file = zipped(method, a=npy(MATRIX)), tmp_path / "a.npz"
    for bad in (whole[:-1], whole[: len(whole) // 2], whole[:5]):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=r"a\.npz: .*cut off or damaged"):
            Archive(file)
    file.write_bytes(npy(MATRIX))
    with pytest.raises(ValueError, match=r"not a NumPy archive .*: it is an array"):
        Archive(file)
    random = np.random.default_rng(0)
    for place, bit in random.integers(0, (len(whole), 8), (300, 2)):
        file.write_bytes(flipped(whole, place, bit))
        with raises_nothing_but_value_errors(file), Archive(file) as archive:
            for name in archive.names:
                assert_array_equal(archive[name], MATRIX)


@contextmanager
def raises_nothing_but_value_errors(file):
    """Errors that name the file are swallowed."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(str(file)):
            raise


def flipped(data, place, bit):
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


@pytest.mark.slow
def test_a_flipped_bit_of_a_header(tmp_path):
    """Another array of as many bytes may come of it, and nothing but ValueError otherwise."""
    whole, file = npy(MATRIX), tmp_path / "a.npy"
    for place in range(128):
        for bit in range(8):
            file.write_bytes(flipped(whole, place, bit))
            for on_disk in (False, True):
                with raises_nothing_but_value_errors(file):
                    assert open_array(file, on_disk=on_disk).nbytes == MATRIX.nbytes


def test_memory_is_taken_as_bytes_turn_up(tmp_path, monkeypatch):
    """Neither a header nor the directory of an archive makes a small file take much of it."""
    claim = header(shape=(1 << 32,))
    monkeypatch.setattr(_arrays, "TRUSTED_BYTES", 1 << 16)
    (tmp_path / "a.npy").write_bytes(claim)
    tracemalloc.start()
    for on_disk in (False, True):
        with pytest.raises(ValueError, match="it holds 96 of the 34,359,738,368 bytes"):
            open_array(tmp_path / "a.npy", on_disk=on_disk)
    with pytest.raises(ValueError, match="it holds 96 of the 34,359,738,368 bytes"):
        read_array(io.BytesIO(claim), "a", len(claim) - 96 + (1 << 35))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    large = np.arange(1 << 20)
    data = npy(large)
    assert_array_equal(read_array(io.BytesIO(data), "a", len(data)), large)
