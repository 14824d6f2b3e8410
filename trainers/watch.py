"""What the curves of a training say about its health: nothing here stops anything, it finds words.

Everything is a pure function of the ticks so far (stats.jsonl). To keep quiet about noise, curves are averaged over
RECENT ticks, the first SETTLING ticks are left out, and a concern that has begun ends only once its curve is clearly
back (a second, milder threshold), so that a curve close to one threshold does not say the same thing again and again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Tick = Mapping[str, float]
Kind = Literal["w_collapse", "w_explosion", "overfitting", "discriminator_won", "discriminator_lost", "no_improvement"]

RECENT = 6
SETTLING = 6
PATIENCE = 5
COIN = 2 * math.log(2)


@dataclass(frozen=True)
class Concern:
    """Something that a person should know about a training.

    Attributes:
        kind: What it is; a caller says each kind once until it is absent again.
        words: What was seen, what that usually means and what to try.
    """

    kind: Kind
    words: str


@dataclass(frozen=True)
class Threshold:
    """Where a concern begins, and where it ends again, which is farther on the healthy side."""

    begins: float
    ends: float

    def crossed(self, curve: np.ndarray) -> bool:
        """Whether the concern has begun and has not ended since; NaNs in the curve count as neither."""
        upward = self.begins > self.ends
        outside = curve > self.begins if upward else curve < self.begins
        healthy = curve < self.ends if upward else curve > self.ends
        return _last(outside) > _last(healthy)


# W collapses below a tenth of what it was, or below 1/1000 (see _spread); it explodes above 10 times its median.
COLLAPSE = Threshold(begins=0.1, ends=0.2)
VANISHED = Threshold(begins=1e-3, ends=2e-3)
EXPLOSION = Threshold(begins=10.0, ends=5.0)
OVERFITTING = Threshold(begins=0.9, ends=0.8)
WON = Threshold(begins=0.05, ends=0.1)
LOST = Threshold(begins=1.1 * COIN, ends=COIN)


def concerns(history: Sequence[Tick], *, loss: str = "logistic", score: str | None = None) -> list[Concern]:
    """What there is to worry about, in the order of Kind; empty for a training that looks healthy or is too young.

    Args:
        history: All ticks so far, oldest first; missing, null or non-finite fields are left out.
        loss: TrainerConfig.loss. Only logistic scores have a meaningful zero, so the three concerns about the
            discriminator are looked at for "logistic" alone.
        score: Name of the metric, lower being better, that decides what the best snapshot is.
    """
    found = [*_spread(history)]
    if loss == "logistic":
        found += [*_overfitting(history), *_balance(history)]
    if score is not None:
        found += _no_improvement(history, score)
    return found


def _spread(history: Sequence[Tick]) -> Iterator[Concern]:
    """W against its own past: `w_std`, the root of the mean variance of w over a minibatch.

    A tenth and ten times are an order of magnitude, far outside of what a sound training does to it: in one of the
    preset `quick` at 16 pixels it went from 0.64 to 0.54. Below 1e-3 styles, whose affine maps begin with unit
    variance per unit of w (equalised learning rate: ProGAN, section 4.1), scale features by 1 +- 0.001, less than one
    of 255 grey levels. That deep mappings are unstable at common learning rates: paper, appendix C. Where the field is
    missing, each shard held a single image, and there was no variance to see.
    """
    curve = _means(_values(history[SETTLING:], "w_std"))
    if len(curve) <= RECENT or not curve.any():
        return
    largest = np.maximum(np.maximum.accumulate(curve), np.finfo(float).tiny)
    if COLLAPSE.crossed(curve / largest) or VANISHED.crossed(curve):
        yield Concern(
            "w_collapse",
            f"W is collapsing: w_std is {curve[-1]:.2g} over the last {RECENT} ticks and was up to {largest[-1]:.2g} "
            "before. Usually different z then give nearly the same image (mode collapse). Compare the newest grid "
            "with an earlier one; go back to an earlier snapshot, and try a lower "
            "trainer.schedule.learning_rate_base or a larger trainer.r1_gamma.",
        )
    median = float(np.median(curve[:-RECENT]))
    if median > 0 and EXPLOSION.crossed(curve / median):
        yield Concern(
            "w_explosion",
            f"W is exploding: w_std is {curve[-1]:.2g} over the last {RECENT} ticks, against a median of "
            f"{median:.2g} before. Usually the mapping network learns too fast. Try a lower "
            "generator.mapping_lrmul (the paper has 0.01) or trainer.schedule.learning_rate_base, from an earlier "
            "snapshot or from the start.",
        )


def _overfitting(history: Sequence[Tick]) -> Iterator[Concern]:
    """The discriminator knows its images by heart: r_t = E[sign(D(real))] (Karras et al. 2020, ADA, equation 1).

    r_t is 0 without overfitting and 1 where it is complete; ADA steers it to 0.6. 0.9 is three quarters of the way
    from there to 1: 95 of 100 training images get a score above 0. With the preset `quick` at 16 pixels, averages were
    0.42 to 0.77 for 3,000 images; for 64, with R1 of 0.1 and no mirroring, 0.91 after 80 kimg. Ticks in which a
    resolution fades in do not count: its fakes are told apart easily, for another reason.
    """
    curve = _means(_values(_unfaded(history), "sign_real"))
    if OVERFITTING.crossed(curve):
        yield Concern(
            "overfitting",
            f"the discriminator overfits: the mean sign of its scores for real images is {curve[-1]:.2f} over the "
            f"last {RECENT} ticks (0: no overfitting, 1: complete; 0.6 is healthy). Usually there are too few images: "
            "their quality then gets worse from here on. Try more images, trainer.mirror=true or a larger "
            "trainer.r1_gamma, or stop and take the best snapshot.",
        )


def _balance(history: Sequence[Tick]) -> Iterator[Concern]:
    """The logistic loss of the discriminator against the two ends between which there is a game.

    At 0 it is perfect: gradients for the generator become useless (Arjovsky and Bottou 2017, theorems 2.4 and 2.6);
    0.05 are scores of +-3.7. With the same score for everything, so with no idea at all, it has 2 log 2 (Goodfellow
    et al. 2014, theorem 1); a tenth more is worse than a coin. Medians over two windows, because a single tick can
    have a loss fifty times too high and be forgotten after it. Fading makes winning easy, so it counts for losing only.
    """
    curve = _medians(_values(_unfaded(history), "loss_d"))
    if WON.crossed(curve):
        yield Concern(
            "discriminator_won",
            f"the discriminator has won: its median loss is {curve[-1]:.2g} over the last {2 * RECENT} ticks "
            f"(no idea at all would be {COIN:.2f}). The generator then learns next to nothing. "
            "Try a larger trainer.r1_gamma, a lower trainer.schedule.learning_rate_base or more images.",
        )
    curve = _medians(_values(history[SETTLING:], "loss_d"))
    if LOST.crossed(curve):
        yield Concern(
            "discriminator_lost",
            f"the discriminator does worse than chance: its median loss is {curve[-1]:.2g} over {2 * RECENT} ticks "
            f"(no idea at all would be {COIN:.2f}). The generator then follows noise. Usually steps are too large, or "
            "the penalty is too strong: try a lower trainer.schedule.learning_rate_base or a smaller trainer.r1_gamma.",
        )


def _no_improvement(history: Sequence[Tick], score: str) -> Iterator[Concern]:
    """The best snapshot is old: PATIENCE or more later ones were no better, over a third of the training so far.

    One third, because the best of n measurements of a curve that only fluctuates is that old two times in three, but
    of one that still falls, hardly ever. The paper reports the lowest FID met in training (table 1), not the last.
    """
    measured = [(tick["kimg"], tick[score]) for tick in history if _finite(tick, "kimg") and _finite(tick, score)]
    if not measured:
        return
    now = measured[-1][0]
    index, (kimg, best) = min(enumerate(measured), key=lambda item: item[1][1])
    if len(measured) - 1 - index >= PATIENCE and now - kimg >= now / 3:
        yield Concern(
            "no_improvement",
            f"{score} has not improved since {kimg:g} kimg: it was {best:.4g} there and is {measured[-1][1]:.4g} now, "
            f"after {len(measured) - 1 - index} more snapshots. Training has converged, or gets worse again "
            "(overfitting, where images are few). The best snapshot is kept; stopping here may lose nothing.",
        )


def _unfaded(history: Sequence[Tick]) -> list[Tick]:
    """The ticks at a whole level of detail, without the first ones."""
    return [tick for tick in history[SETTLING:] if not _finite(tick, "lod") or float(tick["lod"]).is_integer()]


def _values(history: Sequence[Tick], name: str) -> np.ndarray:
    """The finite values of one field, [T] or fewer."""
    return np.array([tick[name] for tick in history if _finite(tick, name)], np.float64)


def _finite(tick: Tick, name: str) -> bool:
    value = tick.get(name)
    return isinstance(value, int | float) and math.isfinite(value)


def _means(values: np.ndarray) -> np.ndarray:
    """Moving averages over RECENT values, [T] -> [T - RECENT + 1]."""
    return _windows(values, RECENT).mean(axis=1)


def _medians(values: np.ndarray) -> np.ndarray:
    """Moving medians over two times RECENT values, [T] -> [T - 2 RECENT + 1]."""
    return np.median(_windows(values, 2 * RECENT), axis=1)


def _windows(values: np.ndarray, width: int) -> np.ndarray:
    """All stretches of `width` values, [T] -> [T - width + 1, width]; none where there are too few."""
    if len(values) < width:
        return np.empty((0, width))
    return np.lib.stride_tricks.sliding_window_view(values, width)


def _last(true: np.ndarray) -> int:
    """Index of the last True, or -1."""
    places = np.flatnonzero(true)
    return int(places[-1]) if len(places) else -1
