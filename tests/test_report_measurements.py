"""The report where a metric was measured more than once, and its distances to real images."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from test_report import Page, changed, ppl, traditional_results, with_results, write_run

from latentlab.report import ReportRun, read_run, render_report
from latentlab.report.choice import further_measurements
from latentlab.report.protocol_words import in_words
from latentlab.report.realism import few_images, realism
from latentlab.report.tables import tidy
from latentlab.results import MetricResult, NetworkName

PUBLISHED = {
    "name": "stylegan",
    "method": "finite differences",
    "precision": "float32",
    "crop": "face",
    "noise": "random, shared by a pair",
    "distance": {"name": "lpips-vgg", "sha256": "c0ffee" * 8},
}


def fid(metric: str, value: float, *, num_samples: int = 50_000, **changes: Any) -> MetricResult:
    protocol = {
        "num_generated": num_samples,
        "real": {"name": "faces", "fingerprint": "f" * 64, "resolution": 32, "num_images": 30_000, "of": 30_000},
        "mixed_latents": 1,
        "features": {"name": "inception", "sha256": "1" * 64},
    }
    fields = {
        "metric": metric,
        "value": value,
        "ci95": (value * 0.95, value * 1.05),
        "num_samples": num_samples,
        "seed": 0,
        "network": NetworkName(name="runs/x", sha256="ab" * 32),
        "protocol": protocol,
    }
    return MetricResult.model_validate(fields | changes)


@pytest.fixture
def run(tmp_path: Path) -> ReportRun:
    return read_run(write_run(tmp_path / "faces32-style-8", results=[]))


# ------------------------------------------------------------------------------------------- which number is shown


def test_the_most_pairs_are_shown_and_of_as_many_the_newest(run: ReportRun) -> None:
    long, short = ppl("ppl_wend", 200.0), ppl("ppl_wend", 300.0, num_samples=2)
    assert with_results(run, long, short).shown["ppl_wend"] is long
    assert with_results(run, short, long).shown["ppl_wend"] is long
    again = ppl("ppl_wend", 210.0)
    assert with_results(run, long, again).shown["ppl_wend"] is again


@pytest.mark.parametrize(
    "setting",
    [
        {"interpolation": "slerp, lengths interpolated"},
        {"name": "torchmetrics"},
        {"crop": "none"},
        {"distance": {"name": "lpips-alex", "sha256": "1"}},
        {"epsilon": 1e-3},
        {"noise": "none"},
        {"method": "tangent"},
        {"method": "tangent", "precision": "bfloat16"},
        {"quantize": "256 levels"},
        {"upsample": 64},
    ],
)
def test_the_nearest_to_the_papers_protocol_is_shown(run: ReportRun, setting: dict[str, Any]) -> None:
    published = changed(ppl("ppl_zend", 200.0, num_samples=1000), **PUBLISHED)
    other = changed(ppl("ppl_zend", 300.0), **PUBLISHED | setting)
    both = with_results(run, published, other)
    assert both.shown["ppl_zend"] is published
    (further,) = further_measurements([both])
    assert further.result is other
    assert further.differences == [
        f"{in_words(name)}: {value}" if name != "distance" else "distance between images: lpips-alex"
        for name, value in setting.items()
    ]


def test_a_trial_of_few_pairs_displaces_no_measurement(run: ReportRun) -> None:
    measured = changed(ppl("ppl_zend", 200.0), **PUBLISHED | {"crop": "none"})
    trial = changed(ppl("ppl_zend", 300.0, num_samples=999), **PUBLISHED)
    assert with_results(run, measured, trial).shown["ppl_zend"] is measured
    enough = changed(ppl("ppl_zend", 300.0, num_samples=1000), **PUBLISHED)
    assert with_results(run, measured, enough).shown["ppl_zend"] is enough


def test_a_network_trained_on_is_shown_before_any_other(run: ReportRun) -> None:
    before = ppl("ppl_wend", 200.0)
    after = ppl("ppl_wend", 300.0, num_samples=1000, network=NetworkName(name="later", sha256="cd" * 32))
    both = with_results(run, before, after)
    assert both.shown["ppl_wend"] is after
    assert further_measurements([both]) == []


def test_earlier_numbers_by_the_same_settings_are_not_further_measurements(run: ReportRun) -> None:
    assert further_measurements([with_results(run, ppl("ppl_wend", 200.0), ppl("ppl_wend", 300.0, seed=1))]) == []


# ----------------------------------------------------------------------------------------- distances to real images


def test_distances_stand_in_the_order_of_their_kind(run: ReportRun) -> None:
    results = [
        fid(name, 10.0) for name in ("kd_classifiers5k", "fid50k_mixed2", "kid50k", "fd_classifiers5k", "fid50k")
    ]
    section = realism([with_results(run, *results)])
    assert section is not None
    assert section.columns == ["fid50k", "fid50k_mixed2", "kid50k", "fd_classifiers5k", "kd_classifiers5k"]
    assert section.against[0] == "fid50k: features inception; 30,000 images of faces at 32×32."
    assert section.warnings == []


def test_nothing_measured_is_no_section(run: ReportRun) -> None:
    assert realism([with_results(run, ppl("ppl_wend", 200.0))]) is None


def test_distances_to_other_images_are_not_compared(run: ReportRun) -> None:
    one = fid("fid50k", 10.0)
    other = changed(one, real={**one.protocol["real"], "fingerprint": "e" * 64})
    section = realism([with_results(run, one), with_results(run, other)])
    assert section is not None
    (warning,) = section.warnings
    assert (warning.column, list(warning.fields)) == ("fid50k", ["checksum of the real images"])


def test_the_most_real_images_are_shown_and_others_are_further_measurements(run: ReportRun) -> None:
    many = fid("fd_classifiers5k", 10.0)
    few = changed(many, real={**many.protocol["real"], "num_images": 500})
    both = with_results(run, many, few)
    assert both.shown["fd_classifiers5k"] is many
    (further,) = further_measurements([both])
    assert (further.result, further.differences) == (few, ["number of real images: 500"])


def test_few_images_are_called_so_for_fid_alone() -> None:
    assert few_images(fid("fid2047", 10.0, num_samples=2047))
    assert not few_images(fid("fid2048", 10.0, num_samples=2048))
    assert few_images(fid("fd_custom-inception60", 10.0, num_samples=60))
    assert not few_images(fid("kid100", 10.0, num_samples=100))
    few_real = fid("fid50k", 10.0)
    assert few_images(changed(few_real, real={**few_real.protocol["real"], "num_images": 500}))


# ------------------------------------------------------------------------------------------------ page and tables


def test_page_and_tables_have_all_of_it(tmp_path: Path) -> None:
    lerp = changed(ppl("ppl_zend", 333.3), interpolation="lerp")
    one = write_run(tmp_path / "style-8", results=[ppl("ppl_zend", 400.0), lerp, fid("fid1k", 77.7, num_samples=1000)])
    other = write_run(tmp_path / "traditional-0", depth=0, styles=False, results=traditional_results())
    page = render_report([read_run(one), read_run(other)], tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    Page(text)
    for words in ("Distance to real images", "fid1k", "77.70", "few images: far too large", "333.3", "not measured"):
        assert words in text
    assert "Further measurements, by other settings than those above (1)" in text
    assert "<td>interpolation: lerp</td>" in text
    with (page.parent / "tables.csv").open(encoding="utf-8") as file:
        lines = {(line["run"], line["metric"], line["shown"]): line for line in csv.DictReader(file)}
    assert lines["style-8", "fid1k", "True"]["value"] == "77.7"
    assert json.loads(lines["style-8", "ppl_zend", "False"]["protocol"])["interpolation"] == "lerp"
    assert json.loads(lines["style-8", "ppl_zend", "True"]["protocol"])["interpolation"] == "slerp"
    markdown = (page.parent / "tables.md").read_text(encoding="utf-8")
    assert (
        "| style-8 | Perceptual path length, Z, end | 333.3 [325.3, 341.3] n = 20,000 | interpolation: lerp |"
        in markdown
    )
    assert "| style-8 | 77.70 [73.81, 81.59] n = 1,000 few images: far too large |" in markdown
    assert "| interpolation | slerp |" in markdown


def test_every_number_has_its_protocol_in_the_tidy_table(run: ReportRun) -> None:
    table = tidy([with_results(run, ppl("ppl_wend", 200.0), fid("fid50k", 10.0))])
    assert list(table["metric"]) == ["ppl_wend", "fid50k"]
    assert json.loads(table["protocol"][1])["features"]["name"] == "inception"
