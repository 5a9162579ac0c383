"""Turn saved benchmarks into tables in Markdown, and charts.

usage: python benchmarks/report.py SPEED.json [--charts FOLDER] [--readme-chart FILE] [--keep FILE]
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from summary import DEFINITION, Line, duration, line, times

# Colours that stay apart for the colour-blind (Okabe and Ito), and a marker for each.
STYLES = {
    "fastknn": ("#d55e00", "o"),
    "fastknn direct": ("#e69f00", "o"),
    "faiss": ("#0072b2", "s"),
    "scikit-learn-intelex": ("#009e73", "D"),
    "usearch": ("#56b4e9", "^"),
    "scikit-learn": ("#cc79a7", "v"),
    "NumPy as taught": ("#7f7f7f", "P"),
    "NumPy reference": ("#a8a8a8", "X"),
}
THEMES = {"light": "#1a1a1a", "dark": "#e6e6e6"}  # of text and lines; the background is the page's

Table = list[list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--charts", type=Path, help="folder for the charts (default: none)")
    parser.add_argument("--readme-chart", type=Path, help="file for the chart of the README")
    parser.add_argument("--keep", type=Path, help="file for what the documentation needs of it")
    options = parser.parse_args()
    saved = json.loads(options.saved.read_text())
    print(markdown(saved))
    if options.charts:
        options.charts.mkdir(parents=True, exist_ok=True)
        charts(saved, options.charts, options.saved.stem)
    if options.readme_chart:  # on white, since its page may be dark
        speed_chart(saved).savefig(options.readme_chart, dpi=130, facecolor="white")
    if options.keep:
        options.keep.write_text(json.dumps(kept(saved), indent=1) + "\n")


def kept(saved: dict) -> dict:
    """What is reported, without the rounds and without the names of the machine."""
    info = saved["machine_info"]
    names = ("threads", "fastknn_cpu", "python_version", "versions", "blas")
    return {
        "datetime": saved["datetime"],
        "machine_info": {
            **{name: info[name] for name in names},
            "cpu": {"brand_raw": info["cpu"].get("brand_raw", "unknown processor")},
        },
        "benchmarks": [
            {"name": one["name"], "extra_info": one["extra_info"]} for one in saved["benchmarks"]
        ],
    }


def infos(saved: dict, kind: str) -> list[dict]:
    """The `extra_info` of all benchmarks of a kind."""
    found = [benchmark["extra_info"] for benchmark in saved["benchmarks"]]
    return [info for info in found if info.get("kind") == kind]


# --- Tables ---


def markdown(saved: dict, heading: str = "##") -> str:
    """All sections for which there are benchmarks."""
    parts = [machine(saved)]
    for title, section in SECTIONS.items():
        text = section(saved)
        if text:
            parts.append(f"{heading} {title}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def machine(saved: dict) -> str:
    """What was measured on, and with."""
    info = saved["machine_info"]
    versions = ", ".join(
        f"{name} {version}" for name, version in info["versions"].items() if version != "absent"
    )
    blas = f"; BLAS: {', '.join(sorted(set(info['blas'])))}" if info["blas"] else ""
    return (
        f"{info['cpu'].get('brand_raw', 'unknown processor')}, {info['threads']} threads, "
        f"{info['fastknn_cpu']} kernels; Python {info['python_version']}, {versions}{blas}; "
        f"{saved['datetime'][:10]}."
    )


def tabulated(table: Table) -> str:
    """Markdown of a table whose first row is its head; numbers stand right."""
    head, *rows = table
    marks = ["---", *("---:" for _ in head[1:])]
    # A number and its unit stay on one line.
    text = "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))
    return re.sub(r"(?<=\d) (?=(?:s|ms|µs|x)\b)", "\N{NO-BREAK SPACE}", text)


def _every_search(saved: dict) -> list[dict]:
    """Of many queries at a time, then of one."""
    return infos(saved, "search") + infos(saved, "one query")


def _searches(saved: dict) -> str:
    table = [["search", "fastknn", "direct screen", "best peer", "times faster"]]
    for info in _every_search(saved):
        best = _compared(info)
        direct = info["seconds"].get("fastknn direct")
        shown = duration(direct) if direct else ""
        table.append([best.title, duration(best.ours), shown, *_peer(best)])
    return _with_note(table, "Median time per query.")


def _contenders(saved: dict) -> str:
    """Every contender of every search."""
    names = list(STYLES)
    table = [["search", *names]]
    for info in _every_search(saved):
        each = info["seconds"]
        table.append([info["title"], *(duration(each[n]) if n in each else "" for n in names)])
    return _with_note(table, "Median time per query, in the form that suits each best.")


def _stages(saved: dict) -> str:
    """What the screens leave to do."""
    table = [["search", "cascade", "candidates", "encoding", "stages", "refine"]]
    for info in _every_search(saved):
        if "work" not in info:
            continue
        work = info["work"]["fastknn"]
        spent = dict(work["stage_seconds"])
        ends = [duration(spent.pop(name)) for name in ("encoding", "refine")]
        spent.pop("direct")
        left = ", ".join(f"{count:,.0f}" for count in work["candidates"])
        stages = ", ".join(duration(each) for each in spent.values())
        table.append([info["title"], work["cascade"], left, ends[0], stages, ends[1]])
    return _with_note(
        table,
        "Candidates per query after each stage, and time per query of all threads together. "
        "Where several cascades are nearly as quick, the trial does not always take the same.",
    )


def _slopes(saved: dict) -> str:
    """Least-squares slope of log time over log N: one where cost grows as the rows do."""
    table = [["contender", "L2", "L1"]]
    by_metric = {metric: costs_over_n(saved, metric) for metric in ("l2", "l1")}
    for name in STYLES:
        row = [name]
        for costs in by_metric.values():
            points = costs.get(name, {})
            rows, seconds = np.log(list(points)), np.log(list(points.values()))
            row.append(f"{np.polyfit(rows, seconds, 1)[0]:.2f}" if len(points) > 1 else "")
        if any(row[1:]):
            table.append(row)
    return _with_note(
        table, "Slope of log time over log N: 1 where the cost per query grows as the rows do."
    )


def _matmul(saved: dict) -> str:
    table = [["loop", "L2", "L1"]]
    kinds = {
        "direct screen, bytes (CIFAR-10)": ("search", "fastknn direct", "CIFAR-10"),
        "direct screen, floats (noise of 128)": ("search", "fastknn direct", "200,000 x 128"),
        "all distances, floats": ("pairwise", "fastknn", ""),
        "direct screen, bytes, avx512": ("level", "fastknn avx512", ""),
        "direct screen, bytes, avx2": ("level", "fastknn avx2", ""),
        "direct screen, bytes, portable": ("level", "fastknn portable", ""),
    }
    for name, (kind, contender, part) in kinds.items():
        row = [name]
        for metric in ("l2", "l1"):
            found = [
                info["times_matmul"][contender]
                for info in infos(saved, kind)
                if info["metric"] == metric
                and part in info["title"]
                and contender in info["times_matmul"]
            ]
            row.append(times(found[0]) if found else "")
        if any(row[1:]):
            table.append(row)
    return _with_note(
        table,
        "Elements compared in a second, beside the multiply-adds of NumPy's float32 matrix product "
        "in the same run.",
    )


def _many(saved: dict) -> str:
    return _pairs(saved, ("many neighbors",), "Median processor times, on one thread.")


def _pairs(
    saved: dict,
    kinds: Sequence[str] = ("pairwise", "vote", "choosing k"),
    note: str = "Median times.",
) -> str:
    table = [["task", "fastknn", "best peer", "times faster"]]
    for kind in kinds:
        for best in filter(None, map(line, infos(saved, kind))):
            if best.peer:
                table.append([f"{best.title} (per {best.unit})", duration(best.ours), *_peer(best)])
    return _with_note(table, note)


def _building(saved: dict) -> str:
    table = [["index", "chosen by trial", "direct", "pays back after", "queries of faiss"]]
    for info in infos(saved, "fit"):
        table.append(
            [
                info["title"],
                *(duration(info["seconds"][name]) for name in ("fastknn", "fastknn direct")),
                f"{info['pays_back_after_queries']:,.0f} queries",
                f"{info['fit_in_queries_of_faiss'] or 0:,.0f}",
            ]
        )
    text = _with_note(
        table, "The last column: how many queries faiss answers while the index is built."
    )
    fresh = [
        f"- {info['title']}: "
        + ", ".join(f"{name} {duration(each)}" for name, each in info["seconds"].items())
        for info in infos(saved, "first prediction") + infos(saved, "first vote")
    ]
    return "\n\n".join(filter(None, [text, "\n".join(fresh)]))


def _worst(saved: dict) -> str:
    table = [["data", "time", "memory, rows counted in"]]
    for info in infos(saved, "worst case"):
        ratios = (info["times_direct"], info["bytes_times_direct"])
        table.append([info["title"], *(f"{ratio:.2f} x" for ratio in ratios)])
    return _with_note(table, "What an index with a screen takes beside a direct one.")


def _drop_in(saved: dict) -> str:
    table = [["data", "shapes", "time beside scikit-learn's", "slower by 5 %", "the worst"]]
    for info in infos(saved, "drop-in"):
        worst = max(info["ratios"], key=info["ratios"].__getitem__)
        table.append(
            [
                f"{info['dtype']}, {info['metric'].upper()}",
                str(len(info["ratios"])),
                f"{info['geometric_mean']:.2f} x",
                str(len(info["slower"])),
                f"{info['ratios'][worst]:.2f} x ({worst})",
            ]
        )
    return _with_note(table, "Geometric mean over the shapes, `fit` and a first query among them.")


def _accuracy(saved: dict) -> str:
    found = infos(saved, "accuracy")
    if not found:
        return ""
    ks = list(found[0]["accuracy"])
    table = [["data, metric", *(f"k={k}" for k in ks)]]
    for info in found:
        shares = [f"{info['accuracy'][k]:.2%}" for k in ks]
        table.append([f"{info['data']}, {info['metric'].upper()}", *shares])
    return _with_note(
        table,
        "On raw pixels, all training and test images. CIFAR-10 is a copy whose pixels went through "
        "JPEG; published for the original: 38.6 % (L1, k=1) and 35.4 % (L2, k=1; CS231n). For "
        "MNIST: 96.91 % (L2, k=1; LeCun's table, K. Wilder).",
    )


SECTIONS = {
    "Searches": _searches,
    "Every contender": _contenders,
    "What the screens leave to do": _stages,
    "Cost over the size of the training set": _slopes,
    "Other tasks": _pairs,
    "Very many neighbors": _many,
    "Near the limits": _matmul,
    "Building an index, and a fresh process": _building,
    "Where screens are useless": _worst,
    "As a drop-in": _drop_in,
    "Accuracy": _accuracy,
}


def _compared(info: dict) -> Line:
    found = line(info)
    assert found is not None, info
    return found


def _peer(best: Line) -> list[str]:
    return [f"{best.peer} {duration(best.theirs)}", times(best.times)] if best.peer else ["", ""]


def _with_note(table: Table, note: str) -> str:
    return f"{note}\n\n{tabulated(table)}" if len(table) > 1 else ""


def costs_over_n(saved: dict, metric: str) -> dict[str, dict[int, float]]:
    """Seconds per query by number of rows, by contender."""
    costs: dict[str, dict[int, float]] = {}
    for info in sorted(infos(saved, "cost over n"), key=lambda info: info["n_rows"]):
        if info["metric"] == metric:
            for name, seconds in info["seconds"].items():
                costs.setdefault(name, {})[info["n_rows"]] = seconds
    return costs


# --- Charts ---


def charts(saved: dict, folder: Path, stem: str) -> None:
    """Write each chart for a light and for a dark page."""
    import matplotlib

    matplotlib.use("agg")
    for draw in (speed_chart, cost_chart):
        for theme, ink in THEMES.items():
            parameters = {
                "text.color": ink,
                "axes.labelcolor": ink,
                "axes.edgecolor": ink,
                "xtick.color": ink,
                "ytick.color": ink,
            }
            with matplotlib.rc_context(parameters):
                figure = draw(saved)
            if figure is not None:
                name = f"{draw.__name__.removesuffix('_chart')}-{stem}-{theme}.png"
                figure.savefig(folder / name, dpi=150, transparent=True)


def speed_chart(saved: dict):
    """Time per query of every contender: one line per search, one point per contender."""
    import matplotlib.pyplot as plt

    searches = infos(saved, "search")
    if not searches:
        return None
    height = 0.42 * len(searches) + 1.3
    figure, ax = plt.subplots(figsize=(9, height), layout="constrained")
    for place, info in enumerate(searches):
        best = _compared(info)
        ax.plot(
            [best.ours, best.theirs], [place, place], color=STYLES["fastknn"][0], lw=2, alpha=0.5
        )
        for name, seconds in info["seconds"].items():
            if name == DEFINITION:
                continue
            color, marker = STYLES[name]
            size = 9 if name == "fastknn" else 6.5
            ax.plot(seconds, place, marker, color=color, ms=size, zorder=4 if size > 7 else 3)
        middle = float(np.sqrt(best.ours * best.theirs))
        ax.annotate(
            f"{times(best.times)} {'faster' if best.times >= 1 else 'as fast'}",
            (middle, place),
            xytext=(0, 5.5),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(searches)), [_short(info["title"]) for info in searches])
    ax.set_ylim(len(searches) - 0.5, -0.6)
    _time_axis(ax, "x")
    ax.set_xlabel("time per query, two threads (logarithmic; left is faster)")
    ax.grid(axis="x", alpha=0.25)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    _legend(figure, {name for info in searches for name in info["seconds"]} - {DEFINITION})
    return figure


def _short(title: str) -> str:
    """The title on two lines."""
    name, rest = title.split(", ", 1)
    *shape, metric, _ = rest.rsplit(", ", 2)
    return f"{name}, {metric}\n{', '.join(shape)}"


def cost_chart(saved: dict):
    """Cost of one prediction over the size of the training set."""
    import matplotlib.pyplot as plt

    if not infos(saved, "cost over n"):
        return None
    figure, panes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    shown = set()
    for pane, metric in zip(panes, ("l2", "l1"), strict=True):
        for name, points in costs_over_n(saved, metric).items():
            color, marker = STYLES[name]
            width = 2.4 if name == "fastknn" else 1.2
            pane.plot(
                list(points), list(points.values()), marker=marker, ms=5, color=color, lw=width
            )
            shown.add(name)
        pane.set(xscale="log", xlabel="training images (3,072 bytes each)")
        pane.set_title(f"{metric.upper()}, k=7", fontsize=10)
        pane.xaxis.set_major_formatter(lambda rows, place: f"{rows:,.0f}")
        pane.grid(alpha=0.25)
        pane.spines[["top", "right"]].set_visible(False)
    _time_axis(panes[0], "y")
    panes[0].set_ylabel("time per query, two threads")
    _legend(figure, shown)
    return figure


def _time_axis(ax, which: str) -> None:
    """A logarithmic axis whose ticks are durations."""
    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_formatter(lambda seconds, place: duration(seconds))


def _legend(figure, names: set[str]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], color=color, marker=marker, ls="", label=name)
        for name, (color, marker) in STYLES.items()
        if name in names
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)


if __name__ == "__main__":
    main()
