"""Scores over different attributes: compared over those valid in both, and in words where they cannot be."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from test_report import changed, separability, with_results, write_run

from latentlab.report import ReportRun, read_run, render_report
from latentlab.report.common_scores import over_common, score_over
from latentlab.report.comparison import compare, differences
from latentlab.report.orderings import ordering_checks
from latentlab.report.protocol_words import in_words
from latentlab.report.rows import main_rows, protocol_warnings
from latentlab.report.sentences import headline
from latentlab.results import MetricResult

KEPT = 25_000


def attribute(name: str, rarer: int, left: float | None) -> dict[str, Any]:
    """An attribute's row with H(Y) of so many samples of the rarer class; `left` is the share that stays open."""
    share = rarer / KEPT
    before = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    bits = None if left is None else left * before
    row = {"name": name, "valid": left is not None, "entropy_bits": before, "share_positive": share}
    row |= {"reason": None if left is not None else "all kept samples are of one class", "converged": True}
    ends = None if bits is None else [bits - 0.001, bits + 0.001]
    return row | {"conditional_entropy_bits": bits, "ci95": ends, "accuracy": 1 - share / 2, "num_rarer": rarer}


def scored(metric: str, *rows: dict[str, Any], num_dims: int = 64, **protocol: Any) -> MetricResult:
    """A separability of these attributes alone."""
    valid = [row for row in rows if row["valid"]]
    bits = sum(row["conditional_entropy_bits"] for row in valid)
    names = ",".join(row["name"] for row in valid)
    result = separability(metric, 0.2, value=2**bits, ci95=(2 ** (bits - 0.01), 2 ** (bits + 0.01)))
    details = {"attributes": list(rows), "num_valid": len(valid), "num_dims": num_dims}
    settings = result.protocol | {"num_scored": len(valid), "scored_sha256": names.encode().hex()} | protocol
    return result.model_copy(update={"details": details, "protocol": settings})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("runs")
    flat = write_run(root / "flat", depth=0, styles=False, results=[])
    return [read_run(write_run(root / "style-8", results=[])), read_run(flat)]


# ------------------------------------------------------------------------------------------------ attributes in common


