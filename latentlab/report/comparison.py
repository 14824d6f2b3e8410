"""Which of two numbers is lower, and whether they may be compared at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from latentlab.report.common_scores import over_common, scored, valid_names
from latentlab.report.formatting import flatten, listing, plain
from latentlab.report.protocol_words import differences_in_words
from latentlab.results import MetricResult

SPACE_FIELDS = frozenset({"space", "interpolation"})
"""Protocol fields that say which space was measured, and so differ between Z and W by intention."""

Verdict = Literal["lower", "higher", "open", "not comparable", "missing"]


@dataclass(frozen=True)
class Comparison:
    """How `a` stands to `b`.

    `lower` or `higher` only where the 95 % intervals do not touch (a stricter rule than a test of the difference at
    5 %), `open` where they do or one is missing. `ratio` is the larger value over the smaller one. `values` are the two
    that were compared: of separability those over the attributes valid in both, of which `common` says how many, where
    the scores themselves run over different ones.
    """

    verdict: Verdict
    ratio: float = math.nan
    reason: str = ""
    values: tuple[float | None, float | None] = (None, None)
    common: int | None = None


def compare(a: MetricResult | None, b: MetricResult | None) -> Comparison:
    """Compare two results of one kind by their 95 % intervals, the protocols' word first."""
    if a is None or b is None or a.value is None or b.value is None:
        return Comparison("missing", reason="not measured")
    (same_a, same_b), common = over_common([a, b])
    if valid_names(same_a) != valid_names(same_b):
        found = Comparison("not comparable", reason="the scores run over different attributes")
    else:
        found = _by_intervals(same_a, same_b)
    if common is None or found.verdict == "not comparable":
        return replace(found, values=(a.value, b.value))
    reason = f"{found.reason}, over the {common} attributes valid in both"
    return replace(found, reason=reason, values=(same_a.value, same_b.value), common=common)


def _by_intervals(a: MetricResult, b: MetricResult) -> Comparison:
    """The verdict on two values that run over the same attributes, if over any."""
    if fields := differing_fields([a, b]):
        differing = sorted(differences_in_words([a, b], fields))
        return Comparison("not comparable", reason="protocols differ in " + listing(differing))
    ratio = _ratio(a.value or 0.0, b.value or 0.0)
    if None in (*a.ci95, *b.ci95):
        return Comparison("open", ratio, "no 95 % interval")
    if not (_trusted(a) and _trusted(b)):
        return Comparison("open", ratio, "too few samples per dimension for a verdict")
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    if a_high < b_low:
        return Comparison("lower", ratio, "95 % intervals do not overlap")
    if b_high < a_low:
        return Comparison("higher", ratio, "95 % intervals do not overlap")
    return Comparison("open", ratio, "95 % intervals overlap")


def differing_fields(results: Sequence[MetricResult]) -> dict[str, list[str]]:
    """Protocol fields that are not the same in all results, each with its value in every result, in order.

    The fields that only name the space are left out where the results are of Z and of W.
    """
    if len({result.metric for result in results}) == 1 and all(results[0].comparable_with(other) for other in results):
        return {}
    skip = SPACE_FIELDS if len({result.metric for result in results}) > 1 else frozenset()
    flat = [flatten(result.protocol) for result in results]
    names = sorted({name for protocol in flat for name in protocol if name not in skip})
    values = {name: [_shown(protocol, name) for protocol in flat] for name in names}
    return {name: shown for name, shown in values.items() if len(set(shown)) > 1}


def differences(results: Sequence[MetricResult]) -> dict[str, list[str]]:
    """In what results differ, in words, each with its value in every result, in order: settings, and what is valid."""
    return differences_in_words(results, differing_fields(results))


def attribute_counts(result: MetricResult) -> tuple[int, int] | None:
    """How many attributes or factors a score runs over, and how many there were; None for other metrics."""
    rows = scored(result)
    return None if rows is None else (sum(bool(row.get("valid")) for row in rows), len(rows))


def _trusted(result: MetricResult) -> bool:
    """Whether the interval of a separability counts how hyperplanes vary, as far as the measurement says so."""
    ratio = result.details.get("ratio_z_over_w")
    return not isinstance(ratio, dict) or ratio.get("trusted") is not False


def _shown(protocol: dict[str, Any], name: str) -> str:
    if name not in protocol:
        return "not recorded"
    value = plain(protocol[name])
    return value[:12] if name.endswith("sha256") else value


def _ratio(a: float, b: float) -> float:
    low, high = sorted((abs(a), abs(b)))
    return high / low if low > 0 else math.nan


def _ends(result: MetricResult) -> tuple[float, float]:
    low, high = result.ci95
    return (math.nan if low is None else low), (math.nan if high is None else high)
