"""Drawing eyes, brows, nose and mouth."""

import numpy as np

from latentlab.data.face_canvas import Field, colour, ellipse, hsv, mix, palette, planes, ramp
from latentlab.data.face_portrait import BROW_Y, EYE_Y, MOUTH_Y, Portrait

_EYE_DEPTH = 0.022  # how far the turning head moves eyes, brows and mouth
_NOSE_DEPTH = 0.038
_IRIS_STOPS = [(70.0, 42.0, 24.0), (110.0, 74.0, 34.0), (58.0, 120.0, 78.0), (60.0, 130.0, 190.0)]


def draw_eyes(portrait: Portrait) -> None:
    """Bags and make-up around the eyes, then white, iris, pupil, glint and the upper lid's line."""
    canvas = portrait.canvas.window(0.22, 0.34, 0.62)
    x, y = portrait.turned(canvas.x, _EYE_DEPTH), canvas.y
    narrow, female = portrait.shown("eye_narrowness"), 1 - portrait.shown("gender")
    width = 0.060 + 0.004 * portrait["eye_size"]
    height = (0.044 + 0.004 * portrait["eye_size"] + 0.006 * female) * (1 - narrow) + 0.013 * narrow
    _draw_bags(portrait)
    made_up = portrait.shown("eye_makeup")
    lids = portrait.eye(x, y + np.float32(0.026), (width + 0.018, height + 0.030))
    shadow = planes(hsv(0.5 + 0.32 * portrait["eye_makeup_hue"], 0.72, 0.80))
    canvas.paint(canvas.fill(lids, 0.02) * made_up * np.float32(0.92), shadow)
    white = portrait.eye(x, y, (width, height))
    opening = canvas.fill(white)
    canvas.paint(opening, colour(250, 248, 245))
    iris = portrait.eye(x, y, (0.034, 0.034))
    canvas.paint(np.minimum(canvas.fill(iris), opening), planes(palette(portrait["iris"], _IRIS_STOPS)))
    pupil = portrait.eye(x, y, (0.017, 0.017))
    canvas.paint(np.minimum(canvas.fill(pupil), opening), colour(18, 14, 16))
    glint = ellipse(np.abs(x) - portrait.eye_x, y - np.float32(EYE_Y - 0.014), (0.010, 0.010))
    canvas.paint(np.minimum(canvas.fill(glint), opening), colour(255, 255, 255))
    thickness = 0.007 + 0.005 * female + 0.007 * made_up
    upper = ramp(EYE_Y - y, -0.012, 0.012)
    canvas.paint(canvas.line(white, thickness) * upper, colour(36, 26, 26))
    wing = _stroke_segment(np.abs(x) - portrait.eye_x - width, y - np.float32(EYE_Y - 0.018), (0.034, -0.018))
    canvas.paint(canvas.line(wing, 0.008 + 0.004 * made_up) * female, colour(30, 22, 24))


def draw_brows(portrait: Portrait) -> None:
    """Brows: bands along a bow whose height is the arch."""
    canvas = portrait.canvas.window(0.23, 0.27, 0.46)
    x = portrait.turned(canvas.x, _EYE_DEPTH)
    along = (np.abs(x) - portrait.eye_x) / np.float32(0.078)  # -1 at the inner end, 1 at the outer end
    arch, thick = portrait.shown("brow_arch"), portrait.shown("brow_thickness")
    bow = 1 - np.square(along - np.float32(0.1))
    middle = BROW_Y + 0.018 - arch * (0.062 * bow - 0.012)
    thickness = (0.0105 + 0.002 * portrait.shown("gender") + 0.019 * thick) * (1 - 0.25 * ramp(along, 0.2, 1.0))
    ends = np.clip((1.0 - np.abs(along)) * np.float32(0.078) / canvas.pixel + 0.5, 0, 1)
    canvas.paint(canvas.line(canvas.y - middle, thickness) * ends, portrait.brow)


