"""Every CPU level that this machine runs gives the results of the reference implementation."""

import itertools
import json

import numpy as np
import pytest
from cases import run_python
from numpy.testing import assert_array_equal

from fastknn.engine import _core
from fastknn.reference import reference_knn

METRICS = ["l1", "l2"]
NAMES = ["portable", "avx2", "avx512"]
# (queries, rows, width, k) around every level's tiles, groups, and depth chunks.
SHAPES = [
    (1, 1, 1, 1),
    (3, 7, 2, 2),
    (4, 16, 4, 16),
    (5, 17, 3, 17),
    (6, 8, 8, 1),
    (7, 33, 9, 5),
    (11, 31, 7, 30),
    (12, 32, 64, 31),
    (13, 65, 17, 8),
    (25, 100, 63, 7),
    (4, 64, 255, 3),
    (4, 70, 256, 3),
    (4, 40, 257, 3),
    (6, 9, 513, 8),
    (2, 35, 32767, 4),
    (2, 35, 32768, 4),
    (2, 35, 32776, 4),
    (2, 18, 65793, 4),
]


def make_cases():
    """(queries, train, k, metric): all types and shapes, then what is hard about each type."""
    random = np.random.default_rng(0)
    for m, n, width, k in SHAPES:
        values = random.normal(size=(m + n, width))
        data = [random.integers(0, 256, (m + n, width), np.uint8)]
        data += [random.choice(np.array([0, 255], np.uint8), (m + n, width))]
        data += [values.astype(dtype) for dtype in (np.float32, np.float64)]
        for rows, metric in itertools.product(data, METRICS):
            yield rows[:m], rows[m:], k, metric
    # Width 300: sums of chunks, which may overflow one by one.
    for width in (21, 300):
        yield from make_hard_cases(random, (60, width))
    # The furthest that byte sums go: each value's rows are constant.
    ends = np.repeat(np.array([0, 255, 127, 128], np.uint8)[:, None], 32768, axis=1)
    for metric in METRICS:
        yield ends, ends, 4, metric


def make_hard_cases(random, shape):
    ties = random.integers(0, 3, shape)
    values, wild = random.normal(size=shape), random.standard_cauchy(shape)
    exponents, even = random.integers(-35, 35, shape), random.uniform(-1, 1, shape)
    hard = {np.uint8: []}
    hard[np.float32] = [factor * values for factor in (1e-40, 1e-22, 1e19)]
    hard[np.float32] += [1e6 + values, wild**3, values * 10.0**exponents, 3.4e38 * even]
    hard[np.float64] = [factor * values for factor in (1e-310, 1e-161, 1e154)]
    hard[np.float64] += [1e14 + values, wild**9, values * 1e8**exponents, 1.7e308 * even]
    for (dtype, kinds), metric in itertools.product(hard.items(), METRICS):
        for rows in (kind.astype(dtype) for kind in [ties, *kinds]):
            for k in (1, 13, 47):
                yield rows[:13], rows[13:], k, metric
        # Queries of another type, which are rounded on the way to the kernels.
        for spread in (2, 1e6):
            queries = random.normal(1, spread, (13, shape[1]))
            yield queries, ties[13:].astype(dtype), 5, metric


CHILD = """
import json
import sys
import numpy as np
from fastknn import Index, cpu_level, pairwise_distances
cases = np.load(sys.argv[1])
results = {}
for case, (k, metric) in enumerate(json.loads(sys.argv[3])):
    queries, train = cases[f"queries {case}"], cases[f"train {case}"]
    distances, indices = Index(train, metric).search(queries, k)
    results[f"distances {case}"], results[f"indices {case}"] = distances, indices
    results[f"matrix {case}"] = pairwise_distances(queries, train, metric)
np.savez(sys.argv[2], **results)
print(cpu_level())
"""


def run_child(code, *arguments, level):
    """What Python prints for some code under FASTKNN_CPU."""
    variables = {} if level is None else {"FASTKNN_CPU": level}
    return run_python("-c", code, *arguments, without=["FASTKNN_CPU"], **variables)


@pytest.fixture(scope="module")
def cases():
    return list(make_cases())


