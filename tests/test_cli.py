"""The command, as a person would use it."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from fastknn.cli import main


@pytest.fixture
def archives(tmp_path):
    """Two small image sets of dark and bright pictures, and their paths."""
    generator = np.random.default_rng(3)
    paths = []
    for name, rows in (("train", 60), ("test", 20)):
        labels = np.arange(rows) % 2
        images = generator.integers(0, 100, (rows, 5, 4)) + 150 * labels[:, None, None]
        paths.append(tmp_path / f"{name}.npz")
        np.savez(paths[-1], X=images.astype(np.uint8), y=labels)
    return paths


def classify(archives, *more):
    train, test = archives
    return main(["classify", "--train", str(train), "--test", str(test), *more])


@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_classify_reports(archives, capsys, metric, weights):
    assert classify(archives, "--metric", metric, "--k", "3", "--weights", weights) == 0
    out = capsys.readouterr().out
    assert f"100.00% (20 of 20), {metric}, k=3" in out
    assert "queries/s" in out
    assert "MiB of codes" in out
    matrix = [line.split() for line in out.splitlines()[-2:]]
    assert matrix == [["0", "10", "0"], ["1", "0", "10"]]


def test_classify_writes_predictions(archives, tmp_path, capsys):
    output = tmp_path / "predictions.csv"
    assert classify(archives, "--output", str(output)) == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == ["0", "1"] * 10
    assert [row["label"] for row in rows] == ["0", "1"] * 10
    train, test = (np.load(path)["X"].reshape(-1, 20).astype(int) for path in archives)
    nearest = ((test[:, None] - train) ** 2).sum(axis=2).argmin(axis=1)
    assert [int(row["nearest_train_row"]) for row in rows] == nearest.tolist()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_progress_bar_is_shown_when_asked_for(archives, capsys):
    classify(archives, "--progress")
    assert "20/20" in capsys.readouterr().err
    classify(archives)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--k", "61"], "k must be at most"),
        (["--test", "nowhere.npz"], "nowhere.npz"),
        (["--output", "no/such/folder/p.csv"], "--output"),
        (["--n-jobs", "0"], "n_jobs"),
    ],
)
def test_bad_input_is_one_clear_line(archives, capsys, more, message):
    assert classify(archives, *more) == 2
    err = capsys.readouterr().err
    assert err.startswith("fastknn: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_different_widths(archives, tmp_path, capsys):
    narrow = tmp_path / "narrow.npz"
    np.savez(narrow, X=np.zeros((4, 3), np.uint8), y=np.zeros(4, int))
    assert classify(archives, "--test", str(narrow)) == 2
    assert "as wide as train" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["classify"], ["classify", "--train", "x", "--k", "0"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: fastknn" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["classify", "--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "usage: fastknn" in capsys.readouterr().out


def test_interrupt(archives, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastknn.index.Index.search", interrupt)
    assert classify(archives) == 130
    assert "interrupted" in capsys.readouterr().err


def test_demo_in_a_fresh_process():
    done = subprocess.run(
        [sys.executable, "-m", "fastknn", "demo", "--k", "3"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert sum(line.split()[1:2] == ["fastknn"] for line in lines) == 2
    assert sum(line.split()[1:2] == ["scikit-learn"] for line in lines) == 2
    assert "distance" in lines[-1]


def test_a_closed_pipe_is_no_error():
    code = "import sys; from fastknn.cli import main; sys.exit(main(['demo']))"
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    run.stdout.close()
    assert "Traceback" not in run.stderr.read()
    run.wait()