def draw_nose(portrait: Portrait) -> None:
    """Nose: nostrils and wings as wide as it is, and either a round tip or a long sharp one."""
    canvas = portrait.canvas.window(0.17, 0.42, 0.70)
    x, y = portrait.turned(canvas.x, _NOSE_DEPTH), canvas.y
    wide, sharp = portrait.shown("nose_width"), portrait.shown("nose_point")
    half = 0.034 + 0.058 * wide
    tip = 0.590 + 0.030 * sharp
    dark, light = portrait.skin * np.float32(0.62), np.minimum(portrait.skin * np.float32(1.13) + 0.03, 1)
    round_tip = ellipse(x, y - tip + np.float32(0.012), (half, 0.030 + 0.012 * wide))
    canvas.paint(canvas.fill(round_tip, 0.02) * (1 - sharp) * np.float32(0.55), portrait.skin * np.float32(0.80))
    canvas.paint(canvas.line(round_tip, 0.009) * ramp(y - tip, -0.025, 0.01) * (1 - sharp), dark)
    shine = ellipse(x, y - tip + np.float32(0.02), (half * 0.55, 0.020))
    canvas.paint(canvas.fill(shine, 0.02) * (1 - sharp) * np.float32(0.75), light)
    # A sharp nose is a light wedge from the brows to its tip between two dark flanks.
    slope = np.clip((y - np.float32(0.43)) / (tip - np.float32(0.43)), 0, 1)
    flank = np.abs(x) - (0.010 + (half - 0.004) * slope * ramp(tip - y, -0.01, 0.05))
    inside = np.clip((tip - y) / canvas.pixel + 0.5, 0, 1) * ramp(y, 0.42, 0.47)
    canvas.paint(canvas.fill(flank - 0.014) * inside * sharp * np.float32(0.9), dark)
    canvas.paint(canvas.fill(flank + 0.006) * inside * sharp, light)
    nostrils = ellipse(np.abs(x) - half * np.float32(0.62), y - tip - np.float32(0.012), (0.011 + 0.015 * wide, 0.012))
    canvas.paint(canvas.fill(nostrils) * (1 - 0.8 * sharp), portrait.skin * np.float32(0.36))


def draw_mouth(portrait: Portrait) -> None:
    """Lips along a curve that smiles or not, around a dark opening with teeth."""
    canvas = portrait.canvas.window(0.16, 0.60, 0.83)
    x, y = portrait.turned(canvas.x, _EYE_DEPTH), canvas.y
    smile, gape, full = portrait.shown("smile"), portrait.shown("mouth_open"), portrait.shown("lip_fullness")
    half = 0.076 + 0.034 * smile + 0.006 * full
    along = np.square(x / half)
    rest = np.clip(1 - along, 0, 1)
    middle = MOUTH_Y + 0.012 * gape + (0.080 * smile - 0.014) * (0.45 - along)
    offset = y - middle
    opening = (0.004 + 0.038 * gape) * rest
    upper, lower = (0.013 + 0.022 * full) * np.sqrt(rest), (0.016 + 0.030 * full) * np.sqrt(rest)
    lips = canvas.line(offset - (lower - upper) / 2, opening + (upper + lower) / 2)
    ends = np.clip((half - np.abs(x)) / canvas.pixel + 0.5, 0, 1)
    natural = portrait.skin * np.array([0.80, 0.60, 0.58], np.float32).reshape(1, 3, 1, 1)
    strong = planes(hsv(0.99 - 0.09 * portrait["lipstick_hue"], 0.88, 0.82))
    canvas.paint(lips * ends, mix(natural, strong, portrait.shown("lipstick")[:, None]))
    canvas.paint(canvas.line(offset, opening) * ends, colour(72, 18, 24))
    teeth = canvas.line(offset + opening * np.float32(0.35), opening * np.float32(0.5))
    canvas.paint(teeth * ramp(gape, 0.3, 0.6) * ramp(rest, 0.05, 0.3), colour(252, 250, 244))


def _draw_bags(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.22, 0.42, 0.60)
    x, bags = portrait.turned(canvas.x, _EYE_DEPTH), portrait.shown("bags")
    crescent = portrait.eye(x, canvas.y - np.float32(0.040), (0.062, 0.044))
    tint = portrait.skin * np.array([0.52, 0.40, 0.54], np.float32).reshape(1, 3, 1, 1)
    canvas.paint(canvas.fill(crescent, 0.015) * bags * np.float32(0.85), tint)


def _stroke_segment(x: Field, y: Field, direction: tuple[float, float]) -> Field:
    """Distance to the segment from the origin along `direction`."""
    dx, dy = np.float32(direction[0]), np.float32(direction[1])
    t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - t * dx, y - t * dy)
