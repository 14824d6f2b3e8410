"""Drawing hair: behind the head, over the forehead, and beards."""

import numpy as np

from latentlab.data.face_canvas import Canvas, Colour, Field, colour, ellipse, mix, ramp
from latentlab.data.face_portrait import MOUTH_Y, Portrait


def draw_back_hair(portrait: Portrait) -> None:
    """Hair behind the head: a crown around the skull, and curtains down to the hair's length."""
    canvas = portrait.canvas
    long = portrait.shown("hair_length")
    width = portrait.half_width + 0.028 + 0.022 * portrait["hair_volume"] + 0.02 * long
    bumps = _bumps(portrait, canvas)
    crown = ellipse(canvas.x, canvas.y - np.float32(0.45), (width, 0.45 - _crown_top(portrait)))
    end = 0.50 + 0.47 * long
    curtain = np.maximum(np.abs(canvas.x) - width, np.abs(canvas.y - (0.43 + end) / 2) - (end - 0.43) / 2)
    # Long hair widens a little on its way down.
    curtain -= 0.05 * long * np.clip(canvas.y - np.float32(0.45), 0, 0.4)
    shade = 0.72 + 0.2 * ramp(np.abs(canvas.x), 0.12, 0.30)
    canvas.paint(canvas.fill(np.minimum(crown, curtain) - bumps), _strands(portrait, canvas, shade))


def draw_front_hair(portrait: Portrait) -> None:
    """Hair on the head down to the hairline: high and notched where it recedes, low where there is a fringe."""
    canvas = portrait.canvas.window(0.34, 0.0, 0.62)
    x = portrait.turned(canvas.x, 0.01)
    across = np.abs(x) / portrait.half_width
    high, low = ramp(portrait["receding"], 0.3, 0.7), ramp(portrait["fringe"], 0.3, 0.7)
    normal = 0.245 + 0.20 * across**4 + 0.02 * x
    temples = ramp(across, 0.22, 0.58) * ramp(-across, -0.98, -0.78)
    notched = 0.205 - 0.03 * portrait["receding"] - 0.16 * temples + 0.28 * ramp(across, 0.85, 1.05)
    straight = 0.335 + 0.03 * portrait["fringe"] + 0.09 * across**4
    hairline = mix(mix(normal, notched, high), straight, low)
    scalp = portrait.head(canvas, grow=0.03) - _bumps(portrait, canvas)
    below = canvas.y - hairline
    coverage = canvas.fill(np.maximum(scalp, below * np.float32(0.9)))
    lit = 1.0 - 0.12 * ramp(canvas.y, 0.05, 0.36) + 0.05 * portrait["light_x"] * canvas.x / 0.25
    canvas.paint(coverage, _strands(portrait, canvas, lit))


def draw_beard(portrait: Portrait) -> None:
    """The parts of a beard, each where its amount is not 0."""
    portrait.where("stubble", _draw_stubble)
    portrait.where("sideburns", _draw_sideburns)
    portrait.where("goatee", _draw_goatee)
    portrait.where("mustache", _draw_mustache)


def _crown_top(portrait: Portrait) -> Field:
    """How far up the hair reaches: flat where it recedes."""
    return 0.085 - 0.035 * portrait["hair_volume"] + 0.02 * ramp(portrait["receding"], 0.3, 0.7)


def _bumps(portrait: Portrait, canvas: Canvas) -> Field:
    """How far waves push the hair's outline out or in."""
    phase = 34 * canvas.y + 8 * np.abs(canvas.x) + 9 * portrait["hair_volume"]
    return np.float32(0.022) * portrait.shown("hair_wave") * np.sin(phase + 14 * np.abs(canvas.x))


def _strands(portrait: Portrait, canvas: Canvas, shade: Field) -> Colour:
    """Hair colour [N, 3, h, w]: bands of shine where it is wavy, parallel strands where sleek, else one ring."""
    wave, sleek = portrait.shown("hair_wave"), portrait.shown("hair_sleek")
    rolling = np.sin(36 * canvas.y + 2.2 * np.sin(24 * canvas.x) + 9 * portrait["hair_volume"])
    parallel = np.sin(44 * np.abs(canvas.x) + 9 * portrait["hair_volume"])
    ring = np.exp(-np.square((canvas.y - np.float32(0.165) - 0.9 * np.square(canvas.x)) / np.float32(0.035)))
    pattern = wave * rolling + sleek * parallel + np.float32(0.5) * (1 - wave) * (1 - sleek) * ring
    shine = np.clip(pattern, 0, 1)[:, None] * (0.10 + 0.22 * portrait.hair)
    return np.minimum(portrait.hair * (shade * (1 + 0.30 * np.minimum(pattern, 0)))[:, None] + shine, 1)


def _draw_stubble(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.29, 0.54, 0.92)
    jaw = canvas.fill(portrait.head(canvas)) * ramp(canvas.y + 0.25 * np.abs(canvas.x), 0.64, 0.70)
    tint = mix(portrait.skin * np.float32(0.5), colour(70, 82, 98), 0.6)
    canvas.paint(jaw * (0.35 + 0.3 * portrait["stubble"]), tint)


def _draw_sideburns(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.29, 0.38, 0.74)
    inside = canvas.fill(portrait.head(canvas))
    strip = np.abs(canvas.x) - (portrait.half_width - 0.062 - 0.25 * np.clip(canvas.y - 0.52, 0, 1))
    end = 0.64 + 0.05 * portrait["sideburns"]
    reach = ramp(canvas.y, 0.38, 0.42) * np.clip((end - canvas.y) / canvas.pixel + 0.5, 0, 1)
    canvas.paint(canvas.fill(-strip) * inside * reach, portrait.brow)


def _draw_goatee(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.14, 0.70, 0.92)
    size = 0.7 + 0.3 * portrait["goatee"]
    tuft = ellipse(
        portrait.turned(canvas.x, 0.015), canvas.y - portrait.chin + np.float32(0.028), (0.095 * size, 0.060 * size)
    )
    canvas.paint(canvas.fill(tuft, 0.015), portrait.brow)


def _draw_mustache(portrait: Portrait) -> None:
    canvas = portrait.canvas.window(0.17, 0.58, 0.72)
    ax = np.abs(portrait.turned(canvas.x, 0.025))
    size = 0.75 + 0.25 * portrait["mustache"]
    along = ax / (0.120 * size)
    middle = MOUTH_Y - 0.050 + 0.020 * along
    thickness = 0.024 * size * np.sqrt(np.clip(1 - along * along, 0, 1))
    canvas.paint(canvas.line(canvas.y - middle, thickness), portrait.brow)
