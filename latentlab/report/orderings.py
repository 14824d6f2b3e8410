"""Which orderings of the paper the runs of a report bear out."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentlab.report.comparison import Comparison, compare
from latentlab.report.formatting import NONE, number
from latentlab.report.inputs import ReportRun
from latentlab.report.published import ORDERINGS, Ordering, PublishedRow, Slot, published_pair
from latentlab.report.rows import COLUMNS


@dataclass(frozen=True)
class OrderingCheck:
    """One ordering of the paper, in one column, against the runs of a report.

    `paper` has the published numbers of generators of the runs' architectures and depths, a dash where there are none.
    """

    claim: str
    column: str
    paper: str
    here: str
    verdict: str
    reason: str


_VERDICTS = {"lower": "holds", "higher": "does not hold", "open": "open", "not comparable": "not comparable"}


def ordering_checks(runs: Sequence[ReportRun]) -> list[OrderingCheck]:
    """Every ordering of the paper that the runs can speak to, column by column."""
    checks = []
    for ordering in ORDERINGS:
        for lower, upper in _matching(ordering, runs):
            for column, metric in COLUMNS.items():
                a = lower.shown.get(metric.format(ordering.lower.space))
                b = upper.shown.get(metric.format(ordering.upper.space))
                comparison = compare(a, b)
                if comparison.verdict == "missing":
                    continue
                here_low, here_high = map(number, comparison.values)
                if lower.fingerprint != upper.fingerprint:
                    comparison = Comparison("not comparable", reason="trained on different images")
                here = f"{here_low} ({lower.name}) against {here_high} ({upper.name})"
                if ordering.same_generator:
                    here = f"{here_low} against {here_high} ({lower.name})"
                verdict, paper = _VERDICTS[comparison.verdict], _paper_pair(ordering, lower, upper, column)
                checks.append(OrderingCheck(ordering.claim, column, paper, here, verdict, comparison.reason))
    return checks


def _matching(ordering: Ordering, runs: Sequence[ReportRun]) -> list[tuple[ReportRun, ReportRun]]:
    """Pairs of runs that fill the two slots; where both have a mapping, of the same depth."""
    pairs = [(a, b) for a in runs for b in runs if _fills(a, ordering.lower) and _fills(b, ordering.upper)]
    if ordering.same_generator:
        return [(a, b) for a, b in pairs if a is b]
    both_mapped = ordering.lower.mapped and ordering.upper.mapped
    return [(a, b) for a, b in pairs if a is not b and (a.depth == b.depth or not both_mapped)]


def _fills(run: ReportRun, slot: Slot) -> bool:
    return run.arch == slot.arch and run.depth is not None and (run.depth > 0) == slot.mapped


def published_value(row: PublishedRow, column: str) -> float:
    """The published number that stands in a column of the main table."""
    return {"PPL full": row.ppl_full, "PPL end": row.ppl_end, "Separability": row.ls}[column]


def _paper_pair(ordering: Ordering, lower: ReportRun, upper: ReportRun, column: str) -> str:
    """What the paper has of generators as deep as these runs."""
    low, high = ordering.lower, ordering.upper
    pair = published_pair((low.arch, lower.depth or 0, low.space), (high.arch, upper.depth or 0, high.space))
    return NONE if pair is None else " against ".join(number(published_value(row, column)) for row in pair)


def by_claim(checks: Sequence[OrderingCheck]) -> dict[str, list[OrderingCheck]]:
    """Checks under the paper's claim they belong to, in the paper's order."""
    groups: dict[str, list[OrderingCheck]] = {}
    for check in checks:
        groups.setdefault(check.claim, []).append(check)
    return groups
