"""A warning where fractions of one meet bytes."""

import sys
import warnings

import numpy as np

# Rows that are looked at for their scale, and from where on bytes are not those of 0 and 1.
LOOKED_AT, FAR_BEYOND_ONE = 64, 16


def warn_of_scales(
    queries: np.ndarray, train: np.ndarray, metric: str, name: str = "queries"
) -> None:
    """Warn where fractions up to one meet bytes of many values: mostly one side was not scaled.

    Some rows of each are looked at, first one only, so that this costs nothing beside a search.

    Parameters
    ----------
    queries : ndarray (n_queries, width)
    train : ndarray (n_rows, width)
    metric : str
        Angles do not depend on the scale, nor correlations on the mean.
    name : str
        Of the queries.
    """
    are_fractions = queries.dtype.kind == "f"
    if are_fractions == (train.dtype.kind == "f") or metric == "correlation" or not len(queries):
        return
    fractions, whole = (queries, train) if are_fractions else (train, queries)
    if not _within_one(fractions[:1]) or not _within_one(_some(fractions)):
        return
    some, largest = _some(fractions), int(_some(whole).max())
    if largest < FAR_BEYOND_ONE or (some == np.rint(some)).all():
        return  # few values, such as counts; or black pixels, zeros and ones
    if are_fractions and not _within_one(queries):
        return
    low = int(np.floor(some.min()))
    if metric == "cosine" and (low == 0 or _some(whole).min() < 0):
        return  # both from zero on, or both about zero: then only the scale differs
    of_fractions, of_whole = (name, "train") if are_fractions else ("train", name)
    full = 127 if whole.dtype == np.int8 else 255
    warnings.warn(
        f"{fractions.dtype} values from {low} to 1 in {of_fractions} meet {whole.dtype} values up "
        f"to {largest} in {of_whole}: unless that is meant, bring both to one scale, as "
        f"{of_whole} / {full if largest > 16 else largest} does",
        UserWarning,
        stacklevel=_levels_up(),
    )


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: -(-len(rows) // LOOKED_AT)]


def _within_one(rows: np.ndarray) -> bool:
    return bool(rows.max() <= 1 and rows.min() >= -1)


def _levels_up() -> int:
    """How far up, from the function that asks, the caller of this package is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastknn."):
        level, frame = level + 1, frame.f_back
    return level
