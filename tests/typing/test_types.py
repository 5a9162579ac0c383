"""What type checkers and editors know of the public names."""

import re
import subprocess
from pathlib import Path

import pytest
from cases import PYTHON

import fastknn

HERE = Path(__file__).resolve().parent
mypy = pytest.importorskip("mypy")


def checked(name, tmp_path):
    """Lines of mypy's report on one of the scripts here, by line number."""
    env = {"PATH": ""}
    folder = Path(fastknn.__file__).parents[1]
    if folder.name != "site-packages":  # mypy looks there by itself, and refuses it as a path
        env["MYPYPATH"] = str(folder)
    done = subprocess.run(
        [
            *(*PYTHON, "-m", "mypy", "--cache-dir", tmp_path, "--show-error-codes"),
            *("--ignore-missing-imports", "--follow-imports=silent", HERE / name),
        ],
        env=env,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert not done.stderr
    lines = {}
    for file, number, note in re.findall(r"^(.+?):(\d+): (.+)$", done.stdout, re.MULTILINE):
        assert Path(file).name == name
        lines.setdefault(int(number), []).append(note)
    return lines


@pytest.mark.slow
def test_a_correct_script_is_accepted_and_nothing_is_any(tmp_path):
    found = checked("correct.py", tmp_path)
    source = (HERE / "correct.py").read_text().splitlines()
    revealed = {number for number, line in enumerate(source, 1) if "reveal_type" in line}
    assert set(found) == revealed
    for (note,) in found.values():
        assert note.startswith("note: Revealed type is")
        kind = note.split('"')[1]
        assert kind != "Any"
        assert not kind.startswith("def")


@pytest.mark.slow
def test_every_mistake_is_found(tmp_path):
    found = checked("mistakes.py", tmp_path)
    source = (HERE / "mistakes.py").read_text().splitlines()
    mistakes = {number for number, line in enumerate(source, 1) if "# mistake" in line}
    errors = {n for n, notes in found.items() if any(note.startswith("error") for note in notes)}
    assert errors == mistakes


def test_the_imports_for_type_checkers_are_those_that_are_made_lazily():
    text = Path(fastknn.__file__).read_text()
    imported = re.findall(r"^    from (\S+) import (\w+) as (\w+)$", text, re.MULTILINE)
    homes = {name: home for home, name, alias in imported if alias == name}
    assert len(homes) == len(imported)
    assert homes == {
        name: "fastknn" if home is None else f"fastknn.{home}"
        for name, home in fastknn._HOME.items()
    }
