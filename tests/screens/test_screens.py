"""Screens: every bound holds, every cascade finds what the direct screen finds, bit for bit."""

from fractions import Fraction

import numpy as np
import pytest
from cases import (
    DTYPES,
    METRICS,
    SCREENS,
    assert_finds,
    assert_same_on_every_level,
    let_choices_cost_nothing,
    set_effort,
    set_limits,
    set_plans,
    set_reach,
    structured,
    without_bounds,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastknn import Index, knn
from fastknn.engine import _core
from fastknn.metrics.keys import no_keys
from fastknn.reference import reference_distances, reference_knn
from fastknn.screens import cascade as cascades
from fastknn.screens import maps, proposals, quantization
from fastknn.screens.maps import Hadamard, in_bytes, random_rotation, shrink
from fastknn.screens.proposals import principal_directions, propose
from fastknn.search import calls, policy, searcher, trial


@pytest.fixture(autouse=True)
def small_plans(monkeypatch):
    """Cascades as for wide data, on data that tests can afford; auto tries them all."""
    set_plans(monkeypatch, l2=((3,), (3, 7), (7, 15)), l1=((4,), (4, 2)), fewest_groups=2)
    set_reach(monkeypatch, group_rows=64, fewest_groups=1, fewest_queries=1)
    let_choices_cost_nothing(monkeypatch)


def outlier(dtype, rows, width):
    values = structured(dtype, rows, width)
    values[rows // 2] = 255 if dtype == np.uint8 else 1e12
    return values


def heavy_tails(dtype, rows, width):
    values = np.random.default_rng(1).standard_t(1.5, size=(rows, width)) * 10 + 100
    return values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def rank_one(dtype, rows, width):
    random = np.random.default_rng(2)
    return np.outer(random.integers(0, 16, rows), random.integers(0, 16, width)).astype(dtype)


def duplicates(dtype, rows, width):
    return structured(dtype, rows, width)[np.random.default_rng(3).integers(0, 5, rows)]


def constant_columns(dtype, rows, width):
    values = structured(dtype, rows, width)
    values[:, ::2] = 7
    values[: rows // 3] = 9
    return values


def ties(dtype, rows, width):
    return np.random.default_rng(4).integers(0, 2, (rows, width)).astype(dtype)


def million_fold(dtype, rows, width):
    values = structured(np.float64, rows, width) / 40
    values = values * np.logspace(-3, 3, width)
    return values.clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def far_away(dtype, rows, width):
    """All rows close together, a long way from zero."""
    values = structured(np.float64, rows, width) / 256 + (100 if dtype == np.uint8 else 1e6)
    return values.astype(dtype)


def all_equal(dtype, rows, width):
    return np.full((rows, width), 3, dtype)


KINDS = [
    *(structured, outlier, heavy_tails, rank_one, duplicates),
    *(constant_columns, ties, million_fold, far_away, all_equal),
]


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_screen_on_data_made_to_break_bounds(kind, dtype, metric):
    data = kind(dtype, 400, 40)
    queries = np.concatenate([data[:6], structured(dtype, 6, 40, seed=9)])
    for screen in SCREENS:
        index = Index(data, metric, screen=screen)
        for k in (1, 9, 400):
            assert_finds(index, queries, k)
        # Queries of another type, in between the codes and far outside the training range.
        assert_finds(index, queries * 1.37 - 20, 9)
        assert_finds(index, queries * 1e5, 3)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("screen", SCREENS)
def test_rows_and_queries_beyond_what_codes_can_hold(dtype, metric, screen):
    """They come after the screens were made, or were not in the sample."""
    data = structured(dtype, 5000, 40)
    data[::1000] *= 1e30 if dtype == np.float32 else 1e150
    index = Index(data, metric, screen=screen)
    index.append(np.full((2, 40), np.finfo(dtype).max / 3, dtype))
    queries = structured(np.float64, 8, 40, seed=5)
    for scale in (1, 1e14, 1e16, 1e30, 1e100, 1e200):
        assert_finds(index, queries * scale, 5)
    assert_finds(index, data[::1000], 5)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-14, 1e-10, 1e10, 1e13])
def test_small_and_large_data(metric, scale):
    data = (structured(np.float64, 400, 40) - 128) * scale / 100
    mean = np.tile(data.mean(axis=0), (2, 1))
    for screen in SCREENS:
        assert_finds(Index(data, metric, screen=screen), np.concatenate([data[:9], mean]), 6)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 3, 17, 33, 63, 65, 131, 300])
