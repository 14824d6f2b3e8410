"""The report's numbers as tables: tables.csv, one line a number, and one for every table of the page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from latentlab.report.choice import Further, further_measurements
from latentlab.report.comparison import attribute_counts
from latentlab.report.disentanglement import Table, baseline, disentanglement_tables
from latentlab.report.formatting import attribute, flatten, plain
from latentlab.report.inputs import ReportRun
from latentlab.report.orderings import OrderingCheck, published_value
from latentlab.report.protocol_tables import ProtocolTable
from latentlab.report.published import TABLE_4
from latentlab.report.realism import Realism, few_images
from latentlab.report.rows import AttributeRow, Row, attribute_spaces, entropy, main_rows, partial_score
from latentlab.report.sections import Measured
from latentlab.results import METRICS, MetricResult, is_image_distance

QUANTILES = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles of path lengths that the report shows."""


def tidy(runs: Sequence[ReportRun]) -> pd.DataFrame:
    """One line per number, with interval, samples, seed, network and protocol; full precision.

    `shown` says which of several measurements of a metric the tables show.
    """
    lines = []
    for run in runs:
        named = [*METRICS, *sorted(filter(is_image_distance, run.shown))]
        lines += [_line(run, run.shown[metric]) for metric in named if metric in run.shown]
    lines += [_line(further.run, further.result, shown=False) for further in further_measurements(runs)]
    for table in disentanglement_tables(runs):
        lines += [_line(table.run, result, against=table.against) for result in table.results]
    columns = ["run", "arch", "mapping_layers", "metric", "value", "ci95_low", "ci95_high", "num_samples", "seed"]
    columns += ["valid_attributes", "attributes", "against", "useless", "network_sha256", "created_at", "shown"]
    return pd.DataFrame(lines, columns=pd.Index([*columns, "protocol"]))


def _line(run: ReportRun, result: MetricResult, *, against: str | None = None, shown: bool = True) -> dict[str, Any]:
    valid, attributes = attribute_counts(result) or (None, None)
    return {
        "run": run.name,
        "arch": run.arch,
        "mapping_layers": run.depth,
        "metric": result.metric,
        "value": result.value,
        "ci95_low": result.ci95[0],
        "ci95_high": result.ci95[1],
        "num_samples": result.num_samples,
        "seed": result.seed,
        "valid_attributes": valid,
        "attributes": attributes,
        "against": against,
        "useless": baseline(result),
        "network_sha256": result.network.sha256,
        "created_at": result.created_at,
        "shown": shown,
        "protocol": json.dumps(result.protocol, ensure_ascii=False, sort_keys=True),
    }


def main_table(runs: Sequence[ReportRun]) -> pd.DataFrame:
    """The main table: one row per generator and space, the paper's numbers of such a generator beside it."""
    rows = main_rows(runs)
    beside = any(row.published for row in rows)
    lines = []
    for row in rows:
        head = {"generator": row.run.name, "mapping layers": plain(row.run.depth), "space": row.space.upper()}
        cells: dict[str, Measured | str | None] = {
            name: measured(result, row.remarks.get(name)) for name, result in row.cells.items()
        }
        if row.note:
            cells = dict.fromkeys(cells) | {next(iter(cells)): row.note}
        lines.append(head | cells | (_paper(row) if beside else {}))
    return pd.DataFrame(lines)


def _paper(row: Row) -> dict[str, float | None]:
    """The published numbers that stand beside a row, in columns of their own."""
    return {
        f"{column}, paper": None if row.published is None else published_value(row.published, column)
        for column in row.cells
    }


def measured(result: MetricResult | None, remark: str | None = None) -> Measured | str:
    """A number with its interval and samples, and what must be said of it: `remark` in place of `partial_score`."""
    if result is None:
        return "not measured"
    note = " ".join(filter(None, (partial_score(result) if remark is None else remark, few_images(result))))
    return Measured(result.value, result.ci95, result.num_samples, note)


def realism_table(section: Realism) -> pd.DataFrame:
    """The distances to real images."""
    lines = []
    for run, cells in section.lines:
        line: dict[str, Measured | str] = {"generator": run.name}
        lines.append(line | {column: measured(result) for column, result in cells.items()})
    return pd.DataFrame(lines)


