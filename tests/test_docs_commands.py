"""Every command of LatentLab's that a page of documentation shows can be given as it stands; the first example runs."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from latentlab.cli import app

ROOT = Path(__file__).parent.parent
COMMANDS: Any = typer.main.get_command(app)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown(page: Path) -> list[list[str]]:
    """The words after `latentlab` of every command in a page's shell blocks, whatever starts it."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removesuffix(" &"), comments=True) for line in lines]
    return [found[found.index("latentlab") + 1 :] for found in words if "latentlab" in found]


def parse(words: list[str]) -> None:
    """Give the words to the command line without running what they ask for."""
    command = COMMANDS
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or words in (["--help"], ["--version"], ["--install-completion"]), words
    if "--help" not in words and not hasattr(command, "commands"):
        command.make_context(command.name, list(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_are_shown(page):
    for words in shown(page):
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"latentlab {shlex.join(words)}: {error}")


def test_there_are_many():
    assert sum(len(shown(page)) for page in PAGES) > 100


def test_an_option_that_does_not_exist_is_noticed():
    with pytest.raises(Exception, match="--nonsense"):
        parse(["data", "show", "faces", "--nonsense"])


def test_the_example_of_the_quickstart_runs(capsys):
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(script, "docs/quickstart.md", "exec"), {})
    assert float(capsys.readouterr().out.split()[0]) > 1
