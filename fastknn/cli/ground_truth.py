"""The command ``fastknn ground-truth``: exact neighbors, to judge approximate indexes by."""

import argparse
import time

from fastknn._utils.matrices import check_width, checked_matrix
from fastknn._utils.scalars import as_k, as_path
from fastknn._utils.threads import thread_count
from fastknn.cli.arguments import add_k, add_metric, add_n_jobs, add_progress
from fastknn.cli.command import Command
from fastknn.cli.output import check_outputs, shows_progress

__all__ = ["COMMAND"]

DESCRIPTION = """\
Find the exact nearest training rows of every query, to judge approximate indexes by. Rows are read
from files that may be larger than memory: .npy .fvecs .bvecs .fbin .f16bin .u8bin .i8bin .ibin. The
result is written as .ivecs or .npy (indices), or as .hdf5 in the layout of ann-benchmarks. Where
another row is as near as the k-th neighbor, other answers are as right; such queries are counted.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_n_jobs(parser)
    add_progress(parser)
    parser.add_argument("--train", required=True, metavar="FILE", help="rows to search")
    parser.add_argument("--queries", required=True, metavar="FILE", help="rows to search for")
    add_k(parser, 100, "neighbors per query")
    add_metric(parser)
    parser.add_argument(
        "--output", required=True, metavar="FILE", help=".ivecs, .npy, .hdf5 or .h5"
    )


def _execute(options: argparse.Namespace) -> None:
    from fastknn.evaluation.truth import check_truth_file, ground_truth
    from fastknn.evaluation.vectors import open_vectors

    check_outputs(options)
    check_truth_file(options.output, "--output")
    thread_count(options.n_jobs)
    files = as_path(options.train, "--train"), as_path(options.queries, "--queries")
    train, queries = map(open_vectors, files)
    for name, rows in (("--train", train), ("--queries", queries)):
        checked_matrix(rows, name, check_finite=False)
    check_width(queries, train.shape[1], "--queries")
    as_k(options.k, len(train))
    for name, rows in (("train", train), ("queries", queries)):
        print(f"{name:<9} {len(rows):,} x {rows.shape[1]:,} {rows.dtype}")
    started = time.perf_counter()
    truth = ground_truth(
        queries,
        train,
        options.k,
        options.metric,
        n_jobs=options.n_jobs,
        progress=shows_progress(options),
    )
    seconds = time.perf_counter() - started
    print(f"search    {len(queries) / seconds:,.0f} queries/s ({seconds:.2f} s)")
    print(f"tied      {truth.tied.sum():,} queries, at place {options.k}")
    truth.save(options.output, queries, train)
    print(f"written to {options.output}")


COMMAND = Command(
    "ground-truth",
    "exact neighbors, to judge approximate indexes by",
    DESCRIPTION,
    _add_arguments,
    _execute,
)
