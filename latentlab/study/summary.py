"""A study's tables from its results: means over seeds with intervals, the paper's numbers, and what came out of both.

Numbers are geometric means over seeds, and their intervals Student's t of the logarithms over trainings: how the
method varies. With one seed they are
those of the measurement: they say how well these networks are known, and nothing of how other trainings would come out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean, stdev
from typing import Literal

from scipy import stats

from latentlab.errors import LatentLabError
from latentlab.results import MetricResult
from latentlab.study.checking import Checker
from latentlab.study.folder import Job, spaces_of
from latentlab.study.recipe import Recipe
from latentlab.study.tables import OF_A_SPACE, Measure, Row, Space, Table, Variant

NORMAL_95 = 1.959964
Interval = tuple[float, float] | None
Verdict = Literal["holds", "open", "does not hold"]


@dataclass(frozen=True)
class Number:
    """One measured value.

    Attributes:
        value: Itself; of separability over the attributes that are scored everywhere in its table.
        ci95: Of the measurement.
    """

    value: float
    ci95: Interval


@dataclass(frozen=True)
class Cell:
    """What stands in a table.

    Attributes:
        numbers: By seed; a seed whose measurement is missing is left out.
        paper: The published number.
    """

    numbers: Mapping[int, Number]
    paper: float | None = None

    @property
    def value(self) -> float | None:
        """The geometric mean over seeds: all that stands in the tables is positive, and compared by ratios."""
        values = [number.value for number in self.numbers.values()]
        return geometric_mean(values) if values and min(values) > 0 else None

    @property
    def ci95(self) -> Interval:
        """Of the mean over seeds, or of the measurement where there is one seed."""
        numbers = list(self.numbers.values())
        if len(numbers) < 2 or self.value is None:
            return numbers[0].ci95 if numbers else None
        spread = stdev(math.log(number.value) for number in numbers) / math.sqrt(len(numbers))
        half = float(stats.t.ppf(0.975, len(numbers) - 1)) * spread
        return self.value * math.exp(-half), self.value * math.exp(half)


@dataclass(frozen=True)
class Line:
    """A row of a table with its cells."""

    row: Row
    variant: Variant
    cells: Mapping[Measure, Cell]


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
        verdict: By the interval: `open` where it holds 1.
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


@dataclass(frozen=True)
class Summary:
    """A table of a study, filled as far as it is measured.

    Attributes:
        attributes: Names that separability is taken over in this table; those scored in every row and seed.
        num_attributes: How many there are in all.
        missing: What is not measured, in words.
    """

    table: Table
    lines: tuple[Line, ...]
    statements: tuple[Statement, ...]
    attributes: tuple[str, ...]
    num_attributes: int
    missing: tuple[str, ...]


Place = tuple[str, Space | None]
"""A generator and a space."""


class Summaries:
    """Reads a study's results once, for all of its tables."""

    def __init__(self, checker: Checker, recipe: Recipe) -> None:
        self.checker, self.recipe = checker, recipe
        self._found: dict[tuple[str, Space | None, Measure, int], MetricResult | None] = {}

    def of(self, table: Table) -> Summary:
        """One table."""
        places = [(row.generator, row.space) for row in table.rows]
        places += [place for place in self._other_spaces(table) if place not in places]
        attributes, total = self._common(places) if "separability" in table.measures else (frozenset(), 0)
        cells = {
            (place, measure): self._cell(place, measure, attributes) for place in places for measure in table.measures
        }
        lines = [
            Line(
                row,
                self.recipe.variant(row.generator),
                {
                    measure: Cell(cells[(row.generator, row.space), measure].numbers, row.paper.get(measure))
                    for measure in table.measures
                },
            )
            for row in table.rows
        ]
        missing = [
            f"{row.label or row.generator}{f' in {row.space.upper()}' if row.space else ''}, {measure}: {count} of "
            f"{len(self.recipe.seeds)} seeds"
            for row in table.rows
            for measure in table.measures
            if (count := self._missing((row.generator, row.space), measure))
        ]
        statements = [
            statement
            for claim, low, high in self._pairs(table)
            for measure in table.measures
            if low[0] != high[0] or measure in OF_A_SPACE
            for paper in (_paper(table, low, high, measure),)
            if (statement := _statement(claim, measure, cells[low, measure], cells[high, measure], paper))
        ]
        return Summary(table, tuple(lines), tuple(statements), tuple(sorted(attributes)), total, tuple(missing))

    def _result(self, place: Place, measure: Measure, seed: int) -> MetricResult | None:
        generator, space = place
        key = generator, space if measure in OF_A_SPACE else None, measure, seed
        if key not in self._found:
            job = Job("", "train", variant=self.recipe.variant(generator), seed=seed)
            try:
                self._found[key] = self.checker.result(job, measure, key[1])
            except LatentLabError:  # a damaged file of results: the job that writes it says so
                self._found[key] = None
        return self._found[key]

    def _missing(self, place: Place, measure: Measure) -> int:
        """In how many seeds something is not measured."""
        return sum(self._result(place, measure, seed) is None for seed in self.recipe.seeds)

    def _cell(self, place: Place, measure: Measure, attributes: frozenset[str]) -> Cell:
        numbers = {}
        for seed in self.recipe.seeds:
            result = self._result(place, measure, seed)
            number = None if result is None else _number(result, measure, attributes)
            if number is not None:
                numbers[seed] = number
        return Cell(numbers)

    def _common(self, places: Sequence[Place]) -> tuple[frozenset[str], int]:
        """The attributes scored in all results of separability that a table compares, and how many there are."""
        scored, total = None, 0
        for place in places:
            for seed in self.recipe.seeds:
                result = self._result(place, "separability", seed)
                if result is None:
                    continue
                rows = result.details["attributes"]
                names = frozenset(row["name"] for row in rows if row["valid"])
                scored, total = names if scored is None else scored & names, len(rows)
        return scored or frozenset(), total

    def _other_spaces(self, table: Table) -> Iterator[Place]:
        """Z of the generators that a table shows in W: measured with it, and what W is held against."""
        if any(measure in OF_A_SPACE for measure in table.measures):
            for row in table.rows:
                for space in spaces_of(self.recipe.variant(row.generator)):
                    yield row.generator, space

    def _pairs(self, table: Table) -> Iterator[tuple[str, Place, Place]]:
        """What should be lower, and than what: (claim, lower, higher)."""
        here = [(row.generator, row.space) for row in table.rows]
        measured_in_space = any(measure in OF_A_SPACE for measure in table.measures)
        if measured_in_space:
            for name in dict.fromkeys(row.generator for row in table.rows):
                if self.recipe.variant(name).mapping_depth:
                    yield f"W of {name} below its Z", (name, "w"), (name, "z")
        for claim, low, high in CLAIMS:
            if low in here and high in here:
                yield claim, low, high


