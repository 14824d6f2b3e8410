"""Where things are in a picture of strips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latentlab.directions.lettering import Ruler
from latentlab.errors import UsageError

LEAST_TILE = 128
"""Width in pixels below which images are enlarged by a whole factor."""
LEAST_LINES = 24
"""Room for text beside or below which few columns leave the picture blank, in heights of a line."""
LONGEST = 2**16 - 1
"""The most pixels that a picture may be wide or high."""
DPI = 100
BODY, SMALL = 1.0, 0.85
"""Sizes of letters, in lines."""
_STEP = 1.25


@dataclass(frozen=True)
class Line:
    """A line of text with its place: pixels from the upper left corner to the start (or end) of its base line."""

    text: str
    x: float
    y: float
    bold: bool = False
    right: bool = False


class Layout:
    """Where things are in a picture of strips, in pixels from the upper left corner.

    Captions and notes are measured: unless each note fits beside its caption, all go below, and all blocks have as many
    lines as the block that needs most.

    Attributes:
        factor: How many pixels a pixel of the images becomes, in both directions.
        tile: Width of an enlarged image.
        gap: Between images.
        line: Height of the letters' line.
        top: Height of the heading.
        head: Height of a block's text.
        inner: Width and height of a block's images.
        room: Width of the text, which may be more.
        size: Width and height of the picture.
    """

    def __init__(
        self,
        resolution: int,
        *,
        rows: int,
        columns: int,
        captions: Sequence[str],
        notes: Sequence[str] | None = None,
        heading: str = "",
    ) -> None:
        self.factor = max(1, -(-LEAST_TILE // resolution))
        self.tile = resolution * self.factor
        self.gap = max(3, self.tile // 40)
        self.line = max(16, self.tile // 8)
        self.rows, self.columns = rows, columns
        self.left = 2 * self.line
        self.inner = (columns * (self.tile + self.gap) - self.gap, rows * (self.tile + self.gap) - self.gap)
        self.room = max(self.inner[0], LEAST_LINES * self.line)
        self._ruler = Ruler(DPI)
        self._heading = self._ruler.wrap(heading, self.room, self.points(SMALL))
        pairs = list(zip(captions, notes or [""] * len(captions), strict=True))
        lines = self._beside if all(self._fit_beside(*pair) for pair in pairs) else self._below
        self._texts = [lines(*pair) for pair in pairs]
        self.top = int(_STEP * self.line * len(self._heading))
        self._most = max(1 + max(row for _, row in lines) for lines in self._texts)
        self.head = int((1.85 + _STEP * self._most) * self.line)
        self.block = self.head + self.inner[1] + self.line // 2
        self.size = (self.left + self.room + 2 * self.gap, self.top + len(captions) * self.block + 2 * self.gap)
        if max(self.size) > LONGEST:
            raise UsageError(
                f"the picture would have {self.size[0]:,} x {self.size[1]:,} pixels, and at most {LONGEST:,} fit "
                "either way: take fewer attributes, seeds or steps."
            )

    def place(self, block: int) -> tuple[float, float, float, float]:
        """A block's axes, as matplotlib takes them: shares of the picture, from the lower left corner."""
        width, height = self.size
        bottom = height - self.top - block * self.block - self.head - self.inner[1]
        return self.left / width, bottom / height, self.inner[0] / width, self.inner[1] / height

    def heading(self) -> list[Line]:
        """What stands above all blocks."""
        return [Line(text, self.left, (1 + _STEP * row) * self.line) for row, text in enumerate(self._heading)]

    def caption(self, block: int) -> list[Line]:
        """What stands above a block's images, down to them."""
        lines = self._texts[block]
        first = self._most - 1 - max(row for _, row in lines)
        top = self.top + block * self.block + 1.45 * self.line
        return [
            Line(line.text, line.x, top + (first + row) * _STEP * self.line, line.bold, line.right)
            for line, row in lines
        ]

    def middles(self, count: int) -> list[float]:
        """The middles of columns or rows, in a block's own pixels."""
        return [number * (self.tile + self.gap) + self.tile / 2 - 0.5 for number in range(count)]

    def points(self, lines: float) -> float:
        """A length in lines, as points."""
        return lines * 0.8 * self.line * 72 / DPI

    def fitting(self, labels: Sequence[str]) -> float:
        """The size of letters, in points, in which each of some labels is no longer than an image."""
        points = self.points(SMALL)
        longest = max(self._ruler.width(label, points) for label in labels)
        return points * min(1.0, 0.97 * self.tile / max(longest, 1))

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

    def _fit_beside(self, caption: str, note: str) -> bool:
        words = self._ruler.width(caption, self.points(BODY), bold=True), self._ruler.width(note, self.points(SMALL))
        return sum(words) + 2 * self.line <= self.room

    def _beside(self, caption: str, note: str) -> list[tuple[Line, int]]:
        """A block's texts, and that both stand in the first row."""
        texts = [Line(caption, self.left, 0, bold=True), Line(note, self.left + self.room, 0, right=True)]
        return [(line, 0) for line in texts if line.text]

    def _below(self, caption: str, note: str) -> list[tuple[Line, int]]:
        """A block's texts and the rows they stand in, the note below the caption."""
        texts = [(text, True) for text in self._ruler.wrap(caption, self.room, self.points(BODY), bold=True)]
        texts += [(text, False) for text in self._ruler.wrap(note, self.room, self.points(SMALL))]
        return [(Line(text, self.left, 0, bold=bold), row) for row, (text, bold) in enumerate(texts)]
