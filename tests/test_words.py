"""What users read: errors in their own words, and what objects say of themselves."""

import errno
import os

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fastknn import Index, cross_validate_k, ground_truth, knn, knn_graph, probe
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


# --- While a screen is chosen -------------------------------------------------------------------


@pytest.fixture
def chosen(monkeypatch):
    """Rows for which a screen is chosen, however few they are."""
    monkeypatch.setattr("fastknn.searcher.SMALL_ELEMENTS", 0)
    monkeypatch.setattr("fastknn.graph.screen_pays", lambda *_: True)
    return np.random.default_rng(0).normal(size=(400, 40)).astype(np.float32)


LABELS = np.arange(400) % 2
BUILDERS = {
    "Index": lambda X, progress: Index(X, progress=progress),
    "with_screen": lambda X, progress: Index(X, screen="none").with_screen(
        "auto", progress=progress
    ),
    "knn": lambda X, progress: knn(X, X, 3, progress=progress),
    "knn_graph": lambda X, progress: knn_graph(X, 3, progress=progress),
    "ground_truth": lambda X, progress: ground_truth(X, X, 3, progress=progress),
    "probe": lambda X, progress: probe(X, LABELS, X, LABELS, [3], progress=progress),
    "cross_validate_k": lambda X, progress: cross_validate_k(
        X, LABELS, [3], ["l2"], cv=2, progress=progress
    ),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_choice_of_screens_is_shown_where_progress_is(build, chosen, capsys):
    build(chosen, True)
    err = capsys.readouterr().err
    assert "choosing a screen: trying direct ..." in err
    assert "choosing a screen: trying rounded ..." in err
    assert "building the screen: " in err
    assert "choosing" not in err.split("\r")[-1]  # it does not stay
    for nothing in (None, False):
        build(chosen, nothing)
        assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_whoever_counts_queries_is_told_of_nothing_else(build, chosen, capsys):
    class Bar:
        total = 0.0

        def update(self, n):
            self.total += n

    bar = Bar()
    build(chosen, bar)
    assert bar.total == pytest.approx(400 if "ndex" not in str(build.__code__.co_names) else 0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_progress_is_checked_before_anything_is_built(build, chosen, monkeypatch):
    searcher = Index(chosen, screen="none")._searcher
    monkeypatch.setattr("fastknn.index.Searcher", lambda *_: searcher)  # which is built already
    monkeypatch.setattr("fastknn.index.Searcher.search", None, raising=False)
    monkeypatch.setattr("fastknn.screens.Cascade.code_rows", None)
    with pytest.raises(TypeError, match="progress must be a bool or have an update"):
        build(chosen, 7)


# --- What a notebook shows ----------------------------------------------------------------------


def scalars(value, name=""):
    """Everything within that is no array: (where, value)."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from scalars(one, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from scalars(one, f"{name}[{place}]")
    elif not isinstance(value, np.ndarray):
        yield name, value


def test_numbers_are_pythons(chosen):
    index = Index(chosen)
    index.search(chosen[:9], 3)
    digits, labels = load_digits(return_X_y=True)
    results = cross_validate_k(digits[:200], labels[:200], np.array([1, 3]), np.array(["l2"]), cv=2)
    for value in (index.costs_, index.stats_, index.nbytes, index.width, results):
        for name, one in scalars(value):
            assert type(one) in (int, float, str), (name, type(one))


@pytest.mark.parametrize("metric", ["l2", "correlation"])
def test_an_index_is_a_line_and_its_details_are_several(chosen, metric):
    index = Index(chosen, metric)
    assert repr(index) == f"Index(400 x 40 float32, metric={metric!r}, screen={index.cascade!r})"
    assert len(repr(index)) < 100
    assert index.reason in str(index)
    assert max(map(len, str(index).splitlines())) < 100
