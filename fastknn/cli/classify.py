"""The command ``fastknn classify``: classify one set of images by another."""

import argparse
import csv
import time
from collections.abc import Sequence

import numpy as np

from fastknn._utils.files import written_whole
from fastknn._utils.scalars import as_k
from fastknn._utils.threads import thread_count
from fastknn.cli.arguments import (
    WEIGHTS,
    add_k,
    add_metric,
    add_n_jobs,
    add_progress,
    add_sets,
)
from fastknn.cli.command import Command
from fastknn.cli.image_sets import classify_by_index, load_sets
from fastknn.cli.output import (
    check_outputs,
    class_name,
    in_mib,
    peak_memory,
    print_confusion,
    shows_progress,
)

__all__ = ["COMMAND"]

DESCRIPTION = """\
Classify images by the majority of their exact K nearest neighbors.

PATH is a folder or a file of labelled images: CIFAR, MNIST and sets like it, STL-10, SVHN, images
in a folder for each class, or .npz, .npy, .csv, .tsv or .parquet. Where PATH holds both parts of a
set, as a folder, a .npz or the .tar.gz of CIFAR can, --train takes the training part and --test the
test part; --test is then not needed. Another file, or a folder of images for each class, is one
part and is read whole. No file may be in both sets.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sets(parser)
    add_n_jobs(parser)
    add_k(parser)
    add_progress(parser)
    add_metric(parser)
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="uniform",
        help="equal votes, or votes of 1/distance (default: uniform)",
    )
    parser.add_argument(
        "--output", metavar="CSV", help="write row, label, prediction and nearest training row"
    )


def _execute(options: argparse.Namespace) -> None:
    from sklearn.metrics import confusion_matrix

    from fastknn.search.calls import index_for

    check_outputs(options)
    thread_count(options.n_jobs)
    train, test = load_sets(options)
    as_k(options.k, len(train.images))
    shape = " x ".join(map(str, train.image_shape))
    print(f"train     {len(train.images):,} images of {shape}, {train.images.dtype}")
    print(f"test      {len(test.images):,} images")

    started = time.perf_counter()
    progress = shows_progress(options)
    index = index_for(
        len(test.images), train.images, options.k, options.metric, options.n_jobs, progress
    )
    print(f"index     {index.cascade} ({index.reason})")
    print(f"          built in {time.perf_counter() - started:.2f} s", flush=True)

    started = time.perf_counter()
    predicted, indices = classify_by_index(
        index, train.labels, test.images, options.k, options.weights, options.n_jobs, progress
    )
    seconds = time.perf_counter() - started

    right = int((predicted == test.labels).sum())
    total = len(test.labels)
    print(
        f"accuracy  {right / total:.2%} ({right:,} of {total:,}), {options.metric}, k={options.k}"
    )
    print(f"speed     {total / seconds:,.0f} queries/s ({seconds:.2f} s, search and vote)")
    print(
        f"memory    {in_mib(train.images.nbytes + test.images.nbytes)} of images, "
        f"{in_mib(index.nbytes)} of codes, {peak_memory()} at most in all\n"
    )
    shown = np.union1d(train.labels, test.labels)
    matrix = confusion_matrix(test.labels, predicted, labels=shown)
    print_confusion(matrix, [class_name(train.class_names, label) for label in shown])
    if options.output:
        _write_predictions(options.output, train.class_names, test.labels, predicted, indices[:, 0])
        print(f"\npredictions written to {options.output}")


def _write_predictions(
    output: str,
    names: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    nearest: np.ndarray,
) -> None:
    with written_whole(output) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "label", "prediction", "nearest_train_row"])
        for row, (label, guess, near) in enumerate(zip(labels, predicted, nearest, strict=True)):
            writer.writerow([row, class_name(names, label), class_name(names, guess), near])


COMMAND = Command(
    "classify",
    "classify an image set with another",
    DESCRIPTION,
    _add_arguments,
    _execute,
)
