"""Who is measured: one table of exact searchers, each in the form that suits it best."""

import importlib
from collections.abc import Callable
from functools import partial

import numpy as np

Search = Callable[[np.ndarray, int], np.ndarray]  # (queries, k) -> distances (n, k)

SPELLED = {"l1": "manhattan", "l2": "euclidean"}


class Fastknn:
    """An index's search, and what it says of its work."""

    def __init__(self, train: np.ndarray, metric: str, screen: str = "auto") -> None:
        from fastknn import Index

        self.index = Index(train, metric, screen=screen)

    def __call__(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self.index.search(queries, k)[0]

    def work(self, n_queries: int) -> dict:
        """Of the last search, by query."""
        stats = self.index.stats_
        return {
            "cascade": stats["cascade"],
            "reason": stats["reason"],
            "survivors": [count / n_queries for count in stats["survivors"]],
            "refined": stats["rows_refined"] / n_queries,
            "given_up": stats["rows_given_up"] / n_queries,
            "stage_seconds": {
                name: seconds / n_queries for name, seconds in stats["stage_seconds"].items()
            },
            "bytes": self.index.nbytes,
        }


def numpy_reference(train: np.ndarray, metric: str) -> Search:
    from fastknn.reference import reference_knn

    return lambda queries, k: reference_knn(queries, train, k, metric)[0]


def scikit_learn(train: np.ndarray, metric: str) -> Search:
    from sklearn.neighbors import NearestNeighbors

    # By these names: under "l2" it misses its own fast path for Euclidean distances.
    model = NearestNeighbors(algorithm="brute", metric=SPELLED[metric], n_jobs=-1)
    model.fit(floats(train))
    return lambda queries, k: model.kneighbors(floats(queries), k)[0]


def scikit_learn_intelex(train: np.ndarray, metric: str) -> Search:
    neighbors = importlib.import_module("sklearnex.neighbors")
    model = neighbors.NearestNeighbors(algorithm="brute", metric=SPELLED[metric], n_jobs=-1)
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


def floats(array: np.ndarray) -> np.ndarray:
    """What the peers compute in; no copy of what is already so (queries are made so before)."""
    return np.ascontiguousarray(array, np.float32)


# Name: how it is built, and whether it wants floats. Order is that of tables and plots.
CONTENDERS: dict[str, tuple[Callable[[np.ndarray, str], Search], bool]] = {
    "fastknn": (Fastknn, False),
    "fastknn direct": (partial(Fastknn, screen="direct"), False),
    "faiss": (faiss, True),
    "scikit-learn-intelex": (scikit_learn_intelex, True),
    "usearch": (usearch, False),
    "scikit-learn": (scikit_learn, True),
    "NumPy reference": (numpy_reference, False),
}


def build(name: str, train: np.ndarray, metric: str) -> Search | str:
    """The contender's search over some rows, or why there is none."""
    make, _ = CONTENDERS[name]
    try:
        return make(train, metric)
    except (ImportError, NotImplementedError) as error:
        return str(error)


def in_its_form(name: str, queries: np.ndarray) -> np.ndarray:
    """Queries as the contender wants them, converted before the clock runs."""
    return floats(queries) if CONTENDERS[name][1] else queries
