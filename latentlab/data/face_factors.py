"""What an embedded face looks like, as numbers: the factors, how they are drawn at random, what they depend on.

A graded factor lies in [0, 1] and counts as present above 0.5. Its density falls to zero at 0.5 like |2 v - 1|**1.5, so
that hardly any face is ambiguous while both sides vary continuously. An amount is 0 where the thing is absent
and lies in (0.5, 1] where it is there (how much of it). Everything else is an even spread over a range.
"""

import numpy as np
from numpy.typing import NDArray

from latentlab.randomness import uniform_rows

Rows = NDArray[np.float64]

FACTORS: dict[str, str] = {
    "yaw": "even in [-1, 1]; the head turns to the right of the picture",
    "roll": "even in [-1, 1]; the head tilts to the right of the picture",
    "shift": "even in [-1, 1]; the person stands further to the right",
    "gender": "graded; 0 female to 1 male presentation: jaw, neck, shoulders, lashes, eyes",
    "age": "graded; folds beside the mouth, lines on the forehead and beside the eyes, dull and spotted skin",
    "skin_tone": "0 deep brown to 0.44 light, 0.56 to 1 porcelain; nothing between",
    "skin_warmth": "even in [0, 1]; from olive to ruddy",
    "face_oval": "graded; a narrow face with a long, tapering chin",
    "face_width": "even in [-1, 1]; a few percent of width",
    "jaw": "even in [-1, 1]; how square the jaw is",
    "chubby": "graded; wide cheeks and a round jaw",
    "double_chin": "amount; a second chin under a crease",
    "cheekbones": "graded; a light cheekbone over a dark hollow",
    "rosy": "amount; red discs on the cheeks",
    "hair_length": "graded; from the ears to the shoulders",
    "hair_volume": "even in [0, 1]; how far the hair stands off the head",
    "hair_wave": "graded; a scalloped outline and rolling bands of shine",
    "hair_sleek": "graded; a straight outline and parallel strands of shine",
    "hair_hue": "colour of the hair: hue of HSV, in turns",
    "hair_saturation": "colour of the hair: saturation of HSV",
    "hair_value": "colour of the hair: value of HSV",
    "baldness": "amount; no hair at all",
    "receding": "amount; the hairline is high, and higher at the temples",
    "fringe": "amount; hair over the forehead",
    "brow_arch": "graded; from flat brows to high arches",
    "brow_thickness": "graded; from thin to bushy brows",
    "eye_narrowness": "graded; from wide open eyes to slits",
    "eye_size": "even in [-1, 1]",
    "eye_distance": "even in [-1, 1]",
    "iris": "even in [0, 1]; brown, green, blue",
    "bags": "graded; dark crescents under the eyes",
    "nose_width": "graded; from narrow to wide",
    "nose_point": "graded; from a round tip to a long sharp one",
    "smile": "graded; from corners down to corners up",
    "mouth_open": "graded; from closed to open, with teeth",
    "lip_fullness": "graded; from thin to full",
    "stubble": "amount; a grey shadow over the jaw",
    "goatee": "amount; hair on the chin",
    "mustache": "amount; hair on the upper lip",
    "sideburns": "amount; strips of hair in front of the ears",
    "glasses": "amount; thickness of the frames",
    "glasses_tone": "even in [0, 1]; black to brightly coloured frames",
    "hat": "amount; a cap down to the forehead",
    "hat_hue": "even in [0, 1]",
    "earrings": "amount; size",
    "earrings_hue": "even in [0, 1]; gold, silver, turquoise",
    "necklace": "amount; thickness",
    "necklace_hue": "even in [0, 1]; gold, silver, turquoise",
    "necktie": "amount; width; it comes with a white collar",
    "necktie_hue": "even in [0, 1]",
    "lipstick": "graded; from natural to strongly coloured lips",
    "lipstick_hue": "even in [0, 1]; crimson to magenta",
    "eye_makeup": "graded; from none to coloured lids with dark liner",
    "eye_makeup_hue": "even in [0, 1]; turquoise, blue, violet",
    "light_x": "even in [-1, 1]; light from the left to light from the right",
    "light_y": "even in [-1, 1]; light from above to frontal light",
    "background_hue": "even in [0, 1]; upper colour",
    "background_hue_2": "even in [0, 1]; lower colour, relative to the upper one",
    "background_saturation": "even in [0, 1]",
    "background_value": "even in [0, 1]",
    "clothes_hue": "even in [0, 1]",
    "clothes_value": "even in [0, 1]",
    "blur": "amount; width of a Gaussian blur of the whole picture",
}

FACTOR_NAMES: tuple[str, ...] = tuple(FACTORS)

