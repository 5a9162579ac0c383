"""The ``fastknn`` command: classify, tune, ground truth, run scripts faster, a demonstration."""

import argparse
import csv
import difflib
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from fastknn import __version__
from fastknn._utils.checks import as_k, as_path, check_width, checked_matrix
from fastknn._utils.files import check_ending, check_writable, written_whole
from fastknn._utils.threads import thread_count
from fastknn.cli.tune import check_drawable, classified, load_sets, tune
from fastknn.metrics.names import METRIC_NAMES

DESCRIPTION = """\
Exact k-nearest-neighbor search and classification.
"""
CLASSIFY = """\
Classify images by the majority of their exact K nearest neighbors.

PATH is a folder or a file of labelled images: CIFAR, MNIST and sets like it, STL-10, SVHN, images
in a folder for each class, or .npz, .npy, .csv, .tsv or .parquet. Where PATH holds both parts of a
set, as a folder, a .npz or the .tar.gz of CIFAR can, --train takes the training part and --test the
test part; --test is then not needed. Another file, or a folder of images for each class, is one
part and is read whole. No file may be in both sets.
"""
RUN = """\
Run a Python script with scikit-learn's neighbors replaced by fastknn's: the same results, from
code that does not know. SCRIPT is what python takes: a file, a folder or archive with a
__main__.py, or after -m the name of a module. --report says what was replaced, to standard error.
"""
TUNE = """\
Choose the number of neighbors, the metric and the weights on held-out folds of the training set;
then classify the test set once, with what was chosen. PATH is as for classify.
"""
TRUTH = """\
Find the exact nearest training rows of every query, to judge approximate indexes by. Rows come
from files that may be larger than memory: .npy .fvecs .bvecs .fbin .f16bin .u8bin .i8bin .ibin. The
result is written as .ivecs or .npy (indices), or as .hdf5 in the layout of ann-benchmarks. Queries
whose k-th place is tied, so that other answers are as right, are counted.
"""
DEMO = """\
Classify the 1,797 real digit images that come with scikit-learn, side by side with
scikit-learn's own classifier. Needs no files.
"""
SHADES = " .:-=+*#%@"
# Of options whose arguments in Python have another name.
OPTION_NAMES = {"cv": "--folds"}


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
    options = argparse.Namespace()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                _parser().parse_args(arguments, options)
                options.run(options)
            finally:
                sys.stdout.flush()  # here, where a closed pipe is no error
    except KeyboardInterrupt:
        print("fastknn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        print(f"fastknn: error: {_in_words(error, options)}", file=sys.stderr)
        return 2
    if options.run is _check_run:
        _run(options)  # whatever it raises is the script's
    return 0


def _show_warning(message, *_) -> None:
    print(f"fastknn: warning: {message}", file=sys.stderr)


def _in_words(error: Exception, options: argparse.Namespace) -> str:
    """An error as one line, in which the argument that it begins with is an option."""
    if isinstance(error, MemoryError):
        return f"not enough memory{f': {error}' if str(error) else ''}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(str(error).split())
    name = re.match(r"\w*", text)[0]
    option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
    is_option = name in OPTION_NAMES or name in vars(options)
    return option + text[len(name) :] if is_option else text


class _Parser(argparse.ArgumentParser):
    """A parser that suggests what may have been meant."""

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"(.*invalid choice: '([^']*)') \(choose from (.*)\)$", message)
        if wrong:
            near = difflib.get_close_matches(wrong[2], re.findall(r"[\w-]+", wrong[3]), 1)
            message += f"; did you mean {near[0]!r}?" if near else ""
        super().error(message)


