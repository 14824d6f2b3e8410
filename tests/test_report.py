"""The report: reading runs, comparing honestly, and one page that needs nothing else."""

import base64
import csv
import dataclasses
import html.parser
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from latentlab.data.attributes import CELEBA_POSITIVE_SHARE
from latentlab.errors import DataError, OutputExistsError, UsageError
from latentlab.report import ReportRun, read_card, read_run, render_report
from latentlab.report.charts import VARIABLES, W, Z
from latentlab.report.comparison import compare, differing_fields
from latentlab.report.departures import substitutes
from latentlab.report.figures import distance_histogram, training_charts
from latentlab.report.formatting import flatten, interval, listing, number
from latentlab.report.orderings import ordering_checks
from latentlab.report.page import _facts
from latentlab.report.pictures import picture, strip, tile
from latentlab.report.published import ORDERINGS, RELEASED_NETWORK, RELEASED_NOTE, TABLE_4, published_pair
from latentlab.report.rows import Scale, attribute_rows, main_rows, protocol_warnings
from latentlab.report.sections import SectionTable
from latentlab.report.sentences import headline, missing_parts, mixed_networks, unequal_training
from latentlab.report.table_formats import to_markdown
from latentlab.report.tables import main_table, tidy
from latentlab.results import MetricResult, NetworkName, append_results

# ------------------------------------------------------------------------------------------------ made-up runs


def ppl(metric: str, value: float, *, half: float = 8.0, **changes: Any) -> MetricResult:
    """A path length with a log-normal spread of distances."""
    rng = np.random.default_rng(len(metric) + int(value))
    distances = rng.lognormal(math.log(value * 0.75), 0.8, 5000)
    counts, edges = np.histogram(np.log10(distances), 60)
    space = metric[4]
    protocol = {
        "space": space,
        "sampling": metric[5:],
        "epsilon": 1e-4,
        "interpolation": "slerp" if space == "z" else "lerp",
        "crop": "none",
        "image_size": 32,
        "distance": {"name": "lpips-squeeze", "sha256": "c0ffee" * 8},
    }
    fields = {
        "metric": metric,
        "value": value,
        "ci95": (value - half, value + half),
        "num_samples": 20_000,
        "seed": 0,
        "network": NetworkName(name="runs/x", sha256="ab" * 32),
        "protocol": protocol,
        "created_at": "2026-01-02T03:04:05+00:00",
        "details": {
            "percentiles": np.percentile(distances, range(101)).tolist(),
            "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
            "num_kept": 4900,
        },
    }
    return MetricResult.model_validate(fields | changes)


def separability(metric: str, level: float, *, invalid: tuple[str, ...] = ("Bald",), **changes: Any) -> MetricResult:
    """A separability score over 40 attributes whose entropies scatter around `level` bits."""
    rng = np.random.default_rng(7)
    attributes = []
    for name, share in CELEBA_POSITIVE_SHARE.items():
        bits = float(np.clip(level * rng.uniform(0.3, 1.7) * 4 * share * (1 - share), 0.004, 0.99))
        entry = {"name": name, "valid": True, "reason": None, "conditional_entropy_bits": bits}
        entry |= {"ci95": [bits - 0.012, bits + 0.012], "entropy_bits": min(1.0, bits + 0.3), "converged": True}
        entry |= {"accuracy": 1 - bits / 4, "share_positive": share}
        if name in invalid:
            entry |= {"valid": False, "reason": "only 3 of 20,000 images have it", "conditional_entropy_bits": None}
            entry |= {"ci95": None, "accuracy": None}
        attributes.append(entry)
    bits = sum(row["conditional_entropy_bits"] for row in attributes if row["valid"])
    value = 2**bits
    fields = {
        "metric": metric,
        "value": value,
        "ci95": (value * 0.93, value * 1.08),
        "num_samples": 20_000,
        "seed": 0,
        "network": NetworkName(name="runs/x", sha256="ab" * 32),
        "protocol": {"space": metric[-1], "num_keep": 10_000, "solver": "primal", "classifiers": {"name": "shared-32"}},
        "details": {"attributes": attributes, "num_valid": 40 - len(invalid)},
    }
    return MetricResult.model_validate(fields | changes)


