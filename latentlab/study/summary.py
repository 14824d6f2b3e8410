"""A study's tables from its results: means over seeds with intervals, the paper's numbers, and what came out of both.

Numbers are geometric means over seeds, and their intervals Student's t of the logarithms over trainings: how the
method varies. With one seed they are those of the measurement: they say how well these networks are known, and nothing
of how other trainings would come out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from latentlab.errors import LatentLabError
from latentlab.metrics.separability.stores import FEWEST_FOR_VERDICT
from latentlab.report.common_scores import score_over
from latentlab.results import MetricResult
from latentlab.study.cells import Cell, Number
from latentlab.study.checking import Checker
from latentlab.study.folder import Job, spaces_of
from latentlab.study.orderings import CLAIMS, Place, Statement, published, state
from latentlab.study.recipe import Recipe
from latentlab.study.tables import OF_A_SPACE, Measure, Row, Space, Table, Variant


@dataclass(frozen=True)
class Line:
    """A row of a table with its cells."""

    row: Row
    variant: Variant
    cells: Mapping[Measure, Cell]


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
            for paper in (published(table, low, high, measure),)
            if (statement := state(claim, measure, cells[low, measure], cells[high, measure], paper))
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
        """In how many seeds something is not measured, or came out as no number."""
        results = [self._result(place, measure, seed) for seed in self.recipe.seeds]
        return sum(one is None or (measure != "separability" and one.value is None) for one in results)

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
        for lower, higher in table.orderings:
            first, second = table.row_called(lower), table.row_called(higher)
            yield f"{lower} below {higher}", (first.generator, first.space), (second.generator, second.space)
        for claim, low, high in CLAIMS:
            if low in here and high in here:
                yield claim, low, high


def _number(result: MetricResult, measure: Measure, attributes: frozenset[str]) -> Number | None:
    if measure == "separability":
        return _separability(result, attributes)
    if result.value is None:
        return None
    low, high = result.ci95
    return Number(result.value, None if low is None or high is None else (low, high))


def _separability(result: MetricResult, attributes: frozenset[str]) -> Number | None:
    """The score over some attributes, and whether there were samples enough for its interval to be judged by."""
    found = score_over(result, attributes)
    trusted = result.protocol.get("num_keep", 0) >= FEWEST_FOR_VERDICT * result.details.get("num_dims", 0)
    return None if found is None else Number(*found, trusted)
