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


# Data of few columns or few degrees of freedom, by name: all their rows, given a generator.
STRUCTURED: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "noise of 2 columns": lambda random, n: random.uniform(size=(n, 2)),
    "noise of 3 columns": lambda random, n: random.uniform(size=(n, 3)),
    "noise of 6 columns": lambda random, n: random.normal(size=(n, 6)),
    "noise of 8 columns": lambda random, n: random.normal(size=(n, 8)),
    "random walk": lambda random, n: random.normal(size=(n, 8)).cumsum(axis=0),
    "lags of a series": lambda random, n: np.lib.stride_tricks.sliding_window_view(
        random.normal(size=n + 11).cumsum(), 12
    ),
    "bent sheet": lambda random, n: np.cos(
        3 * random.uniform(size=(n, 2)) @ random.normal(size=(2, 10))
        + random.uniform(0, 2 * np.pi, 10)
    ),
    "6 factors": lambda random, n: (
        random.normal(size=(n, 6)) @ random.normal(size=(6, 20)) + 0.1 * random.normal(size=(n, 20))
    ),
    "cells": lambda random, n: _clusters(random, n, 50, 30, 8),
}


def structured(name: str, n_rows: int, n_queries: int = 2000) -> Data:
    """One of `STRUCTURED`, in float32; the queries are other rows of the same."""
    rows = STRUCTURED[name](np.random.default_rng(3), n_rows + n_queries).astype(np.float32)
    chosen = np.random.default_rng(4).choice(len(rows), n_queries, replace=False)
    rest = np.delete(rows, chosen, axis=0)
    labels = np.zeros(n_rows), np.zeros(n_queries)
    return Data(rest, labels[0], rows[chosen], labels[1], name, real=False)


def _clusters(
    random: np.random.Generator, n: int, width: int, n_clusters: int, degrees: int
) -> np.ndarray:
    """Clusters of few degrees of freedom each, with some noise: as single cells are after a PCA."""
    centers = 3 * random.normal(size=(n_clusters, width))
    directions = random.normal(size=(n_clusters, degrees, width)) / np.sqrt(degrees)
    rows = 0.1 * random.normal(size=(n, width))
    cluster = random.integers(0, n_clusters, n)
    for one in range(n_clusters):
        own = cluster == one
        rows[own] += centers[one] + random.normal(size=(own.sum(), degrees)) @ directions[one]
    return rows


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
