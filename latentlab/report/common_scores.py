"""Separability over the attributes that several results have in common: a score over others compares with none."""

import math
from collections.abc import Collection, Sequence
from typing import Any

from latentlab.results import MetricResult

SCORED_FIELDS = frozenset({"num_scored", "scored_sha256"})
"""Protocol fields that say nothing but which attributes or factors were valid."""

Ends = tuple[float, float] | None


def scored(result: MetricResult) -> list[dict[str, Any]] | None:
    """The attributes or factors that a score over several was measured on, valid or not; None for other metrics."""
    rows = result.details.get("attributes" if is_separability(result) else "factors")
    return rows if isinstance(rows, list) else None


def is_separability(result: MetricResult) -> bool:
    """Whether a result is a separability score, which can be taken over some of its attributes."""
    return result.metric.startswith("ls_")


def valid_names(result: MetricResult) -> frozenset[str] | None:
    """Names of the attributes or factors that enter a score over several; None for other metrics."""
    rows = scored(result)
    return None if rows is None else frozenset(row["name"] for row in rows if row.get("valid"))


def score_over(result: MetricResult, names: Collection[str]) -> tuple[float, Ends] | None:
    """2^(sum of conditional entropies) over some valid attributes of a separability, and its 95 % interval.

    The attributes' intervals are joined as independent ones: on ten results of trained networks that interval was as
    wide as the bootstrap's, which resamples all at once, or up to 15 % narrower (as a logarithm). None where none of
    the attributes is there.
    """
    rows = [row for row in scored(result) or () if row["name"] in names]
    if not rows:
        return None
    bits = sum(row["conditional_entropy_bits"] for row in rows)
    ends = [row["ci95"] for row in rows]
    if any(ci95 is None or None in ci95 for ci95 in ends):
        return 2**bits, None
    half = math.sqrt(sum(((high - low) / 2) ** 2 for low, high in ends))
    return 2**bits, (2 ** (bits - half), 2 ** (bits + half))


def over_common(results: Sequence[MetricResult]) -> tuple[list[MetricResult], int | None]:
    """Separabilities over the attributes valid in all of them, and how many these are.

    The results themselves, and None, where they are of something else, run over the same attributes anyway, or have
    none in common.
    """
    valid = [valid_names(result) for result in results if is_separability(result)]
    names = [found for found in valid if found is not None]
    if len(names) < len(results) or len(set(names)) < 2 or not (common := frozenset.intersection(*names)):
        return list(results), None
    return [_over(result, common) for result in results], len(common)


def _over(result: MetricResult, names: frozenset[str]) -> MetricResult:
    """The result as if no other attributes had been measured."""
    value, ends = score_over(result, names) or (None, None)
    rows = [row for row in scored(result) or () if row["name"] in names]
    protocol = {name: setting for name, setting in result.protocol.items() if name not in SCORED_FIELDS}
    changes = {"value": value, "ci95": ends or (None, None), "protocol": protocol}
    return result.model_copy(update=changes | {"details": result.details | {"attributes": rows}})
