"""Probes of embeddings and ground truth, against plain definitions."""

import gzip
import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from fastknn import ground_truth, knn, probe
from fastknn.evaluation import probing
from fastknn.evaluation import truth as truths
from fastknn.evaluation.vectors import open_vectors, write_ivecs
from fastknn.metrics import angles
from fastknn.reference import reference_knn


def plain_probe(train, train_labels, test, test_labels, k, temperature):
    """The published procedure: similarities, softmax weights, votes, sorted classes."""
    train, test = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (train, test))
    top1 = top5 = 0
    classes = np.unique(train_labels)
    for query, label in zip(test, test_labels, strict=True):
        similarity = train @ query
        nearest = np.argsort(-similarity, kind="stable")[:k]
        votes = [
            np.exp(similarity[nearest][train_labels[nearest] == c] / temperature).sum()
            for c in classes
        ]
        ranked = classes[np.argsort(-np.array(votes), kind="stable")]
        top1 += ranked[0] == label
        top5 += label in ranked[:5]
    return top1 / len(test), top5 / len(test)


@pytest.fixture(scope="module")
def embeddings():
    random = np.random.default_rng(0)
    centers = random.normal(size=(12, 24))
    labels = random.integers(0, 12, 400)
    features = centers[labels] + random.normal(size=(400, 24)) * 1.5
    return features[:300], labels[:300], features[300:], labels[300:]


def test_probe_is_the_published_procedure(embeddings):
    ks, temperatures = [1, 7, 50, 300], [0.07, 1.0, 0.01]
    results = probe(*embeddings, ks=ks, temperatures=temperatures)
    assert len(results["top1"]) == 12
    for k, temperature, top1, top5 in zip(*results.values(), strict=True):
        assert_allclose((top1, top5), plain_probe(*embeddings, k, temperature))
    assert set(results["n_neighbors"]) == set(ks)


def test_probe_of_names_chunks_and_tiny_temperatures(embeddings, monkeypatch):
    train, labels, test, test_labels = embeddings
    names = np.array([f"class {c:02}" for c in range(12)])
    expected = probe(*embeddings, ks=[20])
    monkeypatch.setattr(probing, "SHARE_ELEMENTS", 50)
    found = probe(train, names[labels], test, names[test_labels], ks=[20])
    assert_array_equal(found["top5"], expected["top5"])
    # As T goes to 0 the nearest decides, however large exp(s / T) would be.
    tiny = probe(*embeddings, ks=[1, 20], temperatures=[1e-5])["top1"]
    assert tiny[0] == tiny[1]
    assert_array_equal(
        probe(*embeddings, ks=[10_000])["top1"], probe(*embeddings, ks=[300])["top1"]
    )


def test_probe_never_finds_a_class_that_was_not_trained(embeddings):
    train, labels, test, _ = embeddings
    for strange in (99, -1):
        results = probe(train, labels % 3, test, np.full(len(test), strange), ks=[5])
        assert_array_equal([results["top1"], results["top5"]], [[0], [0]])


@pytest.mark.parametrize(
    ("named", "error", "match"),
    [
        ({"ks": []}, ValueError, "ks must not be empty"),
        ({"ks": 5}, TypeError, "ks must be a sequence"),
        ({"temperatures": []}, ValueError, "temperatures must not be empty"),
        ({"temperatures": 0.07}, TypeError, "temperatures must be a sequence"),
        ({"temperatures": ["warm"]}, ValueError, "temperatures must be positive"),
        ({"test_labels": ["a"] * 100}, ValueError, "test_labels must be of a kind with"),
        ({"ks": [0]}, ValueError, "ks must be at least 1"),
        ({"temperatures": [0.0]}, ValueError, "temperatures must be positive"),
        ({"temperatures": [np.nan]}, ValueError, "temperatures must be positive"),
        ({"train_labels": [1, 2]}, ValueError, "train_labels must have a label"),
        ({"test_features": np.ones((100, 3))}, ValueError, "test_features must be as wide"),
    ],
)
def test_bad_probes(embeddings, named, error, match):
    names = ("train_features", "train_labels", "test_features", "test_labels")
    with pytest.raises(error, match=match):
        probe(**{**dict(zip(names, embeddings, strict=True)), **named})


