"""The parser of the command line, to which every command adds its own arguments."""

import argparse
import difflib
import re
from typing import NoReturn

from fastknn import __version__
from fastknn.cli import classify, demo, ground_truth, run, tune

__all__ = ["make_parser"]

DESCRIPTION = """\
Exact k-nearest-neighbor search and classification.
"""
COMMANDS = (
    classify.COMMAND,
    tune.COMMAND,
    ground_truth.COMMAND,
    demo.COMMAND,
    run.COMMAND,
)


class SuggestingParser(argparse.ArgumentParser):
    """A parser whose errors suggest the word that may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit.

        Parameters
        ----------
        message : str
        """
        wrong = re.match(r"(.*invalid choice: '([^']*)') \(choose from (.*)\)$", message)
        if wrong:
            near = difflib.get_close_matches(wrong[2], re.findall(r"[\w-]+", wrong[3]), 1)
            message += f"; did you mean {near[0]!r}?" if near else ""
        super().error(message)


def make_parser() -> SuggestingParser:
    """Make the parser, which sets ``options.command`` to a `Command`, or None if there is none.

    Returns
    -------
    SuggestingParser
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = SuggestingParser(prog="fastknn", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"fastknn {__version__}")
    parser.set_defaults(command=None)
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        own = parsers.add_parser(
            command.name,
            help=command.summary,
            description=command.description,
            formatter_class=raw,
        )
        command.add_arguments(own)
        own.set_defaults(command=command)
    return parser
