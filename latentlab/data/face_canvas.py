"""Painting many small pictures at once: anti-aliased shapes on float32 colour planes, all in picture coordinates.

Lengths are fractions of the picture's width, so that a drawing is the same at any resolution. A shape is a signed
distance (negative inside); its coverage of a pixel is the distance to the edge in pixels, clipped to [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]  # float32: [N, h, w], or anything that broadcasts to it
Colour = NDArray[np.floating]  # float32: [N, 3, 1, 1], or [N, 3, h, w] where it varies over the picture

_WINDOW_MARGIN = 0.055  # how far a head's tilt and shift can carry a point of the face


class Canvas:
    """Pictures [N, 3, h, w] in [0, 1] with the coordinates of their pixels.

    Attributes:
        rgb: The colours.
        u, v: Coordinates of the body: across [N, 1, w], 0 in the middle of the person; down [1, h, 1], 0 to 1.
        x, y: The same in the frame of the tilted head, [N, h, w].
        pixel: Width of a pixel.
    """

    def __init__(self, rgb: Field, body: tuple[Field, Field], head: tuple[Field, Field], pixel: float):
        self.rgb, self.pixel = rgb, np.float32(pixel)
        self.u, self.v = body
        self.x, self.y = head

    @classmethod
    def blank(cls, resolution: int, shift: Field, roll: Field) -> Canvas:
        """A canvas whose people stand `shift` to the right with heads tilted by `roll` radians, both [N, 1, 1]."""
        centres = (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) / np.float32(resolution)
        u = centres[None, None, :] - np.float32(0.5) - shift
        v = centres[None, :, None]
        down = v - np.float32(0.62)  # heads tilt around a point below the nose
        x = u * np.cos(roll) + down * np.sin(roll)
        y = down * np.cos(roll) - u * np.sin(roll) + np.float32(0.62)
        rgb = np.empty((len(shift), 3, resolution, resolution), np.float32)
        return cls(rgb, (u, v), (x, y), 1 / resolution)

    def window(self, half_width: float, top: float, bottom: float) -> Canvas:
        """The part of the canvas that can hold |x| < half_width, top < y < bottom; painting it paints the canvas."""
        size = self.rgb.shape[-1]
        across = _pixels(0.5 - half_width, 0.5 + half_width, size)
        down = _pixels(top, bottom, size)
        body = self.u[:, :, across], self.v[:, down]
        head = self.x[:, down, across], self.y[:, down, across]
        return Canvas(self.rgb[:, :, down, across], body, head, float(self.pixel))

    def take(self, rows: NDArray[np.int64]) -> Canvas:
        """A copy of some of the pictures."""
        return Canvas(self.rgb[rows], (self.u[rows], self.v), (self.x[rows], self.y[rows]), float(self.pixel))

    def paint(self, coverage: Field, colour: Colour) -> None:
        """Lay `colour` over the picture where `coverage` [N, h, w] in [0, 1] says how much."""
        change = colour - self.rgb
        change *= coverage[:, None]
        self.rgb += change

    def fill(self, distance: Field, soft: float = 0.0) -> Field:
        """Coverage of the inside of a shape; its edge is blurred over `soft`, at least one pixel."""
        return np.clip(np.float32(0.5) - distance / max(self.pixel, np.float32(soft)), 0, 1)

    def line(self, distance: Field, half_width: Field | float) -> Field:
        """Coverage of the band |distance| < half_width; exact for bands thinner than a pixel too."""
        scaled = distance / self.pixel
        half = np.asarray(half_width, np.float32) / self.pixel
        return np.clip(half + scaled + np.float32(0.5), 0, 1) - np.clip(scaled - half + np.float32(0.5), 0, 1)


def ellipse(x: Field, y: Field, radii: tuple[Field | float, Field | float]) -> Field:
    """Signed distance to an ellipse around the origin, to first order at its edge: |p/r| (|p/r| - 1) / |p/r^2|."""
    a, b = (np.asarray(radius, np.float32) for radius in radii)
    p, q = x / a, y / b
    level = np.sqrt(p * p + q * q)
    p /= a
    q /= b
    return level * (level - 1) / (np.sqrt(p * p + q * q) + np.float32(1e-6))


def ramp(values: Field, low: float, high: float) -> Field:
    """Smoothstep: 0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Field, b: Field, t: Field | float) -> Field:
    """a + (b - a) t."""
    return a + (b - a) * t


def colour(red: float, green: float, blue: float) -> Colour:
    """One colour for all pictures, from components in 0 to 255."""
    return (np.array([red, green, blue], np.float32) / np.float32(255)).reshape(1, 3, 1, 1)


def planes(colours: Field) -> Colour:
    """Colours [N, 3] as they are painted, [N, 3, 1, 1]."""
    return colours[:, :, None, None]


def palette(position: Field, stops: list[tuple[float, float, float]]) -> Field:
    """Colours [N, 3] by interpolation between evenly spaced stops (0 to 255); `position` [N, ...] in [0, 1]."""
    table = np.array(stops, np.float32) / np.float32(255)
    scaled = np.clip(position.reshape(-1), 0, 1) * (len(stops) - 1)
    index = np.minimum(scaled.astype(np.int64), len(stops) - 2)
    t = (scaled - index)[:, None].astype(np.float32)
    return table[index] * (1 - t) + table[index + 1] * t


def hsv(hue: Field, saturation: Field | float, value: Field | float) -> Field:
    """HSV colours, [N, ...] each in [0, 1] (hue in turns, wrapping) or one number, to RGB [N, 3]."""
    hue, saturation, value = (np.reshape(part, (-1, 1)).astype(np.float32) for part in (hue, saturation, value))
    shifts = np.array([0, 2 / 3, 1 / 3], np.float32)
    wheel = np.clip(np.abs((hue + shifts) % 1 * 6 - 3) - 1, 0, 1)
    return value * (1 - saturation * (1 - wheel))


def gaussian_blur(rgb: Field, sigma: Field) -> Field:
    """Blur pictures [N, 3, R, R] by Gaussians of widths `sigma` [N, 1, 1] in pixels, edges renormalised."""
    steps = np.arange(rgb.shape[-1], dtype=np.float32)
    kernel = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) / sigma) ** 2)
    kernel = (kernel / kernel.sum(axis=-1, keepdims=True)).astype(np.float32)[:, None]
    return np.matmul(np.matmul(kernel, rgb), kernel.swapaxes(-1, -2))


def _pixels(low: float, high: float, size: int) -> slice:
    first = int((low - _WINDOW_MARGIN) * size) - 1
    return slice(max(first, 0), min(int((high + _WINDOW_MARGIN) * size) + 2, size))
