"""A lock for objects that live on after a fork, and that are copied and pickled."""

import os
import threading
import weakref

__all__ = ["Lock"]

_locks: "weakref.WeakSet[Lock]" = weakref.WeakSet()


class Lock:
    """A `threading.Lock` that belongs to one object.

    A child process finds it open: the thread that held it at the fork does not exist there. A copy
    or a pickle is a new lock.

    Examples
    --------
    >>> import pickle
    >>> from fastknn._utils.locks import Lock
    >>> lock = Lock()
    >>> with lock:
    ...     with pickle.loads(pickle.dumps(lock)):
    ...         pass
    """

    def __init__(self) -> None:
        self._open()
        _locks.add(self)

    def _open(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> "Lock":
        # Kept, so that the lock that is released is the one that was taken.
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple:
        return Lock, ()


def _open_all() -> None:
    for lock in list(_locks):
        lock._open()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
