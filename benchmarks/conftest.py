"""How the benchmarks are run: which of them, with which effort, and what is shown."""

import importlib.metadata
import os
from pathlib import Path

import data
import numpy
import pytest
import summary
from measure import BRIEF, FULL, Effort, Progress, SideBySide

HERE = Path(__file__).resolve().parent
PROGRESS = pytest.StashKey[Progress]()
VERSIONS = ("fastknn", "numpy", "scikit-learn", "scikit-learn-intelex", "faiss-cpu", "usearch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("benchmark").addoption(
        "--full",
        action="store_true",
        help="Run all benchmarks, with more rounds and more queries: up to an hour. By "
        "default about a dozen run, which takes three minutes; a file, a test or -k that is "
        "given chooses among all of them.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: a benchmark that runs with --full, or by its name")
    if not config.option.benchmark_only:
        return
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = [str(HERE)]  # the tests would only be skipped
    # Its own table is kept for comparisons, which it is made for.
    if not (config.option.benchmark_compare or config.option.benchmark_verbose):
        config.option.benchmark_quiet = True


def chosen_by_name(config: pytest.Config) -> bool:
    """Whether the command line says which benchmarks it wants."""
    return bool(config.option.keyword) or any(".py" in str(arg) for arg in config.args)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.benchmark_only:
        return
    if not (config.option.full or chosen_by_name(config)):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    progress = config.stash[PROGRESS] = Progress(config)
    progress.n_benchmarks = sum("benchmark" in getattr(item, "fixturenames", ()) for item in items)


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Effort:
    return FULL if request.config.option.full else BRIEF


@pytest.fixture
def side_by_side(benchmark, effort: Effort, request: pytest.FixtureRequest) -> SideBySide:
    progress = request.config.stash.get(PROGRESS, None)
    return SideBySide(benchmark, effort, progress.say if progress else lambda what: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    progress = item.config.stash.get(PROGRESS, None)
    if progress:
        progress.begin(item.name)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    progress = item.config.stash.get(PROGRESS, None)
    if progress and (report.when == "call" or report.outcome != "passed"):
        benchmark = getattr(item, "funcargs", {}).get("benchmark")
        info = benchmark.extra_info if benchmark else {}
        progress.end(summary.in_words(info) if report.passed else report.outcome)
    return report


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config):
    if PROGRESS in config.stash and report.when == "call" and report.passed:
        return "passed", "", ""  # the line of progress has said it
    return None


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if PROGRESS not in config.stash:
        return
    session = config._benchmarksession
    before = {
        saved["extra_info"]["title"]: saved["extra_info"]
        for run in (session.compared_mapping or {}).values()
        for saved in run.values()
        if "title" in saved["extra_info"]
    }
    lines = summary.table((run.extra_info for run in session.benchmarks), before)
    if len(lines) > 1:
        terminalreporter.section("fastknn beside the best peer, median times")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def cifar10() -> data.Data:
    return data.cifar10()


@pytest.fixture(scope="session")
def mnist() -> data.Data:
    return data.mnist()


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """What the figures were measured on and with."""
    import fastknn

    machine_info["fastknn_cpu"] = fastknn.cpu_level()
    machine_info["threads"] = len(os.sched_getaffinity(0))
    machine_info["versions"] = {}
    for name in VERSIONS:
        try:
            machine_info["versions"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            machine_info["versions"][name] = "absent"
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    machine_info["blas"] = [f"{blas['name']} {blas['version']}"]
