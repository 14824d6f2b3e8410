"""The numbers of a report in the order it shows them: a row per generator and space, a column per kind of number."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latentlab.report.common_scores import over_common
from latentlab.report.comparison import attribute_counts, differences, differing_fields
from latentlab.report.formatting import attribute, count, interval, number, plain
from latentlab.report.inputs import ReportRun
from latentlab.report.published import RELEASED_NETWORK, TABLE_4, PublishedRow
from latentlab.results import MetricResult

COLUMNS = {"PPL full": "ppl_{}full", "PPL end": "ppl_{}end", "Separability": "ls_{}"}
"""Columns of the main table and the metric each holds, with the space to be filled in. Lower is better."""


@dataclass(frozen=True)
class Row:
    """One generator in one space."""

    run: ReportRun
    space: str
    cells: dict[str, MetricResult | None]
    note: str = ""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """What must be said of a column's number."""

    @property
    def published(self) -> PublishedRow | None:
        """The paper's row of such a generator in this space, of other data and networks; None where it has none."""
        rows = (*TABLE_4, *RELEASED_NETWORK)
        kind = (self.run.arch, self.run.depth, self.space)
        return next((row for row in rows if (row.arch, row.depth, row.space) == kind), None)

    @property
    def label(self) -> str:
        """The row in words: the run's name and the space."""
        return f"{self.run.name}, {self.space.upper()}"


