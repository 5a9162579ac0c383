"""Graphs from KNeighborsTransformer and knn_graph in front of estimators that build on them.

Each is the real thing: scikit-learn always, the others where they are installed.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs
from sklearn.base import clone
from sklearn.cluster import DBSCAN, HDBSCAN, SpectralClustering
from sklearn.manifold import TSNE, Isomap
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from fastknn import KNeighborsTransformer, knn_graph, patched_sklearn

NEIGHBORS = 15


@pytest.fixture(scope="module")
def blobs():
    """Three far groups of continuous points, without ties."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 80)
    return random.normal(size=(240, 12)) + 12 * np.eye(3, 12)[truth], truth


def in_front_of(estimator, n_neighbors=NEIGHBORS, mode="distance"):
    """The same pipeline twice: with fastknn's transformer and with scikit-learn's."""
    return [
        make_pipeline(module(n_neighbors=n_neighbors, mode=mode), clone(estimator))
        for module in (KNeighborsTransformer, theirs.KNeighborsTransformer)
    ]


def apart(embedding, truth):
    """Whether the rows of each group are nearer to each other than to other groups."""
    centers = np.stack([embedding[truth == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(embedding[:, None] - centers, axis=2).argmin(axis=1)
    return adjusted_rand_score(truth, nearest) > 0.9


@pytest.mark.parametrize(
    "estimator",
    [
        TSNE(metric="precomputed", init="random", perplexity=4, max_iter=250, random_state=0),
        Isomap(n_neighbors=5, metric="precomputed"),
    ],
)
def test_scikit_learns_embeddings(blobs, estimator):
    X = blobs[0] if isinstance(estimator, TSNE) else blobs[0][:80]  # Isomap: one component
    ours, reference = in_front_of(estimator)
    found = ours.fit_transform(X)
    assert ours[0].backend_ == "fastknn"
    assert_allclose(np.abs(found), np.abs(reference.fit_transform(X)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("estimator", "mode"),
    [
        (
            SpectralClustering(3, affinity="precomputed_nearest_neighbors", n_neighbors=8),
            "distance",
        ),
        (DBSCAN(eps=5, metric="precomputed"), "distance"),
    ],
)
def test_scikit_learns_clusterings(blobs, estimator, mode):
    X, truth = blobs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three components: so it should be
        ours, reference = (each.fit_predict(X) for each in in_front_of(estimator, mode=mode))
    assert adjusted_rand_score(ours, reference) == 1
    assert adjusted_rand_score(ours, truth) > 0.95


def test_scikit_learns_hdbscan(blobs):
    X, truth = blobs
    graphs = [
        module(n_neighbors=239, mode="distance").fit_transform(X)
        for module in (KNeighborsTransformer, theirs.KNeighborsTransformer)
    ]
    ours, reference = (
        HDBSCAN(min_samples=5, metric="precomputed", copy=True).fit_predict(graph.maximum(graph.T))
        for graph in graphs
    )
    assert_array_equal(ours, reference)
    assert adjusted_rand_score(ours[ours >= 0], truth[ours >= 0]) == 1


@pytest.mark.interop
@pytest.mark.slow
def test_umap(blobs):
    umap = pytest.importorskip("umap")
    X, truth = blobs
    options = {"n_neighbors": NEIGHBORS, "random_state": 0, "n_epochs": 60}
    graph = knn_graph(X.astype(np.float32), NEIGHBORS, include_self=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from_pair = umap.UMAP(precomputed_knn=(*graph[::-1], None), **options).fit_transform(X)
        ours, reference = (  # UMAP wants graphs that are symmetrical
            umap.UMAP(metric="precomputed", **options).fit_transform(graph.maximum(graph.T))
            for graph in (
                module(n_neighbors=NEIGHBORS).fit_transform(X)
                for module in (KNeighborsTransformer, theirs.KNeighborsTransformer)
            )
        )
    assert apart(from_pair, truth)
    assert apart(ours, truth)
    assert_allclose(ours, reference, rtol=1e-3, atol=1e-3)


@pytest.mark.interop
def test_open_tsne(blobs):
    pytest.importorskip("openTSNE")
    from openTSNE import TSNEEmbedding, affinity, initialization, nearest_neighbors

    X, truth = blobs
    distances, indices = knn_graph(X, 30)
    neighbors = nearest_neighbors.PrecomputedNeighbors(indices, distances)
    affinities = affinity.PerplexityBasedNN(perplexity=10, knn_index=neighbors)
    start = initialization.pca(X, random_state=0)
    embedding = TSNEEmbedding(start, affinities, random_state=0).optimize(50)
    assert apart(np.asarray(embedding), truth)


@pytest.mark.interop
def test_hdbscan(blobs):
    hdbscan = pytest.importorskip("hdbscan")
    X, truth = blobs
    graph = KNeighborsTransformer(n_neighbors=120).fit_transform(X)
    graph = graph.maximum(graph.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = hdbscan.HDBSCAN(metric="precomputed", min_samples=5).fit_predict(graph)
    assert adjusted_rand_score(found[found >= 0], truth[found >= 0]) == 1
    assert (found >= 0).mean() > 0.5


@pytest.mark.interop
def test_scanpy(blobs):
    """The reference is what scanpy does by default, not with scikit-learn's transformer.

    In float32, scikit-learn finds rows at distances above zero from themselves, and scanpy takes
    such a row for its own neighbor: connectivities of these normal points are off by 0.6.
    """
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")

    def connectivities(X, n_neighbors, **options):
        cells = scanpy.AnnData(X)
        scanpy.pp.neighbors(cells, n_neighbors=n_neighbors, use_rep="X", **options)
        return cells.obsp["connectivities"].toarray()

    X, truth = blobs
    normal = np.random.default_rng(0).normal(size=(60, 20))
    for points, n_neighbors in ((normal, 10), (X, NEIGHBORS)):
        points = points.astype(np.float32)
        reference = connectivities(points, n_neighbors)
        transformer = KNeighborsTransformer(n_neighbors=n_neighbors)
        ours = connectivities(points, n_neighbors, transformer=transformer)
        with patched_sklearn():
            patched = connectivities(points, n_neighbors)
        assert transformer.backend_ == "fastknn"
        assert_allclose(ours, reference, atol=1e-5)
        assert_allclose(patched, reference, atol=1e-5)
    assert (ours[truth[:, None] != truth] == 0).all()
