"""The commands of `latentlab` as mkdocs-click takes them: each an attribute of this module, by its name."""

import re
import textwrap
from typing import Any

import typer.main

from latentlab.cli import app

WIDTH = 80  # characters in a line of options
EXAMPLE = re.compile(r"\x08\s*\nExamples?:\n(.*?)(?=\n\n|\Z)", re.DOTALL)


def __getattr__(name: str) -> Any:
    """A fresh command, ready for the page.

    Raises:
        AttributeError: There is no such command.
    """
    root: Any = typer.main.get_command(app)
    if name not in root.commands:
        raise AttributeError(name)
    return shown(root.commands[name])


def shown(command: Any) -> Any:
    """The command, and those below it, with examples as a block of code and help of one width."""
    command.help = EXAMPLE.sub(_block, command.help or "")
    command.context_settings = {**command.context_settings, "terminal_width": WIDTH}
    for below in getattr(command, "commands", {}).values():
        shown(below)
    return command


def _block(found: re.Match[str]) -> str:
    return f"```sh\n{textwrap.dedent(found[1]).strip()}\n```\n"
