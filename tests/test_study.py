"""A tiny study from nothing to its tables: once, again, killed, damaged, and by several at once."""

import json
import random
import shutil

import pytest
import torch
from tiny_study import TINY, Silent, killed_after, numbers, study_in, tiny_recipe, unexpected
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.errors import DataError, UsageError
from latentlab.results import append_results
from latentlab.study import Estimates, InProcess, Study, given_by, make_recipe
from latentlab.study.checking import Checker
from latentlab.study.doing import Workshop
from latentlab.study.folder import StudyFolder, jobs_of
from latentlab.study.reporting import write_report

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
    assert any(words.startswith(f"{job}: ") and "cannot be used" in words and "made again" in words for words in said)
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


def planned_and_done(root, recipe, monkeypatch):
    """What the command does: a plan (without trials), and the jobs that are left by it."""
    monkeypatch.setattr("latentlab.study.estimate", lambda recipe, jobs, **_: Estimates(recipe))
    study = Study(root, recipe, device=torch.device("cpu"))
    said: list[str] = []
    with study.alone():
        study.fit()
        _, plan = study.plan()
        study.begin()
        outcomes = list(study.run(InProcess(torch.device("cpu"), said.append), plan, Silent()))
    assert unexpected(outcomes) == []
    return study, said, [outcome.job for outcome in outcomes]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("config.json", b""),
        ("config.json", b"\xff\xfe"),
        ("config.json", b'{"trainer": {"total_kimg": null}}'),
        ("stats.jsonl", b"garbage\n"),
        ("NEWEST/network.json", b"[]"),
        ("results.jsonl", None),
    ],
)
def test_whatever_a_run_lacks_its_numbers_come_again(copy, finished, monkeypatch, name, content):
    newest = sorted((copy / "runs/style-2-seed0/snapshots").iterdir())[-1]
    path = copy / "runs/style-2-seed0" / name.replace("NEWEST", str(newest))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    study, said, jobs = planned_and_done(copy, tiny_recipe(), monkeypatch)
    assert numbers(study.summaries()) == numbers(finished.summaries())
    assert all(job.endswith("style-2-seed0") for job in jobs)
    if name != "results.jsonl":
        assert any(words.startswith("train/style-2-seed0: ") for words in said)
    assert write_report(study, study.summaries()).is_file()


def test_a_run_of_other_settings_is_not_taken_for_the_recipes(copy, monkeypatch):
    (copy / "study.json").unlink()
    fields = {**TINY["training"]["fields"], "trainer.r1_gamma": 3.0}
    other = tiny_recipe(training={"kimg": 0.4, "fields": fields})
    words = r"was trained by other settings than those of the study: trainer.r1_gamma was .* and is now 3.0\. Give the"
    with pytest.raises(UsageError, match=words):
        planned_and_done(copy, other, monkeypatch)
    assert not (copy / "study.json").exists()
    assert not (copy / "damaged").exists()


def test_a_run_that_was_begun_and_lost_its_settings_is_trained_anew(copy, finished, monkeypatch):
    shutil.rmtree(copy / "runs/style-2-seed0/snapshots")
    (copy / "runs/style-2-seed0/config.json").unlink()
    study, said, _ = planned_and_done(copy, tiny_recipe(), monkeypatch)
    assert any("runs/style-2-seed0 cannot be used" in words for words in said)
    assert numbers(study.summaries()) == numbers(finished.summaries())


def test_settings_that_a_later_version_added_are_at_their_defaults(copy, finished):
    path = copy / "runs/style-2-seed0/config.json"
    config = json.loads(path.read_text())
    assert config["trainer"].pop("precision") == "float32"
    path.write_text(json.dumps(config))
    job = next(job for job in jobs_of(finished.recipe) if job.name == "train/style-2-seed0")
    assert Checker(StudyFolder(copy), finished.recipe).look(job).state == "finished"


def test_settings_are_written_again_only_for_networks_that_are_the_recipes(copy, finished):
    job = next(job for job in jobs_of(finished.recipe) if job.name == "train/style-2-seed0")
    (copy / "runs/style-2-seed0/config.json").unlink()
    checker = Checker(StudyFolder(copy), finished.recipe)
    assert "is written again" in checker.look(job).reason
    for path in (copy / "runs/style-2-seed0/snapshots").glob("*/network.json"):
        text = json.loads(path.read_text())
        path.write_text(json.dumps(text | {"training": text["training"] | {"preset": "small"}}))
    with pytest.raises(UsageError, match=r"was trained by other settings than those of the study: so says"):
        checker.look(job)


