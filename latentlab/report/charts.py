"""Charts by matplotlib: as SVG and PDF files, and as an <svg> whose colours and font follow the page's theme."""

import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

TEXT, RULE, Z, W, FIRST, SECOND = "#55585d", "#d3d2cc", "#b4490a", "#0a68b4", "#0d7a5f", "#8a4fa3"
VARIABLES = {TEXT: "ink-2", RULE: "rule-2", Z: "z", W: "w", FIRST: "one", SECOND: "two"}
"""The colours of charts: those that the style sheet's variables have in its light theme (templates/style.css)."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "latentlab",
    "pdf.fonttype": 3,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "text.color": TEXT,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
    "path.simplify": True,
}
SIZE = (4.5, 2.6)  # inches; at 72 points an inch a phone's width shrinks it little
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Chart:
    """One drawing in three forms.

    Attributes:
        inline: The <svg> for the page: it scales with its container, follows the theme and is read out as `alt`.
        svg: A file of its own, in the colours of the light theme.
        pdf: The same as PDF.
        alt: What it shows, in words.
    """

    inline: Markup
    svg: bytes
    pdf: bytes
    alt: str

    def __html__(self) -> str:
        return self.inline


def chart(draw: Callable[[Axes], None], *, alt: str, size: tuple[float, float] = SIZE) -> Chart:
    """Draw into fresh axes, in the report's style; the state of matplotlib stays as it is.

    Args:
        draw: Draws into the axes, in colours of `VARIABLES`, which the page's theme replaces.
        alt: What is shown, in words.
        size: Inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size)
        canvas = FigureCanvasSVG(figure)
        draw(figure.add_axes(_margins(*size)))
        svg, pdf = io.StringIO(), io.BytesIO()
        canvas.print_svg(svg, metadata=_NO_METADATA | {"Title": alt})
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"Title": alt, "CreationDate": None})
    text = svg.getvalue()
    return Chart(_themed(text, alt), text.encode("utf-8"), pdf.getvalue(), alt)


def _margins(width: float, height: float) -> tuple[float, float, float, float]:
    """The axes' place in a figure of this size (inches): room for labels left and below, for marks above."""
    left, bottom, right, top = 0.62, 0.46, 0.22, 0.22
    return left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height


def _themed(svg: str, alt: str) -> Markup:
    """Keep the <svg> element alone, name it, and put variables of the style sheet in place of the colours."""
    apart = f"c{zlib.crc32(svg.encode()):08x}-"  # clips and marks are named by their content, in every chart alike
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|title)>.*?</\1>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # matplotlib numbers them anew in every chart
    svg = re.sub(r'((?: id=|href=)"#?|url\(#)', rf"\g<1>{apart}", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="0 0 ([\d.]+) ', svg)
    width = round(float(box[1]) * 4 / 3) if box else 600
    opening = re.compile(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", re.DOTALL)
    head = f'<svg class="chart" role="img" aria-label="{escape(alt)}" style="max-width:{width}px" '
    return Markup(opening.sub(lambda match: f'{head}{match[1]} xmlns="http://www.w3.org/2000/svg">', svg, count=1))
