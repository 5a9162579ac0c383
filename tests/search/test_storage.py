"""Indexes that grow, and indexes on disk."""

import json
import os
import random
import zlib

import numpy as np
import pytest
from cases import DTYPES, METRICS, SCREENS, assert_finds, let_choices_cost_nothing, peak, set_plans
from numpy.testing import assert_array_equal

from fastknn import Index, load_index
from fastknn.reference import reference_knn
from fastknn.search.storage import VERSION

PACKED = SCREENS[1:5]  # what is asked for by name, and not chosen


@pytest.fixture(autouse=True)
def small_plans(monkeypatch):
    set_plans(monkeypatch, l2=((3, 7),), l1=((4, 2),), fewest_groups=2)


def rows(dtype, count, seed, width=40):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, 5)) @ generator.normal(size=(5, width)) * 20 + 128
    return values.clip(0, 255).astype(dtype)


@pytest.mark.parametrize("screen", PACKED)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
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
        assert_finds(index, queries, 6, train)
        assert_finds(index, more[:3], 6, train)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("screen", SCREENS[:5])
def test_append_to_rows_that_share_memory(metric, screen):
    """NumPy lays copies of such arrays out column by column; a search reads row by row."""
    row, queries = rows(np.uint8, 1, 0), rows(np.uint8, 5, 1)
    more = rows(np.uint8, 30, 2)
    for first in (np.broadcast_to(row, (20, 40)), more):
        for second in (np.broadcast_to(queries[0], (9, 40)), more):
            index = Index(first, metric, screen=screen).append(second)
            assert index.train.flags.c_contiguous
            assert_finds(index, queries, 6, np.concatenate([first, second]))


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
@pytest.mark.parametrize("screen", PACKED)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(tmp_path, dtype, metric, screen, mmap):
    train, queries = rows(dtype, 120, 0), rows(dtype, 15, 1)
    index = Index(train, metric, screen=screen)
    index.save(tmp_path / "saved")
    loaded = load_index(tmp_path / "saved", mmap=mmap)
    assert isinstance(loaded.train, np.memmap) == mmap
    assert (loaded.cascade, loaded.metric) == (index.cascade, metric)
    copied = train.nbytes if mmap and screen == "grouped" else 0  # which stays on disk
    assert loaded.nbytes == index.nbytes - copied
    assert_finds(loaded, queries, 6, train)
    loaded.append(queries)
    assert_finds(loaded, queries, 6, np.concatenate([train, queries]))


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


def described(folder):
    return json.loads(json.loads((folder / "index.json").read_text())["description"])


def describe(folder, description):
    """Write a description with the checksum that fits."""
    text = json.dumps(description)
    sealed = {"crc32": zlib.crc32(text.encode()), "description": text}
    (folder / "index.json").write_text(json.dumps(sealed))


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_other_versions_are_refused(saved, version):
    describe(saved, {**described(saved), "version": version})
    expected = rf"expected fastknn index version {VERSION}, found .* version {version}"
    with pytest.raises(ValueError, match=expected):
        load_index(saved)


def test_nothing_else_is_an_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="saved index"):
        load_index(tmp_path)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(ValueError, match="not the description"):
        load_index(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000, "\0\xff", '"a"'])
