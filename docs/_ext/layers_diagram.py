"""Draws the layers from the import contract in pyproject.toml, so that both say the same."""

import tomllib
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
JOBS = {
    "__main__": "",
    "cli": "one module per command",
    "plot": "pictures",
    "estimators": "scikit-learn's surface, patching, choice of k",
    "evaluation": "probe, ground truth, vector files",
    "search": "index, policy, plan, storage, one-call searches",
    "voting": "majority votes; top-K of a given matrix",
    "screens": "lower bounds: maps, quantization, cascades",
    "metrics": "names of metrics, exact keys, angles",
    "engine": "Cython and C: tiles, candidates, refine, keep",
    "datasets": "one small reader per file format",
    "reference": "definitions in plain NumPy",
    "_utils": "checks, files, threads, progress",
}
WIDTH, HEIGHT, GAP, LEFT = 620, 34, 8, 8


def layers() -> list[list[str]]:
    """The layers of the contract from top to bottom; those of one line stand side by side."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())
    (contract,) = project["tool"]["importlinter"]["contracts"]
    rows = [[name.strip() for name in line.split(":")] for line in contract["layers"]]
    return [row for row in rows if JOBS[row[0]]]


def draw(rows: list[list[str]]) -> str:
    """A picture of boxes; colours are those of the page, so that it suits light and dark."""
    shapes = []
    for place, names in enumerate(rows):
        width = (WIDTH - GAP * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            x, y = LEFT + column * (width + GAP), GAP + place * (HEIGHT + GAP)
            shapes.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="5"/>'
                f'<text x="{x + 12}" y="{y + 22}"><tspan class="name">{name}</tspan>'
                f'<tspan dx="10">{JOBS[name]}</tspan></text>'
            )
    height = GAP + len(rows) * (HEIGHT + GAP)
    right = LEFT + WIDTH + 24
    shapes.append(
        f'<path d="M {right} {GAP} V {height - GAP - 8}"/>'
        f'<path class="head" d="M {right - 6} {height - GAP - 10} h 12 l -6 10 z"/>'
        f'<text x="{right + 12}" y="{height / 2}" transform="rotate(90 {right + 12} {height / 2})" '
        'text-anchor="middle">imports only downwards</text>'
    )
    size = f"0 0 {right + 30} {height}"
    return (
        f'<svg class="layers" viewBox="{size}" role="img" '
        f'aria-label="The layers of the package">{"".join(shapes)}</svg>\n'
    )


def write(app: Sphinx) -> None:
    folder = DOCS / "_generated"
    folder.mkdir(exist_ok=True)
    (folder / "layers.svg").write_text(draw(layers()))


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
