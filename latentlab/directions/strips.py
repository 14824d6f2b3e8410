"""Strips: a picture of edited images, a row per seed and a column per step, a block per edit."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from latentlab.directions.drawing import QUIET, STYLE, check_picture, save_figure, words
from latentlab.directions.editing import Edit
from latentlab.errors import UsageError

LEAST_TILE = 128
"""Width in pixels below which images are enlarged by a whole factor."""
LONGEST = 2**16 - 1
"""The most pixels that a picture may be wide or high."""
DPI = 100


def save_strips(
    path: Path | str,
    images: np.ndarray,
    edits: Sequence[Edit],
    *,
    steps: Sequence[float],
    seeds: Sequence[int],
    notes: Sequence[str] | None = None,
) -> None:
    """Draw images of edits; every pixel of theirs becomes a square of whole pixels in a PNG file.

    Args:
        path: A .png, .svg or .pdf file.
        images: uint8 [edits, seeds, steps, H, W, C], as `render_edits` gives them.
        edits: What the blocks show.
        steps: What the columns show.
        seeds: What the rows show.
        notes: For each block, a few words to its right.

    Raises:
        UsageError: The picture would be too large, or the file's ending is that of no picture.
    """
    check_picture(path)
    layout = Layout(images.shape[3], blocks=len(edits), rows=len(seeds), columns=len(steps))
    width, height = layout.size
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        for block, edit in enumerate(edits):
            axes = figure.add_axes(layout.place(block))
            axes.imshow(layout.tiled(images[block]), interpolation="none", aspect="auto")
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0, pad=layout.points(0.3))
            axes.xaxis.tick_top()
            small = layout.points(0.85)
            axes.set_xticks(layout.middles(len(steps)), list(map(step_label, steps)), fontsize=small)
            axes.set_yticks(layout.middles(len(seeds)), [f"seed {seed}" for seed in seeds], fontsize=small, color=QUIET)
            axes.tick_params(axis="y", labelrotation=90)
            for label in axes.get_yticklabels():
                label.set_verticalalignment("center")
            x, y = layout.caption(block)
            figure.text(x / width, 1 - y / height, words(edit.name), fontsize=layout.points(1), fontweight="bold")
            if notes is not None:
                right = 1 - layout.gap / width
                figure.text(right, 1 - y / height, notes[block], fontsize=small, color=QUIET, ha="right")
    save_figure(path, figure, dpi=DPI)


def check_strips(resolution: int, *, blocks: int, rows: int, columns: int) -> None:
    """Raise UsageError if a picture of this many strips would be too large, before its images are made."""
    Layout(resolution, blocks=blocks, rows=rows, columns=columns)


def step_label(step: float) -> str:
    """`-1.5` -> "−1.5 σ"; 0 stands for itself."""
    return "0" if step == 0 else f"{step:+g} σ".replace("-", "−")


class Layout:
    """Where things are in a picture of strips, in pixels from the upper left corner.

    Attributes:
        factor: How many pixels a pixel of the images becomes, in both directions.
        tile: Width of an enlarged image.
        gap: Between images.
        line: Height of the letters' line.
        size: Width and height of the picture.
    """

    def __init__(self, resolution: int, *, blocks: int, rows: int, columns: int) -> None:
        self.factor = max(1, -(-LEAST_TILE // resolution))
        self.tile = resolution * self.factor
        self.gap = max(3, self.tile // 40)
        self.line = max(16, self.tile // 8)
        self.rows, self.columns = rows, columns
        self.left, self.head = 2 * self.line, int(3.1 * self.line)
        self.inner = (columns * (self.tile + self.gap) - self.gap, rows * (self.tile + self.gap) - self.gap)
        self.block = self.head + self.inner[1] + self.line // 2
        self.size = (self.left + self.inner[0] + 2 * self.gap, blocks * self.block + 2 * self.gap)
        if max(self.size) > LONGEST:
            raise UsageError(
                f"the picture would have {self.size[0]:,} x {self.size[1]:,} pixels, and at most {LONGEST:,} fit "
                "either way: take fewer attributes, seeds or steps."
            )

    def place(self, block: int) -> tuple[float, float, float, float]:
        """A block's axes, as matplotlib takes them: shares of the picture, from the lower left corner."""
        width, height = self.size
        bottom = height - block * self.block - self.head - self.inner[1]
        return self.left / width, bottom / height, self.inner[0] / width, self.inner[1] / height

    def caption(self, block: int) -> tuple[int, int]:
        """Where a block's caption starts, on its base line."""
        return self.left, block * self.block + int(1.45 * self.line)

    def middles(self, count: int) -> list[float]:
        """The middles of columns or rows, in a block's own pixels."""
        return [number * (self.tile + self.gap) + self.tile / 2 - 0.5 for number in range(count)]

    def points(self, lines: float) -> float:
        """A length in lines, as points."""
        return lines * 0.8 * self.line * 72 / DPI

    def tiled(self, images: np.ndarray) -> np.ndarray:
        """uint8 [rows, columns, H, W, C] -> one image [h, w, 3], enlarged, white between the images."""
        rows, columns, _, _, channels = images.shape
        sheet = np.full((self.inner[1], self.inner[0], 3), 255, np.uint8)
        shown = images[..., :3] if channels >= 3 else images[..., :1]
        large = shown.repeat(self.factor, axis=2).repeat(self.factor, axis=3)
        for row in range(rows):
            for column in range(columns):
                y, x = (number * (self.tile + self.gap) for number in (row, column))
                sheet[y : y + self.tile, x : x + self.tile] = large[row, column]
        return sheet
