"""Several processes under torchrun do what one does; a lost one ends the job, and the job can be resumed."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from processes import start
from safetensors.torch import load_file

from latentlab.checkpoint import load_generator, snapshots
from latentlab.distributed import Team
from latentlab.errors import UsageError
from trainers.loop import train
from trainers.reals import Reals

SCRIPT = Path(__file__).with_name("tiny_training.py")


def _start(tmp_path, config, *arguments, processes=2):
    (tmp_path / "config.json").write_text(config.model_dump_json())
    return start(SCRIPT, tmp_path / "config.json", *arguments, processes=processes)


@pytest.mark.parametrize("config", ["F", "A"])
def test_gradients_of_two_processes_are_those_of_one(tmp_path, tiny_run, config):
    """Images, latents, minibatch-stddev groups and style mixing belong to shards, whoever computes them."""
    run = tiny_run(config=config, shards=2, mixing_prob=0.5)
    found = []
    for processes in (1, 2):
        path = tmp_path / f"gradients-{processes}.safetensors"
        process = _start(tmp_path, run, tmp_path / "unused", path, processes=processes)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        found.append(load_file(path))
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) > 50
    for name, one in found[0].items():
        largest = float(one.abs().max())
        assert float((found[1][name] - one).abs().max()) <= 1e-5 * max(largest, 1e-3), name


def test_two_shards_are_the_minibatch_of_one(tiny_run, squares):
    """Strided shards keep the groups of minibatch stddev, so only rounding tells them from an undivided minibatch."""
    from trainers.losses import Batch, discriminator_objective
    from trainers.trainer import Trainer

    discriminator = Trainer(tiny_run(), squares, torch.device("cpu")).state.discriminator
    settings, images = tiny_run(r1_gamma=3.0).trainer, torch.rand(8, 3, 16, 16)
    whole = discriminator_objective(settings, discriminator, Batch(images, images, images[:0]))[0]
    for shard in range(2):
        part = images[shard::2]
        loss = discriminator_objective(settings, discriminator, Batch(part, part, part[:0]))[0]
        torch.testing.assert_close(loss, whole[shard::2])


def test_shards_of_a_minibatch_are_its_images_without_repeats(squares):
    reals = Reals(squares, 0, torch.device("cpu"))
    whole = reals.batch(16, 8, 0.0)
    parts = [reals.batch(16, 8, 0.0, part=slice(shard, None, 2)) for shard in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)


def _wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _workers(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds worker processes in /proc")
def test_a_killed_process_ends_the_job_and_it_resumes(tmp_path, tiny_run, squares):
    config = tiny_run(shards=2, total_kimg=0.96, snapshot_kimg=0.08)
    run = tmp_path / "run"
    process = _start(tmp_path, config, run)
    _wait_for(lambda: len(snapshots(run)) >= 2, process)
    os.kill(_workers(process)[1], signal.SIGKILL)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - started < 40
    assert "LostProcessError: another process of this job has ended" in errors
    assert "--resume" in errors
    assert load_generator(run)[0].synthesis.lod >= 0
    resumed = _start(tmp_path, config, run)
    said, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert said.count("resuming from snapshot") >= 1
    train(config, squares, tmp_path / "alone")
    pairs = [load_generator(path)[0].state_dict() for path in (run, tmp_path / "alone")]
    for name, tensor in pairs[0].items():
        torch.testing.assert_close(tensor, pairs[1][name], rtol=5e-2, atol=5e-3, msg=name)


def test_shards_must_divide(tmp_path, tiny_run, squares):
    with pytest.raises(UsageError, match="2 processes cannot share 1 shards"):
        train(tiny_run(), squares, tmp_path / "run", team=Team(0, 2))
    assert not (tmp_path / "run").exists()


def test_a_team_of_one_needs_no_messages():
    alone = Team()
    tensor = torch.ones(3)
    alone.add([tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert alone.leads
    assert alone.told("x") == "x"
    assert alone.any(True)
    assert not alone.any(False)
    assert list(alone.shards(3)) == [0, 1, 2]
    assert list(Team(1, 2).shards(4)) == [1, 3]
