"""What a report says of single attributes: what was open, what planes tell of it, and which say nothing."""

from pathlib import Path

import pytest
from test_report import with_results, write_run
from test_report_comparing import attribute, scored
from test_report_formats import links

from latentlab.report import ReportRun, read_run, render_report
from latentlab.report.rows import attribute_rows
from latentlab.report.tables import attribute_table

COMMON = attribute("Smiling", 10_000, 0.4)
NO_PLANE = attribute("Brown_Hair", 500, 1.0)
FEW = attribute("Eyeglasses", 2, 0.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("runs")
    flat = write_run(root / "flat", depth=0, styles=False, results=[])
    return [read_run(write_run(root / "style-8", results=[])), read_run(flat)]


def test_what_a_plane_tells_is_measured_by_what_was_open(runs: list[ReportRun]) -> None:
    rows = {row.name: row for row in attribute_rows(with_results(runs[1], scored("ls_z", COMMON, NO_PLANE, FEW)))}
    assert rows["Smiling"].entropy == pytest.approx(0.971, abs=1e-3)
    assert rows["Smiling"].told("z") == pytest.approx(0.6)
    assert rows["Brown_Hair"].told("z") == 0
    assert [rows["Smiling"].told("w"), rows["Smiling"].few, rows["Brown_Hair"].few] == [None, "", ""]
    assert rows["Eyeglasses"].few == "only 2 of the rarer class"


@pytest.mark.parametrize(("rarer", "marked"), [(63, True), (64, True), (65, False)])
def test_attributes_of_no_more_samples_than_dimensions_are_marked(
    runs: list[ReportRun], rarer: int, marked: bool
) -> None:
    row = attribute("Bald", rarer, 0.5)
    (found,) = attribute_rows(with_results(runs[1], scored("ls_z", row)))
    assert bool(found.few) is marked
    (unknown,) = attribute_rows(
        with_results(runs[1], scored("ls_z", row).model_copy(update={"details": {"attributes": [row]}}))
    )
    assert unknown.few == ""


def test_attributes_that_are_left_out_are_not_marked_too(runs: list[ReportRun]) -> None:
    (found,) = attribute_rows(with_results(runs[1], scored("ls_z", attribute("Bald", 3, None))))
    assert (found.few, found.remarks, found.told("z")) == ("", [], None)


def test_every_format_says_what_was_open_and_which_planes_mean_nothing(runs: list[ReportRun], tmp_path: Path) -> None:
    run = with_results(runs[1], scored("ls_z", COMMON, NO_PLANE, FEW, attribute("Bald", 3, None)))
    table = attribute_table(attribute_rows(run))
    assert [name for name in table.columns if "W" in name] == []
    assert list(table["note"]) == ["", "", "only 2 of the rarer class", "left out: all kept samples are of one class"]
    out = render_report([run], tmp_path / "out", formats=["html", "md", "tex"]).parent
    page = (out / "index.html").read_text(encoding="utf-8")
    markdown, document = ((out / f"report.{form}").read_text(encoding="utf-8") for form in ("md", "tex"))
    assert "1 bit if it tells nothing" not in page
    for text in (page, markdown, document):
        assert "no more samples of it than the space has dimensions" in " ".join(text.split())
        assert "only 2 of the rarer class" in text
    assert "| Smiling | 40.0 % | 0.971 | 0.388 [0.387, 0.389] | 60.0 % | 80.0 % | – |" in markdown
    csv = links(page)["attributes-of-flat.csv"].decode()
    assert csv.startswith("attribute,share,H (bit),H Z (bit),H Z (bit) low,H Z (bit) high,told Z,accuracy Z,note\n")
    plain = render_report([with_results(runs[1], scored("ls_z", COMMON))], tmp_path / "plain")
    assert "than the space has dimensions" not in plain.read_text(encoding="utf-8")
