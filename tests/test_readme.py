"""The README runs as pasted, and the pages that it links to are there."""

import re
from pathlib import Path

import pytest
from cases import run_python

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="the README is not here")


def test_its_code_runs_as_pasted(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    code = "\n".join(blocks)
    done = run_python("-W", "error", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_its_links_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
