"""The command ``fastknn run``: run a script with scikit-learn's neighbors replaced."""

import argparse
import os
import sys
import warnings
from pathlib import Path
from types import TracebackType

from fastknn.cli.command import Command

__all__ = ["COMMAND"]

DESCRIPTION = """\
Run a Python script in which scikit-learn's neighbors are replaced by fastknn's. The results are the
same, and the script is not changed. SCRIPT is what python takes: a file, a folder or archive with a
__main__.py, or after -m the name of a module. --report prints to standard error what was replaced.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", action="store_true", help="print what was replaced")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    parser.add_argument("script", metavar="SCRIPT", help="a Python file, or what else python takes")
    rest = parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="arguments of the script"
    )
    rest.required = False  # argparse would say that they are missing, too


def _check(options: argparse.Namespace) -> None:
    """Raise unless there is a script to run."""
    before = sys.path[0]
    sys.path[0] = _folder_of(options)
    try:
        (_check_module if options.module else _check_script)(options.script)
    finally:
        sys.path[0] = before


def _run_script(options: argparse.Namespace) -> None:
    """Run the script as python would, but for what is replaced."""
    import runpy

    from fastknn.estimators.patching import patched_sklearn

    before = sys.argv, sys.path[0]
    try:
        with patched_sklearn() as replaced:
            if options.report:
                print("fastknn: replaced", ", ".join(replaced) or "nothing", file=sys.stderr)
            sys.argv = [options.script, *options.arguments]
            sys.path[0] = _folder_of(options)
            try:
                if options.module:
                    runpy.run_module(options.script, run_name="__main__", alter_sys=True)
                else:
                    runpy.run_path(options.script, run_name="__main__")
            finally:
                sys.argv, sys.path[0] = before
    except SystemExit:
        raise
    except BaseException as error:
        _show_from_script(error)
        raise


def _folder_of(options: argparse.Namespace) -> str:
    """The folder in which python looks first for what the script imports."""
    return os.getcwd() if options.module else os.path.dirname(os.path.abspath(options.script))


def _check_module(name: str) -> None:
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name, spec = f"{name}.__main__", find_spec(f"{name}.__main__")
        if spec is None:
            raise ValueError(f"there is no module {name!r}")
        if getattr(spec.loader, "get_code", lambda _: None)(spec.name) is None:
            raise ValueError(f"the module {name!r} is not one of Python code")
    except SyntaxError as error:
        raise _wrong_syntax(error, name) from error
    except ValueError:
        raise
    except Exception as error:  # of a package that is imported to find it
        raise ValueError(
            f"cannot find the module {name!r}: {type(error).__name__}: {error}"
        ) from error


def _check_script(script: str) -> None:
    from pkgutil import get_importer

    importer = get_importer(script)  # of a folder or an archive
    if importer is not None:
        if importer.find_spec("__main__") is None:
            raise ValueError(f"can't find a __main__.py in {script!r}")
        return
    try:
        source = Path(script).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path at all
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"can't open {script!r}: {reason}") from error
    if script.endswith(".pyc"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # python says them when it runs the script
            compile(source, script, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _wrong_syntax(error, script) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{script}: {error}") from error


def _wrong_syntax(error: SyntaxError, script: str) -> ValueError:
    return ValueError(f"{error.filename or script}, line {error.lineno or 1}: {error.msg}")


def _show_from_script(error: BaseException) -> None:
    """Have the traceback of this error begin where the script does, if nobody catches it."""
    import runpy

    hook = sys.excepthook
    here = Path(__file__).parent
    ours = {str(file) for file in (*here.glob("*.py"), here.with_name("__main__.py"))}
    ours |= {runpy.__file__, "<frozen runpy>", sys.argv[0]}

    def show(
        kind: type[BaseException], value: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = hook
        if value is error:
            inner = traceback
            while inner is not None and inner.tb_frame.f_code.co_filename in ours:
                inner = inner.tb_next
            traceback = value.__traceback__ = inner or traceback
        hook(kind, value, traceback)

    sys.excepthook = show


COMMAND = Command(
    "run",
    "run a Python script that uses scikit-learn's neighbors, faster",
    DESCRIPTION,
    _add_arguments,
    _check,
    _run_script,
)
