"""A pytest plugin: patches scikit-learn before its tests are collected, and counts searches."""

from collections import Counter

import fastknn
from fastknn.neighbors import FastNeighbors

searches = Counter()
_kneighbors = FastNeighbors.kneighbors


def counted(self, *arguments, **named):
    searches[getattr(self, "backend_", None)] += 1
    return _kneighbors(self, *arguments, **named)


FastNeighbors.kneighbors = counted
fastknn.patch_sklearn()


def pytest_terminal_summary(terminalreporter):
    fast, slow = searches["fastknn"], searches["scikit-learn"]
    terminalreporter.write_line(f"searches: {fast} by fastknn, {slow} by scikit-learn")
