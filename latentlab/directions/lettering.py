"""Text in pictures: how wide it is, and where its lines break."""

from functools import cached_property

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from latentlab.directions.drawing import STYLE


class Ruler:
    """Measures text as a PNG file of some resolution shows it.

    Attributes:
        dpi: Pixels per inch.
    """

    def __init__(self, dpi: int) -> None:
        self.dpi = dpi

    def width(self, text: str, points: float, *, bold: bool = False) -> float:
        """Pixels that a line takes in letters of some size."""
        font = FontProperties(family=STYLE["font.sans-serif"], size=points, weight="bold" if bold else "normal")
        width, _, _ = self._renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width)

    def wrap(self, text: str, room: float, points: float, *, bold: bool = False) -> list[str]:
        """Lines of at most `room` pixels; a word that is wider than that is broken."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer, points, bold=bold) <= room:
                lines[-1] = longer
                continue
            while len(word) > 1 and self.width(word, points, bold=bold) > room:
                fits = self._fitting(word, room, points, bold=bold)
                lines.append(word[:fits])
                word = word[fits:]
            lines.append(word)
        return lines

    def _fitting(self, word: str, room: float, points: float, *, bold: bool) -> int:
        """How many letters of a word fit; at least one."""
        fits = (count for count in range(len(word), 1, -1) if self.width(word[:count], points, bold=bold) <= room)
        return next(fits, 1)

    @cached_property
    def _renderer(self) -> RendererAgg:
        return RendererAgg(1, 1, self.dpi)
