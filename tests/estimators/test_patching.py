"""scikit-learn patched: what is replaced, and what comes back."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.neighbors
from cases import run_python
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import manifold
from sklearn.manifold import _isomap

import fastknn
from fastknn import cli
from fastknn.estimators import drop_in, neighbors
from fastknn.estimators.patching import patch_sklearn, patched_sklearn, unpatch_sklearn

ORIGINAL = {name: getattr(sklearn.neighbors, name) for name in neighbors.__all__}


@pytest.fixture(autouse=True)
def nothing_stays_patched():
    yield
    unpatch_sklearn()
    for name, value in ORIGINAL.items():
        assert getattr(sklearn.neighbors, name) is value


def test_patch_and_back():
    done = patch_sklearn()
    for name in neighbors.__all__:
        patched = getattr(sklearn.neighbors, name)
        assert patched is getattr(drop_in, name)
        # The classes that replace scikit-learn's lack what fastknn's own classes have besides.
        assert issubclass(getattr(neighbors, name), patched)
        assert f"sklearn.neighbors.{name}" in done
    assert sklearn.neighbors.LocalOutlierFactor is neighbors.LocalOutlierFactor
    assert _isomap.NearestNeighbors is sklearn.neighbors.NearestNeighbors
    assert "sklearn.manifold._isomap.NearestNeighbors" in done
    assert patch_sklearn() == []  # idempotent
    assert unpatch_sklearn() == done
    assert _isomap.NearestNeighbors is ORIGINAL["NearestNeighbors"]
    assert unpatch_sklearn() == []


def test_classes_stay_in_the_modules_that_define_them():
    """Their methods may call super() by the name of the class."""
    patch_sklearn()
    for value in ORIGINAL.values():
        assert getattr(sys.modules[value.__module__], value.__name__) is value
        value(n_neighbors=3)


def test_replacements_of_others_stay():
    patch_sklearn()
    _isomap.NearestNeighbors = marker = object()
    assert "sklearn.manifold._isomap.NearestNeighbors" not in unpatch_sklearn()
    assert _isomap.NearestNeighbors is marker
    _isomap.NearestNeighbors = ORIGINAL["NearestNeighbors"]


def test_within_a_block():
    with patched_sklearn() as done:
        assert done
        with patched_sklearn() as inner:
            assert inner == []
        assert sklearn.neighbors.NearestNeighbors is drop_in.NearestNeighbors
    assert sklearn.neighbors.NearestNeighbors is ORIGINAL["NearestNeighbors"]
    with pytest.raises(RuntimeError, match="within"), patched_sklearn():
        raise RuntimeError("within")
    assert sklearn.neighbors.NearestNeighbors is ORIGINAL["NearestNeighbors"]


def test_estimators_that_use_neighbors_inside():
    points = np.random.default_rng(0).normal(size=(120, 12))
    expected = manifold.Isomap(n_neighbors=8).fit_transform(points)
    with patched_sklearn():
        model = manifold.Isomap(n_neighbors=8).fit(points)
    assert model.nbrs_.backend_ == "fastknn"
    assert_allclose(np.abs(model.embedding_), np.abs(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.interop
def test_imbalanced_learn():
    """The real one, where it is installed."""
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(300, 12)), (random.random(300) < 0.2).astype(int)
    expected = over_sampling.SMOTE(random_state=0).fit_resample(points, labels)[0]
    with patched_sklearn():
        sampler = over_sampling.SMOTE(random_state=0)
        found = sampler.fit_resample(points, labels)[0]
    assert sampler.nn_k_.backend_ == "fastknn"
    assert_allclose(found, expected)


SCRIPT = """
import sys
import numpy as np
from sklearn.neighbors import NearestNeighbors

if __name__ == "__main__":
    found = NearestNeighbors(n_neighbors=1).fit(np.eye(9)).kneighbors(np.eye(9)[:2])
    print(NearestNeighbors.__module__, sys.argv[1:], found[1].ravel().tolist())
    if "fail" in sys.argv:
        raise ValueError("the script's own")
