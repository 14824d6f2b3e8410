"""The embedded faces: addressing, resolutions, the shares of attributes and what they depend on."""

import re
from pathlib import Path

import numpy as np
import pytest

import latentlab.data.faces as faces_module
from latentlab.data.attributes import CELEBA_ATTRIBUTES, CELEBA_POSITIVE_SHARE
from latentlab.data.faces import (
    ATTRIBUTE_RULES,
    FACTOR_NAMES,
    FACTORS,
    RESOLUTIONS,
    draw_faces,
    face_factors,
    face_labels,
    render_faces,
    rows_without,
)
from latentlab.errors import UsageError

MANY = 20_000
DOCS = Path(__file__).parents[1] / "docs" / "faces.md"


@pytest.fixture(scope="module")
def factors():
    return face_factors(0, slice(0, MANY))


@pytest.fixture(scope="module")
def present(factors):
    """Attribute -> bool [MANY]."""
    return dict(zip(CELEBA_ATTRIBUTES, (face_labels(factors) == 1).T, strict=True))


def column(factors, name):
    return factors[:, FACTOR_NAMES.index(name)]


def set_factor(factors, **values):
    changed = factors.copy()
    for name, value in values.items():
        changed[:, FACTOR_NAMES.index(name)] = value
    return changed


def plain_faces(count=40):
    """Faces with nothing in front of anything: sharp, hatless, young, without beard or accessories."""
    names = ("blur", "hat", "glasses", "stubble", "goatee", "mustache", "sideburns", "baldness", "receding", "fringe")
    names += ("double_chin", "rosy", "earrings", "necklace", "necktie")
    return set_factor(face_factors(1, slice(0, count)), **dict.fromkeys(names, 0.0))


def test_types_and_shapes():
    faces = render_faces(0, slice(3, 8), 32)
    assert faces.images.shape == (5, 32, 32, 3)
    assert faces.images.dtype == np.uint8
    assert faces.factors.shape == (5, len(FACTOR_NAMES))
    assert faces.factors.dtype == np.float32
    assert faces.labels.shape == (5, 40)
    assert faces.labels.dtype == np.int8
    assert set(np.unique(faces.labels)) == {-1, 1}


def test_no_rows():
    faces = render_faces(0, np.array([], np.int64), 32)
    assert faces.images.shape == (0, 32, 32, 3)
    assert faces.labels.shape == (0, 40)


def test_face_is_a_function_of_seed_and_row_alone():
    together = render_faces(5, slice(0, 200), 32)
    rows = np.array([199, 0, 64, 63, 150, 7])
    apart = render_faces(5, rows, 32)
    np.testing.assert_array_equal(apart.factors, together.factors[rows])
    np.testing.assert_array_equal(apart.images, together.images[rows])
    np.testing.assert_array_equal(apart.labels, together.labels[rows])
    one = render_faces(5, slice(63, 64), 32)
    np.testing.assert_array_equal(one.images[0], together.images[63])


def test_seeds_differ():
    assert (render_faces(0, slice(0, 4), 32).images != render_faces(1, slice(0, 4), 32).images).mean() > 0.5


@pytest.mark.parametrize("resolution", [16, 64, 128])
def test_same_face_at_any_resolution(resolution):
    factors = face_factors(0, slice(0, 64))
    small, large = min(resolution, 32), max(resolution, 32)
    fine = draw_faces(factors, large).astype(np.float32)
    k = large // small
    averaged = fine.reshape(64, small, k, small, k, 3).mean(axis=(2, 4))
    coarse = draw_faces(factors, small).astype(np.float32)
    assert np.abs(averaged - coarse).mean() < 4.0
    assert np.corrcoef(averaged.ravel(), coarse.ravel())[0, 1] > 0.985


def test_largest_resolution():
    assert draw_faces(face_factors(0, slice(0, 2)), 256).shape == (2, 256, 256, 3)


@pytest.mark.parametrize("resolution", [0, -32, 8, 33, 48, 512])
def test_refuses_other_resolutions(resolution):
    with pytest.raises(UsageError, match=r"16, 32, 64, 128, 256"):
        render_faces(0, slice(0, 1), resolution)
    assert resolution not in RESOLUTIONS


def test_factors_stay_in_range(factors):
    assert np.isfinite(factors).all()
    for name, meaning in FACTORS.items():
        low, high = column(factors, name).min(), column(factors, name).max()
        assert low >= (-1 if "[-1, 1]" in meaning else 0), name
        assert high <= 1, name
        assert high - low > 0.3, f"{name} hardly varies"


def test_amounts_are_absent_or_clear(factors):
    for name, meaning in FACTORS.items():
        values = column(factors, name)
        if meaning.startswith("amount"):
            assert ((values == 0) | (values > 0.5)).all(), name


def test_graded_factors_are_sparse_around_their_threshold(factors):
    for name, meaning in FACTORS.items():
        values = column(factors, name)
        if meaning.startswith("graded"):
            assert (np.abs(values - 0.5) < 0.05).mean() < 0.01, name
            assert len(np.unique(values[values < 0.5])) > 1000, name


@pytest.mark.parametrize("attribute", CELEBA_ATTRIBUTES)
def test_share_is_near_celeba(present, attribute):
    share, target = present[attribute].mean(), CELEBA_POSITIVE_SHARE[attribute]
    assert abs(share - target) < min(0.03, 0.2 * target)


def test_labels_follow_from_factors_alone(factors):
    np.testing.assert_array_equal(face_labels(factors[:100]), face_labels(factors)[:100])
    np.testing.assert_array_equal(face_labels(factors[:100]), render_faces(0, slice(0, 100), 16).labels)