def write_vectors(path, rows):
    """The format, written the plain way."""
    with open(path, "wb") as file:
        for row in rows:
            file.write(np.int32(len(row)).tobytes() + row.tobytes())


@pytest.mark.parametrize(("ending", "dtype"), [("fvecs", "f4"), ("bvecs", "u1"), ("ivecs", "i4")])
@pytest.mark.parametrize("width", [1, 3, 128])
def test_vector_files(tmp_path, ending, dtype, width):
    rows = np.random.default_rng(0).integers(0, 200, (57, width)).astype(dtype)
    path = tmp_path / f"some.{ending}"
    write_vectors(path, rows)
    found = open_vectors(path)
    assert_array_equal(found, rows, strict=True)
    assert not found.flags.writeable
    if ending == "ivecs":
        write_ivecs(tmp_path / "again.ivecs", rows)
        assert (tmp_path / "again.ivecs").read_bytes() == path.read_bytes()


def test_bad_vector_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_vectors(tmp_path / "none.fvecs")
    (tmp_path / "some.txt").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"must end in \.npy"):
        open_vectors(tmp_path / "some.txt")
    for content, match in [
        (b"", "too short"),
        (b"\x02\0\0\0" + bytes(7), "not whole rows of width 2"),
        (b"\xff\xff\xff\xff" + bytes(8), "not whole rows of width -1"),
        (b"\x01\0\0\0" + bytes(4) + b"\x02\0\0\0" + bytes(4), "row 1 is not as wide"),
    ]:
        (tmp_path / "bad.fvecs").write_bytes(content)
        with pytest.raises(ValueError, match=match):
            open_vectors(tmp_path / "bad.fvecs")
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"not a \.npy file"):
        open_vectors(tmp_path / "bad.npy")
    np.save(tmp_path / "flat.npy", np.ones(3))
    with pytest.raises(ValueError, match="must hold a matrix"):
        open_vectors(tmp_path / "flat.npy")
    with pytest.raises(ValueError, match="within int32"):
        write_ivecs(tmp_path / "big.ivecs", [[2**40]])


HEADED = {"fbin": "f4", "f16bin": "f2", "u8bin": "u1", "i8bin": "i1", "ibin": "i4"}


def write_headed(path, rows):
    path.write_bytes(np.array(rows.shape, "<u4").tobytes() + rows.tobytes())


@pytest.mark.parametrize(("ending", "dtype"), HEADED.items())
@pytest.mark.parametrize("width", [1, 3, 128])
def test_headed_vector_files(tmp_path, ending, dtype, width):
    rows = np.random.default_rng(0).integers(-100, 100, (57, width)).astype(dtype)
    for name in (f"some.{ending}", f"some.{ending}.crop_nb_57"):
        write_headed(tmp_path / name, rows)
        found = open_vectors(tmp_path / name)
        assert_array_equal(found, rows, strict=True)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable


