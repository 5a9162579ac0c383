"""Turn saved benchmarks into a Markdown table and plots.

usage: python benchmarks/report.py SPEED.json [--plots FOLDER]
"""

import argparse
import json
from pathlib import Path

import numpy as np

COLOURS = {
    "fastknn": "#c0392b",
    "fastknn direct": "#e67e22",
    "faiss": "#2980b9",
    "scikit-learn-intelex": "#27ae60",
    "usearch": "#16a085",
    "scikit-learn": "#8e44ad",
    "NumPy reference": "#7f8c8d",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--plots", type=Path, help="folder for the PNG files (default: none)")
    options = parser.parse_args()
    saved = json.loads(options.saved.read_text())
    print(machine(saved))
    for benchmark in saved["benchmarks"]:
        print(table(benchmark))
    print(slopes(saved))
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        plot_cost(saved, options.plots / "cost_over_n.png")
        plot_peers(saved, options.plots / "peers.png")


def machine(saved: dict) -> str:
    info = saved["machine_info"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    return (
        f"{info['cpu'].get('brand_raw', 'unknown CPU')}, {info['threads']} threads, "
        f"{info['fastknn_cpu']} kernels, Python {info['python_version']}, {versions}; "
        f"BLAS: {'; '.join(info['blas'])}; {saved['datetime'][:10]}\n"
    )


SAID = (
    *("data", "share_of_read_bandwidth", "accuracy", "search_peak_bytes"),
    *("times_searches", "times_grid_search"),
    *("times_direct", "bytes_times_direct", "pays_back_after_queries", "fit_in_queries_of_faiss"),
)


def stages(name: str, work: dict) -> str:
    """Survivors of each stage and microseconds of all threads, both by query."""
    survivors = ", ".join(f"{count:.4g}" for count in work["survivors"])
    took = ", ".join(f"{stage} {each * 1e6:.3g}" for stage, each in work["stage_seconds"].items())
    return (
        f"\n{name}: {work['cascade']}; survivors {survivors}; refined {work['refined']:.4g}, "
        f"left to direct {work['given_up']:.4g}; us: {took}"
    )


def costs_over_n(saved: dict, metric: str) -> dict[str, list[tuple[int, float]]]:
    """(rows, seconds a query) by contender, in the order of the rows."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for benchmark in saved["benchmarks"]:
        info = benchmark["extra_info"]
        if info.get("kind") == "cost over n" and info["metric"] == metric:
            for name, seconds in info["seconds_per_query"].items():
                lines.setdefault(name, []).append((info["n_rows"], seconds))
    return {name: sorted(points) for name, points in lines.items()}


def slopes(saved: dict) -> str:
    """Least-squares slope of log time over log N: one where cost grows as the rows do."""
    lines = ["### slope of log time over log N", "| contender | L2 | L1 |", "|---|---:|---:|"]
    fitted: dict[str, dict[str, float]] = {}
    for metric in ("l2", "l1"):
        for name, points in costs_over_n(saved, metric).items():
            if len(points) > 1:
                rows, seconds = np.log(np.array(points)).T
                fitted.setdefault(name, {})[metric] = np.polyfit(rows, seconds, 1)[0]
    for name, by_metric in fitted.items():
        shown = [f"{by_metric[one]:.2f}" if one in by_metric else "" for one in ("l2", "l1")]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines) + "\n"


def table(benchmark: dict) -> str:
    """One comparison; ratios are to fastknn's best, per query."""
    info = benchmark["extra_info"]
    lines = [f"### {benchmark['name']}"]
    each = info.get("seconds_per_query")
    if each:
        ours = each["fastknn"]
        lines += [
            "| contender | ms a query | times fastknn's | x matmul rate |",
            "|---|---:|---:|---:|",
        ]
        for name, seconds in each.items():
            matmul = info.get("times_matmul", {}).get(name)
            shown = "" if matmul is None else f"{matmul:.2f}"
            lines.append(f"| {name} | {seconds * 1e3:.4g} | {seconds / ours:.2f} | {shown} |")
        for name, reason in info.get("absent", {}).items():
            lines.append(f"| {name} | absent: {reason} | | |")
    elif "seconds" in info:
        lines += ["| contender | seconds |", "|---|---:|"]
        lines += [f"| {name} | {seconds:.4g} |" for name, seconds in info["seconds"].items()]
    for name in SAID:
        if name in info:
            said = f"{info[name]:.3g}" if isinstance(info[name], float) else info[name]
            lines.append(f"\n{name.replace('_', ' ')}: {said}")
    if "slower" in info:
        count, mean = len(info["ratios"]), info["geometric_mean"]
        lines.append(
            f"\n{count} shapes; fastknn takes {mean:.2f} x scikit-learn's time (geometric)"
        )
        lines += [f"- slower: {shape}: {ratio:.2f} x" for shape, ratio in info["slower"].items()]
    lines += [stages(name, work) for name, work in info.get("work", {}).items()]
    if isinstance(info.get("times_matmul"), float):
        lines.append(f"\ntimes matmul: {info['times_matmul']:.2f}")
    return "\n".join(lines) + "\n"


def plot_cost(saved: dict, path: Path) -> None:
    """Cost of one prediction over the size of the training set, on logarithmic axes."""
    import matplotlib.pyplot as plt

    from fastknn.plot import cost_over_n

    figure, panes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    for pane, metric in zip(panes, ("l2", "l1"), strict=True):
        lines = costs_over_n(saved, metric)
        cost_over_n({name: dict(points) for name, points in lines.items()}, ax=pane)
        for line in pane.get_lines():
            line.set_color(COLOURS[line.get_label()])
        pane.set(title=f"{metric.upper()}, k = 7", xlabel="training images (3,072 bytes each)")
        pane.get_legend().remove()
    panes[0].set_ylabel("milliseconds a query, two threads")
    panes[1].set_ylabel("")
    handles, names = panes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8)
    figure.savefig(path, dpi=120)


def plot_peers(saved: dict, path: Path) -> None:
    """Milliseconds a query of every contender, for each search."""
    import matplotlib.pyplot as plt

    searches = [b for b in saved["benchmarks"] if b["extra_info"].get("kind") == "search"]
    columns = 2
    rows = -(-len(searches) // columns)
    figure, panes = plt.subplots(rows, columns, figsize=(11, 2.2 * rows), layout="constrained")
    for pane in panes.flat[len(searches) :]:
        pane.set_axis_off()
    for pane, benchmark in zip(panes.flat, searches, strict=False):
        info = benchmark["extra_info"]
        each = dict(reversed(info["seconds_per_query"].items()))
        bars = pane.barh(
            list(each), [s * 1e3 for s in each.values()], color=[COLOURS[name] for name in each]
        )
        pane.bar_label(bars, fmt="%.3g", fontsize=7, padding=2)
        pane.set_xscale("log")
        pane.margins(x=0.15)
        pane.tick_params(labelsize=7)
        shape = " x ".join(f"{n:,}" for n in info["shape"])
        title = f"{info['data']}: {shape}, {info['metric'].upper()}, k = {info['k']}"
        pane.set_title(title, fontsize=8)
    figure.supxlabel("milliseconds a query, two threads (logarithmic)", fontsize=9)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