def test_every_width(width, dtype, metric):
    data = structured(dtype, 150, width)
    for screen in SCREENS:
        assert_finds(Index(data, metric, screen=screen), structured(dtype, 30, width, seed=5), 7)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_cascade_by_itself(dtype, metric):
    """auto takes one; here each is taken, with every thread count and few or many queries."""
    data, queries = structured(dtype, 500, 64), structured(dtype, 40, 64, seed=5)
    expected = reference_knn(queries, data, 8, metric)
    index = Index(data, metric, screen="direct")
    names = set()
    for screen in ("quantized", "projected"):
        for cascade in propose(data, metric, screen):
            names.add(cascade.name)
            index._searcher = searcher.Searcher(data, metric, cascade, 2)
            for n_jobs in (1, 3):
                for count in (1, 40):
                    distances, indices = index.search(queries[:count], 8, n_jobs=n_jobs)
                    assert_array_equal(distances, expected[0][:count])
                    assert_array_equal(indices, expected[1][:count])
    assert len(names) >= 3


def assert_bounds_hold(data, queries, metric):
    """code distance - errors <= distance, for every pair, every cascade and every stage."""
    distances = reference_distances(queries, data, metric)
    distances = np.sqrt(distances) if metric == "l2" else distances
    n_stages = 0
    for screen in ("quantized", "projected"):
        for cascade in propose(data, metric, screen):
            encoded = cascade.encode(queries)
            for rows, (codes, scale, error) in zip(
                cascade.encode_rows(data, 1), encoded, strict=True
            ):
                theirs = (rows.codes.astype(float) - 128) * rows.scale[:, None]
                ours = (codes.astype(float) - 128) * scale[:, None]
                apart = reference_distances(ours, theirs, metric)
                apart = np.sqrt(apart) if metric == "l2" else apart
                bound = apart - error[:, None] - rows.error
                assert (bound <= distances * (1 + 1e-12) + 1e-9 * np.abs(data).max()).all()
                n_stages += 1
    return n_stages


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_lower_bounds_are_lower_bounds(kind, dtype, metric):
    data = kind(dtype, 300, 40)
    n_stages = assert_bounds_hold(data, structured(dtype, 20, 40, seed=6), metric)
    assert n_stages >= 3 or kind is all_equal


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_hadamard_bounds_are_lower_bounds(kind, dtype, monkeypatch):
    monkeypatch.setattr(proposals, "WIDEST_ROTATION", 0)
    data, queries = kind(dtype, 300, 43), structured(dtype, 20, 43, seed=6)
    assert assert_bounds_hold(data, queries, "l2") >= 3 or kind is all_equal
    for screen in SCREENS:
        assert_finds(Index(data, "l2", screen=screen), queries, 9)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 43, 100, 257, 300, 768, 1000, 2050])
