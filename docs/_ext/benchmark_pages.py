"""Writes the tables and charts of every saved benchmark run, docs/benchmarks/*.json."""

import json
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
SAVED = DOCS / "benchmarks"


def write(app: Sphinx) -> None:
    """One page part and some charts for each file."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    import report

    folder = DOCS / "_generated"
    folder.mkdir(exist_ok=True)
    for path in sorted(SAVED.glob("*.json")):
        saved = json.loads(path.read_text())
        report.charts(saved, folder, path.stem)
        (folder / f"{path.stem}.md").write_text(report.markdown(saved, heading="###"))


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