class _Several(argparse.Action):
    """Values with commas or blanks between them, in one argument or in several."""

    def __init__(self, *, of: Callable[[str], object], **options) -> None:
        super().__init__(nargs="+", **options)
        self.of = of

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        words = re.split(r"[,\s]+", " ".join(values).strip(", \t\n"))
        try:
            if words == [""]:
                raise argparse.ArgumentTypeError("must name one at least")
            found = list(dict.fromkeys(self.of(word) for word in words))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, found)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="fastknn", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"fastknn {__version__}")
    parser.set_defaults(run=lambda options: parser.print_help())  # of no command
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    threads = argparse.ArgumentParser(add_help=False)
    threads.add_argument(
        "--n-jobs", type=int, metavar="N", help="threads (default, and -1: one for each core)"
    )
    bar = argparse.ArgumentParser(add_help=False)
    bar.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show what is done and a progress bar (default: if standard error is a terminal)",
    )
    sets = argparse.ArgumentParser(add_help=False)
    sets.add_argument("--train", required=True, metavar="PATH", help="images to learn from")
    sets.add_argument(
        "--test",
        metavar="PATH",
        help="images to test on (default: the test part of --train)",
    )
    sets.add_argument(
        "--label",
        metavar="NAME",
        help="which labels: the column of a table (default: label, class, target or y), or fine "
        "(default) or coarse of CIFAR-100",
    )
    common = argparse.ArgumentParser(add_help=False, parents=[threads])
    common.add_argument(
        "--k", type=_positive, default=5, metavar="K", help="neighbors that vote (default: 5)"
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
        action=_Several,
        of=_a_number,
        metavar="K",
        help="numbers of neighbors, with commas or blanks between them, as in 1,5 or 1 5 "
        "(default: those of 1,3,5,8,10,12,15,20,50,100 that the folds have rows for)",
    )
    for name, choices, default in (
        ("metrics", METRIC_NAMES, ("l1", "l2")),
        ("weights", ("uniform", "distance"), ("uniform", "distance")),
    ):
        tune.add_argument(
            f"--{name}",
            action=_Several,
            of=_one_of(choices),
            metavar=name.removesuffix("s").upper(),
            default=list(default),
            help=f"which of {', '.join(choices)} to try, as a list like that of --ks "
            f"(default: {','.join(default)})",
        )
    tune.add_argument(
        "--folds", type=_positive, default=5, metavar="N", help="2 or more (default: 5)"
    )
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
        help="exact neighbors, to judge approximate indexes by",
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
        help="run a Python script that uses scikit-learn's neighbors, faster",
        description=RUN,
        formatter_class=raw,
    )
    run.add_argument("--report", action="store_true", help="say what was replaced")
    run.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    run.add_argument("script", metavar="SCRIPT", help="a Python file, or what else python takes")
    rest = run.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments"
    )
    rest.required = False  # argparse would say that they are missing, too
    run.set_defaults(run=_check_run)
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return value


def _a_number(word: str) -> int:
    try:
        return _positive(word)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"must be integers of at least 1, as in 1,5; got {word!r}"
        ) from error


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def check(word: str) -> str:
        if word not in choices:
            allowed = ", ".join(map(repr, choices))
            raise argparse.ArgumentTypeError(f"invalid choice: {word!r} (choose from {allowed})")
        return word

    return check


# --- run --------------------------------------------------------------------------------------


def _check_run(options: argparse.Namespace) -> None:
    """Raise unless there is a script to run."""
    before = sys.path[0]
    sys.path[0] = _folder_of(options)
    try:
        (_check_module if options.module else _check_script)(options.script)
    finally:
        sys.path[0] = before


def _run(options: argparse.Namespace) -> None:
    """Run the script as python would, but for what is replaced."""
    import runpy

    from fastknn.estimators.patching import patched_sklearn

    before = sys.argv, sys.path[0]
    try:
        with patched_sklearn() as replaced:
            if options.report:
                print("fastknn: replaced", ", ".join(replaced) or "nothing", file=sys.stderr)
            sys.argv = [options.script, *options.arguments]
            sys.path[0] = _folder_of(options)
            try:
                if options.module:
                    runpy.run_module(options.script, run_name="__main__", alter_sys=True)
                else:
                    runpy.run_path(options.script, run_name="__main__")
            finally:
                sys.argv, sys.path[0] = before
    except SystemExit:
        raise
    except BaseException as error:
        _show_from_script(error)
        raise


def _folder_of(options: argparse.Namespace) -> str:
    """Where python looks for what the script imports, first of all."""
    return os.getcwd() if options.module else os.path.dirname(os.path.abspath(options.script))


def _check_module(name: str) -> None:
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name, spec = f"{name}.__main__", find_spec(f"{name}.__main__")
        if spec is None:
            raise ValueError(f"there is no module {name!r}")
        if getattr(spec.loader, "get_code", lambda _: None)(spec.name) is None:
            raise ValueError(f"the module {name!r} is not one of Python code")
    except SyntaxError as error:
        raise _wrong_syntax(error, name) from error
    except ValueError:
        raise
    except Exception as error:  # of a package that is imported to find it
        raise ValueError(
            f"cannot find the module {name!r}: {type(error).__name__}: {error}"
        ) from error


