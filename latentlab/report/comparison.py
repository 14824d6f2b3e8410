"""Which of two numbers is lower, and whether they may be compared at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from latentlab.report.formatting import flatten, listing, plain
from latentlab.results import MetricResult

SPACE_FIELDS = frozenset({"space", "interpolation"})
"""Protocol fields that say which space was measured, and so differ between Z and W by intention."""

Verdict = Literal["lower", "higher", "open", "not comparable", "missing"]


@dataclass(frozen=True)
class Comparison:
    """How `a` stands to `b`.

    `lower` or `higher` only where the 95 % intervals do not touch (a stricter rule than a test of the difference at
    5 %), `open` where they do or one is missing. `ratio` is the larger value over the smaller one.
    """

    verdict: Verdict
    ratio: float = math.nan
    reason: str = ""


def compare(a: MetricResult | None, b: MetricResult | None) -> Comparison:
    """Compare two results of one kind by their 95 % intervals, the protocols' word first."""
    if a is None or b is None or a.value is None or b.value is None:
        return Comparison("missing", reason="not measured")
    if scored_attributes(a) != scored_attributes(b):
        return Comparison("not comparable", reason="the scores run over different attributes")
    fields = differing_fields([a, b])
    if fields:
        return Comparison("not comparable", reason="protocols differ in " + listing(sorted(fields)))
    ratio = _ratio(a.value, b.value)
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


def scored_attributes(result: MetricResult) -> frozenset[str] | None:
    """Names of the attributes or factors that enter a score over several; None for other metrics."""
    scored = _scored(result)
    return None if scored is None else frozenset(row["name"] for row in scored if row.get("valid"))


def attribute_counts(result: MetricResult) -> tuple[int, int] | None:
    """How many attributes or factors a score runs over, and how many there were; None for other metrics."""
    scored = _scored(result)
    return None if scored is None else (sum(bool(row.get("valid")) for row in scored), len(scored))


def _trusted(result: MetricResult) -> bool:
    """Whether the interval of a separability counts how hyperplanes vary, as far as the measurement says so."""
    ratio = result.details.get("ratio_z_over_w")
    return not isinstance(ratio, dict) or ratio.get("trusted") is not False


def _scored(result: MetricResult) -> list[dict[str, Any]] | None:
    kind = "attributes" if result.metric.startswith("ls_") else "factors"
    rows = result.details.get(kind)
    return rows if isinstance(rows, list) else None


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
