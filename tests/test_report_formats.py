"""The report as Markdown and LaTeX, its downloads, and sections of one's own in every format."""

import base64
import dataclasses
import io
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image
from test_report import Page, bare_run, ppl, style_results, traditional_results, write_card, write_run
from test_report_browser import write_figures
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.errors import OutputExistsError, UsageError
from latentlab.report import (
    Measured,
    ReportRun,
    Section,
    SectionFigure,
    SectionTable,
    browser,
    read_card,
    read_run,
    render_report,
)
from latentlab.report.charts import Chart, chart
from latentlab.report.prose import latex, latex_prose
from latentlab.report.sections import file_names, slug
from latentlab.report.table_formats import is_numeric, to_csv, to_latex, to_markdown

HOSTILE = "50%_of & #1 {x} \\y ~z^2 <b> [@nobody]"


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def drawing() -> Chart:
    return chart(lambda axes: axes.plot([0, 1], [0, 1]), alt="a line")


def over_seeds(picture: bytes | Path) -> Section:
    means = pd.DataFrame(
        {
            "generator": ["style-8", "traditional-0", "another"],
            "PPL": [Measured(196.4321, (188.4, 204.4), 5, "over 5 seeds"), Measured(531.0, (500.0, None), 3), None],
            "kimg": [60, 60, 25],
            "verdict": ["lower", "", None],
        }
    )
    return Section(
        "Over seeds",
        "over-seeds",
        ["Five trainings by `latentlab study` [@karras2019style, @heusel2017gans]."],
        tables=[SectionTable("Means over seeds", means, ["W is straighter in every seed [@efron1979bootstrap]."])],
        figures=[
            SectionFigure("Samples", "red squares", png=picture, caption="All red."),
            SectionFigure("A line", "a line", chart=drawing()),
        ],
        notes=["Five seeds are few."],
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("runs")
    style = write_run(root / "style-8", results=style_results())
    write_figures(style / "figures")
    return [read_run(style), read_run(write_run(root / "flat", depth=0, styles=False, results=traditional_results()))]


@pytest.fixture(scope="module")
def out(runs: list[ReportRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("formats")
    (root / "red.png").write_bytes(png())
    cards = [read_card(write_card(root / "classifiers"))]
    sections = [over_seeds(root / "red.png")]
    formats = ["md", "html", "tex"]
    document = render_report(runs, root / "out", cards=cards, notes=["50 % short"], sections=sections, formats=formats)
    assert document.name == "report.md"
    return root / "out"


def links(page: str) -> dict[str, bytes]:
    """The files inside a page, by their names."""
    found = {}
    for tag, attributes in Page(page).found:
        if tag == "a" and attributes.get("download"):
            media_type, _, content = str(attributes["href"]).partition(";base64,")
            assert media_type.startswith("data:")
            found[str(attributes["download"])] = base64.b64decode(content)
    return found


# ------------------------------------------------------------------------------------------------------ downloads


def test_the_page_holds_its_tables_charts_and_results(out: Path, runs: list[ReportRun]) -> None:
    files = links((out / "index.html").read_text(encoding="utf-8"))
    numbers = pd.read_csv(io.BytesIO(files["numbers-main-table.csv"]))
    assert numbers["PPL full"][1] == 196.4
    assert (numbers["PPL full low"][1], numbers["PPL full samples"][1]) == (188.4, 20_000)
    assert numbers["PPL full, paper"].tolist()[:2] == [664.8854, 234.0]
    results = json.loads(files["results.json"])
    assert [run["name"] for run in results["runs"]] == ["style-8", "flat"]
    assert len(results["runs"][0]["results"]) == len(runs[0].results)
    assert results["runs"][0]["results"][2]["details"]["percentiles"] == runs[0].results[2].details["percentiles"]
    assert results["classifiers"][0]["name"] == "shared-32"
    assert files["tables.csv"] == (out / "tables.csv").read_bytes()
    assert files["tables.tex"].count(b"\\toprule") == files["tables.tex"].count(b"\\begin{table}") > 10
    svgs = [content for name, content in files.items() if name.endswith(".svg")]
    assert len(svgs) == len([name for name in files if name.endswith(".pdf")]) == 1 + 2 * 2 + 2 * 4 + 1
    for svg in svgs:
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(--" not in svg
    assert all(content.startswith(b"%PDF") for name, content in files.items() if name.endswith(".pdf"))
    assert b"@inproceedings{karras2019style," in files["references.bib"]
    assert b"~\\cite{karras2019style}" in files["methods.tex"]


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", results=[ppl("ppl_zfull", 1.0).model_copy(update={"value": float("nan")})])
    files = links(render_report([read_run(run)], tmp_path / "out").read_text(encoding="utf-8"))
    assert b"NaN" not in files["results.json"]
    assert json.loads(files["results.json"])["runs"][0]["results"][0]["value"] is None


def test_every_table_of_the_page_has_links(out: Path) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    files = links(page)
    assert page.count("<table") == len([name for name in files if name.endswith(".csv")]) - 1  # tables.csv is of all


# -------------------------------------------------------------------------------------------------------- Markdown


def test_markdown_shows_every_section_with_files_that_are_there(out: Path) -> None:
    text = (out / "report.md").read_text(encoding="utf-8")
    assert text.startswith("<!-- LatentLab report -->\n\n# How much does the mapping")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[:3] == ["Answer", "Numbers", "Over seeds"]
    assert heads[-3:] == ["The paper’s numbers, for reference", "Settings", "References"]
    named = re.findall(r"\]\(([^)]+)\)", text)
    assert len(named) == len(set(named)) > 20
    inside = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert set(named) <= inside
    assert {name for name in inside if "/" in name and not name.endswith(".pdf")} == set(named)
    assert "> Five seeds are few." in text
    assert "by `latentlab study` (Karras et al., 2019; Heusel et al., 2017)." in text
    assert "| style-8 | 196.4 [188.4, 204.4] n = 5 over 5 seeds | 60 | lower |" in text
    assert "| traditional-0 | 531.0 n = 3 | 60 | – |" in text
    assert "![red squares](pictures/over-seeds-samples.png)" in text
    assert "* Bradley Efron: Bootstrap Methods: Another Look at the Jackknife." in text


def test_tables_md_has_no_pictures(out: Path) -> None:
    text = (out / "tables.md").read_text(encoding="utf-8")
    assert "| style-8 | 196.4 [188.4, 204.4] n = 5 over 5 seeds | 60 | lower |" in text
    assert "](" not in text


# ----------------------------------------------------------------------------------------------------------- LaTeX


def environments_close(text: str) -> bool:
    """Whether every \\begin has its \\end, and every brace its other one."""
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return not opened and depth == 0


def test_latex_is_a_document_whose_parts_are_there(out: Path) -> None:
    text = (out / "report.tex").read_text(encoding="utf-8")
    assert environments_close(text)
    assert not environments_close(text.replace(r"\end{table}", "", 1))
    pictures = re.findall(r"\\includegraphics\[[^]]*\]\{([^}]+)\}", text)
    assert len(pictures) > 15
    assert all((out / name).is_file() for name in pictures)
    entries = re.findall(r"^@\w+\{(\w+),$", (out / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    cited = {key for keys in re.findall(r"\\cite\{([^}]+)\}", text) for key in keys.split(",")}
    assert cited == set(entries)
    assert environments_close((out / "references.bib").read_text(encoding="utf-8"))
    assert r"\section{Over seeds}" in text
    assert r"style-8 & 196.4$^{a}$ {[}188.4, 204.4{]} & 60 & lower \\" in text
    assert r"$^{a}$ n = 5; over 5 seeds" in text
    assert r"by \texttt{latentlab study}~\cite{karras2019style,heusel2017gans}." in text
    labels = re.findall(r"\\label\{([^}]+)\}", text)
    assert len(labels) == len(set(labels))


def test_rows_of_latex_tables_have_as_many_cells_as_columns(out: Path) -> None:
    text = (out / "report.tex").read_text(encoding="utf-8")
    bodies = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(bodies) > 10
    for columns, body in bodies:
        for row in re.findall(r"^(.*) \\\\$", body, re.MULTILINE):
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1


def test_what_stands_in_place_of_a_number_is_said_below_a_latex_table() -> None:
    content = pd.DataFrame({"network": ["a", "b", "c"], "W": [Measured(2.0), "W is Z", None]})
    text = to_latex(SectionTable("t", content), "x")
    assert r"b & --$^{a}$ \\" in text
    assert r"c & -- \\" in text
    assert r"$^{a}$ W is Z" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="compiles a report: needs pdflatex")
def test_the_latex_compiles_and_nothing_stands_out(out: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(out, tmp_path / "tex")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    said = subprocess.run(command, cwd=folder, capture_output=True, check=False).stdout.decode(errors="replace")
    assert "Output written on report.pdf" in said, said[-2000:]
    assert "Overfull" not in said


def test_no_text_can_break_latex() -> None:
    assert latex(HOSTILE) == (
        r"50\%\_of \& \#1 \{x\} \textbackslash{}y \textasciitilde{}z\textasciicircum{}2 \textless{}b\textgreater{} "
        r"{[}@nobody{]}"
    )
    assert latex("3 × 10⁻⁶ – “so”") == r"3 $\times$ 10$^{-}$$^{6}$ -- ``so''"
    assert latex_prose("`a_b` and [@heusel2017gans] c") == r"\texttt{a\_b} and~\cite{heusel2017gans} c"
    assert latex_prose(f"x {HOSTILE}") == f"x {latex(HOSTILE)}"
    table = SectionTable(HOSTILE, pd.DataFrame({HOSTILE: [HOSTILE, None]}), [HOSTILE])
    assert environments_close(to_latex(table, "x"))
    assert to_latex(table, "x").count(latex(HOSTILE)) == 4


# -------------------------------------------------------------------------------------------------- tables and cells


def test_measured_cells_are_columns_of_a_csv() -> None:
    means = over_seeds(b"").tables[0]
    assert to_csv(means) == (
        "generator,PPL,PPL low,PPL high,PPL samples,PPL note,kimg,verdict\n"
        "style-8,196.4321,188.4,204.4,5,over 5 seeds,60,lower\n"
        "traditional-0,531.0,500.0,,3,,60,\n"
        "another,,,,,,25,\n"
    )
    shares = SectionTable("s", pd.DataFrame({"share": [Measured(0.4567, (0.4, 0.5), share=True), "not measured"]}))
    assert to_csv(shares) == "share,share low,share high,share note\n0.4567,0.4,0.5,\n,,,not measured\n"
    assert to_markdown(shares).splitlines()[2] == "| 45.7 % [40.0, 50.0] |"


def test_columns_are_of_numbers_where_most_of_what_is_there_is_one() -> None:
    means = over_seeds(b"").tables[0].content
    assert [is_numeric(means[name]) for name in means] == [False, True, True, False]
    assert is_numeric(pd.Series(["not measured", Measured(1.0)], dtype=object))
    assert not is_numeric(pd.Series([None, None]))
    assert not is_numeric(pd.Series([True, False]))


def test_names_of_files_are_plain_and_apart() -> None:
    assert [slug("Überall: 3 × W"), slug("名"), slug("a" * 99 + "-b")] == ["uberall-3-w", "x", "a" * 80]
    names = file_names({"a": ["A one", "a-one", "名"], "b": ["名"]})
    assert list(names.values()) == ["a-one", "a-one-2", "a-x", "b-x"]


# ------------------------------------------------------------------------------------------- folders and the command


def test_reports_of_every_format_are_known_and_replaced(tmp_path: Path) -> None:
    run, out = bare_run(tmp_path / "run"), tmp_path / "out"
    section = over_seeds(png())
    for formats in (["md"], ["tex"], ["html"], ["tex", "md"], ["md"]):
        render_report([run], out, formats=formats, sections=[section], overwrite=True)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["pictures", "report.md", "tables", "tables.csv"]
    (out / "pictures" / "mine.png").write_bytes(png())
    with pytest.raises(OutputExistsError, match=r"pictures/mine\.png, which no report wrote"):
        render_report([run], out, overwrite=True)
    assert (out / "report.md").is_file()


def test_unknown_formats_and_missing_browsers_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bare_run(tmp_path / "run")
    for formats in (["html", "docx"], []):
        with pytest.raises(UsageError, match="is no format of a report; there are html, md, tex, pdf"):
            render_report([run], tmp_path / "out", formats=formats)
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    monkeypatch.setattr(browser, "_PLACES", ())
    with pytest.raises(UsageError, match=r"printed by Chromium, Chrome or Edge, and none of them is on the path"):
        render_report([run], tmp_path / "out", formats=["pdf"])
    assert not (tmp_path / "out").exists()


def test_the_command_takes_several_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", results=style_results()[:1], stats=False)
    monkeypatch.setattr("latentlab.previews.refresh_previews", lambda folder, **how: None)
    ended = CliRunner().invoke(app, ["report", str(run), "--format", "tex, md", "--out", "out"])
    assert ended.exit_code == 0, ended.output
    assert [Path(line).name for line in ended.output.split()] == ["report.tex", "report.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "pictures", "references.bib", "report.md", "report.tex", "tables", "tables.csv",
    ]  # fmt: skip
    refused = CliRunner().invoke(app, ["report", str(run), "--format", "word", "--out", "other"])
    assert refused.exit_code == 2


def test_a_study_of_eight_generators_is_rendered_in_seconds(tmp_path: Path, runs: list[ReportRun]) -> None:
    """15 s are allowed; time of the processor is asked for, since others may be at work on it."""
    study = [dataclasses.replace(runs[number % 2], name=f"generator {number}") for number in range(8)]
    begun = time.process_time()
    page = render_report(study, tmp_path / "out")
    assert time.process_time() - begun < 15
    assert page.stat().st_size < 15_000_000
    assert "For generator 6, W is 2.1 times straighter than Z" in page.read_text(encoding="utf-8")