def test_hadamard_against_its_matrix(width):
    """The reference: permutations, signs and SciPy's matrix, block by block, in float64."""
    from scipy.linalg import hadamard

    random = np.random.default_rng(width)
    rotation = Hadamard.random(width, random)
    assert width <= rotation.width < max(width + 8, width * (1 + maps.PADDING) + 1)
    rows = random.normal(size=(20, width)).astype(np.float32)
    rows[0], rows[1] = 0, np.eye(width, dtype=np.float32)[width // 2]
    expected = np.pad(rows.astype(float), ((0, 0), (0, rotation.width - width)))
    for order, signs in zip(rotation.order, rotation.signs, strict=True):
        blocks = (expected[:, order] * signs).reshape(len(rows), -1, rotation.block)
        expected = (blocks @ hadamard(rotation.block).astype(float)).reshape(len(rows), -1)
    length = np.linalg.norm(rows.astype(float), axis=1)
    assert (np.linalg.norm(expected, axis=1) <= length).all()
    assert (np.linalg.norm(expected, axis=1) >= length * (1 - 1e-6)).all()
    off = np.linalg.norm(rotation(rows) - expected, axis=1)
    assert (off <= rotation.loss() * length).all()
    assert off.max() > 0 or rotation.block < 16
    # One huge coordinate is spread: evenly by one round, well enough by two.
    assert np.abs(rotation(rows)[1]).max() <= 2 * rotation.block**-0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("width", [1, 5, 64, 300])
@pytest.mark.parametrize("spread", [0, 3, 9])
def test_rows_at_the_very_edge_of_their_bounds_stay_candidates(metric, width, spread):
    """As near to the query as its code and error allow, and no nearer than what is wanted.

    The triangle inequality is an equality here, so only the slack for float32 is left.
    """
    random = np.random.default_rng(width + spread)
    n, zero = 200, np.zeros(1)
    codes = random.integers(1, 256, (n, width)).astype(np.uint8)
    scale = (10.0 ** random.uniform(-spread, spread, n)).astype(np.float32)
    if metric == "l1":
        scale[:] = scale[0]
    code = random.integers(1, 256, (1, width)).astype(np.uint8)
    query = (code - 128.0) * scale[:1, None]
    rows = (codes - 128.0) * scale[:, None]
    away = rows - query
    length = np.abs(away).sum(axis=1) if metric == "l1" else np.linalg.norm(away, axis=1)
    error = (length * random.choice([0, 1e-3, 0.3, 0.9], n)).astype(np.float32)
    rows = query + away * (1 - error.astype(float) / np.maximum(length, 1e-300))[:, None]
    exact = reference_distances(query, rows, metric)[0]
    panels = _core.Panels(codes, metric, scale, error)
    panels.pack(0, panels.n_panels)
    for row in range(n):
        cap = exact[row] * (1 + 1e-9)
        found = no_keys(1, n, metric)
        block = _core.QueryBlock(
            panels,
            code,
            errors=zero,
            scale=scale[:1],
            train=rows,
            exact=query,
            found=found,
            max_key=np.array([cap]),
        )
        block.search(0, panels.n_panels)
        assert set(np.flatnonzero(exact <= cap)) <= set(found.rows[0].tolist())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(METRICS),
    st.integers(1, 70),
    st.floats(-6, 6),
    st.sampled_from([1, 2, 3, 10]),
)
def test_lower_bounds_on_arbitrary_data(seed, metric, width, magnitude, levels):
    random = np.random.default_rng(seed)
    scale = 10.0**magnitude
    data = (random.integers(-levels, levels + 1, (60, width)) + random.normal() * 5) * scale
    data *= random.choice([1, 1e-3, 1e3], size=width)
    assert_bounds_hold(data.astype(np.float32), (data[:9] * 1.1).astype(np.float32), metric)


def measured_exactly(data, metric):
    """Errors of rounded codes, and the same as a fraction of what they should be."""
    (cascade,) = propose(data, metric, "quantized")
    (rows,) = cascade.encode_rows(data, 1)
    shares = []
    for row in range(len(data)):
        a = [
            Fraction(float(x)) - Fraction(float(m))
            for x, m in zip(data[row], cascade.map.mean, strict=True)
        ]
        if metric == "l2":
            matrix = cascade.map.stages[0].rotation.matrix.astype(float)
            a = [
                sum(x * Fraction(v) for x, v in zip(a, column, strict=True)) for column in matrix.T
            ]
        code = [Fraction(float(rows.scale[row])) * (int(c) - 128) for c in rows.codes[row]]
        missed = float(exact_distance(a, code, metric))
        missed = missed**0.5 if metric == "l2" else missed
        shares.append(rows.error[row] / missed)
    return np.array(shares)