def test_samples_by_other_settings_are_made_again(copy, finished):
    job = next(job for job in jobs_of(finished.recipe) if job.name == "sample/style-2-seed0")
    fewer = finished.recipe.model_copy(
        update={"measuring": finished.recipe.measuring.model_copy(update={"samples": 60})}
    )
    found = Checker(StudyFolder(copy), fewer).look(job)
    assert (found.state, found.reason) == ("damaged", "it was sampled by other settings than those of the study")


def test_images_that_changed_after_training_are_no_longer_measured_against(copy, finished, monkeypatch):
    config = copy / "runs/style-2-seed0/config.json"
    config.write_text(config.read_text().replace('"fingerprint": "', '"fingerprint": "0'))
    workshop = Workshop(StudyFolder(copy), finished.recipe, device=torch.device("cpu"))
    job = next(job for job in jobs_of(finished.recipe) if job.name == "fid/style-2-seed0")
    with pytest.raises(DataError, match=r"faces has changed since style-2-seed0 was trained on it \(fingerprint\)"):
        workshop.do(job)


def test_what_is_not_said_stays_as_it_is(copy, finished):
    assert make_recipe([], given=given_by(finished.recipe), preset="quick", threads=9) == finished.recipe
    more = make_recipe([], given=given_by(finished.recipe), preset="quick", seeds=3, threads=9)
    assert more.model_copy(update={"seeds": (0,)}) == finished.recipe
    refused = CliRunner().invoke(app, ["study", "--out", str(copy), "--threads", "2", "--dry-run"])
    assert "threads is 1 there and 2 here" in " ".join(refused.stderr.split())


def test_a_study_whose_study_file_was_removed_is_found_again(copy, finished, monkeypatch):
    (copy / "study.json").unlink()
    (copy / "report").mkdir()
    study, _, jobs = planned_and_done(copy, tiny_recipe(), monkeypatch)
    assert [job for job in jobs if not job.startswith("separability")] == []
    assert numbers(study.summaries()) == numbers(finished.summaries())


def test_a_study_that_has_done_nothing_takes_another_recipe(tmp_path):
    folder = StudyFolder(tmp_path / "s")
    folder.begin(tiny_recipe(data={"source": "/nowhere", "resolution": 16}))
    assert folder.begin(tiny_recipe()) == tiny_recipe()


def test_what_fails_unexpectedly_ends_one_job_and_not_the_study(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("latentlab.study.doing.sample", full)
    recipe = tiny_recipe()
    study = Study(tmp_path / "s", recipe, device=torch.device("cpu"))
    study.begin()
    jobs = jobs_of(recipe)
    seconds = dict.fromkeys((job.name for job in jobs), 1.0)
    ended = InProcess(torch.device("cpu"), str).run(study.folder, recipe, jobs, seconds=seconds, display=Silent())
    states = {outcome.job: outcome for outcome in ended}
    assert states["sample/style-2-seed0"].reason == "OSError: [Errno 28] No space left on device"
    assert states["separability/style-2-seed0"].state == "skipped"
    assert states["ppl/style-2-seed0"].state == states["fid/traditional-0-seed0"].state == "done"


def test_how_much_of_a_training_is_left(copy):
    study = Study(copy, tiny_recipe(), device=torch.device("cpu"))
    checker, job = Checker(study.folder, study.recipe), jobs_of(study.recipe)[1]
    (
        last,
        *_,
    ) = sorted((copy / "runs" / job.run / "snapshots").iterdir(), reverse=True)
    shutil.rmtree(last)
    before = max(int(path.name) for path in last.parent.iterdir())
    assert checker.look(job).state == "unfinished"
    assert checker.share_left(job) == pytest.approx(1 - before / 400)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    study = Study(tmp_path / "file" / "s", tiny_recipe(), device=torch.device("cpu"))
    with pytest.raises(UsageError, match=r"cannot be written .*name another --out"), study.alone():
        pass
