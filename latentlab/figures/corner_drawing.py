"""How the missing corner is drawn: training data as a square of four fields, latent spaces as clouds cut by planes."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentlab.directions.drawing import INK, QUIET, STYLE, printable, words
from latentlab.figures.corner_lines import BOX, REACH, draw_line, field, shade
from latentlab.figures.corner_planes import Estimate, Plane, Told
from latentlab.figures.training_data import COMBINATIONS, Combination, Counts
from latentlab.randomness import uniform_rows

COLOURS = ("#0072b2", "#e69f00", "#009e73")
"""Of the combinations beside the corner, from the palette of Okabe and Ito (2008), which the colour-blind can tell."""
MARKERS = ("o", "s", "^")
CORNER_COLOUR, CORNER_MARKER = "#000000", "x"
DOTS = 1200
"""Dots in the square of the training data."""
LEAST_WIDTH = 8.5
"""Inches; the title and the notes of a single panel need as much."""
_SIDE, _LEFT, _GAP, _FOOT, _HEAD = 3.7, 0.75, 0.8, 1.75, 1.45  # inches


@dataclass(frozen=True)
class Panel:
    """What the training data are: how many images have each combination, and in data with nothing left out."""

    counts: Counts
    full: Counts | None = None


@dataclass(frozen=True)
class View:
    """A space: where its samples lie, and what the planes tell of them."""

    space: str
    plane: Plane
    told: Told


@dataclass(frozen=True)
class Look:
    """What all panels share.

    Attributes:
        names: Of the two attributes.
        corner: Their values in the corner.
        title: Of the whole picture.
        notes: Lines below it.
        seed: Of where dots lie in the square of the training data.
    """

    names: tuple[str, str]
    corner: Combination
    title: str
    notes: Sequence[str]
    seed: int = 0

    @property
    def styles(self) -> dict[Combination, tuple[str, str]]:
        """Colour and marker of each combination, the corner's last."""
        others = [both for both in COMBINATIONS if both != self.corner]
        found = dict(zip(others, zip(COLOURS, MARKERS, strict=True), strict=True))
        return found | {self.corner: (CORNER_COLOUR, CORNER_MARKER)}

    def called(self, both: Combination) -> str:
        """`Male, not Smiling`."""
        return ", ".join(
            words(name) if value else f"not {words(name)}" for name, value in zip(self.names, both, strict=True)
        )


def corner_figure(
    look: Look, panel: Panel | None, views: Sequence[View], *, labels: np.ndarray, shown: int, bits: float
) -> Figure:
    """The panels side by side.

    Args:
        look: What they share.
        panel: The training data; None where their labels are not known.
        views: Of the spaces.
        labels: bool [N, 2].
        shown: How many of the samples are drawn.
        bits: H(labels).
    """
    count = len(views) + (panel is not None)
    width = max(_LEFT + count * _SIDE + (count - 1) * _GAP + 0.3, LEAST_WIDTH)
    height = _HEAD + _SIDE + _FOOT
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        places = [
            ((_LEFT + number * (_SIDE + _GAP)) / width, _FOOT / height, _SIDE / width, _SIDE / height)
            for number in range(count)
        ]
        letters = iter("abc")
        if panel is not None:
            _draw_data(figure.add_axes(places.pop(0)), next(letters), look, panel)
        for place, view in zip(places, views, strict=True):
            axes = figure.add_axes(place)
            _draw_space(axes, next(letters), look, view, labels, shown=shown)
            _below(axes, _in_words(view, bits), top=-0.155)
        left, top = 0.2 / width, 1 - 0.2 / height
        figure.text(left, top, printable(look.title), fontsize=13, fontweight="bold", va="top")
        lines = "\n".join(printable(note) for note in look.notes if note)
        figure.text(left, top - 0.26 / height, lines, fontsize=8.5, color=QUIET, va="top", linespacing=1.35)
        figure.legend(
            handles=_legend(look),
            loc="lower left",
            bbox_to_anchor=(left, 0.06 / height),
            ncols=4 if count > 2 else 2,
            fontsize=9,
            frameon=False,
            handletextpad=0.3,
            columnspacing=1.6,
            borderpad=0,
            borderaxespad=0,
        )
    return figure


def _legend(look: Look) -> list[Line2D]:
    return [
        Line2D([], [], linestyle="none", color=colour, marker=marker, markersize=6, label=look.called(both))
        for both, (colour, marker) in look.styles.items()
    ]


def _dots(axes: Axes, points: np.ndarray, style: tuple[str, str], *, size: float) -> None:
    colour, marker = style
    crossed = marker == CORNER_MARKER
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=size * (1.6 if crossed else 1),
        c=colour,
        marker=marker,
        linewidths=0.9 if crossed else 0,
        alpha=0.9 if crossed else 0.6,
        zorder=3 if crossed else 2,
    )


