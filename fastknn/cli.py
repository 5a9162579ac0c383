"""The ``fastknn`` command: classify, tune, ground truth, run scripts faster, a demonstration."""

import argparse
import csv
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from fastknn import __version__
from fastknn._checks import METRIC_NAMES, as_k
from fastknn._files import check_ending, check_writable, written_whole
from fastknn._threads import thread_count
from fastknn._tune import check_drawable, load_sets, numbers, tune

DESCRIPTION = """\
Exact k-nearest-neighbour classification under L1 and L2.
"""
CLASSIFY = """\
Classify images by the majority of their exact K nearest neighbours.

PATH is a folder of CIFAR-10 (binary or Python layout) or MNIST (IDX, gzipped or not), of which
--train takes the training part and --test the test part; or one file, which is read whole: a
CIFAR-10 batch, an IDX image file with its labels beside it, or a .npz with X and y. Where --train
is one file, --test must be given: another file, or a folder. No file may be in both sets.
"""
RUN = """\
Run a Python script with scikit-learn's neighbours replaced by fastknn's: the same results, from
code that does not know. --report says what was replaced, to standard error.
"""
TUNE = """\
Choose the number of neighbours, the metric and the weights on held-out folds of the training set;
then classify the test set once, with what was chosen. PATH is as for classify.
"""
TRUTH = """\
Find the exact nearest training rows of every query, to judge approximate indexes by. Rows come
from .npy, .fvecs or .bvecs files, which may be larger than memory; the result is written as .ivecs
or .npy (indices), or as .hdf5 in the layout of ann-benchmarks. Queries whose k-th place is tied, so
that other answers are as right, are counted.
"""
DEMO = """\
Classify the 1,797 real digit images that come with scikit-learn, side by side with
scikit-learn's own classifier. Needs no files.
"""
SHADES = " .:-=+*#%@"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Examples
    --------
    >>> from fastknn.cli import main
    >>> main(["demo", "--k", "3"])  # doctest: +ELLIPSIS
    digits: 1,347 to learn from, 450 to classify, ...
    ...
    0
    """
    options = _parser().parse_args(arguments)
    if options.run is _run:  # whatever the script raises is the script's
        _run(options)
        return 0
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("fastknn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError) as error:
        print(f"fastknn: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="fastknn", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"fastknn {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    threads = argparse.ArgumentParser(add_help=False)
    threads.add_argument(
        "--n-jobs", type=int, metavar="N", help="threads (default: one for each core)"
    )
    bar = argparse.ArgumentParser(add_help=False)
    bar.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar (default: if standard error is a terminal)",
    )
    sets = argparse.ArgumentParser(add_help=False)
    sets.add_argument("--train", required=True, metavar="PATH", help="images to learn from")
    sets.add_argument(
        "--test",
        metavar="PATH",
        help="images to test on (default: the test part of the folder --train)",
    )
    common = argparse.ArgumentParser(add_help=False, parents=[threads])
    common.add_argument(
        "--k", type=_positive, default=5, metavar="K", help="neighbours that vote (default: 5)"
    )

    classify = commands.add_parser(
        "classify",
        parents=[sets, common, bar],
        help="classify an image set with another",
        description=CLASSIFY,
        formatter_class=raw,
    )
    classify.add_argument(
        "--metric", choices=METRIC_NAMES, default="l2", help="distance (default: l2)"
    )
    classify.add_argument(
        "--weights",
        choices=("uniform", "distance"),
        default="uniform",
        help="equal votes, or votes of 1/distance (default: uniform)",
    )
    classify.add_argument(
        "--output", metavar="CSV", help="write row, label, prediction and nearest training row"
    )
    classify.set_defaults(run=_classify)

    tune = commands.add_parser(
        "tune",
        parents=[sets, threads, bar],
        help="choose k, metric and weights on held-out folds, then test once",
        description=TUNE,
        formatter_class=raw,
    )
    tune.add_argument(
        "--ks",
        type=numbers,
        metavar="K,K",
        help="numbers of neighbours (default: 1,3,5,8,10,12,15,20,50,100)",
    )
    for name, choices in (("metrics", ("l1", "l2")), ("weights", ("uniform", "distance"))):
        tune.add_argument(
            f"--{name}",
            nargs="+",
            choices=METRIC_NAMES if name == "metrics" else choices,
            default=list(choices),
            help=f"which to try (default: {' '.join(choices)})",
        )
    tune.add_argument("--folds", type=_positive, default=5, metavar="N", help="default: 5")
    tune.add_argument(
        "--limit", type=_positive, metavar="N", help="only the first N training images"
    )
    tune.add_argument(
        "--test-limit", type=_positive, metavar="N", help="only the first N test images"
    )
    tune.add_argument("--output", metavar="FILE", help="write all scores, as .csv or .json")
    tune.add_argument("--plot", metavar="FILE", help="draw accuracy over k (needs matplotlib)")
    tune.set_defaults(run=_tune)

    truth = commands.add_parser(
        "ground-truth",
        parents=[threads, bar],
        help="exact neighbours, to judge approximate indexes by",
        description=TRUTH,
        formatter_class=raw,
    )
    truth.add_argument("--train", required=True, metavar="FILE", help="rows to search")
    truth.add_argument("--queries", required=True, metavar="FILE", help="rows to search for")
    truth.add_argument("--k", type=_positive, default=100, metavar="K", help="default: 100")
    truth.add_argument("--metric", choices=METRIC_NAMES, default="l2", help="default: l2")
    truth.add_argument("--output", required=True, metavar="FILE", help=".ivecs, .npy, .hdf5 or .h5")
    truth.set_defaults(run=_ground_truth)

    demo = commands.add_parser(
        "demo",
        parents=[common],
        help="classify scikit-learn's digits, side by side with scikit-learn",
        description=DEMO,
        formatter_class=raw,
    )
    demo.set_defaults(run=_demo)

    run = commands.add_parser(
        "run",
        help="run a Python script that uses scikit-learn's neighbours, faster",
        description=RUN,
        formatter_class=raw,
    )
    run.add_argument("--report", action="store_true", help="say what was replaced")
    run.add_argument("script", metavar="SCRIPT", help="a Python file")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments")
    run.set_defaults(run=_run)
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return value


# --- run --------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> None:
    import runpy

    from fastknn.patching import patched_sklearn

    before = sys.argv, sys.path[0]
    with patched_sklearn() as replaced:
        if options.report:
            print("fastknn: replaced", ", ".join(replaced) or "nothing", file=sys.stderr)
        sys.argv = [options.script, *options.arguments]
        sys.path[0] = os.path.dirname(os.path.abspath(options.script))
        try:
            runpy.run_path(options.script, run_name="__main__")
        finally:
            sys.argv, sys.path[0] = before


# --- classify ---------------------------------------------------------------------------------


def _classify(options: argparse.Namespace) -> None:
    from sklearn.metrics import confusion_matrix

    from fastknn.index import Index
    from fastknn.vote import distance_weights, vote

    check_writable(options.output, "--output")
    thread_count(options.n_jobs)
    train, test = load_sets(options)
    as_k(options.k, len(train.images))
    shape = " x ".join(map(str, train.image_shape))
    print(f"train     {len(train.images):,} images of {shape}, {train.images.dtype}")
    print(f"test      {len(test.images):,} images")

    started = time.perf_counter()
    index = Index(train.images, options.metric, k=options.k, n_jobs=options.n_jobs)
    print(f"index     {index!r}, built in {time.perf_counter() - started:.2f} s", flush=True)

    started = time.perf_counter()
    distances, indices = index.search(
        test.images, options.k, n_jobs=options.n_jobs, progress=_shows_progress(options)
    )
    classes, codes = np.unique(train.labels, return_inverse=True)
    weights = distance_weights(distances) if options.weights == "distance" else None
    winners = vote(codes[indices], n_classes=len(classes), weights=weights, n_jobs=options.n_jobs)
    predicted = classes[winners]
    seconds = time.perf_counter() - started

    right = int((predicted == test.labels).sum())
    total = len(test.labels)
    print(
        f"accuracy  {right / total:.2%} ({right:,} of {total:,}), {options.metric}, k={options.k}"
    )
    print(f"speed     {total / seconds:,.0f} queries/s ({seconds:.2f} s, search and vote)")
    print(
        f"memory    {_mib(train.images.nbytes + test.images.nbytes)} of images, "
        f"{_mib(index.nbytes)} of codes, {_peak_memory()} at most in all\n"
    )
    shown = np.union1d(classes, test.labels)
    matrix = confusion_matrix(test.labels, predicted, labels=shown)
    _print_confusion(matrix, [_class_name(train.class_names, label) for label in shown])
    if options.output:
        _write_predictions(options.output, train.class_names, test.labels, predicted, indices[:, 0])
        print(f"\npredictions written to {options.output}")


def _class_name(names: Sequence[str], label: int) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


def _mib(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:,.0f} MiB"


def _peak_memory() -> str:
    """The most that this process has held in memory."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return "(unknown)"
    unit = 1 if sys.platform == "darwin" else 1024
    return _mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _print_confusion(matrix: np.ndarray, names: Sequence[str]) -> None:
    """Rows are the truth; each column is headed by the number of its class."""
    heads = [str(i) for i in range(len(names))]
    rows = [
        head if head == name else f"{head} {name}" for head, name in zip(heads, names, strict=True)
    ]
    name_width = max(map(len, rows))
    width = max(len(f"{matrix.max():,}"), len(heads[-1])) + 2
    print("confusion (rows: truth, columns: prediction, in the same order)")
    print(" " * name_width + "".join(f"{head:>{width}}" for head in heads))
    for row, counts in zip(rows, matrix, strict=True):
        print(f"{row:<{name_width}}" + "".join(f"{count:>{width},}" for count in counts))


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
            writer.writerow([row, _class_name(names, label), _class_name(names, guess), near])