def exact_distance(a, b, metric):
    """A distance (squared, under L2) of fractions: no rounding at all."""
    terms = [x - y for x, y in zip(a, b, strict=True)]
    return sum(abs(term) if metric == "l1" else term * term for term in terms)


@pytest.mark.parametrize("metric", METRICS)
def test_errors_are_measured_up_but_not_by_much(metric):
    """Less than the exact error would break the bound; 1 % more would waste it."""
    shares = measured_exactly(structured(np.float32, 25, 12), metric)
    assert (shares >= 1).all()
    assert (shares < 1.01).all()


@pytest.mark.parametrize("metric", METRICS)
def test_the_test_above_sees_one_per_cent(metric, monkeypatch):
    true_upwards = quantization.upwards
    monkeypatch.setattr(cascades, "upwards", lambda values: true_upwards(values * 0.99))
    assert (measured_exactly(structured(np.float32, 25, 12), metric) < 1).any()


def test_a_wrong_bound_would_be_seen(monkeypatch):
    """Without its error, a screen misses neighbors: the comparisons above can fail."""
    data, queries = structured(np.float32, 3000, 40), structured(np.float32, 300, 40, seed=5)
    index = Index(data, "l2", screen="quantized")
    cascade, (rows,) = index._searcher.screen, index._searcher.codes
    without = _core.CodeRows(rows.codes, "l2", rows.scale, np.zeros(len(data), np.float32))
    monkeypatch.setattr(quantization, "_rounded_up", lambda error, *others: error * 0)
    index._searcher = searcher.Searcher(data, "l2", cascade, 1, [without])
    expected = reference_knn(queries, data, 10, "l2")[1]
    assert (index.search(queries, 10)[1] != expected).any()


def on_a_sphere(dtype, rows, width, spread, seed=0):
    """A point, and rows around it whose distances differ by a share `spread` at most."""
    random = np.random.default_rng(seed)
    middle, directions = random.normal(size=width) * 100, random.normal(size=(rows, width))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    lengths = 30 * (1 + spread * random.permutation(rows) / rows)
    return middle.reshape(1, -1), (middle + directions * lengths[:, None]).astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("width", [1, 7, 40, 255, 256, 257, 600])
@pytest.mark.parametrize("spread", [0, 1e-12, 1e-7, 1e-5])
def test_distances_closer_than_float32_can_tell(dtype, width, spread):
    """Only the slack of the expanded screen keeps the right ones; with none, this test fails."""
    query, rows = on_a_sphere(dtype, 500, width, spread)
    index = Index(rows, screen="direct")
    for k in (1, 3, 20):
        assert_finds(index, np.repeat(query, 14, axis=0), k)
    # Rows that mirror each other about the center of all: equal distances, ordered by index.
    mirrored = np.concatenate([rows, 2 * query.astype(dtype) - rows])
    assert_finds(Index(mirrored, screen="direct"), query, 11)


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize(("offset", "gives_up"), [(1e3, False), (1e6, False), (0, True)])
def test_what_the_expanded_screen_is_centered_on(dtype, offset, gives_up):
    """Far from the origin it rules out as much; about two far centers it gives up."""
    random = np.random.default_rng(4)
    rows = random.normal(size=(4000, 30)) + offset
    if gives_up:
        rows = rows / 1000 + random.normal(size=(2, 30))[random.integers(0, 2, 4000)] * 1000
    index = Index(rows.astype(dtype), screen="direct")
    queries = rows[::100] + random.normal(size=(40, 30)) / 1e4
    assert_finds(index, queries, 7)
    given_up = index.stats_["rows_given_up"]
    assert (given_up > 40 * 2000) if gives_up else (given_up == 0)
    # In float32, values near 1e6 are equal in numbers: those rows are at equal distances.
    assert index.stats_["rows_refined"] < 40 * (4000 if gives_up else 400)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-40, 1e-22, 1e18, 1e30, 1e150])
