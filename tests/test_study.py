"""A tiny study from nothing to its tables: once, again, killed, damaged, and by several at once."""

import random
import shutil

import pytest
import torch
from tiny_study import killed_after, numbers, study_in, tiny_recipe

from latentlab.errors import UsageError
from latentlab.results import append_results
from latentlab.study import Study
from latentlab.study.checking import Checker
from latentlab.study.folder import jobs_of

KILLS = 20
pytestmark = pytest.mark.filterwarnings("ignore::latentlab.errors.LatentLabWarning")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, module_cache):
    return study_in(tmp_path_factory.mktemp("study") / "undisturbed", tiny_recipe())


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.folder.root, tmp_path / "copy")
    return tmp_path / "copy"


def test_what_other_commands_measure_fills_no_cell(copy):
    study = Study(copy, tiny_recipe(), device=torch.device("cpu"))
    checker = Checker(study.folder, study.recipe)
    job = next(job for job in jobs_of(study.recipe) if job.name == "ppl/style-2-seed0")
    ours = checker.result(job, "full", "w")
    other = ours.model_copy(update={"value": 9.0, "protocol": {**ours.protocol, "crop": "none"}})
    append_results(study.folder.results(job.run), [other])
    assert checker.result(job, "full", "w") == ours
    again = ours.model_copy(update={"value": 9.0})
    append_results(study.folder.results(job.run), [again])
    assert checker.result(job, "full", "w").value == 9.0


def test_every_cell_is_measured(finished):
    (summary,) = finished.summaries()
    cells = {(line.row.generator, measure): cell for line in summary.lines for measure, cell in line.cells.items()}
    for measure in ("fid", "full", "end"):
        for generator in ("traditional-0", "style-2"):
            assert cells[generator, measure].value > 0, (generator, measure)
    assert {statement.claim for statement in summary.statements} == {"W of style-2 below its Z"}


def test_the_numbers_are_those_of_the_runs_own_results(finished):
    (summary,) = finished.summaries()
    checker = Checker(finished.folder, finished.recipe)
    job = next(job for job in jobs_of(finished.recipe) if job.name == "ppl/style-2-seed0")
    line = next(line for line in summary.lines if line.row.generator == "style-2")
    result = checker.result(job, "end", "w")
    assert result.metric == "ppl_wend"
    assert result.num_samples == 24
    assert line.cells["end"].value == pytest.approx(result.value)


def test_a_finished_study_does_nothing_again(copy, finished):
    before = {path: path.stat().st_mtime_ns for path in (copy / "runs").rglob("*") if path.is_file()}
    study_in(copy, tiny_recipe())
    after = {path: path.stat().st_mtime_ns for path in (copy / "runs").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("runs/style-2-seed0/run.h5", "sample/style-2-seed0"),
        ("runs/style-2-seed0/results.jsonl", "separability/style-2-seed0"),
        ("runs/traditional-0-seed0/config.json", "train/traditional-0-seed0"),
        ("classifiers/study/classifiers.safetensors", "classifiers"),
        ("runs/style-2-seed0/figures/figures.json", "figures/style-2-seed0"),
        ("NEWEST", "train/style-2-seed0"),
    ],
)
def test_what_was_damaged_is_set_aside_said_and_made_again(copy, finished, name, job):
    path = copy / name
    if name == "NEWEST":
        path = sorted((copy / "runs/style-2-seed0/snapshots").iterdir())[-1] / "network.safetensors"
    content = path.read_bytes()
    place = 3 if path.suffix == ".jsonl" else len(content) // 2
    path.write_bytes(content[:place] + b"damage" + content[place + 6 :])
    said = []
    study = study_in(copy, tiny_recipe(), said=said)
    assert any(words.startswith(f"{job}: ") and "is damaged" in words and "made again" in words for words in said)
    assert any((copy / "damaged").iterdir())
    assert numbers(study.summaries()) == numbers(finished.summaries())


def test_a_study_whose_snapshots_are_all_damaged_is_trained_anew(copy, finished):
    for path in (copy / "runs/style-2-seed0/snapshots").rglob("training.safetensors"):
        path.write_bytes(b"x")
    newest = sorted((copy / "runs/style-2-seed0/snapshots").iterdir())[-1]
    (newest / "network.safetensors").write_bytes(b"x")
    study = study_in(copy, tiny_recipe())
    assert numbers(study.summaries()) == numbers(finished.summaries())


def test_twenty_kills_at_random_change_nothing(tmp_path, finished):
    root, luck = tmp_path / "killed", random.Random(0)
    alive = [killed_after(root, tiny_recipe(), luck.uniform(0.05, 0.6)) for _ in range(KILLS)]
    assert sum(alive) > KILLS / 2
    study = study_in(root, tiny_recipe())
    assert numbers(study.summaries()) == numbers(finished.summaries())
    assert not list((root / "runs").rglob("*.partial"))


def test_two_studies_in_one_folder(tmp_path):
    first = Study(tmp_path / "s", tiny_recipe(), device=torch.device("cpu"))
    second = Study(tmp_path / "s", tiny_recipe(), device=torch.device("cpu"))
    with first.alone(), pytest.raises(UsageError, match="another study is running in"), second.alone():
        pass


def test_tables_and_seeds_are_added_to_a_study_and_shared_runs_are_not_trained_again(copy, finished):
    table = {"name": "more", "title": "More", "measures": ["fid"], "rows": [{"generator": "style-2"}]}
    recipe = tiny_recipe(seeds=2)
    more = recipe.model_copy(update={"tables": tiny_recipe(table=[{**table, "name": "tiny"}]).tables})
    more = more.model_copy(update={"tables": (more.tables[0].model_copy(update={"name": "more"}),)})
    study = Study(copy, more, device=torch.device("cpu"))
    study.begin()
    assert [table.name for table in study.recipe.tables] == ["tiny", "more"]
    assert study.recipe.seeds == (0, 1)
    checker = Checker(study.folder, study.recipe)
    left = [job.name for job in jobs_of(study.recipe) if checker.look(job).state != "finished"]
    assert all(name.endswith("-seed1") or name.startswith("separability") for name in left)
