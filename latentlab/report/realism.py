"""Distances between the sets of generated and real images: a row per generator, a column per distance."""

from collections.abc import Sequence
from dataclasses import dataclass

from latentlab.report.comparison import differences
from latentlab.report.formatting import count, plain
from latentlab.report.inputs import ReportRun, num_real
from latentlab.report.rows import ProtocolWarning, Scale, column_scale
from latentlab.results import IMAGE_DISTANCES, MetricResult, is_image_distance

FEWEST_FOR_FID = 2048
"""Images below which FID comes out far too large: as many as there are features."""


@dataclass(frozen=True)
class Realism:
    """The distances of all runs that have any.

    Attributes:
        columns: Metrics: FID, KID, then those on other features.
        scales: Of each column.
        lines: Runs and their cells, in the order of the columns.
        against: What was compared with, in sentences.
        warnings: Columns whose rows were not measured alike.
    """

    columns: list[str]
    scales: dict[str, Scale | None]
    lines: list[tuple[ReportRun, dict[str, MetricResult | None]]]
    against: list[str]
    warnings: list[ProtocolWarning]


def realism(runs: Sequence[ReportRun]) -> Realism | None:
    """What the section shows; None where nothing was measured."""
    found = [(run, {m: r for m, r in run.shown.items() if is_image_distance(m)}) for run in runs]
    metrics = {metric for _, results in found for metric in results}
    if not metrics:
        return None
    columns = sorted(metrics, key=lambda m: ([m.startswith(start) for start in IMAGE_DISTANCES].index(True), len(m), m))
    lines = [(run, {column: results.get(column) for column in columns}) for run, results in found if results]
    scales = {column: column_scale(cells[column] for _, cells in lines) for column in columns}
    results = [result for _, cells in lines for result in cells.values() if result is not None]
    warnings = [warning for column in columns if (warning := _warning(column, lines))]
    return Realism(columns, scales, lines, list(dict.fromkeys(map(_against, results))), warnings)


def few_images(result: MetricResult) -> str:
    """A word of caution where a Fréchet distance is of too few images for its number to mean much, else nothing."""
    fewest = min(result.num_samples, num_real(result) or result.num_samples)
    inception = result.metric.startswith(("fid", "fd_custom-inception"))
    return "few images: far too large" if inception and fewest < FEWEST_FOR_FID else ""


def _warning(column: str, lines: Sequence[tuple[ReportRun, dict[str, MetricResult | None]]]) -> ProtocolWarning | None:
    measured = [(run, result) for run, cells in lines if (result := cells[column]) is not None]
    fields: dict[str, dict[str, list[str]]] = {}
    for name, values in differences([result for _, result in measured]).items():
        for (run, _), value in zip(measured, values, strict=True):
            fields.setdefault(name, {}).setdefault(value, []).append(run.name)
    return ProtocolWarning(column, fields) if fields else None


def _against(result: MetricResult) -> str:
    """What a distance is between, in one sentence."""
    real = result.protocol.get("real")
    real = real if isinstance(real, dict) else {}
    features = result.protocol.get("features")
    name = plain(features.get("name")) if isinstance(features, dict) else plain(features)
    size = f" at {real['resolution']}×{real['resolution']}" if isinstance(real.get("resolution"), int) else ""
    kind = result.metric.partition("_mixed")[0]
    return f"{kind}: features {name}; {count(num_real(result))} images of {plain(real.get('name'))}{size}."
