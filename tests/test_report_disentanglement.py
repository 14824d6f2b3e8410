"""Disentanglement metrics in a report: higher is better, and the other tables stay as they are."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from latentlab.report import ReportRun, read_run, render_report
from latentlab.report.disentanglement import _verdict, disentanglement_tables, disentanglement_warnings
from latentlab.report.rows import main_rows
from latentlab.report.sentences import headline, missing_parts
from latentlab.results import MetricResult, NetworkName, append_results


def number(
    metric: str,
    value: float,
    *,
    source: str = "labels",
    valid: int = 3,
    useless: float = 0.0123,
    **protocol: Any,
) -> MetricResult:
    made_by = {"name": "quick", "sha256": "ab" * 32} if source == "labels" else None
    factors = [{"name": f"f{index}", "valid": index < valid, "reason": None} for index in range(3)]
    return MetricResult(
        metric=metric,
        value=value,
        ci95=(value - 0.02, value + 0.02),
        num_samples=900,
        seed=0,
        network=NetworkName(name="x", sha256="ab" * 32),
        protocol={"space": metric[-1], "factors": {"source": source, "classifiers": made_by}, "bins": 20} | protocol,
        details={"baseline": useless, "factors": factors, "num_valid": valid, "file": "true.npz"},
    )


def run_with(folder: Path, *results: MetricResult) -> ReportRun:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"generator": {"mapping_layers": 2, "use_styles": True}}))
    append_results(folder / "results.jsonl", list(results))
    return read_run(folder)


@pytest.fixture
def run(tmp_path: Path) -> ReportRun:
    results = [number("mig_z", 0.9), number("mig_z", 0.1), number("mig_w", 0.3)]
    results += [number("sap_z", 0.4), number("sap_w", 0.2), number("explicitness_z", 0.61)]
    results += [number("modularity_z", 0.7), number("modularity_w", 0.71)]
    return run_with(tmp_path / "one", *results, number("mig_z", 0.8, source="file"))


def test_the_higher_number_is_the_better_one(run: ReportRun) -> None:
    labels, file = disentanglement_tables([run])
    assert (labels.against, file.against) == ("the labels by quick", "the factors in true.npz")
    assert {line.title: line.verdict for line in labels.lines} == {
        "MIG": "W is higher",
        "Modularity": "open",
        "SAP": "Z is higher",
        "Explicitness": "–",
    }
    assert labels.lines[0].z is not None
    assert labels.lines[0].z.value == 0.1  # the newest
    assert [line.title for line in file.lines] == ["MIG"]


@pytest.mark.parametrize(
    ("z", "w", "verdict", "reason"),
    [  # a number and its baseline, in Z and in W; intervals reach 0.02 to each side
        ((0.10, 0.21), (0.17, 0.33), "none", "neither is above useless"),
        ((0.86, 0.85), (0.90, 0.85), "only W is above useless", "Z, or its 95 % interval, is not"),
        ((0.90, 0.80), (0.95, 0.94), "only Z is above useless", "W, or its 95 % interval, is not"),
        ((0.50, 0.10), (0.80, 0.60), "Z is higher", "above useless, 95 % intervals do not overlap"),
        ((0.50, 0.40), (0.50, 0.30), "W is higher", "above useless, 95 % intervals do not overlap"),
        ((0.50, 0.10), (0.60, 0.21), "open", "95 % intervals overlap"),
    ],
)
def test_verdicts_are_on_what_is_above_useless(
    tmp_path: Path, z: tuple[float, float], w: tuple[float, float], verdict: str, reason: str
) -> None:
    pair = [number(f"sap_{space}", value, useless=useless) for space, (value, useless) in (("z", z), ("w", w))]
    (table,) = disentanglement_tables([run_with(tmp_path / "one", *pair)])
    (line,) = table.lines
    assert (line.verdict, line.reason) == (verdict, reason)
    assert line.z == pair[0]
    bare = [one.model_copy(update={"details": {}}) for one in pair]
    assert _verdict(*bare) == ("none", "what is useless was not measured")


def test_they_stand_in_a_table_of_their_own(run: ReportRun, tmp_path: Path) -> None:
    text = render_report([run], tmp_path / "out").read_text(encoding="utf-8")
    assert '<a href="#disentanglement">' in text
    assert "Higher is better; not in the paper." in text
    own = text.split('id="disentanglement"')[1].split("</section>")[0]
    assert own.count("W is higher") == 1
    assert "0.0123" in own
    assert "protocol of the disentanglement metrics, against the labels by quick" in text
    assert all(cell is None for row in main_rows([run]) for cell in row.cells.values())
    markdown = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    part = markdown.split("## Disentanglement of one against the labels by quick")[1].split("##")[0]
    assert "Higher is better; not in the paper; over all factors." in part
    assert "| MIG | 0.100 [0.080, 0.120] | 0.0123 | 0.300 [0.280, 0.320] | 0.0123 | W is higher |" in part
    table = pd.read_csv(tmp_path / "out" / "tables.csv")
    assert len(table) == 8
    assert table["against"].tolist() == ["the labels by quick"] * 7 + ["the factors in true.npz"]
    assert (table["useless"] == 0.0123).all()


def test_a_report_without_them_does_not_mention_them(tmp_path: Path) -> None:
    text = render_report([run_with(tmp_path / "bare")], tmp_path / "out").read_text(encoding="utf-8")
    assert "isentanglement metrics" not in text
    assert "#disentanglement" not in text


def test_they_are_no_verdict_on_the_mapping(run: ReportRun) -> None:
    assert headline(run) == (
        "Of one, only the disentanglement metrics have been measured yet: "
        "they do not say whether W is straighter than Z."
    )
    assert "`latentlab ppl`" in " ".join(missing_parts(run))


def test_partial_and_unequal_numbers_are_marked_and_not_compared(run: ReportRun, tmp_path: Path) -> None:
    results = [number("mig_z", 0.1, valid=2, bins=10), number("mig_w", 0.3, valid=2, bins=10)]
    results += [number("sap_z", 0.1, valid=2), number("sap_w", 0.3)]
    other = run_with(tmp_path / "two", *results)
    (table,) = disentanglement_tables([other])
    assert [line.verdict for line in table.lines] == ["W is higher", "not comparable"]
    text = render_report([run, other], tmp_path / "out").read_text(encoding="utf-8")
    assert "over 2 of 3 valid attributes: not comparable with numbers over other attributes" in text
    (warning, *_) = disentanglement_warnings(disentanglement_tables([run, other]))
    assert warning.column == "MIG"
    assert warning.fields["bins"] == {"20": ["one, Z", "one, W", "one, Z"], "10": ["two, Z", "two, W"]}
    assert "MIG: numbers that cannot be compared." in text
