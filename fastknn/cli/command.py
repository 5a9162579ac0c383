"""What a command is made of."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Command"]


@dataclass(frozen=True)
class Command:
    """A command of ``fastknn``.

    Attributes
    ----------
    name : str
    summary : str
        One line for the list of commands.
    description : str
        The first paragraph of the command's own help.
    add_arguments : callable
        Adds the arguments of the command to its parser.
    execute : callable
        Does the work. Its errors about arguments are printed as one line.
    run_script : callable, optional
        Called after `execute`, if that raised nothing. Its errors are not caught.
    """

    name: str
    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace], None]
    run_script: Callable[[argparse.Namespace], None] | None = None
