import doctest
import gzip
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastknn import datasets
from fastknn._utils import npy as _arrays
from fastknn.datasets import (
    _idx,
    _pickles,
    _sets,
    load_cifar10,
    load_labelled_images,
    load_mnist,
)

CLASSES = ["airplane", "automobile", "bird", "cat", "deer"]
CLASSES += ["dog", "frog", "horse", "ship", "truck"]
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
COUNTS = [3, 1, 2, 4, 2, 5]  # images a batch, uneven on purpose


def random_batch(count, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 3072), np.uint8), generator.integers(0, 10, count)


def cifar_batches():
    """Images and labels by batch name."""
    pairs = [random_batch(count, seed) for seed, count in enumerate(COUNTS)]
    return dict(zip(BATCHES, pairs, strict=True))


def binary_bytes(images, labels):
    return np.column_stack([labels.astype(np.uint8), images]).tobytes()


def write_binary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    for name, (images, labels) in cifar_batches().items():
        (folder / f"{name}.bin").write_bytes(binary_bytes(images, labels))
    return folder


def pickled_batch(images, labels, protocol=2, key=str.encode):
    batch = {key("batch_label"): b"", key("labels"): labels.tolist(), key("data"): images}
    return pickle.dumps(batch, protocol=protocol)


def write_python(folder, protocol=2, key=str.encode):
    folder.mkdir(parents=True, exist_ok=True)
    names = {key("num_vis"): 3072, key("label_names"): [key(name) for name in CLASSES]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=protocol))
    for name, (images, labels) in cifar_batches().items():
        (folder / name).write_bytes(pickled_batch(images, labels, protocol, key))
    return folder


