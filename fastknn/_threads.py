"""Plain Python threads over blocks of work that release the GIL.

Threads are made per call and joined before it returns: nothing outlives a call, so a
fork, a signal or a second caller finds no pool in an odd state.
"""

import os
import threading
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import TypeVar

Block = TypeVar("Block")


def thread_count(n_jobs: int | None) -> int:
    """Number of threads that ``n_jobs`` asks for.

    None and -1 mean every core this process may use, -2 all but one, and so on, as in
    scikit-learn; a positive number means itself.
    """
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool)):
        raise TypeError(f"n_jobs must be an integer or None, got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0: use None or -1 for all cores, 1 for one thread")
    if n_jobs is not None and n_jobs > 0:
        return int(n_jobs)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) + 1 + int(n_jobs or -1))


def for_each(
    function: Callable[[Block], Iterable | None], blocks: Iterable[Block], n_threads: int
) -> None:
    """Call ``function(block)`` for every block on ``n_threads`` threads, the caller's among them.

    Blocks are handed out one at a time, so uneven ones balance. A function whose blocks take
    long is a generator, and yields between its steps. The first exception, a KeyboardInterrupt
    in the caller included, stops every thread after its current step and is raised here once
    all have ended.
    """
    pending = list(blocks)
    n_threads = max(1, min(n_threads, len(pending)))
    pending.reverse()  # list.pop() takes from the end, and is atomic under the GIL
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not failures:
                try:
                    block = pending.pop()
                except IndexError:
                    return
                for _ in function(block) or ():
                    if failures:
                        return
        except BaseException as failure:
            failures.append(failure)

    helpers = [threading.Thread(target=work, daemon=True) for _ in range(n_threads - 1)]
    try:
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
    except BaseException as interrupt:  # Ctrl-C outside work(): while starting or waiting
        failures.append(interrupt)
        raise
    finally:
        for helper in helpers:
            if helper.ident is not None:
                helper.join()
    if failures:
        raise failures[0]