@dataclass(frozen=True)
class Scale:
    """Maps values to per cent of a lane's width, linearly or by their logarithm."""

    low: float
    high: float
    log: bool = False

    def percent(self, value: float) -> float:
        """Position of a value, held inside the lane."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return round(100 * min(max((value - low) / (high - low), 0), 1), 2)


@dataclass(frozen=True)
class AttributeRow:
    """One attribute of one run: what the SVM on Z and the SVM on W leave open about it.

    `num_dims` is the larger of the spaces' dimensions, None where the results do not say it.
    """

    name: str
    z: dict[str, Any] | None
    w: dict[str, Any] | None
    num_dims: int | None = None

    @property
    def any(self) -> dict[str, Any]:
        """Whichever of the two is there; what does not depend on the space is read from it."""
        return self.z or self.w or {}

    @property
    def valid(self) -> bool:
        """Whether the attribute enters the score."""
        return bool(self.any.get("valid"))

    @property
    def entropy(self) -> float | None:
        """H(Y) in bits, which a plane that says nothing leaves: 1 only where half of the samples have the attribute."""
        return _finite(self.any.get("entropy_bits"))

    def told(self, space: str) -> float | None:
        """The share of H(Y) that the plane in `z` or `w` tells, I(X; Y) / H(Y)."""
        left = entropy(getattr(self, space))
        return None if left is None or not self.valid or not self.entropy else 1 - left / self.entropy

    @property
    def few(self) -> str:
        """That the rarer class has no more samples than there are dimensions, else an empty text."""
        rarer = self.any.get("num_rarer")
        if not self.valid or not rarer or self.num_dims is None or rarer > self.num_dims:
            return ""
        return f"only {count(rarer)} of the rarer class"

    @property
    def remarks(self) -> list[str]:
        """What must be said of an attribute that enters the score."""
        stopped = "SVM did not converge" if self.unconverged else ""
        return [text for text in (stopped, plain(self.any.get("reason") or ""), self.few) if text and self.valid]

    @property
    def unconverged(self) -> bool:
        """Whether the SVM stopped before it converged, in Z or in W."""
        return any(side is not None and side.get("converged") is False for side in (self.z, self.w))

    @property
    def difference(self) -> float | None:
        """Conditional entropy in Z less that in W, bits: positive where W separates better."""
        z, w = entropy(self.z), entropy(self.w)
        return None if not self.valid or z is None or w is None else z - w

    @property
    def settled(self) -> bool:
        """Whether the 95 % intervals of Z and W do not overlap."""
        if self.difference is None or not self.z or not self.w:
            return False
        z, w = self.z.get("ci95"), self.w.get("ci95")
        if not z or not w or None in (*z, *w):
            return False
        return bool(z[0] > w[1] or w[0] > z[1])


def main_rows(runs: Sequence[ReportRun]) -> list[Row]:
    """A row for Z and one for W of every run; without a mapping W says what it is instead of numbers."""
    rows = []
    for run in runs:
        for space in ("z", "w"):
            cells = {name: run.shown.get(metric.format(space)) for name, metric in COLUMNS.items()}
            empty = all(cell is None for cell in cells.values())
            unmapped = space == "w" and run.depth == 0 and empty
            note = f"no mapping network: W is {run.w_without_mapping}" if unmapped else ""
            rows.append(Row(run, space, cells, note))
    return _with_remarks(rows)


def _with_remarks(rows: Sequence[Row]) -> list[Row]:
    """Every score that leaves attributes out says so, and what it would be over those valid in all rows."""
    column = "Separability"
    scores = [result for row in rows if (result := row.cells[column]) is not None]
    same, common = over_common(scores)
    if common is not None and differing_fields(same):
        common = None
    found = dict(zip(map(id, scores), same, strict=True))
    remarks = [
        "" if (result := row.cells[column]) is None else _remark(result, found[id(result)], common) for row in rows
    ]
    return [replace(row, remarks={column: text}) for row, text in zip(rows, remarks, strict=True)]


def _remark(result: MetricResult, same: MetricResult, common: int | None) -> str:
    counts = attribute_counts(result)
    if common is None or counts is None:
        return partial_score(result)
    if counts[0] == common:
        return f"over the {common} of {counts[1]} attributes valid in every row"
    shown = f"{number(same.value)} {interval(same.ci95, like=same.value)}".rstrip()
    return f"over its {counts[0]} valid of {counts[1]} attributes; {shown} over the {common} valid in every row"


def column_scale(results: Iterable[MetricResult | None]) -> Scale | None:
    """A scale from 0 that holds all intervals; logarithmic where values lie more than a factor 30 apart."""
    present = [result for result in results if result is not None and result.value is not None]
    ends = [float(end) for result in present for end in (result.value, *result.ci95) if end is not None]
    ends = [end for end in ends if math.isfinite(end) and end > 0]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    return Scale(low / 1.5, high * 1.5, log=True) if high > 30 * low else Scale(0, high * 1.04)


@dataclass(frozen=True)
class ProtocolWarning:
    """Rows of one column that were not measured alike: per setting in words, each value and the rows that have it.

    `common` is over how many attributes the rows can be compared all the same, None where they cannot.
    """

    column: str
    fields: dict[str, dict[str, list[str]]]
    common: int | None = None

    def head(self, what: str = "rows") -> tuple[str, str]:
        """What is wrong, and why; `what` holds the numbers."""
        if self.common is None:
            return f"{self.column}: {what} that cannot be compared.", "They were not measured alike:"
        return (
            f"{self.column}: the {what} run over different attributes.",
            f"Comparable are the numbers over the {self.common} attributes valid in all {what}.",
        )


def protocol_warnings(rows: Sequence[Row]) -> list[ProtocolWarning]:
    """For every column of the main table, in what its rows differ."""
    warnings = []
    for column in COLUMNS:
        present = [(row, row.cells[column]) for row in rows]
        measured = [(row, result) for row, result in present if result is not None]
        fields: dict[str, dict[str, list[str]]] = {}
        results = [result for _, result in measured]
        for name, values in differences(results).items() if measured else ():
            holders = fields.setdefault(name, {})
            for (row, _), value in zip(measured, values, strict=True):
                holders.setdefault(value, []).append(row.label)
        if fields:
            same, common = over_common(results)
            warnings.append(ProtocolWarning(column, fields, None if differing_fields(same) else common))
    return warnings


def partial_score(result: MetricResult | None) -> str:
    """`over n of 40 valid attributes` where a score over several leaves some out, else an empty text."""
    counts = None if result is None else attribute_counts(result)
    if counts is None or counts[0] == counts[1]:
        return ""
    return f"over {counts[0]} of {counts[1]} valid attributes: not comparable with numbers over other attributes"


def entropy(row: dict[str, Any] | None) -> float | None:
    """Conditional entropy of one attribute in bits, or None where it has none."""
    return None if row is None else _finite(row.get("conditional_entropy_bits"))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def attribute_rows(run: ReportRun) -> list[AttributeRow]:
    """The attributes of a run, those that W helps most (or else those hardest to separate) first, invalid ones last."""
    results = [run.shown.get(metric) for metric in ("ls_z", "ls_w")]
    z, w = map(_attributes, results)
    dims = [result.details["num_dims"] for result in results if result and "num_dims" in result.details]
    rows = [AttributeRow(name, z.get(name), w.get(name), max(dims, default=None)) for name in {**z, **w}]
    return sorted(rows, key=lambda row: (not row.valid, -_interest(row), attribute(row.name)))


def attribute_spaces(rows: Sequence[AttributeRow]) -> list[str]:
    """The spaces, of `z` and `w`, in which any of the attributes was measured."""
    return [space for space in ("z", "w") if any(getattr(row, space) is not None for row in rows)]


def _interest(row: AttributeRow) -> float:
    if row.difference is not None:
        return row.difference
    return entropy(row.z or row.w) or 0.0


def _attributes(result: MetricResult | None) -> dict[str, dict[str, Any]]:
    if result is None or not isinstance(result.details.get("attributes"), list):
        return {}
    return {row["name"]: row for row in result.details["attributes"]}


def attribute_scale(rows: Sequence[AttributeRow]) -> Scale:
    """A scale from 0 to the largest conditional entropy or interval end among the rows, at most 1 bit."""
    found = [(side, entropy(side)) for row in rows for side in (row.z, row.w) if row.valid]
    ends = [end for side, value in found if side for end in (value, *(side.get("ci95") or ())) if end is not None]
    high = min(max(ends, default=1.0) * 1.03, 1.0)
    return Scale(0, math.ceil(high * 20) / 20 or 0.05)