def idx_bytes(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist_arrays():
    generator = np.random.default_rng(7)
    arrays = {}
    for part, count in (("train", 6), ("t10k", 3)):
        arrays[f"{part}-images-idx3-ubyte"] = generator.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = generator.integers(0, 10, count)
    return arrays


def write_mnist(folder, zipped=False, dotted=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in mnist_arrays().items():
        name = name.replace("-idx", ".idx") if dotted else name
        content = idx_bytes(array)
        if zipped:
            name, content = f"{name}.gz", gzip.compress(content, 1)
        (folder / name).write_bytes(content)
    return folder


def assert_one_copy(images):
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    assert images.flags.owndata
    assert images.base is None


def assert_cifar(cifar):
    batches = list(cifar_batches().values())
    assert np.array_equal(cifar.train, np.concatenate([images for images, _ in batches[:5]]))
    assert np.array_equal(cifar.train_labels, np.concatenate([labels for _, labels in batches[:5]]))
    assert np.array_equal(cifar.test, batches[5][0])
    assert np.array_equal(cifar.test_labels, batches[5][1])
    assert cifar.train_labels.dtype == cifar.test_labels.dtype == np.int64
    assert cifar.class_names == tuple(CLASSES)
    assert cifar.image_shape == (3, 32, 32)
    assert_one_copy(cifar.train)
    assert_one_copy(cifar.test)


# Whole sets


@pytest.mark.parametrize("write", [write_binary, write_python])
def test_cifar10_round_trip(tmp_path, write):
    assert_cifar(load_cifar10(write(tmp_path / "any name")))


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_binary, "cifar-10-batches-bin"), (write_python, "cifar-10-batches-py")],
)
def test_cifar10_from_the_parent_folder(tmp_path, monkeypatch, write, name):
    write(tmp_path / name)
    assert_cifar(load_cifar10(str(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_cifar(load_cifar10("~"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("key", [str.encode, str], ids=["bytes", "str"])
def test_python_layout_of_every_protocol(tmp_path, protocol, key):
    assert_cifar(load_cifar10(write_python(tmp_path, protocol, key)))


def test_python_layout_as_numpy_1_and_python_2_wrote_it(tmp_path):
    # Protocol 2, byte strings for everything, and the module's old name.
    images, labels = random_batch(2, 0)
    content = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ"
        b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", images.size)
        + images.tobytes()
        + b"tbU\x06labels](K"
        + bytes([labels[0]])
        + b"K"
        + bytes([labels[1]])
        + b"eu."
    )
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    loaded = load_labelled_images(path)
    assert np.array_equal(loaded.images, images)
    assert np.array_equal(loaded.labels, labels)


@pytest.mark.parametrize("protocol", [2, 5])
def test_python_layout_of_a_fortran_ordered_array(tmp_path, protocol):
    images, labels = random_batch(3, 1)
    path = tmp_path / "test_batch"
    path.write_bytes(pickled_batch(np.asfortranarray(images), labels, protocol))
    loaded = load_labelled_images(path)
    assert np.array_equal(loaded.images, images)
    assert_one_copy(loaded.images)


def test_python_layout_with_numpy_integers_for_labels(tmp_path):
    images, labels = random_batch(3, 1)
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({"data": images, "labels": list(labels)}))
    assert np.array_equal(load_labelled_images(path).labels, labels)


def test_layout_is_binary_first_and_can_be_chosen(tmp_path):
    binary = write_binary(tmp_path / "cifar-10-batches-bin")
    write_python(tmp_path / "cifar-10-batches-py")
    (binary / "data_batch_1.bin").write_bytes(bytes([9]) * 3073)
    assert load_cifar10(tmp_path).train_labels[0] == 9
    assert load_cifar10(tmp_path, layout="binary").train_labels[0] == 9
    assert_cifar(load_cifar10(tmp_path, layout="python"))
    for layout in ("text", ["binary"], 1):
        with pytest.raises(ValueError, match="layout must be"):
            load_cifar10(tmp_path, layout=layout)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_mnist_round_trip(tmp_path, zipped, dotted):
    mnist = load_mnist(write_mnist(tmp_path, zipped, dotted))
    arrays = list(mnist_arrays().values())
    assert np.array_equal(mnist.train, arrays[0].reshape(6, 784))
    assert np.array_equal(mnist.train_labels, arrays[1])
    assert np.array_equal(mnist.test, arrays[2].reshape(3, 784))
    assert np.array_equal(mnist.test_labels, arrays[3])
    assert mnist.train_labels.dtype == mnist.test_labels.dtype == np.int64
    assert mnist.class_names == tuple("0123456789")
    assert mnist.image_shape == (28, 28)
    assert_one_copy(mnist.train)
    assert_one_copy(mnist.test)


def test_binary_batch_of_more_than_one_read(tmp_path):
    images, labels = random_batch(700, 3)
    path = tmp_path / "test_batch.bin"
    path.write_bytes(binary_bytes(images, labels))
    loaded = load_labelled_images(path)
    assert np.array_equal(loaded.images, images)
    assert np.array_equal(loaded.labels, labels)


def test_gzip_of_more_than_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(_idx, "TRUSTED_BYTES", 1000)
    monkeypatch.setattr(_arrays, "CHUNK_BYTES", 300)
    mnist = load_mnist(write_mnist(tmp_path, zipped=True))
    assert np.array_equal(mnist.train, mnist_arrays()["train-images-idx3-ubyte"].reshape(6, 784))
    assert_one_copy(mnist.train)


def test_examples_in_the_docstrings():
    results = [doctest.testmod(module) for module in (datasets, _sets)]
    assert sum(result.attempted for result in results) >= 15
    assert not any(result.failed for result in results)


# One set from one path


@pytest.mark.parametrize(
    ("write", "file"), [(write_binary, "test_batch.bin"), (write_python, "test_batch")]
)
def test_one_cifar_batch(tmp_path, write, file):
    write(tmp_path)
    names = next(tmp_path.glob("batches.meta*"))
    for expected in (tuple(reversed(CLASSES)), tuple(CLASSES)):
        if expected[0] == "truck":
            label_names = [name.encode() for name in expected]
            text = b"\r\n".join(label_names)
            names.write_bytes(
                text if names.suffix == ".txt" else pickle.dumps({b"label_names": label_names})
            )
        else:
            names.unlink()  # the official names are used then
        images, labels, class_names, image_shape = load_labelled_images(tmp_path / file)
        assert np.array_equal(images, cifar_batches()["test_batch"][0])
        assert np.array_equal(labels, cifar_batches()["test_batch"][1])
        assert class_names == expected
        assert image_shape == (3, 32, 32)


def test_binary_batch_that_begins_like_an_idx_file(tmp_path):
    path = tmp_path / "images.bin"
    path.write_bytes(b"\0\0\x08\x03" + bytes(3069))
    assert load_labelled_images(path).images[0, :3].tolist() == [0, 8, 3]


@pytest.mark.parametrize("zipped", [False, True])
def test_one_idx_file_of_any_image_shape(tmp_path, zipped):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4, 2, 5), np.uint8)
    content = idx_bytes(images)
    path = tmp_path / "small-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    # The labels are spelt otherwise, and zipped if the images are not.
    content = idx_bytes(np.array([0, 9, 5, 0]))
    (tmp_path / ("small-labels.idx1-ubyte" + ("" if zipped else ".gz"))).write_bytes(
        content if zipped else gzip.compress(content)
    )
    loaded = load_labelled_images(path)
    assert np.array_equal(loaded.images, images.reshape(4, 10))
    assert loaded.labels.tolist() == [0, 9, 5, 0]
    assert loaded.image_shape == (2, 5)
    assert_one_copy(loaded.images)


@pytest.mark.parametrize("write", [write_binary, write_python, write_mnist])
def test_one_part_of_a_folder(tmp_path, write):
    folder = write(tmp_path)
    whole = load_mnist(folder) if write is write_mnist else load_cifar10(folder)
    train = load_labelled_images(folder)
    assert np.array_equal(train.images, whole.train)
    assert np.array_equal(train.labels, whole.train_labels)
    test = load_labelled_images(folder, split="test")
    assert np.array_equal(test.images, whole.test)
    assert np.array_equal(test.labels, whole.test_labels)
    assert test.class_names == whole.class_names
    assert test.image_shape == whole.image_shape


def test_a_file_has_no_test_part(tmp_path):
    write_binary(tmp_path)
    write_mnist(tmp_path)
    np.savez(tmp_path / "set.npz", X=np.zeros((3, 4)), y=[0, 1, 2])
    write_python(tmp_path)
    for name in ("set.npz", "test_batch.bin", "test_batch", "t10k-images-idx3-ubyte"):
        assert len(load_labelled_images(tmp_path / name, split="train").images)
        with pytest.raises(ValueError, match=rf"{name}: .*the test part, found a file, which has"):
            load_labelled_images(tmp_path / name, split="test")


@pytest.mark.parametrize("path", [None, 3, b"set.npz", ["set.npz"]])
def test_path_must_be_one(path):
    for load in (load_cifar10, load_mnist, load_labelled_images):
        with pytest.raises(TypeError, match=r"^path must be a path, a str or os\.PathLike; got "):
            load(path)


def test_split_must_be_known(tmp_path):
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'both'"):
        load_labelled_images(write_binary(tmp_path), split="both")


@pytest.mark.parametrize("names", [("X", "y"), ("images", "labels")])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.dtype(">f4")])
def test_numpy_archive(tmp_path, names, dtype):
    images = np.asfortranarray(np.arange(24).reshape(3, 2, 4).astype(dtype))
    path = tmp_path / "set.npz"
    np.savez(path, **{names[0]: images, names[1]: np.array([4, -1, 700], np.int16)})
    loaded = load_labelled_images(path)
    assert np.array_equal(loaded.images, np.arange(24).reshape(3, 8))
    assert loaded.images.dtype == np.dtype(dtype).newbyteorder("=")
    assert loaded.images.flags.c_contiguous
    assert loaded.labels.tolist() == [4, -1, 700]
    assert loaded.labels.dtype == np.int64
    assert loaded.class_names == ()
    assert loaded.image_shape == (2, 4)


