"""Training rows and queries: real images where this machine has them, else generated ones."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
CACHE = ROOT / ".benchmarks"


class Data(NamedTuple):
    """Rows and labels in two parts, and the name of the data."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    name: str
    real: bool = True


def cifar10() -> Data:
    """What FASTKNN_CIFAR10 names, or a copy as JPEG files below ../shared/data, or generated."""
    return _found("CIFAR-10", "FASTKNN_CIFAR10", SHARED / "cifar10_jpeg", _decoded, 50_000, 3072)


def mnist() -> Data:
    """What FASTKNN_MNIST names, or ../shared/data/mnist, or generated."""
    return _found("MNIST", "FASTKNN_MNIST", SHARED / "mnist", _loaded, 60_000, 784)


def gaussian(n_rows: int, n_queries: int, width: int) -> Data:
    """Noise of float32, in which no row stands out."""
    generator = np.random.default_rng(1)
    train = generator.normal(size=(n_rows, width)).astype(np.float32)
    test = generator.normal(size=(n_queries, width)).astype(np.float32)
    return Data(train, np.zeros(n_rows), test, np.zeros(n_queries), "noise", real=False)


def _found(
    name: str,
    variable: str,
    shared: Path,
    reader: Callable[[Path], tuple[np.ndarray, ...]],
    n_train: int,
    width: int,
) -> Data:
    if variable in os.environ:
        return Data(*_loaded(Path(os.environ[variable])), name)
    if shared.exists():
        return Data(*reader(shared), name)
    parts = _generated(n_train, 10_000, width)
    return Data(*parts, f"generated in the shape of {name}", real=False)


def _loaded(path: Path) -> tuple[np.ndarray, ...]:
    from fastknn.datasets import load_dataset

    data = load_dataset(path)
    return data.train, data.train_labels, data.test, data.test_labels


def _decoded(folder: Path) -> tuple[np.ndarray, ...]:
    """CIFAR-10 from JPEG files written one after another; decoded once, then cached."""
    cached = CACHE / "cifar10.npz"
    if not cached.exists():
        parts = {}
        for part in ("train", "test"):
            index = np.load(folder / f"{part}_index.npz")
            parts[part] = _pixels(folder / f"{part}.jpegs", index["length"])
            parts[f"{part}_labels"] = index["label"]
        CACHE.mkdir(exist_ok=True)
        np.savez(cached, **parts)
    with np.load(cached) as arrays:
        return tuple(arrays[name] for name in ("train", "train_labels", "test", "test_labels"))


def _pixels(path: Path, lengths: np.ndarray) -> np.ndarray:
    from PIL import Image

    blob, end = path.read_bytes(), 0
    pixels = np.empty((len(lengths), 3072), np.uint8)
    for row, length in zip(pixels, lengths.tolist(), strict=True):
        start, end = end, end + length
        image = np.asarray(Image.open(io.BytesIO(blob[start:end])))
        row[:] = image.transpose(2, 0, 1).ravel()  # red plane, green plane, blue plane
    return pixels


def _generated(n_train: int, n_test: int, width: int) -> tuple[np.ndarray, ...]:
    """Smooth random images, so that some are near each other."""
    generator = np.random.default_rng(0)
    basis = generator.normal(size=(24, width)).cumsum(axis=1).astype(np.float32)
    rows = generator.normal(size=(n_train + n_test, 24)).astype(np.float32) @ basis
    rows *= 50 / rows.std()
    rows += 128 + generator.normal(scale=10, size=(1, width)).astype(np.float32)
    images = np.clip(rows, 0, 255, out=rows).astype(np.uint8)
    labels = generator.integers(0, 10, n_train + n_test)
    return images[:n_train], labels[:n_train], images[n_train:], labels[n_train:]
