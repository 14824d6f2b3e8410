"""The paper's disentanglement study: trainings, measurements and tables of a recipe, in one folder.

recipe = make_recipe(["4"], seeds=3, threads=2)
study = Study(Path("study/mine"), recipe, device=torch.device("cpu"))
with study.alone():
    study.begin()
    for outcome in study.run(executor, display): ...
    summaries = study.summaries()
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from latentlab.errors import UsageError
from latentlab.files import only_writer
from latentlab.progress import Progress, silent
from latentlab.study.checking import Checker, Finding
from latentlab.study.estimate import Estimates, estimate
from latentlab.study.executors import Display, Executor, InProcess
from latentlab.study.folder import Job, StudyFolder, jobs_of
from latentlab.study.on_ray import OnRay
from latentlab.study.performing import Outcome
from latentlab.study.preflight import check_possible
from latentlab.study.reading import given_by, make_recipe, read_recipe
from latentlab.study.recipe import Recipe
from latentlab.study.summary import Summaries, Summary
from latentlab.study.tables import TABLES, Table, Variant

__all__ = [
    "TABLES",
    "Estimates",
    "Executor",
    "InProcess",
    "Job",
    "OnRay",
    "Outcome",
    "Planned",
    "Recipe",
    "Study",
    "Summary",
    "Table",
    "Variant",
    "given_by",
    "make_recipe",
    "read_recipe",
]


@dataclass(frozen=True)
class Planned:
    """A job of the plan.

    Attributes:
        finding: What is there of it.
        seconds: What the whole of it takes.
        left: What is left of it takes.
    """

    job: Job
    finding: Finding
    seconds: float
    left: float

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.finding.state == "finished"


class Study:
    """A study in a folder.

    Args:
        root: The folder; made by `begin`.
        recipe: What is asked for; a study that is there keeps its own tables and seeds beside.
        device: Where to compute.

    Raises:
        UsageError, OutputExistsError, DataError: see `StudyFolder.begin`.
    """

    def __init__(self, root: Path, recipe: Recipe, *, device: torch.device) -> None:
        self.folder, self.recipe, self.device = StudyFolder(root), recipe, device

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the right to work in the folder.

        Raises:
            UsageError: Another process works there, or it cannot be made.
        """
        taken = UsageError(
            f"another study is running in {self.folder.root}: wait for it, or name another --out. (A study that was "
            "killed holds nothing.)"
        )
        try:
            self.folder.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.folder.root} cannot be written ({error.strerror}): name another --out.") from error
        with only_writer(self.folder.lock, taken):
            yield

    def fit(self) -> None:
        """Find whether the folder is free, or holds a study to which the recipe can be added; writes nothing."""
        self.recipe = self.folder.fitted(self.recipe)

    def begin(self) -> None:
        """Write study.json."""
        self.recipe = self.folder.begin(self.recipe)

    def plan(self, progress: Progress = silent) -> tuple[Estimates, list[Planned]]:
        """All jobs, with what is there of each and how long those that are left take here.

        Reads everything that was written, and tries each kind of work that is left for a moment.

        Raises:
            WeightsError, DataError: Pretrained weights, images or labels that the study needs are missing.
            UsageError: A generator cannot be trained as the recipe says.
        """
        checker, jobs = Checker(self.folder, self.recipe), jobs_of(self.recipe)
        findings = {job.name: checker.look(job) for job in jobs}
        left = [job for job in jobs if findings[job.name].state != "finished"]
        check_possible(self.recipe, left, device=self.device)
        estimates = estimate(self.recipe, left, device=self.device, progress=progress)
        plan = []
        for job in jobs:
            seconds, finding = estimates.seconds(job), findings[job.name]
            share = 0.0 if finding.state == "finished" else checker.share_left(job)
            plan.append(Planned(job, finding, seconds, seconds * share))
        return estimates, plan

    def run(self, executor: Executor, plan: list[Planned], display: Display) -> Iterator[Outcome]:
        """Do what is not finished, and look again at what comes after that; yields how each job ended."""
        left = dict[str, Planned]()
        for planned in plan:
            before = (*planned.job.needs, *planned.job.after)
            if not planned.finished or any(name in left for name in before):
                left[planned.job.name] = planned
        seconds: Mapping[str, float] = {name: planned.left for name, planned in left.items()}
        jobs = [planned.job for planned in left.values()]
        yield from executor.run(self.folder, self.recipe, jobs, seconds=dict(seconds), display=display)

    def summaries(self) -> list[Summary]:
        """The tables, as far as they are measured."""
        summaries = Summaries(Checker(self.folder, self.recipe), self.recipe)
        return [summaries.of(table) for table in self.recipe.tables]
