"""Indexes that grow, and indexes on disk."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastknn import Index, load_index, screens, searcher
from fastknn.reference import reference_knn

METRICS = ["l1", "l2"]
SCREENS = ["direct", "rounded", "projected"]


@pytest.fixture(autouse=True)
def small_plans(monkeypatch):
    monkeypatch.setattr(screens, "PROJECTED_L2", ((3, 7),))
    monkeypatch.setattr(screens, "PROJECTED_L1", ((4, 2),))
    monkeypatch.setattr(screens, "FEWEST_GROUPS", 2)


def rows(dtype, count, seed, width=40):
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 5)) @ random.normal(size=(5, width)) * 20 + 128
    return values.clip(0, 255).astype(dtype)


def assert_right(index, queries, train):
    distances, indices = index.search(queries, 6)
    expected = reference_knn(queries, train, 6, index.metric)
    assert_array_equal(indices, expected[1])
    assert_array_equal(distances, expected[0])


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_append(dtype, metric, screen):
    train, queries = rows(dtype, 90, 0), rows(dtype, 15, 1)
    index = Index(train, metric, screen=screen)
    for count, seed in ((1, 2), (17, 3), (40, 4)):
        more = rows(dtype, count, seed)
        if dtype != np.uint8:
            more = more * 50  # nothing like what the contraction was made for
        train = np.concatenate([train, more])
        assert index.append(more) is index
        assert len(index) == len(train)
        assert_right(index, queries, train)
        assert_right(index, more[:3], train)


def test_append_takes_only_what_fits():
    index = Index(rows(np.uint8, 30, 0))
    with pytest.raises(ValueError, match="rows must be as wide as train"):
        index.append(np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="rows must convert to uint8"):
        index.append(np.full((2, 40), 0.5))
    with pytest.raises(ValueError, match="rows must be finite"):
        index.append(np.full((2, 40), np.nan))
    assert len(index) == 30
    index.append(np.full((2, 40), 3.0))  # a float, but a byte's value
    assert index.train.dtype == np.uint8


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_round_trip(tmp_path, dtype, metric, screen, mmap):
    train, queries = rows(dtype, 120, 0), rows(dtype, 15, 1)
    index = Index(train, metric, screen=screen)
    index.save(tmp_path / "saved")
    loaded = load_index(tmp_path / "saved", mmap=mmap)
    assert isinstance(loaded.train, np.memmap) == mmap
    assert (loaded.cascade, loaded.metric) == (index.cascade, metric)
    assert loaded.nbytes == index.nbytes
    assert_right(loaded, queries, train)
    loaded.append(queries)
    assert_right(loaded, queries, np.concatenate([train, queries]))


@pytest.fixture
def saved(tmp_path):
    Index(rows(np.float32, 60, 0), screen="projected").save(tmp_path / "saved")
    return tmp_path / "saved"


def array_files(folder):
    return sorted(file.name for file in folder.glob("*.npy"))


def test_every_truncated_or_altered_file_is_refused(saved):
    names = array_files(saved)
    assert {"train.npy", "codes0.npy", "error1.npy", "directions.npy", "mean.npy"} <= set(names)
    for name in [*names, "index.json"]:
        file = saved / name
        whole = file.read_bytes()
        for bad in (whole[:-1], whole[: len(whole) // 2], b"", flipped(whole), whole[:9]):
            file.write_bytes(bad)
            for mmap in (False, True):
                with pytest.raises(ValueError, match=name):
                    load_index(saved, mmap=mmap)
        file.unlink()
        with pytest.raises(FileNotFoundError, match=name):
            load_index(saved)
        file.write_bytes(whole)
    load_index(saved)


def flipped(data):
    """One bit of the last byte but one."""
    return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


def test_a_later_version_is_refused(saved):
    import zlib

    sealed = json.loads((saved / "index.json").read_text())
    text = sealed["description"].replace('"version": 3', '"version": 4')
    sealed = {"crc32": zlib.crc32(text.encode()), "description": text}
    (saved / "index.json").write_text(json.dumps(sealed))
    with pytest.raises(ValueError, match=r"expected fastknn index version 3, found .* version 4"):
        load_index(saved)


def test_nothing_else_is_an_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="saved index"):
        load_index(tmp_path)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(ValueError, match="not the description"):
        load_index(tmp_path)


def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    index = Index(rows(np.float32, 60, 0), screen="rounded")
    index.save(tmp_path / "saved")
    with pytest.raises(FileExistsError, match="path must not exist"):
        index.save(tmp_path / "saved")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        index.save(tmp_path / "other")
    assert os.listdir(tmp_path) == ["saved"]


def test_pickles_are_never_read(saved):
    file = saved / "train.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"train\.npy"):
        load_index(saved)


def test_rows_on_disk_are_not_loaded(tmp_path, monkeypatch):
    """A search takes memory for codes and survivors, not for the training rows."""
    monkeypatch.setattr(searcher, "SMALL_ELEMENTS", 0)
    train = rows(np.float64, 20_000, 0, width=200)
    Index(train, screen="projected").save(tmp_path / "saved")
    tracemalloc.start()
    index = load_index(tmp_path / "saved", mmap=True)
    found = index.search(train[:5], 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < train.nbytes / 2
    assert index.stats_["rows_refined"] < 0.05 * 5 * len(train)
    assert_array_equal(found[1], reference_knn(train[:5], train, 3, "l2")[1])