"""


def test_run_a_script(tmp_path, capsys):
    (tmp_path / "script.py").write_text(SCRIPT)
    before = list(sys.argv), list(sys.path)
    assert cli.main(["run", "--report", str(tmp_path / "script.py"), "--k", "3"]) == 0
    out, err = capsys.readouterr()
    assert out == "fastknn.estimators.drop_in ['--k', '3'] [0, 1]\n"
    assert "sklearn.neighbors.NearestNeighbors" in err
    with pytest.raises(ValueError, match="the script's own"):
        cli.main(["run", str(tmp_path / "script.py"), "fail"])
    assert before == (sys.argv, sys.path)


def run(*arguments, folder):
    """The command in a process of its own."""
    return run_python("-m", "fastknn", "run", *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.py"], "can't open 'nope.py': No such file or directory"),
        (["folder"], "can't find a __main__.py in 'folder'"),
        (["broken.py"], "broken.py, line 2: "),
        (["bytes.py"], "bytes.py, line 1: "),
        (["nul.py"], "nul.py"),
        (["closed.py"], "can't open 'closed.py': Permission denied"),
        (["-m", "nope"], "there is no module 'nope'"),
        (["-m", "folder.nope"], "there is no module 'folder.nope'"),
        (["-m", "json"], "there is no module 'json.__main__'"),
        (["-m", "nope.nope"], "cannot find the module 'nope.nope'"),
        (["-m", "raises.nope"], "cannot find the module 'raises.nope': KeyError: 'no'"),
        (["-m", "broken.nope"], "FOLDER/broken.py, line 2: "),
        (["-m", "broken"], "FOLDER/broken.py, line 2: "),
        (["-m", "time"], "the module 'time' is not one of Python code"),
    ],
)
def test_what_cannot_be_run_is_a_line(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "bytes.py").write_bytes(b"x = '\xff\xfe'\n")
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "raises.py").write_text("raise KeyError('no')\n")
    monkeypatch.chdir(tmp_path)
    before, path = Path.read_bytes, list(sys.path)

    def read_bytes(self):
        if self.name == "closed.py":
            raise PermissionError(13, "Permission denied", str(self))
        return before(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert cli.main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"fastknn: error: {message.replace('FOLDER', str(tmp_path))}")
    assert len(err.splitlines()) == 1
    assert out == ""
    assert sys.path == path


def test_a_script_is_missing(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("the following arguments are required: SCRIPT\n")


@pytest.mark.slow
def test_the_traceback_is_the_scripts(tmp_path):
    """Without the frames of who ran it; with those of what the script called."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("script.py", "fail", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("fastknn.estimators.drop_in ['fail']")
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith('  File "script.py", line 10, in <module>')
    assert lines[-1] == "ValueError: the script's own"
    assert "runpy" not in done.stderr
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "other.py").write_text("import broken\n")
    done = run("other.py", folder=tmp_path)  # not of the script itself: as python has it
    assert done.returncode == 1
    assert '  File "other.py", line 1, in <module>' in done.stderr
    assert "SyntaxError" in done.stderr


@pytest.mark.slow
def test_exceptions_go_to_the_scripts_own_hook(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "def hook(kind, value, traceback):\n"
        "    print(kind.__name__, value, traceback.tb_frame.f_code.co_filename)\n"
        "sys.excepthook = hook\n"
        "1 / 0\n"
    )
    done = run("script.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "ZeroDivisionError division by zero script.py\n"


@pytest.mark.slow
@pytest.mark.parametrize(("code", "status"), [("3", 3), ("None", 0), ("'words'", 1)])
def test_the_scripts_status_is_the_status(tmp_path, code, status):
    (tmp_path / "script.py").write_text(f"import sys\nsys.exit({code})\n")
    done = run("script.py", folder=tmp_path)
    assert done.returncode == status
    assert done.stderr == ("words\n" if status == 1 else "")


@pytest.mark.slow
def test_folders_archives_and_modules_are_run(tmp_path):
    source = (
        "import sys, sklearn.neighbors as n\nprint(n.NearestNeighbors.__module__, sys.argv[1:])"
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text(source)
    (tmp_path / "module.py").write_text(source)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", source)
    for arguments in (["folder"], ["archive.zip"], ["-m", "folder"], ["-m", "module"]):
        done = run(*arguments, "-m", "--report", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "fastknn.estimators.drop_in ['-m', '--report']\n"


@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_knn_graph(dtype, metric):
    X = np.random.default_rng(0).integers(0, 3, (80, 3)).astype(dtype)  # many are equal
    everything = fastknn.pairwise_distances(X, X, metric).astype(np.float64)
    np.fill_diagonal(everything, np.inf)
    order = np.argsort(everything, axis=1, kind="stable")
    for k in (1, 5, 79):
        distances, indices = fastknn.knn_graph(X, k, metric, n_jobs=1)
        assert_array_equal(indices, order[:, :k])
        assert_allclose(distances, np.take_along_axis(everything, order[:, :k], 1), rtol=1e-6)
    for k in (1, 5, 80):
        distances, indices = fastknn.knn_graph(X, k, metric, include_self=True)
        assert_array_equal(indices, np.column_stack([np.arange(80), order[:, : k - 1]]))
        assert (distances[:, 0] == 0).all()


def test_knn_graph_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="k must be at most 2: a row of 3 has no more others"):
        fastknn.knn_graph(np.eye(3), 3)
    with pytest.raises(ValueError, match="k must be at most the number of training rows, 3"):
        fastknn.knn_graph(np.eye(3), 4, include_self=True)
    with pytest.raises(ValueError, match="X must"):
        fastknn.knn_graph([1.0, 2.0], 1)