def test_lengths_that_float32_cannot_square(scale):
    random = np.random.default_rng(6)
    rows = random.normal(size=(700, 33))
    rows[::7] *= scale
    queries = np.concatenate([rows[:10], random.normal(size=(4, 33)), np.zeros((2, 33))])
    with np.errstate(over="ignore"):
        assert_finds(Index(rows, screen="direct"), queries, 12)
        assert_finds(Index(rows * scale, screen="direct"), queries * scale, 12)


def test_shrunk_matrices_do_not_stretch():
    random = np.random.default_rng(0)
    for matrix in (
        random_rotation(50, random),
        shrink(np.linalg.qr(random.normal(size=(50, 50)))[0]),
        shrink(principal_directions(structured(np.float32, 90, 60), 20, random)),
        shrink(np.linalg.qr(random.normal(size=(40, 9)))[0] + 1e-4 * random.normal(size=(40, 9))),
    ):
        norm = np.linalg.norm(matrix.astype(np.float64), 2)
        assert 0.99 < norm <= 1


def test_rotation_spreads_and_projection_prunes():
    """What screens are for: of structured rows, few are candidates after the first stage."""
    data, queries = structured(np.float32, 4000, 64), structured(np.float32, 30, 64, seed=5)
    for metric in METRICS:
        for screen in ("quantized", "projected"):
            index = Index(data, metric, screen=screen)
            index.search(queries, 5)
            assert index.stats_["candidates"][0] < 0.2 * 30 * 4000
            assert index.stats_["rows_refined"] <= index.stats_["candidates"][-1]
            assert len(index.stats_["candidates"]) == len(index._searcher.codes)


def test_auto_says_what_it_chose(monkeypatch):
    data = structured(np.float32, 3000, 64)
    index = Index(data)
    assert index.cascade in index.costs_
    assert index.costs_["direct"] > 0
    assert repr(index.cascade) in repr(index)
    assert f"{index.costs_[index.cascade]:.3g} us per query on a sample" in str(index)
    others = {name: cost for name, cost in index.costs_.items() if name != index.cascade}
    for name in {min(others, key=others.get), *({"direct"} & set(others))}:
        assert f"{name} {others[name]:.3g}" in str(index)
    assert index.stats_ == {
        "cascade": index.cascade,
        "reason": index.reason,
        "costs": index.costs_,
    }
    assert index.costs_[index.cascade] == min(index.costs_.values())
    set_limits(monkeypatch, small_elements=data.size + 1)
    assert Index(data).cascade == "direct"
    assert Index(data, screen="direct").costs_ == {}


@pytest.mark.parametrize("k", [1, 100, 5000])
def test_screens_are_tried_for_the_neighbors_wanted(k, monkeypatch):
    asked = []
    tried = trial._Trial

    def seen(one, queries, max_key, k, n_rows):
        asked.append((len(queries), k))
        return tried(one, queries, max_key, k, n_rows)

    monkeypatch.setattr(trial, "_Trial", seen)
    data = structured(np.float32, 3000, 64)
    index = Index(data, expected_k=k)
    assert set(asked) == {{1: (256, 10), 100: (128, 100), 5000: (64, 256)}[k]}
    assert_array_equal(index.search(data[:9], 7)[1], reference_knn(data[:9], data, 7, "l2")[1])
    with pytest.raises(ValueError, match="expected_k must be at least 1"):
        Index(data, expected_k=0)


@pytest.mark.parametrize("n_threads", [1, 2, 16, 64])
def test_blocks_of_many_threads_are_not_tiny(n_threads):
    rows = np.broadcast_to(np.uint8(0), (50_000, 3072))
    blocks = list(cascades.row_blocks(rows, n_threads))
    assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
    assert (blocks[0].start, blocks[-1].stop) == (0, len(rows))
    size = blocks[0].stop * rows.shape[1]
    assert size > cascades.BLOCK_ELEMENTS - rows.shape[1]
    assert size * n_threads <= max(cascades.THREADS_ELEMENTS, n_threads * cascades.BLOCK_ELEMENTS)


