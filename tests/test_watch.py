"""What the curves of a training give cause to say, and that healthy ones give none."""

import itertools
import math

import numpy as np
import pytest

from trainers.watch import SETTLING, concerns


def _history(count=60, **curves):
    """Ticks of a healthy training, with some curves replaced; a curve is a function of the tick's number."""
    noise = np.random.default_rng(0).normal(size=(count, 3))
    healthy = {
        "w_std": lambda i: 0.6 - 0.001 * i + 0.02 * noise[i, 0],
        "sign_real": lambda i: 0.6 + 0.1 * noise[i, 1],
        "loss_d": lambda i: 1.0 + 0.1 * noise[i, 2],
        "lod": lambda i: 0.0,
        "swd": lambda i: 100.0 - i,
    }
    return [
        {"kimg": i + 1.0, **{name: float(curve(i)) for name, curve in (healthy | curves).items()}} for i in range(count)
    ]


def _kinds(history, **options):
    return [concern.kind for concern in concerns(history, **{"score": "swd", **options})]


def test_a_healthy_training_never_gives_cause():
    history = _history(300)
    assert not any(_kinds(history[:length]) for length in range(301))


@pytest.mark.parametrize(
    ("kind", "curves"),
    [
        ("w_collapse", {"w_std": lambda i: 0.6 if i < 40 else 0.05}),
        ("w_collapse", {"w_std": lambda i: 0.0009}),
        ("w_explosion", {"w_std": lambda i: 0.6 if i < 40 else 6.6}),
        ("overfitting", {"sign_real": lambda i: 0.92}),
        ("discriminator_won", {"loss_d": lambda i: 0.04}),
        ("discriminator_lost", {"loss_d": lambda i: 1.6}),
        ("no_improvement", {"swd": lambda i: 50.0 + abs(i - 38)}),
    ],
)
def test_each_concern(kind, curves):
    (concern,) = concerns(_history(**curves), score="swd")
    assert concern.kind == kind
    assert any(character.isdigit() for character in concern.words)


def test_the_numbers_seen_are_in_the_words():
    (concern,) = concerns(_history(w_std=lambda i: 0.5 if i < 40 else 0.02))
    assert "w_std is 0.02 over the last 6 ticks and was up to 0.5 before" in concern.words


@pytest.mark.parametrize(
    "curves",
    [
        {"w_std": lambda i: 0.6 if i < 40 else 0.07},
        {"w_std": lambda i: 0.6 if i < 40 else 5.0},
        {"sign_real": lambda i: 0.88},
        {"loss_d": lambda i: 0.06},
        {"loss_d": lambda i: 2 * math.log(2)},
        {"swd": lambda i: 50.0 + abs(i - 42)},
    ],
)
def test_on_the_near_side_of_a_threshold_there_is_none(curves):
    assert _kinds(_history(**curves)) == []


def test_a_young_training_gives_none():
    extreme = _history(SETTLING + 5, w_std=lambda i: 1e-9, sign_real=lambda i: 1, loss_d=lambda i: 0)
    assert _kinds(extreme) == []


def test_the_first_ticks_are_not_looked_at():
    assert _kinds(_history(w_std=lambda i: 50.0 if i < SETTLING else 0.6)) == []


def test_the_discriminator_of_wasserstein_losses_is_not_judged():
    curves = {"sign_real": lambda i: 1.0, "loss_d": lambda i: 0.0}
    assert _kinds(_history(**curves)) == ["overfitting", "discriminator_won"]
    assert _kinds(_history(**curves), loss="wgan-gp") == []


def test_a_curve_around_a_threshold_is_said_once():
    history = _history(200, sign_real=lambda i: 0.9 + 0.04 * math.sin(i / 5))
    states = ["overfitting" in _kinds(history[:length]) for length in range(201)]
    assert sum(later and not earlier for earlier, later in itertools.pairwise(states)) == 1
    assert states[-1]


def test_a_concern_ends_once_the_curve_is_clearly_back():
    def sign(i):
        return 0.95 if i < 30 else 0.85 if i < 60 else 0.7

    history = _history(90, sign_real=sign)
    assert [_kinds(history[:length]) for length in (29, 60, 90)] == [["overfitting"], ["overfitting"], []]


def test_ticks_in_which_a_resolution_fades_in_do_not_count():
    fading = _history(sign_real=lambda i: 0.6 if i < 30 else 1.0, lod=lambda i: 1.0 if i < 30 else 0.5)
    assert _kinds(fading) == []

    worse_than_chance = _history(loss_d=lambda i: 2.0, lod=lambda i: 0.5)
    assert _kinds(worse_than_chance) == ["discriminator_lost"]


def test_single_bad_ticks_are_forgiven():
    assert _kinds(_history(loss_d=lambda i: 60.0 if i % 20 > 17 else 1.3)) == []


def test_fields_that_are_missing_or_no_numbers_are_left_out():
    history = _history(w_std=lambda i: 0.6 if i < 40 else 0.02)
    holes = [dict(tick) for tick in history]
    holes[10]["w_std"] = None
    holes[20]["w_std"] = math.nan
    del holes[30]["w_std"], holes[31]["swd"]
    assert _kinds(holes) == ["w_collapse"]
    assert concerns([{"kimg": float(i)} for i in range(50)], score="swd") == []
    assert concerns([], score="swd") == []


def test_a_variance_over_single_images_is_none():
    assert _kinds(_history(w_std=lambda i: 0.0)) == []
    assert _kinds(_history(w_std=lambda i: 0.6 if i < 40 else 0.0)) == ["w_collapse"]