def style_results() -> list[MetricResult]:
    values = {"ppl_zfull": 412.3, "ppl_zend": 420.0, "ppl_wfull": 196.4, "ppl_wend": 170.2}
    paths = [ppl(name, value) for name, value in values.items()]
    return [*paths, separability("ls_z", 0.25), separability("ls_w", 0.12)]


def faces(rng: np.random.Generator, shape: tuple[int, ...], size: int = 32) -> np.ndarray:
    """Discs on plain backgrounds, float colours drawn per image; stands in for generated faces."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    disc = ((x**2 + (y * 0.8) ** 2) < 0.11)[..., None]
    colours = rng.uniform(40, 230, (*shape, 2, 1, 1, 3))
    return np.where(disc, colours[..., 0, :, :, :], colours[..., 1, :, :, :]).astype(np.uint8)


def walks(rng: np.random.Generator, pairs: int, steps: int, *, bend: float) -> np.ndarray:
    ends = faces(rng, (pairs, 2)).astype(float)
    t = np.linspace(0, 1, steps)[:, None, None, None]
    walk = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * t + bend * np.sin(np.pi * t)
    return walk.clip(0, 255).astype(np.uint8)


def write_run(
    folder: Path, *, depth: int = 8, styles: bool = True, results: list[MetricResult], stats: bool = True
) -> Path:
    """A complete run folder by the documented formats."""
    folder.mkdir(parents=True)
    config = {
        "schema_version": 1,
        "generator": {"resolution": 32, "mapping_layers": depth, "use_styles": styles, "z_dim": 512, "w_dim": 512},
        "discriminator": {"resolution": 32, "mbstd_group_size": 4},
        "training": {"total_kimg": 60, "minibatch": {"8": 256, "16": 128, "32": 64}, "r1_gamma": 10.0},
        "dataset": {"name": "faces32", "fingerprint": "0123abcd" * 8, "num_images": 13_000, "resolution": 32},
        "seed": 0,
        "latentlab_version": "0.1.0",
        "created_at": "2026-01-02T03:04:05+00:00",
    }
    (folder / "config.json").write_text(json.dumps(config))
    if stats:
        write_stats(folder / "stats.jsonl")
    append_results(folder / "results.jsonl", results)
    previews = {
        "samples": faces(np.random.default_rng(1), (32,)),
        "interpolation_z": walks(np.random.default_rng(2), 3, 9, bend=60),
    }
    if depth:
        previews["interpolation_w"] = walks(np.random.default_rng(2), 3, 9, bend=0)
    np.savez(folder / "previews.npz", **previews)
    return folder


def write_stats(path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = []
    for kimg in np.arange(0.5, 60.5, 0.5):
        lod = float(np.clip(2 - kimg / 20, 0, 2))
        tick = {"kimg": float(kimg), "lod": lod, "resolution": 8 if kimg < 15 else 16 if kimg < 35 else 32}
        tick |= {"loss_g": 0.8 + kimg / 60 + rng.normal() * 0.1, "loss_d": 1.3 - kimg / 200 + rng.normal() * 0.05}
        tick |= {"r1": 0.1 + abs(rng.normal()) * 0.02, "scores_real": kimg / 80, "scores_fake": -kimg / 70}
        lines.append(json.dumps(tick | {"images_per_second": 900 / (1 + kimg / 20), "seconds": float(kimg)}))
    path.write_text("\n".join(lines) + "\n")


def write_card(folder: Path) -> Path:
    rng = np.random.default_rng(4)
    rows = []
    for name, share in CELEBA_POSITIVE_SHARE.items():
        balanced = float(rng.uniform(0.55, 0.97))
        row = {"name": name, "share": share, "accuracy": min(0.99, balanced + 0.05), "balanced_accuracy": balanced}
        rows.append(row | {"auc": balanced + 0.02, "weak": balanced < 0.7})
    rows[0] |= {"balanced_accuracy": None, "auc": None}
    card = {"name": "shared-32", "trunk": "shared", "dataset": {"name": "celeba32"}, "num_train": 9000}
    card |= {"num_held_out": 1000, "mean_balanced_accuracy": 0.79, "attributes": rows}
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def traditional_results() -> list[MetricResult]:
    return [ppl("ppl_zfull", 531.0), ppl("ppl_zend", 540.0), separability("ls_z", 0.3)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("runs")
    style = write_run(root / "faces32-style-8", results=style_results())
    traditional = write_run(root / "faces32-traditional-0", depth=0, styles=False, results=traditional_results())
    return [read_run(style), read_run(traditional)]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read_card(write_card(tmp_path_factory.mktemp("classifiers") / "shared-32"))


@pytest.fixture(scope="module")
def report(runs: list[ReportRun], card: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    notes = ["Networks were trained for only 60,000 images; faces are blurry."]
    return render_report(runs, out, cards=[card], notes=notes)


def with_results(run: ReportRun, *results: MetricResult) -> ReportRun:
    return dataclasses.replace(run, results=list(results))


def changed(result: MetricResult, **protocol: Any) -> MetricResult:
    return result.model_copy(update={"protocol": {**result.protocol, **protocol}})


# --------------------------------------------------------------------------------------------------- reading


def test_read_run_reads_every_part(runs: list[ReportRun]) -> None:
    style, traditional = runs
    assert (style.name, style.arch, style.depth) == ("faces32-style-8", "style", 8)
    assert (traditional.arch, traditional.depth) == ("traditional", 0)
    assert style.images_seen == 60_000
    assert style.dataset == "faces32, 13,000 images, 32×32"
    assert set(style.shown) == {"ppl_zfull", "ppl_zend", "ppl_wfull", "ppl_wend", "ls_z", "ls_w"}
    assert style.previews["interpolation_w"].shape == (3, 9, 32, 32, 3)
    assert "interpolation_w" not in traditional.previews


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run folder: it has no config\.json.*results\.jsonl"):
        read_run(tmp_path)


def test_only_config_is_needed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    run = read_run(tmp_path)
    assert (run.stats, run.results, run.previews, run.grid, run.depth, run.arch) == ([], [], {}, None, None, None)
    missing = " ".join(missing_parts(run))
    for command in (
        "latentlab ppl",
        "latentlab sample",
        "latentlab separability",
        "latentlab report",
        "latentlab train",
    ):
        assert f"`{command}`" in missing
    page = render_report([run], tmp_path / "out").read_text()
    assert "has not been measured yet" in page
    assert "<code>latentlab ppl</code>" in page


def test_the_last_line_of_stats_may_be_unfinished(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "stats.jsonl").write_text('{"kimg": 1}\n{"kimg": 2}\n{"kim')
    assert [tick["kimg"] for tick in read_run(tmp_path).stats] == [1, 2]
    (tmp_path / "stats.jsonl").write_text('{"kimg": 1}\n{"kim\n{"kimg": 3}\n')
    with pytest.raises(DataError, match="line 2"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("config.json", "{", "not JSON"),
        ("config.json", "[]", "JSON object"),
        ("config.json", '{"generator": 3}', "`generator` is 3"),
        ("previews.npz", "no zip", "not a readable"),
        ("stats.jsonl", "3\n", "one per tick"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: str, match: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=match) as error:
        read_run(tmp_path)
    assert name in str(error.value)


def test_previews_of_another_form_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    np.savez(tmp_path / "previews.npz", samples=np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(DataError, match=r"`samples` is float32 \[2, 8, 8, 3\]; uint8 with 4 axes"):
        read_run(tmp_path)


def test_the_newest_grid_is_taken_by_number(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "grids").mkdir()
    for stem in ("000900", "001000", "000100"):
        Image.new("RGB", (8, 8)).save(tmp_path / "grids" / f"{stem}.png")
    run = read_run(tmp_path)
    assert run.grid is not None
    assert run.grid.stem == "001000"
    assert "Sample grid of" in render_report([run], tmp_path / "out").read_text()


def test_card_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no card\.json; `latentlab classifiers train`"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text('{"attributes": {"Male": 0.9}}')
    with pytest.raises(DataError, match="list of objects"):
        read_card(tmp_path)


# --------------------------------------------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("w", "verdict", "words"),
    [
        (200.0, "lower", "W is 2.0 times straighter than Z (PPL full 400.0 in Z, 200.0 in W); 95 % intervals do not"),
        (
            395.0,
            "open",
            "it is open whether W is straighter than Z (PPL full 400.0 in Z, 395.0 in W); 95 % intervals o",
        ),
        (800.0, "higher", "W is not straighter than Z but 2.0 times more curved (PPL full 400.0 in Z, 800.0 in W)"),
    ],
)
def test_headline_claims_what_the_intervals_allow(runs: list[ReportRun], w: float, verdict: str, words: str) -> None:
    results = [ppl("ppl_zfull", 400.0), ppl("ppl_wfull", w)]
    assert compare(results[1], results[0]).verdict == verdict
    assert words in headline(with_results(runs[0], *results))


def test_unknown_training_images_leave_no_gap(runs: list[ReportRun]) -> None:
    foreign = dataclasses.replace(runs[0], config={"generator": {"origin": "ffhq.pkl"}})
    assert _facts([foreign, runs[0]])["Training images"] == runs[0].dataset
    assert "Training images" not in _facts([foreign])


def test_headline_without_mapping_judges_only_z(runs: list[ReportRun]) -> None:
    assert headline(runs[1]).startswith(
        "faces32-traditional-0 has no mapping network, so only Z can be judged (PPL full"
    )


def test_headline_falls_back_to_what_there_is(runs: list[ReportRun]) -> None:
    end = headline(with_results(runs[0], ppl("ppl_zend", 400.0), ppl("ppl_wend", 100.0)))
    assert "4.0 times straighter than Z (PPL end" in end
    only_ls = headline(with_results(runs[0], separability("ls_z", 0.3), separability("ls_w", 0.1)))
    assert "its attributes separate better in W" in only_ls
    assert "nothing can be said" in headline(with_results(runs[0], ppl("ppl_zend", 400.0)))


def test_headline_gives_both_reasons_where_they_differ(runs: list[ReportRun]) -> None:
    level = [separability("ls_z", 0.2), separability("ls_w", 0.2)]
    text = headline(with_results(runs[0], ppl("ppl_zfull", 400.0), ppl("ppl_wfull", 100.0), *level))
    assert "95 % intervals do not overlap" in text
    assert "it is open in which space" in text
    assert "95 % intervals overlap" in text


def test_missing_values_and_intervals_settle_nothing() -> None:
    z = ppl("ppl_zfull", 400.0)
    assert compare(z, None).verdict == "missing"
    assert compare(z, ppl("ppl_wfull", 100.0).model_copy(update={"value": None})).verdict == "missing"
    assert compare(ppl("ppl_wfull", 100.0, ci95=(None, None)), z).verdict == "open"


def test_fields_that_name_the_space_are_no_difference() -> None:
    z, w = ppl("ppl_zfull", 400.0), ppl("ppl_wfull", 100.0)
    assert differing_fields([z, w]) == {}
    assert differing_fields([z, changed(w, epsilon=1e-3)]) == {"epsilon": ["0.0001", "0.001"]}
    assert set(differing_fields([z, changed(z, interpolation="lerp")])) == {"interpolation"}
    assert differing_fields([z, changed(z, noise="const")]) == {"noise": ["not recorded", "const"]}


def test_unequal_protocols_are_not_compared_and_named(runs: list[ReportRun]) -> None:
    other = changed(ppl("ppl_zfull", 100.0), distance={"name": "lpips-vgg", "sha256": "ab" * 32})
    pair = [runs[0], with_results(runs[1], other)]
    found = protocol_warnings(main_rows(pair))
    assert [warning.column for warning in found] == ["PPL full"]
    assert list(found[0].fields) == ["distance between images"]
    assert found[0].fields["distance between images"]["lpips-vgg"] == ["faces32-traditional-0, Z"]
    assert len(found[0].fields["distance between images"]["lpips-squeeze"]) == 2
    crossed = [check for check in ordering_checks(pair) if "traditional" in check.here]
    assert crossed
    assert {check.verdict for check in crossed} == {"not comparable"}


def test_orderings_of_the_paper(runs: list[ReportRun]) -> None:
    checks = ordering_checks(runs)
    assert {(check.column, check.verdict) for check in checks} == {
        ("PPL full", "holds"),
        ("PPL end", "holds"),
        ("Separability", "holds"),
    }
    assert len(checks) == 6
    worse = with_results(runs[0], ppl("ppl_zfull", 400.0), ppl("ppl_wfull", 900.0))
    assert {check.verdict for check in ordering_checks([worse, runs[1]])} == {"does not hold"}
    assert ordering_checks([runs[1]]) == []


@pytest.mark.parametrize(
    ("depth", "against_z", "against_traditional"),
    [(8, "664.9", "234.0 against 412.0"), (1, "–", "219.9 against 412.0"), (3, "–", "–")],
)
def test_orderings_stand_beside_the_papers_numbers_of_as_deep_mappings(
    tmp_path: Path, runs: list[ReportRun], depth: int, against_z: str, against_traditional: str
) -> None:
    shallow = read_run(write_run(tmp_path / "other", depth=depth, results=style_results()))
    own, crossed = (check for check in ordering_checks([shallow, runs[1]]) if check.column == "PPL full")
    assert "in no table" in own.claim
    assert own.paper.split(" against ")[-1] == against_z
    assert crossed.paper == against_traditional


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_every_format_says_whose_numbers_of_the_released_network_are(
    tmp_path: Path, runs: list[ReportRun], form: str
) -> None:
    text = " ".join(render_report(runs, tmp_path / "out", formats=[form]).read_text("utf-8").split())
    said = RELEASED_NOTE.replace("’", "'") if form == "tex" else RELEASED_NOTE
    assert text.count(said) == 2  # below the main table and below the orderings


def test_generators_trained_on_different_images_are_not_ordered(runs: list[ReportRun]) -> None:
    config = {**runs[1].config, "dataset": {"name": "celeba32", "fingerprint": "ff"}}
    other = dataclasses.replace(runs[1], config=config, stats=runs[1].stats[:60])
    crossed = [check for check in ordering_checks([runs[0], other]) if "traditional" in check.here]
    assert {(check.verdict, check.reason) for check in crossed} == {("not comparable", "trained on different images")}
    images, length = unequal_training([runs[0], other])
    assert "different images" in images
    assert "different numbers of images (faces32-style-8: 60,000; faces32-traditional-0: 30,000)" in length
    assert unequal_training(runs) == []


def test_mixed_networks_are_named(runs: list[ReportRun]) -> None:
    other = ppl("ppl_wfull", 100.0, network=NetworkName(name="runs/x", sha256="cd" * 32))
    assert "cdcdcdcdcdcd (PPL full in W)" in mixed_networks(with_results(runs[0], *runs[0].results, other))
    assert mixed_networks(runs[0]) == ""


def test_substitutes_are_named_and_the_papers_own_are_not(runs: list[ReportRun], card: dict[str, Any]) -> None:
    text = " ".join(substitutes(runs, [card]))
    for words in ("faces32", "lpips-squeeze", "one shared network with 40 outputs", "32 pixels wide", "20,000"):
        assert words in text
    config = {**runs[0].config, "dataset": {"name": "ffhq"}}
    exact = changed(
        ppl("ppl_wfull", 200.0, num_samples=100_000), distance={"name": "lpips-vgg"}, image_size=256, crop="face"
    )
    separate = {**card, "trunk": "separate", "dataset": {"name": "CelebA-HQ"}}
    assert substitutes([with_results(dataclasses.replace(runs[0], config=config), exact)], [separate]) == []


def test_published_numbers_have_the_published_order() -> None:
    rows = {(row.arch, row.depth, row.space): row for row in TABLE_4}
    assert len(rows) == 7
    assert rows["traditional", 8, "z"].ls == 170.29
    assert rows["style", 8, "w"].ppl_full == 234.0
    for ordering in ORDERINGS:
        depths = [(8 if slot.mapped else 0) for slot in (ordering.lower, ordering.upper)]
        lower, upper = ordering.lower, ordering.upper
        pair = published_pair((lower.arch, depths[0], lower.space), (upper.arch, depths[1], upper.space))
        assert pair is not None
        for number_of in ("ppl_full", "ppl_end", "ls"):
            assert getattr(pair[0], number_of) < getattr(pair[1], number_of), ordering.claim
    assert {row.label for row in RELEASED_NETWORK} == {"Style-based 8"}


# ------------------------------------------------------------------------------------------ tables and numbers


def test_numbers_keep_about_four_digits() -> None:
    shown = {
        3.7894: "3.79",
        41.234: "41.23",
        412.34: "412.3",
        12345.6: "12,346",
        0.01234: "0.0123",
        2.5e7: "2.50 × 10⁷",
    }
    assert {value: number(value) for value in shown} == shown
    assert [number(None), number(math.nan), number(math.inf)] == ["–"] * 3
    assert interval((99.5, 101.25), like=100.0) == "[99.5, 101.2]"
    assert interval((0.1, 412.0), like=300.0) == "[0.1, 412.0]"
    assert interval((None, 1.0)) == interval(None) == ""


def test_small_numbers_keep_three_digits() -> None:
    shown = {0.5: "0.500", 0.0499: "0.0499", 0.01146: "0.0115", 0.00049: "0.000490", 1e-4: "0.000100"}
    shown |= {9.99e-5: "9.99 × 10⁻⁵", -0.0118: "-0.0118", -2.3e-6: "-2.30 × 10⁻⁶", 0.0: "0.000"}
    assert {value: number(value) for value in shown} == shown
    assert f"{number(0.0118)} {interval((0.0113, 0.0123), like=0.0118)}" == "0.0118 [0.0113, 0.0123]"
    assert interval((0.0, 3e-5), like=2e-5) == "[0.000, 3.00 × 10⁻⁵]"
    assert interval((-0.00031, 0.00042), like=0.0) == "[-0.000310, 0.000420]"
    assert [number(-0.0), number(-0.0001, like=0.5)] == ["0.000"] * 2


def test_small_helpers() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": {}}) == {"a.b.c": 1, "d": {}}
    assert [listing([]), listing(["a"]), listing(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert [Scale(0, 10).percent(value) for value in (-1, 5, 20)] == [0, 50, 100]
    assert Scale(1, 100, log=True).percent(10) == 50


def test_attributes_are_sorted_by_what_w_gains(runs: list[ReportRun]) -> None:
    rows = attribute_rows(runs[0])
    gains = [row.difference for row in rows if row.difference is not None]
    assert gains == sorted(gains, reverse=True)
    assert len(rows) == 40
    assert (rows[-1].name, rows[-1].valid) == ("Bald", False)


def test_main_table_says_what_w_is_without_a_mapping(runs: list[ReportRun]) -> None:
    table = main_table(runs)
    assert list(table["space"]) == ["Z", "W", "Z", "W"]
    assert table["PPL full"][3] == "no mapping network: W is Z, normalised"
    assert [table[name][3] for name in ("PPL end", "Separability")] == [None, None]
    assert "over 39 of 40 valid attributes: not comparable with numbers over other attributes" in str(
        table["Separability"][0]
    )
    assert str(table["PPL full"][1]) == "196.4 [188.4, 204.4] n = 20,000"


def test_tidy_table_keeps_full_precision(runs: list[ReportRun]) -> None:
    table = tidy([with_results(runs[0], ppl("ppl_zfull", 400.123456789))])
    assert table["value"][0] == 400.123456789
    assert len(tidy(runs)) == 9


def test_markdown_cells_are_harmless() -> None:
    text = to_markdown(SectionTable("t", pd.DataFrame({"a|b": ["<script>", "two\nlines", ""]})))
    assert text.splitlines() == ["| a\\|b |", "| --- |", "| &lt;script&gt; |", "| two lines |", "| – |"]


# ------------------------------------------------------------------------------------------ pictures and charts


def test_strip_and_tile_keep_every_image_whole() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert strip(images)[0, ::2, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert tile(images)[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    seven = tile(np.concatenate([images, images[:1]]))
    assert seven[::2, ::2, 0].tolist() == [[0, 1, 2, 3], [4, 5, 0, 128]]


def test_pictures_are_enlarged_by_whole_factors() -> None:
    small = picture(np.zeros((32, 288, 3), np.uint8), "x")
    assert (small.width, small.scale, small.narrow_scale, small.fits_narrow) == (288, 2, 1, True)
    grey = picture(np.full((8, 8, 1), 77, np.uint8), "x")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(grey.uri.split(",")[1]))))
    assert decoded.tolist() == [[77] * 8] * 8
    huge = picture(np.zeros((16, 5000, 3), np.uint8), "x")
    assert (huge.width, huge.fits) == (1667, False)


def test_charts_take_colours_from_the_style_sheet_and_leave_no_state(runs: list[ReportRun]) -> None:
    before = dict(matplotlib.rcParams)
    drawn = distance_histogram(runs[0].shown["ppl_zfull"], runs[0].shown["ppl_wfull"], name='a "b" <c>')
    assert drawn is not None
    svg = drawn.inline
    assert svg.startswith('<svg class="chart" role="img" aria-label="a &#34;b&#34; &lt;c&gt;')
    assert "var(--z)" in svg
    assert "var(--w)" in svg
    assert not any(colour in svg for colour in VARIABLES)
    assert "<g id=" not in svg
    assert drawn.pdf.startswith(b"%PDF")
    assert ElementTree.fromstring(drawn.svg).tag.endswith("svg")
    assert all(colour in drawn.svg.decode() for colour in (Z, W))
    assert dict(matplotlib.rcParams) == before
    assert distance_histogram(ppl("ppl_zfull", 1.0, details={}), None, name="x") is None


def test_training_charts_survive_gaps() -> None:
    stats = [{"kimg": 1, "loss_g": None, "loss_d": 1.0}, {"kimg": 2, "loss_g": math.nan}, {"loss_g": 3.0}]
    assert [title for title, _ in training_charts(stats, "x")] == ["Losses"]
    assert training_charts([], "x") == []


# ------------------------------------------------------------------------------------------------ the page


class Page(html.parser.HTMLParser):
    """Collects what the tests ask about a page, and checks that elements nest."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "circle", "path", "use", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_complete_in_itself(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.found:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, address)
    assert "url(http" not in text
    assert "@import" not in text
    assert sorted(path.name for path in report.parent.iterdir()) == ["index.html", "tables.csv", "tables.md"]
    assert len(text) < 2_000_000