def test_hair_has_at_most_one_colour(present):
    colours = sum(present[name].astype(int) for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"))
    assert colours.max() == 1


@pytest.mark.parametrize("hidden_by", ["Bald", "Wearing_Hat"])
def test_no_statement_about_hair_that_is_not_seen(present, hidden_by):
    names = ("Bald", "Bangs", "Receding_Hairline", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
    for name in (*names, "Straight_Hair", "Wavy_Hair"):
        if name != hidden_by:
            assert not (present[name] & present[hidden_by]).any(), name


def test_exclusive_attributes(present):
    assert not (present["Straight_Hair"] & present["Wavy_Hair"]).any()
    assert not (present["Bangs"] & present["Receding_Hairline"]).any()
    assert not (present["Chubby"] & present["Oval_Face"]).any()


def test_no_beard_is_the_absence_of_every_part(present):
    parts = ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")
    np.testing.assert_array_equal(present["No_Beard"], ~np.logical_or.reduce([present[part] for part in parts]))


@pytest.mark.parametrize("name", ["5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns", "Wearing_Necktie", "Bald"])
def test_worn_by_men(present, name):
    assert present["Male"][present[name]].mean() > 0.9


@pytest.mark.parametrize(
    "name", ["Heavy_Makeup", "Wearing_Lipstick", "Rosy_Cheeks", "Wearing_Earrings", "Wearing_Necklace"]
)
def test_worn_by_women(present, name):
    assert present["Male"][present[name]].mean() < 0.1


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("Mouth_Slightly_Open", "Smiling"),
        ("High_Cheekbones", "Smiling"),
        ("Wearing_Lipstick", "Heavy_Makeup"),
        ("Double_Chin", "Chubby"),
        ("Attractive", "Young"),
        ("Big_Nose", "Male"),
    ],
)
def test_goes_with(present, name, given):
    assert present[name][present[given]].mean() > present[name][~present[given]].mean() + 0.15


def test_gray_hair_comes_with_age(present):
    assert present["Young"][present["Gray_Hair"]].mean() < 0.2


VISIBLE = [name for name, meaning in FACTORS.items() if meaning.startswith(("graded", "amount"))]


@pytest.mark.parametrize("factor", VISIBLE)
def test_factor_is_seen_at_32_pixels(factor):
    faces = set_factor(plain_faces(), hair_wave=0.2, hair_sleek=0.2)
    absent = draw_faces(set_factor(faces, **{factor: 0.0}), 32).astype(int)
    there = draw_faces(set_factor(faces, **{factor: 1.0}), 32).astype(int)
    changed = np.abs(there - absent).max(axis=-1) > 30
    assert changed.sum(axis=(1, 2)).mean() >= 6


def test_pale_skin_is_clearly_paler():
    light, pale = (draw_faces(set_factor(plain_faces(), skin_tone=tone), 32).mean() for tone in (0.43, 0.57))
    assert pale > light + 4


def test_rows_without_leaves_out_the_combination():
    missing = {"Smiling": True, "Male": True}
    rows = rows_without(0, 100, 3000, missing)
    labels = face_labels(face_factors(0, rows))
    smiling, male = (labels[:, CELEBA_ATTRIBUTES.index(name)] == 1 for name in missing)
    assert len(rows) == 3000
    assert rows[0] >= 100
    assert (np.diff(rows) > 0).all()
    assert not (smiling & male).any()
    skipped = np.setdiff1d(np.arange(100, rows[-1]), rows)
    labels = face_labels(face_factors(0, skipped))
    assert all((labels[:, CELEBA_ATTRIBUTES.index(name)] == 1).all() for name in missing)


def test_rows_without_goes_on_where_it_stopped():
    missing = {"Young": False}
    whole = rows_without(2, 0, 500, missing)
    rest = rows_without(2, int(whole[199]) + 1, 300, missing)
    np.testing.assert_array_equal(whole[200:], rest)


def test_rows_without_nothing_missing_or_nothing_asked():
    np.testing.assert_array_equal(rows_without(0, 7, 5, {}), np.arange(7, 12))
    assert len(rows_without(0, 0, 0, {"Male": True})) == 0


def test_rows_without_names_the_nearest_attribute():
    with pytest.raises(UsageError, match="Smiling"):
        rows_without(0, 0, 5, {"smilling": True})


def test_rows_without_gives_up_where_nothing_is_left(monkeypatch):
    monkeypatch.setattr(faces_module, "face_labels", lambda factors: np.ones((len(factors), 40), np.int8))
    with pytest.raises(UsageError, match="Male=True only 0 of the first"):
        rows_without(0, 0, 5, {"Male": True})


@pytest.mark.parametrize(("start", "count"), [(-1, 5), (0, -5)])
def test_rows_without_refuses_negative_numbers(start, count):
    with pytest.raises(UsageError, match="0 or more"):
        rows_without(0, start, count, {"Male": True})


def test_every_attribute_has_a_rule_and_is_documented():
    assert tuple(ATTRIBUTE_RULES) == CELEBA_ATTRIBUTES
    text = DOCS.read_text()
    for name, rule in ATTRIBUTE_RULES.items():
        row = re.search(rf"^\| `{re.escape(name)}` \| (.*?) \|", text, re.MULTILINE)
        assert row, name
        assert row.group(1) == rule


def test_every_factor_is_documented():
    text = DOCS.read_text()
    for name, meaning in FACTORS.items():
        assert f"| `{name}` | {meaning} |" in text
