"""What fastknn and its peers can do, found out by trying each of them.

usage: python benchmarks/capabilities.py [--check README.md]

Prints the table of the README in Markdown. With --check it says where the file has another one, and
fails where that is in the column of fastknn: what peers do to the last bit may depend on the
processor. A peer that is not installed is an error: a guess would be worth nothing.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

YES, NO = "yes", "no"
COLUMNS = ("fastknn", "scikit-learn", "scikit-learn-intelex", "faiss", "usearch")
Search = Callable[..., tuple[np.ndarray, np.ndarray]]  # (train, queries, k, metric)


# --- One exact search of each, in the plainest way that its documentation shows ---


def by_fastknn(train, queries, k, metric="l2"):
    import fastknn

    return fastknn.knn(queries, train, k, metric)


def by_scikit_learn(train, queries, k, metric="l2"):
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    return model.fit(train).kneighbors(queries)


def by_scikit_learn_intelex(train, queries, k, metric="l2"):
    from sklearnex.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    return model.fit(train).kneighbors(queries)


def by_faiss(train, queries, k, metric="l2"):
    import faiss

    train, queries = (np.array(rows, np.float32) for rows in (train, queries))
    if metric == "cosine":
        for rows in (train, queries):
            faiss.normalize_L2(rows)
    kinds = {"l1": "METRIC_L1", "l2": "METRIC_L2", "cosine": "METRIC_INNER_PRODUCT"}
    kinds["chebyshev"] = "METRIC_Linf"
    index = faiss.IndexFlat(train.shape[1], getattr(faiss, kinds[metric]))
    index.add(train)
    distances, indices = index.search(queries, k)
    return (1 - distances if metric == "cosine" else distances), indices


def by_usearch(train, queries, k, metric="l2"):
    from usearch.index import MetricKind, search

    kinds = {"l2": MetricKind.L2sq, "cosine": MetricKind.Cos}
    found = search(train, queries, k, kinds[metric], exact=True)
    return found.distances.reshape(-1, k), found.keys.reshape(-1, k).astype(np.int64)


SEARCHES: dict[str, Search] = dict(
    zip(
        COLUMNS,
        (by_fastknn, by_scikit_learn, by_scikit_learn_intelex, by_faiss, by_usearch),
        strict=True,
    )
)


def random_rows(n: int, width: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def searches_under(metric: str) -> Callable[[str], bool]:
    """Whether it finds what float64 finds, up to rounding."""

    def tried(name: str) -> bool:
        from scipy.spatial.distance import cdist

        train, queries = random_rows(500), random_rows(20, seed=1)
        named = {"l1": "cityblock", "l2": "euclidean"}.get(metric, metric)
        expected = np.sort(cdist(queries, train, named), axis=1)[:, :5]
        _, indices = SEARCHES[name](train, queries, 5, metric)
        found = np.take_along_axis(cdist(queries, train, named), indices, axis=1)
        return bool(np.allclose(found, expected, rtol=1e-4))

    return tried


# --- Whether the answer can be relied on ---


def exact_far_from_the_origin(name: str) -> bool:
    """Rows that differ little and lie far away: expanded squares cancel there."""
    train, queries = random_rows(2000, 128) + 1000, random_rows(50, 128, seed=1) + 1000
    differences = queries[:, None].astype(float) - train.astype(float)
    expected = np.argsort(np.square(differences).sum(axis=2), axis=1)[:, :10]
    return bool((SEARCHES[name](train, queries, 10)[1] == expected).all())


def ties_by_row(name: str) -> bool:
    """Rows that are equally far come in their order."""
    train = np.random.default_rng(0).integers(0, 2, (3000, 8)).astype(np.float32)
    differences = train[:50, None] - train
    expected = np.argsort(np.abs(differences).sum(axis=2), axis=1, kind="stable")[:, :20]
    return bool((SEARCHES[name](train, train[:50], 20)[1] == expected).all())


def same_bits_in_batches(name: str) -> bool:
    """A query alone and among others has the same distances, to the bit."""
    train, queries = random_rows(20_000, 128), random_rows(200, 128, seed=1)
    together = SEARCHES[name](train, queries, 10)[0]
    alone = [SEARCHES[name](train, query[None], 10)[0] for query in queries]
    return bool((together == np.concatenate(alone)).all())


# --- What else it can do ---


def does(**attempts: Callable[[], object]) -> Callable[[str], bool]:
    """Who has an attempt that runs; the others have nothing to try."""
    return lambda name: (
        name.replace("-", "_") in attempts and _runs(attempts[name.replace("-", "_")])
    )


def _runs(attempt: Callable[[], object]) -> bool:
    attempt()
    return True


def _fit(package: str) -> Callable[[], object]:
    def attempt() -> object:
        from importlib import import_module

        from sklearn.model_selection import GridSearchCV

        classifier = import_module(package).KNeighborsClassifier()
        search = GridSearchCV(classifier, {"n_neighbors": [1, 3]}, cv=2)
        return search.fit(random_rows(40), np.arange(40) % 2)

    return attempt


def _radius(package: str) -> Callable[[], object]:
    def attempt() -> object:
        from importlib import import_module

        model = import_module(package).NearestNeighbors(algorithm="brute").fit(random_rows(40))
        return model.radius_neighbors(random_rows(2), radius=5.0)

    return attempt


def _sparse(package: str) -> Callable[[], object]:
    def attempt() -> object:
        from importlib import import_module

        from scipy.sparse import csr_matrix

        rows = csr_matrix(random_rows(40))
        return import_module(package).NearestNeighbors().fit(rows).kneighbors(rows)

    return attempt


def _faiss_radius() -> object:
    import faiss

    index = faiss.IndexFlatL2(24)
    index.add(random_rows(40))
    return index.range_search(random_rows(2), 25.0)


def _append() -> object:
    from fastknn import Index

    return Index(random_rows(40)).append(random_rows(2))


def _faiss_changes() -> object:
    import faiss

    index = faiss.IndexFlatL2(24)
    index.add(random_rows(40))
    index.add(random_rows(2))
    assert index.remove_ids(np.array([3])) == 1
    return index


def _usearch_changes() -> object:
    from usearch.index import Index

    index = Index(ndim=24, metric="l2sq")
    index.add(np.arange(40), random_rows(40))
    index.add(100, random_rows(1)[0])
    assert index.remove(3) == 1
    return index.search(random_rows(2), 3)  # a graph: approximate


def _faiss_graph() -> object:
    import faiss

    index = faiss.IndexHNSWFlat(24, 16)
    index.add(random_rows(40))
    return index.search(random_rows(2), 3)


ROWS: dict[str, Callable[[str], bool]] = {
    "exact search under L2": searches_under("l2"),
    "exact search under L1": searches_under("l1"),
    "exact search under cosine": searches_under("cosine"),
    "right far from the origin (float32)": exact_far_from_the_origin,
    "ties in the order of the rows": ties_by_row,
    "the same bits for any batch": same_bits_in_batches,
    "estimators for grid searches": does(
        fastknn=_fit("fastknn"),
        scikit_learn=_fit("sklearn.neighbors"),
        scikit_learn_intelex=_fit("sklearnex.neighbors"),
    ),
    "rows added later": does(fastknn=_append, faiss=_faiss_changes, usearch=_usearch_changes),
    "rows removed": does(faiss=_faiss_changes, usearch=_usearch_changes),
    "all rows within a radius": does(
        fastknn=_radius("fastknn"),
        scikit_learn=_radius("sklearn.neighbors"),
        scikit_learn_intelex=_radius("sklearnex.neighbors"),
        faiss=_faiss_radius,
    ),
    "sparse data": does(
        fastknn=_sparse("fastknn"),
        scikit_learn=_sparse("sklearn.neighbors"),
        scikit_learn_intelex=_sparse("sklearnex.neighbors"),
    ),
    "other metrics, such as Chebyshev": searches_under("chebyshev"),
    "approximate search": does(faiss=_faiss_graph, usearch=_usearch_changes),
}
# Where fastknn's estimators answer with scikit-learn's search.
LENT = ("all rows within a radius", "sparse data", "other metrics, such as Chebyshev")


def cell(row: str, name: str) -> str:
    if name == "fastknn" and row in LENT:
        return "scikit-learn's"
    try:
        return YES if ROWS[row](name) else NO
    except (KeyError, ValueError, NotImplementedError) as error:
        print(f"{row}, {name}: {error!r}", file=sys.stderr)
        return NO


def table() -> str:
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---|{':---:|' * len(COLUMNS)}"]
    for row in ROWS:
        lines.append(f"| {row} | {' | '.join(cell(row, name) for name in COLUMNS)} |")
    return "\n".join(lines)


def differences(found: str, text: str) -> list[tuple[str, str]]:
    """The (row, column) of each cell that a text with such a table has otherwise, or not at all."""
    there = {line.split(" | ")[0]: line.split(" | ") for line in text.splitlines()}
    missing = [""] * (len(COLUMNS) + 1)
    return [
        (row[0].strip("| "), name)
        for row in (line.split(" | ") for line in found.splitlines()[2:])
        for name, cell_, other in zip(COLUMNS, row[1:], there.get(row[0], missing)[1:], strict=True)
        if cell_ != other
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", type=Path, metavar="FILE", help="a file that has the table")
    options = parser.parse_args()
    found = table()
    print(found)
    if options.check:
        others = differences(found, options.check.read_text())
        for row, name in others:
            print(f"{options.check} says something else of {name}: {row}", file=sys.stderr)
        sys.exit(any(name == "fastknn" for _, name in others))


if __name__ == "__main__":
    main()
