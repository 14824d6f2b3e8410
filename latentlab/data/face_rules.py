"""The 40 CelebA attributes of an embedded face: every one a rule on factors that can be seen in the picture."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.face_factors import FACTOR_NAMES

Columns = Mapping[str, NDArray[np.float32]]
Truth = NDArray[np.bool_]


class Rule(NamedTuple):
    """A rule in words and the same rule on the columns of a factor array."""

    sentence: str
    holds: Callable[[Columns], Truth]


def _above(factor: str) -> Callable[[Columns], Truth]:
    return lambda f: f[factor] > 0.5


def _has_beard(f: Columns) -> Truth:
    parts: list[Truth] = [f[part] > 0.5 for part in ("stubble", "goatee", "mustache", "sideburns")]
    return np.logical_or.reduce(parts)


def _hair_seen(f: Columns) -> Truth:
    return (f["baldness"] <= 0.5) & (f["hat"] <= 0.5)


def _attractive(f: Columns) -> Truth:
    fresh = (f["age"] <= 0.5) & (f["bags"] <= 0.5)
    slim = (f["chubby"] <= 0.5) & (f["double_chin"] <= 0.5)
    return fresh & slim & ((f["nose_width"] <= 0.5) | (f["eye_makeup"] > 0.5))


def _is_gray(f: Columns) -> Truth:
    return (f["hair_saturation"] < 0.2) & (f["hair_value"] > 0.4)


_RULES: dict[str, Rule] = {
    "5_o_Clock_Shadow": Rule("There is stubble on the jaw (`stubble` > 0.5).", _above("stubble")),
    "Arched_Eyebrows": Rule("The brows are arches (`brow_arch` > 0.5).", _above("brow_arch")),
    "Attractive": Rule(
        "Not old, no bags under the eyes, not chubby, no double chin, and a nose that is not wide unless there is "
        "eye make-up.",
        _attractive,
    ),
    "Bags_Under_Eyes": Rule("There are dark crescents under the eyes (`bags` > 0.5).", _above("bags")),
    "Bald": Rule(
        "There is no hair on the head, and no hat (`baldness` > 0.5, `hat` <= 0.5).",
        lambda f: (f["baldness"] > 0.5) & (f["hat"] <= 0.5),
    ),
    "Bangs": Rule(
        "Hair covers the forehead (`fringe` > 0.5), neither bald nor under a hat.",
        lambda f: (f["fringe"] > 0.5) & _hair_seen(f),
    ),
    "Big_Lips": Rule("The lips are full (`lip_fullness` > 0.5).", _above("lip_fullness")),
    "Big_Nose": Rule("The nose is wide (`nose_width` > 0.5).", _above("nose_width")),
    "Black_Hair": Rule(
        "`hair_value` < 0.25; neither bald nor under a hat.", lambda f: _hair_seen(f) & (f["hair_value"] < 0.25)
    ),
    "Blond_Hair": Rule(
        "0.1 < `hair_hue` < 0.2, `hair_value` > 0.7, not gray; neither bald nor under a hat.",
        lambda f: (
            _hair_seen(f) & ~_is_gray(f) & (f["hair_hue"] > 0.1) & (f["hair_hue"] < 0.2) & (f["hair_value"] > 0.7)
        ),
    ),
    "Blurry": Rule("The whole picture is blurred (`blur` > 0.5).", _above("blur")),
    "Brown_Hair": Rule(
        "`hair_hue` < 0.1 and 0.25 <= `hair_value` <= 0.6, not gray; neither bald nor under a hat.",
        lambda f: (
            _hair_seen(f) & ~_is_gray(f) & (f["hair_hue"] < 0.1) & (f["hair_value"] >= 0.25) & (f["hair_value"] <= 0.6)
        ),
    ),
    "Bushy_Eyebrows": Rule("The brows are thick (`brow_thickness` > 0.5).", _above("brow_thickness")),
    "Chubby": Rule("The cheeks are wide and the jaw is round (`chubby` > 0.5).", _above("chubby")),
    "Double_Chin": Rule("There is a second chin (`double_chin` > 0.5).", _above("double_chin")),
    "Eyeglasses": Rule("There are glasses (`glasses` > 0.5).", _above("glasses")),
    "Goatee": Rule("There is hair on the chin (`goatee` > 0.5).", _above("goatee")),
    "Gray_Hair": Rule(
        "`hair_saturation` < 0.2 and `hair_value` > 0.4; neither bald nor under a hat.",
        lambda f: _hair_seen(f) & _is_gray(f),
    ),
    "Heavy_Makeup": Rule("The lids are coloured and lined (`eye_makeup` > 0.5).", _above("eye_makeup")),
    "High_Cheekbones": Rule("The cheekbones stand out over a hollow (`cheekbones` > 0.5).", _above("cheekbones")),
    "Male": Rule("The presentation is male (`gender` > 0.5).", _above("gender")),
    "Mouth_Slightly_Open": Rule("The lips are apart (`mouth_open` > 0.5).", _above("mouth_open")),
    "Mustache": Rule("There is hair on the upper lip (`mustache` > 0.5).", _above("mustache")),
    "Narrow_Eyes": Rule("The eyes are slits (`eye_narrowness` > 0.5).", _above("eye_narrowness")),
    "No_Beard": Rule("There is no stubble, goatee, mustache or sideburn.", lambda f: ~_has_beard(f)),
    "Oval_Face": Rule("The face is narrow and tapers to the chin (`face_oval` > 0.5).", _above("face_oval")),
    "Pale_Skin": Rule("The skin is porcelain (`skin_tone` > 0.5).", _above("skin_tone")),
    "Pointy_Nose": Rule("The nose ends in a long sharp tip (`nose_point` > 0.5).", _above("nose_point")),
    "Receding_Hairline": Rule(
        "The hairline is high (`receding` > 0.5), neither bald nor under a hat.",
        lambda f: (f["receding"] > 0.5) & _hair_seen(f),
    ),
    "Rosy_Cheeks": Rule("There are red discs on the cheeks (`rosy` > 0.5).", _above("rosy")),
    "Sideburns": Rule("There is hair in front of the ears (`sideburns` > 0.5).", _above("sideburns")),
    "Smiling": Rule("The corners of the mouth are up (`smile` > 0.5).", _above("smile")),
    "Straight_Hair": Rule(
        "The hair is sleek (`hair_sleek` > 0.5) and not wavy; neither bald nor under a hat.",
        lambda f: _hair_seen(f) & (f["hair_sleek"] > 0.5) & (f["hair_wave"] <= 0.5),
    ),
    "Wavy_Hair": Rule(
        "The hair is wavy (`hair_wave` > 0.5); neither bald nor under a hat.",
        lambda f: _hair_seen(f) & (f["hair_wave"] > 0.5),
    ),
    "Wearing_Earrings": Rule("There are earrings (`earrings` > 0.5).", _above("earrings")),
    "Wearing_Hat": Rule("There is a hat (`hat` > 0.5).", _above("hat")),
    "Wearing_Lipstick": Rule("The lips are strongly coloured (`lipstick` > 0.5).", _above("lipstick")),
    "Wearing_Necklace": Rule("There is a necklace (`necklace` > 0.5).", _above("necklace")),
    "Wearing_Necktie": Rule("There is a necktie (`necktie` > 0.5).", _above("necktie")),
    "Young": Rule("Hardly any sign of age (`age` <= 0.5).", lambda f: f["age"] <= 0.5),
}

ATTRIBUTE_RULES: dict[str, str] = {name: _RULES[name].sentence for name in CELEBA_ATTRIBUTES}


def face_labels(factors: np.ndarray) -> NDArray[np.int8]:
    """Labels of faces, -1 or 1, [N, 40] in the order of CELEBA_ATTRIBUTES, from their factors [N, F] alone."""
    columns = dict(zip(FACTOR_NAMES, np.asarray(factors, np.float32).T, strict=True))
    truth = np.stack([_RULES[name].holds(columns) for name in CELEBA_ATTRIBUTES], axis=1)
    return np.where(truth, 1, -1).astype(np.int8)