def test_bad_headed_vector_files(tmp_path):
    file = tmp_path / "bad.u8bin"
    rows = np.zeros((5, 4), np.uint8)
    write_headed(file, rows)
    whole = file.read_bytes()
    for content, match in [
        (b"", "too short for a header, 0 bytes; it looks like an empty file"),
        (whole[:7], "too short for a header, 7 bytes"),
        (
            whole[:-6],  # as a file that was cropped without its header
            r"its header tells 5 rows of width 4, which are 20 bytes of uint8, and it holds 14: "
            "the first 3 rows only",
        ),
        (whole + b"x", "which are 20 bytes of uint8, and it holds 21$"),
        (b"\xff" * 8 + whole, "4,294,967,295 rows of width 4,294,967,295, which are 18,446,.* 28$"),
        (bytes(8), "0 rows of width 0, and there must be some"),
        (b"\1\0\0\0" + bytes(4), "1 rows of width 0, and there must be some"),
        (gzip.compress(whole), "it looks like a file compressed by gzip"),
    ]:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"bad\.u8bin: .*{match}"):
            open_vectors(file)
    (tmp_path / "folder.fbin").mkdir()
    with pytest.raises(ValueError, match="expected a file, found a folder"):
        open_vectors(tmp_path / "folder.fbin")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_vectors(tmp_path / "none.fbin")


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_ground_truth_of_all_formats(tmp_path, metric, monkeypatch):
    monkeypatch.setattr(truths, "CHUNK_BYTES", 1000)
    generator = np.random.default_rng(1)
    for ending, dtype in {**HEADED, "fvecs": "f4", "bvecs": "u1", "ivecs": "i4"}.items():
        low = 0 if dtype == "u1" else -100
        train, queries = (generator.integers(low, 100, (n, 4)).astype(dtype) for n in (150, 20))
        for name, rows in (("train", train), ("queries", queries)):
            write = write_headed if ending.endswith("bin") else write_vectors
            write(tmp_path / f"{name}.{ending}", rows)
        truth = ground_truth(
            tmp_path / f"queries.{ending}", tmp_path / f"train.{ending}", 7, metric
        )
        expected = knn(queries.astype("f8"), train.astype("f8"), 7, metric)
        assert_array_equal(truth.indices, expected[1])
        assert_array_equal(truth.distances, expected[0])


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
@pytest.mark.parametrize("dtype", ["f4", ">f4", ">i2", "f2", "u1"])
def test_ground_truth_of_arrays_in_any_order(tmp_path, metric, dtype, monkeypatch):
    """Rows in Fortran order and in the other order of bytes, which no chunk has as it lies."""
    monkeypatch.setattr(truths, "CHUNK_BYTES", 1000)
    train, queries = (
        np.random.default_rng(1).integers(0, 100, (n, 4)).astype(dtype) for n in (150, 20)
    )
    np.save(tmp_path / "train.npy", np.asfortranarray(train))
    np.save(tmp_path / "queries.npy", np.asfortranarray(queries))
    truth = ground_truth(tmp_path / "queries.npy", tmp_path / "train.npy", 7, metric)
    expected = knn(queries.astype("f8"), train.astype("f8"), 7, metric)
    assert_array_equal(truth.indices, expected[1])
    assert_array_equal(truth.distances, expected[0])


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine", "correlation"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "f2", "i2", "i8", "f4", "f8", "?"])
def test_ground_truth_takes_memory_for_what_rows_become(tmp_path, metric, dtype, monkeypatch):
    """A part and its packed copy, whatever the file is of: bytes may become four times as much.

    For angles also its directions and their measures.
    """
    chunk, most = 1 << 20, 2.5 if metric in ("l1", "l2") else 4.5
    monkeypatch.setattr(truths, "CHUNK_BYTES", chunk)
    for elements in ("ELEMENTS", "BLOCK_ELEMENTS"):  # turned at a time
        monkeypatch.setattr(angles, elements, 1 << 14, raising=False)
    train = np.random.default_rng(0).integers(0, 100, (100_000, 16)).astype(dtype)
    np.save(tmp_path / "train.npy", train)
    for n_queries in (2, 9):  # nothing is packed, and all of a part
        tracemalloc.start()
        ground_truth(train[:n_queries].copy(), tmp_path / "train.npy", 5, metric, n_jobs=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most * chunk


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
@pytest.mark.parametrize("chunk", [1 << 30, 40 * 16, 1])
def test_ground_truth_in_chunks_and_out_of_files(tmp_path, metric, dtype, chunk, monkeypatch):
    random = np.random.default_rng(1)
    train, queries = (random.integers(0, 4, (n, 4)).astype(dtype) for n in (150, 20))  # many ties
    expected = reference_knn(queries, train, 150, metric)
    monkeypatch.setattr(truths, "CHUNK_BYTES", chunk)
    ending = {"f4": "fvecs", "u1": "bvecs"}[dtype]
    write_vectors(tmp_path / f"train.{ending}", train)
    np.save(tmp_path / "queries.npy", queries)
    seen = []

    class Bar:
        def update(self, n):
            seen.append(n)

    for k in (1, 10, 150):
        truth = ground_truth(
            str(tmp_path / "queries.npy"), tmp_path / f"train.{ending}", k, metric, progress=Bar()
        )
        assert_array_equal(truth.indices, expected[1][:, :k])
        assert_array_equal(truth.distances, expected[0][:, :k])
        if k == 150:
            assert not truth.tied.any()
        else:
            assert_array_equal(truth.tied, expected[0][:, k] == expected[0][:, k - 1])
    assert sum(seen) == pytest.approx(3 * 20)


def test_ground_truth_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(truths, "CHUNK_BYTES", 7 * 16)  # rows are copied so many at a time
    random = np.random.default_rng(1)
    train, queries = random.normal(size=(2, 30, 4)).astype("f4")
    truth = ground_truth(queries, train, 3, "cosine")
    truth.save(tmp_path / "truth.ivecs")
    assert_array_equal(open_vectors(tmp_path / "truth.ivecs"), truth.indices)
    truth.save(tmp_path / "truth.npy")
    assert_array_equal(np.load(tmp_path / "truth.npy"), truth.indices)
    with pytest.raises(ValueError, match=r"path must end in \.ivecs"):
        truth.save(tmp_path / "truth.txt")
    h5py = pytest.importorskip("h5py")
    truth.save(tmp_path / "truth.hdf5", queries, train)
    with h5py.File(tmp_path / "truth.hdf5") as file:
        assert_array_equal(file["neighbors"], truth.indices)
        assert_allclose(file["distances"], truth.distances, rtol=1e-6)
        assert_array_equal(file["train"], train)
        assert_array_equal(file["test"], queries)
        assert file.attrs["distance"] == "angular"
        assert file.attrs["dimension"] == 4


def test_bad_ground_truth():
    with pytest.raises(ValueError, match="k must be at most the number of training rows, 3"):
        ground_truth(np.eye(3), np.eye(3), 4)
    with pytest.raises(ValueError, match="queries must be as wide as train"):
        ground_truth(np.eye(4), np.eye(3), 1)
    with pytest.raises(ValueError, match="metric must be one of"):
        ground_truth(np.eye(3), np.eye(3), 1, "hamming")
    with pytest.raises(ValueError, match=r"train must have shape \(n_rows, width\), got \(3,\)"):
        ground_truth(np.eye(3), np.ones(3), 1)


BAD_ROWS = {
    # what `train` or `queries` may not be
    "sparse": (
        TypeError,
        "must be a dense array, got a sparse csr_matrix",
        sparse.csr_matrix([[1]]),
    ),
    "one row": (ValueError, r"must have shape \(n_\w+, (3|width)\), got \(3,\)", np.ones(3)),
    "three dimensions": (ValueError, r"must have shape .*got \(1, 3, 3\)", np.ones((1, 3, 3))),
    "scalar": (ValueError, r"must have shape .*got \(\)", 3.0),
    "no width": (ValueError, r"must not be empty, got shape \(3, 0\)", np.ones((3, 0))),
    "text": (TypeError, "must hold numbers .*<U1", [["a", "b", "c"]]),
    "objects": (TypeError, "must hold numbers .*object", np.ones((3, 3), object)),
    "complex": (TypeError, "must hold numbers .*complex128", np.ones((3, 3), complex)),
    "ragged": (ValueError, "must be a matrix", [[1.0, 2.0, 3.0], [1.0]]),
    "large": (ValueError, r"has integers beyond 2\*\*53", np.full((3, 3), 2**60)),
    "bytes": (ValueError, r"must have shape .*got \(\)", b"train.npy"),
}


@pytest.mark.parametrize(("error", "match", "rows"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows_of_ground_truth(tmp_path, error, match, rows):
    for queries in (np.eye(3), np.ones((4, 2))):  # which are looked at afterwards
        with pytest.raises(error, match=f"^train {match}"):
            ground_truth(queries, rows, 1)
    with pytest.raises(error, match=f"^queries {match}"):
        ground_truth(rows, np.eye(3), 1)
    truth = ground_truth(np.eye(3), np.eye(3), 1)
    for name in ("truth.ivecs", "truth.npy", *(["truth.h5"] if find_spec("h5py") else [])):
        with pytest.raises(error, match=f"^train {match}"):
            truth.save(tmp_path / name, np.eye(3), rows)
        with pytest.raises(error, match=f"^queries {match}"):
            truth.save(tmp_path / name, rows, np.eye(3))
        with pytest.raises(error, match=f"^queries {match}"):
            truth.save(tmp_path / name, queries=rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_is_found_before_any_search(tmp_path, monkeypatch, dtype, value):
    """By its row of all, although the rows would be searched in parts."""
    monkeypatch.setattr(truths, "CHUNK_BYTES", 100)
    monkeypatch.setattr("fastknn.engine._core.Panels", None)
    train, queries = np.ones((900, 3), dtype), np.ones((5, 3), dtype)
    train[777, 1] = value
    np.save(tmp_path / "train.npy", train)
    match = f"^train must be finite, found {value} at row 777, column 1$"
    for rows in (train, np.asfortranarray(train), train.tolist(), tmp_path / "train.npy"):
        with pytest.raises(ValueError, match=match):
            ground_truth(queries, rows, 1)
    with pytest.raises(
        ValueError, match=r"^queries must be finite, found .* at row 777, column 1$"
    ):
        ground_truth(train, queries, 1)
    if dtype == "f4":
        write_vectors(tmp_path / "train.fvecs", train)
        with pytest.raises(ValueError, match=match):
            ground_truth(queries, tmp_path / "train.fvecs", 1)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"k": 0},
        {"k": 41},
        {"k": 1.5},
        {"metric": "l3"},
        {"n_jobs": 0},
        {"n_jobs": "2"},
        {"progress": "yes"},
        {"progress": 1},
        {"queries": np.ones((2, 4))},
        {"queries": [[np.nan] * 3]},
    ],
)
def test_arguments_are_checked_before_any_work(monkeypatch, kwargs):
    monkeypatch.setattr("fastknn.engine._core.Panels", None)
    arguments = {"train": np.ones((40, 3)), "queries": np.ones((2, 3)), "k": 1, **kwargs}
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(kwargs))} must "):
        ground_truth(**arguments)