@pytest.mark.parametrize("metric", METRICS)
def test_useless_screens_are_not_chosen(metric):
    """Every row at the same distance from every query: nothing can be ruled out by a bound.

    The direct screen of bytes rules ties out, and takes a tenth of the time of any cascade. That of
    floats refines every row as the cascades do: there whatever is chosen costs the same.
    """
    data, queries = np.eye(600, dtype=np.uint8), np.zeros((3, 600), np.uint8)
    index = Index(data, metric)
    assert len(index.costs_) >= 3  # cascades were tried
    assert index.cascade == "direct"
    assert_finds(index, queries, 5)
    assert_finds(Index(data.astype(np.float32), metric), queries, 5)


def screened(data, metric):
    """An index with a screen, whether or not one pays on such small data."""
    index = Index(data, metric, screen="direct")
    *_, cascade = propose(data, metric, "auto")
    index._searcher = searcher.Searcher(data, metric, cascade, 2)
    return index


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("n_queries", [1, 2, 50])
def test_a_useless_screen_gives_way_to_the_direct_one(dtype, metric, n_queries, n_jobs):
    """In the middle of a search, wherever the rows are split, and with ties across the change."""
    data = structured(dtype, 3001, 40)
    data[1000:] = data[np.random.default_rng(8).integers(0, 1000, 2001)]
    with_screen = screened(data, metric)
    for moved in (0, 0.25):
        queries = structured(dtype, n_queries, 40, seed=5)
        queries = queries + moved if moved else queries
        index, seen = Index(data, metric, screen="direct"), []
        index._searcher = without_bounds(with_screen)

        class Seen:
            def update(self, n, seen=seen):
                seen.append(n)

        found = index.search(queries, 7, n_jobs=n_jobs, progress=Seen())
        expected = reference_knn(queries, data, 7, metric)
        assert_array_equal(found[0], expected[0])
        assert_array_equal(found[1], expected[1])
        assert sum(seen) == pytest.approx(n_queries)
        assert index.stats_["rows_given_up"] >= n_queries * 1000
        assert index.stats_["rows_screened"] == n_queries * len(data)  # each of them once
        kept = index.stats_["candidates"]
        assert kept == [n_queries * len(data) - index.stats_["rows_given_up"]] * len(kept)


@pytest.mark.parametrize("metric", METRICS)
def test_what_giving_up_leaves_behind(metric):
    data = structured(np.float32, 3000, 40)
    index = screened(data, metric)
    before = index.nbytes
    assert_finds(index, structured(np.float32, 20, 40, seed=5), 7)
    assert index.stats_["rows_given_up"] == 0
    assert index.nbytes == before
    assert_finds(index, np.full((20, 40), 1e6), 7)
    assert index.stats_["rows_given_up"] >= 20 * 2000
    assert index.nbytes > before + data.nbytes  # the direct screen stays
    assert_finds(index, structured(np.float32, 20, 40, seed=5), 7)
    assert index.stats_["rows_given_up"] == 0  # and the cascade is asked again


@pytest.mark.parametrize("metric", METRICS)
def test_very_many_neighbors_are_searched_directly(metric):
    index = screened(structured(np.float32, 3000, 40), metric)
    queries = structured(np.float32, 20, 40, seed=5)
    for k, stages in ((100, len(index._searcher.codes)), (1000, 1), (3000, 1)):
        assert_finds(index, queries, k)
        assert len(index.stats_["candidates"]) == stages


