"""Every format that the table of data sets lists, with files that the tests write themselves.

Pixels are compared with what a loop over single bytes gives.
"""

import gzip
import io
import pickle
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from cases import run_python

from fastknn import datasets
from fastknn.cli import main
from fastknn.datasets import (
    _cifar,
    _idx,
    _table,
    _tar,
    load_cifar10,
    load_dataset,
    load_labelled_images,
    load_mnist,
)
from fastknn.datasets._sets import Dataset, LabelledImages


def generator(seed=0):
    return np.random.default_rng(seed)


def bytes_of(shape, seed=0):
    return generator(seed).integers(0, 256, shape, np.uint8)


# IDX -----------------------------------------------------------------------------------------

CODES = {"u1": 8, "i1": 9, ">i2": 0xB, ">i4": 0xC, ">f4": 0xD, ">f8": 0xE}


def idx_bytes(array, kind="u1"):
    header = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(kind).tobytes()


def write_idx_set(folder, prefix="", test="t10k", classes=10, first=0, zipped=False, seed=0):
    """The four files of a set, and what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, count in (("train", 2 * classes), (test, classes)):
        images = bytes_of((count, 28, 28), seed + count)
        labels = np.arange(count) % classes + first
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            file = folder / f"{prefix}{part}-{name}-ubyte{'.gz' * zipped}"
            file.write_bytes(gzip.compress(content, 1) if zipped else content)
        arrays[part] = images, labels
    return arrays["train"], arrays[test]


def assert_parts(data, train, test):
    for images, labels, (pixels, numbers) in (
        (data.train, data.train_labels, train),
        (data.test, data.test_labels, test),
    ):
        np.testing.assert_array_equal(images, pixels.reshape(len(pixels), -1))
        np.testing.assert_array_equal(labels, numbers)
        assert images.flags.c_contiguous
        assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("split", "classes", "first", "last_name"),
    [
        ("letters", 26, 1, "z"),
        ("balanced", 47, 0, "t"),
        ("bymerge", 47, 0, "t"),
        ("byclass", 62, 0, "z"),
        ("digits", 10, 0, "9"),
        ("mnist", 10, 0, "9"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_emnist(tmp_path, split, classes, first, last_name, zipped):
    parts = write_idx_set(tmp_path, f"emnist-{split}-", "test", classes, first, zipped)
    data = load_dataset(tmp_path)
    assert_parts(data, *parts)
    assert len(data.class_names) == classes + first
    assert data.class_names[data.train_labels.max()] == last_name
    assert data.image_shape == (28, 28)
    file = tmp_path / f"emnist-{split}-train-images-idx3-ubyte{'.gz' * zipped}"
    assert_parts(load_dataset(file), *parts)


def test_several_sets_in_one_folder_are_not_guessed_from(tmp_path):
    letters = write_idx_set(tmp_path, "emnist-letters-", "test", 26, 1)
    write_idx_set(tmp_path, "emnist-digits-", "test", 10)
    for load in (load_dataset, load_labelled_images):
        with pytest.raises(ValueError, match=r"2 sets of IDX.*emnist-digits-, emnist-letters-"):
            load(tmp_path)
    assert_parts(load_dataset(tmp_path / "emnist-letters-train-images-idx3-ubyte"), *letters)
    with pytest.raises(ValueError, match=r"of which to read the test part"):
        load_labelled_images(tmp_path / "emnist-letters-train-images-idx3-ubyte", split="test")
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte"):
        load_mnist(tmp_path)  # which is neither of them


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST"])
@pytest.mark.parametrize("zipped", [False, True])
def test_where_torchvision_puts_them(tmp_path, name, zipped):
    parts = write_idx_set(tmp_path / name / "raw", zipped=zipped)
    for folder in (tmp_path, tmp_path / name, tmp_path / name / "raw"):
        assert_parts(load_dataset(folder), *parts)
        assert_parts(load_mnist(folder), *parts)
    names = load_dataset(tmp_path).class_names
    assert names[9] == {"FashionMNIST": "Ankle boot", "KMNIST": "wo"}.get(name, "9")
    assert load_mnist(tmp_path).class_names == tuple("0123456789")


def test_mnist_beside_others_of_its_layout(tmp_path):
    parts = write_idx_set(tmp_path / "MNIST" / "raw")
    write_idx_set(tmp_path / "FashionMNIST" / "raw", seed=9)
    assert_parts(load_mnist(tmp_path), *parts)
    with pytest.raises(ValueError, match=r"2 sets of IDX.*MNIST/raw, FashionMNIST/raw"):
        load_dataset(tmp_path)


def test_qmnist(tmp_path):
    train, test = write_idx_set(tmp_path, "qmnist-", "test")
    for part, (_, labels) in (("train", train), ("test", test)):
        (tmp_path / f"qmnist-{part}-labels-idx1-ubyte").unlink()
        columns = generator().integers(0, 5000, (len(labels), 8))
        columns[:, 0] = labels
        content = idx_bytes(columns, ">i4")
        if part == "test":
            (tmp_path / f"qmnist-{part}-labels-idx2-int").write_bytes(content)
        else:
            file = tmp_path / f"qmnist-{part}-labels-idx2-int.gz"
            file.write_bytes(gzip.compress(content))
    data = load_dataset(tmp_path)
    assert_parts(data, train, test)
    assert data.class_names == tuple("0123456789")


def slow_idx(content):
    """The values of an IDX file, one at a time."""
    code, rank = content[2], content[3]
    form = {8: "B", 9: "b", 0xB: "h", 0xC: "i", 0xD: "f", 0xE: "d"}[code]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    start, size = 4 + 4 * rank, struct.calcsize(form)
    values = [
        struct.unpack(">" + form, content[place : place + size])[0]
        for place in range(start, len(content), size)
    ]
    return np.array(values).reshape(shape)


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 4), (5, 3, 4, 2), (5, 1, 2, 2, 2)])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_of_every_type_and_rank(tmp_path, kind, shape, zipped):
    values = generator().integers(0, 120, shape)
    content = idx_bytes(values, kind)
    path = tmp_path / f"own-images-idx{len(shape)}-x"
    path.write_bytes(gzip.compress(content) if zipped else content)
    labels = idx_bytes(np.array([1, 300, -2, 1, 0]), ">i2")
    (tmp_path / "own-labels-idx1-short").write_bytes(labels)
    loaded = load_labelled_images(path)
    np.testing.assert_array_equal(loaded.images, slow_idx(content).reshape(5, -1))
    assert loaded.images.dtype == np.dtype(kind).newbyteorder("=")
    assert loaded.labels.tolist() == [1, 300, -2, 1, 0]
    assert loaded.class_names == ()
    assert loaded.image_shape == shape[1:]


def test_idx_labels_in_two_columns(tmp_path):
    (tmp_path / "own-images-idx3-ubyte").write_bytes(idx_bytes(bytes_of((3, 2, 2))))
    (tmp_path / "own-labels-idx2-ubyte").write_bytes(idx_bytes(np.array([[1], [2], [0]])))
    assert load_labelled_images(tmp_path / "own-images-idx3-ubyte").labels.tolist() == [1, 2, 0]
    (tmp_path / "own-labels-idx2-ubyte").write_bytes(idx_bytes(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="own-labels-idx2-ubyte: expected one label per image"):
        load_labelled_images(tmp_path / "own-images-idx3-ubyte")
    with pytest.raises(ValueError, match="expected 'images' in the name"):
        load_labelled_images(tmp_path / "own-labels-idx2-ubyte")


# CIFAR ---------------------------------------------------------------------------------------


def cifar_set(hundred=False):
    """Images and the rows of their label bytes, by the name of the batch."""
    counts = {"train": 7, "test": 4} if hundred else dict.fromkeys(_cifar.BATCHES, 3)
    counts |= {} if hundred else {"test_batch": 2}
    sets = {}
    for seed, (name, count) in enumerate(counts.items()):
        coarse, fine = (
            generator(seed).integers(0, 20, count),
            generator(seed + 9).integers(0, 100 if hundred else 10, count),
        )
        sets[name] = bytes_of((count, 3072), seed), (coarse, fine) if hundred else (fine,)
    return sets


def binary_batch(images, labels):
    return np.column_stack([*(one.astype(np.uint8) for one in labels), images]).tobytes()


def python_batch(images, labels, protocol=2):
    keys = [b"coarse_labels", b"fine_labels"] if len(labels) == 2 else [b"labels"]
    batch = {key: one.tolist() for key, one in zip(keys, labels, strict=True)}
    return pickle.dumps({b"filenames": [b"a"], **batch, b"data": images}, protocol=protocol)


def cifar_files(hundred, python):
    """The files of a layout, by name."""
    if python:
        names = {"fine": _cifar.FINE, "coarse": _cifar.COARSE} if hundred else {"": _cifar.CLASSES}
        meta = {
            (f"{kind}_label_names" if kind else "label_names").encode(): [
                one.encode() for one in classes
            ]
            for kind, classes in names.items()
        }
        files = {"meta" if hundred else "batches.meta": pickle.dumps(meta, protocol=2)}
        return files | {name: python_batch(*one) for name, one in cifar_set(hundred).items()}
    files = {"readme.html": b"<html>", "batches.meta.txt": "\n".join(_cifar.CLASSES).encode()}
    if hundred:
        del files["batches.meta.txt"]
        files["fine_label_names.txt"] = "\n".join(_cifar.FINE).encode()
        files["coarse_label_names.txt"] = "\n".join(_cifar.COARSE).encode() + b"\n"
    sets = cifar_set(hundred)
    return files | {f"{name}.bin": binary_batch(*one) for name, one in sets.items()}


FOLDERS = {
    (False, False): ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    (False, True): ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    (True, False): ("cifar-100-binary", "cifar-100-binary.tar.gz"),
    (True, True): ("cifar-100-python", "cifar-100-python.tar.gz"),
}


def write_cifar_folder(folder, hundred, python):
    folder.mkdir(parents=True)
    for name, content in cifar_files(hundred, python).items():
        (folder / name).write_bytes(content)


def write_tar(path, members, mode="w:gz", form=tarfile.USTAR_FORMAT):
    with tarfile.open(path, mode, format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_cifar_tar(path, hundred, python, **more):
    folder = FOLDERS[hundred, python][0]
    files = cifar_files(hundred, python)
    mixed = sorted(files, key=lambda name: (name[::-1], name))  # not in the order of the batches
    members = {folder: None} | {f"{folder}/{name}": files[name] for name in mixed}
    write_tar(path, members, **more)


def assert_cifar(data, hundred, label=None):
    sets = cifar_set(hundred)
    place = {None: -1, "fine": 1, "coarse": 0}[label]
    for images, labels, names in (
        (data.train, data.train_labels, list(sets)[:-1]),
        (data.test, data.test_labels, list(sets)[-1:]),
    ):
        slow = [row for name in names for row in sets[name][0].tolist()]
        assert images.tolist() == slow
        assert labels.tolist() == [row for name in names for row in sets[name][1][place].tolist()]
    classes = _cifar.COARSE if label == "coarse" else _cifar.FINE if hundred else _cifar.CLASSES
    assert data.class_names == classes
    assert data.image_shape == (3, 32, 32)
    assert data.train.flags.owndata


@pytest.mark.parametrize("python", [False, True], ids=["binary", "python"])
@pytest.mark.parametrize("label", [None, "fine", "coarse"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar100(tmp_path, python, label, packed):
    folder, archive = FOLDERS[True, python]
    if packed:
        write_cifar_tar(tmp_path / archive, True, python)
        paths = [tmp_path, tmp_path / archive]
    else:
        write_cifar_folder(tmp_path / folder, True, python)
        paths = [tmp_path, tmp_path / folder]
    for path in paths:
        assert_cifar(load_dataset(path, label=label), True, label)
        test = load_labelled_images(path, split="test", label=label)
        assert test.images.tolist() == cifar_set(True)["test"][0].tolist()
        with pytest.raises(ValueError, match="label must be 'fine' or 'coarse', got 'rough'"):
            load_dataset(path, label="rough")
        with pytest.raises((ValueError, FileNotFoundError), match="CIFAR-10"):
            load_cifar10(path)
    assert len(_cifar.FINE) == len(set(_cifar.FINE)) == 100
    assert len(_cifar.COARSE) == len(set(_cifar.COARSE)) == 20


def test_one_file_of_cifar100(tmp_path):
    for name, content in (cifar_files(True, True) | cifar_files(True, False)).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "pickled").write_bytes((tmp_path / "train").read_bytes())
    (tmp_path / "other.bin").write_bytes((tmp_path / "train.bin").read_bytes())
    for name in ("train", "pickled", "train.bin", "other.bin"):
        images, labels, names, _ = load_labelled_images(tmp_path / name, label="coarse")
        assert images.tolist() == cifar_set(True)["train"][0].tolist()
        assert labels.tolist() == cifar_set(True)["train"][1][0].tolist()
        assert names == _cifar.COARSE
    write_idx_set(tmp_path)
    with pytest.raises(ValueError, match=r"label must be left out for IDX.*'fine' or 'coarse'"):
        load_labelled_images(tmp_path / "train-images-idx3-ubyte", label="coarse")


@pytest.mark.parametrize("python", [False, True], ids=["binary", "python"])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_cifar10_straight_from_the_tar(tmp_path, python, mode, form):
    path = tmp_path / FOLDERS[False, python][1]
    write_cifar_tar(path, False, python, mode=mode, form=form)
    layout, other = ("python", "binary") if python else ("binary", "python")
    for one in (path, tmp_path):
        assert_cifar(load_cifar10(one), False)
        assert_cifar(load_cifar10(one, layout=layout), False)
        assert_cifar(load_dataset(one), False)
    with pytest.raises(ValueError, match=f"CIFAR-10 in the {other} layout"):
        load_cifar10(path, layout=other)
    train = load_labelled_images(path)
    assert len(train.images) == 15
    assert list(tmp_path.iterdir()) == [path]


def test_tar_in_which_a_batch_is_missing(tmp_path):
    files = cifar_files(False, False)
    del files["data_batch_3.bin"]
    write_tar(tmp_path / "c.tar.gz", files)
    with pytest.raises(ValueError, match=r"c\.tar\.gz: .*data_batch_3\.bin, found one without it"):
        load_cifar10(tmp_path / "c.tar.gz")
    write_tar(tmp_path / "d.tar.gz", {"notes.txt": b"..."})
    for load in (load_cifar10, load_dataset, load_labelled_images):
        with pytest.raises(ValueError, match=r"d\.tar\.gz: .*one without any of their files"):
            load(tmp_path / "d.tar.gz")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", gzip.compress(b"<html>", mtime=0), b""])
def test_archive_that_is_none(tmp_path, content):
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(content)
    found = "web page" if content else "an empty file"
    for load in (load_cifar10, load_dataset, load_labelled_images):
        for one in (path, tmp_path):
            with pytest.raises(ValueError, match=rf"tar\.gz: expected a .*tar archive.*{found}"):
                load(one)


def test_hostile_tar_is_bounded_and_writes_nothing(tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, kind, size in (
            ("../out.bin", tarfile.REGTYPE, 10),
            ("/tmp/data_batch_1.bin", tarfile.SYMTYPE, 0),
            ("data_batch_2.bin", tarfile.LNKTYPE, 0),
            ("data_batch_3.bin", tarfile.FIFOTYPE, 0),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, size, "/etc/passwd"
            archive.addfile(member, io.BytesIO(bytes(size)))
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 200 << 20  # an extended header of 200 MiB
    huge = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    huge.size = 1 << 40
    for number, content in enumerate(
        (
            raw.getvalue(),
            header.tobuf() + bytes(200 << 20),
            huge.tobuf() + bytes(3073),
            huge.tobuf().replace(b"ustar", b"USTAR"),
        )
    ):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(gzip.compress(content, 1))
        del content
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=path.name):
                load_dataset(path)
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
    assert not list(inside.iterdir())
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".gz"}


def member_of(name, content=b"", kind=tarfile.REGTYPE, size=None):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content) if size is None else size
    return member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def pax_record(key, value):
    record = f"{key}={value}\n"
    length = len(record) + 3
    assert 10 <= length <= 99
    return f"{length} {record}".encode()


def hostile_headers():
    """Archives whose headers would take much memory or never end, by name."""
    batch = member_of("data_batch_1.bin", bytes(3073))
    nothing = pax_record("comment", "nothing")
    backwards = member_of("x", pax_record("size", -1024), tarfile.XHDTYPE) + member_of("y")
    longer = bytearray(member_of("x", kind=tarfile.GNUTYPE_SPARSE))
    longer[482] = 1  # a map of a sparse file that goes on, without an end
    longer[148:156] = b"%06o\0 " % (sum(longer[:148]) + 256 + sum(longer[156:512]))
    more = b"00000000001\0" * 42 + b"\1" + bytes(7)
    return {
        "extended header": member_of("x", bytes(30 << 20), tarfile.XHDTYPE) + batch,
        "global header": member_of("x", bytes(30 << 20), tarfile.XGLTYPE) + batch,
        "long name": member_of("x", b"n" * (30 << 20), tarfile.GNUTYPE_LONGNAME) + batch,
        "chain of headers": member_of("x", nothing, tarfile.XHDTYPE) * 5000 + batch,
        "many members": member_of("x") * 20_000 + batch,
        "map of a sparse file": bytes(longer) + more * 20_000 + batch,
        "negative size": member_of("x", bytes(5000)) + backwards + batch,
    }


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", hostile_headers())
def test_headers_of_a_tar_are_bounded(tmp_path, name, zipped):
    content = hostile_headers()[name]
    path = tmp_path / "c.tar"
    path.write_bytes(gzip.compress(content, 1) if zipped else content)
    del content
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"c\.tar: expected a whole tar archive"):
            load_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_members_of_a_tar_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "c.tar"
    write_cifar_tar(path, False, False, mode="w")
    monkeypatch.setattr(_tar, "MEMBER_BYTES", 3073)
    with pytest.raises(ValueError, match=r"c\.tar: expected members of at most 3073 bytes"):
        load_dataset(path)


def test_sparse_members_of_a_tar_are_not_read(tmp_path):
    path = tmp_path / "c.tar"
    path.write_bytes(member_of("data_batch_1.bin", kind=tarfile.GNUTYPE_SPARSE) + bytes(1024))
    with pytest.raises(ValueError, match=r"c\.tar: .*one without any of their files"):
        load_dataset(path)


@pytest.mark.parametrize("prefix", ["", "./", "./data/cifar-10-batches-bin/", "n" * 120 + "/"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_folders_of_a_tar(tmp_path, prefix, form):
    files = {prefix + name: content for name, content in cifar_files(False, False).items()}
    write_tar(tmp_path / "c.tar", files, "w", form)
    assert_cifar(load_dataset(tmp_path / "c.tar"), False)


# NumPy ---------------------------------------------------------------------------------------

X4, Y4 = bytes_of((4, 3, 2)), np.array([2, 0, 1, 2])


@pytest.mark.parametrize(
    "pair",
    [
        *(("X", "y"), ("x", "y"), ("images", "labels"), ("imgs", "labels"), ("arr_0", "arr_1")),
        *(("data", "labels"), ("data", "target"), ("features", "labels")),
    ],
)
@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_numpy_archive_of_one_set(tmp_path, pair, shape):
    path = tmp_path / "set.npz"
    np.savez(path, **dict(zip(pair, (X4, Y4.reshape(shape)), strict=True)))
    loaded = load_labelled_images(path)
    np.testing.assert_array_equal(loaded.images, X4.reshape(4, 6))
    assert loaded.labels.tolist() == Y4.tolist()
    assert loaded.image_shape == (3, 2)
    with pytest.raises(ValueError, match=r"set\.npz: expected a folder, of which to read the test"):
        load_dataset(path)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images_train", "labels_train", "images_test", "labels_test"),
        ("train_x", "train_y", "test_x", "test_y"),
        ("train_data", "train_labels", "test_data", "test_labels"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_numpy_archive_of_both_parts(tmp_path, names, compressed):
    path = tmp_path / "pathmnist.npz"
    train, test = (
        (bytes_of((5, 4, 4, 3), 1), np.arange(5)),
        (bytes_of((3, 4, 4, 3), 2), np.arange(3)),
    )
    arrays = (train[0], train[1].reshape(5, 1), test[0], test[1].reshape(3, 1))
    more = {"val_images": X4, "val_labels": Y4}
    save = np.savez_compressed if compressed else np.savez
    save(path, **dict(zip(names, arrays, strict=True)), **more)
    data = load_dataset(path)
    assert_parts(data, train, test)
    assert data.image_shape == (4, 4, 3)
    assert data.class_names == ()
    for split, (images, labels) in (("train", train), ("test", test)):
        part = load_labelled_images(path, split=split)
        np.testing.assert_array_equal(part.images, images.reshape(len(images), -1))
        assert part.labels.tolist() == labels.tolist()


def test_archives_of_one_array_each(tmp_path):
    for split, count in (("train", 4), ("test", 3)):
        np.savez(tmp_path / f"k49-{split}-imgs.npz", X4[:count])
        np.savez(tmp_path / f"k49-{split}-labels.npz", Y4[:count])
    data = load_dataset(tmp_path)
    assert_parts(data, (X4, Y4), (X4[:3], Y4[:3]))
    assert_parts(load_dataset(tmp_path / "k49-train-imgs.npz"), (X4, Y4), (X4[:3], Y4[:3]))
    (tmp_path / "k49-train-labels.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"k49-train-labels\.npz: expected the labels of"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("X_train", "y_train"),
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
        ("train_data", "train_labels"),
        ("train-images", "train-labels"),
        ("own_data", "own_labels"),
        ("images", "labels"),
        ("X", "y"),
    ],
)
def test_numpy_pairs(tmp_path, images, labels):
    np.save(tmp_path / f"{images}.npy", np.asfortranarray(X4.astype(">i2")))
    np.save(tmp_path / f"{labels}.npy", Y4.reshape(4, 1).astype(np.uint8))
    loaded = load_labelled_images(tmp_path / f"{images}.npy")
    np.testing.assert_array_equal(loaded.images, X4.reshape(4, 6))
    assert loaded.images.dtype == np.int16
    assert loaded.labels.tolist() == Y4.tolist()
    if "train" not in images:
        return
    for one in (images, labels):
        content = np.load(tmp_path / f"{one}.npy")[:3]
        np.save(tmp_path / f"{one.replace('train', 'test')}.npy", content)
    assert_parts(load_dataset(tmp_path), (X4, Y4), (X4[:3], Y4[:3]))
    assert_parts(load_dataset(tmp_path / f"{images}.npy"), (X4, Y4), (X4[:3], Y4[:3]))


def test_cifar10_1_has_the_pixels_in_the_order_of_cifar10(tmp_path):
    images, labels = bytes_of((5, 32, 32, 3)), np.array([9, 0, 3, 3, 1], np.int32)
    np.save(tmp_path / "cifar10.1_v6_data.npy", images)
    np.save(tmp_path / "cifar10.1_v6_labels.npy", labels)
    loaded = load_labelled_images(tmp_path / "cifar10.1_v6_data.npy")
    for row in range(5):
        for place, (channel, i, j) in ((0, (0, 0, 0)), (1056, (1, 1, 0)), (3071, (2, 31, 31))):
            assert loaded.images[row, place] == images[row, i, j, channel]
    slow = [images[r, i, j, c] for r in range(5) for c in range(3) for i in range(32)
            for j in range(32)]  # fmt: skip
    assert loaded.images.ravel().tolist() == slow
    assert loaded.labels.tolist() == labels.tolist()
    assert loaded.class_names == _cifar.CLASSES
    assert loaded.image_shape == (3, 32, 32)
    np.save(tmp_path / "cifar10.1_v6_data.npy", images[:, :, :31])
    with pytest.raises(ValueError, match=r"cifar10.1_v6_data.npy: expected uint8 images of shape"):
        load_labelled_images(tmp_path / "cifar10.1_v6_data.npy")


# STL-10 and SVHN -----------------------------------------------------------------------------


def write_stl10(folder, names=True):
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for split, count in (("train", 41), ("test", 3)):
        raw, labels = bytes_of((count, 27648), count), np.arange(count) % 10 + 1
        (folder / f"{split}_X.bin").write_bytes(raw.tobytes())
        (folder / f"{split}_y.bin").write_bytes(labels.astype(np.uint8).tobytes())
        parts.append((raw, labels))
    if names:
        (folder / "class_names.txt").write_text("\n".join("abcdefghij") + "\n")
    return parts


@pytest.mark.parametrize("names", [False, True])
def test_stl10(tmp_path, names):
    parts = write_stl10(tmp_path / "stl10_binary", names)
    for path in (tmp_path, tmp_path / "stl10_binary", tmp_path / "stl10_binary" / "train_X.bin"):
        data = load_dataset(path)
        assert data.image_shape == (3, 96, 96)
        assert data.class_names[1] == ("b" if names else "bird")
        for images, labels, (raw, numbers) in (
            (data.train, data.train_labels, parts[0]),
            (data.test, data.test_labels, parts[1]),
        ):
            assert labels.tolist() == [number - 1 for number in numbers.tolist()]
            for row in (0, 1, len(raw) - 1):
                source = raw[row].tolist()  # colour by colour, each by columns
                slow = [source[c * 9216 + j * 96 + i] for c in range(3) for i in range(96)
                        for j in range(96)]  # fmt: skip
                assert images[row].tolist() == slow


def test_malformed_stl10(tmp_path):
    write_stl10(tmp_path)
    for name, content, message in (
        ("train_X.bin", bytes(27647), "whole images of 27648 bytes"),
        ("train_X.bin", b"", "whole images"),
        ("train_y.bin", bytes([1] * 40), "41 labels, as train_X.bin has images, found 40"),
        ("test_y.bin", bytes([1, 0, 1]), "labels from 1 to 10, found 0 at place 1"),
        ("test_y.bin", bytes([1, 11, 1]), "labels from 1 to 10, found 11 at place 1"),
        ("class_names.txt", b"cat\n", "10 class names, found 1"),
    ):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: expected .*{message}"):
            load_dataset(tmp_path)
        (tmp_path / name).write_bytes(before)
    (tmp_path / "test_y.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_y\.bin"):
        load_dataset(tmp_path)


def write_svhn(folder, compressed=False):
    savemat = pytest.importorskip("scipy.io").savemat
    parts = []
    for split, count in (("train", 12), ("test", 10)):
        images = bytes_of((32, 32, 3, count), count)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)
        path = folder / f"{split}_32x32.mat"
        savemat(path, {"X": images, "y": labels[:, None]}, do_compression=compressed)
        parts.append((images, labels))
    return parts


@pytest.mark.parametrize("compressed", [False, True])
def test_svhn(tmp_path, compressed):
    parts = write_svhn(tmp_path, compressed)
    for path in (tmp_path, tmp_path / "train_32x32.mat"):
        data = load_dataset(path)
        assert data.image_shape == (3, 32, 32)
        assert data.class_names == tuple("0123456789")
        for images, labels, (raw, numbers) in (
            (data.train, data.train_labels, parts[0]),
            (data.test, data.test_labels, parts[1]),
        ):
            assert labels.tolist() == [0 if one == 10 else one for one in numbers.tolist()]
            slow = [raw[i, j, c, 1] for c in range(3) for i in range(32) for j in range(32)]
            assert images[1].tolist() == slow


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"X": np.zeros((4, 4, 3, 2), np.uint8)}, r"variables X and y.*found \['X'\]"),
        ({"X": np.zeros((4, 4, 3, 2)), "y": [[1], [2]]}, "uint8 of shape .*found double"),
        (
            {"X": np.zeros((4, 4, 2), np.uint8), "y": [[1], [2]]},
            r"found uint8 of shape \(4, 4, 2\)",
        ),
        ({"X": np.zeros((4, 4, 3, 2), np.uint8), "y": [[1], [11]]}, "found 11 at place 1"),
        ({"X": np.zeros((4, 4, 3, 2), np.uint8), "y": [[0], [10]]}, "both 0 and 10"),
        ({"X": np.zeros((4, 4, 3, 2), np.uint8), "y": [[1], [2], [3]]}, r"shape \(2,\)"),
        ({"X": np.zeros((4, 4, 3, 2), np.uint8), "y": [[0.5], [2]]}, "0.5 among them"),
        ({"X": np.zeros((4, 4, 3, 2), np.uint8), "y": {"a": 1}}, "y to be numbers, found struct"),
    ],
)
def test_other_matlab_files(tmp_path, variables, message):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(tmp_path / "some.mat", variables)
    with pytest.raises(ValueError, match=rf"some\.mat: expected .*{message}"):
        load_labelled_images(tmp_path / "some.mat")


def matlab_variable(name, shape, values, claim=None, packed=False, kind=2, flags=9, order="<"):
    """A variable as it lies in a file, whose values may claim to be of another size or type."""

    def element(kind, content, claim=None):
        tag = struct.pack(f"{order}II", kind, len(content) if claim is None else claim)
        return tag + content + (bytes(-len(content) % 8) if claim is None else b"")

    body = element(6, struct.pack(f"{order}II", flags, 0))
    body += element(5, struct.pack(f"{order}{len(shape)}i", *shape)) + element(1, name)
    whole = element(14, body + element(kind, values, claim))
    if not packed:
        return whole
    content = zlib.compress(whole)
    return struct.pack(f"{order}II", 15, len(content)) + content


def matlab_file(*variables, order="<"):
    version = struct.pack(f"{order}HH", 0x100, 0x4D49)
    return b"MATLAB 5.0 MAT-file".ljust(124) + version + b"".join(variables)


CLAIMS = [
    *[((4, 4, 3, 2), 0xFFFFFFF0), ((4, 4, 3, 1 << 30), None), ((4, 4, 3, -2), None), ((96,), None)],
    *[((4, 4, 3, 1 << 30), 96 << 20), ((64, 64, 4, 4), 0xFFFFFFF0)],
]


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit or is missing")
def test_matlab_files_that_claim_much_take_little(tmp_path):
    pytest.importorskip("scipy.io")
    write_svhn(tmp_path)
    for number, (shape, claim) in enumerate(CLAIMS):
        for packed in (False, True):
            y = matlab_variable(b"y", (max(shape[-1], 0), 1), b"\1\2", packed=packed)
            x = matlab_variable(b"X", shape, bytes(96), claim, packed)
            (tmp_path / f"{number}{packed}.mat").write_bytes(matlab_file(x, y))
    # The memory that is written to, of which Python's own count knows nothing.
    code = f"""
