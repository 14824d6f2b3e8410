"""What docs/training.md and README.md say of training: commands, recipe, plan, statistics, files and Python."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from conftest import Squares
from typer.testing import CliRunner

from latentlab.cli import app
from trainers.config import RunConfig
from trainers.loop import train
from trainers.plan import PhaseNeeds
from trainers.presets import CONFIGS, OFFICIAL_MINIBATCHES, PRESETS, WGAN_GP_MAX_RATE, Choice, run_config
from trainers.recipes import listed, read_recipe
from trainers.schedule import phases
from trainers.watch import Kind

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    return re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", text, re.DOTALL)


def section(heading: str) -> str:
    """A section of the page, without the sections below it."""
    return re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows in a text."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def commands(text: str) -> list[list[str]]:
    """The words after `latentlab` of every command that trains, whatever starts it."""
    lines = "\n".join(blocks(text, "sh", "bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removesuffix(" &"), comments=True) for line in lines if "latentlab train" in line]
    return [found[found.index("latentlab") + 1 :] for found in words]


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (arguments, result.output)
    return result.output


# ---------------------------------------------------------------------------------------------- commands and settings


def phases_alone(config: RunConfig) -> list[PhaseNeeds]:
    """A plan without what takes seconds, the parameters and the memory; tests/test_presets.py checks those."""
    planned = phases(config.trainer.schedule, config.generator.resolution, config.trainer.total_kimg)
    return [PhaseNeeds(phase, parameters_g=0, parameters_d=0, memory=0, memory_per_image=0) for phase in planned]


def test_every_command_plans_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("latentlab.cli.training.plan", phases_alone)
    (recipe,) = blocks(PAGE, "toml")
    (tmp_path / "mine.toml").write_text(recipe)
    found = [*commands(PAGE), *commands(README)]
    assert len(found) >= 22
    for words in found:
        printed = ran(*words, "--resolution", "16", "--dry-run")
        assert re.search(r"^ 16  ", printed, re.MULTILINE), (words, printed)
    assert not [path for path in tmp_path.iterdir() if path.name != "mine.toml"]


def test_the_plan_shown_is_the_one_printed() -> None:
    printed = ran("train", "--resolution", "16", "--dry-run")
    (shown,) = blocks(section("Looking before training: `--dry-run`"), "text")
    title, *lines = [" ".join(line.split()) for line in shown.splitlines() if line not in ("", "...")]
    assert len(lines) > 6
    assert title in " ".join(printed.split())  # it may take two lines
    assert set(lines) <= {" ".join(line.split()) for line in printed.splitlines()}


def test_the_recipe_sets_what_it_says(tmp_path: Path, tiny_run: Callable[..., RunConfig]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(blocks(PAGE, "toml")[0])
    fields = read_recipe(path)
    names = dict(listed(tiny_run()))
    for name, _ in fields:
        known = name if name in names else name.rpartition(".")[0]  # minibatch and learning_rate hold single levels
        assert known in names
    data = tiny_run().dataset.model_copy(update={"num_images": 10_000, "resolution": 32})
    trainer = run_config(Choice(fields=fields), dataset=data).trainer
    assert (trainer.total_kimg, trainer.schedule.minibatch, trainer.schedule.learning_rate) == (
        60,
        {8: 64},
        {32: 0.0015},
    )


# ------------------------------------------------------------------------------------------------------------- tables


def test_the_table_of_configurations() -> None:
    described = {cells[0].split("`")[1]: cells[1:] for cells in rows(section("Configurations"))[2:8]}
    assert list(described) == list(CONFIGS)
    for letter, row in CONFIGS.items():
        mapping, given, noise, mixing, norm, blur, loss, start, length = described[letter]
        assert mapping == str(row.mapping_layers)
        assert given == ("constant" if row.const_input else "w, dense layer" if row.use_styles else "z, dense layer")
        assert (noise, blur) == tuple("yes" if value else "no" for value in (row.use_noise, row.blur))
        assert mixing == ("–" if row.traditional else f"{row.mixing_prob:g}")
        assert norm == ("pixel" if row.traditional else "instance")
        assert loss == {"wgan-gp": "WGAN-GP", "logistic": "logistic, R1"}[row.loss]
        assert start == f"{row.initial_resolution}x{row.initial_resolution}"
        assert length == f"{row.paper_kimg / 1000:g} million"


def test_the_table_of_official_schedules() -> None:
    head, _, *body = rows(section("The official schedules"))
    table = {cells[0]: [float(cell) for cell in cells[1:]] for cells in [head, *body]}
    levels = [int(level) for level in table["pixels"]]
    assert levels == [4 * 2**k for k in range(9)]
    for gpus, (base, single) in OFFICIAL_MINIBATCHES.items():
        assert table[f"minibatch, `--gpus {gpus}`"] == [single.get(level, base) for level in levels]
    schedule = PRESETS["paper"].trainer.schedule
    rates = [schedule.learning_rate.get(level, schedule.learning_rate_base) for level in levels]
    assert table["learning rate"] == rates
    assert table["learning rate, WGAN-GP"] == [min(rate, WGAN_GP_MAX_RATE) for rate in rates]


def test_every_warning_is_named() -> None:
    assert [cells[0].strip("`") for cells in rows(section("Watching"))[2:]] == list(get_args(Kind))


# ------------------------------------------------------------------------------------------------------ what runs leave


def test_statistics_and_files_are_those_named(
    tmp_path: Path, tiny_run: Callable[..., RunConfig], squares: Squares
) -> None:
    measured = {"snapshot_metrics": lambda generator, images: {"swd": 1.0}, "score": "swd"}
    train(tiny_run(r2_gamma=1.0), squares, tmp_path / "r1", **measured)
    train(tiny_run(r2_gamma=2.0), squares, tmp_path / "r1", resume=True, force=True, **measured)
    train(tiny_run(loss="wgan-gp"), squares, tmp_path / "gp")
    lines = [line for run in ("r1", "gp") for line in (tmp_path / run / "stats.jsonl").read_text().splitlines()]
    noted = {name for line in lines for name in json.loads(line)} - {"swd"}
    text = section("What a run leaves")
    files, _, statistics = text.partition("| field | unit |")
    assert {name for cells in rows(statistics) for name in re.findall(r"`(\w+)`", cells[0])} == noted
    named = [cells[0].split("`")[1] for cells in rows(files)[2:]]
    present = {path.name for path in (tmp_path / "r1").iterdir()}
    assert {name.split("/")[0] for name in named} == present
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    fields = re.search(r"one object per tick: `(.*?)`", architecture)
    assert fields is not None
    assert set(fields[1].split(", ")) == noted


def test_the_python_example(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks(section("From Python"), "python")
    given: list[RunConfig] = []

    class State:
        average = None

    def fake_train(config: RunConfig, source: object, run: Path, **options: object) -> State:
        options["progress"](1, 2)  # type: ignore[operator]
        given.append(config)
        return State()

    class Images(Squares):
        resolution = 32

        def __len__(self) -> int:
            return 5000

        def describe(self) -> dict[str, object]:
            return {"name": "faces", "fingerprint": "f", "num_images": len(self), "resolution": 32}

    monkeypatch.setattr("trainers.loop.train", fake_train)
    monkeypatch.setattr("latentlab.data.open_dataset", lambda *names, **options: Images())
    exec(compile(example, "docs/training.md", "exec"), {})
    assert [(config.generator.mapping_layers, config.trainer.r1_gamma, config.seed) for config in given] == [(4, 2, 1)]
