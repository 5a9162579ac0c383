"""Any thread count and plan gives the same bits; many callers, forks, Ctrl-C and failures."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest
from cases import (
    PYTHON,
    all_dtypes,
    assert_same,
    both_metrics,
    environment,
    grid,
    points,
    run_python,
    set_sizes,
)

import fastknn
from fastknn import Index, pairwise_distances
from fastknn._utils import threads as _threads
from fastknn._utils.threads import available_threads, for_each, thread_count
from fastknn.reference import reference_knn
from fastknn.search import plan as plans

JOBS = [1, 2, 3, 8]


@pytest.fixture
def eager_threads(monkeypatch):
    """Threads however little the work is."""
    set_sizes(monkeypatch, thread_bytes=0)


# --- plans -----------------------------------------------------------------------------------

PLANS = {
    "as it comes": {},
    "one query a block": {"query_block_bytes": 1},
    "five queries a block": {"query_block_max": 5},
    "one panel a step": {"step_pairs": 1},
    "one query a block, one panel a step": {"query_block_bytes": 1, "step_pairs": 1},
    "never split over rows": {"partial_bytes": 0},
}


@pytest.mark.slow
@both_metrics
@all_dtypes
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("made", [points, grid])
def test_plans_agree_to_the_bit(monkeypatch, eager_threads, dtype, metric, plan, made):
    set_sizes(monkeypatch, **plan)
    train = made(dtype, 150, 7, 1)
    index = Index(train, metric)
    for n_queries in (1, 2, 13, 110):
        queries = made(dtype, n_queries, 7, 2)
        for k in (1, 6, 30, 150):  # 30 rows, and all, are more than a split has
            expected = reference_knn(queries, train, k, metric)
            for n_jobs in JOBS:
                assert_same(index.search(queries, k, n_jobs=n_jobs), expected)


@both_metrics
@all_dtypes
def test_rounded_queries_on_every_plan(monkeypatch, eager_threads, dtype, metric):
    """Queries of another type carry an error each, which must follow them into their block."""
    train = grid(dtype, 150, 7, 1)
    queries = np.random.default_rng(2).uniform(-1, 4, (40, 7))
    queries[::3] = np.rint(queries[::3])
    expected = reference_knn(queries, train, 6, metric)
    for plan in PLANS.values():
        with monkeypatch.context() as patch:
            set_sizes(patch, **plan)
            for n_jobs in JOBS:
                assert_same(Index(train, metric).search(queries, 6, n_jobs=n_jobs), expected)


def test_the_plans_above_are_different_plans(monkeypatch, eager_threads):
    """What the tests above are worth: parts and splits are as their names say."""

    def plan(n_queries, n_threads, **limits):
        with monkeypatch.context() as patch:
            set_sizes(patch, **limits)
            return plans.plan(n_queries, panels, n_threads, 7, result_bytes=16)

    panels = Index(points(np.uint8, 150, 7))._searcher.panels
    n_panels = panels.n_panels
    parts, n_splits = plan(1, 8)
    assert n_splits == len(parts) == min(8, n_panels) > 1
    parts, n_splits = plan(1, 8, partial_bytes=0)
    assert n_splits == len(parts) == 1
    parts, n_splits = plan(5, 3, query_block_bytes=1)
    assert (n_splits, len(parts)) == (3, 15)
    parts, n_splits = plan(110, 2)
    assert (n_splits, len(parts)) == (1, 2)
    parts, n_splits = plan(110, 2, query_block_bytes=1, step_pairs=1)
    assert (n_splits, len(parts), len(parts[0].steps)) == (1, 110, n_panels)


@both_metrics
@all_dtypes
def test_batches_agree_to_the_bit(dtype, metric):
    queries, index = points(dtype, 60, 9, 1), Index(points(dtype, 333, 9, 2), metric)
    whole = index.search(queries, 8)
    for size in (1, 7, 12, 59):
        batches = [index.search(queries[at : at + size], 8) for at in range(0, 60, size)]
        assert_same(map(np.concatenate, zip(*batches, strict=True)), whole)


@pytest.mark.slow
@both_metrics
@all_dtypes
def test_work_enough_for_threads(dtype, metric):
    """Nothing patched: more pairs than a single thread is left alone with."""
    train = grid(dtype, 20_000, 16, 1)
    index = Index(train, metric, n_jobs=1)
    for n_queries in (3, 450):
        queries = grid(dtype, n_queries, 16, 2)
        assert n_queries < 14 or n_queries * train.size > plans.SIZES.thread_bytes
        expected = reference_knn(queries, train, 10, metric)
        for n_jobs in (*JOBS, None, -1, -2):
            assert_same(index.search(queries, 10, n_jobs=n_jobs), expected)


@both_metrics
@all_dtypes
def test_an_index_is_the_same_whoever_builds_it(dtype, metric):
    queries, train = points(dtype, 15, 100, 1), points(dtype, 3000, 100, 2)
    expected = reference_knn(queries, train, 5, metric)
    for n_jobs in JOBS:
        assert_same(Index(train, metric, n_jobs=n_jobs).search(queries, 5), expected)


# --- threads themselves ----------------------------------------------------------------------


@pytest.fixture
def free(monkeypatch):
    """Eight cores, and nothing that limits their use."""
    for variable in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", *_threads.BLAS_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(_threads, "_cores", lambda: 8)
    monkeypatch.setattr(_threads, "_pool_limit", lambda: None)


def test_thread_counts(free):
    asked = [None, -1, -2, -1000, 1, 3, 20, np.int64(2), np.int8(-3)]
    assert [thread_count(n) for n in asked] == [8, 8, 7, 1, 1, 3, 20, 2, 6]
    for bad in (0, np.int64(0)):
        with pytest.raises(ValueError, match="n_jobs must not be 0"):
            thread_count(bad)


def test_cores_are_those_that_joblib_counts(monkeypatch):
    """So quotas of containers count, too; and a changed affinity mask at once."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    _threads._counted.cache_clear()
    assert _threads._cores() == 3
    monkeypatch.undo()
    assert _threads._cores() == 3  # counted once
    _threads._counted.cache_clear()
    assert _threads._cores() == joblib.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_a_changed_affinity_mask_counts_at_once():
    own = os.sched_getaffinity(0)
    assert available_threads() <= len(own)
    try:
        os.sched_setaffinity(0, {min(own)})
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, own)


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("two", None), ("", None), ("0", None)])
def test_limit_of_loky(monkeypatch, value, count):
    free = _threads._cores()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", value)
    assert _threads._cores() == (free if count is None else count) or value == "0"
    assert available_threads() >= 1


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("1", 1),
        ("3", 3),
        (" 3 ", 3),
        ("4,2", 4),
        ("2, 1", 2),
        ("8", 8),
        ("64", 8),  # a limit, and no wish for more
        ("", 8),
        ("0", 8),
        ("-1", 8),
        ("two", 8),
        (",2", 8),
        ("1.5", 8),
        ("\u0663", 8),
    ],
)
def test_openmps_variable_limits(free, monkeypatch, value, count):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    asked = [None, -1, -2, 5]
    assert [thread_count(n) for n in asked] == [count, count, max(1, count - 1), 5]


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_number_of_jobs_of_a_block(free, backend):
    with joblib.parallel_config(backend=backend, n_jobs=3):
        assert [thread_count(n) for n in (None, -1, 5)] == [3, 8, 5]
    with joblib.parallel_config(backend=backend, n_jobs=-2):
        assert [thread_count(n) for n in (None, -1, 5)] == [7, 8, 5]
    with joblib.parallel_config(backend=backend):
        assert [thread_count(n) for n in (None, -1, 5)] == [8, 8, 5]
    with joblib.parallel_config(n_jobs=1):
        assert thread_count(None) == 1
    assert thread_count(None) == 8


