"""Single values: what is accepted, and the errors that name the argument."""

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Number
from pathlib import Path

import numpy as np


def as_count(value: int, name: str, least: int = 1) -> int:
    """Return ``value`` as an int, if it is an integer of at least ``least``."""
    # Asking for a class alone is ten times as fast as for a kind of number.
    if type(value) is not int and (
        not isinstance(value, Integral) or isinstance(value, bool | np.bool_)
    ):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def as_flag(value: bool, name: str) -> bool:
    """Return ``value`` as a bool, if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def as_k(k: int, n_rows: int) -> int:
    """Return ``k`` as an int between 1 and the number of training rows."""
    k = as_count(k, "k")
    if k > n_rows:
        raise ValueError(f"k must be at most the number of training rows, {n_rows}; got {k}")
    return k


def as_path(path, name: str) -> Path:
    """Return ``path``, with ~ expanded, if it is one."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a path, a str or os.PathLike; got {path!r}")
    if not os.fspath(path):  # which would be the folder that the process is in
        raise ValueError(f"{name} must be a path, and is empty")
    return Path(path).expanduser()


def is_missing(value) -> bool:
    """Whether one value is NaN, or pandas' NA or NaT."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number) and value != value


def distinct_values(values: Sequence, name: str, check: Callable) -> list:
    """Values, each checked, of an argument that takes one or more."""
    if isinstance(values, str) or not np.iterable(values):
        raise TypeError(f"{name} must be a sequence, got {values!r}")
    values = list(values)
    if not values:
        raise ValueError(f"{name} must not be empty")
    for value in values:
        check(value)
    return list(dict.fromkeys(values))