def _claims() -> Iterator[tuple[str, Place, Place]]:
    yield "tuning lowers FID (B below A)", ("traditional-0", None), ("A-0", None)
    yield "mapping and styles lower FID (C below B)", ("C-8", None), ("traditional-0", None)
    yield "a learned constant as input costs nothing (D below C)", ("D-8", None), ("C-8", None)
    yield "noise inputs lower FID (E below D)", ("E-8", None), ("D-8", None)
    yield "mixing costs no FID (F below E)", ("style-8", None), ("E-8", None)
    yield "mixing in training, 50 % below none", ("style-8-mixing50", None), ("E-8", None)
    yield "mixing in training, 90 % below 50 %", ("style-8", None), ("style-8-mixing50", None)
    yield "mixing in training, 100 % below 90 %", ("style-8-mixing100", None), ("style-8", None)
    yield "style-based (E) below traditional (B)", ("E-8", "w"), ("traditional-0", "z")
    yield "noise inputs lower it (E below D)", ("E-8", "w"), ("D-8", "w")
    yield "mixing costs: none below 50 %", ("E-8", "w"), ("style-8-mixing50", "w")
    yield "mixing costs: none below 90 %", ("E-8", "w"), ("style-8", "w")
    yield "both without mapping, style-based below traditional", ("style-0", "z"), ("traditional-0", "z")
    yield "both with 8 layers, style-based below traditional", ("style-8", "w"), ("traditional-8", "w")
    yield (
        "the mapping of a traditional generator makes W better than Z was",
        ("traditional-8", "w"),
        ("traditional-0", "z"),
    )
    yield "1 layer below none", ("style-1", "w"), ("style-0", "z")
    yield "2 layers below 1", ("style-2", "w"), ("style-1", "w")
    yield "8 layers below 2", ("style-8", "w"), ("style-2", "w")
    yield "8 layers below none", ("style-8", "w"), ("style-0", "z")


CLAIMS = tuple(_claims())
"""Orderings within a table; whether the paper bears one out in a column is read from its numbers, too."""


def _paper(table: Table, low: Place, high: Place, measure: Measure) -> tuple[float, float] | None:
    published = {(row.generator, row.space): row.paper.get(measure) for row in table.rows}
    a, b = published.get(low), published.get(high)
    return None if a is None or b is None else (a, b)


def _number(result: MetricResult, measure: Measure, attributes: frozenset[str]) -> Number | None:
    if measure == "separability":
        return _separability(result, attributes)
    if result.value is None:
        return None
    low, high = result.ci95
    return Number(result.value, None if low is None or high is None else (low, high))


def _separability(result: MetricResult, attributes: frozenset[str]) -> Number | None:
    """2^(sum of conditional entropies) over some attributes; intervals of attributes are joined as independent ones.

    On a trained network's 22 attributes that interval was within 1 % of the bootstrap's, which resamples all at once.
    """
    rows = [row for row in result.details["attributes"] if row["name"] in attributes]
    if not rows:
        return None
    bits = sum(row["conditional_entropy_bits"] for row in rows)
    ends = [row["ci95"] for row in rows]
    if any(ci95 is None or None in ci95 for ci95 in ends):
        return Number(2**bits, None)
    half = math.sqrt(sum(((high - low) / 2) ** 2 for low, high in ends))
    return Number(2**bits, (2 ** (bits - half), 2 ** (bits + half)))


def _statement(
    claim: str, measure: Measure, low: Cell, high: Cell, paper: tuple[float, float] | None
) -> Statement | None:
    both = [seed for seed in low.numbers if seed in high.numbers]
    pairs = [(low.numbers[seed], high.numbers[seed]) for seed in both]
    if not pairs or any(min(a.value, b.value) <= 0 for a, b in pairs):
        return None
    logs = [math.log(a.value / b.value) for a, b in pairs]
    mean, spread, quantile, p_value = fmean(logs), _spread(pairs[0]), NORMAL_95, None
    if len(logs) > 1:
        spread = stdev(logs) / math.sqrt(len(logs))
        quantile = float(stats.t.ppf(0.975, len(logs) - 1))
        p_value = float(2 * stats.t.sf(abs(mean) / spread, len(logs) - 1)) if spread else 0.0
    elif spread:
        p_value = float(2 * stats.norm.sf(abs(mean) / spread))
    ci95 = None if spread is None else (math.exp(mean - quantile * spread), math.exp(mean + quantile * spread))
    verdict: Verdict = "open"
    if ci95 is not None and (ci95[1] < 1 or ci95[0] > 1):
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