def in_worker(*asked):
    return [thread_count(n) for n in asked]


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("threading", [1, 8, 5]),  # the other threads have the other cores
        ("sequential", [8, 8, 5]),
    ],
)
def test_in_workers_that_are_threads(free, backend, expected):
    jobs = joblib.Parallel(2, backend=backend)(
        joblib.delayed(in_worker)(None, -1, 5) for _ in range(4)
    )
    assert jobs == [expected] * 4
    assert thread_count(None) == 8


WORKERS = """
import joblib
from fastknn._utils.threads import thread_count

def counts():
    from fastknn._utils.threads import thread_count
    return [thread_count(n) for n in (None, -1, 5)]

if __name__ == "__main__":
    cores = joblib.cpu_count()
    jobs = max(2, cores)
    for backend, inner in (("loky", None), ("loky", 1), ("loky", cores), ("multiprocessing", None)):
        options = {} if inner is None else {"inner_max_num_threads": inner}
        with joblib.parallel_config(backend=backend, **options):
            found = joblib.Parallel(jobs)(joblib.delayed(counts)() for _ in range(4))
        share = cores if backend == "multiprocessing" else inner or 1
        print(found == [[inner or 1, share, 5]] * 4, found)
    print(thread_count(None) == cores)
"""


def run(code, **variables):
    """Lines that some code prints in a fresh process without limits but these."""
    limits = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", *_threads.BLAS_VARIABLES)
    child = run_python(*code, without=limits, **variables)
    assert child.returncode == 0, child.stderr
    return child.stdout.splitlines()


