"""What commands print and write: output files, progress, names of classes, sizes of memory."""

import argparse
import os
import sys
from collections.abc import Sequence

import numpy as np

from fastknn._utils.files import check_writable

__all__ = [
    "check_outputs",
    "class_name",
    "in_mib",
    "peak_memory",
    "print_confusion",
    "shows_progress",
]


def check_outputs(options: argparse.Namespace) -> None:
    """Check that the output files can be written, and that none of them is a file that is read.

    Parameters
    ----------
    options : argparse.Namespace

    Raises
    ------
    ValueError
        If they cannot, by the name of the option.
    """
    for name in ("output", "plot"):
        path = getattr(options, name, None)
        check_writable(path, f"--{name}")
        for other in ("train", "test", "queries"):
            read = getattr(options, other, None)
            if not path or not read or not os.path.exists(path) or not os.path.exists(read):
                continue
            if os.path.samefile(path, read):
                raise ValueError(f"--{name} must be another file than --{other}, got {path}")


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether a progress bar is shown: as asked for, or else if somebody may see it.

    Parameters
    ----------
    options : argparse.Namespace

    Returns
    -------
    bool
    """
    return sys.stderr.isatty() if options.progress is None else options.progress


def class_name(names: Sequence[str], label: int) -> str:
    """The name of a class, or its number where it has no name.

    Parameters
    ----------
    names : sequence of str
    label : int

    Returns
    -------
    str
    """
    return names[label] if 0 <= label < len(names) else str(label)


def in_mib(n_bytes: float) -> str:
    """A size of memory in words.

    Parameters
    ----------
    n_bytes : float

    Returns
    -------
    str
    """
    return f"{n_bytes / 2**20:,.0f} MiB"


def peak_memory() -> str:
    """The most memory that this process has held, in words.

    Returns
    -------
    str
    """
    try:
        import resource
    except ImportError:  # not a POSIX system
        return "(unknown)"
    unit = 1 if sys.platform == "darwin" else 1024
    return in_mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def print_confusion(matrix: np.ndarray, names: Sequence[str]) -> None:
    """Print a confusion matrix, whose columns are headed by the numbers of the classes.

    Parameters
    ----------
    matrix : ndarray (n_classes, n_classes)
        Rows are the truth, columns the prediction.
    names : sequence of str
        Of the classes.
    """
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