def test_numpy_archive_in_fortran_order(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, X=np.asfortranarray(np.arange(12).reshape(3, 4)), y=[0, 1, 2])
    images = load_labelled_images(path).images
    assert np.array_equal(images, np.arange(12).reshape(3, 4))
    assert images.flags.c_contiguous


# Files that are missing, foreign or malformed


def test_nothing_at_the_path(tmp_path):
    for load in (load_cifar10, load_mnist, load_labelled_images):
        with pytest.raises(FileNotFoundError, match=r"nowhere: expected a .*found nothing"):
            load(tmp_path / "nowhere")


def test_folder_without_a_set(tmp_path):
    for load, expected in (
        (load_cifar10, "data_batch_1.bin"),
        (load_mnist, "train-images-idx3-ubyte"),
        (load_labelled_images, "MNIST"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{expected}.*found an empty folder"):
            load(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"found notes\.txt"):
        load_cifar10(tmp_path)


def test_file_where_a_folder_is_needed(tmp_path):
    write_binary(tmp_path)
    with pytest.raises(ValueError, match=r"test_batch\.bin: expected a folder, found a file"):
        load_cifar10(tmp_path / "test_batch.bin")


@pytest.mark.parametrize(
    ("write", "load"),
    [(write_binary, load_cifar10), (write_python, load_cifar10), (write_mnist, load_mnist)],
)
def test_every_missing_file_is_named(tmp_path, write, load):
    for file in sorted(write(tmp_path).iterdir()):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(FileNotFoundError, match=rf"{file.name}: expected this file"):
            load(tmp_path)
        file.write_bytes(content)
    load(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 3 * 3073 - 1])
def test_binary_batch_of_a_wrong_size(tmp_path, size):
    write_binary(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes(size))
    with pytest.raises(ValueError, match=rf"data_batch_3\.bin: .* 3073 bytes.* found {size} bytes"):
        load_cifar10(tmp_path)


def test_binary_batch_with_a_label_out_of_range(tmp_path):
    write_binary(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(3073) + bytes([10]) + bytes(3072))
    with pytest.raises(ValueError, match=r"test_batch\.bin: .*0 to 9, found 10 at place 1"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize("content", [b"", b"cat\ndog\n", b"\n".join([b"\xff"] * 10)])
def test_binary_class_names_malformed(tmp_path, content):
    write_binary(tmp_path)
    (tmp_path / "batches.meta.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"batches\.meta\.txt: expected .*class names"):
        load_cifar10(tmp_path)


IMAGES, LABELS = random_batch(2, 0)
PIXELS = IMAGES.tobytes()


class DamagedArray:
    """Pickles as an array of two images would, but for the parts that are given."""

    def __init__(self, shape=(2, 3072), dtype=IMAGES.dtype, raw=PIXELS):
        self.state = (1, shape, dtype, False, raw)

    def __reduce__(self):
        function, arguments, _ = np.empty(0, np.uint8).__reduce__()
        return function, arguments, self.state


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "expected a pickled dictionary, found .* list"),
        ({b"labels": [1, 2]}, "expected an entry 'data'"),
        ({b"data": IMAGES}, "expected an entry 'labels'"),
        ({b"data": [[0] * 3072] * 2, b"labels": [1, 2]}, "NumPy array, found .* list"),
        ({b"data": IMAGES.astype(np.int16), b"labels": [1, 2]}, r"found int16 of shape \(2, 3072"),
        ({b"data": IMAGES.astype(float), b"labels": [1, 2]}, "dtype is '<f8'"),
        ({b"data": IMAGES.astype(object), b"labels": [1, 2]}, "values are not bytes"),
        ({b"data": IMAGES[:, 1:], b"labels": [1, 2]}, r"3072\).*found uint8 of shape \(2, 3071"),
        ({b"data": IMAGES.ravel(), b"labels": [1, 2]}, r"3072\).*found uint8 of shape \(6144"),
        ({b"data": IMAGES[:0], b"labels": []}, "n at least 1"),
        ({b"data": IMAGES, b"labels": [1]}, "as many labels as images, 2, found 1"),
        ({b"data": IMAGES, b"labels": (1, 2)}, "list of integers"),
        ({b"data": IMAGES, b"labels": [1, True]}, "list of integers"),
        ({b"data": IMAGES, b"labels": [1, 2.0]}, "list of integers"),
        ({b"data": IMAGES, b"labels": [1, [2]]}, "list of integers"),
        ({b"data": IMAGES, b"labels": [1, -1]}, "0 to 9, found -1 at place 1"),
        ({b"data": IMAGES, b"labels": [10, 1]}, "0 to 9, found 10 at place 0"),
        ({b"data": IMAGES, b"labels": [10**6000, 1]}, "64 bits"),
        ({b"data": IMAGES, b"labels": {1, 2}}, "cannot be read"),
        ({b"data": DamagedArray(shape=(3, 3072)), b"labels": [1, 2]}, "a malformed one"),
        ({b"data": DamagedArray(shape=(2**62, 3072)), b"labels": [1, 2]}, "a malformed one"),
        ({b"data": DamagedArray(shape=None), b"labels": [1, 2]}, "a malformed one"),
        ({b"data": DamagedArray(shape=(2, -1)), b"labels": [1, 2]}, "shape is not of sizes"),
        ({b"data": DamagedArray(dtype=np.dtype("O")), b"labels": [1, 2]}, r"dtype is '\|O8'"),
        ({b"data": DamagedArray(dtype="u1"), b"labels": [1, 2]}, "a malformed one"),
        ({b"data": DamagedArray(raw=PIXELS[:-1]), b"labels": [1, 2]}, "a malformed one"),
        ({b"data": DamagedArray(raw=[0] * 6144), b"labels": [1, 2]}, "values are not bytes"),
    ],
)
def test_python_batch_with_other_contents(tmp_path, batch, message):
    write_python(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(ValueError, match=rf"data_batch_2: .*({message})"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    "names",
    [{}, {"label_names": "cat"}, {"label_names": ["cat"]}, {"label_names": [1] * 10},
     {"label_names": [b"\xff"] * 10}],
)  # fmt: skip
def test_python_class_names_malformed(tmp_path, names):
    write_python(tmp_path)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(names))
    with pytest.raises(ValueError, match=r"batches\.meta: expected"):
        load_cifar10(tmp_path)