@pytest.fixture(scope="module")
def results(cases, tmp_path_factory):
    """Results of all cases, by level."""
    folder = tmp_path_factory.mktemp("levels")
    arrays = {}
    for case, (queries, train, _, _) in enumerate(cases):
        arrays[f"queries {case}"], arrays[f"train {case}"] = queries, train
    np.savez(folder / "cases.npz", **arrays)
    settings = json.dumps([(k, metric) for _, _, k, metric in cases])
    found = {}
    for level in _core.cpu_levels():
        target = folder / f"{level}.npz"
        child = run_child(CHILD, folder / "cases.npz", target, settings, level=level)
        assert child.returncode == 0, child.stderr
        assert child.stdout.strip() == level
        with np.load(target) as file:
            found[level] = dict(file)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("level", NAMES)
def test_searches_are_right_to_the_bit(cases, results, level):
    if level not in results:
        pytest.skip(f"this machine does not run {level}")
    for case, (queries, train, k, metric) in enumerate(cases):
        with np.errstate(all="ignore"):
            expected = reference_knn(queries, train, k, metric)
        for name, part in zip(("distances", "indices"), expected, strict=True):
            message = f"{name} of {train.dtype} {queries.shape} {train.shape}, {k=}, {metric}"
            found = results[level][f"{name} {case}"]
            assert_array_equal(found, part, message, strict=True)
            assert found.tobytes() == part.tobytes(), message


@pytest.mark.parametrize("level", NAMES[1:])
def test_matrices_are_those_of_the_base_level_to_the_bit(cases, results, level):
    if level not in results:
        pytest.skip(f"this machine does not run {level}")
    for case in range(len(cases)):
        found, base = (results[name][f"matrix {case}"] for name in (level, "portable"))
        assert_array_equal(found, base, strict=True)
        assert found.tobytes() == base.tobytes()


ASK = "from fastknn import cpu_level; print(cpu_level())"


@pytest.mark.parametrize("level", [None, ""])
def test_the_best_level_is_the_default(level):
    child = run_child(ASK, level=level)
    assert child.stdout.strip() == _core.cpu_levels()[-1], child.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "level",
    # Those of this list that the machine runs are in test_searches_are_right_to_the_bit.
    ["sse2", "AVX2", "avx2 ", "avx", "base,avx2", "auto", "0", *NAMES],
)
def test_other_levels_are_refused_at_import(level):
    if level in _core.cpu_levels():
        pytest.skip(f"this machine runs {level}")
    for code in (
        ASK,
        "from fastknn import Index",
        "import fastknn.search.index",
        "import fastknn.engine._core",
    ):
        child = run_child(code, level=level)
        assert child.returncode != 0
        assert "RuntimeError: FASTKNN_CPU=" in child.stderr
        assert repr(level) in child.stderr
        assert child.stdout == ""


@pytest.mark.parametrize("level", NAMES[1:])
def test_levels_that_the_processor_lacks_are_refused(monkeypatch, level):
    """As on an older processor, whatever this one is."""
    before = _core.cpu_level()
    monkeypatch.setattr(_core, "cpu_levels", lambda: NAMES[: NAMES.index(level)])
    monkeypatch.setenv("FASTKNN_CPU", level)
    with pytest.raises(RuntimeError, match=f"FASTKNN_CPU='{level}' cannot be used.*run portable"):
        _core._choose_level()
    assert _core.cpu_level() == before


def test_levels_are_named_slowest_first():
    levels = _core.cpu_levels()
    assert levels == [name for name in NAMES if name in levels]
    assert levels[0] == "portable"
    assert _core.cpu_level() in levels


ANGLES = """
import hashlib, sys
import numpy as np
from fastknn import cpu_level, knn

digest, random = hashlib.sha256(), np.random.default_rng(0)
for width in (1, 7, 63, 64, 65, 200):
    values = random.normal(size=(130, width)) * 10.0 ** random.integers(-3, 4, (130, 1))
    for rows in (values, values.astype(np.float32), (values * 50).clip(0, 255).astype(np.uint8)):
        for queries in (rows[:20], rows[:20].astype(np.float64)):
            for metric in ("cosine", "correlation"):
                for found in knn(queries, rows, 70, metric):
                    digest.update(found.tobytes())
print(cpu_level(), digest.hexdigest())
"""


@pytest.mark.slow
def test_angles_are_the_same_on_every_level():
    found = set()
    for level in _core.cpu_levels():
        used, digest = run_child(ANGLES, level=level).stdout.split()
        assert used == level
        found.add(digest)
    assert len(found) == 1
