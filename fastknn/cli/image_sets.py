"""The two sets of images that ``classify`` and ``tune`` read, and the classification of one."""

import argparse
from typing import TYPE_CHECKING

import numpy as np

from fastknn._utils.matrices import check_width, checked_matrix
from fastknn._utils.scalars import as_path

if TYPE_CHECKING:
    from fastknn.datasets import LabelledImages
    from fastknn.search.index import Index

__all__ = ["classify_by_index", "load_sets"]


def load_sets(options: argparse.Namespace) -> "tuple[LabelledImages, LabelledImages]":
    """Load the images of --train and of --test, or of the test part of --train.

    Nothing is read if an image would be learned from and tested on: a file without parts has no
    test part, and no file may belong to both sets.

    Parameters
    ----------
    options : argparse.Namespace

    Returns
    -------
    train, test : LabelledImages

    Raises
    ------
    ValueError, FileNotFoundError
        If a file is missing, foreign or in both sets, or the sets do not fit together.
    """
    from fastknn.datasets._lookup import has_parts, part_files
    from fastknn.datasets._sets import matched

    kind, files = part_files(as_path(options.train, "--train"), "train")
    if options.test is None:
        try:
            test_kind, test_files = part_files(options.train, "test")
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(f"give --test, for --train has no test part ({error})") from error
    else:  # the test part of what has one; other files are read whole
        split = "test" if has_parts(as_path(options.test, "--test")) else "train"
        test_kind, test_files = part_files(options.test, split)
    for file in test_files:
        if any(file.samefile(other) for other in files):
            raise ValueError(f"--test must be other images than --train, and {file} is in both")
    sets = kind.read(files, options.label), test_kind.read(test_files, options.label)
    train, test = matched(*sets, "--test")
    checked_matrix(train.images, "--train")
    checked_matrix(test.images, "--test")
    check_width(test.images, train.images.shape[1], "--test")
    return train, test


def classify_by_index(
    index: "Index",
    labels: np.ndarray,
    queries: np.ndarray,
    k: int,
    weights: str,
    n_jobs: int | None,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Classify queries by the votes of their neighbors.

    Parameters
    ----------
    index : Index
        Of the training rows.
    labels : ndarray (n_rows,)
        Of the training rows.
    queries : ndarray (n_queries, width)
    k : int
    weights : {"uniform", "distance"}
    n_jobs : int or None
    progress : bool

    Returns
    -------
    predicted : ndarray (n_queries,)
    indices : ndarray (n_queries, k) of int64
        The neighbors, nearest first.
    """
    from fastknn.voting.votes import distance_weights, vote

    distances, indices = index.search(queries, k, n_jobs=n_jobs, progress=progress)
    classes, codes = np.unique(labels, return_inverse=True)
    counted = distance_weights(distances) if weights == "distance" else None
    winners = vote(codes[indices], n_classes=len(classes), weights=counted, n_jobs=n_jobs)
    return classes[winners], indices
