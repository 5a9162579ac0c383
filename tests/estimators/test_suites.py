"""The tests of other projects with fastknn in scikit-learn's place, and cleanlab against itself.

Each suite runs in a process of its own, in which `patched_plugin.py` patches scikit-learn; some
run again with the screens that estimators otherwise choose only for data much larger than these.
"""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import patched_plugin
import pytest
from cases import run_python
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neighbors as theirs

import fastknn

pytestmark = [pytest.mark.slow, pytest.mark.interop]

HERE = Path(__file__).resolve().parents[1]


class Suite(NamedTuple):
    """Test modules of a package, and how many of their searches fastknn should answer."""

    modules: tuple[str, ...]
    least_fast: int
    least_screened: int = 0
    only: str = ""  # names of tests, as pytest's -k
    leave: str = ""
    leave_screened: str = ""


SUITES = {
    # With screens, those of radius searches are left out, which have none; and one that wants a
    # tree for three features: there fastknn searches for any number of them.
    "scikit-learn's neighbors": Suite(
        tuple(
            f"sklearn.neighbors.tests.test_{name}"
            for name in ("neighbors", "neighbors_pipeline", "graph", "lof")
        ),
        least_fast=500,
        least_screened=700,
        leave_screened="radius or test_auto_algorithm",
    ),
    # Those of manifolds and imputers in which none of our estimators is used are not run. One is
    # left out: it wants an embedding, which no digit of the input leaves in place, to be that of
    # scikit-learn's 1 - <u, v> to the bit; fastknn's |u - v|**2 / 2 has more digits right.
    "what uses neighbors in scikit-learn": Suite(
        (
            *(
                f"sklearn.manifold.tests.test_{name}"
                for name in ("isomap", "locally_linear", "spectral_embedding", "t_sne")
            ),
            "sklearn.cluster.tests.test_spectral",
            "sklearn.impute.tests.test_knn",
            "sklearn.semi_supervised",
        ),
        least_fast=90,
        least_screened=250,
        leave="test_tsne_with_different_distance_metrics and cosine",
    ),
    "scikit-learn's common tests": Suite(
        ("sklearn.tests.test_common",),
        least_fast=50,
        least_screened=200,
        only="KNeighbors or NearestNeighbors or LocalOutlierFactor",
    ),
    # The one left out with screens searches within a radius, which knows no screens, for half of
    # the time that all the others take.
    "scikit-learn's clusterings": Suite(
        tuple(
            f"sklearn.cluster.tests.test_{name}"
            for name in ("dbscan", "hdbscan", "mean_shift", "optics")
        ),
        least_fast=20,
        least_screened=30,
        leave_screened="test_dbscan_optics_parity",
    ),
    # One test has a classifier of ours, and wants `sample_weight` refused before any search.
    "scikit-learn's voting": Suite(("sklearn.ensemble.tests.test_voting",), least_fast=0),
    "imbalanced-learn's samplers": Suite(
        ("imblearn.over_sampling", "imblearn.under_sampling", "imblearn.combine"),
        least_fast=450,
        least_screened=600,
    ),
    # Samplers without neighbors, ensembles, and CondensedNearestNeighbour, which fits a classifier
    # for each row, would take ten times as long; the latter has a module among the above.
    "imbalanced-learn's common tests": Suite(
        ("imblearn.tests.test_common",),
        least_fast=700,
        only="ADASYN or AllKNN or EditedNearestNeighbours or NearMiss or NeighbourhoodCleaning or "
        "OneSided or SMOTE or Tomek",
    ),
}


def run_suite(say, tmp_path, name: str, screen: str = "") -> None:
    """A suite's tests in a process of their own, with fastknn in scikit-learn's place."""
    suite = SUITES[name]
    left = [each for each in (suite.leave, suite.leave_screened if screen else "") if each]
    chosen = " and ".join(
        [f"({suite.only})"] * bool(suite.only) + [f"not ({each})" for each in left]
    )
    root = str(Path(fastknn.__file__).parents[1])
    done = run_python(
        *("-m", "pytest", "-q", "-p", "patched_plugin", "--pyargs"),
        *suite.modules,
        *("-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts=", "--tb=short"),
        *("-k", chosen),
        cwd=tmp_path,
        timeout=600,
        PYTHONPATH=f"{root}{os.pathsep}{HERE}",
        FASTKNN_TEST_SCREEN=screen,
    )
    report = (done.stdout + done.stderr)[-6000:]
    counts, passed = re.search(r"searches: (.*)", done.stdout), re.findall(r"\d+ passed", report)
    assert counts, report
    counts = json.loads(counts.group(1))
    tell(say, f"{name}: {', '.join(passed)}", counts, screen)
    assert done.returncode == 0, report
    assert counts["fast"] >= suite.least_fast
    if screen:
        assert counts["screened"] >= suite.least_screened


