"""Progress of long work: a bar, somebody's own object, or nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastknn._checks import check_progress


@contextmanager
def shown(progress, total: int) -> Iterator[Callable[[float], object]]:
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
        yield lambda n: None
    elif progress is True:
        from tqdm.auto import tqdm

        # Parts of a query count too, but nobody wants to read them.
        layout = (
            "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total} [{elapsed}<{remaining}, {rate_fmt}]"
        )
        with tqdm(total=total, unit=" queries", bar_format=layout) as bar:
            yield bar.update
    else:
        yield progress.update


class Told:
    """The object that a search may be given to tell a function of its progress."""

    def __init__(self, update: Callable[[float], object]) -> None:
        self.update = update
