"""A study of seconds: two generators at 16 pixels, and a process that works on one until it is killed."""

import multiprocessing
import os
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from latentlab.progress import Progress, silent
from latentlab.study import Executor, InProcess, Outcome, Recipe, Study, make_recipe
from latentlab.study.folder import StudyFolder, jobs_of
from latentlab.study.summary import Summary

GENERATORS = ("traditional-0", "style-2")
TINY: dict[str, Any] = {
    "data": {"num_images": 200, "resolution": 16},
    "training": {
        "kimg": 0.4,
        "fields": {
            "trainer.tick_kimg": 0.05,
            "trainer.snapshot_kimg": 0.1,
            "generator.z_dim": 16,
            "generator.w_dim": 16,
            "generator.mapping_fmaps": 16,
        },
    },
    "classifiers": {"images_shown": 320},
    "measuring": {"samples": 120, "pairs": 24, "images": 64},
}


def tiny_recipe(*, seeds: int = 1, **given: Any) -> Recipe:
    """A table of both generators in Z, and W where there is one."""
    rows = [{"generator": "traditional-0", "space": "z"}, {"generator": "style-2", "space": "w"}]
    table = {
        "name": "tiny",
        "title": "Two generators",
        "measures": ["fid", "full", "end", "separability"],
        "rows": rows,
    }
    return make_recipe(["tiny"], given={**TINY, "table": [table]} | given, seeds=seeds, threads=1)


class Silent:
    """A display that shows nothing."""

    def stage(self, title: str, seconds: float, unit: str = "images") -> AbstractContextManager[Progress]:
        return nullcontext(silent)


def study_in(root: Path, recipe: Recipe, executor: Executor | None = None, said: list[str] | None = None) -> Study:
    """Begin a study, or go on with one, to its end; what fails raises."""
    study = Study(root, recipe, device=torch.device("cpu"))
    with study.alone():
        study.begin()
        jobs = jobs_of(study.recipe)
        say = (said if said is not None else []).append
        outcomes = list(
            (executor or InProcess(torch.device("cpu"), say)).run(
                study.folder,
                study.recipe,
                jobs,
                seconds=dict.fromkeys((job.name for job in jobs), 1.0),
                display=Silent(),
            )
        )
    assert unexpected(outcomes) == []
    return study


def unexpected(outcomes: list[Outcome]) -> list[Outcome]:
    """All that failed, but for separability of networks that show one kind of face, as tiny ones do."""
    return [one for one in outcomes if one.state != "done" and "no attribute is valid" not in one.reason]


def numbers(summaries: list[Summary]) -> dict[tuple[str, str, str | None, str], Any]:
    """All values of all tables, exactly."""
    return {
        (summary.table.name, line.row.generator, line.row.space, measure): {
            seed: (number.value, number.ci95) for seed, number in line.cells[measure].numbers.items()
        }
        for summary in summaries
        for line in summary.lines
        for measure in summary.table.measures
    }


def _work(root: str, text: str) -> None:
    study_in(Path(root), Recipe.model_validate_json(text))


def killed_after(root: Path, recipe: Recipe, seconds: float) -> bool:
    """Let another process work on a study and kill it with -9 after some seconds; whether it was still at work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_study", "latentlab.study.executors"])
    process = context.Process(target=_work, args=(str(root), recipe.model_dump_json()))
    process.start()
    deadline = time.monotonic() + 120
    while not (root / "study.json").exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.join(seconds)
    alive = process.is_alive()
    if alive and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    return alive


def results_of(root: Path, run: str) -> Path:
    """A run's results."""
    return StudyFolder(root).results(run)