# --- tune and ground-truth ---------------------------------------------------------------------


def _tune(options: argparse.Namespace) -> None:
    check_writable(options.output, "--output")
    check_writable(options.plot, "--plot")
    if options.output:
        check_ending(options.output, "--output", (".csv", ".json"))
    if options.plot:
        check_drawable(options.plot, "--plot")
    tune(options, _shows_progress(options))


def _ground_truth(options: argparse.Namespace) -> None:
    from fastknn.evaluation import check_truth_file, ground_truth
    from fastknn.vectors import open_vectors

    check_writable(options.output, "--output")
    check_truth_file(options.output, "--output")
    train, queries = open_vectors(options.train), open_vectors(options.queries)
    for name, rows in (("train", train), ("queries", queries)):
        print(f"{name:<9} {len(rows):,} x {rows.shape[1]:,} {rows.dtype}")
    started = time.perf_counter()
    truth = ground_truth(
        train,
        queries,
        options.k,
        options.metric,
        n_jobs=options.n_jobs,
        progress=_shows_progress(options),
    )
    seconds = time.perf_counter() - started
    print(f"search    {len(queries) / seconds:,.0f} queries/s ({seconds:.2f} s)")
    print(f"tied      {truth.tied.sum():,} queries, at place {options.k}")
    truth.save(options.output, train, queries)
    print(f"written to {options.output}")


def _shows_progress(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() if options.progress is None else options.progress


# --- demo -------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import KNeighborsClassifier as TheirClassifier

    from fastknn import KNeighborsClassifier, cpu_level

    images, labels = load_digits(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(
        images.astype(np.uint8), labels, random_state=0
    )
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


def _show_neighbors(model, train, train_labels, test, test_labels) -> None:
    """Print the first digit that is classified wrongly (or the first) and its neighbours."""
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
    """Two characters a pixel, from 0 (blank) to 16 (black)."""
    return "".join(SHADES[int(pixel) * 9 // 16] * 2 for pixel in pixels)
