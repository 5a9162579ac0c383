"""The ``fastknn`` command.

`entry.py` runs a command line, `parser.py` reads it, and each command has a module of its own, with
its arguments and its work: `demo.py`, `classify.py`, `tune.py`, `ground_truth.py` and `run.py`.
"""

from fastknn.cli.entry import main

__all__ = ["main"]
