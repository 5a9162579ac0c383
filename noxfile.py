"""One command for each habit: ``nox -s NAME``; ``nox -l`` lists them."""

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "imports", "types", "quick"]

QUICK = "not slow and not interop"
# What reads memory through pointers: the tests that are run with sanitizers.
SANITIZED = ["tests/search", "tests/screens", "tests/engine", "tests/metrics"]
SANITIZED_SHORT = [
    "tests/search/test_large_k.py",
    "tests/search/test_storage.py",
    "tests/metrics/test_keys.py",
]


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, in two processes. Arguments go to pytest."""
    session.install(".[test]")
    session.run("pytest", "-q", "-n", "2", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """The tests that are neither slow nor run the code of other projects."""
    session.install(".[test]")
    session.run("pytest", "-q", "-n", "2", "-m", QUICK, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install("ruff>=0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def imports(session: nox.Session) -> None:
    """The contract of the layers: a module imports only from layers below its own."""
    session.install("import-linter>=2")
    session.run("lint-imports", env={"PYTHONPATH": "."})


@nox.session
def types(session: nox.Session) -> None:
    """mypy over the package, and over a user's scripts, in which it must find the mistakes."""
    session.install(".[test]")
    session.run("mypy")
    session.run("pytest", "-q", "tests/typing", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors, into docs/_build/html."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The benchmarks. Arguments go to pytest."""
    session.install(".[test,bench,plot]")
    session.run("pytest", "--benchmark-only", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines and branches of the Python modules that the tests reach."""
    session.install(".[test]", "coverage")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    session.run("coverage", "report", "--skip-covered")


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Tests under the address and undefined-behaviour sanitizers; ``-- short`` for some of them.

    The extension is built in a copy of the tree, with checks that end the process at the first
    error.
    """
    folder = Path(session.create_tmp()) / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True)
    for name in filter(None, files.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    checks = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
    about = nox.project.load_toml("pyproject.toml")
    project = about["project"]
    session.install(
        *about["build-system"]["requires"],
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
    )
    session.chdir(folder)
    build = {"FASTKNN_CFLAGS": checks, "FASTKNN_LDFLAGS": "-fsanitize=address,undefined"}
    session.run("python", "setup.py", "-q", "build_ext", "--inplace", env=build)
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    short = session.posargs == ["short"]
    session.run(
        *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x"),
        *(SANITIZED_SHORT if short else [*SANITIZED, *session.posargs]),
        # Tests of memory and of child processes measure the checks, too.
        *("-k", "not memory and not child and not fork and not process"),
        env={
            "LD_PRELOAD": os.pathsep.join(libraries),
            # Python keeps memory until it ends. Large allocations that fail are tested.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": str(folder.resolve()),
        },
    )
