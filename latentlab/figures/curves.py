"""Training curves: everything that was measured at snapshots, over the images shown, of one run or of several."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentlab.directions.drawing import INK, QUIET, STYLE, printable
from latentlab.errors import NoFigureError
from latentlab.figures.formats import Plot
from latentlab.figures.material import Material
from latentlab.figures.rendering import Renderer
from latentlab.figures.statistics import Called, Series, Statistics, called, read_statistics
from latentlab.progress import Progress, silent

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Of runs; Okabe and Ito's palette, and signs for those who print without colours."""
DASHES: dict[str | None, Any] = {None: "solid", "w": "solid", "z": (0, (4, 2))}
_WIDE, _HIGH, _GAP = 3.9, 2.35, (0.75, 0.85)  # inches


def curves(
    renderer: Renderer, *, material: Material | None = None, progress: Progress = silent
) -> tuple[Plot, dict[str, Any]]:
    """A panel per metric, Z and W of one metric in one panel, and what they show.

    Raises:
        NoFigureError: The network is of no run, or one whose snapshots were not measured.
        DataError: Statistics that were named cannot be read.
    """
    sources = (material or Material(renderer.network)).sources
    own = sources.trained
    if own is None:
        raise NoFigureError(f"{renderer.network.name} is of no run of `latentlab train`, so it has no training curves.")
    folders = [own, *(other for other in sources.compared if other.resolve() != own.resolve())]
    runs = []
    for done, folder in enumerate(folders, 1):
        runs.append(read_statistics(folder))
        progress(done, len(folders))
    names = _apart([run.name for run in runs])
    figure = _drawn(runs, names)
    metrics = list(dict.fromkeys(key for run in runs for key in run.metrics))
    return Plot(figure), {
        "title": "Training curves",
        "caption": f"{', '.join(metrics)} at the snapshots of {', '.join(names)}, over thousands of images shown; "
        "lower is better. A ring marks each curve's lowest value; grey are the phases in which a resolution fades in"
        f"{_whose(runs, names)}.",
        "settings": {"seed": renderer.settings.seed, "metrics": metrics, "runs": names},
        "curves": {
            name: {key: {"kimg": one.kimg, "values": one.values} for key, one in run.metrics.items()}
            for name, run in zip(names, runs, strict=True)
        },
        "phases": [
            {"first": one.first, "last": one.last, "resolution": one.resolution, "fading": one.fading}
            for one in runs[0].phases
        ],
    }


def _drawn(runs: Sequence[Statistics], names: Sequence[str]) -> Figure:
    panels: dict[str, dict[str, Called]] = {}
    for key in dict.fromkeys(key for run in runs for key in run.metrics):
        words = called(key)
        panels.setdefault(words.panel, {})[key] = words
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    head, foot, left = 1.05, 0.85, 0.75
    width = max(left + columns * _WIDE + (columns - 1) * _GAP[0] + 0.3, 5.4)
    height = head + rows * _HIGH + (rows - 1) * _GAP[1] + foot
    end = max(max(one.kimg) for run in runs for one in run.metrics.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for number, (title, keys) in enumerate(panels.items()):
            x = left + (number % columns) * (_WIDE + _GAP[0])
            y = height - head - _HIGH - (number // columns) * (_HIGH + _GAP[1])
            axes = figure.add_axes((x / width, y / height, _WIDE / width, _HIGH / height))
            _panel(axes, title, keys, runs, end=end)
        top = 1 - 0.18 / height
        figure.text(0.2 / width, top, "Training curves", fontsize=13, fontweight="bold", va="top")
        note = f"measured at snapshots; lower is better; rings: lowest values{_whose(runs, names)}"
        figure.text(0.2 / width, top - 0.26 / height, printable(note), fontsize=8.5, color=QUIET, va="top")
        _legend(figure, names, panels, place=(0.2 / width, 0.04 / height))
    return figure


def _panel(axes: Axes, title: str, keys: dict[str, Called], runs: Sequence[Statistics], *, end: float) -> None:
    highest = 0.0
    for number, run in enumerate(runs):
        for key, words in keys.items():
            if key in run.metrics:
                _curve(axes, run.metrics[key], words.space, number)
                highest = max(highest, *run.metrics[key].values)
    axes.set(xlim=(0, end * 1.02), ylim=(0, highest * 1.08 or 1))
    _phases(axes, runs[0], end)
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold", pad=14)
    axes.set_xlabel("thousands of images", fontsize=8.5)
    axes.set_ylabel(next(iter(keys.values())).unit, fontsize=8.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=QUIET, linewidth=0.7)
    axes.tick_params(length=2.5, labelsize=8, color=QUIET, width=0.7)


def _curve(axes: Axes, series: Series, space: str | None, number: int) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    axes.plot(
        series.kimg,
        series.values,
        color=colour,
        linestyle=DASHES[space],
        linewidth=1.5,
        marker=marker,
        markersize=4,
        clip_on=False,
        zorder=3,
    )
    best = min(range(len(series.values)), key=lambda place: series.values[place])
    axes.plot(
        series.kimg[best],
        series.values[best],
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=1.1,
        clip_on=False,
        zorder=4,
    )


def _phases(axes: Axes, run: Statistics, end: float) -> None:
    """Grey where a resolution fades in, and each resolution's name above its stable phase."""
    shown = [phase for phase in run.phases if phase.first < end]
    for phase in shown:
        last = min(phase.last, end)
        if phase.fading:
            axes.axvspan(phase.first, last, color="#000000", alpha=0.07, linewidth=0, zorder=0)
    for size in dict.fromkeys(phase.resolution for phase in shown):
        of_size = [phase for phase in shown if phase.resolution == size]
        middle = (of_size[0].first + min(of_size[-1].last, end)) / 2
        axes.text(
            middle,
            1.015,
            f"{size} px",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=QUIET,
        )


def _legend(
    figure: Figure, names: Sequence[str], panels: dict[str, dict[str, Called]], *, place: tuple[float, float]
) -> None:
    """Of the runs, if there are several, and of Z and W, if a panel has both or either."""
    handles = [
        Line2D([], [], color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)], markersize=4,
               label=printable(name))
        for number, name in enumerate(names)
    ]  # fmt: skip
    spaces = {words.space for keys in panels.values() for words in keys.values()} - {None}
    handles += [
        Line2D([], [], color=INK, linestyle=DASHES[space], label=f"in {str(space).upper()}")
        for space in sorted(map(str, spaces), reverse=True)
    ]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=place, ncols=4, fontsize=8.5, frameon=False, borderaxespad=0
    )


def _whose(runs: Sequence[Statistics], names: Sequence[str]) -> str:
    """Whose phases are shown, where that must be said."""
    return f"; phases are those of {names[0]}" if any(run.phases != runs[0].phases for run in runs) else ""


def _apart(names: Sequence[str]) -> list[str]:
    """Names with numbers behind those that are there before."""
    return [f"{name} ({names[:place].count(name) + 1})" if name in names[:place] else name
            for place, name in enumerate(names)]  # fmt: skip
