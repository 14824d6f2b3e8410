"""The report's page as Chromium shows it: nothing broken, too wide or too faint, and all of it by keyboard."""

import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from headless import look, needs_browser
from PIL import Image
from test_report import separability, style_results, traditional_results, write_card, write_run
from test_report_disentanglement import number as disentangled
from test_report_measurements import fid

from latentlab.errors import LatentLabError
from latentlab.report import Measured, Section, SectionFigure, SectionTable, browser, read_card, read_run, render_report
from latentlab.report.charts import VARIABLES

pytestmark = needs_browser
LONG = "a-generator-whose-name-is-much-longer-than-a-telephone-is-wide-and-has-no-blank-in-it"


def write_figures(folder: Path, sha256: str = "ab" * 32) -> None:
    """A folder as `latentlab figures` leaves it, with one picture that is wide."""
    folder.mkdir()
    Image.effect_noise((1800, 300), 60).convert("RGB").save(folder / "mixing.png")
    figure = {"name": "mixing", "file": "mixing.png", "width": 1800, "height": 300, "settings": {}}
    figure |= {"title": "Style mixing", "caption": "Rows of sources A, columns of sources B."}
    listing = {"schema_version": 1, "network": {"name": "x", "sha256": sha256}, "figures": [figure], "left_out": []}
    (folder / "figures.json").write_text(json.dumps(listing))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report with everything that a report can show."""
    root = tmp_path_factory.mktemp("looked-at")
    disentanglement = [disentangled("mig_z", 0.1), disentangled("mig_w", 0.3)]
    results = [*style_results(), *disentanglement, fid("fid1k", 77.7, num_samples=1000)]
    style = write_run(root / LONG, results=results)
    write_figures(style / "figures")
    other = separability("ls_z", 0.3, invalid=("Bald", "Blurry"))
    traditional = write_run(root / "plain", depth=0, styles=False, results=[*traditional_results(), other])
    means = pd.DataFrame({"generator": ["b", "a"], "PPL": [Measured(9.5, (9, 10), 5), Measured(100.0, (90, 110), 5)]})
    chart = read_chart(style)
    section = Section(
        "Over seeds",
        "over-seeds",
        ["Five trainings [@karras2019style]."],
        [SectionTable("Means", means, ["W is straighter."])],
        [SectionFigure("Curves", "curves of training", chart=chart)],
        ["Few seeds."],
    )
    cards = [read_card(write_card(root / "classifiers"))]
    runs = [read_run(style), read_run(traditional)]
    return render_report(runs, root / "out", cards=cards, notes=["Short."], sections=[section]).read_text("utf-8")


def read_chart(run: Path) -> Any:
    from latentlab.report.figures import training_charts

    return training_charts(read_run(run).stats, "x")[0][1]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_whole_on_a_telephone_and_on_a_desk(page: str, dark: bool) -> None:
    opened = "for (const one of page.querySelectorAll('details')) one.open = true;"
    views = look(page, dark=dark, act=opened)
    assert [(view["width"], view["dark"]) for view in views] == [(390, dark), (1440, dark)]
    for view in views:
        assert view["errors"] == []
        assert view["console"] == []
        assert view["overflow"] == []
        assert view["faint"] == []
        assert view["unnamed"] == []
        assert view["loaded"] == []
        levels = view["levels"]
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))


BROKEN = {
    "errors": "<script>nothing();</script>",
    "console": "<script>console.warn('oh')</script>",
    "overflow": '<p style="width: 3000px">wide</p>',
    "faint": '<p style="color: #aaa; background: #fff">faint</p>',
    "unnamed": '<button type="button"></button>',
    "loaded": '<img alt="far" src="https://latentlab.invalid/x.png">',
}


def test_what_is_broken_is_found(page: str) -> None:
    """Each of these would be seen: the page's own test cannot pass by looking away."""
    main = page.replace("img-src data:;", "img-src data: https:;").replace(
        "</main>", f"{''.join(BROKEN.values())}</main>"
    )
    (view,) = look(main, widths=(390,))
    for name in BROKEN:
        assert view[name], name
    (forbidden,) = look(page.replace("</main>", f"{BROKEN['loaded']}</main>"), widths=(390,))
    assert any("forbidden: https://latentlab.invalid/x.png" in error for error in forbidden["errors"])


