"""The package as a whole: its names, what an import costs, and the examples in docstrings."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
from cases import PYTHON, run_python

import fastknn

MODULES = sorted(one.name for one in pkgutil.walk_packages(fastknn.__path__, "fastknn."))


def test_names():
    assert dir(fastknn) == sorted(set(dir(fastknn)))
    assert set(dir(fastknn)) == set(fastknn.__all__)
    for name in ("Index", "knn", "pairwise_distances", "cpu_level", "vote", "topk", "__version__"):
        assert name in dir(fastknn)


@pytest.mark.parametrize("name", fastknn.__all__)
def test_names_resolve(name):
    value = getattr(fastknn, name)
    assert value is getattr(fastknn, name)
    if callable(value):
        assert value.__name__ == name
        assert value.__module__.startswith("fastknn")
        assert value.__doc__
    elif inspect.ismodule(value):
        assert value.__name__ == f"fastknn.{name}"


@pytest.mark.parametrize("name", ["Indices", "index_", "numpy", "_nothing"])
def test_unknown_names(name):
    with pytest.raises(AttributeError, match=f"module 'fastknn' has no attribute '{name}'"):
        getattr(fastknn, name)
    assert not hasattr(fastknn, name)
    with pytest.raises(ImportError, match=name):
        exec(f"from fastknn import {name}")


def loaded_by(code):
    """Names of the modules that some code loads, in a fresh process."""
    child = run_python("-c", f"{code}\nimport sys\nprint(*sys.modules)")
    assert not child.returncode, child.stderr
    return set(child.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import fastknn", {"numpy", "numba", "sklearn", "scipy", "tqdm", "fastknn.engine._core"}),
        ("import fastknn; dir(fastknn)", {"numpy", "fastknn.engine._core"}),
        (
            "from fastknn import Index, knn, pairwise_distances; knn([[1.0]], [[2.0]], 1)",
            {"numba", "sklearn", "scipy", "tqdm", "fastknn.reference"},
        ),
        (
            "from fastknn import KNeighborsClassifier\n"
            "KNeighborsClassifier(1).fit([[0], [1]], [0, 1]).predict([[1]])",
            {"numba", "tqdm", "matplotlib", "fastknn.reference"},
        ),
        ("from fastknn import vote", {"numba", "sklearn", "scipy", "fastknn.engine._core"}),
    ],
)
def test_imports_are_cheap(code, absent):
    loaded = loaded_by(code)
    assert "fastknn" in loaded
    assert not absent & loaded


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_in_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name.startswith("fastknn"):
            raise
        pytest.skip(f"{name} needs {missing.name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("indentation", ["", "    "], ids=["Python 3.13", "before"])
def test_documentation_without_scikit_learns_examples(indentation):
    from fastknn.estimators.drop_in import _documentation

    lines = [
        "What it does.",
        "",
        "Notes",
        "-----",
        "Why.",
        "",
        "Examples",
        "--------",
        ">>> 1",
        "2",
    ]
    original = type("Original", (), {"__doc__": f"\n{indentation}".join(lines)})
    assert _documentation(original) == "What it does.\n\nNotes\n-----\nWhy."


@pytest.mark.parametrize("name", ["Index", "knn", "pairwise_distances", "cpu_level"])
def test_public_search_names_have_examples(name):
    assert doctest.DocTestFinder().find(getattr(fastknn, name), name)[0].examples


PUBLIC = [
    getattr(module, name)
    for module in (fastknn, *(getattr(fastknn, one) for one in fastknn.__all__))
    if inspect.ismodule(module)
    for name in module.__all__
]


def public_callables():
    """Functions and classes of the package, and the methods that are ours."""
    for name in MODULES:
        module = name.removeprefix("fastknn.")
        if "._" in name or module == "reference":
            continue
        for one in getattr(importlib.import_module(name), "__all__", []):
            value = getattr(importlib.import_module(name), one)
            if not callable(value) or not value.__module__.startswith("fastknn"):
                continue
            yield f"{module}.{one}", value, any(value is public for public in PUBLIC)
            for method, defined in vars(value).items() if inspect.isclass(value) else ():
                if not method.startswith("_") and inspect.isfunction(defined):
                    yield f"{module}.{one}.{method}", defined, False


@pytest.mark.parametrize(
    ("value", "is_public"), [pytest.param(*one, id=name) for name, *one in public_callables()]
)
def test_docstrings_are_whole(value, is_public):
    """Every parameter has its entry; public names say what they raise, with an example."""
    text = inspect.getdoc(value)
    sections = set(re.findall(r"^(\w+)\n-+$", text, re.M))
    named = {
        one for line in re.findall(r"^([\w, ]+)(?: : .*)?$", text, re.M) for one in line.split(", ")
    }
    fields = getattr(value, "_fields", None) or getattr(value, "__dataclass_fields__", {})
    parameters = set(inspect.signature(value).parameters) - {"self", "fit_params", *fields}
    assert parameters <= named, f"not described: {parameters - named}"
    if inspect.isfunction(value) and inspect.signature(value).return_annotation is not None:
        assert "Returns" in sections or "Yields" in sections
    if is_public:
        assert doctest.DocTestFinder().find(value, value.__name__)[0].examples
        assert "Raises" in sections or not parameters


def test_source_that_is_not_built_says_what_to_do(tmp_path):
    for name in ("__init__.py", "engine/__init__.py"):
        (tmp_path / "fastknn" / name).parent.mkdir(exist_ok=True, parents=True)
        text = (Path(fastknn.__file__).parent / name).read_text()
        (tmp_path / "fastknn" / name).write_text(text)
    child = subprocess.run(
        [*PYTHON, "-c", "import fastknn.engine"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 1
    said = child.stderr.splitlines()[-1]
    assert said.startswith(
        f"ImportError: fastknn was imported from {tmp_path}, where its extension"
    )
    assert f"pip install {tmp_path}" in said
