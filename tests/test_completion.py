"""What the shell is offered: asked as shells ask, by environment variables, in a folder with runs and classifiers."""

import os
import subprocess
import sys

import pytest

from latentlab.cli import completion


@pytest.fixture(autouse=True)
def nothing_bundled(tmp_path, monkeypatch):
    """What comes with LatentLab is completed in tests/test_zoo.py."""
    for name in ("NETWORKS", "CLASSIFIERS"):
        monkeypatch.setattr(f"latentlab.zoo.{name}", tmp_path / "none")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """style-8, style-0, an unfinished folder, a hidden one; a converted network; classifiers quick and paper."""
    for name in ("runs/style-8/snapshots", "runs/style-0/snapshots", "runs/empty", "runs/.style-9.partial/snapshots"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("networks/ffhq/network.json", "classifiers/quick/config.json", "classifiers/paper/config.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "classifiers" / "slow.training").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line, shell="bash"):
    """What is offered at the end of a line."""
    words = line.split(" ")
    asked = {"_LATENTLAB_COMPLETE": f"complete_{shell}", "COMP_WORDS": "\n".join(words), "_TYPER_COMPLETE_ARGS": line}
    environment = {**os.environ, **asked, "COMP_CWORD": str(len(words) - 1)}
    empty = "from pathlib import Path; from latentlab import zoo; zoo.NETWORKS = zoo.CLASSIFIERS = Path('none')"
    script = f"{empty}; from latentlab.cli import app; app(prog_name='latentlab')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if shell == "bash" else done.stdout


@pytest.mark.parametrize("command", ["sample", "ppl", "fid", "edit", "figures"])
def test_networks_are_offered_by_name(command):
    assert offered(f"latentlab {command} --network st") == ["style-0", "style-8"]


def test_networks_are_offered_by_folder_once_a_slash_was_typed():
    assert offered("latentlab ppl --network runs/") == ["runs/style-0", "runs/style-8"]
    assert offered("latentlab ppl --network n") == ["networks/ffhq"]


def test_a_report_is_offered_folders_since_it_takes_no_names():
    assert offered("latentlab report ru") == ["runs/style-0", "runs/style-8"]
    assert offered("latentlab report runs/style-0 net") == ["networks/ffhq"]


@pytest.mark.parametrize("command", ["report runs/style-8 --classifiers", "train --classifiers", "classifiers card"])
def test_classifiers_are_offered_by_name(command):
    assert offered(f"latentlab {command} ") == ["paper", "quick"]


def test_samples_may_go_without_classifiers():
    assert offered("latentlab sample --classifiers ") == ["paper", "quick", "none"]


def test_distances_and_features_name_classifiers():
    assert offered("latentlab ppl --distance cl") == ["classifier:paper", "classifier:quick"]
    assert offered("latentlab fid --features i") == ["inception"]


def test_commands_and_options_are_offered():
    assert offered("latentlab do") == ["doctor"]
    assert offered("latentlab doctor --j") == ["--json"]


def test_other_shells_are_offered_the_same():
    assert '"style-8"' in offered("latentlab ppl --network style-", shell="zsh")


def test_nothing_is_offered_where_there_is_nothing(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert completion.networks("") == completion.classifiers("") == completion.run_folders("") == []


def test_completing_loads_no_torch():
    script = "import sys\nfrom latentlab.cli import completion\ncompletion.networks(''); completion.classifiers('')\n"
    script += "print(sorted({'torch', 'numpy', 'pandas', 'pydantic', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_script_for_a_shell_is_printed():
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = "from latentlab.cli import app; app(['--show-completion', 'bash'], prog_name='latentlab')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "_LATENTLAB_COMPLETE=complete_bash" in done.stdout
