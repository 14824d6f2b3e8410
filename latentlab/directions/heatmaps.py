"""Heat maps: cosines between attribute directions, and what edits move."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from latentlab.directions.drawing import (
    INK,
    QUIET,
    STAR,
    STYLE,
    check_picture,
    dagger_in_words,
    marked,
    printable,
    save_figure,
    words,
)
from latentlab.directions.form import Directions
from latentlab.directions.rescoring import Rescoring

DPI = 200
CELL = 0.235  # inches
NUMBERS_UP_TO = 14  # attributes; more have no room for numbers
COLOURS = "RdBu_r"
BLANK = "#e9e9e9"


def clustered(cosines: np.ndarray) -> np.ndarray:
    """An order of attributes [A] in which alike directions stand together: average linkage of 1 - cosine, with the
    optimal order of leaves (Bar-Joseph et al., 2001)."""
    if len(cosines) < 3:
        return np.arange(len(cosines))
    distances = np.clip(1 - cosines, 0, 2)
    np.fill_diagonal(distances, 0)
    condensed = squareform(distances, checks=False)
    return np.asarray(leaves_list(linkage(condensed, "average", optimal_ordering=True)))


def save_cosines(path: Path | str, found: Directions) -> None:
    """Draw the cosines between the directions of all valid attributes (`cosines_figure`).

    Raises:
        UsageError: The file's ending is that of no picture.
    """
    check_picture(path)
    save_figure(path, cosines_figure(found), dpi=DPI, crop=True)


def cosines_figure(found: Directions) -> Figure:
    """What `save_cosines` writes, as a figure; a star marks the conditioned directions, a dagger the hardly known."""
    valid = np.flatnonzero(found.valid)
    rows = valid[clustered(found.cosines[np.ix_(valid, valid)])]
    values = found.cosines[np.ix_(rows, rows)]
    np.fill_diagonal(values, np.nan)  # always 1
    few = found.hardly_known
    labels = [
        marked(words(found.attributes[row]), conditioned=bool(found.conditioned_on[row]), hardly_known=bool(few[row]))
        for row in rows
    ]
    title = f"Cosines between attribute directions in {found.space.upper()}"
    stars = {
        words(found.attributes[row]): ", ".join(map(words, found.conditioned_on[row]))
        for row in rows
        if found.conditioned_on[row]
    }
    notes = [printable(found.network["name"])]
    notes += [f"{STAR} {name}: orthogonal to {others}" for name, others in stars.items()]
    notes += [dagger_in_words(found.dims)] * bool(few[rows].any())
    with mpl.rc_context(STYLE):
        return _heatmap(values, labels, labels, limit=1.0, title=title, notes=notes, key="cosine")


def save_moves(path: Path | str, found: Rescoring) -> None:
    """Draw what edits (rows) moved of the measured attributes (columns), in standard deviations of log-odds per step.

    Rows and columns are in the order in which alike columns stand together; the targets are framed.

    Raises:
        UsageError: The file's ending is that of no picture.
    """
    check_picture(path)
    values = found.standardised
    order = _columns(values)
    position = np.argsort(order)
    rows = np.argsort(position[found.targets], kind="stable")
    limit = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    title = "What edits move"
    notes = [printable(found.description)] * bool(found.description)
    notes += [f"standard deviations of log-odds per step, means over {found.num_samples:,} samples; targets framed"]
    notes += [dagger_in_words()] * any(edit.hardly_known for edit in found.edits)
    with mpl.rc_context(STYLE):
        figure = _heatmap(
            values[np.ix_(rows, order)],
            [marked(words(found.edits[row].name), hardly_known=found.edits[row].hardly_known) for row in rows],
            [words(found.attributes[column]) for column in order],
            limit=limit,
            title=title,
            notes=notes,
            key="sd per step",
            framed=[(number, int(position[found.targets[row]])) for number, row in enumerate(rows)],
        )
    save_figure(path, figure, dpi=DPI, crop=True)


def _columns(moves: np.ndarray) -> np.ndarray:
    """Attributes [M] in the order of their columns of moves [E, M], by the cosines between these."""
    known = np.nan_to_num(moves)
    lengths = np.linalg.norm(known, axis=0)
    units = known / np.where(lengths > 0, lengths, 1)
    return clustered(units.T @ units)


def _heatmap(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    limit: float,
    title: str,
    notes: Sequence[str],
    key: str,
    framed: Sequence[tuple[int, int]] = (),
) -> Figure:
    """A figure of square cells of one size, its margins as wide as the longest labels need."""
    left, bottom = (0.25 + 0.085 * max(map(len, labels)) for labels in (rows, columns))
    cell = CELL if max(values.shape) > NUMBERS_UP_TO else 2 * CELL
    height, width = (cell * max(count, 4) for count in values.shape)
    top, right = 0.62 + 0.17 * len(notes), 0.95
    size = (max(left + width + right, 4.6), bottom + height + top)
    figure = Figure(figsize=size)
    axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    image = _cells(axes, values, limit=limit)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=8.5)
    axes.tick_params(length=0, pad=4)
    for row, column in framed:
        place = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=INK, linewidth=1.2, clip_on=False))
    if cell > CELL:
        _numbers(axes, values, limit=limit)
    bar = figure.add_axes(
        ((left + width + 0.16) / size[0], (bottom + height - min(height, 2.2)) / size[1], 0.12 / size[0],
         min(height, 2.2) / size[1])
    )  # fmt: skip
    figure.colorbar(image, cax=bar).outline.set_visible(False)
    bar.tick_params(length=2, labelsize=8)
    bar.set_title(key, fontsize=8, loc="left", pad=5)
    figure.text(0.12 / size[0], 1 - 0.14 / size[1], title, fontsize=12, fontweight="bold", va="top")
    figure.text(0.12 / size[0], 1 - 0.38 / size[1], "\n".join(notes), fontsize=8.5, color=QUIET, va="top")
    return figure


def _cells(axes: Axes, values: np.ndarray, *, limit: float) -> mpl.cm.ScalarMappable:
    """Coloured cells with thin white lines between them."""
    axes.set_facecolor(BLANK)
    colours = mpl.colormaps[COLOURS]
    edges = [np.arange(count + 1) - 0.5 for count in (values.shape[1], values.shape[0])]
    mesh = axes.pcolormesh(
        *edges,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=TwoSlopeNorm(0, -limit, limit),
        edgecolors="white",
        linewidth=0.5,
    )
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    return mesh


def _numbers(axes: Axes, values: np.ndarray, *, limit: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 * limit else INK
            axes.text(column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=8, color=colour)