def test_ground_truth_of_tables_and_lists():
    rows = np.random.default_rng(0).integers(0, 9, (40, 3)).astype(np.uint8)
    expected = ground_truth(rows, rows, 5)
    others = [rows.tolist(), rows.astype(">f4"), np.asfortranarray(rows), rows.astype(np.int64)]
    if find_spec("pandas"):
        import pandas

        others.append(pandas.DataFrame(rows).astype("Int64"))
    for train in others:
        found = ground_truth(train, train, 5)
        assert_array_equal(found.indices, expected.indices)
        assert_array_equal(found.tied, expected.tied)


def test_what_is_saved_with_ground_truth(tmp_path):
    """Rows as they were searched, in any form that can be searched, or an error by name."""
    h5py = pytest.importorskip("h5py")
    random = np.random.default_rng(0)
    train, queries = random.integers(0, 9, (50, 3)).astype("f4"), random.normal(size=(20, 3))
    truth = ground_truth(queries, train, 50)
    path = tmp_path / "truth.hdf5"
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "queries.npy", queries)
    forms = [(tmp_path / "train.npy", str(tmp_path / "queries.npy")), (train, queries)]
    forms.append((train.tolist(), queries.tolist()))
    if find_spec("pandas"):
        import pandas

        forms.append((pandas.DataFrame(train), pandas.DataFrame(queries)))
    for rows, asked in forms:
        truth.save(path, asked, rows)
        with h5py.File(path) as file:
            assert_array_equal(file["train"], train)
            assert_array_equal(file["test"], queries)
            assert file.attrs["dimension"] == 3
        path.unlink()
    for rows, asked, error, match in (
        (train[:3], queries, ValueError, "train must have a row for each of indices, .* up to 49"),
        (train[:49], None, ValueError, "train must have a row for each of indices, .* up to 49"),
        (queries, train, ValueError, "train must have a row for each of indices"),
        (train, queries[:19], ValueError, "queries must be the 20 that indices are of, got 19"),
        (train, train, ValueError, "queries must be the 20 that indices are of, got 50"),
        (None, queries[:0], ValueError, "queries must be the 20 that indices are of, got 0"),
        (train, queries[:, :2], ValueError, "queries must be as wide as train: got 2 columns"),
        ("nowhere.npy", queries, FileNotFoundError, "nowhere.npy: no such file"),
        (train, "queries.txt", FileNotFoundError, "queries.txt: no such file"),
    ):
        for name in ("truth.hdf5", "truth.h5", "truth.ivecs", "truth.npy"):
            with pytest.raises(error, match=match):
                truth.save(tmp_path / name, asked, rows)
            assert not (tmp_path / name).exists()
    for other in (None, 3, b"truth.npy"):
        with pytest.raises(TypeError, match=r"^path must be a path, a str or os\.PathLike; got "):
            truth.save(other)


