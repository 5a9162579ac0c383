"""The index that grows with its queries: its choices, from one thread and from many."""

import os
import threading
import time

import numpy as np
import pytest
from cases import choose_always, points, set_limits
from numpy.testing import assert_array_equal

from fastknn._utils.locks import Lock
from fastknn.reference import reference_knn
from fastknn.search import adaptive, policy, searcher
from fastknn.search.adaptive import AdaptiveIndex
from fastknn.search.index import Index


def test_one_of_many_threads_builds_the_next_screen(monkeypatch):
    """All others go on with the screen that is there, and every query is counted."""
    train, built = points(np.float32, 400, 9), []
    index = AdaptiveIndex(train, "l2", 1)
    with_screen, everybody = Index.with_screen, threading.Barrier(8, timeout=60)

    def slow(self, screen, **options):
        built.append(screen)
        time.sleep(0.3)
        return with_screen(self, screen, **options)

    monkeypatch.setattr(Index, "with_screen", slow)
    found, seconds = [], []

    def search():
        everybody.wait()
        began = time.perf_counter()
        found.append(index.search(train[:7], 3, 1))
        seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert built == ["direct"]
    assert index.n_queries == 56
    assert index.index.screen == "direct"
    assert sorted(seconds)[-2] < 0.3 < max(seconds)  # one has waited: the one that built
    expected = reference_knn(train[:7], train, 3, "l2")
    for distances, indices in found:
        assert_array_equal(indices, expected[1])
        assert_array_equal(distances, expected[0])


def test_rows_that_are_appended_while_a_screen_is_built_stay(monkeypatch):
    train = points(np.float32, 60, 5)
    index = AdaptiveIndex(train[:50], "l2", 1)
    with_screen = Index.with_screen

    def appended_meanwhile(self, screen, **options):
        grown = with_screen(self, screen, **options)
        index.append(train[50:])
        return grown

    monkeypatch.setattr(Index, "with_screen", appended_meanwhile)
    index.search(train, 1, 1)
    assert len(index.index) == 60
    assert_array_equal(index.search(train, 1, 1)[1].ravel(), np.arange(60))


def test_a_screen_that_cannot_be_built_does_not_end_the_growing(monkeypatch):
    train = points(np.float32, 60, 5)
    index = AdaptiveIndex(train, "l2", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "with_screen", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.search(train, 1, 1)
    index.search(train, 1, 1)
    assert index.index.screen == "direct"


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_what_is_packed_is_kept_for_the_next_choice(metric, monkeypatch):
    """Panels, and what angles measure of rows: if the direct screen stays, or a cascade comes."""
    train = points(np.float32, 600, 24)
    index = Index(train, metric, screen="none").with_screen("direct")
    direct = index._searcher
    set_limits(monkeypatch, small_elements=0)
    assert index.with_screen("direct")._searcher is direct
    cascade = index.with_screen("quantized")._searcher
    assert cascade.codes
    packs = []
    monkeypatch.setattr(searcher, "pack", lambda *_: packs.append(1))
    assert cascade.fallback() is direct
    assert cascade.measures is direct.measures
    assert not packs


def test_the_trial_searches_what_is_packed(monkeypatch):
    train = points(np.float32, 600, 24)
    index = Index(train, "l2", screen="direct")
    set_limits(monkeypatch, small_elements=0)
    searched = []
    block = type(index._searcher).block

    def seen(self, *arguments, **options):
        searched.append(self)
        return block(self, *arguments, **options)

    monkeypatch.setattr(type(index._searcher), "block", seen)
    index.with_screen("auto")
    assert searched[0] is index._searcher


def test_screens_never_go_back(monkeypatch):
    train = points(np.float32, 60, 5)
    index = AdaptiveIndex(train, "l2", 1)
    choose_always(monkeypatch, "direct")
    index.search(train, 1, 1)
    choose_always(monkeypatch, "none")
    index.search(train, 1, 1)
    assert index.index.screen == "direct"
    assert adaptive.SCREENS == ("none", "direct", "grouped", "auto")


def test_each_index_has_its_own_lock(monkeypatch):
    """A fallback that is packed for one index does not hold up another."""
    train = points(np.float32, 600, 24)
    one, other = (Index(train, "l2", screen="quantized")._searcher for _ in range(2))
    with one._lock:
        thread = threading.Thread(target=other.fallback)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()


def test_a_child_finds_locks_open():
    lock = Lock()
    with lock:
        child = os.fork()
        if not child:
            taken = lock._lock.acquire(blocking=False)
            os._exit(0 if taken else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not lock._lock.acquire(blocking=False)  # here it is held


@pytest.mark.parametrize(
    ("known", "choice"),
    [
        ({"n_queries": 5}, "none"),
        ({"n_queries": 6}, "direct"),
        ({"n_queries": 20_000}, "auto"),
        ({}, "auto"),
        ({"n_rows": 100}, "direct"),
        ({"n_rows": 100, "n_queries": 5}, "none"),
    ],
)
def test_the_table_for_an_index(known, choice):
    images = policy.Known(50_000, 3072, np.dtype(np.uint8), "l2", n_threads=2)
    assert policy.choose(policy.INDEX, images._replace(**known)).choice == choice


@pytest.mark.parametrize(
    ("known", "choice"),
    [
        ({}, "grouped"),
        ({"n_queries": 5}, "none"),
        ({"n_queries": 100}, "direct"),
        ({"n_queries": 100_000}, "grouped"),
        ({"n_rows": 1000}, "direct"),
        ({"width": 6}, "auto"),
    ],
)
def test_the_table_for_few_columns(known, choice):
    rows = policy.Known(100_000, 5, np.dtype(np.float32), "l2", n_threads=2)
    assert policy.choose(policy.INDEX, rows._replace(**known)).choice == choice


def test_the_table_for_rows_in_groups():
    rows = policy.Known(100_000, 5, np.dtype(np.float32), "l2")
    for width, choice in [
        (7, "differences"),
        (8, "either"),
        (31, "either"),
        (32, "quantized"),
        (61, "quantized"),
        (62, "auto"),
    ]:
        assert policy.choose(policy.GROUPS, rows._replace(width=width)).choice == choice
    known = rows._replace(width=61, dtype=np.dtype(np.uint8))
    assert policy.choose(policy.GROUPS, known).choice == "differences"


def test_the_table_for_a_search():
    rows = policy.Known(1000, 5, np.dtype(np.float64), "l2", k=62)
    assert policy.choose(policy.SEARCH, rows).choice == "screen"
    assert policy.choose(policy.SEARCH, rows._replace(k=63)).choice == "fallback"
