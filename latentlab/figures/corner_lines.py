"""Decision lines across a plane of the latent space, with their names, and the field that lies beyond both."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from latentlab.directions.drawing import INK
from latentlab.figures.training_data import Combination

REACH = 3.6
"""Standard deviations that the clouds are shown to."""
PICTURE = ((-REACH, -REACH), (REACH, -REACH), (REACH, REACH), (-REACH, REACH))
BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
_ON_LINE = 1e-9
_ARROW = 0.75
"""Its length in standard deviations."""


def shade(axes: Axes, polygon: Sequence[tuple[float, float]]) -> None:
    """A hatched field."""
    if len(polygon) > 2:
        x, y = zip(*polygon, strict=True)
        axes.fill(x, y, facecolor="#000000", alpha=0.08, zorder=1, linewidth=0)
        axes.fill(x, y, facecolor="none", edgecolor="#00000055", hatch="///", zorder=1, linewidth=0)


def field(lines: np.ndarray, corner: Combination) -> list[tuple[float, float]]:
    """The polygon of the picture on the corner's side of both lines (Sutherland and Hodgman's clipping, 1974)."""
    polygon: list[tuple[float, float]] = list(PICTURE)
    for line, value in zip(lines, corner, strict=True):
        polygon = _clipped(polygon, line if value else -line)
    return polygon


def _clipped(polygon: Sequence[tuple[float, float]], line: np.ndarray) -> list[tuple[float, float]]:
    """What of a polygon lies where a x + b y + c >= 0."""
    kept: list[tuple[float, float]] = []
    for start, end in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        at_start, at_end = _side(line, start), _side(line, end)
        if at_start >= 0:
            kept.append(start)
        if (at_start >= 0) != (at_end >= 0):
            part = at_start / (at_start - at_end)
            kept.append((start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])))
    return kept


def _side(line: np.ndarray, point: tuple[float, float]) -> float:
    """Above 0 where the attribute is."""
    return float(line[0] * point[0] + line[1] * point[1] + line[2])


def draw_line(axes: Axes, line: np.ndarray, name: str, *, dashed: bool) -> None:
    """A decision line across the picture, with an arrow towards where the attribute is."""
    crossings = [end for end in _clipped(PICTURE, line) if abs(_side(line, end)) < _ON_LINE]
    if len(crossings) < 2:
        return  # beyond what is shown: all samples there lie on one side
    first, last = crossings[0], max(crossings, key=lambda end: float(np.hypot(*np.subtract(end, crossings[0]))))
    axes.plot(
        [first[0], last[0]],
        [first[1], last[1]],
        color=INK,
        linewidth=1.4,
        linestyle=(0, (5, 2)) if dashed else "solid",
        zorder=4,
    )
    normal = line[:2] / np.linalg.norm(line[:2])
    top, other = sorted((first, last), key=lambda end: (-round(end[1], 6), -end[0]))
    bases = [np.array(top) + part * (np.array(other) - np.array(top)) for part in (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)]
    base = next((base for base in bases if _has_room(base, normal, name)), bases[3])
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", base + _ARROW * normal, base, arrowprops=style, zorder=5)
    place, (sideways, upright) = base + (_ARROW + 0.1) * normal, _alignment(normal)
    axes.text(place[0], place[1], name, fontsize=8, ha=sideways, va=upright, bbox=BOX, zorder=6, clip_on=True)


def _alignment(normal: np.ndarray) -> tuple[Literal["left", "right", "center"], Literal["bottom", "top", "center"]]:
    """Which part of a name lies at the tip of its arrow."""
    sideways = "left" if normal[0] > 0.5 else "right" if normal[0] < -0.5 else "center"
    upright = "bottom" if normal[1] > 0.5 else "top" if normal[1] < -0.5 else "center"
    return sideways, upright  # type: ignore[return-value]


def _has_room(base: np.ndarray, normal: np.ndarray, name: str) -> bool:
    """Whether the picture holds a name at the tip of an arrow."""
    tip, (sideways, upright) = base + (_ARROW + 0.1) * normal, _alignment(normal)
    width, height = 0.13 * len(name) + 0.1, 0.3
    left = tip[0] - {"left": 0.0, "center": 0.5, "right": 1.0}[sideways] * width
    bottom = tip[1] - {"bottom": 0.0, "center": 0.5, "top": 1.0}[upright] * height
    return bool(min(left, bottom) > -REACH and left + width < REACH and bottom + height < REACH)
