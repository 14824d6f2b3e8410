"""Columns of latents that are the same number in all samples."""

import warnings

import numpy as np

from latentlab.errors import DataError, DegenerateWarning


def judge_constants(constant: np.ndarray, dims: int, *, stacklevel: int) -> None:
    """Warn of constant columns, and refuse latents that have no others.

    Args:
        constant: The columns' numbers.
        dims: How many columns there are.
        stacklevel: Of the warning, as `warnings.warn` counts.

    Raises:
        DataError: all columns are constant.
    """
    if len(constant) == dims:
        raise DataError("all latents are the same, so nothing can be told from them: check how they were sampled.")
    if len(constant):
        some = ", ".join(map(str, constant[:10])) + (", ..." if len(constant) > 10 else "")
        warnings.warn(
            f"{len(constant)} of the latents' {dims} columns are constant and say nothing: {some}.",
            DegenerateWarning,
            stacklevel=stacklevel,
        )