SORT = """
const table = [...page.querySelectorAll("table")].find((one) => one.caption?.textContent === "Means");
const button = table.querySelectorAll("th button")[1];
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
const order = () => [button.parentElement.ariaSort, ...names()];
const before = order();
button.focus();
button.click();
const once = order();
button.click();
return { before, once, twice: order(), buttons: page.querySelectorAll("th button").length };
"""


def test_tables_are_sorted_by_number_and_say_so(page: str) -> None:
    (view,) = look(page, widths=(1440,), act=SORT)
    acted = view["acted"]
    assert acted["before"] == [None, "b", "a"]
    assert acted["once"] == ["descending", "a", "b"]
    assert acted["twice"] == ["ascending", "b", "a"]
    assert acted["buttons"] > 40


ENLARGE = """
const figures = [...page.querySelectorAll("figure")];
const wide = figures.find((one) => one.dataset.title.endsWith("Style mixing"));
const dialog = page.getElementById("large");
const button = wide.querySelector(".tools button");
button.focus();
button.click();
const shown = dialog.querySelectorAll("img").length;
const [focus, open] = [page.activeElement.textContent, dialog.open];
page.activeElement.click();
await new Promise((done) => setTimeout(done, 50));
return { shown, focus, open, title: dialog.querySelector("h2").textContent, closed: !dialog.open,
         back: page.activeElement === button, buttons: figures.every((one) => one.querySelector(".tools button")) };
"""


def test_figures_open_large_and_the_focus_comes_back(page: str) -> None:
    (view,) = look(page, widths=(390,), act=ENLARGE)
    acted = view["acted"]
    assert (acted["shown"], acted["focus"], acted["open"]) == (1, "Close", True)
    assert acted["title"] == f"{LONG}: Style mixing"
    assert (acted["closed"], acted["back"], acted["buttons"]) == (True, True, True)
    (opened,) = look(page, widths=(390,), act=ENLARGE.partition("const shown")[0])
    assert opened["overflow"] == []


PICTURES = """
return [...page.querySelectorAll("figure img.picture")].map((one) => {
  const links = [...one.closest("figure").querySelectorAll(".tools a")];
  const link = links.find((found) => found.href === one.src);
  return [link?.download ?? null, link?.firstChild.textContent ?? null];
});
"""


def test_every_picture_can_be_downloaded_and_is_in_the_page_once(page: str) -> None:
    (view,) = look(page, widths=(390,), act=PICTURES)
    found = view["acted"]
    assert len(found) == 12
    assert [None, None] not in found
    assert [f"{LONG}-style-mixing"[:80].rstrip("-") + ".png", "PNG"] in found
    assert ["plain-pair-1-z.png", "PNG 1"] in found
    assert not re.findall(r'href="data:image/(?:png|jpeg)', page)


def test_links_of_the_contents_arrive_and_charts_have_the_themes_colours(page: str) -> None:
    act = """
    const links = [...page.querySelectorAll(".toc a")];
    const style = view.getComputedStyle(page.documentElement);
    return { missing: links.filter((one) => !page.querySelector(one.hash)).length, links: links.map((one) => one.hash),
             sections: [...page.querySelectorAll("main > section > h2")].map((one) => "#" + one.id),
             first: page.querySelector("a[href]").className,
             colours: Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue("--" + name)])) };
    """.replace("NAMES", json.dumps(list(VARIABLES.values())))
    (view,) = look(page, widths=(1440,), act=act)
    acted = view["acted"]
    assert acted["links"] == ["#answer", *acted["sections"]]
    assert (acted["missing"], acted["first"]) == (0, "skip")
    assert acted["colours"] == {variable: colour for colour, variable in VARIABLES.items()}


# ------------------------------------------------------------------------------------------------------------ PDF


def test_the_pdf_is_the_page_printed(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "style-8", results=style_results()))
    out = render_report([run], tmp_path / "out", formats=["pdf"])
    assert out == (tmp_path / "out" / "report.pdf").resolve()
    content = out.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type ?/Page\b", content)) > 3
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.pdf", "tables.csv"]
    again = render_report([dataclasses.replace(run, stats=[])], out.parent, formats=["html", "pdf"], overwrite=True)
    assert again.name == "index.html"
    assert len(out.read_bytes()) < len(content)


def test_a_browser_that_fails_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find_browser", lambda: "/bin/false")
    run = read_run(write_run(tmp_path / "style-8", results=style_results()[:1]))
    with pytest.raises(LatentLabError, match="/bin/false did not print the report: it said nothing"):
        render_report([run], tmp_path / "out", formats=["pdf"])
    assert not (tmp_path / "out").exists()
