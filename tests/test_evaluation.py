"""Probes of embeddings and ground truth, against plain definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastknn import evaluation, ground_truth, probe
from fastknn.reference import reference_knn
from fastknn.vectors import open_vectors, write_ivecs


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
    centres = random.normal(size=(12, 24))
    labels = random.integers(0, 12, 400)
    features = centres[labels] + random.normal(size=(400, 24)) * 1.5
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
    monkeypatch.setattr(evaluation, "SHARE_ELEMENTS", 50)
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


@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("dtype", ["f4", "u1"])
@pytest.mark.parametrize("chunk", [1 << 30, 40 * 16, 1])
def test_ground_truth_in_chunks_and_out_of_files(tmp_path, metric, dtype, chunk, monkeypatch):
    random = np.random.default_rng(1)
    train, queries = (random.integers(0, 4, (n, 4)).astype(dtype) for n in (150, 20))  # many ties
    expected = reference_knn(queries, train, 150, metric)
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", chunk)
    ending = {"f4": "fvecs", "u1": "bvecs"}[dtype]
    write_vectors(tmp_path / f"train.{ending}", train)
    np.save(tmp_path / "queries.npy", queries)
    seen = []

    class Bar:
        def update(self, n):
            seen.append(n)

    for k in (1, 10, 150):
        truth = ground_truth(
            tmp_path / f"train.{ending}", str(tmp_path / "queries.npy"), k, metric, progress=Bar()
        )
        assert_array_equal(truth.indices, expected[1][:, :k])
        assert_array_equal(truth.distances, expected[0][:, :k])
        if k == 150:
            assert not truth.tied.any()
        else:
            assert_array_equal(truth.tied, expected[0][:, k] == expected[0][:, k - 1])
    assert sum(seen) == pytest.approx(3 * 20)


def test_ground_truth_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", 7 * 16)  # rows are copied so many at a time
    random = np.random.default_rng(1)
    train, queries = random.normal(size=(2, 30, 4)).astype("f4")
    truth = ground_truth(train, queries, 3, "cosine")
    truth.save(tmp_path / "truth.ivecs")
    assert_array_equal(open_vectors(tmp_path / "truth.ivecs"), truth.indices)
    truth.save(tmp_path / "truth.npy")
    assert_array_equal(np.load(tmp_path / "truth.npy"), truth.indices)
    with pytest.raises(ValueError, match=r"path must end in \.ivecs"):
        truth.save(tmp_path / "truth.txt")
    h5py = pytest.importorskip("h5py")
    truth.save(tmp_path / "truth.hdf5", train, queries)
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
        ground_truth(np.eye(3), np.eye(4), 1)
    with pytest.raises(ValueError, match="metric must be one of"):
        ground_truth(np.eye(3), np.eye(3), 1, "hamming")
    with pytest.raises(ValueError, match="train must be a matrix"):
        ground_truth(np.ones(3), np.eye(3), 1)
