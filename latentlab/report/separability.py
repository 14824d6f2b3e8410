"""What a separability score is worth, in words, and how it depends on the number of samples."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from latentlab.report.charts import TEXT, Chart, W, Z, chart
from latentlab.report.formatting import count, interval, listing, number
from latentlab.report.inputs import ReportRun
from latentlab.results import MetricResult

_COLOURS = {"z": Z, "w": W}
_MOST_TICKS = 5


def worth(run: ReportRun) -> list[str]:
    """Z over W with its interval, scores on held-out samples and of planes that say nothing; as far as measured."""
    results = {space: run.shown[f"ls_{space}"] for space in "zw" if f"ls_{space}" in run.shown}
    return [sentence for sentence in (_ratio(results), _held_out(results), _nothing(results)) if sentence]


def sample_curve(run: ReportRun) -> Chart | None:
    """Scores of Z and W by the number of samples; None where no curve was measured."""
    curves = {space: points for space in "zw" if (points := _points(run.shown.get(f"ls_{space}")))}
    if not curves:
        return None
    numbers = listing([f"{len(points)} in {space.upper()}" for space, points in curves.items()])
    alt = f"{run.name}: separability by the number of samples, {numbers}; dashed: on samples that were held out"
    return chart(lambda axes: _draw(axes, curves), alt=alt)


def _ratio(results: Mapping[str, MetricResult]) -> str:
    found = next((r.details["ratio_z_over_w"] for r in results.values() if r.details.get("ratio_z_over_w")), None)
    if found is None or len({result.network.sha256 for result in results.values()}) > 1:
        return ""
    low, high = found["ci95"]
    verdict = "Z is the more entangled" if low > 1 else "W is the more entangled" if high < 1 else "it is open which is"
    if not found.get("trusted", False):
        verdict = "too few samples per dimension for a verdict"
    how = f"refitted without each of {found['refits']} groups" if found.get("refits") else "held fixed"
    return (
        f"Score of Z over that of W, in the {found['num_attributes']} attributes valid in both, hyperplanes {how}: "
        f"{number(found['value'])} {interval(found['ci95'])}; {verdict}."
    )


def _held_out(results: Mapping[str, MetricResult]) -> str:
    found = {space: held for space, result in results.items() if (held := result.details.get("held_out"))}
    if not found:
        return ""
    share = next(iter(found.values()))["fraction"]
    scores = [
        f"{number(held['score'])} {interval(held['ci95'])} in {space.upper()} ({number(held['fitted_score'])} fitted)"
        for space, held in found.items()
    ]
    return f"On the {100 * share:g} % of the samples that were held out of the fits: {listing(scores)}."


def _nothing(results: Mapping[str, MetricResult]) -> str:
    parts = []
    for space, result in results.items():
        nothing, shuffled = result.details.get("know_nothing_score"), result.details.get("permuted_scores")
        if nothing is not None:
            fitted = f", {listing([number(score) for score in shuffled])} fitted to shuffled labels" if shuffled else ""
            parts.append(f"{number(nothing)} in {space.upper()}{fitted}")
    return f"Planes that say nothing would score {'; '.join(parts)}." if parts else ""


def _points(result: MetricResult | None) -> list[dict[str, Any]]:
    points = [] if result is None else result.details.get("curve") or []
    return points if len(points) > 1 else []


def _draw(axes: Axes, curves: Mapping[str, list[dict[str, Any]]]) -> None:
    for space, points in curves.items():
        x = [point["num_samples"] for point in points]
        low, high = zip(*(point["ci95"] for point in points), strict=True)
        colour = _COLOURS[space]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, [point["score"] for point in points], color=colour, marker="o", markersize=3, label=space.upper())
        if "held_out_score" in points[0]:
            held = [math.nan if point["held_out_score"] is None else point["held_out_score"] for point in points]
            axes.plot(x, held, color=colour, linestyle=(0, (4, 3)))
    axes.set(xscale="log", yscale="log")
    sizes = sorted({point["num_samples"] for points in curves.values() for point in points})
    axes.set_xticks(sizes[:: -(-len(sizes) // _MOST_TICKS)], minor=False)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=_MOST_TICKS))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: count(int(value)) if value >= 1 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(loc="best", handlelength=1.2)
    axes.set_xlabel("samples", color=TEXT)
    axes.set_ylabel("score", color=TEXT)
