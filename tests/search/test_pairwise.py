"""pairwise_distances against the reference: exact for bytes, the promised error for floats."""

import itertools

import numpy as np
import pytest
from cases import DTYPES, METRICS, SIZES, all_dtypes, both_metrics, peak, points, set_sizes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from fastknn import pairwise_distances
from fastknn.reference import reference_pairwise


def error_bound(dtype, width, metric):
    """Largest relative error of a sum of `width` terms, in the steps that the docstring names.

    With u half a unit in the last place: a difference is off by u, its square by 3 u, a sum of
    256 terms by 255 u more (the first addition, to zero, is exact); a root halves that, and the
    result is rounded once more. All else is in float64: the sum of the sums, and
    the reference implementation.
    """
    half_unit = np.finfo(dtype).eps / 2
    terms = min(width, 256)
    steps = terms + 1 if metric == "l1" else (terms + 2) / 2 + 1
    rest = (width / 256 + width / 8 + 10) * 2.0**-53
    return 1.001 * (steps * half_unit + rest)


def assert_near(found, queries, train, metric, dtype):
    """Equal for bytes, else within the error bound of float32 or float64 arithmetic."""
    expected = reference_pairwise(queries, train, metric)
    if dtype == np.uint8:
        assert_array_equal(found, expected.astype(found.dtype), strict=True)
    else:
        bound = error_bound(dtype, queries.shape[1], metric) * expected
        # A result below the smallest normal number is itself rounded, to half a subnormal one.
        bound += float(np.finfo(dtype).smallest_subnormal) / 2
        assert (np.abs(found - expected) <= bound).all()


@pytest.mark.slow
@both_metrics
@all_dtypes
@pytest.mark.parametrize("width", SIZES)
def test_sizes_around_tiles(dtype, metric, width):
    queries, train = points(dtype, 65, width, 1), points(dtype, 65, width, 2)
    whole = pairwise_distances(queries, train, metric)
    assert whole.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert_near(whole, queries, train, metric, dtype)
    for turn, n_rows in enumerate(SIZES):
        for n_queries in SIZES[(turn + width) % 3 :: 3]:
            part = pairwise_distances(queries[:n_queries], train[:n_rows], metric)
            assert_array_equal(part, whole[:n_queries, :n_rows], strict=True)


@pytest.mark.slow
@both_metrics
@pytest.mark.parametrize(
    ("dtype", "width"),
    [
        *itertools.product(DTYPES[1:], [255, 256, 257, 511, 512, 513]),
        *itertools.product(DTYPES, [32767, 32768, 32769, 65536, 65793]),
    ],
)
def test_widths_around_depth_chunks(dtype, metric, width):
    queries, train = points(dtype, 3, width, 1), points(dtype, 35, width, 2)
    found = pairwise_distances(queries, train, metric)
    assert_near(found, queries, train, metric, dtype)


@both_metrics
@pytest.mark.parametrize("width", [256, 5000, 100_000])
def test_equal_terms_do_not_pile_up_error(metric, width):
    """Sums in float32 alone would be off by far more: every addition errs the same way."""
    queries, train = np.full((1, width), 0.1, np.float32), np.zeros((2, width), np.float32)
    train[1] = -0.6
    found = pairwise_distances(queries, train, metric)
    assert_near(found, queries, train, metric, np.float32)
    if width == 100_000:
        terms = np.abs(queries - train[1]) if metric == "l1" else (queries - train[1]) ** 2
        alone = np.add.accumulate(terms[0], dtype=np.float32)[-1]
        expected = reference_pairwise(queries, train, metric)[0, 1]
        error = abs((np.sqrt(alone) if metric == "l2" else alone) - expected) / expected
        assert error > error_bound(np.float32, width, metric)


