"""What docs/report.md says: its code runs, its commands have the options that they use, its formats are those there."""

import re
import shlex
from pathlib import Path

import typer
from PIL import Image
from test_report import style_results, traditional_results, write_card, write_run

from latentlab.cli import app
from latentlab.report import DOCUMENTS

PAGE = (Path(__file__).parent.parent / "docs" / "report.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_its_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs/faces32-style-8", results=style_results())
    write_run(tmp_path / "runs/faces32-traditional-0", depth=0, styles=False, results=traditional_results())
    write_card(tmp_path / "classifiers/shared-32")
    Image.new("RGB", (20, 20)).save("seeds.png")
    (code,) = blocks("python")
    exec(compile(code, "docs/report.md", "exec"), {})
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "Means over seeds" in page
    assert (tmp_path / "report/report.tex").is_file()


def test_its_commands_have_these_options():
    commands = typer.main.get_command(app).commands
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        program, command, *words = shlex.split(line)
        assert program == "latentlab"
        commands[command].make_context(command, words, resilient_parsing=False)


def test_its_formats_are_those_there():
    table = PAGE.partition("| `--format` | files |")[2].partition("\n\n")[0]
    named = dict(re.findall(r"^\| `(\w+)`[^|]*\| `([^`]+)`", table, re.MULTILINE))
    assert named == DOCUMENTS