def _frame(axes: Axes, letter: str, title: str) -> None:
    axes.set_title(f"({letter}) {title}", loc="left", fontsize=11, fontweight="bold", pad=6)
    axes.set_aspect("equal")
    axes.spines[:].set(color=QUIET, linewidth=0.7)
    axes.tick_params(length=2.5, labelsize=8, color=QUIET, width=0.7)


def _draw_data(axes: Axes, letter: str, look: Look, panel: Panel) -> None:
    """Four fields, each with as many dots as its share of the images."""
    total = sum(panel.counts.values())
    axes.set(xlim=(0, 2), ylim=(0, 2))
    left, bottom = map(int, look.corner)
    shade(axes, [(left, bottom), (left + 1, bottom), (left + 1, bottom + 1), (left, bottom + 1)])
    for number, both in enumerate(COMBINATIONS):
        dots = round(DOTS * panel.counts[both] / total)
        inside = uniform_rows(look.seed, f"corner-dots-{number}", slice(0, dots), 2)
        _dots(axes, inside * 0.94 + 0.03 + np.array(both), look.styles[both], size=9)
        said = f"{panel.counts[both]:,}"
        if panel.full is not None:
            said += f"\n({panel.full[both]:,})"
        axes.text(both[0] + 0.5, both[1] + 0.5, said, ha="center", va="center", fontsize=8.5, bbox=BOX, zorder=5)
    axes.axhline(1, color=INK, linewidth=1)
    axes.axvline(1, color=INK, linewidth=1)
    _frame(axes, letter, "Training data")
    first, second = map(words, look.names)
    axes.set_xticks([0.5, 1.5], [f"not {first}", first])
    axes.set_yticks([0.5, 1.5], [f"not {second}", second], rotation=90, va="center")
    axes.tick_params(length=0)
    below = [f"{total:,} images; one dot for {total / DOTS:.3g} of them"]
    if panel.full is not None:
        below.append(f"in brackets: {sum(panel.full.values()):,} images with nothing left out")
    _below(axes, below)


def _draw_space(axes: Axes, letter: str, look: Look, view: View, labels: np.ndarray, *, shown: int) -> None:
    """The first samples, the means of all, both planes, and the field in which both say the corner."""
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    points = view.plane.points
    drawn = (np.arange(len(points)) < shown) & (np.abs(points) < REACH).all(axis=1)
    for both, style in look.styles.items():
        these = (labels == np.array(both)).all(axis=1)
        _dots(axes, points[drawn & these], style, size=8)
        if these.any():
            _mean(axes, points[these].mean(axis=0), style)
    shade(axes, field(view.plane.lines, look.corner))
    for name, line, dashed in zip(look.names, view.plane.lines, (False, True), strict=True):
        draw_line(axes, line, words(name), dashed=dashed)
    _frame(axes, letter, f"Latent space {view.space.upper()}")
    first, second = map(words, look.names)
    axes.set_xlabel(f"along {first} (standard deviations)", fontsize=8.5)
    axes.set_ylabel(f"along {second}, orthogonal to {first}", fontsize=8.5)


def _mean(axes: Axes, place: np.ndarray, style: tuple[str, str]) -> None:
    """A large sign with a white edge."""
    colour, marker = style
    filled = "X" if marker == CORNER_MARKER else marker
    axes.scatter(place[0], place[1], s=110, c=colour, marker=filled, linewidths=1.6, edgecolors="white", zorder=7)


def _in_words(view: View, bits: float) -> list[str]:
    told = view.told
    low, high = told.bits_open.ci95
    return [
        f"both sides right, held out: {_per_cent(told.both_right)}",
        f"left open: {told.bits_open.value:.2f} [{low:.2f}, {high:.2f}] of {bits:.2f} bits",
        f"on the corner's side of both: {_per_cent(told.corner_side)}",
        f"cosine of the directions: {view.plane.cosine:.2f}".replace("-", "−"),
    ]


def _per_cent(found: Estimate) -> str:
    if found.value == 0:
        return "no sample"
    digits = 1 if found.value >= 0.01 else 2
    value, low, high = (f"{100 * part:.{digits}f}" for part in (found.value, *found.ci95))
    return f"{value} % [{low}, {high}]"


def _below(axes: Axes, lines: Sequence[str], *, top: float = -0.1) -> None:
    axes.text(0, top, "\n".join(lines), transform=axes.transAxes, fontsize=8.5, color=INK, va="top", linespacing=1.4)
