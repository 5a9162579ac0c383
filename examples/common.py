"""What the examples share: images to work on, and where their pictures go.

The images are CIFAR-10 where FASTKNN_CIFAR10 names its folder, else the 1,797 digits that come with
scikit-learn, so that every example runs anywhere.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("agg")


class Images(NamedTuple):
    """Flattened images of bytes, in two parts."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    shape: tuple[int, ...]
    names: list[str]

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """As matplotlib draws it: CIFAR-10 keeps its three colours one after another."""
        if len(self.shape) == 2:
            return pixels.reshape(self.shape)
        return pixels.reshape(self.shape[2], *self.shape[:2]).transpose(1, 2, 0)

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """Rows in the order of `picture`, flat again."""
        return np.stack([self.picture(row).ravel() for row in rows])


def images(n_train: int | None = None, n_test: int | None = None) -> Images:
    """The first of the training and of the test images; by default all."""
    folder = os.environ.get("FASTKNN_CIFAR10")
    if folder:
        from fastknn.datasets import load_cifar10

        data = load_cifar10(folder)
        parts = data.train, data.train_labels, data.test, data.test_labels
        shape, names = (32, 32, 3), list(data.class_names)
    else:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        pixels = (pixels * 15).astype(np.uint8)
        parts = pixels[:1297], labels[:1297], pixels[1297:], labels[1297:]
        shape, names = (8, 8), [str(digit) for digit in range(10)]
    train, train_labels, test, test_labels = parts
    return Images(
        train[:n_train], train_labels[:n_train], test[:n_test], test_labels[:n_test], shape, names
    )


def save(figure, name: str) -> None:
    """Write a picture into the folder that the command line names, by default this one."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=130)
    print(f"written: {folder / name}")