import resource
from pathlib import Path
from fastknn.datasets import load_labelled_images
folder = Path({str(tmp_path)!r})
load_labelled_images(folder / "train_32x32.mat")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(folder.glob("[0-9]*.mat")):
    try:
        load_labelled_images(path)
    except ValueError as error:
        assert str(error).startswith(f"{{path}}: expected "), error
    else:
        raise AssertionError(path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = run_python("-c", code)
    assert not done.returncode, done.stderr
    assert int(done.stdout) < 10 << 10  # KiB


def test_matlab_file_claims_more_than_it_can_hold(tmp_path):
    pytest.importorskip("scipy.io")
    y = matlab_variable(b"y", (1 << 20, 1), b"\1\2")
    path = tmp_path / "some.mat"
    path.write_bytes(matlab_file(matlab_variable(b"X", (4, 4, 3, 1 << 20), bytes(96)), y))
    with pytest.raises(ValueError, match=r"some\.mat: expected X to be whole, found a claim of "):
        load_labelled_images(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_in_either_order_of_bytes(tmp_path, order, packed):
    pytest.importorskip("scipy.io")
    images, more = bytes_of((4, 4, 3, 2)), {"packed": packed, "order": order}
    x = matlab_variable(b"X", images.shape, images.tobytes("F"), **more)
    labels = np.array([10, 3], f"{order}i2").tobytes()
    y = matlab_variable(b"y", (2, 1), labels, kind=3, flags=10, **more)
    other = matlab_variable(b"another", (1, 1), b"\1", **more)
    path = tmp_path / "some.mat"
    path.write_bytes(matlab_file(other, y, x, order=order))
    part = load_labelled_images(path)
    assert part.images.tolist() == images.transpose(3, 2, 0, 1).reshape(2, -1).tolist()
    assert part.labels.tolist() == [0, 3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", [b"X", b"y"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *[({"kind": kind}, "whole variables X and y") for kind in (0, 8, 10, 11, 14, 20, 13058)],
        ({"kind": 9}, "whole variables X and y"),
        ({"flags": 0x809}, "to be real numbers"),
    ],
)
def test_matlab_values_of_unknown_types_never_reach_scipy(tmp_path, packed, name, change, message):
    pytest.importorskip("scipy.io")
    variables = []
    for one, shape in ((b"X", (4, 4, 3, 2)), (b"y", (2, 1))):
        more = change if one == name else {}
        values = b"\1" * int(np.prod(shape))
        variables.append(matlab_variable(one, shape, values, packed=packed, **more))
    path = tmp_path / "some.mat"
    path.write_bytes(matlab_file(*variables))
    with pytest.raises(ValueError, match=rf"some\.mat: expected .*{message}"):
        load_labelled_images(path)


def test_matlab_file_for_which_there_is_no_memory(tmp_path, monkeypatch):
    scipy_io = pytest.importorskip("scipy.io")
    write_svhn(tmp_path)

    def no_memory(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(scipy_io, "loadmat", no_memory)
    with pytest.raises(ValueError, match=r"train_32x32\.mat: expected .*MemoryError"):
        load_labelled_images(tmp_path / "train_32x32.mat")


def test_matlab_files_of_other_versions_and_with_a_variable_twice(tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    path = tmp_path / "some.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<HH", 0x200, 0x4D49))
    with pytest.raises(ValueError, match=r"some\.mat: .*one of version 7\.3, which is HDF5"):
        load_labelled_images(path)
    savemat(path, {"X": np.zeros((2, 2)), "y": [1, 2]}, format="4")
    with pytest.raises(ValueError, match=r"some\.mat: expected a MATLAB file of version 5"):
        load_labelled_images(path)
    x = matlab_variable(b"X", (4, 4, 3, 2), bytes(96))
    path.write_bytes(matlab_file(x, x, matlab_variable(b"y", (2, 1), b"\1\2")))
    with pytest.raises(ValueError, match=r"some\.mat: .*variables X and y.*\['X', 'X', 'y'\]"):
        load_labelled_images(path)


# Folders of images ---------------------------------------------------------------------------


def write_pictures(root, classes, modes=("RGB",), count=2, seed=0, size=(5, 4), ending="png"):
    """Files in a folder for each class, and the images that they are, in the order of the names."""
    image_module = pytest.importorskip("PIL.Image")
    pictures = []
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = image_module.fromarray(
                bytes_of((size[1], size[0], 3), seed + 10 * place + number)
            ).convert(modes[(place + number) % len(modes)])
            picture.save(root / name / f"{number}.{ending}")
            pictures.append(picture)
    return pictures


def slow_pixels(picture, gray):
    width, height = picture.size
    picture = picture.convert("L" if gray else "RGB")
    if gray:
        return [picture.getpixel((x, y)) for y in range(height) for x in range(width)]
    return [
        picture.getpixel((x, y))[channel]
        for channel in range(3)
        for y in range(height)
        for x in range(width)
    ]


@pytest.mark.parametrize(
    ("modes", "gray"),
    [
        (("RGB",), False),
        (("L",), True),
        (("1", "L", "LA"), True),
        (("L", "RGB", "RGBA", "P"), False),
        (("RGBA",), False),
        (("P",), False),
    ],
)
def test_folder_of_images(tmp_path, modes, gray):
    pictures = write_pictures(tmp_path, ["cat", "ant", "bee"], modes)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"no image")
    (tmp_path / "readme.txt").touch()
    (tmp_path / ".cache").mkdir()
    loaded = load_labelled_images(tmp_path)
    assert loaded.class_names == ("ant", "bee", "cat")
    assert loaded.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert loaded.image_shape == ((4, 5) if gray else (3, 4, 5))
    expected = [slow_pixels(one, gray) for one in (*pictures[2:], *pictures[:2])]
    assert loaded.images.tolist() == expected
    assert loaded.images.flags.c_contiguous
    with pytest.raises(FileNotFoundError, match="expected a folder test or testing"):
        load_labelled_images(tmp_path, split="test")


