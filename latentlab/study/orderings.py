"""The paper's orderings: which of two rows should be lower, and whether it came out, with which certainty."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy import stats

from latentlab.study.cells import Cell, Interval, Number
from latentlab.study.tables import Measure, Space, Table

NORMAL_95 = 1.959964
Verdict = Literal["holds", "open", "does not hold"]

Place = tuple[str, Space | None]
"""A generator and a space."""


@dataclass(frozen=True)
class Statement:
    """One ordering in one column: what the paper found and what came out here.

    Attributes:
        claim: In words.
        measure: The column.
        paper: The published numbers of the lower and of the upper side; None where there are none.
        ratio, ci95: Of what should be lower over what should be higher; geometric mean over seeds.
        held, seeds: In how many seeds it was lower, of how many.
        p_value: Two-sided, that the ratio is 1: by Student's t over seeds, or normal over one measurement.
        verdict: By the interval: `open` where it holds 1, or where one training has too few samples for a verdict.
    """

    claim: str
    measure: Measure
    paper: tuple[float, float] | None
    ratio: float
    ci95: Interval
    held: int
    seeds: int
    p_value: float | None
    verdict: Verdict


def _claims() -> Iterator[tuple[str, Place, Place]]:
    yield "tuning lowers FID (B below A)", ("traditional-0", None), ("A-0", None)
    yield "mapping and styles lower FID (C below B)", ("C-8", None), ("traditional-0", None)
    yield "a learned constant as input (D below C)", ("D-8", None), ("C-8", None)
    yield "noise inputs lower FID (E below D)", ("E-8", None), ("D-8", None)
    yield "mixing (F below E)", ("style-8", None), ("E-8", None)
    yield "mixing in training, 50 % below none", ("style-8-mixing50", None), ("E-8", None)
    yield "mixing in training, 90 % below 50 %", ("style-8", None), ("style-8-mixing50", None)
    yield "mixing in training, 100 % below 90 %", ("style-8-mixing100", None), ("style-8", None)
    yield "style-based (E) below traditional (B)", ("E-8", "w"), ("traditional-0", "z")
    yield "noise inputs lower it (E below D)", ("E-8", "w"), ("D-8", "w")
    yield "mixing costs: none below 50 %", ("E-8", "w"), ("style-8-mixing50", "w")
    yield "mixing costs: none below 90 %", ("E-8", "w"), ("style-8", "w")
    yield "style-based below traditional, no mapping", ("style-0", "z"), ("traditional-0", "z")
    yield "style-based below traditional, 8 layers", ("style-8", "w"), ("traditional-8", "w")
    yield (
        "W of traditional-8 below Z of traditional-0",
        ("traditional-8", "w"),
        ("traditional-0", "z"),
    )
    yield "1 layer below none", ("style-1", "w"), ("style-0", "z")
    yield "2 layers below 1", ("style-2", "w"), ("style-1", "w")
    yield "8 layers below 2", ("style-8", "w"), ("style-2", "w")
    yield "8 layers below none", ("style-8", "w"), ("style-0", "z")


CLAIMS = tuple(_claims())
"""Orderings within a table; whether the paper bears one out in a column is read from its numbers, too."""


def published(table: Table, low: Place, high: Place, measure: Measure) -> tuple[float, float] | None:
    """The paper's numbers of both sides of an ordering; None where one is not in its table."""
    numbers = {(row.generator, row.space): row.paper.get(measure) for row in table.rows}
    a, b = numbers.get(low), numbers.get(high)
    return None if a is None or b is None else (a, b)


def state(claim: str, measure: Measure, low: Cell, high: Cell, paper: tuple[float, float] | None) -> Statement | None:
    """What came out of an ordering over the seeds that both sides have; None without any, or if one is not positive."""
    both = [seed for seed in low.numbers if seed in high.numbers]
    pairs = [(low.numbers[seed], high.numbers[seed]) for seed in both]
    if not pairs or any(min(a.value, b.value) <= 0 for a, b in pairs):
        return None
    logs = [math.log(a.value / b.value) for a, b in pairs]
    mean, spread, quantile, p_value = fmean(logs), _spread(pairs[0]), NORMAL_95, None
    if len(logs) > 1:
        spread = stdev(logs) / math.sqrt(len(logs)) or None  # the same to the last digit: nothing to reckon with
        quantile = float(stats.t.ppf(0.975, len(logs) - 1))
        p_value = None if spread is None else float(2 * stats.t.sf(abs(mean) / spread, len(logs) - 1))
    elif spread:
        p_value = float(2 * stats.norm.sf(abs(mean) / spread))
    ci95 = None if spread is None else (math.exp(mean - quantile * spread), math.exp(mean + quantile * spread))
    verdict: Verdict = "open"
    trusted = len(pairs) > 1 or all(number.trusted for number in pairs[0])
    if ci95 is not None and trusted and (ci95[1] < 1 or ci95[0] > 1):
        verdict = "holds" if ci95[1] < 1 else "does not hold"
    return Statement(
        claim, measure, paper, math.exp(mean), ci95, sum(log < 0 for log in logs), len(logs), p_value, verdict
    )


def _spread(pair: tuple[Number, Number]) -> float | None:
    """Standard error of log(a / b) by the intervals of the two measurements."""
    total = 0.0
    for number in pair:
        if number.ci95 is None or number.ci95[0] <= 0:
            return None
        total += ((math.log(number.ci95[1]) - math.log(number.ci95[0])) / (2 * NORMAL_95)) ** 2
    return math.sqrt(total) or None
