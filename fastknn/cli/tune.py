"""The command ``fastknn tune``: choose on folds of the training set, report the test set once.

And what it has in common with ``fastknn classify``: the two sets.
"""

import argparse
import csv
import json
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np

from fastknn._utils.checks import as_path, check_width, checked_matrix
from fastknn._utils.files import check_ending, written_whole

if TYPE_CHECKING:
    from fastknn.datasets._sets import LabelledImages
    from fastknn.search.index import Index


def tune(options: argparse.Namespace, progress: bool) -> None:
    """Run the experiment that the options describe, and print and write what came of it."""
    from fastknn.estimators.cross_validation import cross_validate_k
    from fastknn.search.calls import index_for

    train, test = load_sets(options)
    images, labels = train.images[: options.limit], train.labels[: options.limit]
    asked, truth = test.images[: options.test_limit], test.labels[: options.test_limit]
    shape = " x ".join(map(str, train.image_shape))
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    print(f"train     {len(images):,} images of {shape}, in {options.folds} folds")
    started = time.perf_counter()
    with warnings.catch_warnings():
        # Said below, in other words.
        warnings.filterwarnings("ignore", "The least populated class in y", UserWarning)
        results = cross_validate_k(
            images,
            labels,
            options.ks,
            options.metrics,
            options.weights,
            cv=options.folds,
            n_jobs=options.n_jobs,
            progress=progress,
        )
    if smallest < options.folds:
        print(f"          (some folds lack a class: the smallest has {smallest} of the images)")
    n_candidates = len(results["params"])
    print(f"tried     {n_candidates} candidates in {time.perf_counter() - started:.2f} s\n")
    print(results)
    best = results["params"][int(results["rank_test_score"].argmin())]
    described = f"{best['metric']}, k={best['n_neighbors']}, {best['weights']} weights"

    # The test set is looked at here, once, with what the folds chose.
    k, metric, weights = best["n_neighbors"], best["metric"], best["weights"]
    index = index_for(len(asked), images, k, metric, options.n_jobs, progress)
    predicted, _ = classified(index, labels, asked, k, weights, options.n_jobs, progress)
    right, total = int((predicted == truth).sum()), len(truth)
    print(f"\nchosen    {described}")
    print(f"test      {right / total:.2%} ({right:,} of {total:,})")
    if options.output:
        _write_results(options.output, results, {**best, "test_accuracy": right / total})
        print(f"results written to {options.output}")
    if options.plot:
        _draw(options.plot, results, described)
        print(f"picture written to {options.plot}")


def load_sets(options: argparse.Namespace) -> "tuple[LabelledImages, LabelledImages]":
    """The images of --train and of --test, or of the test part of --train.

    Nothing is read if an image would be learned from and tested on: a file without parts has no
    test part, and no file may belong to both sets.
    """
    from fastknn.datasets import has_parts, part_files
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


def classified(
    index: "Index",
    labels: np.ndarray,
    queries: np.ndarray,
    k: int,
    weights: str,
    n_jobs: int | None,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The labels that the neighbors of queries vote for, and the indices of these neighbors."""
    from fastknn.voting.votes import distance_weights, vote

    distances, indices = index.search(queries, k, n_jobs=n_jobs, progress=progress)
    classes, codes = np.unique(labels, return_inverse=True)
    counted = distance_weights(distances) if weights == "distance" else None
    winners = vote(codes[indices], n_classes=len(classes), weights=counted, n_jobs=n_jobs)
    return classes[winners], indices


def _write_results(output: str, results: dict, chosen: dict) -> None:
    """All candidates: as a table, or as JSON together with what was chosen."""
    columns = [name for name in results if name != "params"]
    values = [np.asarray(results[name]).tolist() for name in columns]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    with written_whole(output) as path, path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            json.dump({"chosen": chosen, "candidates": rows}, file, indent=1)
            file.write("\n")
        else:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def _draw(output: str, results: dict, described: str) -> None:
    from fastknn.plot import accuracy_over_k

    ax = accuracy_over_k(results)
    ax.set(title=f"chosen: {described}", ylabel="accuracy on held-out folds")
    with written_whole(output) as path:
        ax.figure.savefig(path, dpi=150)


def check_drawable(output: str, name: str) -> None:
    """Better now than after the search: raise if no picture could be written there."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(f"{name} needs matplotlib: pip install matplotlib") from error
    endings = [f".{kind}" for kind in Figure().canvas.get_supported_filetypes()]
    check_ending(output.lower(), name, endings)  # matplotlib takes .PNG for .png