@pytest.mark.parametrize("names", [("train", "test"), ("training", "testing"), ("train", "val")])
def test_folders_of_images_for_both_parts(tmp_path, names):
    write_pictures(tmp_path / names[0], ["dog", "cat"], count=3)
    pictures = write_pictures(tmp_path / names[1], ["dog", "emu"], count=1, seed=5)
    data = load_dataset(tmp_path)
    assert data.class_names == ("cat", "dog", "emu")
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_labels.tolist() == [1, 2]
    assert data.test.tolist() == [slow_pixels(one, False) for one in pictures]
    for split, labels in (("train", [0, 0, 0, 1, 1, 1]), ("test", [1, 2])):
        assert load_labelled_images(tmp_path, split=split).labels.tolist() == labels


def test_class_folders_that_are_numbers(tmp_path):
    write_pictures(tmp_path, ["0", "2", "10"], ("L",), count=1, ending="jpg")
    loaded = load_labelled_images(tmp_path)
    assert sorted(loaded.labels.tolist()) == [0, 2, 10]
    assert loaded.class_names == ()


def test_images_of_unequal_size(tmp_path):
    write_pictures(tmp_path, ["a"])
    write_pictures(tmp_path, ["b"], size=(6, 4))
    with pytest.raises(ValueError, match=r"b.0\.png: expected .*5 x 4 pixels.*a.0\.png.*6 x 4"):
        load_labelled_images(tmp_path)