@pytest.mark.parametrize("metric", METRICS)
def test_rows_on_disk_are_never_packed(metric, tmp_path):
    """A set larger than memory must stay there, however useless its codes."""
    np.save(tmp_path / "data.npy", structured(np.float32, 3000, 40))
    index = screened(np.load(tmp_path / "data.npy", mmap_mode="r"), metric)
    before = index.nbytes
    assert_finds(index, np.full((20, 40), 1e6), 7)
    assert_finds(index, np.full((2, 40), 1e6), 3000)
    assert index.nbytes == before
    assert index.stats_["rows_given_up"] == 0


def test_one_shot_search_builds_a_screen_only_for_many_queries(monkeypatch):
    """The two cases of the docstring, on two threads; and more threads need more queries."""
    cheap = policy.LIMITS
    monkeypatch.setattr(policy, "LIMITS", policy.Limits())
    images = np.broadcast_to(np.uint8(0), (50_000, 3072))
    noise = np.broadcast_to(np.float32(0), (200_000, 128))
    for rows, least, most in ((images, 5000, 12_000), (noise, 600, 2500)):
        known = policy.Known.of(rows, "l2", n_threads=2)
        for n_queries, n_threads, choice in (
            (least, 2, "direct"),
            (most, 2, "auto"),
            (most, 20, "direct"),
        ):
            asked = known._replace(n_queries=n_queries, n_threads=n_threads)
            assert policy.choose(policy.INDEX, asked).choice == choice
    monkeypatch.setattr(policy, "LIMITS", cheap)
    built = []

    def seen(*arguments, **options):
        built.append(Index(*arguments, **options))
        return built[-1]

    monkeypatch.setattr(calls, "Index", seen)
    data = structured(np.float32, 300, 40)
    for n_queries in (5, 20):
        found = knn(data[:n_queries], data, 3, n_jobs=1)
        expected = reference_knn(data[:n_queries], data, 3, "l2")
        assert_array_equal(found[1], expected[1])
    assert [index._growth.stage for index in built] == ["none", "auto"]


class CountedTrial(trial._Trial):
    """A trial whose costs are numbers of candidates, which do not depend on the clock."""

    def _try(self, max_key, searching):
        block = self.searcher.block(self.queries, self.found, max_key)
        n_panels = self.searcher.panels.n_panels
        reached = block.search(0, n_panels, self.searcher.give_up)
        work = float(sum(block.work.candidates)) * n_panels / reached
        return 0.0, work, reached == n_panels


class CountedGroups(trial._WholeTrial):
    """The same for rows in groups, whose costs are the shares of the rows that are left."""

    @property
    def cost(self):
        found = no_keys(len(self.queries), self.found.rows.shape[1], self.searcher.metric)
        everything = np.full(len(self.queries), np.inf)
        return self.searcher.share_within_reach(self.queries, found, everything)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("screen", SCREENS)
def test_knn_and_choice_do_not_depend_on_luck(screen, dtype, metric, monkeypatch):
    """The same sample, the same proposals, the same choice and codes."""
    monkeypatch.setattr(trial, "_Trial", CountedTrial)
    monkeypatch.setattr(trial, "_WholeTrial", CountedGroups)
    set_effort(monkeypatch, n_rows=400)  # a part of the rows: which part must not matter
    data, queries = structured(dtype, 800, 64), structured(dtype, 20, 64, seed=5)
    first = Index(data, metric, screen=screen)
    second = Index(data, metric, screen=screen)
    assert (second.cascade, second.costs_) == (first.cascade, first.costs_)
    assert bool(first.costs_) == (screen not in ("none", "direct"))
    codes = [
        [(rows.codes.tobytes(), rows.scale.tobytes(), rows.error.tobytes()) for rows in one]
        for one in (first._searcher.codes, second._searcher.codes)
    ]
    assert codes[0] == codes[1]
    expected = first.search(queries, 5)
    for other in (second.search(queries, 5), knn(queries, data, 5, metric)):
        assert_array_equal(expected[0], other[0])
        assert_array_equal(expected[1], other[1])


