"""What the report draws of path lengths, attributes and training."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from latentlab.report.charts import FIRST, SECOND, TEXT, Chart, W, Z, chart
from latentlab.report.rows import AttributeRow, attribute_scale, entropy
from latentlab.results import MetricResult

MAX_POINTS = 1500  # ticks drawn per curve; longer statistics are thinned


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0)


def entropy_scatter(rows: Sequence[AttributeRow], name: str) -> Chart | None:
    """Conditional entropy in Z (across) against W (up), one point an attribute, bars the 95 % intervals."""
    points = [row for row in rows if row.difference is not None]
    if not points:
        return None
    high = attribute_scale(rows).high
    (x, x_bars), (y, y_bars) = (_with_bars([getattr(row, space) for row in points]) for space in ("z", "w"))

    def draw(axes: Axes) -> None:
        axes.plot([0, high], [0, high], color=TEXT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.errorbar(x, y, xerr=x_bars, yerr=y_bars, color=W, fmt="o", markersize=4, elinewidth=0.7, alpha=0.85)
        axes.set(xlim=(0, high), ylim=(0, high), aspect="equal")
        axes.text(0.97, 0.05, "W leaves less open", transform=axes.transAxes, ha="right")
        axes.text(0.03, 0.95, "Z leaves less open", transform=axes.transAxes, va="top")
        _label(axes, "H(Y | Z), bits", "H(Y | W), bits")

    alt = (
        f"{name}: conditional entropy of {len(points)} attributes in Z against W; below the diagonal W leaves less open"
    )
    return chart(draw, alt=alt, size=(4.4, 4.24))


def _with_bars(sides: Sequence[Mapping[str, Any] | None]) -> tuple[np.ndarray, np.ndarray]:
    """Conditional entropies [A] and the distances [2, A] to the ends of their intervals, 0 where there is none."""
    values = np.array([entropy(dict(side or {})) for side in sides], float)
    ends = [(side or {}).get("ci95") or (None, None) for side in sides]
    intervals = np.array([[math.nan if end is None else end for end in pair] for pair in ends], float).T
    bars = np.abs(intervals - values)
    return values, np.nan_to_num(bars)


def distance_limits(results: Iterable[MetricResult]) -> tuple[float, float] | None:
    """Ends of the logarithmic axis that histograms of all these results share."""
    edges = [edge for result in results if (density := _density(result)) for edge in density[0]]
    return (min(edges), max(edges)) if edges else None


def distance_histogram(
    z: MetricResult | None, w: MetricResult | None, *, name: str, limits: tuple[float, float] | None = None
) -> Chart | None:
    """Densities of the distances of PPL over their logarithm, Z and W; dashed lines are the trimmed means."""
    drawn = [(result, colour) for result, colour in ((z, Z), (w, W)) if result and _density(result) is not None]
    if not drawn:
        return None

    def draw(axes: Axes) -> None:
        for result, colour in drawn:
            edges, density = _density(result) or ([], [])
            axes.stairs(density, edges, fill=True, color=colour, alpha=0.18, linewidth=0)
            axes.stairs(density, edges, color=colour, linewidth=1.4, label=result.metric[4].upper())
            if result.value is not None and result.value > 0:
                axes.axvline(math.log10(result.value), color=colour, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(limits)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{10**power:,.{max(0, -round(power))}f}"))
        axes.grid(visible=False, axis="y")
        axes.set_yticks([])
        axes.legend(loc="upper left", handlelength=1.2)
        _label(axes, "distance per step squared (logarithmic)", "share of pairs")

    names = " and ".join(result.metric[4].upper() for result, _ in drawn)
    return chart(draw, alt=f"{name}: distribution of path length distances in {names}")


def _density(result: MetricResult) -> tuple[list[float], list[float]] | None:
    """Histogram counts as a density that integrates to 1; None where the result has no histogram."""
    histogram = result.details.get("histogram") or {}
    edges, counts = histogram.get("edges"), histogram.get("counts")
    if not edges or not counts or len(edges) != len(counts) + 1 or sum(counts) <= 0:
        return None
    widths = np.diff(np.asarray(edges, float))
    return list(edges), list(np.asarray(counts, float) / sum(counts) / widths)


CURVES: dict[str, dict[str, str]] = {
    "Losses": {"loss_g": "generator", "loss_d": "discriminator"},
    "Scores of the discriminator": {"scores_real": "real", "scores_fake": "generated"},
    "R1 penalty": {"r1": "R1"},
    "Speed, images per second": {"images_per_second": "images/s"},
}
"""Charts of a training run and the fields of stats.jsonl each draws."""


def training_charts(stats: Sequence[Mapping[str, Any]], name: str) -> list[tuple[str, Chart]]:
    """One chart per kind of statistic over thousands of images seen, changes of resolution marked."""
    ticks = [tick for tick in stats if _finite(tick.get("kimg"))]
    ticks = ticks[:: max(1, math.ceil(len(ticks) / MAX_POINTS))]
    charts = []
    for title, fields in CURVES.items():
        present = {field: label for field, label in fields.items() if any(_finite(tick.get(field)) for tick in ticks)}
        if present:
            alt = f"{name}: {title.lower()} over thousands of images seen"
            charts.append((title, chart(lambda axes, present=present: _curves(axes, ticks, present), alt=alt)))  # type: ignore[misc]
    return charts


def _curves(axes: Axes, ticks: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> None:
    x = [tick["kimg"] for tick in ticks]
    for (field, label), colour in zip(fields.items(), (FIRST, SECOND), strict=False):
        y = [tick[field] if _finite(tick.get(field)) else math.nan for tick in ticks]
        marker = "o" if len(ticks) < 3 else None
        axes.plot(x, y, color=colour, linewidth=1.3, label=label, marker=marker, markersize=3)
    for kimg, text in _resolution_steps(ticks):
        axes.axvline(kimg, color=TEXT, linewidth=0.6, alpha=0.6)
        axes.text(kimg, 1.0, f" {text}", transform=axes.get_xaxis_transform(), va="bottom", fontsize=7.5)
    if len(fields) > 1:
        axes.legend(loc="best", handlelength=1.2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    _label(axes, "thousand images", "")


def _resolution_steps(ticks: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Where the resolution changes, and to what; the first tick counts if there is any change later."""
    steps: list[tuple[float, str]] = []
    current = None
    for tick in ticks:
        if tick.get("resolution") is not None and tick["resolution"] != current:
            current = tick["resolution"]
            steps.append((tick["kimg"], f"{current}²"))
    return steps if len(steps) > 1 else []


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
