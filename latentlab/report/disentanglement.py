"""The disentanglement metrics of a report: a table of their own, because higher is better and the paper has none."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentlab.report.comparison import compare, differences
from latentlab.report.formatting import listing, plain
from latentlab.report.inputs import ReportRun
from latentlab.report.rows import ProtocolWarning, partial_score
from latentlab.results import DISENTANGLEMENT, HIGHER_IS_BETTER, MetricResult

_VERDICTS = {"higher": "W is higher", "lower": "Z is higher", "missing": "–"}
_ABOVE_USELESS = "above useless, 95 % intervals do not overlap"


@dataclass(frozen=True)
class Line:
    """One metric of one generator in Z and in W.

    `verdict` says which is higher, and so better, only where both are above what is useless, and, less that, their
    95 % intervals do not overlap; where one alone is above it, it says which.
    """

    title: str
    z: MetricResult | None
    w: MetricResult | None
    verdict: str
    reason: str


@dataclass(frozen=True)
class Table:
    """The metrics of one generator against one set of labels or factors."""

    run: ReportRun
    against: str
    lines: list[Line]

    @property
    def results(self) -> list[MetricResult]:
        """Every number of the table."""
        return [result for line in self.lines for result in (line.z, line.w) if result is not None]

    @property
    def over(self) -> str:
        """Over how many factors the numbers run."""
        return " or ".join(dict.fromkeys(partial_score(result) or "over all factors" for result in self.results))


def disentanglement_tables(runs: Sequence[ReportRun]) -> list[Table]:
    """A table for every generator and whatever it was measured against; the newest number of each kind."""
    tables = []
    for run in runs:
        found: dict[str, dict[str, MetricResult]] = {}
        for result in run.results:
            if result.metric in HIGHER_IS_BETTER:
                found.setdefault(_against(result), {})[result.metric] = result
        tables += [Table(run, against, _lines(newest)) for against, newest in found.items()]
    return tables


def baseline(result: MetricResult | None) -> float | None:
    """What the same latents score against other samples' factors."""
    value = None if result is None else result.details.get("baseline")
    return float(value) if isinstance(value, int | float) else None


def disentanglement_warnings(tables: Sequence[Table]) -> list[ProtocolWarning]:
    """The protocol fields in which the numbers of one metric differ between tables; metrics that agree in one."""
    titles: dict[str, list[str]] = {}
    warnings: dict[str, ProtocolWarning] = {}
    for title in DISENTANGLEMENT.values():
        holders = [(table, line) for table in tables for line in table.lines if line.title == title]
        measured = [(table, result) for table, line in holders for result in (line.z, line.w) if result is not None]
        fields: dict[str, dict[str, list[str]]] = {}
        for name, values in differences([result for _, result in measured]).items() if measured else ():
            for (table, result), value in zip(measured, values, strict=True):
                label = f"{table.run.name}, {plain(result.protocol.get('space')).upper()}"
                fields.setdefault(name, {}).setdefault(value, []).append(label)
        if fields:
            titles.setdefault(repr(fields), []).append(title)
            warnings[repr(fields)] = ProtocolWarning(listing(titles[repr(fields)]), fields)
    return list(warnings.values())


def _lines(newest: dict[str, MetricResult]) -> list[Line]:
    lines = []
    for name, title in DISENTANGLEMENT.items():
        z, w = newest.get(f"{name}_z"), newest.get(f"{name}_w")
        if z is None and w is None:
            continue
        lines.append(Line(title, z, w, *_verdict(z, w)))
    return lines


def _verdict(z: MetricResult | None, w: MetricResult | None) -> tuple[str, str]:
    """Which is further above its baseline, and why that can be said or not."""
    comparison = compare(_less_baseline(w), _less_baseline(z))
    if z is None or w is None or comparison.verdict == "missing":
        return _VERDICTS["missing"], ""
    if comparison.verdict == "not comparable" or None in (*z.ci95, *w.ci95):
        return comparison.verdict, comparison.reason
    if None in (baseline(z), baseline(w)):
        return "none", "what is useless was not measured"
    above = [space for space, result in (("Z", z), ("W", w)) if _above_baseline(result)]
    if not above:
        return "none", "neither is above useless"
    if len(above) == 1:
        other = "W" if above == ["Z"] else "Z"
        return f"only {above[0]} is above useless", f"{other}, or its 95 % interval, is not"
    settled = comparison.verdict in ("lower", "higher")
    return _VERDICTS.get(comparison.verdict, comparison.verdict), _ABOVE_USELESS if settled else comparison.reason


def _above_baseline(result: MetricResult) -> bool:
    """Whether a number, down to the lower end of its interval, is above what the same latents score by chance."""
    useless, low = baseline(result), result.ci95[0]
    return useless is not None and low is not None and low > useless


def _less_baseline(result: MetricResult | None) -> MetricResult | None:
    """A number and its interval less the baseline, which is taken as known; as they are where there is none."""
    useless = baseline(result)
    if result is None or useless is None:
        return result
    value = None if result.value is None else result.value - useless
    low, high = (None if end is None else end - useless for end in result.ci95)
    return result.model_copy(update={"value": value, "ci95": (low, high)})


def _against(result: MetricResult) -> str:
    """What a number was measured against, in words."""
    origin = result.protocol.get("factors")
    origin = origin if isinstance(origin, dict) else {}
    if origin.get("source") == "file":
        return f"the factors in {plain(result.details.get('file'))}"
    made_by = origin.get("classifiers")
    return f"the labels by {plain(made_by.get('name'))}" if isinstance(made_by, dict) else "the labels"
