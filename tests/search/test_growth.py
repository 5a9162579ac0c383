"""The index that grows with its queries: its choices, from one thread and from many."""

import os
import pickle
import threading
import time

import numpy as np
import pytest
from cases import choose_always, let_choices_cost_nothing, points
from numpy.testing import assert_array_equal

from fastknn import load_index
from fastknn._utils.locks import Lock
from fastknn.reference import reference_knn
from fastknn.search import growth, policy, searcher, trial
from fastknn.search import index as index_module
from fastknn.search.index import Index


def growing(train: np.ndarray) -> Index:
    """An index that begins without a screen, as those of the estimators do."""
    return Index(train, expected_queries=0, n_jobs=1)


def test_one_of_many_threads_builds_the_next_screen(monkeypatch):
    """All others go on with the screen that is there, and every query is counted."""
    train, built = points(np.float32, 400, 9), []
    index = growing(train)
    build, everybody = index_module._built, threading.Barrier(8, timeout=60)

    def slow(train, metric, stage, *arguments):
        built.append(stage)
        time.sleep(0.3)
        return build(train, metric, stage, *arguments)

    monkeypatch.setattr(index_module, "_built", slow)
    found, seconds = [], []

    def search():
        everybody.wait()
        began = time.perf_counter()
        found.append(index.search(train[:7], 3, n_jobs=1))
        seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert built == ["direct"]
    assert index._growth.n_queries == 56
    assert index.cascade == "direct"
    assert sorted(seconds)[-2] < 0.3 < max(seconds)  # one has waited: the one that built
    expected = reference_knn(train[:7], train, 3, "l2")
    for distances, indices in found:
        assert_array_equal(indices, expected[1])
        assert_array_equal(distances, expected[0])


def test_rows_that_are_appended_while_a_screen_is_built_stay(monkeypatch):
    train = points(np.float32, 60, 5)
    index = growing(train[:50])
    build = index_module._built

    def appended_meanwhile(*arguments):
        built = build(*arguments)
        index.append(train[50:])
        return built

    monkeypatch.setattr(index_module, "_built", appended_meanwhile)
    index.search(train, 1)
    assert len(index) == 60
    assert_array_equal(index.search(train, 1)[1].ravel(), np.arange(60))


def test_a_screen_that_cannot_be_built_does_not_end_the_growing(monkeypatch):
    train = points(np.float32, 60, 5)
    index = growing(train)
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "_built", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.search(train, 1)
    assert index._growth.stage == "none"
    index.search(train, 1)
    assert index._growth.stage == "direct"


def test_an_index_expects_as_many_queries_as_it_has_rows(monkeypatch):
    """And has a better screen once more have come, unless its screen was asked for."""
    train = points(np.float32, 600, 24)
    let_choices_cost_nothing(monkeypatch)

    def pays(known, limits):
        return known.n_queries > 900

    rules = (
        rule._replace(applies=pays) if rule.why.startswith("so many queries pay") else rule
        for rule in policy.RULES
    )
    monkeypatch.setattr(policy, "RULES", tuple(rules))
    assert Index(train)._growth.n_expected == 600
    assert Index(train, expected_queries=1000)._growth.stage == "auto"
    index, asked = Index(train), Index(train, screen="direct")
    for n_searches, stage in ((1, "direct"), (1, "direct"), (1, "auto")):
        for _ in range(n_searches):
            index.search(train[:400], 2)
            asked.search(train[:400], 2)
        assert index._growth.stage == stage
    assert index.costs_
    assert not asked.costs_
    with pytest.raises(TypeError, match="expected_queries must be an integer"):
        asked.with_screen("auto", expected_queries=2.5)
    other = asked.with_screen("auto")
    assert (other._growth.stage, other._growth.n_expected) == ("direct", 600)


