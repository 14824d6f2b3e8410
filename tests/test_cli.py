"""The command line itself: help, exit codes, laziness; and that the documentation shows commands that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from latentlab.cli import PIPELINE, app
from latentlab.cli.display import Lines
from latentlab.cli.options import combination
from latentlab.errors import UsageError

ROOT = Path(__file__).parent.parent
COMMANDS = [
    ["demo"], ["doctor"], ["data", "faces"], ["data", "prepare"], ["data", "show"], ["data", "check"],
    ["train"], ["runs"],
    ["networks", "list"], ["networks", "check"], ["networks", "inspect"], ["networks", "convert"],
    ["classifiers", "train"],
    ["classifiers", "evaluate"], ["classifiers", "import"], ["classifiers", "card"], ["sample"],
    ["label"], ["store", "info"], ["store", "check"], ["store", "merge"], ["store", "export"],
    ["separability"], ["directions"], ["edit"], ["disentanglement"], ["ppl"], ["fid"], ["figures"],
    ["report"], ["study"],
    ["weights", "list"], ["weights", "fetch"], ["weights", "check"],
]  # fmt: skip


def _leaves(command, path=()):
    if not hasattr(command, "commands"):
        return [list(path)]
    return [leaf for name, sub in command.commands.items() for leaf in _leaves(sub, (*path, name))]


def test_these_are_all_commands():
    assert sorted(_leaves(typer.main.get_command(app))) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_with_an_example(command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"\n    latentlab {' '.join(command)}" in result.output.split("Example:")[1]


def test_help_shows_every_command_once_and_whole_in_the_order_of_the_way():
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
    shown = re.findall(r"^  ([a-z]+)  +(\S.*)$", text.split("--help ")[1], re.MULTILINE)
    assert [name for name, _ in shown] == list(PIPELINE)
    assert set(PIPELINE) == set(typer.main.get_command(app).commands)
    assert all(words[0].isupper() and words.endswith(".") and not words.endswith("...") for _, words in shown)


def test_help_loads_no_torch():
    script = "import sys; sys.argv = ['latentlab', '--help']\nfrom latentlab.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\n"
    script += "print(sorted({'torch', 'numpy', 'pandas', 'matplotlib', 'sklearn', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_loading_classifiers_loads_neither_compiler_nor_filter_design():
    """Each takes a second, of every command that samples or labels."""
    script = "import sys\nimport latentlab.checkpoint\nfrom attribute_classifiers.network import load_classifiers\n"
    script += f"load_classifiers({str(Path(__file__).parent / 'archives' / 'classifiers-1')!r})\n"
    script += "print(sorted({'torch._dynamo', 'scipy.signal'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "latentlab", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"latentlab \d+\.\d+\.\d+\n", done.stdout)


def test_unknown_option_exits_with_2():
    assert CliRunner().invoke(app, ["train", "--mapping-dept", "8"]).exit_code == 2


def test_public_names_are_there():
    import latentlab

    for name in latentlab.__all__:
        assert getattr(latentlab, name).__doc__, name
    with pytest.raises(AttributeError, match="nothing"):
        latentlab.nothing  # noqa: B018


def test_combinations():
    assert combination("Male=1, Smiling=0") == {"Male": True, "Smiling": False}
    assert combination(None) is None
    with pytest.raises(UsageError, match="such as Male=1,Smiling=0"):
        combination("Male")
    with pytest.raises(UsageError, match="only once"):
        combination("Male=1,Male=0")


def test_plain_lines_tell_rate_and_end(capsys):
    lines = Lines("Sampling", "images")
    lines(0, 10)
    lines(5, 10)
    lines(10, 10, "done")
    assert re.fullmatch(r"Sampling: 10 of 10 images, [\d,]+/s, done\n", capsys.readouterr().err)
