"""Types of arguments, and the arguments that several commands have."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from fastknn.metrics.names import METRIC_NAMES

__all__ = [
    "WEIGHTS",
    "ListOf",
    "add_k",
    "add_metric",
    "add_n_jobs",
    "add_progress",
    "add_sets",
    "one_of",
    "positive_int",
    "positive_int_of_list",
]

# How neighbors vote: equally, or by 1 / distance.
WEIGHTS = ("uniform", "distance")


class ListOf(argparse.Action):
    """Values that are separated by commas or blanks, in one argument or in several.

    Parameters
    ----------
    of : callable
        Makes a value of each word, or raises argparse.ArgumentTypeError.
    options
        As for argparse.Action.
    """

    def __init__(self, *, of: Callable[[str], object], **options: Any) -> None:
        super().__init__(nargs="+", **options)
        self.of = of

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Set the attribute of the namespace to the list of values, each of them once.

        Raises
        ------
        argparse.ArgumentError
            If there is no value, or one is refused.
        """
        words = re.split(r"[,\s]+", " ".join(values or ()).strip(", \t\n"))
        try:
            if words == [""]:
                raise argparse.ArgumentTypeError("must name one at least")
            found = list(dict.fromkeys(self.of(word) for word in words))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, found)


def positive_int(text: str) -> int:
    """The type of a single integer of at least 1.

    Parameters
    ----------
    text : str

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is anything else.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return value


def positive_int_of_list(word: str) -> int:
    """The type of each integer of a list, whose error shows how such a list is written.

    Parameters
    ----------
    word : str

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        If it is not an integer of at least 1.
    """
    try:
        return positive_int(word)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"must be integers of at least 1, as in 1,5; got {word!r}"
        ) from error


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """The type of each word of a list that takes only these words.

    Parameters
    ----------
    choices : sequence of str

    Returns
    -------
    callable
        Returns a word unchanged, or raises argparse.ArgumentTypeError.
    """

    def check(word: str) -> str:
        if word not in choices:
            allowed = ", ".join(map(repr, choices))
            raise argparse.ArgumentTypeError(f"invalid choice: {word!r} (choose from {allowed})")
        return word

    return check


def add_sets(parser: argparse.ArgumentParser) -> None:
    """Add the two sets of images: --train, --test and --label.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """
    parser.add_argument("--train", required=True, metavar="PATH", help="images to learn from")
    parser.add_argument(
        "--test",
        metavar="PATH",
        help="images to test on (default: the test part of --train)",
    )
    parser.add_argument(
        "--label",
        metavar="NAME",
        help="which labels: the column of a table (default: label, class, target or y), or fine "
        "(default) or coarse of CIFAR-100",
    )


def add_n_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --n-jobs.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """
    parser.add_argument(
        "--n-jobs", type=int, metavar="N", help="threads (default, and -1: one for each core)"
    )


def add_k(
    parser: argparse.ArgumentParser, default: int = 5, meaning: str = "neighbors that vote"
) -> None:
    """Add --k, a number of neighbors.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    default : int, default 5
    meaning : str
        What the help says of it, before the default.
    """
    parser.add_argument(
        "--k",
        type=positive_int,
        default=default,
        metavar="K",
        help=f"{meaning} (default: {default})",
    )


def add_metric(parser: argparse.ArgumentParser) -> None:
    """Add --metric.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """
    parser.add_argument(
        "--metric", choices=METRIC_NAMES, default="l2", help="distance (default: l2)"
    )


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add --progress and --no-progress.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    """
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show what is done and a progress bar (default: if standard error is a terminal)",
    )
