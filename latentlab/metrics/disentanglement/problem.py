"""What is measured: latents, the factors they shall hold, and which rows models are fitted to and tested on."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from latentlab.errors import DataError, DegenerateWarning, UsageError
from latentlab.metrics.constants import judge_constants
from latentlab.randomness import derive_seed

NUM_SAMPLES = 15_000
"""Rows that are fitted and tested on unless told otherwise: 10,000 and 5,000, as in disentanglement_lib."""

FEWEST = 10
"""Samples without a factor's most common value that each part must have for the factor to be valid."""

Step = Callable[[], None]
"""Called after every piece of work."""


@dataclass(frozen=True)
class Problem:
    """Latents and the valid factors, with a split of some of the rows.

    Attributes:
        latents: float32 [N, D].
        factors: float64 [N, K], valid factors alone; those of two values are 0 and 1.
        names: K names.
        binary: bool [K], which factors have two values; the others are taken as numbers on a scale.
        train, test: Disjoint row numbers.
        reasons: Every factor that was given, in order, with why it is invalid (None: it is valid).
    """

    latents: np.ndarray
    factors: np.ndarray
    names: tuple[str, ...]
    binary: np.ndarray
    train: np.ndarray
    test: np.ndarray
    reasons: dict[str, str | None]

    @cached_property
    def standardised(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and test latents, float64 [n, D], at mean 0 and deviation 1 of training; constant ones are 0."""
        scaler = StandardScaler().fit(self.latents[self.train].astype(np.float64))
        train, test = (np.asarray(scaler.transform(self.latents[rows])) for rows in (self.train, self.test))
        return train, test

    def shuffled(self, seed: int) -> "Problem":
        """The same latents with other samples' factors: what a representation that knows nothing scores.

        Rows trade places within their part (training, test, the rest), all factors of a row together, so that classes
        stay as frequent in each part and factors as related to each other as they are.
        """
        generator = _generator(seed, "shuffle")
        rest = np.setdiff1d(np.arange(len(self.latents)), np.concatenate([self.train, self.test]))
        order = np.empty(len(self.latents), np.int64)
        for part in (self.train, self.test, rest):
            order[part] = generator.permutation(part)
        return replace(self, factors=self.factors[order])


@dataclass(frozen=True)
class Outcome:
    """What a metric gives for one problem.

    Attributes:
        metric: Its name, such as `sap`.
        value: The number; higher is better.
        replicates: Bootstrap replicates of it, [B]; empty if none were asked for.
        num_samples: Rows it was computed from.
        settings: What decides the number besides the problem.
        per_factor: Names of further numbers, each with one of them per valid factor.
        details: Other things worth knowing.
    """

    metric: str
    value: float
    replicates: np.ndarray
    num_samples: int
    settings: dict[str, Any]
    per_factor: dict[str, np.ndarray] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def prepare(
    latents: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    num_samples: int | None = None,
    seed: int = 0,
) -> Problem:
    """Check arrays, split rows, and leave out factors that cannot be measured against.

    A factor is valid if both parts have at least 10 samples that do not have its most common value: constant factors
    are invalid, and so are labels whose rarer class has too few samples to fit or to test on.

    Args:
        latents: [N, D], D at least 2; constant dimensions carry no information, of which a warning tells.
        factors: [N, K]: labels (bool, or two values of which the larger means "present") or numbers on a scale.
        names: K names; numbered if left out.
        num_samples: Rows to fit and to test on, two to one; 15,000, or all where there are fewer, if left out.
        seed: Decides which rows.

    Raises:
        UsageError: `num_samples` is not allowed, or there are not as many names as factors.
        DataError: shapes do not match, numbers are not finite, a name occurs twice, all samples have the same latents,
            or there are fewer than 30 samples or fewer than two valid factors.
    """
    latents, factors = np.asarray(latents), np.asarray(factors)
    titles = _checked_names(latents, factors, names)
    train, test = _split(len(latents), num_samples, seed)
    reasons = {name: _reason(column, train, test) for name, column in zip(titles, factors.T, strict=True)}
    valid = [index for index, reason in enumerate(reasons.values()) if reason is None]
    if len(valid) < 2:
        raise DataError(_too_few(reasons, len(valid)))
    binary = np.array([len(np.unique(factors[:, index])) == 2 for index in valid])
    columns = factors[:, valid].astype(np.float64)
    columns[:, binary] = columns[:, binary] == columns[:, binary].max(axis=0)
    chosen = tuple(titles[index] for index in valid)
    _warn_of_duplicates(columns[np.concatenate([train, test])], chosen)
    return Problem(latents.astype(np.float32, copy=False), columns, chosen, binary, train, test, reasons)


def _checked_names(latents: np.ndarray, factors: np.ndarray, names: Sequence[str] | None) -> list[str]:
    """The factors' names, after checking that the arrays can be used."""
    if latents.ndim != 2 or factors.ndim != 2 or len(latents) != len(factors) or not factors.shape[1]:
        raise DataError(
            f"latents have the shape {list(latents.shape)} and factors {list(factors.shape)}; "
            "they must be [N, D] and [N, K] of the same N."
        )
    titles = [f"factor {index}" for index in range(factors.shape[1])] if names is None else list(names)
    if len(titles) != factors.shape[1]:
        raise UsageError(f"{len(titles)} factors are named, but there are {factors.shape[1]} columns.")
    repeated = sorted({name for name in titles if titles.count(name) > 1})
    if repeated:
        raise DataError(f"factor {', '.join(repeated)} occurs more than once: give every factor a name of its own.")
    if latents.shape[1] < 2:
        raise DataError("latents have 1 dimension; the metrics compare dimensions, so at least 2 are needed.")
    _refuse_not_finite(latents, factors, titles)
    judge_constants(np.flatnonzero(latents.min(axis=0) == latents.max(axis=0)), latents.shape[1], stacklevel=5)
    return titles


def _refuse_not_finite(latents: np.ndarray, factors: np.ndarray, names: Sequence[str]) -> None:
    finite = np.isfinite(latents).all(axis=1)
    if not finite.all():
        raise DataError(f"latents are not finite (NaN or infinity), first in row {int(np.argmin(finite))}.")
    for name, column in zip(names, np.isfinite(factors).T, strict=True):
        if not column.all():
            raise DataError(
                f"factor {name} is not finite (NaN or infinity) in {int((~column).sum()):,} of {len(column):,} rows, "
                f"first in row {int(np.argmin(column))}: leave the factor out, or the rows."
            )


def _split(count: int, num_samples: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to test on, two to one, each in order."""
    if count < 3 * FEWEST:
        raise DataError(f"there are {count:,} samples, and at least {3 * FEWEST} are needed: sample more.")
    taken = min(count, NUM_SAMPLES) if num_samples is None else num_samples
    if not 3 * FEWEST <= taken <= count:
        raise UsageError(
            f"the number of samples to fit to and to test on is {taken:,}; of these {count:,} samples take at least "
            f"{3 * FEWEST} and at most {count:,}."
        )
    rows = _generator(seed, "rows").permutation(count)[:taken]
    cut = round(taken * 2 / 3)
    return np.sort(rows[:cut]), np.sort(rows[cut:])


def _reason(column: np.ndarray, train: np.ndarray, test: np.ndarray) -> str | None:
    """Why a factor cannot be measured against, or None."""
    different = len(np.unique(column))
    if different == 1:
        return "all samples are of one class" if column.dtype == bool else "all samples have the same value"
    for what, rows in (("training", train), ("test", test)):
        counts = np.unique(column[rows], return_counts=True)[1]
        rare = int(len(rows) - counts.max())
        if rare < FEWEST:
            which = "are of the rarer class" if different == 2 else "differ from the most common value"
            return f"only {rare} of {len(rows):,} {what} samples {which}; at least {FEWEST} must"
    return None


def _too_few(reasons: dict[str, str | None], valid: int) -> str:
    named = [f"{name}: {reason}" for name, reason in reasons.items() if reason is not None]
    more = f"; and {len(named) - 3} more" if len(named) > 3 else ""
    why = f" ({'; '.join(named[:3])}{more})" if named else ""
    return (
        f"{valid} of {len(reasons)} factors {'is' if valid == 1 else 'are'} valid, and at least 2 are needed{why}. "
        "Sample more images, or check that what labels them fits them."
    )


def _warn_of_duplicates(columns: np.ndarray, names: Sequence[str]) -> None:
    """Say which factors are the same in every row that is looked at, or opposite."""
    related = np.abs(np.corrcoef(columns, rowvar=False)) > 1 - 1e-9
    pairs = [f"{names[a]} and {names[b]}" for a, b in np.argwhere(np.triu(related, 1))]
    if pairs:
        more = f" and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
        warnings.warn(
            f"{', '.join(pairs[:3])}{more} say the same, or the opposite, of every sample: a latent that holds one "
            "holds the other, so no representation reaches 1 in modularity or DCI disentanglement.",
            DegenerateWarning,
            stacklevel=4,
        )


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(derive_seed(seed, "disentanglement", purpose)))
