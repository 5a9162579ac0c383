"""Progress of long work: a bar, somebody's own object, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeAlias

Status = Callable[[str], object]


class ProgressLike(Protocol):
    """An object that is updated as a search goes on, such as a bar of tqdm."""

    def update(self, n: float, /) -> object:
        """Count `n` more queries as done."""


# What functions take as their argument `progress`.
ProgressArgument: TypeAlias = bool | ProgressLike | None
# Parts of a query count too, but nobody wants to read them.
BAR = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total} [{elapsed}<{remaining}, {rate_fmt}]"
LINE = "{desc} [{elapsed}]"


class Progress:
    """What a search updates: a search may be given one, and `show_progress` yields one.

    Parameters
    ----------
    update : callable
        Called with the number of queries that were done since the last call.
    status : callable, optional
        Called with words that say what is being done where nothing can be counted, and with ""
        when that is over.
    """

    def __init__(self, update: Callable[[float], object], status: Status | None = None) -> None:
        self.update, self.status = update, status or _ignore

    def __call__(self, n: float) -> None:
        self.update(n)


def _ignore(_: object) -> None:
    """Progress that nobody wants to see."""


def check_progress(progress) -> None:
    """Raise unless a search can tell this object of its progress: see `show_progress`."""
    if progress is None or isinstance(progress, bool):
        return
    if not callable(getattr(progress, "update", None)):
        raise TypeError(f"progress must be a bool or have an update(n) method, got {progress!r}")


# Of searches that show nothing, most of which are short.
_NOTHING = nullcontext(Progress(_ignore))


def show_progress(progress: ProgressArgument, total: int) -> AbstractContextManager[Progress]:
    """Show how many queries are done, until the block ends.

    Parameters
    ----------
    progress : bool, None, or object with an ``update(n)`` method
        True for a tqdm bar, an object that is updated itself, or else nothing.
    total : int
        Queries in all.
    """
    check_progress(progress)
    if progress is None or progress is False:
        return _NOTHING
    return _bar(total) if progress is True else nullcontext(Progress(progress.update))


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=" queries", bar_format=BAR) as bar:
        yield Progress(
            bar.update, lambda text: bar.set_description_str(f"{text} ... " if text else "")
        )


@contextmanager
def show_status(progress: ProgressArgument) -> Iterator[Status]:
    """Show in words what is being done, where nothing can be counted, until the block ends.

    Parameters
    ----------
    progress : bool, None, or object with an ``update(n)`` method
        True for a line on standard error that goes when this is over; what `show_progress`
        yielded has the words beside its bar. Other objects count queries, and get no words.
    """
    check_progress(progress)
    if progress is True:
        from tqdm.auto import tqdm

        lines: list[tqdm] = []  # one, once there is something to say

        def say(text: str) -> None:
            if not lines:
                lines.append(tqdm(desc=f"{text} ...", bar_format=LINE, leave=False))
            lines[0].set_description_str(f"{text} ...")

        try:
            yield say
        finally:
            for line in lines:
                line.close()
    elif isinstance(progress, Progress):
        try:
            yield progress.status
        finally:
            progress.status("")
    else:
        yield _ignore
