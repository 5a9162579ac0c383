"""The command ``fastknn tune``: choose on folds of the training set, then test once."""

import argparse
import csv
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastknn._utils.files import check_ending, written_whole
from fastknn._utils.threads import thread_count
from fastknn.cli.arguments import (
    WEIGHTS,
    ListOf,
    add_n_jobs,
    add_progress,
    add_sets,
    one_of,
    positive_int,
    positive_int_of_list,
)
from fastknn.cli.command import Command
from fastknn.cli.image_sets import classify_by_index, load_sets
from fastknn.cli.output import check_outputs, shows_progress
from fastknn.metrics.names import METRIC_NAMES

__all__ = ["COMMAND"]

DESCRIPTION = """\
Choose the number of neighbors, the metric and the weights on held-out folds of the training set.
All combinations are tried. Then classify the test set once, with the best combination. PATH is as
for classify.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sets(parser)
    add_n_jobs(parser)
    add_progress(parser)
    parser.add_argument(
        "--ks",
        action=ListOf,
        of=positive_int_of_list,
        metavar="K",
        help="numbers of neighbors, with commas or blanks between them, as in 1,5 or 1 5 "
        "(default: those of 1,3,5,8,10,12,15,20,50,100 that the folds have rows for)",
    )
    lists: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
        ("metrics", METRIC_NAMES, ("l1", "l2")),
        ("weights", WEIGHTS, WEIGHTS),
    )
    for name, choices, default in lists:
        parser.add_argument(
            f"--{name}",
            action=ListOf,
            of=one_of(choices),
            metavar=name.removesuffix("s").upper(),
            default=list(default),
            help=f"which of {', '.join(choices)} to try, as a list like that of --ks "
            f"(default: {','.join(default)})",
        )
    parser.add_argument(
        "--folds", type=positive_int, default=5, metavar="N", help="2 or more (default: 5)"
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="only the first N training images"
    )
    parser.add_argument(
        "--test-limit", type=positive_int, metavar="N", help="only the first N test images"
    )
    parser.add_argument("--output", metavar="FILE", help="write all scores, as .csv or .json")
    parser.add_argument("--plot", metavar="FILE", help="draw accuracy over k (needs matplotlib)")


def _execute(options: argparse.Namespace) -> None:
    check_outputs(options)
    if options.output:
        check_ending(options.output, "--output", (".csv", ".json"))
    if options.plot:
        _check_drawable(options.plot, "--plot")
    if options.folds < 2:
        raise ValueError(f"--folds must be at least 2; got {options.folds}")
    thread_count(options.n_jobs)
    choose_and_test(options)


def choose_and_test(options: argparse.Namespace) -> None:
    """Run the experiment that the options describe, and print and write its results.

    Parameters
    ----------
    options : argparse.Namespace
        They have been checked, but for the files of images.
    """
    from fastknn.estimators.cross_validation import cross_validate_k
    from fastknn.search.calls import index_for

    progress = shows_progress(options)
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
    n_combinations = len(results["params"])
    print(f"tried     {n_combinations} combinations in {time.perf_counter() - started:.2f} s\n")
    print(results)
    best = results["params"][int(results["rank_test_score"].argmin())]
    described = f"{best['metric']}, k={best['n_neighbors']}, {best['weights']} weights"

    # The test set is looked at here, once, with what the folds chose.
    k, metric, weights = best["n_neighbors"], best["metric"], best["weights"]
    index = index_for(len(asked), images, k, metric, options.n_jobs, progress)
    predicted, _ = classify_by_index(index, labels, asked, k, weights, options.n_jobs, progress)
    right, total = int((predicted == truth).sum()), len(truth)
    print(f"\nchosen    {described}")
    print(f"test      {right / total:.2%} ({right:,} of {total:,})")
    if options.output:
        _write_results(options.output, results, {**best, "test_accuracy": right / total})
        print(f"results written to {options.output}")
    if options.plot:
        _draw(options.plot, results, described)
        print(f"picture written to {options.plot}")


def _write_results(output: str, results: Mapping[str, Any], chosen: Mapping[str, Any]) -> None:
    """All combinations: as a table, or as JSON together with the one that was chosen."""
    columns = [name for name in results if name != "params"]
    values = [np.asarray(results[name]).tolist() for name in columns]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    with written_whole(output) as path, path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            json.dump({"chosen": chosen, "combinations": rows}, file, indent=1)
            file.write("\n")
        else:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


def _draw(output: str, results: Mapping[str, Any], described: str) -> None:
    from fastknn.plot import accuracy_over_k

    ax = accuracy_over_k(results)
    ax.set(title=f"chosen: {described}", ylabel="accuracy on held-out folds")
    figure: Any = ax.figure  # a Figure, since accuracy_over_k made the axes
    with written_whole(output) as path:
        figure.savefig(path, dpi=150)


def _check_drawable(output: str, name: str) -> None:
    """Raise before the search if no picture could be written to this file."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(f"{name} needs matplotlib: pip install matplotlib") from error
    endings = [f".{kind}" for kind in Figure().canvas.get_supported_filetypes()]
    check_ending(output.lower(), name, endings)  # matplotlib takes .PNG for .png


COMMAND = Command(
    "tune",
    "choose k, metric and weights on held-out folds, then test once",
    DESCRIPTION,
    _add_arguments,
    _execute,
)
