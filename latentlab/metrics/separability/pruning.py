"""Labels from log-odds, and which samples are kept for each attribute."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from latentlab.errors import DataError, DegenerateWarning, UsageError
from latentlab.svm import Solver

Protocol = Literal["latentlab", "stylegan"]
Rule = Literal["log-odds", "stylegan"]
CONFIDENCE: dict[str, Rule] = {"latentlab": "log-odds", "stylegan": "stylegan"}
SOLVER: dict[str, Solver] = {"latentlab": "newton", "stylegan": "liblinear"}
"""The solver of each protocol, unless another is named."""


@dataclass(frozen=True)
class Kept:
    """What is fitted and scored.

    Attributes:
        names: Of the A attributes.
        labels: bool [N, A], whether the attribute is present.
        rows: int [A, K], the samples kept for each attribute, most confident first.
        protocol: By which they were kept.
    """

    names: list[str]
    labels: np.ndarray
    rows: np.ndarray
    protocol: Protocol


def most_confident(logits: np.ndarray, count: int, rule: Rule) -> np.ndarray:
    """Indices of the `count` most confidently labelled samples, most confident first; ties keep sample order.

    Args:
        logits: Log-odds of one attribute, [N].
        count: How many to keep.
        rule: "log-odds" sorts by |logit|. "stylegan" sorts, as the official code does, by the larger of the float32
            softmax([l, -l]); it saturates at 1 from |l| of about 9 on, and all such samples tie.
    """
    values = np.asarray(logits, np.float32)
    confidence = np.abs(values) if rule == "log-odds" else _official_probabilities(values).max(axis=1)
    return np.argsort(-confidence, kind="stable")[:count]


def prune(
    logits: np.ndarray,
    *,
    attributes: Sequence[str] | None,
    protocol: Protocol,
    keep_fraction: float,
    num_keep: int | None,
) -> Kept:
    """Labels, and the most confident samples of each attribute; arguments as of `linear_separability`.

    Raises:
        UsageError: an argument is not allowed.
        DataError: logits are not finite or of another shape, or an attribute is named twice.
    """
    if protocol not in get_args(Protocol):
        raise UsageError(f"protocol is {protocol!r}; it must be one of {', '.join(get_args(Protocol))}.")
    logits = np.asarray(logits)
    names = _names(logits, attributes)
    count = _num_keep(len(logits), keep_fraction, num_keep)
    rows = np.stack([most_confident(column, count, CONFIDENCE[protocol]) for column in logits.T])
    return Kept(names, _present(logits, protocol), rows, protocol)


def _official_probabilities(logits: np.ndarray) -> np.ndarray:
    """softmax([l, -l]) in float32, [N] -> [N, 2] with the class "present" first, as the official classifiers give."""
    pair = np.stack([logits, -logits], axis=1).astype(np.float32)
    powers = np.exp(pair - pair.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _present(logits: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Labels bool [N, A]: log-odds > 0; the official argmax gives ties of its two probabilities to "present"."""
    if protocol == "latentlab":
        return np.asarray(logits > 0)
    return np.stack([np.argmax(_official_probabilities(column), axis=1) == 0 for column in logits.T], axis=1)


def _names(logits: np.ndarray, attributes: Sequence[str] | None) -> list[str]:
    """The attributes' names, after checking that the logits can be used."""
    if logits.ndim != 2 or not logits.shape[1]:
        raise DataError(f"logits have the shape {list(logits.shape)}; they must be [N, A], one column per attribute.")
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise DataError(f"logits are not finite (NaN or infinity), first in row {int(np.argmin(finite))}.")
    names = [f"attribute {index}" for index in range(logits.shape[1])] if attributes is None else list(attributes)
    if len(names) != logits.shape[1]:
        raise UsageError(f"{len(names)} attributes are named, but the logits have {logits.shape[1]} columns.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"attributes are named more than once: {', '.join(twice)}. Each would count twice; rename them."
        )
    same = _copies(logits, names)
    if same:
        warnings.warn(f"equal log-odds count twice: {'; '.join(same)}.", DegenerateWarning, stacklevel=4)
    return names


def _copies(logits: np.ndarray, names: Sequence[str]) -> list[str]:
    """Attributes whose logits are another's."""
    first: dict[bytes, int] = {}
    found = []
    for column, name in enumerate(names):
        values = np.ascontiguousarray(logits[:, column])
        if np.ptp(values) == 0:
            continue
        other = first.setdefault(values.tobytes(), column)
        if other != column:
            found.append(f"{name} is {names[other]}")
    return found


def _num_keep(num_samples: int, keep_fraction: float, num_keep: int | None) -> int:
    count = int(num_samples * keep_fraction) if num_keep is None else num_keep
    if num_keep is None and not 0 < keep_fraction <= 1:
        raise UsageError(f"keep_fraction is {keep_fraction}; it must be above 0 and at most 1.")
    if not 2 <= count <= num_samples:
        raise UsageError(
            f"{count} of {num_samples} samples would be kept per attribute; at least 2 are needed, and no more than "
            "there are. Sample more or keep a larger share."
        )
    return count
