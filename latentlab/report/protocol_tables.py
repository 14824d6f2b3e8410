"""Every setting that the numbers of a run depend on, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

from latentlab.report import formatting
from latentlab.report.disentanglement import disentanglement_tables
from latentlab.report.inputs import ReportRun
from latentlab.results import METRICS, MetricResult, is_image_distance


@dataclass(frozen=True)
class ProtocolTable:
    """The protocol fields of several metrics: a line per field, a column per metric."""

    title: str
    heads: list[str]
    lines: list[tuple[str, list[str]]]


def protocol_tables(run: ReportRun) -> list[ProtocolTable]:
    """Every protocol field of a run's metrics: the paper's, distances to real images, the disentanglement metrics."""
    paper = {METRICS[name]: run.shown.get(name) for name in METRICS}
    distances = {name: result for name, result in run.shown.items() if is_image_distance(name)}
    found = [
        ProtocolTable("protocol of every number", *_columns(paper)),
        ProtocolTable("protocol of the distances to real images", *_columns(distances)),
    ]
    for table in disentanglement_tables([run]):
        pairs = [(line, space) for line in table.lines for space in ("z", "w")]
        columns = {f"{line.title}, {space.upper()}": getattr(line, space) for line, space in pairs}
        title = f"protocol of the disentanglement metrics, against {table.against}"
        found.append(ProtocolTable(title, *_columns(columns)))
    return [protocol for protocol in found if protocol.lines]


def _columns(results: Mapping[str, MetricResult | None]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings, and per protocol field its value in each of the results that there are."""
    found = {title: result for title, result in results.items() if result is not None}
    flat = [formatting.flatten(result.protocol) for result in found.values()]
    names = dict.fromkeys(name for protocol in flat for name in protocol)
    return list(found), [(name, [formatting.plain(protocol.get(name)) for protocol in flat]) for name in names]
