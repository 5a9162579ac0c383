"""How it is measured: contenders take turns in one process, and medians are kept.

A shared machine drifts from second to second, so ratios are only fair between runs that stand
next to each other: every round runs every contender once, and the order turns with the rounds.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

Run = Callable[[], object]
REST_SECONDS = 0.25


def take_turns(benchmark, contenders: dict[str, Run], rounds: int, **info) -> dict[str, float]:
    """Median seconds of each contender; the first is the one that pytest-benchmark lists."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    first, *others = contenders

    def others_first() -> None:
        turn = len(seconds[others[0]]) % len(others) if others else 0
        for name in others[turn:] + others[:turn]:
            seconds[name].append(timed(contenders[name]))

    def run_first() -> None:
        seconds[first].append(timed(contenders[first]))

    for run in contenders.values():  # caches, thread pools, compilation
        run()
    benchmark.pedantic(run_first, setup=others_first, rounds=rounds, iterations=1)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    benchmark.extra_info.update(info, seconds=medians)
    return medians


def timed(run: Run, rest: float = REST_SECONDS) -> float:
    """Seconds of one run; a run that times itself returns them as a float.

    First a rest: threads of the one before may still spin in wait of more, on the same cores.
    """
    time.sleep(rest)
    started = time.perf_counter()
    own = run()
    return own if isinstance(own, float) else time.perf_counter() - started


def matmul_run(size: int = 4096) -> tuple[Run, float]:
    """NumPy's float32 matrix product, the yardstick of arithmetic, and its multiply-adds."""
    generator = np.random.default_rng(0)
    left, right = generator.random((2, size, size), np.float32)
    out = np.empty((size, size), np.float32)
    return lambda: np.matmul(left, right, out=out), float(size) ** 3
