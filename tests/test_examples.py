"""The examples run anywhere, and leave the pictures that they speak of."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "common.py")

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script, tmp_path):
    pytest.importorskip("matplotlib")
    kept = {name: value for name, value in os.environ.items() if name != "FASTKNN_CIFAR10"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=kept,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pictures = re.findall(r"written: (.*\.png)", done.stdout)
    assert pictures
    for picture in pictures:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")


def test_every_example_is_listed():
    listed = re.findall(r"^\| `(\w+\.py)`", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == SCRIPTS
