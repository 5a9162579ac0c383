"""The command, as a person would use it."""

import csv
import importlib.util
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fastknn import knn
from fastknn.cli import main
from fastknn.vectors import open_vectors


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


COMMANDS = {"classify": ["--k", "3"], "tune": ["--ks", "1,3", "--folds", "2"]}


def write_idx(folder, prefix):
    """Images of 2 by 2 in the layout of MNIST, with labels that alternate."""
    images = np.random.default_rng(len(prefix)).integers(0, 256, (12, 2, 2), np.uint8)
    header = struct.pack(">4i", 0x803, *images.shape)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    labels = struct.pack(">2i", 0x801, 12) + bytes([0, 1] * 6)
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
    return folder / f"{prefix}-images-idx3-ubyte"


def write_batch(folder, name):
    """A CIFAR-10 batch whose images are of one colour each."""
    generator = np.random.default_rng(len(name))
    colours = generator.integers(0, 256, (12, 1), np.uint8).repeat(3072, axis=1)
    path = folder / f"{name}.bin"
    path.write_bytes(np.column_stack([np.array([0, 1] * 6, np.uint8), colours]).tobytes())
    return path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["npz", "idx", "batch", "folder", "link"])
def test_nothing_is_trained_and_tested_on(archives, tmp_path, capsys, monkeypatch, command, kind):
    """What --train names has no test part: that is said, and nothing is read."""
    if kind == "npz":
        train = archives[0]
    elif kind == "link":
        train = tmp_path / "link.npz"
        train.symlink_to(archives[0])
    elif kind == "idx":
        train = write_idx(tmp_path, "train")
    elif kind == "batch":
        train = write_batch(tmp_path, "data_batch_1")
    else:  # of a set without its test part
        train = tmp_path
        write_idx(tmp_path, "train")
    arguments = [command, "--train", str(train), *COMMANDS[command]]
    with monkeypatch.context() as patch:
        patch.setattr("numpy.load", None)
        patch.setattr("fastknn.index.Index.__init__", None)
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "give --test, for --train has no test part" in err
        assert str(train) in err
        if kind == "folder":
            return
        assert main([*arguments, "--test", str(train)]) == 2
        assert "--test must be other images than --train" in capsys.readouterr().err
        if kind in ("npz", "link"):
            same = str(archives[0].parent / "." / archives[0].name)
            assert main([*arguments, "--test", same]) == 2
            assert "--test must be other images than --train" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_parts_of_a_folder_are_trained_and_tested_on(tmp_path, capsys, command):
    train, test = (write_idx(tmp_path, prefix) for prefix in ("train", "t10k"))
    arguments = [command, *COMMANDS[command], "--train"]
    for more in ([tmp_path], [tmp_path, "--test", tmp_path], [train, "--test", test]):
        assert main([*arguments, *map(str, more)]) == 0
        assert re.search(r"of 12\)", capsys.readouterr().out)
    # A part of a folder and a file that belongs to that part.
    for more in ([tmp_path, "--test", train], [test, "--test", tmp_path]):
        assert main([*arguments, *map(str, more)]) == 2
        assert "is in both" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_images_are_checked_before_any_work(archives, tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr("fastknn.index.Index.__init__", None)
    narrow, nan = tmp_path / "narrow.npz", tmp_path / "nan.npz"
    np.savez(narrow, X=np.zeros((4, 3), np.uint8), y=np.zeros(4, int))
    np.savez(nan, X=np.full((4, 20), np.nan), y=np.zeros(4, int))
    for path, message in (
        (narrow, "--test must be as wide as train: got 3 columns, train has 20"),
        (nan, "--test must be finite, found nan at row 0, column 0"),
    ):
        assert main([command, "--train", str(archives[0]), "--test", str(path)]) == 2
        assert message in capsys.readouterr().err


def test_k_is_checked_before_any_work(archives, capsys, monkeypatch):
    monkeypatch.setattr("fastknn.index.Index.__init__", None)
    assert classify(archives, "--k", "61") == 2
    assert "k must be at most the number of training rows, 60" in capsys.readouterr().err


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


# --- tune -------------------------------------------------------------------------------------


@pytest.fixture
def image_file(tmp_path):
    """Two halves of scikit-learn's digits, as files of images."""
    images, labels = load_digits(return_X_y=True)
    for name, rows in (("train", slice(0, 600)), ("test", slice(600, 800))):
        np.savez(
            tmp_path / f"{name}.npz",
            X=images[rows].reshape(-1, 8, 8).astype(np.uint8),
            y=labels[rows],
        )
    return ["--train", str(tmp_path / "train.npz"), "--test", str(tmp_path / "test.npz")]


def test_tune(image_file, tmp_path, capsys):
    outputs = [str(tmp_path / name) for name in ("scores.csv", "scores.json", "curve.png")]
    common = ["tune", *image_file, "--ks", "1,3,40", "--folds", "3", "--n-jobs", "1"]
    plot = ["--plot", outputs[2]] if importlib.util.find_spec("matplotlib") else []
    assert main([*common, "--output", outputs[0], *plot]) == 0
    printed = capsys.readouterr().out
    assert "in 3 folds" in printed
    assert "chosen    " in printed
    assert re.search(r"test      9\d\.\d\d% \(19\d of 200\)", printed)
    with open(outputs[0], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2
    assert {row["param_n_neighbors"] for row in rows} == {"1", "3", "40"}
    assert main([*common, "--output", outputs[1], "--metrics", "cosine"]) == 0
    written = json.loads(Path(outputs[1]).read_text())
    assert len(written["candidates"]) == 3 * 2
    best = max(written["candidates"], key=lambda one: one["mean_test_score"])
    assert written["chosen"]["n_neighbors"] == best["param_n_neighbors"]
    assert written["chosen"]["test_accuracy"] > 0.9
    if plot:
        assert Path(outputs[2]).read_bytes().startswith(b"\x89PNG")


def test_tune_on_some_of_the_images(image_file, capsys):
    assert main(["tune", *image_file, "--limit", "90", "--test-limit", "7", "--folds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "train     90 images" in printed
    assert "of 7)" in printed
    assert "and 20 more" in printed  # of 8 ks below 45, 2 metrics, 2 weightings


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--ks", "0,1"], "--ks: must be integers of at least 1"),
        (["--ks", "1;2"], "--ks: must be integers of at least 1"),
        (["--folds", "0"], "--folds: must be an integer of at least 1"),
        (["--folds", "1"], "k-fold"),
        (["--ks", "1000"], "ks must be at most 480"),
        (["--metrics", "l3"], "invalid choice: 'l3'"),
        (["--output", "scores.txt"], r"--output must end in .csv or .json"),
        (["--plot", "curve.txt"], "--plot "),  # must end in, or needs matplotlib
        (["--plot", "no/such/folder/curve.png"], "--plot: there is no folder"),
    ],
)
def test_bad_tuning(image_file, more, match, capsys):
    try:
        status = main(["tune", *image_file, *more])
    except SystemExit as ended:  # argparse's
        status = ended.code
    assert status == 2
    assert match in capsys.readouterr().err


# --- ground-truth -----------------------------------------------------------------------------


def test_ground_truth(tmp_path, capsys):
    rows = np.random.default_rng(0).integers(0, 3, (80, 5)).astype(np.uint8)
    np.save(tmp_path / "train.npy", rows)
    np.save(tmp_path / "queries.npy", rows[:9])
    files = [f"--{name}={tmp_path / name}.npy" for name in ("train", "queries")]
    output = tmp_path / "truth.ivecs"
    assert main(["ground-truth", *files, "--k", "4", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "train     80 x 5 uint8" in printed
    assert re.search(r"tied      \d queries, at place 4", printed)
    expected = knn(rows[:9], rows, 4)[1]
    np.testing.assert_array_equal(open_vectors(output), expected)
    assert main(["ground-truth", *files, "--output", str(tmp_path / "truth.txt")]) == 2
    assert "--output must end in .ivecs" in capsys.readouterr().err
    assert main(["ground-truth", *files, "--k", "81", "--output", str(output)]) == 2
    assert "k must be at most" in capsys.readouterr().err
    for content in (b"", b"PK\x03\x04" + bytes(40), (tmp_path / "train.npy").read_bytes()[:-9]):
        (tmp_path / "bad.npy").write_bytes(content)
        (tmp_path / "bad.u8bin").write_bytes(content)
        for bad in ("bad.npy", "bad.u8bin"):
            damaged = [f"--train={tmp_path / bad}", files[1], "--output", str(output)]
            assert main(["ground-truth", *damaged]) == 2
            printed = capsys.readouterr().err
            assert printed.startswith(f"fastknn: error: {tmp_path / bad}: ")
            assert printed.count("\n") == 1
    missing = ["--train=nowhere.npy", files[1], "--output", str(output)]
    assert main(["ground-truth", *missing]) == 2
    assert "no such file" in capsys.readouterr().err
