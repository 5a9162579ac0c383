"""What users read: errors in their own words, and what objects say of themselves."""

import errno
import os

import numpy as np
import pytest

from fastknn import Index
from fastknn._files import written_whole
from fastknn.evaluation import GroundTruth
from fastknn.vectors import write_ivecs

# --- Files that cannot be written: the error names what was asked for ---------------------------

TRUTH = GroundTruth(np.zeros((2, 1), np.int64), np.zeros((2, 1)), np.zeros(2, bool), "l2")
WRITERS = {
    "index": ("saved", Index(np.eye(4)).save),
    "npy": ("truth.npy", TRUTH.save),
    "hdf5": ("truth.hdf5", TRUTH.save),
    "ivecs": ("rows.ivecs", lambda path: write_ivecs(path, [[1, 2]])),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    if request.param == "hdf5":
        pytest.importorskip("h5py")
    return WRITERS[request.param]


def test_a_folder_that_is_not_there(writer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, write = writer
    with pytest.raises(FileNotFoundError) as caught:
        write(f"no/such/{name}")
    assert str(caught.value) == f"no/such/{name}: there is no folder {tmp_path / 'no' / 'such'}"
    assert not os.listdir(tmp_path)


def test_a_file_where_a_folder_is_needed(writer, tmp_path):
    name, write = writer
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file, not a folder") as caught:
        write(tmp_path / "file" / name)
    assert str(caught.value).startswith(str(tmp_path / "file" / name))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_folder_that_nothing_can_be_written_to(writer, tmp_path, monkeypatch, number):
    """Read-only, full: as the system says it, of the name that was given."""
    name, write = writer

    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write(tmp_path / name)
    assert caught.value.errno == number
    assert caught.value.filename == str(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_errors_of_libraries_name_the_file_that_was_asked_for(tmp_path):
    def write():
        with written_whole(tmp_path / "x.hdf5") as part:
            raise OSError(f"Unable to open file (name = '{part}')")

    with pytest.raises(OSError, match="Unable to open") as caught:
        write()
    assert str(caught.value) == f"Unable to open file (name = '{tmp_path / 'x.hdf5'}')"


def test_an_index_is_not_written_over_anything(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for name in (".", "link"):
        with pytest.raises(FileExistsError, match="path must not exist yet"):
            Index(np.eye(4)).save(tmp_path / name)