@pytest.mark.slow
def test_in_workers_that_are_processes(tmp_path):
    (tmp_path / "workers.py").write_text(WORKERS)
    lines = run([str(tmp_path / "workers.py")])
    assert len(lines) == 5
    for line in lines:
        assert line.startswith("True"), lines


POOLS = """
import sys
from fastknn import Index
from fastknn._utils.threads import available_threads
assert not {"threadpoolctl", "sklearn"} & set(sys.modules)
free = available_threads()
if "sklearn" in sys.argv:
    from fastknn import KNeighborsClassifier
from threadpoolctl import threadpool_limits
answers = [available_threads() == free]
with threadpool_limits(1):
    answers.append(available_threads() == 1)
    with threadpool_limits(1, user_api="openmp"):
        answers.append(available_threads() == 1)
answers.append(available_threads() == free)
if "sklearn" in sys.argv:  # whose loops are limited by "openmp" alone, as ours
    with threadpool_limits(1, user_api="openmp"):
        answers.append(available_threads() == 1)
    with threadpool_limits(1, user_api="blas"):
        answers.append(available_threads() == free)
print(*answers)
"""


@pytest.mark.slow
@pytest.mark.parametrize("loaded", ["alone", "sklearn"])
@pytest.mark.parametrize("variables", [{}, {"OPENBLAS_NUM_THREADS": "2"}])
def test_limits_of_threadpoolctl(loaded, variables):
    if loaded == "alone" and variables:
        pytest.skip("BLAS has a number of its own, and there is nothing else to ask")
    pytest.importorskip("threadpoolctl")
    (line,) = run(["-c", POOLS, loaded], **variables)
    assert set(line.split()) == {"True"}


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"OPENBLAS_NUM_THREADS": "1"}, {"MKL_NUM_THREADS": "1"}])
@pytest.mark.parametrize("loaded", ["threadpoolctl", "sklearn.neighbors"])
def test_threads_of_blas_alone_are_no_limit(loaded, variables):
    code = (
        "import numpy, fastknn._utils.threads as t; free = t.available_threads()\n"
        f"import {loaded}; print(t.available_threads() == free)"
    )
    assert run(["-c", code], **variables) == ["True"]


def test_limits_without_scikit_learns_private_names(free, monkeypatch):
    """The limit is read from all runtimes, of which one may have been set by itself."""
    monkeypatch.undo()
    threadpoolctl = pytest.importorskip("threadpoolctl")
    monkeypatch.setitem(sys.modules, "sklearn.utils._openmp_helpers", None)
    with threadpoolctl.threadpool_limits(1):
        assert _threads._pool_limit() == 1

    class Pool:
        def __init__(self, user_api, num_threads):
            self.user_api, self.num_threads = user_api, num_threads

    for variable in _threads.BLAS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for pools, limit in (
        ([Pool("openmp", 1), Pool("openmp", 8), Pool("blas", 1)], 8),
        ([Pool("openmp", 2), Pool("blas", 8)], 2),
        ([Pool("blas", 2), Pool("blas", 1)], 2),
        ([Pool("blas", 64)], None),
        ([], None),
    ):
        monkeypatch.setattr(_threads, "_pools", lambda n_modules, pools=pools: pools)
        assert _threads._pool_limit() == limit
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(_threads, "_pools", lambda n_modules: [Pool("blas", 1)])
    assert _threads._pool_limit() is None


