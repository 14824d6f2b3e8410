"""Formulas as pictures inside the page, drawn while the site is built: nothing is fetched when it is read.

A fence called `math` holds TeX, which GitHub shows as a formula by itself; here Matplotlib's mathtext draws it, so only
what mathtext knows may occur. Matplotlib's own fonts are used, and letters become outlines in the text's colour.
"""

import html
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

FONT = FontProperties(math_fontfamily="stix")
SIZE = 100  # units per em of the drawing
LINE_GAP = 60  # between two lines of a formula
SCALE = 1.1  # ems of the text for one em of the drawing
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def outline(path: Path) -> str:
    """An SVG path's `d`; y grows downwards there."""
    pieces = []
    for points, code in path.iter_segments(simplify=False, curves=True):
        numbers = " ".join(f"{value:.1f}" for value in (np.reshape(points, (-1, 2)) * (1, -1)).ravel())
        pieces.append("Z" if code == Path.CLOSEPOLY else COMMANDS[code] + numbers)
    return "".join(pieces)


def svg(tex: str) -> str:
    """TeX as inline SVG, a line of the drawing for each line of the text.

    Raises:
        ValueError: mathtext does not know what is there.
    """
    drawn, top, width = [], 0.0, 0.0
    for line in tex.strip().splitlines():
        path = TextPath((0, 0), f"${line.strip()}$", size=SIZE, prop=FONT)
        box = path.get_extents()
        baseline = top + box.y1
        drawn.append(f'<path transform="translate({-box.x0:.1f} {baseline:.1f})" d="{outline(path)}"/>')
        top, width = baseline - box.y0 + LINE_GAP, max(width, box.x1 - box.x0)
    height = top - LINE_GAP
    said = html.escape(" ".join(tex.split()), quote=True)
    return (
        f'<svg class="formula" role="img" aria-label="{said}" viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" '
        f'style="width: {width / SIZE * SCALE:.2f}em" fill="currentColor">{"".join(drawn)}</svg>'
    )


def fence(source: str, language: str, css_class: str, options: Any, md: Any, **more: Any) -> str:
    """What pymdownx.superfences calls for a fence called `math`."""
    return f'<p class="formula">{svg(source)}</p>'