def test_no_queries_are_saved_too(tmp_path):
    truth = ground_truth(np.empty((0, 3)), np.eye(3), 2)
    truth.save(tmp_path / "truth.npy", np.empty((0, 3)), np.eye(3))
    assert np.load(tmp_path / "truth.npy").shape == (0, 2)
    if find_spec("h5py"):
        import h5py

        truth.save(tmp_path / "truth.h5", np.empty((0, 3)), np.eye(3))
        with h5py.File(tmp_path / "truth.h5") as file:
            assert file["test"].shape == (0, 3)


def test_bad_files_of_vectors(tmp_path):
    whole = tmp_path / "whole.npy"
    np.save(whole, np.ones((3, 3)))
    content = whole.read_bytes()
    np.savez(tmp_path / "zipped.npz", np.ones(3))
    zipped = (tmp_path / "zipped.npz").read_bytes()
    header = b"\x93NUMPY\x01\x00\x10\x00{garbage!!!!!!!!\n"
    for damaged in (b"", content[:20], content[:-1], zipped, header):
        whole.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"whole\.npy: not a \.npy file of numbers"):
            open_vectors(whole)
    np.save(whole, np.ones((3, 3), object))
    with pytest.raises(ValueError, match=r"whole\.npy: not a \.npy file of numbers"):
        open_vectors(whole)
    for path in (None, 3, b"whole.npy"):
        with pytest.raises(TypeError, match=r"^path must be a path"):
            open_vectors(path)
        with pytest.raises(TypeError, match=r"^path must be a path"):
            write_ivecs(path, [[1]])
    for rows in ([[1], [1, 2]], [[1.5]], [1], sparse.csr_matrix([[1]]), [["a"]]):
        with pytest.raises(ValueError, match=r"^rows must be a matrix of integers"):
            write_ivecs(tmp_path / "rows.ivecs", rows)


