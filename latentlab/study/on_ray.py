"""The jobs of a study on a Ray cluster: all that are ready at once, on machines that see one file system."""

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from latentlab.errors import UsageError
from latentlab.progress import Progress
from latentlab.study.executors import Display, Say, reason_of
from latentlab.study.folder import TITLES, Job, StudyFolder
from latentlab.study.performing import Outcome, job_named, perform, perform_with_processes, recipe_of
from latentlab.study.recipe import Recipe

GIB = 2**30
RETRIES = 3
"""How often a cluster gives a job to another worker whose own was lost."""
PATIENCE = 10.0  # seconds for a cluster to answer


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
        with self._reaching():
            _knock(address)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"--address {self.address}: no Ray cluster can be reached ({words}); `ray start --head` starts one, "
                "and without --address one is started here."
            ) from error

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[None]:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        here = {} if self.address else {"include_dashboard": False}
        with self._reaching():
            self.ray.init(address=self.address or "local", logging_level="ERROR", log_to_driver=False, **here)
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
            window = self._check({job.name: self.needs(recipe, job) for job in jobs})
            relay = self.ray.remote(num_cpus=0, max_restarts=-1)(Relay).remote()
            futures: dict[str, Any] = {}
            ahead = deque(jobs)

            def again(job: Job, lost: Collection[str]) -> Any:
                """Hand a job over once more, without waiting for those that were lost."""
                there = {name: future for name, future in futures.items() if name not in lost}
                futures[job.name] = self._submit(folder, recipe, job, relay, there)
                return futures[job.name]

            def submit(waiting: int) -> list[Job]:
                """Hand over jobs in their order until as many wait as the cluster can have in hand; returns them."""
                handed = [ahead.popleft() for _ in range(min(window - waiting, len(ahead)))]
                for job in handed:
                    futures[job.name] = self._submit(folder, recipe, job, relay, futures)
                return handed

            yield from self._follow(submit, again, futures, relay, seconds, display, shown)

    def _submit(self, folder: StudyFolder, recipe: Recipe, job: Job, relay: Any, futures: Mapping[str, Any]) -> Any:
        needs = self.needs(recipe, job)
        before = [futures[name] for name in (*job.needs, *job.after) if name in futures]
        place = str(folder.root.resolve()), str(Path.cwd()), self.device
        task = self.ray.remote(_remote_job).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory,
            name=job.name,
            max_retries=self.retries,
            retry_exceptions=False,
        )
        return task.remote(*place, job.name, relay, job.needs, *before)

    def needs(self, recipe: Recipe, job: Job) -> Needs:
        """What a job takes; of memory an estimate."""
        gpus = recipe.processes if self.device == "cuda" and job.kind != "figures" else 0
        by, memory = recipe.measuring, 2 * GIB
        if job.kind == "separability":
            memory += 12 * by.samples * 512
        if job.kind in ("train", "classifiers", "fid"):
            memory += recipe.data.resolution**2 * 3 * min(recipe.data.num_images or 30_000, 70_000)
        return Needs(cpus=recipe.threads * recipe.processes, gpus=gpus, memory=memory)

    def _check(self, wanted: Mapping[str, Needs]) -> int:
        """How many jobs to hand over at a time: those of as many runs as the cluster can train at once.

        More would be done in another order than the study's, in which the tables of the first seed come first.
        """
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        slots = 1
        for name, needs in wanted.items():
            asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
            fits = [
                min(int(machine.get(kind, 0) // count) for kind, count in asked.items() if count)
                for machine in machines
            ]
            if name.startswith("train/"):
                slots = max(slots, sum(fits))
            if not any(fits):
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
        return slots * len(TITLES)

    def _follow(
        self,
        submit: Callable[[int], list[Job]],
        again: Callable[[Job, Collection[str]], Any],
        futures: Mapping[str, Any],
        relay: Any,
        seconds: dict[str, float],
        display: Display,
        shown: ExitStack,
    ) -> Iterator[Outcome]:
        waiting: dict[Any, Job] = {}
        lost, repeated = set[str](), set[str]()
        stages: dict[str, tuple[ExitStack, Progress]] = {}
        while True:
            waiting |= {futures[job.name]: job for job in submit(len(waiting))}
            if not waiting:
                return
            ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=0.5)
            at_work = {job.name: job for job in waiting.values()}
            for name, kind, message in self._news(relay):
                if kind == "say":
                    self.say(message)
                elif name in at_work:
                    if name not in stages:
                        stack = shown.enter_context(ExitStack())
                        job = at_work[name]
                        stage = display.stage(job.title, seconds[name], TITLES[job.kind][1])
                        stages[name] = stack, stack.enter_context(stage)
                    stages[name][1](*message)
            for future in ready:
                job = waiting.pop(future)
                if job.name in stages:
                    stages.pop(job.name)[0].close()
                outcome = self._outcome(job, future, lost, repeated)
                if outcome is None:
                    waiting[again(job, lost)] = job
                else:
                    yield outcome

    def _news(self, relay: Any) -> list[tuple[str, str, Any]]:
        """What workers left; nothing while the actor is being restarted, for a display is not worth a study."""
        try:
            found: list[tuple[str, str, Any]] = self.ray.get(relay.take.remote())
        except self.ray.exceptions.RayError:
            return []
        return found

    def _outcome(self, job: Job, future: Any, lost: set[str], repeated: set[str]) -> Outcome | None:
        """How a job ended; None if it never began, because a job before it, which it can do without, was lost."""
        try:
            return Outcome(*self.ray.get(future))
        except self.ray.exceptions.RayError as error:
            words = str(error).strip().splitlines()[-1]
        if missing := [name for name in job.needs if name in lost]:
            lost.add(job.name)
            return Outcome(job.name, "skipped", f"it needs {missing[0]}")
        if job.name not in repeated and any(name in lost or name in repeated for name in job.after):
            repeated.add(job.name)
            return None
        lost.add(job.name)
        return Outcome(job.name, "failed", f"its worker was lost {self.retries + 1} times: {words}")


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
    except Exception as error:  # whatever it is, it is this job's alone
        return name, "failed", reason_of(error)
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
