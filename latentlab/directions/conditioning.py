"""Directions that leave other attributes alone, as far as directions can."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import orth

from latentlab.directions.form import position
from latentlab.errors import UsageError

LEAST_ANGLE = 3.0
"""Degrees between a direction and the span of others below which what is left of it is taken for noise."""
_RANK = 1e-6


def orthogonal_part(direction: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """The part of a direction [D] that is orthogonal to the span of others [K, D], at unit length, and the angle.

    Conditional manipulation (Shen et al., "Interpreting the latent space of GANs for semantic face editing", 2020,
    section 2.3), which projects one direction off all others at once. The angle is that between the direction and the
    span, in degrees: 90 where nothing had to be taken away. At 0 the part is zero.
    """
    basis = orth(others.T, rcond=_RANK)  # others that lie in each other's span count once
    rest = direction - basis @ (basis.T @ direction)
    rest -= basis @ (basis.T @ rest)  # what rounding left
    sine = float(np.linalg.norm(rest) / np.linalg.norm(direction))
    angle = math.degrees(math.asin(min(sine, 1.0)))
    return (rest / np.linalg.norm(rest) if angle > 0 else np.zeros_like(rest)), angle


def check_conditions(conditions: Mapping[str, Sequence[str]], attributes: Sequence[str]) -> None:
    """Every name must be an attribute, and none may be conditioned on itself or on nothing.

    Raises:
        UsageError: One is not.
    """
    for attribute, others in conditions.items():
        for name in (attribute, *others):
            position(name, attributes)
        if not others or attribute in others:
            raise UsageError(f"{attribute} shall be made orthogonal to {', '.join(others) or 'nothing'}: name others.")


def conditioned(attribute: str, others: Sequence[str], normals: np.ndarray) -> np.ndarray:
    """The first of some normals [1 + K, D] made orthogonal to the others, of unit length.

    Raises:
        UsageError: Too little of it would be left.
    """
    rest, angle = orthogonal_part(normals[0], normals[1:])
    if angle < LEAST_ANGLE:
        raise UsageError(
            f"{attribute} cannot be made orthogonal to {', '.join(others)}: its direction lies {angle:.2g} degrees "
            f"from theirs, and below {LEAST_ANGLE:g} nothing but noise would be left. Condition on fewer attributes."
        )
    return rest
