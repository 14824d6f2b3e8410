"""Strips: a picture of edited images, a row per seed and a column per step, a block per edit."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from latentlab.directions.drawing import INK, QUIET, STYLE, check_picture, printable, save_figure, words
from latentlab.directions.editing import Edit
from latentlab.directions.layout import BODY, DPI, SMALL, Layout

_WIDEST_NOTE = "log-odds −1000.00 per σ, selectivity −1000.0"


def save_strips(
    path: Path | str,
    images: np.ndarray,
    edits: Sequence[Edit],
    *,
    steps: Sequence[float],
    seeds: Sequence[int],
    notes: Sequence[str] | None = None,
    heading: str = "",
) -> None:
    """Draw images of edits; every pixel of theirs becomes a square of whole pixels in a PNG file.

    Args:
        path: A .png, .svg or .pdf file.
        images: uint8 [edits, seeds, steps, H, W, C], as `render_edits` gives them.
        edits: What the blocks show.
        steps: What the columns show.
        seeds: What the rows show.
        notes: For each block, a few words beside or below its caption.
        heading: What holds for all blocks, such as the network's name.

    Raises:
        UsageError: The picture would be too large, or the file's ending is that of no picture.
    """
    check_picture(path)
    save_figure(path, strips_figure(images, edits, steps=steps, seeds=seeds, notes=notes, heading=heading), dpi=DPI)


def strips_figure(
    images: np.ndarray,
    edits: Sequence[Edit],
    *,
    steps: Sequence[float],
    seeds: Sequence[int],
    notes: Sequence[str] | None = None,
    heading: str = "",
) -> Figure:
    """What `save_strips` writes, as a figure."""
    layout = layout_of(images.shape[3], edits, rows=len(seeds), columns=len(steps), notes=notes, heading=heading)
    width, height = layout.size
    columns, rows = list(map(step_label, steps)), [f"seed {seed}" for seed in seeds]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        for block in range(len(edits)):
            axes = figure.add_axes(layout.place(block))
            axes.imshow(layout.tiled(images[block]), interpolation="none", aspect="auto")
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0, pad=layout.points(0.3))
            axes.xaxis.tick_top()
            axes.set_xticks(layout.middles(len(steps)), columns, fontsize=layout.fitting(columns))
            axes.set_yticks(layout.middles(len(seeds)), rows, fontsize=layout.fitting(rows), color=QUIET)
            axes.tick_params(axis="y", labelrotation=90)
            for label in axes.get_yticklabels():
                label.set_verticalalignment("center")
        for line in [*layout.heading(), *(line for block in range(len(edits)) for line in layout.caption(block))]:
            figure.text(
                line.x / width,
                1 - line.y / height,
                line.text,
                fontsize=layout.points(BODY if line.bold else SMALL),
                fontweight="bold" if line.bold else "normal",
                color=INK if line.bold else QUIET,
                ha="right" if line.right else "left",
            )
    return figure


def layout_of(
    resolution: int,
    edits: Sequence[Edit],
    *,
    rows: int,
    columns: int,
    notes: Sequence[str] | None = None,
    heading: str = "",
) -> Layout:
    """Where things are in the picture of some edits.

    Raises:
        UsageError: It would be too large.
    """
    captions = [words(edit.name) + ", hardly known" * edit.hardly_known for edit in edits]
    return Layout(resolution, rows=rows, columns=columns, captions=captions, notes=notes, heading=printable(heading))


def check_strips(
    resolution: int, edits: Sequence[Edit], *, rows: int, columns: int, measured: bool, heading: str = ""
) -> None:
    """Raise UsageError if a picture of this many strips would be too large, before its images are made."""
    notes = [_WIDEST_NOTE] * len(edits) if measured else None
    layout_of(resolution, edits, rows=rows, columns=columns, notes=notes, heading=heading)


def step_label(step: float) -> str:
    """`-1.5` -> "−1.5 σ"; 0 stands for itself."""
    return "0" if step == 0 else f"{step:+g} σ".replace("-", "−")
