"""Who is measured: one table of exact searchers, each in the form that suits it best."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

Search = Callable[[np.ndarray, int], np.ndarray]  # (queries, k) -> distances (n, k)

SKLEARN_METRIC = {"l1": "manhattan", "l2": "euclidean"}


class Fastknn:
    """An index's search, and what it says of its work."""

    def __init__(self, train: np.ndarray, metric: str, screen: str = "auto") -> None:
        from fastknn import Index

        self.index = Index(train, metric, screen=screen)

    def __call__(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self.index.search(queries, k)[0]

    def work(self, n_queries: int) -> dict:
        """Of the last search, per query."""
        stats = self.index.stats_
        return {
            "cascade": stats["cascade"],
            "reason": stats["reason"],
            "candidates": [count / n_queries for count in stats["candidates"]],
            "rows_refined": stats["rows_refined"] / n_queries,
            "rows_given_up": stats["rows_given_up"] / n_queries,
            "stage_seconds": {
                name: seconds / n_queries for name, seconds in stats["stage_seconds"].items()
            },
            "bytes": self.index.nbytes,
        }


def numpy_reference(train: np.ndarray, metric: str) -> Search:
    from fastknn.reference import reference_knn

    return lambda queries, k: reference_knn(queries, train, k, metric)[0]


def numpy_as_taught(train: np.ndarray, metric: str) -> Search:
    """What a course on image classification writes, in float32: no loop over training rows.

    L2 expands (q - x)^2 = q^2 - 2qx + x^2, for all queries at once. L1 has no such form: one
    query is subtracted from all training rows.
    """
    train = floats(train)
    norms = np.square(train).sum(axis=1)

    def squares(queries: np.ndarray) -> np.ndarray:
        products = queries @ train.T
        return np.square(queries).sum(axis=1)[:, None] - 2 * products + norms

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        if metric == "l2":
            distances = np.sqrt(np.maximum(squares(queries), 0))
        else:
            distances = np.stack([np.abs(train - query).sum(axis=1) for query in queries])
        nearest = np.argsort(distances, axis=1)[:, :k]
        return np.take_along_axis(distances, nearest, axis=1)

    return search


def scikit_learn(train: np.ndarray, metric: str) -> Search:
    from sklearn.neighbors import NearestNeighbors

    # By these names: under "l2" it misses its own fast path for Euclidean distances.
    model = NearestNeighbors(algorithm="brute", metric=SKLEARN_METRIC[metric], n_jobs=-1)
    model.fit(floats(train))
    return lambda queries, k: model.kneighbors(floats(queries), k)[0]


def scikit_learn_intelex(train: np.ndarray, metric: str) -> Search:
    neighbors = importlib.import_module("sklearnex.neighbors")
    model = neighbors.NearestNeighbors(algorithm="brute", metric=SKLEARN_METRIC[metric], n_jobs=-1)
    model.fit(floats(train))
    return lambda queries, k: model.kneighbors(floats(queries), k)[0]


def faiss(train: np.ndarray, metric: str) -> Search:
    library = importlib.import_module("faiss")
    kind = {"l1": library.METRIC_L1, "l2": library.METRIC_L2}[metric]
    index = library.IndexFlat(train.shape[1], kind)
    index.add(floats(train))

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        distances = index.search(floats(queries), k)[0]
        return np.sqrt(distances) if metric == "l2" else distances

    return search


def usearch(train: np.ndarray, metric: str) -> Search:
    """Bytes as bytes, if it is told so (else it takes them for numbers of one bit)."""
    library = importlib.import_module("usearch.index")
    if metric != "l2":
        raise NotImplementedError("usearch has no L1 metric")
    kind, options = library.MetricKind.L2sq, {"exact": True, "threads": 0}
    if train.dtype == np.uint8:
        options["dtype"] = "u8"

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        found = library.search(train, queries, k, kind, **options)
        return np.sqrt(found.distances).reshape(len(queries), k)

    return search


def scikit_learn_tree(train: np.ndarray, metric: str) -> Search:
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(algorithm="kd_tree", metric=SKLEARN_METRIC[metric], n_jobs=-1)
    model.fit(floats(train))
    return lambda queries, k: model.kneighbors(floats(queries), k)[0]


def scipy_tree(train: np.ndarray, metric: str) -> Search:
    from scipy.spatial import cKDTree

    tree = cKDTree(train)
    p = {"l1": 1, "l2": 2}[metric]
    return lambda queries, k: tree.query(queries, k, p=p, workers=-1)[0].reshape(len(queries), k)


def pykdtree(train: np.ndarray, metric: str) -> Search:
    if metric != "l2":
        raise NotImplementedError("pykdtree has no L1 metric")
    tree = importlib.import_module("pykdtree.kdtree").KDTree(floats(train))
    return lambda queries, k: tree.query(floats(queries), k)[0].reshape(len(queries), k)


def floats(array: np.ndarray) -> np.ndarray:
    """What the peers compute in; no copy of what is already so (queries are made so before)."""
    return np.ascontiguousarray(array, np.float32)


class Contender(NamedTuple):
    """How it is built, and in which form it takes its queries."""

    make: Callable[[np.ndarray, str], Search]
    wants_floats: bool = True
    # Queries in one call from which it is at its best under L2, where matrix products serve.
    batch: int = 1
    # So slow, and so little what anybody would choose, that only all the benchmarks have it.
    only_full: bool = False
    # A tree, which is at its best where data have few degrees of freedom.
    is_tree: bool = False


# In the order of tables and plots.
CONTENDERS: dict[str, Contender] = {
    "fastknn": Contender(Fastknn, wants_floats=False),
    "fastknn direct": Contender(partial(Fastknn, screen="direct"), wants_floats=False),
    "faiss": Contender(faiss, batch=500),
    "scikit-learn-intelex": Contender(scikit_learn_intelex, batch=500),
    "usearch": Contender(usearch, wants_floats=False),
    "scikit-learn": Contender(scikit_learn, batch=100),
    "scikit-learn's tree": Contender(scikit_learn_tree, is_tree=True),
    "SciPy's tree": Contender(scipy_tree, is_tree=True),
    "pykdtree": Contender(pykdtree, is_tree=True),
    "NumPy as taught": Contender(numpy_as_taught, batch=100),
    "NumPy reference": Contender(numpy_reference, wants_floats=False, only_full=True),
}


def build(name: str, train: np.ndarray, metric: str) -> Search | str:
    """The contender's search over some rows, or why there is none."""
    try:
        return CONTENDERS[name].make(train, metric)
    except (ImportError, NotImplementedError) as error:
        return str(error)


def in_its_form(name: str, queries: np.ndarray) -> np.ndarray:
    """Queries as the contender wants them, converted before the clock runs."""
    return floats(queries) if CONTENDERS[name].wants_floats else queries