def png_of_claimed_size(width, height):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_malformed_images(tmp_path):
    write_pictures(tmp_path, ["a"])
    whole = (tmp_path / "a" / "1.png").read_bytes()
    for content, message in (
        (whole[:50], "cannot be read"),
        (b"", "an empty file|cannot be read"),
        (b"<!DOCTYPE html>", "cannot be read.*web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n", "cannot be read"),
        (png_of_claimed_size(60_000, 60_000), "claim of 60000 x 60000|cannot be read"),
    ):
        (tmp_path / "a" / "1.png").write_bytes(content)
        with pytest.raises(ValueError, match=rf"1\.png: expected .*({message})"):
            load_labelled_images(tmp_path)
    (tmp_path / "a" / "1.png").write_bytes(whole)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected image files .* found none in empty"):
        load_labelled_images(tmp_path)


def test_images_of_sixteen_bits_are_refused(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    image_module.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a" / "0.png")
    with pytest.raises(ValueError, match=r"0\.png: expected an image of 8 bits per channel"):
        load_labelled_images(tmp_path)


# Tables --------------------------------------------------------------------------------------


def write_table(path, labels, pixels, head=None, separator=","):
    head = head or ["label", *(f"pixel{number}" for number in range(len(pixels[0])))]
    rows = [[label, *row] for label, row in zip(labels, pixels, strict=True)]
    path.write_text("\n".join(separator.join(map(str, row)) for row in [head, *rows]) + "\n")


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize("head", ["label", "class", "Target", "y"])
def test_table_of_text(tmp_path, ending, separator, head):
    pytest.importorskip("pandas")
    pixels = bytes_of((4, 9)).tolist()
    path = tmp_path / f"train.{ending}"
    names = [head, *(f"pixel{number}" for number in range(9))]
    write_table(path, [3, 1, 26, 1], pixels, names, separator)
    loaded = load_labelled_images(path)
    assert loaded.images.tolist() == pixels
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.tolist() == [3, 1, 26, 1]
    assert loaded.image_shape == (3, 3)
    assert loaded.class_names == ()
    write_table(tmp_path / f"test.{ending}", [1], pixels[:1], names, separator)
    assert load_dataset(tmp_path).test.tolist() == pixels[:1]
    assert load_dataset(path).test_labels.tolist() == [1]


def test_table_of_words_and_floats(tmp_path):
    pytest.importorskip("pandas")
    head = ["length", "width", "species"]
    for name, rows in (
        ("iris_train.csv", [["1.5", "2", "setosa"], ["3", "4", "virginica"]]),
        ("iris_test.csv", [["5", "6.25", "virginica"], ["7", "8", "alba"]]),
    ):
        (tmp_path / name).write_text("\n".join(",".join(row) for row in [head, *rows]))
    with pytest.raises(ValueError, match=r"target or y.*'length', 'width', 'species'"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, label="species")
    assert data.train.tolist() == [[1.5, 2], [3, 4]]
    assert data.test.tolist() == [[5, 6.25], [7, 8]]
    assert data.class_names == ("setosa", "virginica", "alba")
    assert data.train_labels.tolist() == [0, 1]
    assert data.test_labels.tolist() == [1, 2]
    test = load_labelled_images(tmp_path, split="test", label="species")
    assert test.labels.tolist() == [1, 2]  # the same numbers
    with pytest.raises(ValueError, match=r"expected a column 'colour' of labels"):
        load_dataset(tmp_path, label="colour")


@pytest.mark.parametrize(
    "text",
    [
        ",a,b,label\n7,1,2,x\n9,3,4,y\n",  # as pandas writes its index
        "Unnamed: 0,a,b,label\n0,1,2,x\n1,3,4,y\n",
        "Unnamed: 0.1,Unnamed: 0,a,b,label\n0,0,1,2,x\n1,1,3,4,y\n",
        "a;b;label\n1;2;x\n3;4;y\n",
        "a\tb\tlabel\n1\t2\tx\n3\t4\ty\n",
        '\ufeff"a","b","label"\r\n"1","2","x"\r\n"3","4","y"\r\n',
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "CSV"])
def test_table_as_programs_write_it(tmp_path, text, ending):
    pytest.importorskip("pandas")
    (tmp_path / f"some.{ending}").write_text(text, encoding="utf-8", newline="")
    images, labels, names, shape = load_labelled_images(tmp_path / f"some.{ending}")
    assert images.tolist() == [[1, 2], [3, 4]]
    assert labels.tolist() == [0, 1]
    assert names == ("x", "y")
    assert shape == (2,)


def write_gray(*files):
    image = pytest.importorskip("PIL.Image")
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        image.new("L", (4, 4)).save(file)


def test_test_images_without_folders_of_classes(tmp_path, capsys):
    # As in tiny-imagenet, where another file tells the classes of val/images.
    train, val = tmp_path / "train", tmp_path / "val"
    write_gray(*(train / name / "images/0.png" for name in ("n01", "n02")), val / "images/0.png")
    message = r"must have a class of train: it has 'images', and train has 'n01', 'n02'"
    with pytest.raises(ValueError, match=rf"the test part {message}"):
        load_dataset(tmp_path)
    assert main(["classify", "--train", str(train), "--test", str(val), "--k", "1"]) == 2
    assert message in capsys.readouterr().err
    assert load_labelled_images(train).labels.tolist() == [0, 1]


def test_folders_of_classes_for_training_and_for_testing(tmp_path, capsys):
    train, test = tmp_path / "set/train", tmp_path / "set/test"
    write_gray(*(folder / name / "0.png" for folder in (train, test) for name in ("cat", "dog")))
    paths = ["--train", str(train), "--test", str(test)]
    assert main(["classify", *paths, "--k", "1"]) == 0
    assert "of 2)" in capsys.readouterr().out
    assert main(["classify", "--train", str(tmp_path / "set"), "--k", "1"]) == 0
    assert main(["classify", "--train", str(train), "--test", str(train)]) == 2
    assert "train is in both" in capsys.readouterr().err


def test_a_folder_around_the_folders_of_classes(tmp_path):
    write_gray(tmp_path / "set/cat/0.png", tmp_path / "set/dog/0.png")
    with pytest.raises(ValueError, match=r"only set, which has such folders: give its path"):
        load_labelled_images(tmp_path)
    assert load_labelled_images(tmp_path / "set").class_names == ("cat", "dog")
    (tmp_path / "set/dog/0.png").unlink()
    assert load_labelled_images(tmp_path).class_names == ("set",)


def test_cifar10_has_one_kind_of_labels(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    for label in ("fine", "label"):
        with pytest.raises(ValueError, match=r"^label must be left out for CIFAR-10"):
            load_labelled_images(tmp_path / "data_batch_1.bin", label=label)
    (tmp_path / "own.pkl").write_bytes(pickle.dumps({"data": bytes_of((1, 3072)), "labels": [1]}))
    for label in ("fine", "label"):
        with pytest.raises(ValueError, match=r"^label must be left out for CIFAR-10, got"):
            load_labelled_images(tmp_path / "own.pkl", label=label)


def test_a_folder_of_archives_names_its_files(tmp_path):
    for name in ("bloodmnist", "pathmnist"):
        np.savez(tmp_path / f"{name}.npz", x_train=[[1]], y_train=[0], x_test=[[1]], y_test=[0])
    message = r"found bloodmnist\.npz, pathmnist\.npz \(a single file is read by its own path\)"
    with pytest.raises(FileNotFoundError, match=message):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path / "pathmnist.npz").test.tolist() == [[1]]


def test_columns_in_another_order(tmp_path, capsys):
    pytest.importorskip("pandas")
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("a,b,c,label\n1,2,3,0\n4,5,6,1\n")
    for head in ("b,a,c,label", "label,b,a,c", "b,d,c,label"):
        test.write_text(f"{head}\n1,1,1,1\n")
        message = (
            "must have the columns of train in the same order, and has 'b' where train has 'a'"
        )
        with pytest.raises(ValueError, match=f"the test part {message}"):
            load_dataset(tmp_path)
        assert main(["classify", "--train", str(train), "--test", str(test), "--k", "1"]) == 2
        assert f"--test {message}" in capsys.readouterr().err
    for head in ("label,a,b,c", "d,e,f,label"):  # other names may be those of the same columns
        test.write_text(f"{head}\n1,1,1,1\n")
        assert load_dataset(tmp_path).test.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("label,a\n", "0 rows of 2 columns"),
        ("label\n1\n", "1 rows of 1 columns"),
        ("label,a\n1,2\n,3\n", "a label in every row of 'label', found none in row 1"),
        ("label,a\n1,2\n2,\n", "a number in every row of the column 'a', found none in row 1"),
        ("label,a\n1,2\n2,cat\n", "numbers in all columns but that of the labels"),
        ("label,a\n1,2,3\n2,3,4\n", "does not match length of data"),
        ("label,a\n1,2\n2,3,4\n", "cannot be read"),
        ("label,a\n1.5,2\n", "integers or words.*1.5 among them"),
        ("7,0,0\n1,2,3\n", "names of the columns, found one of numbers"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "label.*Git LFS"),
        ("<!DOCTYPE html>\n<html></html>\n", "web page"),
    ],
)
def test_malformed_table(tmp_path, text, message):
    pytest.importorskip("pandas")
    (tmp_path / "some.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"some\.csv: expected .*{message}"):
        load_labelled_images(tmp_path / "some.csv")


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(bytes_of((4, 6)), columns=[f"f{number}" for number in range(6)])
    table["class"] = ["b", "a", "b", "c"]
    table.to_parquet(tmp_path / "train.parquet")
    table[:2].to_parquet(tmp_path / "test.parquet")
    data = load_dataset(tmp_path)
    assert data.train.tolist() == bytes_of((4, 6)).tolist()
    assert data.train.dtype == np.uint8
    assert data.class_names == ("a", "b", "c")
    assert data.test_labels.tolist() == [1, 0]
    (tmp_path / "train.parquet").write_bytes((tmp_path / "train.parquet").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"train\.parquet: expected a Parquet table"):
        load_dataset(tmp_path)


def test_parquet_of_image_files(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pictures = write_pictures(tmp_path / "files", ["a", "b"], ("L", "RGB"))
    contents = [file.read_bytes() for file in sorted((tmp_path / "files").rglob("*.png"))]
    table = {"image": [{"bytes": one, "path": "x.png"} for one in contents], "label": [0, 0, 1, 1]}
    for split in ("train", "test"):
        file = tmp_path / f"{split}-00000-of-00001.parquet"
        pandas.DataFrame(table).to_parquet(file)
    data = load_dataset(tmp_path)
    assert data.test.tolist() == [slow_pixels(one, False) for one in pictures]
    assert data.test_labels.tolist() == [0, 0, 1, 1]
    assert data.image_shape == (3, 4, 5)
    table["image"][2]["bytes"] = contents[2][:40]
    pandas.DataFrame(table).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"test-0.*parquet: row 2: expected an image file"):
        load_dataset(tmp_path)


# What is needed and not there ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("PIL", r'pip install pillow, or this package with its extra "images"'),
        ("pandas", "pip install pandas"),
    ],
)
def test_missing_packages(tmp_path, monkeypatch, module, message):
    if module == "PIL":
        write_pictures(tmp_path, ["a"])
        path = tmp_path
    else:
        path = tmp_path / "some.csv"
        path.write_text("label,a\n1,2\n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=message):
        load_labelled_images(path)


def test_import_is_cheap():
    code = (
        "import sys, fastknn.datasets\n"
        "print(*{'pandas', 'scipy', 'PIL', 'sklearn', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    )
    done = run_python("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("", "")


# Files that are not what their name says -----------------------------------------------------


def foreign_contents():
    tar, archive, npz = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("notes.txt"))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("cat/1.png", b"...")
    np.savez(npz, a=np.zeros(3))
    html = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>"
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    some_pickle, csv = pickle.dumps([1, 2, 3], protocol=2), b"label,a\n1,2\n"
    contents = {
        "empty": (b"", "an empty file|found 0 bytes"),
        "gzip of a tar": (
            gzip.compress(tar.getvalue()),
            "tar archive",
        ),
        "gzip of a pickle": (gzip.compress(some_pickle), "a gzip file of a pickle"),
        "gzip of a csv": (gzip.compress(csv), "a gzip file of text that begins with 'label,a'"),
        "gzip of HTML": (gzip.compress(html), "a gzip file of a web page"),
        "gzip of nothing": (gzip.compress(b""), "gzip file"),
        "truncated gzip": (gzip.compress(bytes(9999))[:20], "gzip"),
        "tar": (tar.getvalue(), "a tar archive"),
        "pickle": (some_pickle, "a pickle"),
        "zip": (archive.getvalue(), r"zip archive that begins with 'cat/1\.png'|zip archive"),
        "npz": (npz.getvalue(), r"\['a'\]|zip archive|\.npz"),
        "csv": (csv, "text that begins with 'label,a'"),
        "html": (html, "a web page"),
        "lfs": (lfs, "Git LFS"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(30), "a PNG picture"),
        "jpeg": (b"\xff\xd8\xff\xe0" + bytes(30), "a JPEG picture"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file|HDF5"),
        "parquet": (b"PAR1" + bytes(30) + b"PAR1", "Parquet"),
        "matlab": (b"MATLAB 5.0 MAT-file".ljust(128, b"\0"), "MATLAB"),
        "npy": (b"\x93NUMPY\x01\0" + bytes(30), r"\.npy"),
    }
    return contents


PLACES = [
    *("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "data_batch_1.bin", "data_batch_1"),
    *("train_X.bin", "train_32x32.mat", "set.npz", "X_train.npy", "own.data", "c.tar.gz"),
]


@pytest.mark.parametrize("content", foreign_contents())
@pytest.mark.parametrize("name", PLACES)
def test_foreign_files_are_told_by_what_they_are(tmp_path, name, content):
    data, message = foreign_contents()[content]
    if content == "parquet":
        pytest.importorskip("pyarrow")
    for file in ("train-labels-idx1-ubyte", "train_y.bin", "y_train.npy"):
        (tmp_path / file).touch()
    path = tmp_path / name
    path.write_bytes(data)
    if content == "csv" and name.endswith(".bin"):
        message = f"found {len(data)} bytes"  # what it looks like is added, whatever it is
    with pytest.raises(ValueError, match=f"{name}.*({message})") as raised:
        load_labelled_images(path)
    assert "expected" in str(raised.value) or "not a" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        load_dataset(path)


@pytest.mark.parametrize("content", foreign_contents())
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_foreign_files_in_mnist(tmp_path, name, content):
    write_idx_set(tmp_path)
    data, message = foreign_contents()[content]
    (tmp_path / name).write_bytes(data)
    held = "images" if "images" in name else "labels"
    with pytest.raises(ValueError, match=rf"{name}: expected (an IDX file of {held}|a whole gzip)"
                       rf".*({message}|MATLAB)"):  # fmt: skip
        load_mnist(tmp_path)


# Labels of two parts, short forms, and the command ---------------------------------------------


def images_of(labels, names=(), shape=(2, 2)):
    pixels = np.zeros((len(labels), int(np.prod(shape))), np.uint8)
    return LabelledImages(pixels, np.array(labels), tuple(names), shape)


@pytest.mark.parametrize(
    ("train", "test", "names", "train_labels", "test_labels"),
    [
        (([0, 1], ["cat", "dog"]), ([0, 1], ["ant", "dog"]), ("cat", "dog", "ant"), [0, 1], [2, 1]),
        (([0, 1], ["z", "a"]), ([0, 1], ["a", "b"]), ("z", "a", "b"), [0, 1], [1, 2]),
        (([0, 1], ["cat", "dog"]), ([0, 1], []), ("cat", "dog"), [0, 1], [0, 1]),
        (([3, 9], []), ([3, 9], list("0123456789")), (), [3, 9], [3, 9]),
        (([1, 2], []), ([0, 2], ["1", "2", "x"]), ("0", "1", "2", "x"), [1, 2], [1, 3]),
    ],
)
def test_words_of_two_parts_get_one_numbering(train, test, names, train_labels, test_labels):
    one, other = datasets.matched(images_of(*train), images_of(*test))
    assert one.labels.tolist() == train_labels
    assert other.labels.tolist() == test_labels
    assert one.class_names == names
    for before, after in ((images_of(*train), one), (images_of(*test), other)):
        if before.class_names:
            words = [before.class_names[label] for label in before.labels]
            shown = [after.class_names[label] for label in after.labels]
            assert words == shown


def test_colours_first_and_last_are_brought_together():
    pixels = bytes_of((2, 4, 5, 3))
    last = LabelledImages(pixels.reshape(2, -1), np.zeros(2, int), (), (4, 5, 3))
    first = LabelledImages(
        pixels.transpose(0, 3, 1, 2).reshape(2, -1).copy(), np.zeros(2, int), (), (3, 4, 5)
    )
    for train, test in ((first, last), (last, first)):
        turned = datasets.matched(train, test)[1]
        assert turned.images.tolist() == train.images.tolist()
        assert turned.image_shape == train.image_shape
    with pytest.raises(ValueError, match=r"test must have images of shape \(2, 8\).*\(4, 4\)"):
        datasets.matched(images_of([0], shape=(2, 8)), images_of([0], shape=(4, 4)))
    flat = images_of([0], shape=(16,))
    assert datasets.matched(images_of([0], shape=(4, 4)), flat)[1] is flat


def test_short_forms():
    images, labels = np.zeros((60, 784), np.uint8), np.arange(60) % 10
    data = Dataset(images, labels, images[:9], labels[:9], tuple("0123456789"), (28, 28))
    assert repr(data) == (
        "Dataset(train=60 x 784 uint8, test=9 x 784 uint8, 10 classes, image_shape=(28, 28))"
    )
    part = LabelledImages(images[:1], labels[:1], (), (28, 28))
    assert repr(part) == "LabelledImages(1 x 784 uint8, 1 class, image_shape=(28, 28))"


def run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_classify_with_each_kind_of_set(tmp_path, capsys):
    emnist = tmp_path / "emnist"
    write_idx_set(emnist, "emnist-letters-", "test", 26, 1)
    out = run(capsys, "classify", "--train", emnist, "--k", 1)
    assert "(1 of 26)" in out or "of 26)" in out
    assert any(line.split()[:2] == ["0", "a"] for line in out.splitlines())
    assert any(line.split()[:2] == ["25", "z"] for line in out.splitlines())

    write_cifar_tar(tmp_path / "cifar-10-binary.tar.gz", False, False)
    assert "of 2)" in run(capsys, "classify", "--train", tmp_path / "cifar-10-binary.tar.gz")
    np.savez(tmp_path / "m.npz", x_train=X4, y_train=Y4, x_test=X4[:3], y_test=Y4[:3, None])
    for more in ([], ["--test", tmp_path / "m.npz"]):
        out = run(capsys, "classify", "--train", tmp_path / "m.npz", "--k", 1, *more)
        assert "100.00% (3 of 3)" in out
    assert main(["classify", "--train", str(tmp_path), "--test", str(tmp_path / "m.npz")]) == 2


def test_classify_matches_the_words_of_two_files(tmp_path, capsys):
    pytest.importorskip("pandas")
    pixels = [[0, 0], [99, 0], [0, 99]]
    write_table(tmp_path / "a.csv", ["cat", "dog", "emu"], pixels)
    write_table(tmp_path / "b.csv", ["dog", "emu"], pixels[1:])
    paths = ["--train", tmp_path / "a.csv", "--test", tmp_path / "b.csv"]
    output = tmp_path / "p.csv"
    assert "100.00% (2 of 2)" in run(capsys, "classify", *paths, "--k", 1, "--output", output)
    assert output.read_text().splitlines()[1:] == ["0,dog,dog,1", "1,emu,emu,2"]


# Random damage -------------------------------------------------------------------------------


def damaged_sources(folder):
    """The path to load, and the files of a valid set that are damaged one after the other."""
    folder.mkdir()
    sources = {}

    def add(name, write, path=None, files=None):
        place = folder / name
        place.mkdir()
        write(place)
        found = [file for file in sorted(place.rglob("*")) if file.is_file()]
        sources[name] = (
            place / path if path else place,
            [file for file in found if files is None or file.name in files],
        )

    add("idx", lambda place: write_idx_set(place, zipped=False))
    add("idx zipped", lambda place: write_idx_set(place, "emnist-letters-", "test", 26, 1, True))
    for hundred, python in FOLDERS:
        name = FOLDERS[hundred, python][0]
        add(
            name,
            lambda place, hundred=hundred, python=python: write_cifar_folder(
                place / "x", hundred, python
            ),
            "x",
        )
        archive = FOLDERS[hundred, python][1]
        add(
            archive,
            lambda place, hundred=hundred, python=python, archive=archive: write_cifar_tar(
                place / archive, hundred, python
            ),
        )
    add("tar", lambda place: write_cifar_tar(place / "c.tar", True, True, mode="w"), "c.tar")
    add("stl10", write_stl10)
    add("svhn", write_svhn)
    add("svhn compressed", lambda place: write_svhn(place, True))
    add("npz", lambda place: np.savez_compressed(
        place / "m.npz", x_train=X4, y_train=Y4, x_test=X4, y_test=Y4), "m.npz")  # fmt: skip

    def write_pair(place):
        for split in ("train", "test"):
            np.save(place / f"X_{split}.npy", X4)
            np.save(place / f"y_{split}.npy", Y4)

    add("npy", write_pair)

    def write_tables(place):
        for split in ("train", "test"):
            write_table(place / f"{split}.csv", ["ab", "b", "c", "b"], X4.reshape(4, 6).tolist())

    add("csv", write_tables)
    for ending in ("png", "jpg", "gif", "bmp", "tiff", "webp"):

        def write_all(place, ending=ending):
            for split in ("train", "test"):
                write_pictures(place / split, ["a", "b"], count=1, ending=ending)

        add(ending, write_all)
    return sources


def outcome(path, named):
    """What is loaded, or None; whatever else is raised than an error that names a file fails."""
    message = None
    try:
        data = load_dataset(path)
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    if message is not None:
        assert str(named) in message
        return None
    assert data.train.shape == (len(data.train_labels), np.prod(data.image_shape))
    assert data.test.shape[1] == data.train.shape[1]
    return data


KINDS = [
    *("idx", "idx zipped", "tar", "stl10", "svhn", "svhn compressed", "npz", "npy", "csv"),
    *(name for pair in FOLDERS.values() for name in pair),
    *("png", "jpg", "gif", "bmp", "tiff", "webp"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    pytest.importorskip("pandas")
    pytest.importorskip("PIL")
    return damaged_sources(tmp_path_factory.mktemp("damaged") / "all")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(sources, kind):
    path, files = sources[kind]
    whole_set = outcome(path, path)
    assert whole_set is not None
    for file in files:
        whole = file.read_bytes()
        places = np.unique(np.linspace(0, len(whole) - 1, 50 // len(files) + 2).astype(int))
        for cut in places.tolist():
            file.write_bytes(whole[:cut])
            data = outcome(path, path)
            if (
                data is not None
                and kind not in ("csv",)
                and data.train.shape == whole_set.train.shape
            ):
                unread = file.suffix in (".txt", ".html", ".gz", ".tar", ".gif", ".bmp", ".tiff")
                assert unread or (data.train == whole_set.train).all()
        file.write_bytes(whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_files_with_flipped_bytes(sources, kind):
    path, files = sources[kind]
    chance = generator(5)
    for file in files:
        whole = file.read_bytes()
        for trial in range(120 // len(files) + 4):
            damaged = bytearray(whole)
            last = len(whole) if trial % 2 else min(len(whole), 600)
            for place in chance.integers(0, last, 1 + trial % 3):
                damaged[place] = chance.integers(0, 256)
            file.write_bytes(damaged)
            outcome(path, path)
        file.write_bytes(whole)


def test_table_is_whole():
    names = [kind.name for kind in _table.FORMATS]
    assert len(set(names)) == len(names) >= 14
    for kind in _table.FORMATS:
        assert set(kind.parts) <= {"train", "test", "names"}
    assert _idx.NAMES["letters"][0] == "N/A"


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(20)])
def test_damaged_parquet_is_said_without_any_package(tmp_path, monkeypatch, content):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "some.parquet").write_bytes(content)
    message = r"some\.parquet: expected a Parquet table, found one that is cut off"
    with pytest.raises(ValueError, match=message):
        load_labelled_images(tmp_path / "some.parquet")
