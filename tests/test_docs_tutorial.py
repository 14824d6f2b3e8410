"""docs/tutorial.md: its commands run in their order, tiny, leave what it says, and print lines of the form it shows.

What is smaller here than in the text stands in SMALLER: images, training, samples and pairs, and an attribute that so
small a training finds. Everything else is as the reader types it.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from latentlab import load_directions
from latentlab.cli import app

PAGE = (Path(__file__).parent.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
FACES = ("--num-images", "300", "--resolution", "16")
SMALLER = {
    "train": (*FACES, "--kimg", "0.3"),
    "classifiers": (*FACES, "--images-shown", "3000"),
    "sample": ("--num-samples", "400"),
    "ppl": ("--num-samples", "40"),
    "edit": ("--num-samples", "16"),
}
ATTRIBUTE = "Eyeglasses"


def blocks() -> list[tuple[list[list[str]], str]]:
    """The commands of every shell block, as words after `latentlab`, and what the page shows them to print."""
    found = re.findall(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE, re.DOTALL)
    return [
        ([shlex.split(line)[1:] for line in script.replace("\\\n", " ").splitlines()], shown) for script, shown in found
    ]


def attribute_with_directions() -> str:
    """An attribute that both spaces have a direction of."""
    found = [load_directions(f"runs/style-8/directions-{space}.npz") for space in ("z", "w")]
    return found[0].attributes[int(np.argmax(np.logical_and(*(one.valid for one in found))))]


def smaller(words: list[str]) -> list[str]:
    """A command with smaller numbers; an option given twice counts as given last."""
    if ATTRIBUTE in words:
        words = [attribute_with_directions() if word == ATTRIBUTE else word for word in words]
    return [*words, *SMALLER.get(words[0], ())]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """The folder after the walk, and of every shell block what it printed and what the page shows."""
    root, printed = tmp_path_factory.mktemp("tutorial"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("COLUMNS", "120")
        patch.chdir(root)
        for commands, shown in blocks():
            out = ""
            for words in map(smaller, commands):
                result = CliRunner().invoke(app, words)
                assert result.exit_code == 0, (words, result.output, result.exception)
                taken = words[words.index("--attribute") + 1] if "--attribute" in words else ATTRIBUTE
                out += result.output.replace(taken, ATTRIBUTE).replace(str(root), "/home/you/walk")
            printed.append((out, shown))
    return root, printed


def test_every_command_leaves_the_files_that_are_named(walked):
    named = set(re.findall(r"`((?:runs|classifiers|report)/[\w./-]+|\w+\.png)`", PAGE))
    assert len(named) >= 9
    for name in named:
        assert (walked[0] / name).exists(), name


def test_lines_shown_are_of_the_form_that_is_printed(walked):
    """Up to their first number."""
    compared = 0
    for out, shown in walked[1]:
        lines = [" ".join(line.split()) for line in out.splitlines()]
        for line in shown.splitlines():
            beginning = " ".join(re.split(r"[-+]?\d", line)[0].split())
            if beginning.strip("."):
                assert any(found.startswith(beginning) for found in lines), (beginning, out)
                compared += 1
    assert compared >= 25


def test_all_steps_are_there():
    steps = [words[0] for commands, _ in blocks() for words in commands]
    wanted = "data train runs classifiers sample separability ppl directions directions edit report"
    assert steps == wanted.split()