def further_table(further: Sequence[Further]) -> pd.DataFrame:
    """Measurements by other settings."""
    return pd.DataFrame(
        [
            {
                "generator": line.run.name,
                "number": METRICS.get(line.result.metric, line.result.metric),
                "value": measured(line.result),
                "otherwise than above": "; ".join(line.differences),
            }
            for line in further
        ]
    )


def protocol_table(table: ProtocolTable) -> pd.DataFrame:
    """Protocol fields as texts."""
    return pd.DataFrame(
        [dict(zip(["field", *table.heads], [name, *values], strict=True)) for name, values in table.lines]
    )


def attribute_table(rows: Sequence[AttributeRow]) -> pd.DataFrame:
    """Per-attribute entropies, what planes tell of them, and accuracies of one run."""
    spaces = attribute_spaces(rows)
    return pd.DataFrame([_attribute_line(row, spaces) for row in rows])


def _attribute_line(row: AttributeRow, spaces: Sequence[str]) -> dict[str, Any]:
    line: dict[str, Any] = {"attribute": attribute(row.name)}
    line["share"] = Measured(row.any.get("share_positive"), share=True)
    line["H (bit)"] = Measured(row.entropy)
    for space in spaces:
        side, letter = getattr(row, space), space.upper()
        line[f"H {letter} (bit)"] = Measured(entropy(side), _ends((side or {}).get("ci95")))
        line[f"told {letter}"] = Measured(row.told(space), share=True)
        line[f"accuracy {letter}"] = Measured((side or {}).get("accuracy"), share=True)
    return line | {"note": "; ".join(row.remarks) if row.valid else f"left out: {plain(row.any.get('reason'))}"}


def _ends(ci95: Sequence[float | None] | None) -> tuple[float | None, float | None] | None:
    return None if ci95 is None or len(ci95) != 2 else (ci95[0], ci95[1])


def disentanglement_table(table: Table) -> pd.DataFrame:
    """The disentanglement metrics of one run."""
    lines = []
    for line in table.lines:
        cells: dict[str, Any] = {"metric": line.title}
        for space, result in (("Z", line.z), ("W", line.w)):
            cells[space] = None if result is None else Measured(result.value, result.ci95)
            cells[f"useless {space}"] = Measured(baseline(result))
        lines.append(cells | {"verdict": line.verdict})
    return pd.DataFrame(lines)


def card_table(card: Mapping[str, Any]) -> pd.DataFrame:
    """A classifier card."""
    lines = []
    for row in card["attributes"]:
        ends = row.get("ci95", {})
        cells: dict[str, Any] = {"attribute": attribute(row["name"])}
        for measure in ("share", "accuracy", "balanced_accuracy", "auc"):
            cells[measure.replace("_", " ")] = Measured(row.get(measure), _ends(ends.get(measure)), share=True)
        cells["log loss"] = Measured(row.get("log_loss"))
        cells["calibration error"] = Measured(row.get("calibration_error"), share=True)
        lines.append(cells | {"weak": "weak" if row.get("weak") else ""})
    return pd.DataFrame(lines)


def quantile_table(run: ReportRun) -> pd.DataFrame:
    """Selected percentiles of the path lengths' distances before trimming, a row for every metric that has them."""
    lines = []
    for metric, title in METRICS.items():
        found = run.shown[metric].details.get("percentiles") if metric in run.shown else None
        if isinstance(found, list) and len(found) == 101:
            lines.append({"paths": title} | {f"{q} %": found[q] for q in QUANTILES})
    return pd.DataFrame(lines)


def ordering_table(checks: Sequence[OrderingCheck]) -> pd.DataFrame:
    """The paper's orderings and whether they hold here."""
    return pd.DataFrame(
        [
            {"the paper finds": check.claim, "number": check.column, "paper": check.paper, "here": check.here}
            | {"verdict": check.verdict, "why": check.reason}
            for check in checks
        ]
    )


def settings_table(run: ReportRun) -> pd.DataFrame:
    """What a run's config.json says."""
    found = [{"setting": name, "value": plain(value)} for name, value in flatten(run.config).items()]
    return pd.DataFrame(found, columns=pd.Index(["setting", "value"]))


def published_table() -> pd.DataFrame:
    """Table 4 of the paper."""
    return pd.DataFrame(
        [
            {
                "generator": row.label,
                "space": row.space.upper(),
                "FID": row.fid,
                "PPL full": row.ppl_full,
                "PPL end": row.ppl_end,
                "Separability": row.ls,
            }
            for row in TABLE_4
        ]
    )
