"""The benchmarks: how many run by default, and what their closing table says."""

import doctest
import importlib.util
from pathlib import Path

import pytest
from cases import run_python

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not here")


@pytest.fixture
def summary():
    specification = importlib.util.spec_from_file_location("summary", FOLDER / "summary.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def collected(*arguments: str) -> list[str]:
    options = ("--benchmark-only", "--collect-only", "-q", *arguments)
    done = run_python("-m", "pytest", *options, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_a_dozen_run_by_default():
    pytest.importorskip("pytest_benchmark")
    names = collected()
    assert 10 <= len(names) <= 14
    assert all(name.startswith("benchmarks/") for name in names)
    assert len(collected("--full")) > 80
    assert len(collected("-k", "worst_case")) == 6
    assert len(collected("benchmarks/test_drop_in.py")) == 6


def test_the_examples_of_the_summary(summary):
    assert doctest.testmod(summary).failed == 0


def test_the_best_peer_is_somebody_elses(summary):
    seconds = {"fastknn": 2e-3, "fastknn direct": 1e-3, "NumPy reference": 1e-3, "faiss": 5e-3}
    info = {"title": "a search", "unit": "query", "seconds": {**seconds, "usearch": 8e-3}}
    line = summary.line(info)
    assert (line.peer, line.ours, line.theirs, line.times) == ("faiss", 2e-3, 5e-3, 2.5)
    assert summary.line({"title": "no search", "seconds": {"cold": 1.0}}) is None


def test_the_table_has_the_saved_run_beside(summary):
    info = {"title": "a search", "unit": "query", "seconds": {"fastknn": 1.0, "faiss": 20.0}}
    alone = {"title": "an index", "unit": "index", "seconds": {"fastknn": 1.0}}
    before = {"a search": {**info, "seconds": {"fastknn": 1.0, "faiss": 10.0}}}
    head, first, second = summary.table([info, alone, {}], before)
    assert head.split()[-2:] == ["saved", "run"]
    assert first.split()[-2:] == [f"20{summary.TIMES}", f"10{summary.TIMES}"]
    assert second.split() == ["an", "index", "(per", "index)", "1.00", "s"]