def tell(say, what: str, counts: dict[str, int], screen: str) -> None:
    """Say how many searches were fast."""
    fast, slow, screened, radius = (counts[n] for n in ("fast", "slow", "screened", "radius"))
    say(
        f"patched{f', screen {screen!r}' * bool(screen)}: {what}; "
        f"{fast} of {fast + slow} searches by fastknn"
        + f", {screened} with a screen" * bool(screen)
        + f"; {radius} radius searches" * bool(radius)
    )


# As estimators choose it: for so few rows none, or the direct one.
@pytest.mark.parametrize("name", SUITES)
def test_suite(say, tmp_path, name):
    needs_imbalanced_learn(name)
    run_suite(say, tmp_path, name)


# "auto" mostly takes "quantized" for so few rows; "projected" has several stages.
@pytest.mark.parametrize(
    ("name", "screen"),
    [
        *((name, "auto") for name, suite in SUITES.items() if suite.least_screened),
        ("scikit-learn's neighbors", "projected"),
    ],
)
def test_suite_with_screens(say, tmp_path, name, screen):
    needs_imbalanced_learn(name)
    run_suite(say, tmp_path, name, screen)


def needs_imbalanced_learn(name: str) -> None:
    if SUITES[name].modules[0].startswith("imblearn"):
        pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")


# cleanlab's wheel has no tests: what it finds with fastknn is what it finds without.
@pytest.mark.parametrize("screen", ["", "auto"])
def test_cleanlab(say, monkeypatch, screen):
    pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    from cleanlab.classification import CleanLearning
    from cleanlab.data_valuation import data_shapley_knn
    from cleanlab.internal.neighbor.knn_graph import create_knn_graph_and_index
    from cleanlab.outlier import OutOfDistribution

    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 60)
    X = random.normal(size=(180, 12)) + 3 * np.eye(3, 12)[classes]
    labels = np.where(random.random(180) < 0.1, (classes + 1) % 3, classes)
    few = random.normal(size=(180, 3))  # up to three features, and more than 100 rows: L2
    pairs = np.repeat(X[:90], 2, axis=0)  # equal rows, which cleanlab treats by itself

    def found():
        graphs = [
            create_knn_graph_and_index(features, n_neighbors=k, metric=metric)[0]
            for features, k, metric in (
                (X, 7, None),
                (few, 7, None),
                (X, 7, "euclidean"),
                (X, 7, "manhattan"),
                (pairs, 1, None),
                (pairs, 3, "euclidean"),  # whole pairs: which come first does not matter
            )
        ]
        for graph in graphs:
            graph.sort_indices()
        outliers = OutOfDistribution()
        scores = [outliers.fit_score(features=X), outliers.score(features=X[:50] + 0.5)]
        shapley = data_shapley_knn(labels, features=X, k=5)
        learner = CleanLearning(theirs.KNeighborsClassifier(5), seed=0)
        issues = learner.find_label_issues(X, labels)
        predicted = learner.fit(X, labels, label_issues=issues).predict(X)
        exact = [issues["is_label_issue"], issues["predicted_label"], predicted]
        distances = [graph.data for graph in graphs]
        return (
            [*exact, *(graph.indices for graph in graphs)],
            [*distances, *scores, shapley, issues["label_quality"]],
        )

    expected = found()
    if screen:
        patched_plugin.force(screen, monkeypatch)
    answers = patched_plugin.count_searches(monkeypatch)
    with fastknn.patched_sklearn():
        ours = found()
    assert ours[0][0].any()
    for one, other in zip(ours[0], expected[0], strict=True):
        assert_array_equal(one, other)
    for one, other in zip(ours[1], expected[1], strict=True):
        assert_allclose(one, other, rtol=1e-7, atol=1e-7)
    counts = patched_plugin.counts_of(answers)
    tell(say, "cleanlab", counts, screen)
    assert counts["fast"] >= 10
    assert counts["screened"] == (counts["fast"] if screen else 0)
