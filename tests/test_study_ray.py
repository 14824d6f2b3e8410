"""Studies on a Ray cluster of two workers, and by several processes: the numbers are those of one process."""

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_study import numbers, study_in, tiny_recipe

from latentlab.errors import UsageError
from latentlab.study import InProcess, OnRay
from latentlab.study.folder import jobs_of
from latentlab.study.on_ray import Needs

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of its processes and files


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("RAY_TMPDIR", "/tmp")  # Ray's sockets need short paths
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return numbers(study_in(tmp_path_factory.mktemp("alone") / "s", tiny_recipe()).summaries())


def ancestors(process: int) -> list[int]:
    """The processes above one, nearest first."""
    found = []
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(process)
    return found


class Killer(threading.Thread):
    """Kills the first worker of this process's own cluster that trains, once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed, self.over = "", False

    def run(self) -> None:
        while not self.killed and not self.over:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    title = path.read_bytes().split(b"\0")[0].decode()
                except OSError:
                    continue
                if title.startswith("ray::train/") and os.getpid() in ancestors(int(path.parent.name)):
                    time.sleep(1.0)
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    self.killed = title
                    return
            time.sleep(0.05)


def test_a_cluster_whose_worker_is_killed_gives_the_same_numbers(tmp_path, alone):
    killer, said = Killer(), []
    executor = OnRay(address=None, device="cpu", say=said.append)
    killer.start()
    try:
        study = study_in(tmp_path / "s", tiny_recipe(), executor)
    finally:
        killer.over = True
    assert killer.killed.startswith("ray::train/")
    assert numbers(study.summaries()) == alone


def test_jobs_no_machine_can_hold_are_refused_before_anything_runs(tmp_path):
    executor = OnRay(address=None, device="cpu", say=print)
    with pytest.raises(UsageError, match=r"no machine of the cluster has what classifiers needs: 1000 CPUs"):
        study_in(tmp_path / "s", tiny_recipe().model_copy(update={"threads": 1000}), executor)


def test_a_cluster_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"--address 127.0.0.1:1: no Ray cluster can be reached"):
        study_in(tmp_path / "s", tiny_recipe(), OnRay(address="127.0.0.1:1", device="cpu", say=print))


def test_needs_count_processes_and_gpus():
    recipe = tiny_recipe().model_copy(update={"threads": 3, "processes": 4})
    jobs = {job.kind: job for job in jobs_of(recipe)}
    needs = OnRay(address=None, device="cuda", say=print).needs(recipe, jobs["train"])
    assert (needs.cpus, needs.gpus) == (12, 4)
    assert isinstance(needs, Needs)
    assert needs.memory > 2**30
    assert OnRay(address=None, device="cuda", say=print).needs(recipe, jobs["figures"]).gpus == 0


def test_two_processes_train_as_one_does_with_two_shards(tmp_path):
    table = {"name": "tiny", "title": "One", "measures": ["fid"], "rows": [{"generator": "style-2"}]}
    recipe = tiny_recipe(processes=2, table=[table])
    study = study_in(tmp_path / "s", recipe, InProcess(torch.device("cpu"), print))
    (summary,) = study.summaries()
    assert summary.lines[0].cells["fid"].value > 0
    assert '"shards": 2' in (tmp_path / "s/runs/style-2-seed0/config.json").read_text()


def test_jobs_after_a_lost_one_are_handed_over_once_more():
    """With a Ray that has lost every worker: what needs a lost job is skipped, what only came after it is repeated."""

    class LostError(Exception):
        pass

    def lose(future):
        raise LostError("the worker died")

    executor = OnRay(address=None, device="cpu", say=str)
    executor.ray = SimpleNamespace(get=lose, exceptions=SimpleNamespace(RayError=LostError))
    jobs = {job.kind: job for job in jobs_of(tiny_recipe()) if job.name.endswith("style-2-seed0")}
    lost, repeated = set(), set()

    def ended(kind):
        outcome = executor._outcome(jobs[kind], None, lost, repeated)
        return None if outcome is None else outcome.state

    assert [ended(kind) for kind in ("sample", "separability", "ppl", "fid")] == ["failed", "skipped", None, None]
    assert [ended(kind) for kind in ("ppl", "fid")] == ["failed", "failed"]