def test_python_batch_truncated_or_with_bytes_to_spare(tmp_path):
    write_python(tmp_path)
    path = tmp_path / "data_batch_2"
    content = path.read_bytes()
    for cut in (0, 1, 2, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match="data_batch_2: expected a pickle"):
            load_cifar10(tmp_path)
    path.write_bytes(content + b".")
    with pytest.raises(ValueError, match=r"data_batch_2: .*bytes after its end"):
        load_cifar10(tmp_path)


# Pickles that are up to something


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def open_a_marker(path):
    code = f"open({str(path)!r}, 'w').close()"
    return [
        b"cos\nsystem\n(S'touch " + bytes(path) + b"'\ntR.",
        b"cposix\nsystem\n(S'touch " + bytes(path) + b"'\ntR.",
        b"(S'touch " + bytes(path) + b"'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch " + bytes(path) + b"'\no.",
        pickle.dumps(Call(eval, code), 2),
        pickle.dumps(Call(eval, code), 4),
        pickle.dumps({b"data": IMAGES, b"labels": [Call(exec, code)]}),
        # Through an admitted module, and through an attribute of an admitted name.
        b"cnumpy\nsave\n(S'" + bytes(path) + b"'\n]tR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        b"cnumpy.core.multiarray\nos.system\n.",
    ]