def of(metric: str, **left: float | None) -> MetricResult:
    """A separability by the share that stays open of attributes that half of the samples have."""
    return scored(metric, *(attribute(name, KEPT // 2, value) for name, value in left.items()))


def test_scores_are_taken_over_the_attributes_valid_in_both() -> None:
    z, w = of("ls_z", a=0.5, b=0.3, c=0.9), of("ls_w", a=0.2, b=0.1, c=None)
    (one, other), common = over_common([z, w])
    assert common == 2
    assert (one.value, other.value) == (pytest.approx(2**0.8), pytest.approx(2**0.3))
    half = math.sqrt(2) * 0.001
    assert one.ci95 == (pytest.approx(2 ** (0.8 - half)), pytest.approx(2 ** (0.8 + half)))
    assert score_over(z, {"c"}) == (pytest.approx(2**0.9), (pytest.approx(2**0.899), pytest.approx(2**0.901)))
    assert score_over(z, {"x"}) is None
    assert over_common([z, z]) == ([z, z], None)
    assert z.value == pytest.approx(2**1.7)


def test_scores_over_different_attributes_are_compared_over_those_of_both(runs: list[ReportRun]) -> None:
    z, w = of("ls_z", a=0.5, b=0.3, c=0.9), of("ls_w", a=0.2, b=0.9, c=None)
    found = compare(w, z)
    assert (found.verdict, found.common) == ("higher", 2)
    assert found.reason == "95 % intervals do not overlap, over the 2 attributes valid in both"
    assert found.values == (pytest.approx(2**1.1), pytest.approx(2**0.8))
    said = headline(with_results(runs[0], z, w))
    assert "separate worse in W (separability 1.74 in Z, 2.14 in W); 95 % intervals do not overlap, over the 2" in said


def test_nothing_is_compared_without_attributes_in_common_or_by_other_settings() -> None:
    apart = compare(of("ls_z", a=0.5, b=None), of("ls_w", a=None, b=0.5))
    assert (apart.verdict, apart.reason) == ("not comparable", "the scores run over different attributes")
    other = changed(of("ls_w", a=0.5, b=None), num_keep=5, confidence="softmax")
    found = compare(other, of("ls_z", a=0.5, b=0.3))
    assert found.verdict == "not comparable"
    assert found.reason == "protocols differ in confidence and number of samples kept per attribute"
    assert found.values[1] == pytest.approx(2**0.8)


def test_factors_of_disentanglement_metrics_are_not_taken_apart() -> None:
    rows = [{"name": "a", "valid": True}, {"name": "b", "valid": True}]
    one = separability("ls_z", 0.2).model_copy(update={"metric": "mig_z", "details": {"factors": rows}})
    other = one.model_copy(update={"details": {"factors": rows[:1]}})
    assert compare(one, other).verdict == "not comparable"


def test_generators_are_ordered_by_the_attributes_valid_in_both(runs: list[ReportRun]) -> None:
    style = with_results(runs[0], of("ls_z", a=0.6, b=0.6, c=None), of("ls_w", a=0.1, b=0.1, c=None))
    flat = with_results(runs[1], of("ls_z", a=0.2, b=0.2, c=1.0))
    checks = {check.claim: check for check in ordering_checks([style, flat]) if "flat" in check.here}
    (check,) = checks.values()
    assert (check.verdict, check.here) == ("holds", "1.15 (style-8) against 1.32 (flat)")
    assert check.reason.endswith("over the 2 attributes valid in both")
    other = dataclasses.replace(flat, config={**flat.config, "dataset": {"name": "x", "fingerprint": "ff"}})
    (check,) = [check for check in ordering_checks([style, other]) if "flat" in check.here]
    assert (check.verdict, check.reason) == ("not comparable", "trained on different images")


def test_numbers_over_different_attributes_say_what_they_are_over_those_of_all(
    runs: list[ReportRun], tmp_path: Path
) -> None:
    style = with_results(runs[0], of("ls_z", a=0.6, b=0.6, c=None), of("ls_w", a=0.1, b=0.1, c=None))
    flat = with_results(runs[1], of("ls_z", a=0.2, b=0.2, c=1.0))
    said = [row.remarks["Separability"] for row in main_rows([style, flat])]
    assert said[0] == said[1] == "over the 2 of 3 attributes valid in every row"
    assert said[2:] == ["over its 3 valid of 3 attributes; 1.32 [1.32, 1.32] over the 2 valid in every row", ""]
    (warning,) = protocol_warnings(main_rows([style, flat]))
    assert (warning.column, warning.common) == ("Separability", 2)
    assert warning.fields == {
        "attributes left out that are valid elsewhere": {"c": ["style-8, Z", "style-8, W"], "none": ["flat, Z"]}
    }
    out = render_report([style, flat], tmp_path / "out", formats=["html", "md"]).parent
    page, markdown = ((out / name).read_text(encoding="utf-8") for name in ("index.html", "report.md"))
    own = page.split('<h2 id="numbers">')[1].split("</section>")[0]
    for text in (own, markdown.split("## Numbers")[1].split("## Attributes")[0]):
        assert "Separability: the rows run over different attributes." in text
        assert "Comparable are the numbers over the 2 attributes valid in all rows." in text
        assert "scored" not in text
    by_others = with_results(flat, changed(flat.shown["ls_z"], solver="liblinear"))
    (warning,) = protocol_warnings(main_rows([style, by_others]))
    assert (warning.common, next(iter(warning.fields))) == (None, "solver")
    assert "not comparable with numbers over other" in main_rows([style, by_others])[0].remarks["Separability"]


# -------------------------------------------------------------------------------------------------- fields in words


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("distance.name", "distance between images"),
        ("distance.sha256", "checksum of the distance"),
        ("attributes_sha256", "checksum of the attributes"),
        ("num_keep", "number of samples kept per attribute"),
        ("num_attributes", "number of attributes"),
        ("real.crop", "crop of the real images"),
        ("noise_mode", "noise mode"),
        ("factors.classifiers.sha256", "checksum of the classifiers of the factors"),
    ],
)
def test_fields_are_named_in_words(field: str, words: str) -> None:
    assert in_words(field) == words


def test_checksums_are_named_only_where_names_do_not_tell() -> None:
    one = separability("ls_z", 0.2)
    renamed = changed(one, classifiers={"name": "x", "sha256": "2" * 64})
    named = changed(one, classifiers={"name": "shared-32", "sha256": "1" * 64})
    assert differences([named, renamed]) == {"classifiers": ["shared-32", "x"]}
    retrained = changed(one, classifiers={"name": "shared-32", "sha256": "2" * 64})
    assert differences([named, retrained]) == {"checksum of the classifiers": ["1" * 12, "2" * 12]}
