"""What a benchmark says in one line, for the closing table and for the report."""

from collections.abc import Iterable
from typing import NamedTuple

OURS = "fastknn"
DEFINITION = "NumPy reference"  # nobody would choose it, so it is no peer
TIMES = "\N{MULTIPLICATION SIGN}"
UNITS = ((1, "s"), (1e-3, "ms"), (0, "µs"))


class Line(NamedTuple):
    """One comparison with the best peer."""

    title: str
    unit: str
    ours: float  # seconds per unit
    peer: str  # none: no peer was measured
    theirs: float

    @property
    def times(self) -> float:
        """Times faster than the best peer."""
        return self.theirs / self.ours


def is_peer(name: str) -> bool:
    """Whether a contender is somebody else's."""
    return not name.startswith(OURS) and name != DEFINITION


def line(info: dict) -> Line | None:
    """Of a benchmark's `extra_info`; None where it compares nothing."""
    seconds = info.get("seconds", {})
    if OURS not in seconds:
        return None
    peers = {name: each for name, each in seconds.items() if is_peer(name)}
    best = min(peers, key=peers.__getitem__, default="")
    return Line(info["title"], info["unit"], seconds[OURS], best, peers.get(best, 0.0))


def duration(seconds: float) -> str:
    """Three digits and the unit that suits them.

    >>> [duration(each) for each in (12.34, 0.01234, 5.678e-6)]
    ['12.3 s', '12.3 ms', '5.68 µs']
    """
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size)
    number = seconds / (size or 1e-6)
    digits = f"{number:#.3g}".rstrip(".") if number < 999.5 else f"{number:,.0f}"
    return f"{digits} {unit}"


def times(ratio: float) -> str:
    """A ratio of two times in as many digits as it deserves.

    >>> [times(each)[:-1] for each in (28.04, 3.14159, 0.5)]
    ['28', '3.1', '0.50']
    """
    digits = 0 if ratio >= 9.95 else 1 if ratio >= 1 else 2
    return f"{ratio:.{digits}f}{TIMES}"


def in_words(info: dict) -> str:
    """One benchmark's result as a sentence."""
    found = line(info)
    if found is None:
        return "done"
    text = f"{duration(found.ours)} per {found.unit}"
    if found.peer:
        text += f"; {found.peer} {duration(found.theirs)}, fastknn {times(found.times)} as fast"
    return text


def table(infos: Iterable[dict], before: dict[str, dict] | None = None) -> list[str]:
    """The closing table: this, the best peer, and how many times faster this is.

    Parameters
    ----------
    infos : iterable of dict
        The `extra_info` of each benchmark.
    before : dict, optional
        The same by title, of a saved run: its times faster stand beside.
    """
    heads = ["", "fastknn", "best peer", "", "times faster"]
    if before:
        heads.append("saved run")
    rows = [heads]
    for info in infos:
        found = line(info)
        if found is None:
            continue
        row = [f"{found.title} (per {found.unit})", duration(found.ours)]
        row += [found.peer, duration(found.theirs), times(found.times)] if found.peer else [""] * 3
        if before:
            old = line(before.get(found.title, {}))
            row.append(times(old.times) if old and old.peer else "")
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = (0, 2)
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
