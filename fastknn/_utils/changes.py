"""Training rows are not copied: a search notices if they are no longer those that were encoded."""

import numpy as np

from fastknn._utils.rows import is_on_disk

__all__ = ["RowsSample", "TrainChanged"]

# Rows that are looked at, spread over all, and bytes of them at most: some ten microseconds.
ROWS, BYTES = 64, 1 << 17


class TrainChanged(ValueError):
    """The training rows have other values than when the index was built."""


class RowsSample:
    """Copies of some training rows, the first and the last among them.

    What changes all rows, as scaling them does, is noticed for certain; a change of a few rows
    only where they are in the sample, which has all of up to 64 rows. Rows in a file that is mapped
    read-only are not looked at.

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn._utils.changes import RowsSample
    >>> rows = np.eye(3)
    >>> sample = RowsSample(rows)
    >>> rows *= 2
    >>> sample.changed(rows)
    0
    """

    def __init__(self, train: np.ndarray) -> None:
        count = min(len(train), ROWS, max(4, BYTES // (train.shape[1] * train.itemsize)))
        if not train.flags.writeable and is_on_disk(train):
            count = 0
        self.places = np.arange(count) * (len(train) - 1) // max(count - 1, 1)
        self.rows = train.take(self.places, axis=0)
        self.content = self.rows.tobytes()

    def __getstate__(self) -> dict:
        return {"places": self.places, "rows": self.rows}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, content=state["rows"].tobytes())

    def check(self, train: np.ndarray) -> None:
        """Raise if the rows of the sample are no longer as they were."""
        row = self.changed(train)
        if row is not None:
            raise TrainChanged(
                f"train has changed since the index was built (row {row}): build a new index, or "
                "give it a copy of the rows"
            )

    def changed(self, train: np.ndarray) -> int | None:
        """A row of the sample that is no longer as it was, or None: O(64 width)."""
        now = train.take(self.places, axis=0)
        if now.tobytes() == self.content:
            return None
        differ = (now != self.rows) & ((now == now) | (self.rows == self.rows))  # NaN is NaN
        rows = np.flatnonzero(differ.any(axis=1))
        return int(self.places[rows[0]]) if len(rows) else None
