"""How far edits may go, in standard deviations of the samples along a direction."""

import math
import warnings
from collections.abc import Sequence

from latentlab.errors import OffSamplesWarning, UsageError

FARTHEST = 1000.0
FAR = 20.0
"""Beyond, no sample of a store lies: of a billion normal numbers, the largest is about 6."""


def check_steps(steps: Sequence[float], what: str = "steps") -> None:
    """Steps must be numbers up to 1,000.

    Raises:
        UsageError: One is not.
    """
    for step in steps:
        if math.isnan(step):
            raise UsageError(f"{what}: {step} is no number.")
        if abs(step) > FARTHEST:
            raise UsageError(
                f"{what}: {step:g} is too far. Steps are standard deviations of the samples, which lie within about 5; "
                f"beyond {FARTHEST:,.0f} nothing but the direction is left of a latent, and images show how numbers "
                "saturate or overflow."
            )


def warn_of_far(steps: Sequence[float], what: str = "steps") -> None:
    """Beyond 20 a warning says what images are worth."""
    farthest = max(steps, key=abs, default=0.0)
    if abs(farthest) > FAR:
        warnings.warn(
            f"{what}: {farthest:g} standard deviations are far from all samples, and such images say little about the "
            "attribute; samples lie within about 5.",
            OffSamplesWarning,
            stacklevel=3,
        )
