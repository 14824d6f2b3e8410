"""What every part of a drawn face refers to: the canvas, the factors, and the sizes and colours they imply."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latentlab.data.face_canvas import Canvas, Field, ellipse, hsv, mix, palette, ramp
from latentlab.data.face_factors import FACTOR_NAMES

EYE_Y = 0.465
BROW_Y = 0.375
MOUTH_Y = 0.705
SKULL_Y = 0.47  # where the head is widest
SKULL_TOP = 0.115

_SKIN = [(138.0, 90.0, 66.0), (198.0, 142.0, 108.0), (232.0, 180.0, 142.0), (241.0, 198.0, 164.0)]
_PORCELAIN = [(252.0, 236.0, 230.0), (255.0, 245.0, 243.0)]


class Portrait:
    """Faces to be drawn on one canvas.

    Attributes:
        canvas: Where they are drawn.
        half_width: Half of the head's width at the temples.
        chin: How far down the chin is.
        square: How square the lower face is: 0 an ellipse, above 0 squarer, below 0 more pointed.
        eye_x: Distance of the eyes from the middle.
        skin, hair, brow: Their colours.
    """

    def __init__(self, canvas: Canvas, values: tuple[Field, Field], sizes: Field, colours: Field):
        self.canvas = canvas
        self._factors, self._shown = values  # both [N, F]
        self._sizes, self._colours = sizes, colours  # [N, 4], [N, 3, 3]
        self.half_width, self.chin, self.square, self.eye_x = sizes.T[:, :, None, None]
        self.skin, self.hair, self.brow = colours.swapaxes(0, 1)[..., None, None]

    @classmethod
    def blank(cls, factors: NDArray[np.float32], resolution: int) -> Portrait:
        """An empty canvas for the faces with these factors [N, F]."""
        columns = dict(zip(FACTOR_NAMES, factors.T, strict=True))
        shown = np.float32(0.2) * factors + np.float32(0.8) * ramp(factors, 0.3, 0.7)
        visible = dict(zip(FACTOR_NAMES, shown.T, strict=True))
        shift, roll = 0.014 * columns["shift"][:, None, None], 0.075 * columns["roll"][:, None, None]
        canvas = Canvas.blank(resolution, shift, roll)
        return cls(canvas, (factors, shown), _sizes(columns, visible), _colours(columns, visible))

    def __getitem__(self, factor: str) -> Field:
        """A factor's values, [N, 1, 1]."""
        return self._factors[:, _COLUMN[factor], None, None]

    def shown(self, factor: str) -> Field:
        """How strongly a graded factor is drawn, [N, 1, 1]: in [0, 1], steep around 0.5 and still rising elsewhere."""
        return self._shown[:, _COLUMN[factor], None, None]

    def where(self, factor: str, draw: Callable[[Portrait], None]) -> None:
        """Draw something on the faces whose `factor` is above 0.5 only."""
        self.where_rows(self._factors[:, _COLUMN[factor]] > 0.5, draw)

    def where_rows(self, chosen: NDArray[np.bool_], draw: Callable[[Portrait], None]) -> None:
        """Draw something on the chosen faces only."""
        rows = np.flatnonzero(chosen)
        if len(rows):
            values = self._factors[rows], self._shown[rows]
            part = Portrait(self.canvas.take(rows), values, self._sizes[rows], self._colours[rows])
            draw(part)
            self.canvas.rgb[rows] = part.canvas.rgb

    def turned(self, x: Field, depth: float) -> Field:
        """Coordinates across the face of something that the turning head moves by up to `depth`."""
        return x - np.float32(depth) * self["yaw"]

    def head(self, canvas: Canvas, grow: float = 0.0) -> Field:
        """Signed distance to the outline of the head: x^2 / W^2 + g(t) = 1, t the height in units of its extent.

        g is t^2 above the temples and (1 - k) t^2 + k t^4 below, k = `square`.
        """
        down = canvas.y - np.float32(SKULL_Y)
        below = down > 0
        height = np.where(below, self.chin - np.float32(SKULL_Y), np.float32(SKULL_Y - SKULL_TOP)) + np.float32(grow)
        k = np.where(below, self.square, np.float32(0))
        width = self.half_width + np.float32(grow)
        p, t = canvas.x / width, down / height
        t2 = t * t
        value = p * p + t2 * (1 - k + k * t2) - 1
        slope_x, slope_y = 2 * p / width, 2 * t * (1 - k + 2 * k * t2) / height
        return value / (np.sqrt(slope_x * slope_x + slope_y * slope_y) + np.float32(0.5))

    def eye(self, x: Field, y: Field, radii: tuple[Field | float, Field | float]) -> Field:
        """Signed distance to a pair of ellipses around the eyes; `x` has been turned already."""
        return ellipse(np.abs(x) - self.eye_x, y - np.float32(EYE_Y), radii)


_COLUMN = {name: column for column, name in enumerate(FACTOR_NAMES)}


def _sizes(columns: dict[str, Field], visible: dict[str, Field]) -> Field:
    """Half of the head's width, height of the chin, squareness, distance of the eyes: [N, 4]."""
    male, oval, chubby = visible["gender"], visible["face_oval"], visible["chubby"]
    half_width = 0.238 + 0.005 * columns["face_width"] - 0.030 * oval + 0.030 * chubby
    chin = 0.826 + 0.032 * oval + 0.006 * male
    square = 0.25 + 0.50 * male + 0.10 * columns["jaw"] - 0.60 * oval * (1 - 0.25 * male) + 0.40 * chubby
    eye_x = 0.106 + 0.005 * columns["eye_distance"] - 0.006 * oval
    return np.stack([half_width, chin, square, eye_x], axis=1).astype(np.float32)


def _colours(columns: dict[str, Field], visible: dict[str, Field]) -> Field:
    """Colours of skin, hair and brows: [N, 3, 3]."""
    tone, age = columns["skin_tone"], visible["age"][:, None]
    skin = np.where(tone[:, None] > 0.5, palette((tone - 0.56) / 0.44, _PORCELAIN), palette(tone / 0.44, _SKIN))
    warmth = (columns["skin_warmth"] - 0.5)[:, None] * np.array([0.03, -0.01, -0.04])
    skin = mix(skin, skin.mean(axis=1, keepdims=True), 0.16 * age) * (1 - 0.05 * age) + warmth
    hair = hsv(columns["hair_hue"], columns["hair_saturation"], columns["hair_value"])
    brow = 0.25 * hair + 0.55 * np.array([38, 26, 22]) / 255
    return np.stack([skin, hair, brow], axis=1).astype(np.float32)