def test_the_limit_reaches_searches_votes_and_estimators(free, eager_threads, monkeypatch):
    """Whoever takes `n_jobs` asks the one function, and for_each gets what it says."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    asked = []

    def for_each(function, blocks, n_threads):
        asked.append(n_threads)
        _threads.for_each(function, blocks, n_threads)

    for module in (
        "search.index",
        "search.searcher",
        "search.trial",
        "search.pairwise",
        "screens.cascade",
        "voting.ballots",
    ):
        monkeypatch.setattr(f"fastknn.{module}.for_each", for_each)
    train = points(np.float32, 400, 20)
    index = fastknn.Index(train, screen="quantized")
    index.search(train, 3)
    fastknn.pairwise_distances(train, train)
    fastknn.knn(train, train, 3)
    model = fastknn.KNeighborsClassifier().fit(train, np.arange(400) % 3)
    model.predict_proba(train)
    assert set(asked) == {3}
    assert pickle.loads(pickle.dumps(index))._searcher.n_threads == 3
    asked.clear()
    with joblib.parallel_config(n_jobs=2):
        model.predict(train)
        index.search(train, 3)
    assert set(asked) == {2}
    asked.clear()
    model.set_params(n_jobs=5).predict(train)
    index.search(train, 3, n_jobs=5)
    assert set(asked) == {5}


def test_for_each_runs_as_many_at_once_as_asked():
    barrier = threading.Barrier(3)  # passed only by three threads that are inside together
    for_each(lambda _: [barrier.wait(30)], range(3), 3)
    seen = set()
    for_each(lambda _: seen.add(threading.get_ident()), range(20), 1)
    assert seen == {threading.get_ident()}


def test_n_jobs_is_obeyed(eager_threads, monkeypatch):
    set_sizes(monkeypatch, query_block_bytes=1)
    set_sizes(monkeypatch, step_pairs=1)
    train = points(np.uint8, 100, 5)
    before = threading.active_count()

    class Watch:
        def __init__(self):
            self.threads, self.most = set(), 0

        def update(self, n):
            self.threads.add(threading.get_ident())
            self.most = max(self.most, threading.active_count())

    for n_jobs in (1, 2, 4):
        watch = Watch()
        Index(train).search(train, 3, n_jobs=n_jobs, progress=watch)
        assert 1 <= len(watch.threads) <= n_jobs
        assert watch.most <= before + n_jobs - 1
        assert threading.active_count() == before
        if n_jobs == 1:
            assert watch.threads == {threading.get_ident()}


# --- many callers ----------------------------------------------------------------------------


@both_metrics
@all_dtypes
def test_many_callers_at_once(eager_threads, dtype, metric):
    train = grid(dtype, 200, 9, 1)
    index = Index(train, metric)
    barrier, failures = threading.Barrier(8), []

    def call(caller):
        try:
            queries = grid(dtype, 3 + 4 * caller, 9, caller)
            k, n_jobs = 1 + 5 * caller, 1 + caller % 3
            expected = reference_knn(queries, train, k, metric)
            barrier.wait(60)
            for _ in range(8):
                assert_same(index.search(queries, k, n_jobs=n_jobs), expected)
                pairwise_distances(queries, train, metric, n_jobs=n_jobs)
        except BaseException as failure:
            failures.append(failure)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


def _search_in_child(index, queries, expected):
    assert_same(index.search(queries, 5, n_jobs=2), expected)
    assert_same(Index(index.train, index.metric, n_jobs=2).search(queries, 5), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@all_dtypes
def test_fork_after_a_search(eager_threads, dtype):
    queries, train = points(dtype, 40, 9, 1), points(dtype, 300, 9, 2)
    index = Index(train)
    expected = index.search(queries, 5, n_jobs=2)
    child = multiprocessing.get_context("fork").Process(
        target=_search_in_child, args=(index, queries, expected)
    )
    child.start()
    child.join(60)
    alive = child.is_alive()
    if alive:
        child.kill()
    assert not alive, "the child hangs"
    assert child.exitcode == 0
    assert_same(index.search(queries, 5, n_jobs=2), expected)


# --- failures and interrupts -----------------------------------------------------------------


class Fails:
    """Progress that fails when it is told for the third time."""

    def __init__(self, failure):
        self.failure, self.calls = failure, 0

    def update(self, n):
        self.calls += 1
        if self.calls == 3:
            raise self.failure


@pytest.mark.parametrize("n_jobs", [1, 2, 8])
@pytest.mark.parametrize("n_queries", [2, 50])
@pytest.mark.parametrize("failure", [ZeroDivisionError("progress fails"), KeyboardInterrupt()])
def test_failures_stop_every_thread(eager_threads, monkeypatch, n_jobs, n_queries, failure):
    set_sizes(monkeypatch, query_block_max=5)
    set_sizes(monkeypatch, step_pairs=1)
    queries, train = points(np.float32, n_queries, 9, 1), points(np.float32, 300, 9, 2)
    index = Index(train)
    expected = index.search(queries, 5)
    stats = index.stats_
    before = threading.active_count()
    progress = Fails(failure)
    with pytest.raises(type(failure)) as caught:
        index.search(queries, 5, n_jobs=n_jobs, progress=progress)
    assert caught.value is failure
    assert threading.active_count() == before
    # Each other thread may have finished the step that it was at.
    assert progress.calls < 3 + n_jobs
    assert index.stats_ == stats
    assert_same(index.search(queries, 5, n_jobs=n_jobs), expected)


@pytest.mark.parametrize("helper_fails", [False, True])
def test_a_failure_in_one_thread_stops_the_other(helper_fails):
    caller, before = threading.get_ident(), threading.active_count()
    barrier, went_on = threading.Barrier(2), []

    def work(block):
        barrier.wait(30)  # each thread has a block
        if helper_fails == (threading.get_ident() != caller):
            raise ZeroDivisionError
        for _ in range(3000):
            time.sleep(0.01)
            yield
        went_on.append(block)

    with pytest.raises(ZeroDivisionError):
        for_each(work, range(2), 2)
    assert not went_on
    assert threading.active_count() == before


@pytest.fixture
def ctrl_c_interrupts():
    """As in a terminal: a shell's background jobs, and their children, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_inside_a_process_that_goes_on(ctrl_c_interrupts, monkeypatch):
    set_sizes(monkeypatch, step_pairs=1)
    queries, train = points(np.uint8, 30, 9, 1), points(np.uint8, 300, 9, 2)
    index = Index(train)

    class PressesCtrlC:
        def update(self, n):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        index.search(queries, 5, n_jobs=1, progress=PressesCtrlC())
    assert_same(index.search(queries, 5), reference_knn(queries, train, 5, "l2"))


