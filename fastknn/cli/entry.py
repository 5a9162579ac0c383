"""The entry point: runs one command line, and prints its errors and warnings as single lines."""

import argparse
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from fastknn.cli.parser import make_parser

__all__ = ["main"]

# Options whose arguments in Python have another name, which is the one that errors begin with.
OPTION_NAMES = {"cv": "--folds"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``fastknn``; by default the arguments of this process.

    Returns
    -------
    int
        0; 2 after an error, which is printed to standard error; 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        If the arguments cannot be parsed, and after ``--help`` and ``--version``.

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
                parser = make_parser()
                parser.parse_args(arguments, options)
                if options.command is None:
                    parser.print_help()
                else:
                    options.command.execute(options)
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
    if options.command is not None and options.command.run_script is not None:
        options.command.run_script(options)  # whatever it raises is the script's
    return 0


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"fastknn: warning: {message}", file=sys.stderr)


def _in_words(error: Exception, options: argparse.Namespace) -> str:
    """An error as one line, in which the argument that it begins with is an option."""
    if isinstance(error, MemoryError):
        return f"not enough memory{f': {error}' if str(error) else ''}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = " ".join(str(error).split())
    name = re.split(r"\W", text, maxsplit=1)[0]
    option = OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
    is_option = name in OPTION_NAMES or (name in vars(options) and name != "command")
    return option + text[len(name) :] if is_option else text