@pytest.mark.parametrize("n_rows", [700, 9000])
@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_groups_are_taken_where_a_sample_is_promising(metric, n_rows, monkeypatch):
    """Rows along a line, and not noise of many columns; and nobody looks for better ones then."""
    # Of so few rows, all are compared about as quickly: the clock is left out.
    cost = property(lambda tried: float(tried.searcher.boxes is None))
    monkeypatch.setattr(trial._WholeTrial, "cost", cost)
    random = np.random.default_rng(0)
    line = np.outer(np.linspace(1, 50, n_rows), [1, 2, -1, 3, 1, -2, 1]) + np.arange(7)
    line[:, 3] += np.sin(np.arange(n_rows))
    noise = random.normal(size=(n_rows, 30))
    for rows, cascade in ((line, "groups, then direct"), (noise, "direct")):
        choose_always(monkeypatch, "none")
        index = Index(rows.astype(np.float32), metric, expected_queries=0)
        choose_always(monkeypatch, "promising")
        found = index.search(index.train[:50], 4)
        assert index._growth.stage == "promising"
        assert index.cascade.startswith(cascade)
        choose_always(monkeypatch, "auto")
        index.search(index.train[:50], 4)
        assert index._growth.stage == ("auto" if cascade == "direct" else "promising")
        expected = reference_knn(index.train[:5], index.train, 4, metric)
        assert_array_equal(found[1][:5], expected[1])


def test_what_searches_took_decides_on_the_next_screen():
    """Not what the policy would guess of the direct screen, once it is known."""
    train = points(np.float32, 3000, 12)
    index = growing(train)
    index.search(train[:100], 2)
    assert index._growth.stage == "direct"
    index._growth.took(100, 0.0)
    index.search(train[:100], 2)
    assert index._growth.stage == "direct"
    index._growth.took(100, 10.0)
    index.search(train[:100], 2)
    assert index._growth.stage != "direct"


@pytest.mark.parametrize("how", ["pickle", "subset", "load"])
def test_what_is_copied_keeps_its_screen(how, monkeypatch, tmp_path):
    """Whoever loads it chooses nothing: the rows may be on disk, or the loader in a hurry."""
    train = points(np.float32, 600, 24)
    index = Index(train)
    index.save(tmp_path / "saved")
    copy = {
        "pickle": lambda: pickle.loads(pickle.dumps(index)),
        "subset": lambda: index.subset(np.arange(500)),
        "load": lambda: load_index(tmp_path / "saved", mmap=True),
    }[how]()
    let_choices_cost_nothing(monkeypatch)
    monkeypatch.setattr(index_module, "choose_screen", None)
    for _ in range(4):
        copy.search(train, 2)
    assert copy.cascade == index.cascade
    assert copy.reason in (index.reason, "chosen before it was saved")


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_what_is_packed_is_kept_for_the_next_choice(metric, monkeypatch):
    """Panels, and what angles measure of rows: if the direct screen stays, or a cascade comes."""
    train = points(np.float32, 600, 24)
    index = Index(train, metric, screen="none").with_screen("direct")
    direct = index._searcher
    let_choices_cost_nothing(monkeypatch)
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
    let_choices_cost_nothing(monkeypatch)
    searched = []
    block = type(index._searcher).block

    def seen(self, *arguments, **options):
        searched.append(self)
        return block(self, *arguments, **options)

    monkeypatch.setattr(type(index._searcher), "block", seen)
    index.with_screen("auto", expected_queries=10**6)
    assert searched[0] is index._searcher


def test_screens_never_go_back(monkeypatch):
    train = points(np.float32, 60, 5)
    index = growing(train)
    choose_always(monkeypatch, "direct")
    index.search(train, 1)
    choose_always(monkeypatch, "none")
    index.search(train, 1)
    assert index._growth.stage == "direct"
    assert growth.STAGES == ("none", "direct", "promising", "grouped", "auto")


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
        ({"width": 6, "n_queries": 2600}, "promising"),
        ({"width": 6, "n_queries": 100}, "direct"),
        ({"width": 6, "n_queries": 100, "direct_seconds": 0.001}, "promising"),
        ({"width": 70, "n_rows": 5000, "n_queries": 4000}, "direct"),
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