LEVEL_CODE = """
import sys
import numpy as np
from fastknn import Index, cpu_level
from fastknn.screens import near, proposals
plans = (3,), (7, 15)
proposals.PLANS = proposals.Plans(l2=plans, l2_bytes=plans, l1=((4,), (4, 2)), fewest_groups=2)
near.REACH = near.Reach(group_rows=64, fewest_groups=1, fewest_queries=1)
folder, level = sys.argv[1:]
assert cpu_level() == level
data, queries = np.load(folder + "/data.npy"), np.load(folder + "/queries.npy")
for metric in ("l1", "l2"):
    for screen in ("quantized", "projected"):
        index = Index(data, metric, screen=screen)
        assert index.cascade not in ("none", "direct")
        for place, array in enumerate(index.search(queries, 7)):
            assert np.array_equal(array, np.load(f"{folder}/{metric}{place}.npy")), (metric, screen)
print("same")
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_level(tmp_path, dtype):
    data, queries = structured(dtype, 400, 80), structured(dtype, 30, 80, seed=5)
    np.save(tmp_path / "data.npy", data)
    np.save(tmp_path / "queries.npy", queries)
    for metric in METRICS:
        for place, array in enumerate(reference_knn(queries, data, 7, metric)):
            np.save(tmp_path / f"{metric}{place}.npy", array)
    assert_same_on_every_level(LEVEL_CODE, tmp_path)


def test_directions_in_bytes_are_exact_and_do_not_stretch():
    """Products with rows of bytes are integers, whatever the level; so are squared norms."""
    random = np.random.default_rng(3)
    for width, count in ((64, 15), (257, 128), (1000, 3)):
        rows = random.integers(0, 256, (40, width), np.uint8)
        rows[0], rows[1] = 0, 255
        mean = random.integers(0, 256, width).astype(np.uint8)
        directions = in_bytes(
            np.linalg.qr(random.normal(size=(width, count)))[0].astype(np.float32), mean
        )
        along, norm = directions.of_bytes(rows)
        centered = rows.astype(np.int64) - mean
        exact = centered @ directions.matrix.astype(np.int64)
        assert_array_equal(along, 2 * exact * (directions.scale / 2))
        assert_array_equal(norm, np.sqrt((centered**2).sum(axis=1).astype(np.float64)))
        matrix = directions.matrix * directions.scale
        assert 0.97 < np.linalg.norm(matrix, 2) <= 1
        # Floats come to the same, up to the loss that they say.
        floats = directions(centered.astype(np.float32))
        assert (np.abs(floats - along).max(axis=1) <= directions.loss() * norm).all()
        for n in {1, 2, count // 2, count - 1, count}:
            first = directions.first(n)
            for one, every in zip(first.of_bytes(rows), (along[:, :n], norm), strict=True):
                assert_array_equal(one, every)
            assert_array_equal(first(centered.astype(np.float32)), floats[:, :n])
            assert first.loss() <= directions.loss()


def test_quantize_is_the_rounding_that_it_says():
    random = np.random.default_rng(4)
    values = random.normal(size=(50, 37)) * 10.0 ** random.integers(-12, 12, (50, 1))
    values[3], values[4, 1:] = 0, 0
    slack = np.abs(values).max(axis=1) * np.where(np.arange(50) % 5 == 0, 0.1, 1e-7)
    codes, scale, error = quantization.quantize_l2(values, slack, 64)
    least = np.maximum(np.abs(values).max(axis=1) / 127, slack)
    assert (scale >= least).all()
    assert (scale <= np.maximum(least, quantization.NO_SCALE) * (1 + 1e-6)).all()
    assert (codes[:, 37:] == _core.CODE_ZERO).all()
    meant = (codes[:, :37].astype(float) - _core.CODE_ZERO) * scale[:, None].astype(float)
    assert (np.abs(values - meant) <= scale[:, None] * 0.5000001).all()
    missed = np.sqrt(((values - meant) ** 2).sum(axis=1))
    assert (error >= missed + slack).all()
    assert (error <= (missed + slack) * (1 + 1e-9) + 1e-9 * np.abs(values).max(axis=1)).all()