def test_descriptions_that_are_none(saved, text):
    """Whether the file is one, or what it has sealed."""
    (saved / "index.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ValueError, match=r"index\.json: not the description of an index"):
        load_index(saved)
    sealed = {"crc32": zlib.crc32(text.encode()), "description": text}
    (saved / "index.json").write_text(json.dumps(sealed))
    with pytest.raises(ValueError, match=r"index\.json: not the description of an index"):
        load_index(saved)


def changes(value):
    """A description with one value, at any depth, left out or replaced by another."""
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            without = value.copy()
            del without[key]
            yield without
            for changed in changes(value[key]):
                other = value.copy()
                other[key] = changed
                yield other
    yield from (None, True, -1, 10**30, 1.5, "word", "", [], [1], {}, {"a": 1}, float("nan"))


STORED = {
    "rotation": ("l2", "quantized", 40),
    "directions": ("l2", "projected", 40),
    "transform": ("l2", "quantized", 300),
    "groups": ("l1", "projected", 40),
    "angles": ("cosine", "quantized", 40),
    "direct": ("correlation", "direct", 40),
}


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "screen", "width"), STORED.values(), ids=STORED)
def test_descriptions_of_something_else(tmp_path, metric, screen, width):
    """With a checksum that fits: refused by name, or without influence on what is found."""
    saved, train = tmp_path / "saved", rows(np.float32, 60, 0, width)
    index = Index(train, metric, screen=screen)
    index.save(saved)
    description, expected = described(saved), index.search(train, 3)
    refused, every = 0, list(changes(description))
    for changed in random.Random(0).sample(every, min(len(every), 200)):
        describe(saved, changed)
        try:
            found = load_index(saved).search(train, 3)
        except (ValueError, FileNotFoundError) as error:
            refused += 1
            if not str(error).startswith(str(saved)):
                raise
            continue
        if changed["cascade"] == description["cascade"] and changed["metric"] == metric:
            assert_array_equal(found, expected)
    assert refused > 100


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "screen", "width"), STORED.values(), ids=STORED)
def test_arrays_that_do_not_belong_together(tmp_path, metric, screen, width):
    """Each in turn without its last column, row, or with places that there are not."""
    saved = tmp_path / "saved"
    Index(rows(np.float32, 60, 0, width), metric, screen=screen).save(saved)
    description = described(saved)
    for name in description["arrays"]:
        file = saved / f"{name}.npy"
        whole, array = file.read_bytes(), np.load(file)
        others = [array[:-1], array.astype("?"), array[None], array[..., :0]]
        if (screen, name) != ("direct", "train"):  # which fits whatever its width is
            others.append(array[..., :-1])
        if name[:-1] in ("order", "ends"):
            others += [array + 1, array - 1, np.full_like(array, 2**40), array * 0]
        for other in others:
            np.save(file, other)
            about = {"dtype": other.dtype.str, "shape": other.shape, "crc32": 0}
            arrays = {**description["arrays"], name: about}
            describe(saved, {**description, "arrays": arrays})
            with pytest.raises(ValueError, match=r"index\.json: does not describe the arrays"):
                load_index(saved, verify=False)
        file.write_bytes(whole)
    describe(saved, description)
    load_index(saved)


@pytest.mark.slow
def test_every_file_replaced(saved):
    """By another one's, by a folder, by one of another version, in another order of elements."""
    names = array_files(saved)
    for name in [*names, "index.json"]:
        file = saved / name
        whole = file.read_bytes()
        others = [(saved / other).read_bytes() for other in names if other != name]
        if name != "index.json":
            others += [whole[:6] + b"\7" + whole[7:], whole[:7] + b"\7" + whole[8:]]
            others.append(whole.replace(b"'fortran_order': False", b"'fortran_order': True "))
        for other in others:
            file.write_bytes(other)
            if other == whole or (len(other) == len(whole) and other[128:] == whole[128:]):
                continue
            for mmap in (False, True):
                with pytest.raises(ValueError, match=name):
                    load_index(saved, mmap=mmap)
        file.unlink()
        file.mkdir()
        with pytest.raises(ValueError, match=f"{name}: expected a file, found a folder"):
            load_index(saved)
        file.rmdir()
        file.write_bytes(whole)
    load_index(saved)


@pytest.mark.slow
def test_flipped_bits_of_headers(saved):
    """A description or a header that is off by a bit is refused, or without influence."""
    generator = np.random.default_rng(0)
    queries = rows(np.float32, 5, 1)
    expected = load_index(saved).search(queries, 6)
    for name in [*array_files(saved), "index.json"]:
        file = saved / name
        whole = file.read_bytes()
        for place, bit in generator.integers(0, (128, 8), (60, 2)):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            try:
                found = load_index(saved, verify=bool(bit % 2)).search(queries, 6)
            except (ValueError, FileNotFoundError) as error:
                if str(saved) not in str(error):
                    raise
            else:
                assert_array_equal(found, expected)
        file.write_bytes(whole)


def test_saving_is_all_or_nothing(tmp_path, monkeypatch):
    index = Index(rows(np.float32, 60, 0), screen="quantized")
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
    """A search takes memory for codes and candidates, not for the training rows."""
    let_choices_cost_nothing(monkeypatch)
    train = rows(np.float64, 20_000, 0, width=200)
    Index(train, screen="projected").save(tmp_path / "saved")

    def searched():
        index = load_index(tmp_path / "saved", mmap=True)
        return index, index.search(train[:5], 3)

    (index, found), most = peak(searched)
    assert most < train.nbytes / 2
    assert index.stats_["rows_refined"] < 0.05 * 5 * len(train)
    assert_array_equal(found[1], reference_knn(train[:5], train, 3, "l2")[1])


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch):
    Index(np.eye(3)).save(tmp_path / "index")
    monkeypatch.chdir(tmp_path / "index")
    with pytest.raises(ValueError, match=r"^path must be a path, and is empty$"):
        load_index("")
    with pytest.raises(ValueError, match=r"^path must be a path, and is empty$"):
        Index(np.eye(3)).save("")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"index"'])
def test_other_json_is_told_in_plain_words(tmp_path, text):
    Index(np.eye(3)).save(tmp_path / "index")
    (tmp_path / "index/index.json").write_text(text)
    with pytest.raises(ValueError, match=r"not the description of an index: it is not an object"):
        load_index(tmp_path / "index")