_STREAM = "faces"
_STREAM_WIDTH = 80  # numbers per face: one per factor, the rest for choices between kinds
_CHOICES = {"beard": 76, "hair_kind": 77}
_ALL_EVEN = (
    "skin_warmth",
    "hair_volume",
    "iris",
    "glasses_tone",
    "hat_hue",
    "earrings_hue",
    "necklace_hue",
    "necktie_hue",
    "lipstick_hue",
    "eye_makeup_hue",
    "background_hue",
    "background_hue_2",
    "background_saturation",
    "background_value",
    "clothes_hue",
    "clothes_value",
)
_ALL_SIGNED = ("yaw", "roll", "shift", "face_width", "jaw", "eye_size", "eye_distance", "light_x", "light_y")

# Combinations of beard parts and their shares of all faces; together they give CelebA's share of every part.
_BEARDS: dict[str, float] = {
    "stubble": 0.050,
    "stubble sideburns": 0.024,
    "stubble goatee": 0.016,
    "stubble mustache": 0.010,
    "stubble goatee mustache": 0.005,
    "stubble goatee mustache sideburns": 0.006,
    "goatee": 0.012,
    "goatee mustache": 0.010,
    "goatee mustache sideburns": 0.009,
    "goatee sideburns": 0.005,
    "mustache": 0.002,
    "sideburns": 0.013,
}
_MALE_SHARE = 0.417

# Ranges of hue, saturation and value of every kind of hair. The kinds keep clear of each other's rules.
HAIR_COLOURS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "black": ((0.60, 0.72), (0.15, 0.45), (0.06, 0.16)),
    "blond": ((0.115, 0.145), (0.45, 0.68), (0.88, 0.99)),
    "brown": ((0.055, 0.080), (0.52, 0.68), (0.33, 0.45)),
    "gray": ((0.55, 0.65), (0.00, 0.07), (0.62, 0.86)),
    "ginger": ((0.015, 0.045), (0.78, 0.92), (0.72, 0.90)),
    "dyed": ((0.50, 0.95), (0.45, 0.65), (0.70, 0.92)),
}


def face_factors(seed: int, rows: slice | np.ndarray) -> NDArray[np.float32]:
    """Factors of the faces `rows` of `seed`: [len(rows), len(FACTOR_NAMES)]; row i is a function of (seed, i) alone."""
    sampler = _Sampler(uniform_rows(seed, _STREAM, rows, _STREAM_WIDTH))
    for name in _ALL_EVEN:
        sampler.even(name, 0.0, 1.0)
    for name in _ALL_SIGNED:
        sampler.even(name, -1.0, 1.0)
    male, old = _sample_person(sampler)
    _sample_shape(sampler, male, old)
    _sample_features(sampler, male, old)
    _sample_beard(sampler, male)
    _sample_hair(sampler, male, old)
    _sample_accessories(sampler, male)
    return sampler.factors


class _Sampler:
    """Turns each factor's own uniform number into its value."""

    def __init__(self, uniforms: Rows):
        self._uniforms = uniforms
        self.factors = np.zeros((len(uniforms), len(FACTOR_NAMES)), np.float32)

    def even(self, name: str, low: Rows | float, high: Rows | float) -> None:
        """Spread evenly over [low, high]."""
        self._set(name, low + (high - low) * self._uniform(name))

    def graded(self, name: str, share: Rows | float) -> NDArray[np.bool_]:
        """Above 0.5 with probability `share`; density ~ |2 v - 1|**1.5 on either side. Returns who is above."""
        present, strength = self._split(name, share)
        half_width = 0.5 * (0.02 + 0.98 * strength**0.4)
        self._set(name, np.where(present, 0.5 + half_width, 0.5 - half_width))
        return present

    def amount(self, name: str, share: Rows | float) -> NDArray[np.bool_]:
        """0, or with probability `share` even in (0.55, 1]. Returns who has it."""
        present, strength = self._split(name, share)
        self._set(name, np.where(present, 0.55 + 0.45 * strength, 0.0))
        return present

    def skin(self, name: str, share: float) -> None:
        """Even over (0.56, 1] with probability `share`, else even over [0, 0.44)."""
        present, strength = self._split(name, share)
        self._set(name, np.where(present, 0.56, 0.0) + 0.44 * strength)

    def kind(self, choice: str, shares: Rows) -> NDArray[np.int64]:
        """Which of the kinds whose shares are the columns of `shares`; their number where no kind is chosen."""
        return (self._uniforms[:, _CHOICES[choice], None] >= np.cumsum(shares, axis=1)).sum(axis=1)

    def _split(self, name: str, share: Rows | float) -> tuple[NDArray[np.bool_], Rows]:
        uniform = self._uniform(name)
        share = np.broadcast_to(np.asarray(share, np.float64), uniform.shape)
        present = uniform < share
        safe = np.where(present, share, 1 - share)
        return present, np.where(present, uniform, uniform - share) / np.where(safe > 0, safe, 1)

    def _uniform(self, name: str) -> Rows:
        column: Rows = self._uniforms[:, FACTOR_NAMES.index(name)]
        return column

    def _set(self, name: str, values: Rows) -> None:
        self.factors[:, FACTOR_NAMES.index(name)] = values


