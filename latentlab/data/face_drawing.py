"""Drawing portraits from factors, back to front: background, hair, body, head, features, hairline, accessories."""

import numpy as np
from numpy.typing import NDArray

from latentlab.data.face_accessories import draw_earrings, draw_glasses, draw_hat, draw_necklace, draw_necktie
from latentlab.data.face_canvas import ellipse, gaussian_blur, hsv, mix, planes, ramp
from latentlab.data.face_features import draw_brows, draw_eyes, draw_mouth, draw_nose
from latentlab.data.face_hair import draw_back_hair, draw_beard, draw_front_hair
from latentlab.data.face_portrait import Portrait
from latentlab.data.face_skin import draw_cheeks, draw_head, draw_wrinkles


def draw_block(factors: NDArray[np.float32], resolution: int) -> NDArray[np.uint8]:
    """Portraits with the given factors [N, F], uint8 [N, resolution, resolution, 3]."""
    portrait = Portrait.blank(factors, resolution)
    draw_background(portrait)
    portrait.where_rows(_with_hair(portrait), draw_back_hair)
    draw_body(portrait)
    draw_head(portrait)
    draw_cheeks(portrait)
    draw_wrinkles(portrait)
    draw_beard(portrait)
    draw_mouth(portrait)
    draw_nose(portrait)
    draw_eyes(portrait)
    portrait.where_rows(_with_hair(portrait), draw_front_hair)
    draw_brows(portrait)
    portrait.where("hat", draw_hat)
    portrait.where("glasses", draw_glasses)
    portrait.where("necktie", draw_necktie)
    portrait.where("necklace", draw_necklace)
    portrait.where("earrings", draw_earrings)
    portrait.where("blur", _blur)
    rgb = np.clip(portrait.canvas.rgb, 0, 1) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(rgb.astype(np.uint8).transpose(0, 2, 3, 1))


def draw_background(portrait: Portrait) -> None:
    """A soft vertical gradient between two light colours."""
    canvas = portrait.canvas
    saturation = 0.08 + 0.32 * portrait["background_saturation"]
    value = 0.70 + 0.28 * portrait["background_value"]
    hue = portrait["background_hue"]
    upper = planes(hsv(hue, saturation, value))
    lower = planes(hsv(hue + 0.24 * (portrait["background_hue_2"] - 0.5), saturation, value * 0.84))
    canvas.rgb[:] = mix(upper, lower, canvas.v[:, None])


def draw_body(portrait: Portrait) -> None:
    """Neck and shoulders."""
    canvas = portrait.canvas.window(0.5, 0.70, 1.0)
    male = portrait.shown("gender")
    shoulders = ellipse(canvas.u, canvas.v - np.float32(1.10), (0.36 + 0.14 * male, 0.20 + 0.02 * male))
    value = 0.25 + 0.6 * portrait["clothes_value"] * (1 - 0.5 * male)
    canvas.paint(canvas.fill(shoulders), planes(hsv(portrait["clothes_hue"], 0.55 - 0.15 * male, value)))
    neck = 0.088 + 0.062 * male + 0.02 * portrait.shown("chubby")
    # The neck ends in a round neckline, lower for women.
    neckline = 0.925 + 0.02 * (1 - male) - 3.0 * np.square(canvas.u)
    skin = np.maximum(
        np.abs(canvas.u) - neck - 1.2 * np.square(np.clip(canvas.v - np.float32(0.82), 0, 1)), canvas.v - neckline
    )
    shadow = 0.70 + 0.18 * ramp(canvas.v, 0.80, 0.95)
    canvas.paint(canvas.fill(skin), portrait.skin * shadow[:, None])


def _with_hair(portrait: Portrait) -> NDArray[np.bool_]:
    """Who has hair on the head, [N]."""
    return (portrait["baldness"] <= 0.5).reshape(-1)


def _blur(portrait: Portrait) -> None:
    rgb = portrait.canvas.rgb
    rgb[:] = gaussian_blur(rgb, (0.025 + 0.015 * portrait["blur"]) / portrait.canvas.pixel)
