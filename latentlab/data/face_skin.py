"""Drawing a head's skin: its shape in the light, chins, cheeks, signs of age."""

import numpy as np

from latentlab.data.face_canvas import colour, ellipse, ramp
from latentlab.data.face_portrait import EYE_Y, Portrait


def draw_head(portrait: Portrait) -> None:
    """Ears and head, shaded from the side the light comes from and towards the edge."""
    canvas = portrait.canvas.window(0.32, 0.09, 0.92)
    ears = ellipse(np.abs(canvas.x) - portrait.half_width, canvas.y - np.float32(0.50), (0.035, 0.07))
    canvas.paint(canvas.fill(ears), portrait.skin * np.float32(0.86))
    portrait.where("double_chin", _draw_second_chin)
    distance = portrait.head(canvas)
    light = (
        1.0 + 0.10 * portrait["light_x"] * canvas.x / 0.25 - 0.05 * (1 - portrait["light_y"]) * (canvas.y - 0.5) / 0.3
    )
    light = light - 0.16 * ramp(distance, -0.07, 0.0)
    canvas.paint(canvas.fill(distance), np.minimum(portrait.skin * light[:, None], 1))
    portrait.where("double_chin", _draw_chin_crease)
    portrait.where("baldness", _draw_scalp_shine)


def draw_cheeks(portrait: Portrait) -> None:
    """Cheekbones: a light patch over a dark hollow; rosy cheeks: red discs."""
    canvas = portrait.canvas.window(0.27, 0.50, 0.76)
    x, y = portrait.turned(canvas.x, 0.012), canvas.y
    ax, bones = np.abs(x), portrait.shown("cheekbones")
    inside = canvas.fill(portrait.head(canvas))
    tilted_x, tilted_y = ax - np.float32(0.165), y - np.float32(0.635) + np.float32(0.75) * (ax - np.float32(0.165))
    hollow = ellipse(tilted_x, tilted_y, (0.062, 0.028))
    canvas.paint(canvas.fill(hollow, 0.042) * inside * bones * np.float32(0.75), portrait.skin * np.float32(0.62))
    bone = ellipse(tilted_x, tilted_y + np.float32(0.060), (0.055, 0.024))
    lighter = np.minimum(portrait.skin * np.float32(1.12) + np.float32(0.08), 1)
    canvas.paint(canvas.fill(bone, 0.038) * inside * bones * np.float32(0.85), lighter)
    portrait.where("rosy", _draw_rosy)


def draw_wrinkles(portrait: Portrait) -> None:
    """Folds beside the mouth, lines on the forehead and crow's feet, as dark as the face is old."""
    canvas = portrait.canvas.window(0.24, 0.24, 0.80)
    x, y = portrait.turned(canvas.x, 0.018), canvas.y
    ax, old = np.abs(x), ramp(portrait["age"], 0.35, 0.7)
    dark = portrait.skin * np.float32(0.50)
    down = (y - np.float32(0.665)) / np.float32(0.08)
    fold = ax - (0.105 + 0.030 * down - 0.018 * down * down)
    canvas.paint(canvas.line(fold, 0.011) * ramp(-np.abs(down), -1.1, -0.8) * old * np.float32(0.8), dark)
    for height in (0.285, 0.330):
        bow = y - np.float32(height) - np.float32(0.012) * np.cos(ax * 22)
        canvas.paint(canvas.line(bow, 0.008) * ramp(-ax, -0.15, -0.10) * old * np.float32(0.65), dark)
    feet = np.abs(y - np.float32(EYE_Y + 0.005)) - np.float32(0.5) * (ax - portrait.eye_x - 0.055)
    reach = ramp(ax - portrait.eye_x, 0.062, 0.07) * ramp(portrait.eye_x - ax, -0.115, -0.10)
    canvas.paint(canvas.line(feet, 0.008) * reach * old * np.float32(0.8), dark)


def _draw_second_chin(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.26, 0.70, 0.98)
    lobe = ellipse(canvas.x, canvas.y - portrait.chin + np.float32(0.03), (0.185, 0.105))
    canvas.paint(canvas.fill(lobe), portrait.skin * (0.97 - 0.15 * ramp(lobe, -0.05, 0.0))[:, None])


def _draw_chin_crease(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.2, 0.74, 0.92)
    crease = ellipse(canvas.x, canvas.y - portrait.chin + np.float32(0.09), (0.13, 0.085))
    lower = ramp(canvas.y - portrait.chin, -0.09, -0.03)
    canvas.paint(canvas.line(crease, 0.013) * lower * np.float32(0.85), portrait.skin * np.float32(0.45))


def _draw_scalp_shine(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.2, 0.1, 0.35)
    shine = ellipse(canvas.x + 0.04 - 0.1 * portrait["light_x"], canvas.y - np.float32(0.20), (0.09, 0.045))
    canvas.paint(canvas.fill(shine, 0.05) * np.float32(0.7), colour(255, 250, 240))


def _draw_rosy(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.25, 0.50, 0.72)
    disc = ellipse(
        np.abs(portrait.turned(canvas.x, 0.012)) - np.float32(0.135), canvas.y - np.float32(0.600), (0.062, 0.055)
    )
    strength = 0.35 + 0.5 * portrait["rosy"]
    canvas.paint(canvas.fill(disc, 0.035) * strength, colour(240, 72, 92))
