"""A pytest plugin: patches scikit-learn before its tests are collected, and counts searches.

The data of most tests are so small that no estimator would go beyond the direct screen. With
FASTKNN_TEST_SCREEN set to the name of a screen, estimators have that screen from their first
search on, however small or narrow their data are, and keep to it.
"""

import functools
import json
import os
import threading
from collections import Counter

import pytest
from cases import choose_always, set_limits, set_plans

import fastknn
from fastknn.estimators import drop_in, mixin
from fastknn.search import growth, trial
from fastknn.search.index import Index
from fastknn.search.searcher import Searcher

ANSWERS = pytest.StashKey[list]()


def force(screen: str, patch: pytest.MonkeyPatch) -> None:
    """Let estimators use this screen at once, for any data that it can be built for.

    Of several screens that the name allows, the quickest is taken, but never the direct one.
    """
    choose_always(patch, screen)
    set_limits(patch, small_elements=0)
    patch.setattr(growth, "STAGES", ("none", screen))
    # Stages of projections for a few features.
    set_plans(patch, l2=((1,), (3,), (1, 3)), l1=((2,), (4, 2)), fewest_groups=1)
    # On few rows no screen pays: each would lose to the direct one, or hand over to it.
    patch.setattr(Searcher, "may_give_up", property(lambda self: False))
    cost = trial._Trial.cost.fget
    patch.setattr(
        trial._Trial,
        "cost",
        property(lambda trial: cost(trial) if trial.searcher.codes else float("inf")),
    )


def count_searches(patch: pytest.MonkeyPatch) -> list[str]:
    """Note how each search of an estimator was answered, in the list that is returned.

    By the screens of an index, in words; by "scikit-learn"; or "radius", of whose answers nothing
    is known. Searches that end in an error are left out.
    """
    answers: list[str] = []  # appending is safe where several threads search
    current = threading.local()
    kneighbors, search = mixin.FastNeighbors.kneighbors, Index.search_keys
    radius_neighbors = drop_in.NearestNeighbors.radius_neighbors

    @functools.wraps(kneighbors)
    def counted_kneighbors(self, *arguments, **named):
        current.cascade = "scikit-learn"
        found = kneighbors(self, *arguments, **named)
        answers.append(current.cascade)
        return found

    @functools.wraps(search)
    def noted_search(self, *arguments, **named):
        found = search(self, *arguments, **named)
        current.cascade = self.cascade
        return found

    @functools.wraps(radius_neighbors)
    def counted_radius_neighbors(self, *arguments, **named):
        found = radius_neighbors(self, *arguments, **named)
        answers.append("radius")
        return found

    for name in drop_in.__all__:  # each of which has it under its own name
        patch.setattr(getattr(drop_in, name), "kneighbors", counted_kneighbors)
    patch.setattr(Index, "search_keys", noted_search)
    patch.setattr(drop_in.NearestNeighbors, "radius_neighbors", counted_radius_neighbors)
    return answers


def counts_of(answers: list[str]) -> dict[str, int]:
    """How many searches were fast, how many of them had a screen, and how many were not."""
    counts = Counter(answers)
    radius, slow = counts.pop("radius", 0), counts.pop("scikit-learn", 0)
    fast, screened = counts.total(), counts.total() - counts["none"] - counts["direct"]
    return {"fast": fast, "screened": screened, "slow": slow, "radius": radius}


def pytest_configure(config):
    patch = pytest.MonkeyPatch()  # which lasts as long as the process
    if screen := os.environ.get("FASTKNN_TEST_SCREEN"):
        force(screen, patch)
    config.stash[ANSWERS] = count_searches(patch)
    fastknn.patch_sklearn()


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"searches: {json.dumps(counts_of(config.stash[ANSWERS]))}")
