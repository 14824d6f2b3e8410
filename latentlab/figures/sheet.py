"""A picture that grows as images, words and curves are put on it; its size is what they take, so nothing is cut off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from latentlab.directions.drawing import INK, QUIET, STYLE, printable
from latentlab.directions.layout import BODY, DPI, LONGEST, SMALL
from latentlab.directions.lettering import Ruler
from latentlab.errors import UsageError

STEP = 1.3
"""From one line of text to the next, in lines."""
_RISE = 0.95
"""From the top of a line to its base, in lines."""
ACCENT = "#c8442a"


@dataclass(frozen=True)
class Curve:
    """A curve in a box: x, y of its upper left corner, width and height in pixels; y values from 0 to `top`.

    Attributes:
        place: Share of the width at which each value stands.
    """

    box: tuple[float, float, float, float]
    place: Sequence[float]
    values: Sequence[float]
    top: float


class Sheet:
    """Pixels from the upper left corner.

    Attributes:
        tile: Width of an image, which the sizes of letters and gaps follow.
    """

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self._images: list[tuple[int, int, np.ndarray]] = []
        self._words: list[Text] = []
        self._frames: list[tuple[int, int, int, int, int]] = []
        self._curves: list[Curve] = []
        self._extent: tuple[float, float] = (0, 0)
        self._ruler = Ruler(DPI)

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return max(16, self.tile // 8)

    @property
    def gap(self) -> int:
        """Between images."""
        return max(3, self.tile // 40)

    @property
    def margin(self) -> int:
        """Around everything."""
        return self.line

    def image(self, x: float, y: float, pixels: np.ndarray, *, room: int | None = None) -> None:
        """uint8 [h, w, 3] with its upper left corner at x, y; in the middle of a square of `room` pixels, if given."""
        height, width, _ = pixels.shape
        left, top = (round(start + ((room or size) - size) / 2) for start, size in ((x, width), (y, height)))
        self._images.append((left, top, pixels))
        self._reach(left + width, top + height)

    def frame(self, x: int, y: int, width: int, height: int, *, thick: int) -> None:
        """A frame of some thickness just outside a box."""
        self._frames.append((x, y, width, height, thick))

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = SMALL,
        bold: bool = False,
        quiet: bool = False,
        align: Literal["left", "center", "right"] = "left",
        room: float = math.inf,
    ) -> float:
        """A line of text whose top is at y, and which begins, has its middle or ends at x; the y of the next one.

        Letters are smaller where it would take more than `room` pixels.
        """
        size *= min(1.0, room / max(self.width(words, size=size, bold=bold), 1))
        width = self.width(words, size=size, bold=bold)
        self._write(x, y + _RISE * self.line * size, words, size=size, bold=bold, quiet=quiet, ha=align, va="baseline")
        self._reach(x + {"left": width, "center": width / 2, "right": 0}[align], y + STEP * self.line * size)
        return y + STEP * self.line * size

    def upright(self, x: float, y: float, words: str, *, size: float = SMALL, quiet: bool = False) -> None:
        """A line of text that is read from below, with its middle at x, y."""
        self._write(x, y, words, size=size, bold=False, quiet=quiet, rotation=90, ha="center", va="center")
        self._reach(x + self.line / 2, y + self.width(words, size=size) / 2)

    def lines(
        self,
        x: float,
        y: float,
        words: str,
        room: float,
        *,
        size: float = SMALL,
        bold: bool = False,
        quiet: bool = False,
        align: Literal["left", "center"] = "left",
    ) -> float:
        """Text in lines of at most `room` pixels; the y below them."""
        for part in self.wrapped(words, room, size=size, bold=bold):
            y = self.text(x, y, part, size=size, bold=bold, quiet=quiet, align=align)
        return y

    def heading(self, x: float, room: float, title: str, note: str) -> float:
        """A title with a note below it at the top, in lines of at most `room` pixels; the y below them."""
        y = self.lines(x, self.margin, title, room, size=BODY, bold=True)
        return self.lines(x, y, note, room, quiet=True) + 0.3 * self.line

    def curve(self, curve: Curve) -> None:
        """Draw a curve."""
        x, y, width, height = curve.box
        self._curves.append(curve)
        self._reach(x + width, y + height)

    def width(self, words: str, *, size: float = SMALL, bold: bool = False) -> float:
        """Pixels that a line of text takes."""
        return self._ruler.width(printable(words), self.points(size), bold=bold) if words else 0.0

    def wrapped(self, words: str, room: float, *, size: float = SMALL, bold: bool = False) -> list[str]:
        """Lines of at most `room` pixels."""
        return self._ruler.wrap(printable(words), room, self.points(size), bold=bold)

    def points(self, size: float) -> float:
        """A size of letters in lines, as points."""
        return size * 0.8 * self.line * 72 / DPI

    def array(self) -> np.ndarray:
        """The picture, uint8 [height, width, 3].

        Raises:
            UsageError: It would be too large.
        """
        width, height = (math.ceil(reach) + self.margin for reach in self._extent)
        if max(width, height) > LONGEST:
            raise UsageError(
                f"the picture would have {width:,} x {height:,} pixels, and at most {LONGEST:,} fit either way: take "
                "fewer rows."
            )
        sheet = np.full((height, width, 3), 255, np.uint8)
        for x, y, pixels in self._images:
            sheet[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        for frame in self._frames:
            _draw_frame(sheet, *frame)
        return _over(sheet, self._drawn(width, height))

    def _write(
        self, x: float, y: float, words: str, *, size: float, bold: bool, quiet: bool, **style: float | str
    ) -> None:
        weight, colour = "bold" if bold else "normal", QUIET if quiet else INK
        with mpl.rc_context(STYLE):
            text = Text(
                x, y, printable(words), fontsize=self.points(size), fontweight=weight, color=colour, parse_math=False
            )
            text.set(**style)
        self._words.append(text)

    def _reach(self, x: float, y: float) -> None:
        self._extent = (max(self._extent[0], x), max(self._extent[1], y))

    def _drawn(self, width: int, height: int) -> np.ndarray:
        """Words and curves on nothing, uint8 [height, width, 4]."""
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=((width + 0.5) / DPI, (height + 0.5) / DPI), dpi=DPI, facecolor="none")
            canvas = FigureCanvasAgg(figure)
            for text in self._words:
                x, y = text.get_position()
                text.set_position((x / width, 1 - y / height))
                text.set_transform(figure.transFigure)
                figure.add_artist(text)
            for curve in self._curves:
                self._plot(figure, curve, width, height)
            canvas.draw()
            return np.asarray(canvas.buffer_rgba())[:height, :width]

    def _plot(self, figure: Figure, curve: Curve, width: int, height: int) -> None:
        x, y, wide, high = curve.box
        axes = figure.add_axes((x / width, 1 - (y + high) / height, wide / width, high / height), facecolor="none")
        axes.set(xlim=(0, 1), ylim=(0, curve.top))
        thick = self.line / 16
        axes.fill_between(curve.place, curve.values, color=ACCENT, alpha=0.12, linewidth=0)
        axes.plot(curve.place, curve.values, color=ACCENT, linewidth=1.1 * thick, clip_on=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set(color=QUIET, linewidth=0.6 * thick)
        axes.set_xticks([])
        axes.set_yticks([0, curve.top], ["0", f"{curve.top:g}"], fontsize=self.points(0.7), color=QUIET)
        axes.tick_params(axis="y", length=2 * thick, width=0.6 * thick, color=QUIET, pad=2 * thick)


def _draw_frame(sheet: np.ndarray, x: int, y: int, width: int, height: int, thick: int) -> None:
    colour = np.array(mpl.colors.to_rgb(ACCENT)) * 255
    for top, left, high, wide in (
        (y - thick, x - thick, thick, width + 2 * thick),
        (y + height, x - thick, thick, width + 2 * thick),
        (y - thick, x - thick, height + 2 * thick, thick),
        (y - thick, x + width, height + 2 * thick, thick),
    ):
        sheet[max(top, 0) : top + high, max(left, 0) : left + wide] = colour.round()


def _over(sheet: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """What is drawn laid over a sheet; where nothing is drawn, its pixels stay as they are."""
    alpha = drawn[..., 3:].astype(np.uint32)
    mixed = (drawn[..., :3] * alpha + sheet * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def nice_top(value: float) -> float:
    """The smallest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 and 10 times a power of ten that is not below a value above 0."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return float(f"{next((step for step in steps if step * power >= value * (1 - 1e-9)), 10) * power:.6g}")
