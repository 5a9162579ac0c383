"""Plain Python threads over blocks of work that release the GIL.

Threads are made per call and joined before it returns: nothing outlives a call, so a
fork, a signal or a second caller finds no pool in an odd state.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from numbers import Integral
from typing import TypeVar

Block = TypeVar("Block")

# Variables that set the threads of BLAS libraries alone, and what OpenBLAS takes at most by itself.
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
BLAS_MOST = 64


def thread_count(n_jobs: int | None) -> int:
    """Number of threads that ``n_jobs`` asks for: the one rule for the whole package.

    A positive number means itself. -1 means all threads that this process may use
    (`available_threads`), -2 all but one, and so on. None means the number that joblib's
    `parallel_config` sets; in joblib's workers the worker's share of the machine; else -1.
    """
    check_n_jobs(n_jobs)
    n_jobs = _joblib_jobs() if n_jobs is None else int(n_jobs)
    return n_jobs if n_jobs > 0 else max(1, available_threads() + 1 + n_jobs)


def check_n_jobs(n_jobs: int | None) -> None:
    """Raise unless ``n_jobs`` is a number of threads that can be asked for."""
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or isinstance(n_jobs, bool)):
        raise TypeError(f"n_jobs must be an integer or None, got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0: use None or -1 for all cores, 1 for one thread")


def available_threads() -> int:
    """Threads that this process may use now: the least of what limits them, and at least one.

    The cores that joblib counts (affinity mask, processor time of the container,
    LOKY_MAX_CPU_COUNT), OMP_NUM_THREADS, and the limit that threadpoolctl has set.
    """
    limits = (_cores(), _first_number("OMP_NUM_THREADS"), _pool_limit())
    return max(1, min(limit for limit in limits if limit is not None))


def _joblib_jobs() -> int:
    """What None means. joblib's settings are asked only where somebody has loaded it."""
    parallel = sys.modules.get("joblib.parallel")
    # Before joblib 1.3 the default looks like n_jobs=1.
    if parallel is None or not hasattr(parallel, "parallel_config"):
        return -1
    backend, n_jobs = parallel.get_active_backend()
    if n_jobs:
        return int(n_jobs)
    if not getattr(backend, "nesting_level", 0):
        return -1
    # In one of joblib's workers. Those of loky are told their share in OMP_NUM_THREADS, and work
    # in the main thread of their process. Others are not told, and have one thread each.
    told = _first_number("OMP_NUM_THREADS") is not None
    return -1 if told and threading.current_thread() is threading.main_thread() else 1


def _cores() -> int:
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return _counted(frozenset(affinity), os.environ.get("LOKY_MAX_CPU_COUNT"))


@lru_cache(maxsize=1)  # joblib reads files each time, which takes as long as a small search
def _counted(affinity: frozenset[int], told: str | None) -> int:
    """joblib's count of cores, taken again where one of these has changed.

    joblib is imported only here: it takes a tenth of a second, and those who say how many threads
    they want do not need it.
    """
    from joblib import cpu_count

    try:
        return cpu_count()
    except ValueError:  # of a variable that is no number
        return len(affinity) or os.cpu_count() or 1


def _first_number(variable: str) -> int | None:
    """The positive number that an environment variable gives, the first of a list, or None."""
    text = os.environ.get(variable, "").split(",")[0].strip()
    return int(text) or None if text.isascii() and text.isdigit() else None


def _pool_limit() -> int | None:
    """What `threadpoolctl.threadpool_limits` has set, or None if that cannot be known.

    It sets the threads of the OpenMP runtimes and of the BLAS libraries that are loaded. So there
    is a limit for all where no runtime has more: one of them may have been set by itself.
    """
    helpers = sys.modules.get("sklearn.utils._openmp_helpers")
    try:  # scikit-learn's own runtime, in a microsecond
        if helpers is not None and helpers._openmp_parallelism_enabled():
            return helpers._openmp_effective_n_threads(only_physical_cores=False)
    except (AttributeError, TypeError):  # private names of another version
        pass
    if not hasattr(sys.modules.get("threadpoolctl"), "ThreadpoolController"):
        return None  # then nobody can have set one
    pools = _pools(len(sys.modules))
    runtimes = [pool.num_threads for pool in pools if pool.user_api == "openmp"]
    if runtimes:
        return max(runtimes)
    most = max((pool.num_threads for pool in pools), default=BLAS_MOST)
    is_its_own = most >= BLAS_MOST or any(map(os.environ.get, BLAS_VARIABLES))
    return None if is_its_own else most


@lru_cache(maxsize=1)  # it takes milliseconds, and new libraries come with new modules
def _pools(n_modules: int) -> list:
    return sys.modules["threadpoolctl"].ThreadpoolController().lib_controllers


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
    n_threads = min(n_threads, len(pending))
    if n_threads <= 1:
        for block in pending:
            for _ in function(block) or ():
                pass
        return
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
