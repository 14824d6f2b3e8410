"""Who runs the jobs of a study: this process one after the other, or a Ray cluster all that are ready at once."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import torch

from latentlab.errors import LatentLabError, UsageError
from latentlab.progress import Progress
from latentlab.study.doing import Workshop
from latentlab.study.folder import TITLES, Job, StudyFolder
from latentlab.study.performing import Outcome, job_named, perform, perform_with_processes, recipe_of
from latentlab.study.recipe import Recipe

GIB = 2**30
RETRIES = 3
"""How often a cluster gives a job to another worker whose own was lost."""

PATIENCE = 10.0  # seconds for a cluster to answer

Say = Callable[[str], None]


class Display(Protocol):
    """What shows the progress of jobs; several may be open at once."""

    def stage(self, title: str, seconds: float, unit: str = "images") -> AbstractContextManager[Progress]:
        """Show one job."""


@dataclass(frozen=True)
class Needs:
    """What a job takes of the machine it runs on.

    Attributes:
        cpus: Threads.
        gpus: Devices; one for each process where there is one.
        memory: Bytes.
    """

    cpus: int
    gpus: int
    memory: int


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
            except LatentLabError as error:
                return Outcome(job.name, "failed", str(error))
        return Outcome(job.name, "done")


def _skipped(job: Job, failed: set[str]) -> Outcome | None:
    lost = [name for name in job.needs if name in failed]
    return Outcome(job.name, "skipped", f"it needs {lost[0]}") if lost else None


class OnRay:
    """All jobs that are ready at once, on the machines of a Ray cluster, which see one file system.

    A worker that is lost (its machine, its memory, `kill -9`) costs what it did since the last snapshot: the job is
    given to another one.

    Args:
        address: Of a cluster that runs, "auto" for the one of this machine; None starts one here for the time being.
        device: `cpu` or `cuda`.
        say: Takes sentences for the user.
        retries: How often a job may lose its worker.

    Raises:
        UsageError: Ray is not installed, or no cluster can be reached.
    """

    def __init__(self, *, address: str | None, device: str, say: Say, retries: int = RETRIES) -> None:
        self.ray: Any = _ray()
        self.address, self.device, self.say, self.retries = address, device, say, retries

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[None]:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        here = {} if self.address else {"include_dashboard": False}
        try:
            _knock(self.address)
            self.ray.init(address=self.address, logging_level="ERROR", log_to_driver=False, **here)
        except (OSError, RuntimeError, ValueError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"--address {self.address}: no Ray cluster can be reached ({words}); `ray start --head` starts one, "
                "and without --address one is started here."
            ) from error
        try:
            yield
        finally:
            self.ray.shutdown()

    def run(
        self, folder: StudyFolder, recipe: Recipe, jobs: Sequence[Job], *, seconds: dict[str, float], display: Display
    ) -> Iterator[Outcome]:
        """Yield how each job ended, as it ends.

        Raises:
            UsageError: No machine of the cluster has what a job needs.
        """
        with self._cluster(), ExitStack() as shown:
            wanted = {job.name: self.needs(recipe, job) for job in jobs}
            self._check(wanted)
            relay = self.ray.remote(num_cpus=0, max_restarts=-1)(Relay).remote()
            task = self.ray.remote(_remote_job)
            futures: dict[str, Any] = {}
            for job in jobs:
                needs = wanted[job.name]
                options = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory, "name": job.name}
                before = [futures[name] for name in (*job.needs, *job.after) if name in futures]
                place = str(folder.root.resolve()), str(Path.cwd()), self.device
                futures[job.name] = task.options(max_retries=self.retries, retry_exceptions=False, **options).remote(
                    *place, job.name, relay, job.needs, *before
                )
            yield from self._follow(jobs, futures, relay, seconds, display, shown)

    def needs(self, recipe: Recipe, job: Job) -> Needs:
        """What a job takes; of memory an estimate."""
        gpus = recipe.processes if self.device == "cuda" and job.kind != "figures" else 0
        by, memory = recipe.measuring, 2 * GIB
        if job.kind == "separability":
            memory += 12 * by.samples * 512
        if job.kind in ("train", "classifiers", "fid"):
            memory += recipe.data.resolution**2 * 3 * min(recipe.data.num_images or 30_000, 70_000)
        return Needs(cpus=recipe.threads * recipe.processes, gpus=gpus, memory=memory)

    def _check(self, wanted: dict[str, Needs]) -> None:
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        for name, needs in wanted.items():
            asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
            if not any(all(machine.get(kind, 0) >= count for kind, count in asked.items()) for machine in machines):
                there = "; ".join(
                    f"{machine.get('CPU', 0):g} CPUs, {machine.get('GPU', 0):g} GPUs, "
                    f"{machine.get('memory', 0) / GIB:.1f} GiB"
                    for machine in machines
                )
                raise UsageError(
                    f"no machine of the cluster has what {name} needs: {needs.cpus} CPUs, {needs.gpus} GPUs and "
                    f"{needs.memory / GIB:.1f} GiB. There are: {there}. Lower --threads or --processes, or add "
                    "machines."
                )

    def _follow(
        self,
        jobs: Sequence[Job],
        futures: dict[str, Any],
        relay: Any,
        seconds: dict[str, float],
        display: Display,
        shown: ExitStack,
    ) -> Iterator[Outcome]:
        by_name, waiting = {job.name: job for job in jobs}, {future: name for name, future in futures.items()}
        stages: dict[str, tuple[ExitStack, Progress]] = {}
        while waiting:
            ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for name, kind, message in self._news(relay):
                if kind == "say":
                    self.say(message)
                elif name in waiting.values():
                    job = by_name[name]
                    if name not in stages:
                        stack = shown.enter_context(ExitStack())
                        stage = display.stage(job.title, seconds[name], TITLES[job.kind][1])
                        stages[name] = stack, stack.enter_context(stage)
                    stages[name][1](*message)
            for future in ready:
                name = waiting.pop(future)
                if name in stages:
                    stages.pop(name)[0].close()
                yield self._outcome(name, future)

    def _news(self, relay: Any) -> list[tuple[str, str, Any]]:
        """What workers left; nothing while the actor is being restarted, for a display is not worth a study."""
        try:
            found: list[tuple[str, str, Any]] = self.ray.get(relay.take.remote())
        except self.ray.exceptions.RayError:
            return []
        return found

    def _outcome(self, name: str, future: Any) -> Outcome:
        try:
            return Outcome(*self.ray.get(future))
        except self.ray.exceptions.RayError as error:
            words = str(error).strip().splitlines()[-1]
            return Outcome(name, "failed", f"its worker was lost {self.retries + 1} times, or ended by itself: {words}")


class Relay:
    """Where workers leave what the display shows: an actor of its own."""

    def __init__(self) -> None:
        self.progress: dict[str, tuple[int, int, str]] = {}
        self.sentences: list[tuple[str, str]] = []

    def tell(self, job: str, done: int, total: int, note: str) -> None:
        """How far a job is."""
        self.progress[job] = (done, total, note)

    def say(self, job: str, words: str) -> None:
        """A sentence for the user."""
        self.sentences.append((job, words))

    def take(self) -> list[tuple[str, str, Any]]:
        """All that is new."""
        found: list[tuple[str, str, Any]] = [(job, "say", words) for job, words in self.sentences]
        found += [(job, "progress", message) for job, message in self.progress.items()]
        self.progress, self.sentences = {}, []
        return found


def _remote_job(
    root: str, cwd: str, device: str, name: str, relay: Any, needs: Sequence[str], *before: tuple[str, str, str]
) -> Any:
    """What a worker does; `before` are the outcomes of the jobs that come first."""
    lost = [job for job, state, _ in before if state != "done" and job in needs]
    if lost:
        return name, "skipped", f"it needs {lost[0]}"
    os.chdir(cwd)  # paths of the recipe are meant from where the study was begun
    folder, last = StudyFolder(Path(root)), 0.0

    def told(done: int, total: int, note: str = "") -> None:
        nonlocal last
        if done >= total or time.monotonic() - last > 0.5:
            last = time.monotonic()
            relay.tell.remote(name, done, total, note)

    def say(words: str) -> None:
        relay.say.remote(name, words)

    try:
        recipe = recipe_of(folder)
        job = job_named(recipe, name)
        if recipe.processes > 1 and job.kind != "figures":
            perform_with_processes(folder, job, recipe, device=device, progress=told, say=say)
        else:
            perform(folder, job, recipe, device=torch.device(device), progress=told, say=say)
    except LatentLabError as error:
        return name, "failed", str(error)
    return name, "done", ""


def _knock(address: str | None) -> None:
    """See whether something listens at host:port; Ray itself would wait for minutes.

    Raises:
        OSError, ValueError: Nothing does, or the address has another form.
    """
    if address is None or address in ("auto", "local"):
        return
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.hostname is None or place.port is None:
        raise ValueError("expected auto, or HOST:PORT")
    socket.create_connection((place.hostname, place.port), timeout=PATIENCE).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray: install `latentlab[cluster]`.") from error
    return ray