def test_every_picture_is_described_and_every_link_arrives(report: Path) -> None:
    found = Page(report.read_text(encoding="utf-8")).found
    assert all(attributes.get("alt") for tag, attributes in found if tag == "img")
    charts = [attributes for tag, attributes in found if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 1 + 2 * 2 + 2 * 4
    assert all(attributes.get("aria-label") for attributes in charts)
    ids = [attributes["id"] for _, attributes in found if attributes.get("id")]
    targets = {attributes["href"] for tag, attributes in found if tag == "a"}
    assert {target for target in targets if target.startswith("#")} <= {f"#{name}" for name in ids}
    assert len(ids) == len(set(ids))
    assert all(
        attributes.get("download") for tag, attributes in found if tag == "a" and attributes["href"].startswith("data:")
    )
    assert [tag for tag, _ in found].count("h1") == 1


@pytest.mark.parametrize(
    "words",
    [
        "For faces32-style-8, W is 2.1 times straighter than Z",
        "Networks were trained for only 60,000 images; faces are blurry.",
        "no mapping network: W is Z, normalised",
        "over 39 of 40 valid attributes: not comparable with numbers over other attributes",
        "left out of the score: only 3 of 20,000 images have it",
        "in place of the paper’s 40 separate networks",
        "attributes are weak (balanced accuracy below 0.7)",
        "Not comparable with the numbers of this report.",
        "arXiv 1812.04948",
        "training.minibatch.32",
        "lpips-squeeze, in place of LPIPS with VGG16",
        "prefers-color-scheme: dark",
    ],
)
def test_the_page_says(report: Path, words: str) -> None:
    assert words in report.read_text(encoding="utf-8")


def test_tables_files(report: Path) -> None:
    with (report.parent / "tables.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9
    assert float(lines[0]["value"]) == 412.3
    markdown = (report.parent / "tables.md").read_text(encoding="utf-8")
    assert "| faces32-style-8 | 8 | W | 196.4 [188.4, 204.4] n = 20,000 |" in markdown


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "<script>alert('$x_1$ 名')<", results=style_results()[:1], stats=False)
    text = render_report([read_run(folder)], tmp_path / "out", title="<b>&", notes=["<i>"]).read_text(encoding="utf-8")
    Page(text)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b>&<" not in text
    assert "<i>" not in text
    assert "<script>" not in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")


def test_runs_of_one_name_go_by_their_paths(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / parent / "same", results=style_results()[:1], stats=False) for parent in ("a", "b")]
    text = render_report([read_run(folder) for folder in folders], tmp_path / "out").read_text(encoding="utf-8")
    assert all(str(folder) in text for folder in folders)