@pytest.mark.parametrize("number", range(11))
def test_malicious_pickle_is_refused_and_not_run(tmp_path, number):
    marker = tmp_path / "marker"
    content = open_a_marker(marker)[number]
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data_batch_1: .*refers to '[\w.]+', which is refused"):
        load_labelled_images(path)
    assert not marker.exists()


def test_the_malicious_pickles_would_work_elsewhere(tmp_path):
    for content in open_a_marker(tmp_path / "marker")[:7]:
        pickle.loads(content)
        (tmp_path / "marker").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02Pkey\n.", "persistent id"),
        (b"\x80\x02K\x01Q.", "persistent id"),
        (b"\x80\x02\x82\x01.", "extension code"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x04\0\0\0zlib\x86R.", "Latin-1"),
        # BUILD on the class of a stand-in, to change it for the next file.
        (b"\x80\x02cnumpy\ndtype\n}X\x05\0\0\0dtypeNsb.", "cannot be read"),
        (b"\x80\x02cnumpy\nndarray\nN}X\x05\0\0\0arrayNs\x86b.", "cannot be read"),
        # Hashing a deeply nested tuple would overflow the stack.
        (b"\x80\x02}N" + b"\x85" * 300_000 + b"Ns.", "a key that is no string"),
        (b"\x80\x02}(N" + b"\x85" * 300_000 + b"Nu.", "a key that is no string"),
        (b"\x80\x02(N" + b"\x85" * 300_000 + b"Nd.", "a key that is no string"),
        (b"\x80\x04(N" + b"\x85" * 300_000 + b"\x91.", "cannot be read"),
        (b"\x80\x04\x8f(N" + b"\x85" * 300_000 + b"\x90.", "cannot be read"),
    ],
)
def test_pickle_with_other_tricks(tmp_path, content, message):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"data_batch_1: .*{message}"):
        load_labelled_images(path)
    path.write_bytes(pickled_batch(IMAGES, LABELS))
    assert np.array_equal(load_labelled_images(path).images, IMAGES)