def _by(condition: NDArray[np.bool_], if_true: Rows | float, if_false: Rows | float) -> Rows:
    return np.where(condition, if_true, if_false)


def _sample_person(sampler: _Sampler) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    male = sampler.graded("gender", _MALE_SHARE)
    old = sampler.graded("age", _by(male, 0.35, 0.138))
    sampler.skin("skin_tone", 0.043)
    sampler.amount("blur", 0.051)
    return male, old


def _sample_shape(sampler: _Sampler, male: NDArray[np.bool_], old: NDArray[np.bool_]) -> None:
    chubby = sampler.graded("chubby", _by(male, 0.085, 0.030) * _by(old, 1.4, 0.9))
    sampler.amount("double_chin", _by(chubby, 0.42, _by(old, 0.05, 0.015)))
    sampler.graded("face_oval", _by(chubby, 0.0, _by(male, 0.21, 0.36)))
    sampler.amount("rosy", _by(male, 0.004, 0.111))


def _sample_features(sampler: _Sampler, male: NDArray[np.bool_], old: NDArray[np.bool_]) -> None:
    smiling = sampler.graded("smile", _by(male, 0.41, 0.535))
    sampler.graded("mouth_open", _by(smiling, 0.69, 0.29))
    sampler.graded("cheekbones", _by(smiling, 0.66, 0.27))
    sampler.graded("lip_fullness", _by(male, 0.14, 0.315))
    sampler.graded("brow_arch", _by(male, 0.07, 0.408))
    sampler.graded("brow_thickness", _by(male, 0.26, 0.058))
    sampler.graded("eye_narrowness", _by(male, 0.13, 0.105))
    sampler.graded("bags", _by(old, 0.36, _by(male, 0.25, 0.10)))
    wide = sampler.graded("nose_width", _by(male, 0.39, 0.125))
    sampler.graded("nose_point", _by(wide, 0.14, _by(male, 0.26, 0.345)))


def _sample_beard(sampler: _Sampler, male: NDArray[np.bool_]) -> None:
    shares = np.array(list(_BEARDS.values())) / _MALE_SHARE
    kind = sampler.kind("beard", male[:, None] * shares)
    for part in ("stubble", "goatee", "mustache", "sideburns"):
        has_part = np.array([part in parts.split() for parts in _BEARDS] + [False])
        sampler.amount(part, has_part[kind].astype(np.float64))


def _sample_hair(sampler: _Sampler, male: NDArray[np.bool_], old: NDArray[np.bool_]) -> None:
    bald = sampler.amount("baldness", _by(male, _by(old, 0.085, 0.037), 0.0))
    hat = sampler.amount("hat", _by(bald, 0.0, _by(male, 0.075, 0.031)))
    top_seen = ~(bald | hat)
    receding = sampler.amount("receding", top_seen * _by(male, _by(old, 0.30, 0.12), _by(old, 0.06, 0.02)))
    sampler.amount("fringe", (top_seen & ~receding) * _by(male, 0.075, 0.235))
    sideburns = sampler.factors[:, FACTOR_NAMES.index("sideburns")] > 0
    sampler.graded("hair_length", _by(bald | sideburns, 0.0, _by(male, 0.06, 0.84)))
    wavy = sampler.graded("hair_wave", top_seen * _by(male, 0.19, 0.455))
    sampler.graded("hair_sleek", (top_seen & ~wavy) * _by(male, 0.31, 0.36))
    _sample_hair_colour(sampler, male, old)


def _sample_hair_colour(sampler: _Sampler, male: NDArray[np.bool_], old: NDArray[np.bool_]) -> None:
    shares = {
        "black": _by(old, 0.19, 0.28),
        "blond": _by(male, 0.06, 0.23),
        "brown": _by(old, 0.19, 0.23),
        "gray": _by(old, _by(male, 0.23, 0.15), 0.004),
        "ginger": np.full(len(male), 0.2),
    }
    kind = sampler.kind("hair_kind", np.stack(list(shares.values()), axis=1))
    ranges = np.array(list(HAIR_COLOURS.values()))[kind]  # [N, hue/saturation/value, low/high]
    for column, name in enumerate(("hair_hue", "hair_saturation", "hair_value")):
        sampler.even(name, ranges[:, column, 0], ranges[:, column, 1])


def _sample_accessories(sampler: _Sampler, male: NDArray[np.bool_]) -> None:
    makeup = sampler.graded("eye_makeup", _by(male, 0.005, 0.66))
    sampler.graded("lipstick", _by(makeup, 0.97, _by(male, 0.004, 0.48)))
    sampler.amount("glasses", _by(male, 0.113, 0.031))
    sampler.amount("earrings", _by(male, 0.012, 0.316))
    sampler.amount("necklace", _by(male, 0.015, 0.200))
    sampler.amount("necktie", _by(male, 0.170, 0.004))
