"""The command, as a person would use it."""

import csv
import importlib.util
import io
import json
import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cases import PYTHON, let_choices_cost_nothing, run_python, set_limits
from sklearn.datasets import load_digits

from fastknn import knn
from fastknn.cli import main
from fastknn.evaluation.vectors import open_vectors


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
        patch.setattr("fastknn.search.index.Index.__init__", None)
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


def write_tables(folder):
    """Dark and bright images in a .csv file for each part; the labels are in two columns."""
    pytest.importorskip("pandas")
    pixels = np.random.default_rng(2).integers(0, 90, (12, 4)) + [[0], [160]] * 6
    for split, rows in (("train", pixels), ("test", pixels[:6] + 1)):
        lines = [",".join(map(str, [*row, i % 2, i % 3])) for i, row in enumerate(rows.tolist())]
        (folder / f"{split}.csv").write_text("\n".join(["a,b,c,d,target,third", *lines]) + "\n")
    return [str(folder / "train.csv"), "--test", str(folder / "test.csv")]


def write_cifar100(folder):
    """The binary layout in its archive: black images and white ones, whose coarse labels differ."""
    path = folder / "cifar-100-binary.tar.gz"
    images = np.repeat(np.array([[0], [255]] * 6, np.uint8), 3072, axis=1)
    labels = np.column_stack([[3, 9] * 6, np.arange(12)]).astype(np.uint8)  # coarse, fine
    with tarfile.open(path, "w:gz") as archive:
        for name in ("train.bin", "test.bin"):
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            content = np.column_stack([labels, images]).tobytes()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_label_names_the_column_of_a_table(tmp_path, capsys, command):
    arguments = [command, *COMMANDS[command], "--train", *write_tables(tmp_path)]
    assert main([*arguments, "--label", "target"]) == 0
    right = capsys.readouterr().out
    assert "100.00% (6 of 6)" in right
    assert main(arguments) == 0  # target is one of the usual names, and third is a pixel then
    capsys.readouterr()
    assert main([*arguments, "--label", "third"]) == 0
    assert "100.00% (6 of 6)" not in capsys.readouterr().out
    assert main([command, *COMMANDS[command], "--train", str(tmp_path), "--label", "target"]) == 0
    assert "100.00% (6 of 6)" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_label_chooses_among_those_of_cifar100(tmp_path, capsys, command):
    arguments = [command, *COMMANDS[command], "--train", write_cifar100(tmp_path)]
    assert main([*arguments, "--label", "coarse"]) == 0
    out = capsys.readouterr().out
    assert "100.00% (12 of 12)" in out
    if command == "classify":
        assert [line.split()[1] for line in out.splitlines()[-2:]] == [
            *("food_containers", "large_man-made_outdoor_things")
        ]
        assert main([*arguments, "--label", "fine"]) == 0
        assert "aquarium_fish" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_label_that_is_not_there(archives, tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
    tables = write_tables(tmp_path)
    for files, label, message in (
        (tables, "nope", f"{tables[0]}: expected a column 'nope' of labels, found the columns 'a'"),
        ([write_cifar100(tmp_path)], "rough", "--label must be 'fine' or 'coarse', got 'rough'"),
        (
            [str(archives[0]), "--test", str(archives[1])],
            "coarse",
            "--label must be left out for a NumPy archive (.npz), got 'coarse'",
        ),
    ):
        assert main([command, *COMMANDS[command], "--train", *files, "--label", label]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_file_with_both_parts_needs_no_test(archives, tmp_path, capsys, command):
    (x, y), (x_test, y_test) = ((file["X"], file["y"]) for file in map(np.load, archives))
    path = tmp_path / "some.npz"
    np.savez(path, x_train=x, y_train=y[:, None], x_test=x_test, y_test=y_test[:, None])
    assert main([command, *COMMANDS[command], "--train", str(path)]) == 0
    assert "100.00% (20 of 20)" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_images_are_checked_before_any_work(archives, tmp_path, capsys, monkeypatch, command):
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
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
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
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
        (["--n-jobs", "0"], "--n-jobs must not be 0"),
        (["--metric", "cosine", "--k", "61"], "--k must be at most"),
        (["--output", ""], "--output: cannot write ''"),
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


@pytest.mark.parametrize("arguments", [["classify"], ["classify", "--train", "x", "--k", "0"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: fastknn" in capsys.readouterr().err


def test_no_command_is_a_wish_for_help(capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: fastknn")
    assert "ground-truth" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["clasify"], "classify"),
        (["groundtruth"], "ground-truth"),
        (["classify", "--train", "x", "--metric", "l22"], "l2"),
        (["tune", "--train", "x", "--metrics", "cosin"], "cosine"),
        (["tune", "--train", "x", "--weights", "uniform,distances"], "distance"),
        (["wwwww"], None),
    ],
)
def test_what_may_have_been_meant(arguments, meant, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert ("did you mean" in line) == (meant is not None)
    if meant:
        assert line.endswith(f"did you mean {meant!r}?")


@pytest.mark.parametrize("arguments", [["--help"], ["classify", "--help"], ["demo", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "usage: fastknn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("classify", "CIFAR MNIST STL-10 SVHN .npz .npy .csv .tsv .parquet .tar.gz --label"),
        ("tune", "classify --label"),
        ("ground-truth", ".npy .fvecs .bvecs .fbin .f16bin .u8bin .i8bin .ibin"),
    ],
)
def test_help_tells_what_can_be_read(command, words, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert not {word for word in words.split() if word not in "\n".join(lines)}
    assert max(map(len, lines)) <= 100


def test_interrupt(archives, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastknn.search.index.Index.search", interrupt)
    assert classify(archives) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_demo_in_a_fresh_process():
    done = run_python("-m", "fastknn", "demo", "--k", "3")
    lines = done.stdout.splitlines()
    assert sum(line.split()[1:2] == ["fastknn"] for line in lines) == 2
    assert sum(line.split()[1:2] == ["scikit-learn"] for line in lines) == 2
    assert "distance" in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["demo", "--k", "3"], ["--help"], []])
def test_a_closed_pipe_is_no_error(arguments):
    """Not at the end of Python either, which flushes what was printed."""
    code = f"import sys; from fastknn.cli import main; sys.exit(main({arguments}))"
    run = subprocess.Popen(
        [*PYTHON, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait() == 0


def test_warnings_are_a_line(archives, monkeypatch, capsys):
    """And not Python's two, of which the second is of our code."""
    import warnings

    monkeypatch.setattr(
        "fastknn.cli.classify.load_sets",
        lambda options: warnings.warn("queries are odd", stacklevel=1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        classify(archives)
    assert capsys.readouterr().err.startswith("fastknn: warning: queries are odd\n")


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("at all")])
def test_too_little_memory(archives, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("fastknn.search.index.Index.search", fail)
    assert classify(archives) == 2
    assert "fastknn: error: not enough memory" in capsys.readouterr().err


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
    assert len(written["combinations"]) == 3 * 2
    best = max(written["combinations"], key=lambda one: one["mean_test_score"])
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
        (["--folds", "1"], "fastknn: error: --folds must be at least 2; got 1"),
        (["--folds", "601"], "fastknn: error: --folds must be at most 6"),
        (["--limit", "20"], "--folds must be at most 2, the number of rows of the largest class"),
        (["--limit", "1"], "--folds must be at most 1, the number of rows of the largest class"),
        (["--ks", "1000"], "--ks must be at most 480"),
        (["--ks", ""], "--ks: must name one at least"),
        (["--ks", " , "], "--ks: must name one at least"),
        (["--metrics", ""], "--metrics: must name one at least"),
        (["--metrics", "l1,l3"], "--metrics: invalid choice: 'l3'"),
        (["--ks", "3", "x"], "--ks: must be integers of at least 1, as in 1,5; got 'x'"),
        (["--n-jobs", "0"], "--n-jobs must not be 0"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "--train", "no", "--folds", "1"], "--folds must be at least 2; got 1"),
        (["tune", "--train", ""], "--train must be a path, and is empty"),
        (["classify", "--train", ""], "--train must be a path, and is empty"),
        (["classify", "--train", ".", "--output", ""], "--output: cannot write ''"),
        (
            ["ground-truth", "--train", "", "--queries", "no.npy", "--output", "o.npy"],
            "--train must be a path, and is empty",
        ),
        (
            ["ground-truth", "--train", "no.npy", "--queries", "", "--output", "o.npy"],
            "--queries must be a path, and is empty",
        ),
    ],
)
def test_what_no_file_can_mend_is_said_before_any_is_read(arguments, message, capsys):
    assert main(arguments) == 2
    assert f"fastknn: error: {message}" in capsys.readouterr().err


def test_empty_path_of_test_images(image_file, capsys):
    _, train, *_ = image_file
    assert main(["classify", "--train", train, "--test", ""]) == 2
    assert "fastknn: error: --test must be a path, and is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ks", "metrics", "weights"),
    [
        (["1,3"], ["l1,l2"], ["uniform"]),
        (["1, 3"], ["l1, l2"], ["uniform,uniform"]),
        (["1,", "3"], ["l1,", "l2"], ["uniform"]),
        (["1", "3"], ["l1", "l2"], ["uniform", "uniform"]),
        (["1 3,1,,3,"], ["l1 l2 l1"], [" uniform "]),
    ],
)
def test_lists_are_of_one_grammar(monkeypatch, ks, metrics, weights):
    seen = []
    monkeypatch.setattr("fastknn.cli.tune.choose_and_test", seen.append)
    lists = ["--ks", *ks, "--metrics", *metrics, "--weights", *weights]
    assert main(["tune", "--train", "x", *lists]) == 0
    (options,) = seen
    assert (options.ks, options.metrics, options.weights) == ([1, 3], ["l1", "l2"], ["uniform"])


def test_tune_says_that_folds_lack_a_class(image_file, recwarn, capsys):
    arguments = ["--limit", "60", "--folds", "6", "--ks", "1", "--metrics", "l2"]
    assert main(["tune", *image_file, *arguments]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"some folds lack a class: the smallest has \d of the images", out)
    assert err == ""
    assert "least populated" not in "".join(str(one.message) for one in recwarn)


def test_commands_say_that_they_choose_a_screen(image_file, monkeypatch, capsys):
    let_choices_cost_nothing(monkeypatch)
    set_limits(monkeypatch, saved_share=np.inf)
    tuning = ["tune", *image_file, "--ks", "1", "--folds", "2", "--metrics", "l2"]
    for arguments in (["classify", *image_file], tuning):
        assert main([*arguments, "--progress"]) == 0
        err = capsys.readouterr().err
        # tune: of the folds, and of the training set for the test.
        assert err.count("choosing a screen: fitting") >= (2 if arguments is tuning else 1)
        for quiet in ([], ["--no-progress"]):
            assert main([*arguments, *quiet]) == 0
            assert capsys.readouterr().err == ""


# --- Mistakes are found before any building -----------------------------------------------------


@pytest.fixture
def vectors(tmp_path):
    for name, shape in (("train", (80, 5)), ("queries", (9, 5)), ("narrow", (9, 4))):
        np.save(tmp_path / f"{name}.npy", np.zeros(shape, np.float32))
    np.save(tmp_path / "nan.npy", np.full((9, 5), np.nan, np.float32))
    return {path.stem: str(path) for path in tmp_path.glob("*.npy")}


@pytest.mark.parametrize(
    ("queries", "more", "message"),
    [
        ("narrow", [], "--queries must be as wide as train: got 4 columns, train has 5"),
        ("queries", ["--k", "81"], "--k must be at most the number of training rows, 80"),
        ("queries", ["--n-jobs", "0"], "--n-jobs must not be 0"),
        ("nan", [], "--queries must be finite"),
        ("queries", ["--output", "no/such.ivecs"], "--output: there is no folder"),
        ("queries", ["--output", "OVER"], "--output must be another file than --queries"),
    ],
)
def test_ground_truth_is_checked_first(
    vectors, tmp_path, monkeypatch, capsys, queries, more, message
):
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
    more = [vectors[queries] if word == "OVER" else word for word in more]
    files = ["--train", vectors["train"], "--queries", vectors[queries], "--k", "3"]
    output = ["--output", str(tmp_path / "truth.ivecs")]
    assert main(["ground-truth", *files, *output, *more]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("fastknn: error: --")
    assert len(err.splitlines()) == 1
    assert out == "" or queries == "nan"


@pytest.mark.parametrize(("module", "ending"), [("h5py", "hdf5"), ("matplotlib", "png")])
def test_extras_are_looked_for_first(
    vectors, image_file, tmp_path, monkeypatch, capsys, module, ending
):
    """The hint names the library itself, which is on every index."""
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.figure", None)
    output = str(tmp_path / f"x.{ending}")
    if module == "h5py":
        files = ["--train", vectors["train"], "--queries", vectors["queries"], "--k", "3"]
        assert main(["ground-truth", *files, "--output", output]) == 2
    else:
        assert main(["tune", *image_file, "--plot", output]) == 2
    assert f"needs {module}: pip install {module}\n" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--k", "1348"], ["--n-jobs", "0"]])
def test_the_demo_is_checked_first(monkeypatch, capsys, more):
    monkeypatch.setattr("fastknn.search.index.Index.__init__", None)
    assert main(["demo", *more]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fastknn: error: {more[0]} must ")


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
