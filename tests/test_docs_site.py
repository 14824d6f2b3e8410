"""The documentation as a site: built without a warning, complete, and loading nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer.main

import latentlab
from latentlab.cli import SECTIONS, app

ROOT = Path(__file__).parent.parent
pytest.importorskip(
    "mkdocs", reason="THE DOCUMENTATION'S SITE IS NOT TESTED: mkdocs is not here (see requirements.lock)"
)
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """What a page loads, its anchors, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.text, self.num_formulas = "", 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        self.num_formulas += (tag, given.get("class")) == ("svg", "formula")
        if tag in LOADING and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given.get(LOADING[tag]) or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site's folder, and what was said while it was built."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pages(built: tuple[Path, str]) -> dict[str, Page]:
    return {path.relative_to(built[0]).as_posix(): Page(path) for path in built[0].rglob("*.html")}


def test_nothing_is_warned_of(built):
    assert "Documentation built" in built[1]
    assert "WARNING" not in built[1].upper()


def test_every_page_of_the_folder_is_there(pages):
    expected = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert expected | {"changelog.html", "404.html"} == set(pages)


def test_pages_load_nothing_from_elsewhere(built, pages):
    loads = [(name, address) for name, page in pages.items() for address in page.loads]
    assert len(loads) > 100
    assert not [load for load in loads if re.match(r"[a-z]*:?//", load[1])]
    styles = [path.read_text(encoding="utf-8") for path in built[0].rglob("*.css")]
    assert styles
    assert not [style for style in styles if re.search(r"(url\(|@import\s*)[\"']?(https?:)?//", style)]


def test_formulas_are_drawn(pages):
    count = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8").count("```math")
    assert pages["concepts.html"].num_formulas == count > 5


def commands(command: Any, path: str) -> list[tuple[str, list[str]]]:
    """Every command's name, with spaces, and its options."""
    options = [name for option in command.params for name in option.opts if name.startswith("--")]
    below = getattr(command, "commands", {})
    found = [(path, options)] if path != "latentlab" else []
    return found + [one for name in below for one in commands(below[name], f"{path} {name}")]


def test_every_command_is_described_with_all_options(pages):
    page = pages["cli.html"]
    found = commands(typer.main.get_command(app), "latentlab")
    assert len(found) > 30
    for name, options in found:
        assert name.replace(" ", "-") in page.anchors, name
        assert not [option for option in options if option not in page.text], name


def test_commands_stand_in_the_order_of_use():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = {part.partition("\n")[0]: tuple(re.findall(r":command: (\w+)", part)) for part in text.split("\n## ")[1:]}
    assert shown == SECTIONS


def test_examples_of_commands_are_code(pages):
    assert "Example:" not in pages["cli.html"].text


def test_every_public_name_is_described(pages):
    assert not [name for name in latentlab.__all__ if f"latentlab.{name}" not in pages["api.html"].anchors]