def _check_script(script: str) -> None:
    from pkgutil import get_importer

    importer = get_importer(script)  # of a folder or an archive
    if importer is not None:
        if importer.find_spec("__main__") is None:
            raise ValueError(f"can't find a __main__.py in {script!r}")
        return
    try:
        source = Path(script).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path at all
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"can't open {script!r}: {reason}") from error
    if script.endswith(".pyc"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # python says them when it runs the script
            compile(source, script, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _wrong_syntax(error, script) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{script}: {error}") from error


def _wrong_syntax(error: SyntaxError, script: str) -> ValueError:
    return ValueError(f"{error.filename or script}, line {error.lineno or 1}: {error.msg}")


def _show_from_script(error: BaseException) -> None:
    """Have the traceback of this error begin where the script does, if nobody catches it."""
    import runpy

    hook = sys.excepthook

    def show(kind, value, traceback) -> None:
        sys.excepthook = hook
        if value is error:
            inner = traceback
            while inner is not None and inner.tb_frame.f_code.co_filename in ours:
                inner = inner.tb_next
            traceback = value.__traceback__ = inner or traceback
        hook(kind, value, traceback)

    main = str(Path(__file__).with_name("__main__.py"))
    ours = {__file__, main, runpy.__file__, "<frozen runpy>", sys.argv[0]}
    sys.excepthook = show


# --- classify ---------------------------------------------------------------------------------


def _classify(options: argparse.Namespace) -> None:
    from sklearn.metrics import confusion_matrix

    from fastknn.search.index import Index

    _check_outputs(options)
    thread_count(options.n_jobs)
    train, test = load_sets(options)
    as_k(options.k, len(train.images))
    shape = " x ".join(map(str, train.image_shape))
    print(f"train     {len(train.images):,} images of {shape}, {train.images.dtype}")
    print(f"test      {len(test.images):,} images")

    started = time.perf_counter()
    progress = _shows_progress(options)
    index = Index(
        train.images, options.metric, expected_k=options.k, n_jobs=options.n_jobs, progress=progress
    )
    print(f"index     {index.cascade} ({index.reason})")
    print(f"          built in {time.perf_counter() - started:.2f} s", flush=True)

    started = time.perf_counter()
    predicted, indices = classified(
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
        f"memory    {_mib(train.images.nbytes + test.images.nbytes)} of images, "
        f"{_mib(index.nbytes)} of codes, {_peak_memory()} at most in all\n"
    )
    shown = np.union1d(train.labels, test.labels)
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
    _check_outputs(options)
    if options.output:
        check_ending(options.output, "--output", (".csv", ".json"))
    if options.plot:
        check_drawable(options.plot, "--plot")
    if options.folds < 2:
        raise ValueError(f"--folds must be at least 2; got {options.folds}")
    thread_count(options.n_jobs)
    tune(options, _shows_progress(options))


def _ground_truth(options: argparse.Namespace) -> None:
    from fastknn.evaluation.truth import check_truth_file, ground_truth
    from fastknn.evaluation.vectors import open_vectors

    _check_outputs(options)
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
        progress=_shows_progress(options),
    )
    seconds = time.perf_counter() - started
    print(f"search    {len(queries) / seconds:,.0f} queries/s ({seconds:.2f} s)")
    print(f"tied      {truth.tied.sum():,} queries, at place {options.k}")
    truth.save(options.output, queries, train)
    print(f"written to {options.output}")


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise unless what is asked for can be written, and over none of the files that are read."""
    for name in ("output", "plot"):
        path = getattr(options, name, None)
        check_writable(path, f"--{name}")
        for other in ("train", "test", "queries"):
            read = getattr(options, other, None)
            both = path and read and os.path.exists(path) and os.path.exists(read)
            if both and os.path.samefile(path, read):
                raise ValueError(f"--{name} must be another file than --{other}, got {path}")


def _shows_progress(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() if options.progress is None else options.progress


# --- demo -------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> None:
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


def _show_neighbors(model, train, train_labels, test, test_labels) -> None:
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
    """Two characters a pixel, from 0 (blank) to 16 (black)."""
    return "".join(SHADES[int(pixel) * 9 // 16] * 2 for pixel in pixels)
