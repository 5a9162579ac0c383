"""The Numba kernel that counts votes: compiled when it is first worth loading.

Importing this module does not import Numba. The kernel is compiled, or read from Numba's cache on
disk, the first time that it is called; a process that has few votes to count leaves them to NumPy
and never loads Numba (`worth_loading`). Where no folder can be written to for that cache, the
kernel is compiled anew in each process.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What it takes to load Numba and its kernel from the cache on disk, in seconds: measured with Numba
# 0.68 on one core of about 3 GHz. `counting.numpy_seconds` is what it is compared with.
LOAD_SECONDS = 0.3

# The state of this process, behind one lock: kernels that are compiled, and the seconds that NumPy
# has taken more than a kernel would have.
_compiling = threading.Lock()
_compiled_kernels: dict[tuple[Callable[..., Any], str], Callable[..., Any]] = {}
_numpy_spent = 0.0


def compile_once(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """``function`` compiled by Numba for ``signature``, at most once per process.

    Not a decorator, because Numba compiles at decoration where signatures are given: importing
    the module would cost the compilation of every kernel for every type.
    """
    key = function, signature
    with _compiling:
        if key not in _compiled_kernels:
            from numba import njit

            try:
                kernel = njit([signature], nogil=True, cache=True)(function)
            except Exception:
                # No folder for the cache can be written to, the disk is full, or a cache file is
                # broken: votes can be counted without a cache. An error of the kernel itself is
                # raised again here.
                kernel = njit([signature], nogil=True)(function)
            _compiled_kernels[key] = kernel
        return _compiled_kernels[key]


def worth_loading(seconds: float) -> bool:
    """Whether the kernel should count votes for which NumPy takes so many seconds more.

    How many votes a process will count is not known. So Numba is loaded once NumPy would have cost
    as much in all as loading does: in all, never more than twice what would have been best.
    """
    global _numpy_spent
    with _compiling:
        if _compiled_kernels:  # Numba is loaded already
            return True
        if _numpy_spent + seconds > LOAD_SECONDS:
            return True
        _numpy_spent += seconds
        return False


# "True" marks what is only read, so that read-only arrays are accepted.
VOTE_SIGNATURE = (
    "void(Array(int64, 2, 'C', True), Array(float64, 2, 'C', True), "
    "Array(int64, 1, 'C', True), Array(int64, 1, 'C', True), int64, "
    "float64[::1], int64[:, ::1], float64[:, :, ::1])"
)


def vote_rows(
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    ks: NDArray[np.int64],
    slots: NDArray[np.int64],
    first: int,
    votes: NDArray[np.float64],
    codes: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> None:
    """Count the votes of a chunk of rows, the first of which is row ``first`` of the results.

    After the ks[t] nearest neighbors (ks ascends) the winner goes to ``codes[slots[t]]`` and
    the votes of all classes to ``shares[slots[t]]``, or not where the array is empty. A single
    row of ``weights`` serves all rows. ``votes``, one zero per class, is scratch memory, and
    is zero again afterwards.
    """
    n_rows, k = labels.shape
    n_ks = len(ks)
    weights_step = 0 if len(weights) == 1 else 1
    for i in range(n_rows):
        # Votes never fall, so the lead can only pass to the class that has just been voted for:
        # the winner is known after every column without a look at the other classes.
        leader = len(votes)
        lead = 0.0
        t = 0
        for j in range(k):
            label = labels[i, j]
            score = votes[label] + weights[i * weights_step, j]
            votes[label] = score
            if score > lead or (score == lead and label < leader):
                leader = label
                lead = score
            while t < n_ks and ks[t] == j + 1:
                if codes.size > 0:
                    codes[slots[t], first + i] = leader
                if shares.size > 0:
                    shares[slots[t], first + i] = votes
                t += 1
            if t == n_ks:
                break
        for j in range(k):
            votes[labels[i, j]] = 0.0
