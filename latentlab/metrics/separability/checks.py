"""Latents that can be used, and enough of them."""

from typing import TYPE_CHECKING

import numpy as np

from latentlab.errors import DataError, UsageError
from latentlab.metrics.constants import judge_constants
from latentlab.metrics.separability.pruning import Kept

if TYPE_CHECKING:
    from latentlab.newton import Rows

_ROWS_AT_A_TIME = 16384


def usable_rows(latents: "np.ndarray | Rows", expected: int) -> "np.ndarray | Rows":
    """The latents, after checking that they can be used."""
    if len(latents.shape) != 2 or latents.shape[0] != expected:
        raise DataError(
            f"latents have the shape {list(latents.shape)} and there are logits of {expected} samples; "
            "they must be [N, D] and [N, A] of the same N."
        )
    low, high = np.full(latents.shape[1], np.inf), np.full(latents.shape[1], -np.inf)
    for start in range(0, expected, _ROWS_AT_A_TIME):
        block = np.asarray(latents[slice(start, start + _ROWS_AT_A_TIME)])
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise DataError(f"latents are not finite (NaN or infinity), first in row {start + int(np.argmin(finite))}.")
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    judge_constants(np.flatnonzero(low == high), latents.shape[1], stacklevel=4)
    return latents


def check_numbers(kept: Kept, dims: int, *, held_out: float, permutations: int, refits: int, bootstrap: int) -> None:
    """Refuse arguments out of range, and samples that any hyperplane can tell apart.

    Raises:
        UsageError: an argument is out of range.
        DataError: there are not more samples to fit to than dimensions.
    """
    if not 0 <= held_out < 1:
        raise UsageError(f"held_out is {held_out}; it must be at least 0 (no samples) and below 1, such as 0.2.")
    if permutations < 0 or bootstrap < 1:
        raise UsageError(f"permutations is {permutations} (at least 0) and bootstrap {bootstrap} (at least 1).")
    if refits and not 5 <= refits <= 100:
        raise UsageError(f"refits is {refits}; it must be 0 for none, or from 5 to 100, such as 10.")
    count = int(kept.rows.shape[1] * (1 - held_out))
    if count <= dims:
        kept_ones, fitted = f"{kept.rows.shape[1]} of {len(kept.labels)} samples are kept per attribute", ""
        if held_out:
            fitted = f", of which about {count} are left to fit to when {held_out:g} are held out"
        raise DataError(
            f"{kept_ones}{fitted}, and the latents have {dims} dimensions: a hyperplane can tell any labels of so few "
            "apart, and the score would be 1 whatever they mean. Sample more (published numbers: 200,000), keep "
            "more, or hold out less."
        )
