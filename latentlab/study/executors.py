"""Who runs the jobs of a study: what that is, and the one that does them one after the other in this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from latentlab.errors import LatentLabError
from latentlab.progress import Progress
from latentlab.study.doing import Workshop
from latentlab.study.folder import TITLES, Job, StudyFolder
from latentlab.study.performing import Outcome, perform, perform_with_processes
from latentlab.study.recipe import Recipe

Say = Callable[[str], None]


class Display(Protocol):
    """What shows the progress of jobs; several may be open at once."""

    def stage(self, title: str, seconds: float, unit: str = "images") -> AbstractContextManager[Progress]:
        """Show one job."""


class Executor(Protocol):
    """Runs jobs in an order in which each comes after those it needs."""

    def run(
        self, folder: StudyFolder, recipe: Recipe, jobs: Sequence[Job], *, seconds: dict[str, float], display: Display
    ) -> Iterator[Outcome]:
        """Yield how each job ended, as it ends."""


class InProcess:
    """One job after the other in this process; those of several processes through torchrun.

    Args:
        device: Where to compute.
        say: Takes sentences for the user.
    """

    def __init__(self, device: torch.device, say: Say) -> None:
        self.device, self.say = device, say

    def run(
        self, folder: StudyFolder, recipe: Recipe, jobs: Sequence[Job], *, seconds: dict[str, float], display: Display
    ) -> Iterator[Outcome]:
        """Yield how each job ended; one whose needs have failed is skipped, the others go on."""
        workshop = Workshop(folder, recipe, device=self.device, say=self.say)
        failed = set[str]()
        for job in jobs:
            outcome = _skipped(job, failed) or self._one(folder, recipe, job, seconds[job.name], display, workshop)
            if outcome.state != "done":
                failed.add(job.name)
            yield outcome

    def _one(
        self, folder: StudyFolder, recipe: Recipe, job: Job, seconds: float, display: Display, workshop: Workshop
    ) -> Outcome:
        with display.stage(job.title, seconds, TITLES[job.kind][1]) as progress:
            try:
                if recipe.processes > 1 and job.kind != "figures":
                    kind = self.device.type
                    perform_with_processes(folder, job, recipe, device=kind, progress=progress, say=self.say)
                else:
                    perform(folder, job, recipe, device=self.device, workshop=workshop, progress=progress, say=self.say)
            except Exception as error:  # the machine's failures too, such as memory or disks: others may go on
                return Outcome(job.name, "failed", reason_of(error))
        return Outcome(job.name, "done")


def reason_of(error: Exception) -> str:
    """Why a job failed, with the kind of error where it is not one of LatentLab's own."""
    if isinstance(error, LatentLabError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason was given'}"


def _skipped(job: Job, failed: set[str]) -> Outcome | None:
    lost = [name for name in job.needs if name in failed]
    return Outcome(job.name, "skipped", f"it needs {lost[0]}") if lost else None