LONG_SEARCH = """
import sys
import threading
import time
import numpy as np
from fastknn import Index, pairwise_distances
from fastknn.reference import reference_knn

train = np.random.default_rng(0).normal(size=(20_000, 200))
queries = np.broadcast_to(train[0], (1_000_000, 200))
index = Index(train)

class Ready:
    def update(self, n):
        if not said:
            said.append(n)
            print("searching", flush=True)

said = []
try:
    index.search(queries, 5, n_jobs=int(sys.argv[1]), progress=Ready())
except KeyboardInterrupt:
    print("interrupted", threading.active_count(), flush=True)
    found = index.search(train[:20], 5, n_jobs=2)
    expected = reference_knn(train[:20], train, 5, "l2")
    print(all(map(np.array_equal, found, expected)), flush=True)
    raise
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_a_long_search(ctrl_c_interrupts, n_jobs):
    """The search would take minutes; the signal comes while kernels run, not between calls."""
    child = subprocess.Popen(
        [*PYTHON, "-c", LONG_SEARCH, str(n_jobs)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "searching\n", child.stderr.read()
        time.sleep(0.2)
        pressed = time.monotonic()
        child.send_signal(signal.SIGINT)
        line = child.stdout.readline()
        seconds = time.monotonic() - pressed
        rest, errors = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert line == "interrupted 1\n", errors
    assert seconds < 3
    assert rest == "True\n"
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode == -signal.SIGINT