# ------------------------------------------------------------------------------------------- writing it


def bare_run(folder: Path) -> ReportRun:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return read_run(folder)


def test_no_runs_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs"):
        render_report([], tmp_path / "out")


def test_a_taken_folder_is_left_as_it_is(tmp_path: Path) -> None:
    run, out = bare_run(tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="left as it is"):
            render_report([run], out, overwrite=overwrite)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_only_a_whole_report_is_replaced(tmp_path: Path) -> None:
    run, out = bare_run(tmp_path / "run"), tmp_path / "out"
    render_report([run], out, title="first")
    with pytest.raises(OutputExistsError):
        render_report([run], out, title="second")
    assert "second" in render_report([run], out, title="second", overwrite=True).read_text(encoding="utf-8")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"notes\.txt, which no report wrote"):
        render_report([run], out, title="third", overwrite=True)
    assert "second" in (out / "index.html").read_text(encoding="utf-8")


def test_a_failed_swap_brings_the_earlier_report_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out = bare_run(tmp_path / "run"), tmp_path / "out"
    render_report([run], out, title="first")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "fresh":
            raise OSError("disk gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk gone"):
        render_report([run], out, title="second", overwrite=True)
    monkeypatch.undo()
    assert "first" in (out / "index.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_the_largest_path_lengths_are_shown_with_the_images_around_them(runs, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(runs[0].folder, folder)
    with h5py.File(folder / "pairs.h5", "w") as file:
        group = file.create_group("ppl_wfull")
        group["lengths"] = np.arange(20, dtype=np.float32)
        group["largest"] = np.array([19, 18])
        group["images"] = np.zeros((2, 5, 8, 8, 3), np.uint8)
        group.attrs["value"] = 4.0
    html = render_report([read_run(folder)], tmp_path / "out").read_text(encoding="utf-8")
    assert "Where the latent space tears: Perceptual path length, W, full, 4.50 to 4.75 times the mean" in html
    assert "images around the 2 largest of all lengths" in html
    (folder / "pairs.h5").write_bytes(b"no")
    with pytest.raises(DataError, match="is no file of pairs"):
        read_run(folder)
