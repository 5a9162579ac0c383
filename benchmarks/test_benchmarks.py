"""Every speed that the README claims, side by side with the peers, in one run each.

pytest --benchmark-only --benchmark-json=speed.json && python benchmarks/report.py speed.json
"""

import itertools
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from contenders import CONTENDERS, Fastknn, build, in_its_form
from measure import matmul_run, take_turns, timed

HERE = Path(__file__).resolve().parent
METRICS = ["l2", "l1"]
# Queries that each contender gets, so that a round takes seconds; times are per query.
FEW = {"NumPy reference": 1, "scikit-learn": 500, "faiss": 1000, "scikit-learn-intelex": 1000}
FEW_L1 = {"NumPy reference": 1, "scikit-learn": 8, "faiss": 100, "scikit-learn-intelex": 200}


def search_runs(
    train: np.ndarray,
    queries: np.ndarray,
    metric: str,
    k: int,
    counts: dict[str, int],
    default: int,
    names: list[str] | None = None,
):
    """Runs, their query counts, why others are absent, what ours do; distances must agree."""
    runs, given, absent, ours, expected = {}, {}, {}, {}, None
    for name in names or CONTENDERS:
        search = build(name, train, metric)
        if isinstance(search, str):
            absent[name] = search
            continue
        some = in_its_form(name, queries[: counts.get(name, default)])
        found = search(some[:2], k)
        expected = found if expected is None else expected
        np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-3)
        runs[name] = lambda search=search, some=some: (search(some, k), None)[1]
        given[name] = len(some)
        if isinstance(search, Fastknn):
            ours[name] = search
    return runs, given, absent, ours


def per_query(medians: dict[str, float], given: dict[str, int]) -> dict[str, float]:
    return {name: medians[name] / count for name, count in given.items()}


def compare_search(benchmark, data, metric: str, k: int, queries: int, rounds: int = 5, **options):
    train, test, source = data
    counts = options.get("counts", FEW if metric == "l2" else FEW_L1)
    usual = {"fastknn": len(test[:queries]), "fastknn direct": min(queries, 1000), "usearch": 200}
    counts = {**usual, **counts}
    runs, given, absent, ours = search_runs(train, test, metric, k, counts, min(queries, 500))
    matmul, products = matmul_run()
    medians = take_turns(benchmark, {**runs, "matmul": matmul}, rounds)
    pairs = train.size
    rates = {name: pairs / each for name, each in per_query(medians, given).items()}
    benchmark.extra_info.update(
        kind="search",
        data=source,
        shape=list(train.shape),
        dtype=str(train.dtype),
        metric=metric,
        k=k,
        queries=given,
        absent=absent,
        seconds_per_query=per_query(medians, given),
        element_rate=rates,
        matmul_rate=products / medians["matmul"],
        times_matmul={n: rate / (products / medians["matmul"]) for n, rate in rates.items()},
        work={name: search.work(given[name]) for name, search in ours.items()},
    )


@pytest.mark.parametrize("metric", METRICS)
def test_search_cifar10(benchmark, cifar10, metric):
    data = (cifar10.train, cifar10.test, f"CIFAR-10 ({cifar10.source})")
    compare_search(benchmark, data, metric, k=7, queries=10_000)


@pytest.mark.parametrize("metric", METRICS)
def test_search_mnist(benchmark, mnist, metric):
    data = (mnist.train, mnist.test, f"MNIST ({mnist.source})")
    fewer = 1000 if metric == "l2" else 60
    counts = {"NumPy reference": 2, "scikit-learn": fewer, "faiss": 1000, "usearch": 200}
    counts["scikit-learn-intelex"] = 1000
    compare_search(benchmark, data, metric, k=7, queries=10_000, counts=counts)


def gaussian(rows: int, queries: int, width: int):
    generator = np.random.default_rng(1)
    train = generator.normal(size=(rows, width)).astype(np.float32)
    test = generator.normal(size=(queries, width)).astype(np.float32)
    return train, test, "Gaussian noise"