@both_metrics
@pytest.mark.parametrize("width", [32767, 32768, 65793])
def test_largest_byte_sums(metric, width):
    ends = np.repeat(np.array([0, 255, 127, 128], np.uint8)[:, None], width, axis=1)
    found = pairwise_distances(ends, ends, metric)
    assert_near(found, ends, ends, metric, np.uint8)


@both_metrics
@all_dtypes
@pytest.mark.parametrize("width", [1, 7, 300])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_of_rows_with_themselves(dtype, metric, width, offset):
    rows = points(dtype, 70, width)
    if dtype != np.uint8:
        rows += np.array(offset, dtype)
    matrix = pairwise_distances(rows, rows, metric)
    assert_array_equal(np.diagonal(matrix), np.zeros(70))
    assert_array_equal(matrix, matrix.T)
    assert_near(matrix, rows, rows, metric, dtype)


def test_large_offsets_do_not_cancel():
    """Norms that are expanded, in float32, have nothing left here; direct differences do."""
    rows = (1e6 + points(np.float64, 50, 16)).astype(np.float32)
    squares = (rows * rows).sum(axis=1)
    expanded = squares[:, None] - 2 * (rows @ rows.T) + squares
    expected = reference_pairwise(rows, rows, "l2")
    assert np.abs(np.sqrt(np.maximum(expanded, 0)) - expected).max() > 10
    assert_near(pairwise_distances(rows, rows), rows, rows, "l2", np.float32)


@both_metrics
@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-22, 1e-10, 1e10, 1e19, 1e25, 1e38])
def test_error_at_every_scale(scale, metric):
    """float32 holds all of these distances, but not all of their squares."""
    queries = np.full((1, 3), -scale / 3, np.float32)
    train = np.full((2, 3), scale / 3, np.float32)
    train[1] = 0
    found = pairwise_distances(queries, train, metric)
    assert_near(found, queries, train, metric, np.float32)


# --- types and out ---------------------------------------------------------------------------

MEETINGS = [
    # queries, train, the type that holds both, the type of the result
    (np.uint8, np.uint8, np.uint8, np.float64),
    (np.bool_, np.bool_, np.uint8, np.float64),
    (np.float32, np.float32, np.float32, np.float32),
    (np.float16, np.float32, np.float32, np.float32),
    ("<f4", ">f4", np.float32, np.float32),
    (np.uint8, np.float32, np.float32, np.float32),
    (np.float64, np.float64, np.float64, np.float64),
    (np.float32, np.float64, np.float64, np.float64),
    (np.uint8, np.float64, np.float64, np.float64),
    (np.uint8, np.int16, np.float64, np.float64),
    (np.int32, np.float32, np.float64, np.float64),
]


@both_metrics
@pytest.mark.parametrize(("one", "other", "common", "result"), MEETINGS)
def test_types(one, other, common, result, metric):
    for first, second in ((one, other), (other, one)):
        queries = (50 * points(np.float64, 15, 9, 1).clip(0, 5)).astype(first)
        train = (50 * points(np.float64, 40, 9, 2).clip(0, 5)).astype(second)
        found = pairwise_distances(queries, train, metric)
        assert found.dtype == result
        same = pairwise_distances(queries.astype(common), train.astype(common), metric)
        assert_array_equal(found, same, strict=True)
        assert_near(found, queries, train, metric, common)


OUTS = {
    "C": lambda shape, dtype: np.full(shape, -1, dtype),
    "columns of a wider one": lambda shape, dtype: np.full((shape[0], 99), -1, dtype)[
        :, 3 : 3 + shape[1]
    ],
    "every other row": lambda shape, dtype: np.full((2 * shape[0], shape[1]), -1, dtype)[::2],
    "rows backwards": lambda shape, dtype: np.full(shape, -1, dtype)[::-1],
    "Fortran, one column": lambda shape, dtype: np.full(shape, -1, dtype, order="F"),
}


