"""The engine's constants, as Python has them, and when it gives up a cascade."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastknn import Index
from fastknn.engine import _core
from fastknn.metrics import angles
from fastknn.metrics.keys import Keys
from fastknn.screens import cascade, inputs, maps, proposals
from fastknn.screens.quantization import quantize_l1, quantize_l2

HEADERS = ("kernels.h", "angles.h")
EXPORTED = [
    "VECTOR_BYTES",
    "MAX_PANEL_ROWS",
    "HADAMARD_MIN",
    "DEPTH_LIMIT_BYTES",
    "DEPTH_LIMIT_FLOATS",
    "CODE_ZERO",
    "MAX_CODE",
    "BYTE_SIGN",
    "WHOLE_BITS",
    "WHOLE_SUM_BITS",
    "MEASURES",
    "MEASURES_CENTERED",
]


@pytest.mark.parametrize("name", EXPORTED)
def test_constants_are_those_of_the_header(name):
    folder = Path(__file__).parents[2] / "fastknn" / "engine" / "kernels"
    if not folder.is_dir():
        pytest.skip("the sources are not beside the tests")
    text = "\n".join((folder / header).read_text() for header in HEADERS)
    (value,) = re.findall(rf"^\s+{name} = (\d+)\b", text, re.MULTILINE)
    assert getattr(_core, name) == int(value)


def test_python_has_no_copies_of_its_own():
    assert maps.PRODUCT_DEPTH == _core.DEPTH_LIMIT_FLOATS
    assert proposals.WIDEST_CODES == _core.DEPTH_LIMIT_BYTES
    assert inputs.SIGN == _core.BYTE_SIGN
    assert cascade.CODE_VECTOR == _core.VECTOR_BYTES
    assert (angles.MOST_BITS, angles.SUM_BITS) == (_core.WHOLE_BITS, _core.WHOLE_SUM_BITS)


def test_codes_are_within_the_limits_that_their_sums_rest_on():
    values = np.random.default_rng(0).standard_cauchy((200, 30))
    off = np.zeros(len(values))
    codes = quantize_l2(values, off)[0].astype(int) - _core.CODE_ZERO
    assert np.abs(codes).max() == _core.MAX_CODE
    codes = quantize_l1(values, off, 0.01)[0].astype(int) - _core.CODE_ZERO
    assert (codes.min(), codes.max()) == (-_core.CODE_ZERO, _core.MAX_CODE)


@pytest.mark.parametrize(
    ("give_up", "rows"),
    [
        (None, 1024),
        ((64, 0, 0), 1024),  # no number of bytes is too many
        ((10**6, 0, 10**6), 1024),  # the window is never full
        ((64, 10**6, 10**6), 1024),  # all rows are among the first, which do not count
        ((64, 0, 10**6), 64),
        ((256, 0, 10**6), 256),
        ((64, 100, 10**6), 384),  # three neighbors: the first window that begins at 300 or beyond
    ],
)
def test_a_cascade_is_given_up_by_the_criteria_that_the_caller_names(give_up, rows):
    data = np.random.default_rng(0).normal(size=(1029, 40)).astype(np.float32)
    searcher = Index(data[:1024], "l2", screen="quantized")._searcher
    found = Keys(np.empty((5, 3)), None, np.empty((5, 3), np.int64))
    block = searcher.block(data[1024:], found)
    n_panels = searcher.panels.n_panels
    reached = block.search(0, n_panels, give_up)
    assert reached * searcher.panels.panel_rows == rows
