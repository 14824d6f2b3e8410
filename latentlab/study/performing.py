"""One job of a study, wherever it runs: look what is there, set aside what is damaged, do the rest."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from latentlab.distributed import Team
from latentlab.errors import CheckpointError, DataError, LatentLabError
from latentlab.progress import Progress, silent
from latentlab.study.checking import Checker
from latentlab.study.doing import Workshop
from latentlab.study.folder import Job, StudyFolder, jobs_of
from latentlab.study.recipe import Recipe

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        job: Its name.
        state: `skipped` if a job it needs has failed.
        reason: Of a failure.
    """

    job: str
    state: Literal["done", "failed", "skipped"]
    reason: str = ""


def recipe_of(folder: StudyFolder) -> Recipe:
    """The study in a folder.

    Raises:
        DataError: There is none.
    """
    recipe = folder.read()
    if recipe is None:
        raise DataError(f"{folder.root} holds no study: `latentlab study --out {folder.root}` begins one.")
    return recipe


def job_named(recipe: Recipe, name: str) -> Job:
    """A job by its name.

    Raises:
        DataError: The study has none of this name.
    """
    for job in jobs_of(recipe):
        if job.name == name:
            return job
    raise DataError(f"the study has no job {name!r}.")


def perform(
    folder: StudyFolder,
    job: Job,
    recipe: Recipe,
    *,
    device: torch.device,
    team: Team | None = None,
    workshop: Workshop | None = None,
    progress: Progress = silent,
    say: Say = lambda words: None,
) -> None:
    """Do what is left of a job.

    Args:
        folder, job, recipe: What is to be done.
        device: Where to compute.
        team: The processes that share it.
        workshop: What jobs of this process share, if there are several.
        progress: Told how far it is.
        say: Takes sentences for the user, such as that something damaged is made again.

    Raises:
        LatentLabError: It cannot be done.
    """
    team = team or Team()
    workshop = workshop or Workshop(folder, recipe, device=device, team=team, say=say)
    if _prepare(folder, job, recipe, team, say) == "finished":
        return
    try:
        workshop.do(job, progress)
    except CheckpointError as error:
        run = None if job.variant is None else folder.run(job.run)
        if job.kind != "train" or run is None or not run.exists() or team.size > 1:
            raise
        aside = folder.set_aside(run)  # no snapshot of it can be used
        say(f"{job.name}: {error} It was moved to {aside} and is trained again from the beginning.")
        workshop.do(job, progress)


def _prepare(folder: StudyFolder, job: Job, recipe: Recipe, team: Team, say: Say) -> str:
    """Process 0 looks at what is there and sets aside what is damaged; all learn whether something is left to do."""
    state = "unfinished"
    if team.leads:
        checker = Checker(folder, recipe)
        finding = checker.look(job)
        while finding.state == "damaged" and finding.path is not None:
            aside = folder.set_aside(finding.path)
            why = _first_sentence(finding.reason)
            say(f"{job.name}: {finding.path} cannot be used ({why}): it was moved to {aside} and is made again.")
            finding = checker.look(job)
        state = finding.state
        if finding.reason:
            say(f"{job.name}: {finding.path}: {finding.reason}.")
    return team.told(state)


def _first_sentence(words: str) -> str:
    """A reason without the advice that follows it, which is for those who have no study."""
    return words.partition(". ")[0].partition(" (")[0].rstrip(".")


def perform_with_processes(
    folder: StudyFolder, job: Job, recipe: Recipe, *, device: str, progress: Progress = silent, say: Say
) -> None:
    """Do a job in `recipe.processes` processes under torchrun.

    Raises:
        LatentLabError: It cannot be done, in the words of the processes.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(recipe.processes), "-m", "latentlab.study", str(folder.root), job.name, "--device", device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(recipe.threads), "TORCHELASTIC_ERROR_FILE": os.devnull}
    failure = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            for line in child.stdout:
                message = _message(line)
                if "done" in message:
                    progress(message["done"], message["total"], message["note"])
                elif "say" in message:
                    say(message["say"])
                elif "failed" in message:
                    failure = message["failed"]
            errors = child.stderr.read()
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise LatentLabError(failure or f"{job.name}: its processes ended with {child.returncode}: {errors[-2000:]}")


def _message(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def process_job(root: Path, name: str, device: torch.device, team: Team) -> None:
    """What each of torchrun's processes does; process 0 writes JSON lines for the process that waits.

    Raises:
        SystemExit: The job failed.
    """

    def tell(**message: object) -> None:
        if team.leads:
            print(json.dumps(message), flush=True)

    folder = StudyFolder(root)
    try:
        recipe = recipe_of(folder)
        perform(
            folder,
            job_named(recipe, name),
            recipe,
            device=device,
            team=team,
            progress=lambda done, total, note="": tell(done=done, total=total, note=note),
            say=lambda words: tell(say=words),
        )
    except LatentLabError as error:
        tell(failed=str(error))
        raise SystemExit(error.exit_code) from error
