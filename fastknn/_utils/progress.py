"""Progress of long work: a bar, somebody's own object, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastknn._utils.checks import check_progress

Status = Callable[[str], object]
# Parts of a query count too, but nobody wants to read them.
BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total} [{elapsed}<{remaining}, {rate_fmt}]"
LINE = "{desc} [{elapsed}]"


class Told:
    """What is told of progress: the object that a search may be given, and what `shown` yields.

    Parameters
    ----------
    update : callable
        Told how many more queries are done.
    status : callable, optional
        Told in words what is being done where nothing can be counted, and "" when that is over.
    """

    def __init__(self, update: Callable[[float], object], status: Status | None = None) -> None:
        self.update, self.status = update, status or _ignore

    def __call__(self, n: float) -> None:
        self.update(n)


def _ignore(_) -> None:
    """Progress that nobody wants to see."""


@contextmanager
def shown(progress, total: int) -> Iterator[Told]:
    """A function that is told how many more queries are done.

    Parameters
    ----------
    progress : bool, None, or object with an ``update(n)`` method
        True for a tqdm bar, the object to be told itself, or else nothing.
    total : int
        Queries in all.
    """
    check_progress(progress)
    if progress is None or progress is False:
        yield Told(_ignore)
    elif progress is True:
        from tqdm.auto import tqdm

        with tqdm(total=total, unit=" queries", bar_format=BAR) as bar:
            yield Told(
                bar.update, lambda text: bar.set_description_str(f"{text} ... " if text else "")
            )
    else:
        yield Told(progress.update)


@contextmanager
def said(progress) -> Iterator[Status]:
    """A function that is told in words what is being done, before anything can be counted.

    Parameters
    ----------
    progress : bool, None, or object with an ``update(n)`` method
        True for a line on standard error that goes when this is over; what `shown` gave says it
        beside its bar. Other objects count queries, and are told nothing.
    """
    check_progress(progress)
    if progress is True:
        from tqdm.auto import tqdm

        lines = []  # one, once there is something to say

        def say(text: str) -> None:
            if not lines:
                lines.append(tqdm(desc=f"{text} ...", bar_format=LINE, leave=False))
            lines[0].set_description_str(f"{text} ...")

        try:
            yield say
        finally:
            for line in lines:
                line.close()
    elif isinstance(progress, Told):
        try:
            yield progress.status
        finally:
            progress.status("")
    else:
        yield _ignore
