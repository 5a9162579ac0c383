"""The command ``fastknn demo``: scikit-learn's digits, classified by both packages."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fastknn._utils.scalars import as_k
from fastknn._utils.threads import thread_count
from fastknn.cli.arguments import add_k, add_n_jobs
from fastknn.cli.command import Command

if TYPE_CHECKING:
    from fastknn import KNeighborsClassifier

__all__ = ["COMMAND"]

DESCRIPTION = """\
Classify the 1,797 real digit images that come with scikit-learn, side by side with
scikit-learn's own classifier. No files are needed.
"""
# Characters for pixels, from white to black.
SHADES = " .:-=+*#%@"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_n_jobs(parser)
    add_k(parser)


def _execute(options: argparse.Namespace) -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import KNeighborsClassifier as TheirClassifier

    from fastknn import KNeighborsClassifier, cpu_level

    thread_count(options.n_jobs)
    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images.astype(np.uint8), labels, random_state=0
    )
    as_k(options.k, len(train))
    print(
        f"digits: {len(train):,} to learn from, {len(test):,} to classify, 8 x 8 pixels; "
        f"k={options.k}, {cpu_level()} kernels\n"
    )
    print("metric  classifier    accuracy    queries/s  same predictions")
    for metric in ("l1", "l2"):
        ours = KNeighborsClassifier(options.k, metric=metric, n_jobs=options.n_jobs)
        theirs = TheirClassifier(options.k, metric=metric, algorithm="brute", n_jobs=options.n_jobs)
        ours.fit(train, train_labels)
        theirs.fit(train.astype(np.float32), train_labels)
        our_guess, our_seconds = _timed(ours.predict, test)
        their_guess, their_seconds = _timed(theirs.predict, test.astype(np.float32))
        for name, guess, seconds in (
            ("fastknn", our_guess, our_seconds),
            ("scikit-learn", their_guess, their_seconds),
        ):
            accuracy = (guess == test_labels).mean()
            same = (guess == our_guess).sum()
            speed = f"{len(test) / seconds:12,.0f}"
            print(f"{metric:<8}{name:<14}{accuracy:8.2%} {speed}  {same} of {len(test)}")
    print("\n(Where distances tie, fastknn takes the lower index; scikit-learn does not say.)\n")
    _show_neighbors(ours, train, train_labels, test, test_labels)


def _timed(
    predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> tuple[np.ndarray, float]:
    """The predictions, and the median of the seconds of seven calls after a first one."""
    result, seconds = predict(images), []
    for _ in range(7):
        started = time.perf_counter()
        predict(images)
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


def _show_neighbors(
    model: "KNeighborsClassifier",
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
) -> None:
    """Print the first digit that is classified wrongly (or the first) and its neighbors."""
    wrong = np.flatnonzero(model.predict(test) != test_labels)
    row = wrong[0] if len(wrong) else 0
    distances, indices = model.kneighbors(test[row : row + 1], min(3, model.n_neighbors))
    pictures = [test[row], *train[indices[0]]]
    heads = [f"a {test_labels[row]}", *(f"a {train_labels[i]}" for i in indices[0])]
    feet = ["to classify", *(f"distance {distance:.1f}" for distance in distances[0])]
    print("A test digit that is hard, and its nearest training digits under L2:\n")
    print("  ".join(f"{head:<18}" for head in heads))
    for line in range(8):
        print("  ".join(f"{_shade(picture[line * 8 : line * 8 + 8]):<18}" for picture in pictures))
    print("  ".join(f"{foot:<18}" for foot in feet))


def _shade(pixels: np.ndarray) -> str:
    """Two characters per pixel, whose values go from 0 (blank) to 16 (black)."""
    return "".join(SHADES[int(pixel) * 9 // 16] * 2 for pixel in pixels)


COMMAND = Command(
    "demo",
    "classify scikit-learn's digits, side by side with scikit-learn",
    DESCRIPTION,
    _add_arguments,
    _execute,
)