# Claims of more than there is


def peak_of_refusal(path):
    """Bytes taken while ``path`` is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=path.name):
            load_labelled_images(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"N\x8e" + struct.pack("<Q", 1 << 28),  # BINBYTES8
        b"N\x96" + struct.pack("<Q", 1 << 28),  # BYTEARRAY8
        b"\x95" + struct.pack("<Q", 1 << 28) + b"N.",  # FRAME
        b"Nr" + struct.pack("<I", 1 << 24) + b".",  # LONG_BINPUT, an index into the memo
    ],
)
def test_pickle_that_claims_much_takes_little(tmp_path, content):
    path = tmp_path / "data_batch_1"
    path.write_bytes(b"\x80\x05" + content)
    assert peak_of_refusal(path) < 10 << 20


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_header_that_claims_much_takes_little(tmp_path, zipped):
    path = write_mnist(tmp_path) / "train-images-idx3-ubyte"
    content = struct.pack(">4I", 0x803, 1 << 31, 1 << 16, 1 << 16) + bytes(100)
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert peak_of_refusal(path) < 100 << 20


# IDX files


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "magic number 0x00000803.*found an empty file"),
        ("train-images-idx3-ubyte", idx_bytes(np.zeros(6)), "magic .*found 0x00000801"),
        ("train-labels-idx1-ubyte", idx_bytes(np.zeros((6, 1, 1))), "0x00000801.*found 0x00000803"),
        ("t10k-images-idx3-ubyte", b"\0\0\x0d\x03" + bytes(12), "magic .*found 0x00000d03"),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\1", "header of 16 bytes, found 8"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((3, 28, 0))), r"found \(3, 28, 0\)"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((3, 28, 28)))[:-1], "2352 .*found 2351"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((3, 28, 28))) + b"0", "2352 bytes .*found"),
        ("t10k-images-idx3-ubyte", idx_bytes(np.zeros((3, 14, 56))), r"\(28, 28\), found \(14, 56"),
        ("train-labels-idx1-ubyte", idx_bytes(np.zeros(7)), "6 labels.*found 7"),
        ("train-labels-idx1-ubyte", idx_bytes(np.zeros(6))[:-2], "6 bytes .*found 4"),
        ("train-labels-idx1-ubyte", idx_bytes(np.zeros(6)) + b"0", "6 bytes .*found (7|more)"),
        ("t10k-labels-idx1-ubyte", idx_bytes(np.array([0, 9, 10])), "0 to 9, found 10 at place 2"),
    ],
)
def test_malformed_idx_file(tmp_path, zipped, file, content, message):
    write_mnist(tmp_path)
    (tmp_path / file).write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=rf"{file}: expected .*{message}"):
        load_mnist(tmp_path)


def test_damaged_gzip(tmp_path):
    path = write_mnist(tmp_path, zipped=True) / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (
        whole[:3],
        whole[: len(whole) // 2],
        whole[:-8],  # no checksum and size
        whole[:-8] + bytes(8),  # wrong ones
        whole[:10] + b"\xff" * 50 + whole[60:],
        whole + b"more",
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path.name}: expected a whole gzip file"):
            load_mnist(tmp_path)


def test_idx_file_without_its_labels(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte: expected this file"):
        load_labelled_images(tmp_path / "train-images-idx3-ubyte")
    path = (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "pictures")
    with pytest.raises(ValueError, match="pictures: expected 'images' in the name"):
        load_labelled_images(path)


# Other files


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG .*begins with b'"),
        (b"a,b,c\n1,2,3\n", "text that begins with 'a,b,c'.*begins with b'"),
    ],
)
def test_foreign_file(tmp_path, content, found):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"photo\.png: expected one of .*CIFAR.*found {found}"):
        load_labelled_images(path)


X, Y = np.zeros((3, 4), np.uint8), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X}, r"X and y, or images and labels, found \['X'\]"),
        ({"X": X, "labels": Y}, "X and y, or images and labels"),
        ({"X": X[0], "y": Y}, r"images .*found uint8 of shape \(4,\)"),
        ({"X": X[:0], "y": Y[:0]}, r"images .*found uint8 of shape \(0, 4\)"),
        ({"X": X[:, :0], "y": Y}, r"images .*found uint8 of shape \(3, 0\)"),
        ({"X": X.astype(complex), "y": Y}, "images .*found complex128"),
        ({"X": X, "y": Y[1:]}, r"labels .*\(3,\), found int64 of shape \(2,\)"),
        ({"X": X, "y": Y / 2}, "labels .*found float64"),
        ({"X": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}, "int64, found 9223372036854775810"),
        ({"X": X.astype(object), "y": Y}, "Python objects"),
    ],
)
def test_numpy_archive_with_other_contents(tmp_path, arrays, message):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"set\.npz: .*{message}"):
        load_labelled_images(path)


# Random damage: a set is loaded or the file is named, whatever the bytes


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """One valid file of each format, with what belongs to it beside it."""
    folder = tmp_path_factory.mktemp("samples")
    write_mnist(folder)
    write_mnist(folder, zipped=True)
    np.savez(folder / "small.npz", X=np.zeros((2, 3), np.uint8), y=[0, 1])
    images, labels = np.zeros((2, 3072), np.uint8), np.array([1, 2])
    (folder / "test_batch.bin").write_bytes(binary_bytes(images, labels))
    for protocol in (2, 4, 5):
        (folder / f"protocol_{protocol}").write_bytes(pickled_batch(images, labels, protocol))
    names = ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "small.npz", "test_batch.bin"]
    names += [f"protocol_{protocol}" for protocol in (2, 4, 5)]
    return folder, {name: (folder / name).read_bytes() for name in names}


def load_damaged(path: Path, content: bytes) -> bool:
    """Whether the file is accepted."""
    path.write_bytes(content)
    message = None
    try:
        images, labels, _, image_shape = load_labelled_images(path)
    except ValueError as error:
        message = str(error)
    if message is not None:
        assert str(path) in message
        return False
    assert images.shape == (len(labels), np.prod(image_shape))
    return True


FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = st.sampled_from(
    ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz", "small.npz", "test_batch.bin"]
    + [f"protocol_{protocol}" for protocol in (2, 4, 5)]
)


@FUZZ
@given(name=NAMES, head=st.booleans(), content=st.binary(max_size=200))
def test_random_bytes(samples, name, head, content):
    folder, valid = samples
    load_damaged(folder / name, valid[name][:4] * head + content)
    load_damaged(folder / "data_batch_1", b"\x80\x02" * head + content)


@FUZZ
@given(name=NAMES, cut=st.integers(min_value=1))
def test_truncation(samples, name, cut):
    folder, valid = samples
    kept = valid[name][: -(1 + cut % len(valid[name]))]
    whole_records = name == "test_batch.bin" and len(kept) == 3073
    assert load_damaged(folder / name, kept) == whole_records


@FUZZ
@given(
    name=NAMES,
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_bytes(samples, name, changes):
    folder, valid = samples
    content = bytearray(valid[name])
    # Pixels may be anything: only other places, of which the long runs of zeros have none.
    places = [place for place in range(len(content)) if any(content[max(0, place - 3) : place + 4])]
    for place, value in changes:
        content[places[place % len(places)]] = value
    load_damaged(folder / name, bytes(content))


OPCODES = st.sampled_from([bytes([code]) for code in _pickles._RestrictedUnpickler.dispatch])
GLOBALS = st.sampled_from([f"c{module}\n{name}\n".encode() for module, name in _pickles._ADMITTED])
VALUES = st.one_of(st.sampled_from([b"K\x01", b"U\x02u1", b"X\1\0\0\0a"]), st.binary(max_size=4))


@FUZZ
@given(st.lists(st.one_of(OPCODES, GLOBALS, VALUES), max_size=30))
def test_random_programs_of_opcodes(samples, program):
    folder, _ = samples
    assert not load_damaged(folder / "data_batch_1", b"\x80\x04" + b"".join(program) + b".")
