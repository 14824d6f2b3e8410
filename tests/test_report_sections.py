"""Sections of one's own in a report, and the pictures of a run's figures folder."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_report import bare_run, style_results, traditional_results, write_run
from test_report_browser import write_figures
from test_report_formats import over_seeds, png

from latentlab.errors import DataError, UsageError
from latentlab.report import ReportRun, Section, SectionFigure, SectionTable, read_run, render_report
from latentlab.report.contents import PICTURE_BYTES
from latentlab.report.pictures import fitted, limit, picture_file


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    root = tmp_path_factory.mktemp("runs")
    style = write_run(root / "style-8", results=style_results())
    write_figures(style / "figures")
    return [read_run(style), read_run(write_run(root / "flat", depth=0, styles=False, results=traditional_results()))]


@pytest.fixture(scope="module")
def out(runs: list[ReportRun], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sections")
    return render_report(runs, root / "out", sections=[over_seeds(png())], formats=["html", "md"]).parent


def test_sections_of_ones_own_are_in_the_contents_and_the_page(out: Path) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    contents = page.split('<nav class="toc"')[1].split("</nav>")[0]
    assert re.findall(r'href="#([\w-]+)"', contents)[:3] == ["answer", "numbers", "over-seeds"]
    own = page.split('id="over-seeds"')[1].split("</section>")[0]
    for words in (
        "Five seeds are few.",
        '<code>latentlab study</code> (<a href="#ref-karras2019style">Karras et al., 2019</a>; ',
        'data-sort="196.4321"',
        '<span class="under">n = 5</span>',
        'alt="red squares"',
        "All red.",
        'aria-label="a line"',
        'download="over-seeds-means-over-seeds.csv"',
        'download="over-seeds-a-line.pdf"',
        "W is straighter in every seed (",
    ):
        assert words in own, words
    assert page.index('id="numbers"') < page.index('id="over-seeds"') < page.index('id="attributes"')


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"anchor": "Over seeds"}, "another form than small letters"),
        ({"anchor": "numbers"}, "is taken"),
        ({"paragraphs": ["as in [@nobody2020]"]}, "cites 'nobody2020', which is none of karras2019style"),
        ({"figures": [SectionFigure("f", "", png=b"x")]}, "must have an alternative text"),
        ({"figures": [SectionFigure("f", "alt")]}, "either png or chart"),
        ({"tables": [SectionTable("t", pd.DataFrame({"a": [1]}))] * 2}, "have one title"),
        ({"tables": [SectionTable("t", pd.DataFrame([[1, 2]], columns=["a", "a"]))]}, "have the same name"),
    ],
)
def test_sections_that_cannot_be_shown_are_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    run = bare_run(tmp_path / "run")
    section = Section(**({"title": "t", "anchor": "own"} | changes))
    with pytest.raises(UsageError, match=match):
        render_report([run], tmp_path / "out", sections=[section])
    assert not (tmp_path / "out").exists()


def test_figures_of_a_run_are_shown_with_their_captions(out: Path, runs: list[ReportRun]) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    own = page.split('id="figures"')[1].split("</section>")[0]
    assert 'alt="Rows of sources A, columns of sources B."' in own
    assert re.findall(r'<img data-file="([^"]+)"', own) == ["style-8-style-mixing.png"]
    assert "show another network" not in page
    original = (runs[0].folder / "figures" / "mixing.png").read_bytes()
    assert (out / "pictures" / "figures-style-8-style-mixing.png").read_bytes() == original


def test_figures_of_another_network_are_said_to_be(tmp_path: Path) -> None:
    run = write_run(tmp_path / "style-8", results=style_results()[:1])
    write_figures(run / "figures", sha256="cd" * 32)
    words = "The figures of style-8 show another network (cdcdcdcdcdcd) than the numbers belong to"
    assert words in render_report([read_run(run)], tmp_path / "out").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("listing", "match"),
    [
        ("{", "does not have the form that `latentlab figures` writes"),
        ('{"figures": [{"name": "x"}]}', "KeyError"),
        ('{"figures": [{"name": "x", "title": "x", "caption": "x", "file": "../config.json"}]}', "names config.json"),
    ],
)
def test_broken_folders_of_figures_are_named(tmp_path: Path, listing: str, match: str) -> None:
    run = write_run(tmp_path / "run", results=[])
    (run / "figures").mkdir()
    (run / "figures" / "figures.json").write_text(listing)
    with pytest.raises(DataError, match=match):
        read_run(run)


def test_large_pictures_become_small_enough_and_small_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    shown = picture_file(path, "x")
    assert shown.content == path.read_bytes()
    assert fitted(shown, len(shown.content)) is shown
    small = fitted(shown, 100_000)
    assert len(small.content) <= 100_000
    assert (small.ending, small.width, small.alt) == ("jpg", 400, "x")
    assert small.uri.startswith("data:image/jpeg;base64,/9j/")
    path.write_bytes(b"\x89PNG no")
    with pytest.raises(DataError, match=r"noise\.png is not a readable image"):
        picture_file(path, "x")


def test_room_that_small_pictures_leave_is_for_the_large_ones() -> None:
    assert limit([10, 20, 500, 900], 1000) == 485
    assert limit([10, 20, 30], 1000) == 1000
    assert limit([600, 600], 1000) == 500
    assert limit([], 1000) == 1000


def test_many_large_pictures_share_what_the_page_has_room_for(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1500, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    figures = [SectionFigure(f"noise {number}", "noise", png=path) for number in range(4)]
    assert 4 * path.stat().st_size > PICTURE_BYTES
    section = Section("Noise", "noise", figures=figures)
    run = bare_run(tmp_path / "run")
    page = render_report([run], tmp_path / "out", sections=[section])
    assert page.stat().st_size < PICTURE_BYTES * 4 / 3 + 500_000
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 4
    path.unlink()
    with pytest.raises(DataError, match=r"noise\.png cannot be read"):
        render_report([run], tmp_path / "other", sections=[section])
