"""The report's numbers as plain tables: tables.csv, one line a number, and tables.md, ready to paste."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from latentlab.report.choice import Further, further_measurements
from latentlab.report.comparison import attribute_counts
from latentlab.report.disentanglement import Table, baseline, disentanglement_tables
from latentlab.report.formatting import NONE, attribute, count, interval, number, percent, percent_interval, plain
from latentlab.report.inputs import ReportRun
from latentlab.report.protocol_tables import ProtocolTable, protocol_tables
from latentlab.report.published import ARXIV, TABLE_4
from latentlab.report.realism import Realism, few_images, realism
from latentlab.report.rows import AttributeRow, Row, attribute_rows, entropy, main_rows, partial_score
from latentlab.report.sentences import source_sentence, unmeasured
from latentlab.results import METRICS, MetricResult, is_image_distance


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
    """The main table as texts: one row per generator and space."""
    lines = []
    for row in main_rows(runs):
        head = {"generator": row.run.name, "mapping layers": plain(row.run.depth), "space": row.space.upper()}
        lines.append(head | {column: _cell(row, column) for column in row.cells})
    return pd.DataFrame(lines)


def _cell(row: Row, column: str) -> str:
    return row.note or "not measured" if row.cells[column] is None else _number(row.cells[column])


def _number(result: MetricResult | None) -> str:
    """A number with its interval and samples, and what must be said of it."""
    if result is None:
        return "not measured"
    parts = [number(result.value), interval(result.ci95, like=result.value), f"n = {count(result.num_samples)}"]
    return " ".join(part for part in (*parts, partial_score(result), few_images(result)) if part)


def realism_table(section: Realism) -> pd.DataFrame:
    """The distances to real images as texts."""
    return pd.DataFrame(
        [
            {"generator": run.name} | {column: _number(result) for column, result in cells.items()}
            for run, cells in section.lines
        ]
    )


def further_table(further: Sequence[Further]) -> pd.DataFrame:
    """Measurements by other settings as texts."""
    return pd.DataFrame(
        [
            {
                "generator": line.run.name,
                "number": METRICS.get(line.result.metric, line.result.metric),
                "value": _number(line.result),
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
    """Per-attribute entropies and accuracies of one run as texts."""
    return pd.DataFrame([_attribute_line(row) for row in rows])


def _attribute_line(row: AttributeRow) -> dict[str, str]:
    line = {"attribute": attribute(row.name), "share": percent(row.any.get("share_positive"))}
    for space, side in (("Z", row.z), ("W", row.w)):
        value = entropy(side)
        line[f"H {space} (bit)"] = f"{number(value)} {interval((side or {}).get('ci95'), like=value)}".strip()
        line[f"accuracy {space}"] = percent((side or {}).get("accuracy"))
    return line | {"note": "" if row.valid else f"left out: {plain(row.any.get('reason'))}"}


def disentanglement_table(table: Table) -> pd.DataFrame:
    """The disentanglement metrics of one run as texts."""
    lines = []
    for line in table.lines:
        cells = {"metric": line.title}
        for space, result in (("Z", line.z), ("W", line.w)):
            value = None if result is None else result.value
            cells[space] = f"{number(value)} {interval(None if result is None else result.ci95, like=value)}".strip()
            cells[f"useless {space}"] = number(baseline(result))
        lines.append(cells | {"verdict": line.verdict})
    return pd.DataFrame(lines)


def card_table(card: Mapping[str, Any]) -> pd.DataFrame:
    """A classifier card as texts."""
    measures = ("share", "accuracy", "balanced_accuracy", "auc")
    return pd.DataFrame(
        [
            {"attribute": attribute(row["name"])}
            | {measure.replace("_", " "): _with_interval(row, measure) for measure in measures}
            | {"log loss": number(row.get("log_loss")), "calibration error": percent(row.get("calibration_error"))}
            | {"weak": "weak" if row.get("weak") else ""}
            for row in card["attributes"]
        ]
    )


def _with_interval(row: Mapping[str, Any], measure: str) -> str:
    """A fraction of a card in per cent, with its interval where the card has one."""
    return f"{percent(row.get(measure))} {percent_interval(row.get('ci95', {}).get(measure))}".strip()


def published_table() -> pd.DataFrame:
    """Table 4 of the paper."""
    return pd.DataFrame(
        [
            {
                "generator": row.label,
                "space": row.space.upper(),
                "FID": f"{row.fid:.2f}",
                "PPL full": f"{row.ppl_full:.1f}",
                "PPL end": f"{row.ppl_end:.1f}",
                "Separability": f"{row.ls:.2f}",
            }
            for row in TABLE_4
        ]
    )


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table; bars, line breaks and angle brackets in cells are made harmless."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(_plain_cell(str(cell)) for cell in row) + " |" for row in rows)


def _plain_cell(text: str) -> str:
    escaped = text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split()) or NONE


def markdown_page(title: str, runs: Sequence[ReportRun], cards: Sequence[Mapping[str, Any]]) -> str:
    """tables.md: every table of the report."""
    parts = [f"# {_plain_cell(title)}", "Lower is better. 95 % intervals in brackets.", to_markdown(main_table(runs))]
    if further := further_measurements(runs):
        parts += ["## Further measurements, by other settings", to_markdown(further_table(further))]
    if section := realism(runs):
        lines = [f"* {_plain_cell(line)}" for line in section.against]
        parts += ["## Distance to real images", "\n".join(lines), to_markdown(realism_table(section))]
    for run in runs:
        if rows := attribute_rows(run):
            parts += [f"## Attributes of {_plain_cell(run.name)}", to_markdown(attribute_table(rows))]
    for table in disentanglement_tables(runs):
        name = f"Disentanglement of {table.run.name} against {table.against}"
        words = f"Higher is better; not in the paper; {table.over}. Useless: against the factors of other samples."
        parts += [f"## {_plain_cell(name)}", words, to_markdown(disentanglement_table(table))]
    for card in cards:
        told = _plain_cell(source_sentence(card)) if unmeasured(card) else to_markdown(card_table(card))
        parts += [f"## Classifiers {_plain_cell(plain(card.get('name')))}", told]
    for run in runs:
        for protocol in protocol_tables(run):
            title = f"{run.name}: {protocol.title}"
            parts += [f"## {_plain_cell(title)}", to_markdown(protocol_table(protocol))]
    parts += [
        f"## Published, for reference only ({ARXIV}, table 4)",
        "FFHQ at 1024×1024, LPIPS with VGG16, classifiers trained on CelebA-HQ: not comparable with the numbers above.",
        to_markdown(published_table()),
    ]
    return "\n\n".join(parts) + "\n"
