"""NaN that nobody looked for: rows in range, or an error that names the query."""

import numpy as np
import pytest
from cases import DTYPES, SCREENS, let_choices_cost_nothing, set_sizes
from sklearn import config_context

from fastknn import Index, KNeighborsTransformer, LocalOutlierFactor, NearestNeighbors

METRICS = ["l1", "l2", "sqeuclidean", "cosine", "correlation"]


def put(rows, where, random):
    rows = rows.copy()
    if where == "everywhere":
        rows[:] = np.nan
    elif where == "one element":
        rows[7, 3] = np.nan
    elif where == "here and there":
        rows[random.random(rows.shape) < 0.05] = np.nan
    else:
        rows[random.random(rows.shape) < 0.05] = np.inf
    return rows


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("where", ["everywhere", "one element", "here and there", "infinity"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("screen", SCREENS)
def test_every_row_is_in_range(dtype, metric, screen, where, monkeypatch):
    let_choices_cost_nothing(monkeypatch)
    set_sizes(monkeypatch, thread_bytes=0)
    random = np.random.default_rng(0)
    train = random.integers(0, 200, (700, 32)).astype(dtype)
    queries = random.integers(0, 200, (12, 32)).astype(np.float64)
    bad_queries = put(queries, where, random)
    cases = [(train, bad_queries)]
    if dtype != np.uint8:
        cases += [(put(train, where, random), queries)] * (where != "everywhere")
        cases += [(put(train, where, random), bad_queries)]
    for rows, asked in cases:
        index = Index(rows, metric, screen=screen, check_finite=False)
        for some in (asked, asked[7:8], asked[:1]):
            try:
                distances, indices = index.search(some, 5, check_finite=False, n_jobs=2)
            except ValueError as error:
                assert "comparable rows of train for k=5" in str(error)  # noqa: PT017
                continue
            assert indices.min() >= 0
            assert indices.max() < 700
            assert not np.isnan(distances).any()


def test_the_error_names_the_query():
    queries = np.ones((9, 2))
    queries[4, 1] = np.nan
    for metric in METRICS:
        with pytest.raises(ValueError, match=r"^queries has row 4 with only 0 comparable rows"):
            Index(np.eye(2), metric).search(queries, 2, check_finite=False)
    train = np.array([[0.0], [np.nan], [1.0]])
    with pytest.raises(ValueError, match=r"^queries has row 0 with only 2 comparable rows"):
        Index(train, "l1", screen="none", check_finite=False).search([[0.0]], 3)


def test_graphs_of_estimators_do_not_point_outside():
    rows = np.random.default_rng(0).normal(size=(60, 8))
    queries = rows.copy()
    queries[3] = np.nan
    with config_context(assume_finite=True):
        for estimator in (
            KNeighborsTransformer(n_neighbors=4),
            NearestNeighbors(n_neighbors=4),
            LocalOutlierFactor(n_neighbors=4, novelty=True),
        ):
            model = estimator.fit(rows)
            with pytest.raises(ValueError, match=r"^X has row 3 with only 0 comparable rows"):
                model.kneighbors(queries)
        with pytest.raises(ValueError, match=r"^X has row 3"):
            KNeighborsTransformer(n_neighbors=4).fit(rows).transform(queries)