@both_metrics
@all_dtypes
@pytest.mark.parametrize("out_type", [np.float32, np.float64])
@pytest.mark.parametrize("kind", OUTS)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_out(monkeypatch, dtype, metric, out_type, kind, n_jobs):
    set_sizes(monkeypatch, thread_bytes=0)
    n_rows = 1 if kind.startswith("Fortran") else 45
    queries, train = points(dtype, 29, 10, 1), points(dtype, n_rows, 10, 2)
    out = OUTS[kind]((29, n_rows), out_type)
    found = pairwise_distances(queries, train, metric, out=out, n_jobs=n_jobs)
    assert found is out
    # Sums have the inputs' type whatever `out` has, which only rounds them.
    wide = pairwise_distances(queries, train, metric, out=np.empty((29, n_rows)))
    assert_array_equal(out, wide.astype(out_type), strict=True)
    plain = pairwise_distances(queries, train, metric)
    assert_array_equal(plain, wide.astype(plain.dtype), strict=True)
    if out.base is not None:  # nothing was written beside it
        assert (out.base == -1).sum() == out.base.size - out.size


@both_metrics
@all_dtypes
def test_forms(dtype, metric):
    queries, train = points(dtype, 12, 10, 1), points(dtype, 50, 10, 2)
    expected = pairwise_distances(queries, train, metric)
    for form in (
        np.asfortranarray,
        lambda array: array[::-1].copy()[::-1],
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        lambda array: array.astype(array.dtype.newbyteorder(">")),
    ):
        found = pairwise_distances(form(queries), form(train), metric)
        assert_array_equal(found, expected, strict=True)


# --- plans, memory ---------------------------------------------------------------------------

PLANS = {
    "threads": {},
    "one query a block": {"query_block_bytes": 1},
    "five queries a block": {"query_block_max": 5},
    "one panel a step": {"step_pairs": 1},
}


@pytest.mark.slow
@both_metrics
@all_dtypes
@pytest.mark.parametrize("n_queries", [1, 5, 120])
@pytest.mark.parametrize("width", [9, 300])
def test_plans_agree_to_the_bit(monkeypatch, dtype, metric, n_queries, width):
    queries, train = points(dtype, n_queries, width, 1), points(dtype, 130, width, 2)
    expected = pairwise_distances(queries, train, metric, n_jobs=1)
    for plan in PLANS.values():
        with monkeypatch.context() as patch:
            set_sizes(patch, **{"thread_bytes": 0, **plan})
            for n_jobs in (1, 2, 3, 8):
                found = pairwise_distances(queries, train, metric, n_jobs=n_jobs)
                assert_array_equal(found, expected, strict=True)
    halves = [
        pairwise_distances(half, train, metric) for half in (queries[:3], queries[3:]) if len(half)
    ]
    assert_array_equal(np.concatenate(halves), expected, strict=True)


@both_metrics
@all_dtypes
def test_memory(dtype, metric):
    queries, train = points(dtype, 1000, 20, 1), points(dtype, 5000, 20, 2)
    out = np.empty((1000, 5000), np.float32)
    _, most = peak(lambda: pairwise_distances(queries, train, metric, out=out, n_jobs=2))
    assert most < 1.3 * train.nbytes + 3_000_000  # out has 20,000,000


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_anything(data):
    dtype = data.draw(st.sampled_from(DTYPES), "dtype")
    width = data.draw(st.integers(1, 20) | st.sampled_from([63, 64, 65, 257]), "width")
    # Where neither squares nor differences leave the range: beyond, relative errors say nothing.
    whole = st.integers(0, 255) if dtype == np.uint8 else st.integers(-100, 100)
    real = whole if dtype == np.uint8 else whole | st.floats(2.0**-9, 2.0**9, width=32)
    shapes = [(data.draw(st.integers(1, most)), width) for most in (14, 40)]
    queries, train = (data.draw(hnp.arrays(dtype, shape, elements=real)) for shape in shapes)
    for metric in METRICS:
        found = pairwise_distances(queries, train, metric)
        assert_near(found, queries, train, metric, dtype)