@pytest.mark.parametrize(
    ("named", "error", "match"),
    [
        ({"ks": [[1]]}, TypeError, "ks must be an integer"),
        ({"temperatures": [[1.0]]}, ValueError, "temperatures must be positive"),
        ({"temperatures": [True]}, ValueError, "temperatures must be positive"),
        ({"n_jobs": 0}, ValueError, "n_jobs must"),
        ({"progress": "yes"}, TypeError, "progress must"),
        ({"train_features": np.ones(24)}, ValueError, r"train_features must have shape \(n_rows, "),
        ({"test_features": sparse.eye(24).tocsr()}, TypeError, "test_features must be a dense"),
        ({"train_labels": [[1], [1, 2]]}, ValueError, "train_labels must be a sequence of labels"),
        ({"train_labels": np.ones((300, 2))}, ValueError, "train_labels must have one label per"),
        ({"train_labels": [np.nan] * 300}, ValueError, "train_labels must not be NaN, .* row 0"),
        ({"train_labels": [None, 1] * 150}, TypeError, "train_labels must be labels of one kind"),
        ({"test_labels": [1, None] * 50}, TypeError, "test_labels must be labels of one kind"),
        ({"test_labels": 3}, ValueError, "test_labels must have a label for each of 100 rows"),
    ],
)
def test_bad_probes_come_before_any_work(embeddings, monkeypatch, named, error, match):
    monkeypatch.setattr("fastknn.engine._core.Panels", None)
    names = ("train_features", "train_labels", "test_features", "test_labels")
    with pytest.raises(error, match=f"^{match}"):
        probe(**{**dict(zip(names, embeddings, strict=True)), **named})