@pytest.mark.parametrize("metric", METRICS)
def test_search_noise_128(benchmark, metric):
    fewer = 1000 if metric == "l2" else 60
    counts = {"NumPy reference": 2, "scikit-learn": fewer, "fastknn direct": 500}
    counts |= {"faiss": 1000, "scikit-learn-intelex": 1000, "usearch": 100}
    compare_search(benchmark, gaussian(200_000, 2000, 128), metric, 10, 2000, 5, counts=counts)


def test_search_noise_16(benchmark):
    counts = {name: 2000 for name in CONTENDERS} | {"NumPy reference": 10, "fastknn": 10_000}
    counts |= {"scikit-learn-intelex": 10_000, "faiss": 10_000, "usearch": 500}
    compare_search(benchmark, gaussian(100_000, 10_000, 16), "l2", 10, 10_000, 5, counts=counts)


def test_search_noise_2048(benchmark):
    counts = dict.fromkeys(CONTENDERS, 500) | {"NumPy reference": 2, "usearch": 50}
    compare_search(benchmark, gaussian(20_000, 500, 2048), "l2", 10, 500, 5, counts=counts)


@pytest.mark.parametrize("metric", METRICS)
def test_worst_case_cifar10(benchmark, cifar10, metric):
    """Queries of noise, for which a screen chosen on images can do nothing."""
    generator = np.random.default_rng(0)
    queries = generator.integers(0, 256, (1000, cifar10.train.shape[1]), dtype=np.uint8)
    compare_worst(benchmark, cifar10.train, queries, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_worst_case_far_queries(benchmark, metric):
    """Queries that are far away from all rows, which look alike from there."""
    train, queries, _ = gaussian(100_000, 1000, 128)
    compare_worst(benchmark, train, queries * 100, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_worst_case_ties(benchmark, metric):
    """Every row equally far from every query, and a screen asked for nevertheless."""
    train = np.tile(np.eye(512, dtype=np.float32), (40, 1))
    compare_worst(benchmark, train, np.zeros((200, 512), np.float32), metric, "rounded")


def compare_worst(benchmark, train, queries, metric: str, screen: str = "auto") -> None:
    ours = {
        "fastknn": Fastknn(train, metric, screen),
        "fastknn direct": Fastknn(train, metric, "direct"),
    }
    runs = {
        name: lambda search=search: (search(queries, 7), None)[1] for name, search in ours.items()
    }
    medians = take_turns(benchmark, runs, rounds=5)
    held = {name: train.nbytes + search.index.nbytes for name, search in ours.items()}
    benchmark.extra_info.update(
        kind="worst case",
        metric=metric,
        seconds_per_query=per_query(medians, dict.fromkeys(runs, len(queries))),
        times_direct=medians["fastknn"] / medians["fastknn direct"],
        bytes_times_direct=held["fastknn"] / held["fastknn direct"],
        work={name: search.work(len(queries)) for name, search in ours.items()},
    )


def test_one_query_768(benchmark):
    counts = dict.fromkeys(CONTENDERS, 1)
    compare_search(benchmark, gaussian(100_000, 1, 768), "l2", 10, 1, 15, counts=counts)


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_cifar10(benchmark, cifar10, metric):
    """One query at a time against the speed at which two threads can read the training rows."""
    names = ["fastknn direct", "fastknn", "faiss", "scikit-learn-intelex", "usearch"]
    counts = dict.fromkeys(names, 1)
    runs, given, absent, _ = search_runs(cifar10.train, cifar10.test, metric, 7, counts, 1, names)
    runs["read"] = reader(cifar10.train)
    medians = take_turns(benchmark, runs, rounds=25)
    bandwidth = {name: cifar10.train.nbytes / medians[name] for name in ("fastknn direct", "read")}
    benchmark.extra_info.update(
        kind="one query",
        metric=metric,
        absent=absent,
        queries=given,
        seconds_per_query=per_query(medians, given),
        bytes_per_second=bandwidth,
        share_of_read_bandwidth=bandwidth["fastknn direct"] / bandwidth["read"],
    )


def reader(array: np.ndarray):
    """Two threads read all of an array, by the fastest of NumPy's and Numba's ways tried."""
    halves = np.array_split(array.reshape(-1).view(np.uint64), 2)

    def run() -> None:
        helper = threading.Thread(target=np.bitwise_or.reduce, args=(halves[0],))
        helper.start()
        np.bitwise_or.reduce(halves[1])
        helper.join()

    return run


@pytest.fixture(scope="module")
def worker(cifar10, tmp_path_factory):
    """Searches of CIFAR-10 in processes of their own, by level."""
    folder = tmp_path_factory.mktemp("worker")
    np.save(folder / "train.npy", cifar10.train)
    np.save(folder / "test.npy", cifar10.test)
    started = {}

    def ask(level: str, metric: str, count: int) -> dict:
        if level not in started:
            started[level] = subprocess.Popen(
                [sys.executable, str(HERE / "worker.py"), "train.npy", "test.npy"],
                cwd=folder,
                env={**os.environ, "FASTKNN_CPU": level},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = started[level]
        process.stdin.write(f"{metric} 7 {count}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    for process in started.values():
        process.stdin.close()
        process.wait()


@pytest.mark.parametrize("level", ["avx2", "portable"])
@pytest.mark.parametrize("metric", METRICS)
def test_level_cifar10(benchmark, worker, cifar10, metric, level):
    """The direct screen at a forced CPU level, and the memory that a search takes."""
    from fastknn.engine import _core

    if level not in _core.cpu_levels():
        pytest.skip(f"this machine does not run {level}")
    count = 500 if level == "avx2" else 50
    matmul, products = matmul_run()
    last = {}

    def run() -> float:
        last.update(worker(level, metric, count))
        return last["seconds"]

    medians = take_turns(benchmark, {f"fastknn {level}": run, "matmul": matmul}, rounds=5)
    rate = cifar10.train.size * count / medians[f"fastknn {level}"]
    benchmark.extra_info.update(
        kind="level",
        metric=metric,
        level=level,
        element_rate=rate,
        times_matmul=rate / (products / medians["matmul"]),
        search_peak_bytes=last["peak"],
        process_peak_bytes=last["rss"],
    )


@pytest.mark.parametrize("metric", METRICS)
def test_pairwise(benchmark, metric):
    """float32 distance matrices, 2,000 x 10,000 x 784."""
    from scipy.spatial.distance import cdist
    from sklearn.metrics import pairwise_distances as theirs

    from fastknn import pairwise_distances

    generator = np.random.default_rng(0)
    queries = generator.random((2000, 784), np.float32)
    train = generator.random((10_000, 784), np.float32)
    matmul, products = matmul_run()
    few = queries[:200]
    name = {"l1": "cityblock", "l2": "euclidean"}[metric]
    runs = {
        "fastknn": lambda: (pairwise_distances(queries, train, metric), None)[1],
        "scikit-learn": lambda: (theirs(queries, train, metric="euclidean"), None)[1],
        "SciPy cdist": lambda: (cdist(few, train, name), None)[1],
        "matmul": matmul,
    }
    if metric == "l1":
        runs["scikit-learn"] = lambda: (theirs(few, train, metric="l1"), None)[1]
    medians = take_turns(benchmark, runs, rounds=5)
    given = {"fastknn": 2000, "SciPy cdist": 200, "scikit-learn": 2000 if metric == "l2" else 200}
    rates = {n: train.size / each for n, each in per_query(medians, given).items()}
    benchmark.extra_info.update(
        kind="pairwise",
        metric=metric,
        seconds_per_query=per_query(medians, given),
        element_rate=rates,
        times_matmul={n: rate / (products / medians["matmul"]) for n, rate in rates.items()},
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_rows", [1000, 2000, 5000, 10_000, 20_000, 50_000])
def test_cost_over_n(benchmark, cifar10, metric, n_rows):
    """Prediction cost as the training set grows: the lecture's O(N), for each contender."""
    few = {"NumPy reference": 1, "scikit-learn": 100, "faiss": 200, "scikit-learn-intelex": 200}
    if metric == "l1":
        few |= {"scikit-learn": 8, "faiss": 50}
    few["usearch"] = 100
    runs, given, absent, ours = search_runs(
        cifar10.train[:n_rows], cifar10.test, metric, 7, {"fastknn": 2000, **few}, 200
    )
    medians = take_turns(benchmark, runs, rounds=3)
    benchmark.extra_info.update(
        kind="cost over n",
        metric=metric,
        n_rows=n_rows,
        absent=absent,
        queries=given,
        seconds_per_query=per_query(medians, given),
        work={name: search.work(given[name]) for name, search in ours.items()},
    )


SHAPES = [(n, d) for n in (100, 1000, 5000, 20_000) for d in (2, 6, 16, 64, 256, 784)]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("metric", METRICS)
def test_drop_in(benchmark, metric, dtype):
    """kneighbors() of the estimator against scikit-learn's over many shapes, both by default.

    Also fit() and a first query, which is where an index could cost more than it gives. Each is
    timed right after an untimed run of its own: a core that slept takes milliseconds to wake up.
    extra_info has every shape and, as `slower`, those where scikit-learn was quicker by 5 %.
    """
    import sklearn.neighbors as theirs

    from fastknn import NearestNeighbors

    generator = np.random.default_rng(0)
    name = {"l1": "manhattan", "l2": "euclidean"}[metric]
    ratios = {}

    def in_turns(runs: list, rounds: int = 5) -> list[float]:
        seconds = [[] for _ in runs]
        for _ in range(rounds):
            for run, times in zip(runs, seconds, strict=True):
                timed(run, rest=0.012)
                times.append(timed(run, rest=0))
        return [float(np.median(times)) for times in seconds]

    def sweep() -> None:
        for (n_rows, width), n_queries, k in itertools.product(SHAPES, (1, 100, 1000), (1, 10)):
            if metric == "l1" and n_rows * width * n_queries > 2e9:
                continue  # seconds each, for scikit-learn
            rows, queries = (
                (generator.normal(size=(n, width)) * 40 + 128).clip(0, 255).astype(dtype)
                for n in (n_rows, n_queries)
            )
            makers = [
                partial(module, n_neighbors=k, metric=name)
                for module in (NearestNeighbors, theirs.NearestNeighbors)
            ]
            shape = f"{n_rows} x {width}, {n_queries} queries, k={k}"
            if n_queries == 1:
                ours, other = in_turns(
                    [lambda make=make: make().fit(rows).kneighbors(queries) for make in makers]  # noqa: B023
                )
                ratios[f"fit and {shape}"] = ours / other
            ours, other = in_turns(
                [partial(make().fit(rows).kneighbors, queries) for make in makers]
            )
            ratios[shape] = ours / other

    benchmark.pedantic(sweep, rounds=1, iterations=1)
    benchmark.extra_info.update(
        kind="drop-in",
        metric=metric,
        dtype=dtype,
        ratios=ratios,
        geometric_mean=float(np.exp(np.mean(np.log(list(ratios.values()))))),
        slower={shape: ratio for shape, ratio in ratios.items() if ratio > 1.05},
    )


@pytest.mark.parametrize("metric", METRICS)
def test_fit(benchmark, cifar10, metric):
    """What building an index costs, direct and chosen by trial, and when the trial pays back."""
    from fastknn import Index

    searches, given, _, _ = search_runs(
        cifar10.train,
        cifar10.test,
        metric,
        7,
        {"fastknn": 2000, "fastknn direct": 1000, "faiss": 500 if metric == "l2" else 50},
        500,
        ["fastknn", "fastknn direct", "faiss"],
    )
    runs = {
        "fastknn": lambda: (Index(cifar10.train, metric), None)[1],
        "fastknn direct": lambda: (Index(cifar10.train, metric, screen="direct"), None)[1],
    }
    searching = {f"{name}, {given[name]} queries": run for name, run in searches.items()}
    medians = take_turns(
        benchmark, {**runs, **searching}, rounds=3, kind="fit", metric=metric, data=cifar10.source
    )
    each = {name: medians[f"{name}, {given[name]} queries"] / given[name] for name in searches}
    benchmark.extra_info.update(
        pays_back_after_queries=(medians["fastknn"] - medians["fastknn direct"])
        / (each["fastknn direct"] - each["fastknn"]),
        fit_in_queries_of_faiss=medians["fastknn"] / each["faiss"] if "faiss" in each else None,
    )


def test_vote(benchmark):
    """Majority votes of 10 neighbours: all k of 1..10 at once, against one k of SciPy's mode."""
    from scipy.stats import mode

    from fastknn.voting.selection import topk
    from fastknn.voting.votes import vote

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, (100_000, 10))
    distances = generator.random((400, 20_000))
    runs = {
        "fastknn vote, one k": lambda: (vote(labels), None)[1],
        "fastknn vote, ten ks": lambda: (vote(labels, ks=range(1, 11)), None)[1],
        "SciPy mode, one k": lambda: (mode(labels, axis=1), None)[1],
        "fastknn topk": lambda: (topk(distances, 7), None)[1],
        "NumPy argpartition": lambda: (np.argpartition(distances, 6, axis=1)[:, :7], None)[1],
    }
    take_turns(benchmark, runs, rounds=5, kind="vote")


def test_first_vote(benchmark, tmp_path):
    """Seconds of the first vote in a fresh process, with Numba's cache cold and warm."""
    code = "import time; t = time.perf_counter(); from fastknn import vote; vote([[0, 1]]); "
    code += "print(time.perf_counter() - t)"
    seconds = {"cold": [], "warm": []}

    def fresh(kind: str, cache: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        )
        seconds[kind].append(float(done.stdout))

    fresh("cold", tmp_path / "warm")
    seconds["cold"].clear()

    def both() -> None:
        fresh("cold", tmp_path / f"cold{len(seconds['cold'])}")
        fresh("warm", tmp_path / "warm")

    benchmark.pedantic(both, rounds=3, iterations=1)
    medians = {f"first vote, {kind} cache": float(np.median(s)) for kind, s in seconds.items()}
    benchmark.extra_info.update(kind="first vote", seconds=medians)


ACCURACIES = {
    ("cifar10", "l2"): {1: 0.3530, 5: 0.3395, 7: 0.3359, 10: 0.3408},
    ("cifar10", "l1"): {},
    ("mnist", "l2"): {1: 0.9691, 3: 0.9705, 5: 0.9688, 7: 0.9694, 9: 0.9659},
    ("mnist", "l1"): {},
}


@pytest.mark.parametrize(("name", "metric"), ACCURACIES)
def test_accuracy(benchmark, request, name, metric):
    """Accuracy on the whole test set for several k in one search, beside the known results."""
    from fastknn import Index
    from fastknn.voting.votes import vote

    data = request.getfixturevalue(name)
    index = Index(data.train, metric)
    ks = [1, 3, 5, 7, 9, 10]
    found = {}

    def run() -> None:
        labels = data.train_labels[index.search(data.test, 10)[1]]
        right = vote(labels, ks=ks) == data.test_labels
        found.update(zip(ks, right.mean(axis=1).round(4).tolist(), strict=True))

    benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info.update(
        kind="accuracy", data=data.source, metric=metric, accuracy={str(k): found[k] for k in ks}
    )
    if data.source != "generated":
        for k, expected in ACCURACIES[name, metric].items():
            assert found[k] == pytest.approx(expected, abs=0.00011)


KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)
CANDIDATES = {
    "metric": ["l1", "euclidean"],
    "n_neighbors": list(KS),
    "weights": ["uniform", "distance"],
}


def test_choose_k_cifar10(benchmark, cifar10):
    """All candidates on 5 folds of all rows, beside two plain searches of as many pairs."""
    from fastknn import Index, cross_validate_k

    X, y = cifar10.train, cifar10.train_labels

    def searches() -> None:
        """Of all rows among four fifths of them, for each metric; indexes included."""
        for metric in METRICS:
            Index(X[: len(X) * 4 // 5], metric, k=max(KS)).search(X, max(KS))

    runs = {"cross_validate_k": lambda: cross_validate_k(X, y, KS), "two searches": searches}
    medians = take_turns(benchmark, runs, rounds=2)
    benchmark.extra_info.update(
        kind="choosing k",
        data=cifar10.source,
        times_searches=medians["cross_validate_k"] / medians["two searches"],
    )


def test_choose_k_of_the_course(benchmark, cifar10):
    """5,000 images on 5 folds, and then 500 test images."""
    from fastknn import KNeighborsClassifierCV

    X, y = cifar10.train[:5000], cifar10.train_labels[:5000]
    runs = {"fastknn": lambda: KNeighborsClassifierCV(KS).fit(X, y).predict(cifar10.test[:500])}
    take_turns(benchmark, runs, rounds=5, kind="choosing k", data=cifar10.source)


@pytest.mark.parametrize("n_rows", [500, 1000])
def test_choose_k_grid_search(benchmark, cifar10, n_rows):
    """The same candidates on so many images, beside GridSearchCV.

    Its work grows with the square of the rows; ours as well, but for the cost of each fold.
    """
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier as Theirs

    from fastknn import cross_validate_k

    X, y = cifar10.train[:n_rows], cifar10.train_labels[:n_rows]
    floats = X.astype(np.float32)
    search = GridSearchCV(Theirs(algorithm="brute"), CANDIDATES, cv=5)
    runs = {
        "fastknn": lambda: cross_validate_k(X, y, KS),
        "GridSearchCV": lambda: search.fit(floats, y),
    }
    medians = take_turns(benchmark, runs, rounds=2)
    benchmark.extra_info.update(
        kind="choosing k",
        data=cifar10.source,
        n_rows=n_rows,
        times_grid_search=medians["GridSearchCV"] / medians["fastknn"],
    )


FIRST_PREDICTION = """
import time
started = time.perf_counter()
import numpy
with_numpy = time.perf_counter()
import fastknn
imported = time.perf_counter()
from sklearn.neighbors import KNeighborsClassifier
theirs = time.perf_counter()
rows = numpy.random.default_rng(0).random((10_000, 64))
labels = numpy.arange(10_000) % 10
fastknn.KNeighborsClassifier(5).fit(rows, labels).predict(rows[:QUERIES])
ended = time.perf_counter()
print(imported - with_numpy, theirs - imported, ended - theirs, ended - started)
"""


@pytest.mark.parametrize("n_queries", [100, 10_000])
def test_first_prediction(benchmark, n_queries):
    """A fresh process: imports, and a first prediction. So few votes load no Numba."""
    code = FIRST_PREDICTION.replace("QUERIES", str(n_queries))
    runs = []

    def start() -> None:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        runs.append([float(part) for part in done.stdout.split()])

    start()  # whose kernels are compiled and cached, files read
    benchmark.pedantic(start, rounds=5, iterations=1)
    names = ("import fastknn", "import sklearn.neighbors", "fit and predict", "all")
    medians = np.median(runs[1:], axis=0)
    benchmark.extra_info.update(
        kind="first prediction",
        n_queries=n_queries,
        seconds=dict(zip(names, map(float, medians), strict=True)),
    )
