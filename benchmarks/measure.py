"""How it is measured: contenders take turns in one process, and medians are kept.

A shared machine drifts from second to second, so ratios are only fair between runs that stand
next to each other: every round runs every contender once, and the order turns with the rounds.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest

# Before each run: threads of the one before may still spin in wait of more, on the same cores.
REST_SECONDS = 0.25


class Effort(NamedTuple):
    """How long is measured."""

    rounds: int
    # A peer gets as many queries as take about so long; ours always get the same number.
    seconds: float
    full: bool


BRIEF = Effort(rounds=3, seconds=0.4, full=False)
FULL = Effort(rounds=5, seconds=1.0, full=True)


class Run(NamedTuple):
    """What one contender does in its turn: `act(n)` does `n` units of work.

    `n` is between `least` and `most`: as many as take the seconds of the effort. An `act` that
    times itself returns its seconds as a float.
    """

    act: Callable[[int], object]
    least: int = 1
    most: int = 1


def once(act: Callable[[], object]) -> Run:
    """A run whose work is one unit."""
    return Run(lambda n: act())


class SideBySide:
    """Measures contenders side by side, for one benchmark.

    Parameters
    ----------
    benchmark
        The fixture of pytest-benchmark. It lists the seconds of the first contender.
    effort : Effort
    say : callable
        Told what is being done, in a few words.
    """

    def __init__(self, benchmark, effort: Effort, say: Callable[[str], None]) -> None:
        self.benchmark, self.effort, self._say = benchmark, effort, say

    def __call__(
        self,
        title: str,
        contenders: dict[str, Run],
        *,
        unit: str = "query",
        yardsticks: dict[str, Run] | None = None,
        rounds: int | None = None,
        **info,
    ) -> dict[str, float]:
        """Run all in turns; return the median seconds per unit of each, yardsticks included.

        Parameters
        ----------
        title : str
            What is measured, as the closing table says it.
        contenders : dict
            Ours come first; their names begin with "fastknn".
        unit : str
            What one unit of work is: "query", "matrix".
        yardsticks : dict, optional
            What is timed with them and is no contender, such as a matrix product.
        rounds : int, optional
            By default those of `effort`.
        **info
            More for the report.
        """
        rounds = rounds or self.effort.rounds
        everyone = {**contenders, **(yardsticks or {})}
        counts = {}
        for name, run in everyone.items():  # caches, thread pools, compilation
            self._say(f"{name}, first run")
            counts[name] = self._count(run)
        seconds: dict[str, list[float]] = {name: [] for name in everyone}
        first, *others = everyone

        def turn(name: str, rest: float = REST_SECONDS) -> None:
            run = partial(everyone[name].act, counts[name])
            seconds[name].append(timed(run, rest))

        def others_first() -> None:
            done = len(seconds[first])
            start = done % len(others) if others else 0
            for name in others[start:] + others[:start]:
                self._say(f"{name}, round {done + 1} of {rounds}")
                turn(name)
            self._say(f"{first}, round {done + 1} of {rounds}")
            time.sleep(REST_SECONDS)  # here, since pytest-benchmark times the turn of the first

        self.benchmark.pedantic(turn, args=(first, 0), setup=others_first, rounds=rounds)
        medians = {name: statistics.median(all_) / counts[name] for name, all_ in seconds.items()}
        self.benchmark.extra_info.update(
            title=title,
            unit=unit,
            seconds={name: medians[name] for name in contenders},
            yardsticks={name: medians[name] for name in yardsticks or {}},
            counts=counts,
            **info,
        )
        return medians

    def _count(self, run: Run) -> int:
        """How many units of work a run is given; runs it at least once."""
        count = run.least
        while True:
            took = timed(partial(run.act, count), rest=0)
            if count == run.most or took > self.effort.seconds / 2:
                return count
            # Cost per unit falls as the blocks fill, so it is looked at again.
            wanted = math.ceil(count * self.effort.seconds / max(took, 1e-6))
            count = min(run.most, wanted, count * 16)


def timed(run: Callable[[], object], rest: float = REST_SECONDS) -> float:
    """Seconds of one run; a run that times itself returns them as a float."""
    time.sleep(rest)
    started = time.perf_counter()
    own = run()
    return own if isinstance(own, float) else time.perf_counter() - started


def matmul(size: int = 2048) -> tuple[Run, float]:
    """NumPy's float32 matrix product, the yardstick of arithmetic, and its multiply-adds."""
    generator = np.random.default_rng(0)
    left, right = generator.random((2, size, size), np.float32)
    out = np.empty((size, size), np.float32)
    return once(lambda: np.matmul(left, right, out=out)), float(size) ** 3


class Progress:
    """One line per benchmark: while it runs, what is being done; then what came out."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._writer = config.get_terminal_writer()
        self._terminal = config.pluginmanager.getplugin("terminalreporter").isatty
        self._head = ""
        self.n_benchmarks = 0
        self._done = 0

    def begin(self, name: str) -> None:
        self._done += 1
        self._head = f"[{self._done}/{self.n_benchmarks}] {name}: "
        self.say("data")

    def say(self, what: str) -> None:
        if self._terminal:
            with self._shown() as write:
                width = self._writer.fullwidth - 1
                write("\r" + (self._head + what)[:width].ljust(width))

    def end(self, result: str) -> None:
        with self._shown() as write:
            line = self._head + result
            filled = line.ljust(self._writer.fullwidth - 1) if self._terminal else line
            write(("\r" if self._terminal else "") + filled + "\n")

    @contextmanager
    def _shown(self) -> Iterator[Callable[[str], None]]:
        with self._capture.global_and_fixture_disabled():
            yield lambda text: self._writer.write(text, flush=True)
