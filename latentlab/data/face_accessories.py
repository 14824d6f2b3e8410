"""Drawing what a person wears: glasses, hat, earrings, necklace, necktie."""

import numpy as np

from latentlab.data.face_canvas import Colour, Field, colour, ellipse, hsv, mix, palette, planes, ramp
from latentlab.data.face_portrait import EYE_Y, Portrait

_METALS = [(255.0, 205.0, 40.0), (255.0, 236.0, 170.0), (238.0, 244.0, 250.0), (70.0, 225.0, 215.0)]


def draw_glasses(portrait: Portrait) -> None:
    """Two thick rims around the eyes, a bridge and temples; faintly blue glass."""
    canvas = portrait.canvas.window(0.30, 0.34, 0.60)
    x = portrait.turned(canvas.x, 0.024)
    half = 0.008 + 0.010 * portrait["glasses"]
    tone = portrait["glasses_tone"]
    frame = planes(hsv(tone * 1.7, 0.25 + 0.55 * tone, 0.08 + 0.34 * tone))
    rim = portrait.eye(x, canvas.y - np.float32(0.008), (0.089, 0.082))
    canvas.paint(canvas.fill(rim) * np.float32(0.16), colour(200, 230, 255))
    canvas.paint(canvas.line(rim, half), frame)
    bar = canvas.line(canvas.y - np.float32(EYE_Y - 0.012), half)
    gap = canvas.fill(np.abs(x) - (portrait.eye_x - 0.085))
    side = canvas.fill(np.maximum(portrait.eye_x + 0.087 - np.abs(x), np.abs(canvas.x) - portrait.half_width - 0.01))
    canvas.paint(bar * np.maximum(gap, side), frame)


def draw_hat(portrait: Portrait) -> None:
    """A knitted cap over the top of the head with a lighter brim."""
    canvas = portrait.canvas.window(0.36, 0.0, 0.42)
    width = portrait.half_width + 0.065
    brim = 0.295 + 0.03 * portrait["hat"] - 0.27 * np.square(canvas.x)
    dome = ellipse(canvas.x, canvas.y - np.float32(0.33), (width, 0.31))
    cloth = planes(hsv(portrait["hat_hue"], 0.75, 0.68))
    ribs = 0.86 + 0.14 * np.cos(canvas.x * 60)
    canvas.paint(canvas.fill(np.maximum(dome, canvas.y - brim)), cloth * ribs[:, None])
    band = np.maximum(np.abs(canvas.y - brim + np.float32(0.02)) - 0.042, np.abs(canvas.x) - width - 0.004)
    canvas.paint(canvas.fill(band), mix(cloth, colour(255, 255, 255), 0.55))


def draw_earrings(portrait: Portrait) -> None:
    """Bright drops at the ears with a dark edge, in front of any hair."""
    canvas = portrait.canvas.window(0.36, 0.54, 0.78)
    size = 0.032 + 0.010 * portrait["earrings"]
    ax = np.abs(canvas.x) - portrait.half_width - 0.012
    drop = ellipse(ax, canvas.y - np.float32(0.640), (size, size * 1.15))
    canvas.paint(canvas.fill(drop - 0.010), colour(52, 34, 20))
    canvas.paint(canvas.fill(drop), _metal(portrait["earrings_hue"]))


def draw_necklace(portrait: Portrait) -> None:
    """A bright chain hanging around the neck, with a pendant."""
    canvas = portrait.canvas.window(0.24, 0.78, 1.0)
    half = 0.013 + 0.006 * portrait["necklace"]
    sag = canvas.v - (0.945 - 3.6 * np.square(canvas.u))
    reach = ramp(-np.abs(canvas.u), -0.20, -0.17)
    metal = _metal(portrait["necklace_hue"])
    chain = sag * (1 / np.sqrt(1 + np.square(7.2 * canvas.u)))
    canvas.paint(canvas.line(chain, half + 0.010) * reach, colour(60, 40, 24))
    canvas.paint(canvas.line(chain, half) * reach, metal)
    pendant = ellipse(canvas.u, canvas.v - np.float32(0.955), (0.028, 0.032))
    canvas.paint(canvas.fill(pendant), metal)


def draw_necktie(portrait: Portrait) -> None:
    """A dark jacket, a white shirt front and a bright tie with its knot."""
    canvas = portrait.canvas.window(0.45, 0.80, 1.0)
    au = np.abs(canvas.u)
    below = np.clip(canvas.v - np.float32(0.865), 0, 1)
    shirt = np.maximum(au - (0.150 - 0.35 * below), 0.865 - canvas.v + 0.0 * au)
    canvas.paint(canvas.fill(shirt), colour(246, 246, 250))
    width = (
        (0.034 + 0.010 * portrait["necktie"])
        + 0.16 * below
        - 0.05 * ramp(below, 0.03, 0.05) * ramp(-below, -0.09, -0.05)
    )
    tie = np.maximum(au - width, 0.868 - canvas.v)
    canvas.paint(canvas.fill(tie), planes(hsv(portrait["necktie_hue"], 0.85, 0.45 + 0.2 * portrait["necktie"])))


def _metal(position: Field) -> Colour:
    return planes(palette(position, _METALS))
