"""Training against recordings of the official code; runs that are stopped, killed and resumed."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from latentlab.checkpoint import load_generator, snapshots
from latentlab.errors import CheckpointError, DivergenceError, LatentLabError, UsageError
from latentlab.networks import upscale
from trainers.ema import decay, update_average
from trainers.loop import _next, train
from trainers.reals import fade, shuffled
from trainers.schedule import Schedule, phase_at
from trainers.trainer import Trainer

CPU = torch.device("cpu")


# ----------------------------------------------------------------------------------------- against the official code


@pytest.mark.parametrize(("resolution", "file"), [(1024, "training_schedule.json"), (32, None), (256, None)])
def test_schedule(recording, resolution, file):
    rows = recording(file)["rows"] if file else recording("training_schedule_extra.json")[str(resolution)]
    assert len(rows) > 20
    for row in rows:
        phase = phase_at(Schedule(), resolution, row["cur_nimg"])
        expected = (row["lod"], row["resolution"], row["minibatch"], row["G_lrate"])
        assert (phase.lod, phase.resolution, phase.minibatch, phase.learning_rate) == pytest.approx(expected), row


def test_average_rule(recording):
    for minibatch, beta in recording("ema.json")["beta_for_minibatch"].items():
        assert decay(int(minibatch), 10) == pytest.approx(beta, rel=1e-12)
    old, new = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        new.weight.fill_(3.0)
        new.running_mean.fill_(5.0)
    update_average(old, new, 0.75)
    assert old.weight.tolist() == [1.5, 1.5]  # averaged: 3 + (1 - 3) * 0.75
    assert old.running_mean.tolist() == [5.0, 5.0]  # copied


def test_fading_of_real_images(recording):
    io = recording("process_reals.npz")
    for key in (key for key in io if "_lod" in key):
        images, lod = torch.from_numpy(io[key.partition("_")[0]]).float(), float(key.partition("_lod")[2])
        faded = upscale(fade(images * (2 / 255) - 1, lod), 2 ** int(lod))
        np.testing.assert_allclose(faded[: len(io[key])], io[key], atol=2e-6, err_msg=key)


# ------------------------------------------------------------------------------------------------------- own rules


def test_every_epoch_shows_every_image_once():
    order = shuffled(0, 30, 10, seed=3)
    assert all(sorted(order[start : start + 10]) == list(range(10)) for start in (0, 10, 20))
    np.testing.assert_array_equal(shuffled(7, 12, 10, seed=3), order[7:19])
    assert not np.array_equal(order, shuffled(0, 30, 10, seed=4))


def test_a_run_leaves_what_the_documentation_says(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    state = train(tiny_run(), squares, run, snapshot_metrics=lambda g, n: {"swd": float(n)}, score="swd")
    assert state.num_images == 200
    stats = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [tick["resolution"] for tick in stats][::4] == [8, 16]
    assert {"kimg", "lod", "loss_g", "loss_d", "r1", "scores_real", "scores_fake", "images_per_second"} <= stats[
        -1
    ].keys()
    assert (run / "config.json").is_file()
    assert list((run / "grids").glob("*.png"))
    generator, name = load_generator(run)
    assert (name.name, generator.img_resolution, generator.synthesis.lod) == ("run@000000200", 16, 0.0)


@pytest.mark.parametrize("letter", ["A", "B", "C", "D", "E"])
def test_every_configuration_trains(tmp_path, tiny_run, squares, letter):
    state = train(tiny_run(config=letter), squares, tmp_path / "run")
    assert state.num_images == 200
    stats = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert stats[0]["resolution"] == (4 if letter == "A" else 8)
    assert ("gp" if letter == "A" else "r1") in stats[-1]
    assert any((p != q).any() for p, q in zip(state.generator.parameters(), state.average.parameters(), strict=True))


def test_half_precision_has_nearly_the_same_gradients(tiny_run, squares):
    """Statistics, losses and weights stay float32: only convolutions round."""
    found = []
    for name in ("float32", "bfloat16"):
        trainer = Trainer(tiny_run(precision=name, mirror=False), squares, CPU)
        trainer.step()
        assert all(parameter.dtype == torch.float32 for parameter in trainer.state.generator.parameters())
        found.append(torch.cat([gradient.flatten() for gradient in trainer.state.optimizer_d.gradients()]))
    assert 0 < (found[1] - found[0]).norm() / found[0].norm() < 0.05


def test_float16_finds_a_scale_and_trains(tiny_run, squares):
    trainer = Trainer(tiny_run(precision="float16"), squares, CPU)
    before = trainer.state.optimizer_d.loss_scale
    for _ in range(24):
        trainer.step()
    for adam in (trainer.state.optimizer_d, trainer.state.optimizer_g):
        assert adam.steps >= 8
        assert all(parameter.isfinite().all() for parameter in adam.parameters)
    assert trainer.state.optimizer_d.loss_scale != before
    assert all(math.isfinite(value) for value in trainer.averages().values())


def test_images_are_read_ahead(tmp_path, tiny_run, squares, monkeypatch):
    """A data set that does not fit into memory gives the same training, and the next minibatch is read early."""
    train(tiny_run(), squares, tmp_path / "memory")
    monkeypatch.setattr("trainers.reals.CACHED_BYTES", 0)
    asked = []
    original = type(squares).images
    monkeypatch.setattr(type(squares), "images", lambda self, i: asked.append(len(i)) or original(self, i))
    train(tiny_run(), squares, tmp_path / "files")
    assert _weights(tmp_path / "memory") == _weights(tmp_path / "files")
    assert len(asked) >= 26  # one more than there were steps


def _weights(run):
    return load_generator(run)[1].sha256


def test_resumed_equals_undisturbed(tmp_path, tiny_run, squares):
    config = tiny_run(total_kimg=0.24, tick_kimg=0.04, snapshot_kimg=0.08)
    train(config, squares, tmp_path / "whole")

    def stop_at(done, total, note=""):
        if done >= 200:  # after the snapshot at 160 images, before the next
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(config, squares, tmp_path / "cut", progress=stop_at)
    said = []
    train(config, squares, tmp_path / "cut", resume=True, say=said.append)
    assert said == ["resuming from snapshot 000000160 (0.2 kimg)"]
    assert _weights(tmp_path / "cut") == _weights(tmp_path / "whole")
    ticks = [[json.loads(line)["kimg"] for line in (tmp_path / name / "stats.jsonl").read_text().splitlines()]
             for name in ("cut", "whole")]  # fmt: skip
    assert ticks[0] == ticks[1]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("training.safetensors", lambda content: content[:-1] + b"!"),
        ("network.safetensors", lambda content: content[:-1]),
        ("training.json", lambda content: content.replace(b'"num_steps": 40', b'"num_steps": 41')),
        ("training.json", lambda content: content.replace(b'"sha256"', b'"sha257"')),
    ],
)
def test_damaged_newest_snapshot_is_skipped(tmp_path, tiny_run, squares, file, damage):
    run, config = tmp_path / "run", tiny_run(total_kimg=0.32, tick_kimg=0.08, snapshot_kimg=0.16)
    train(config, squares, run)
    whole = _weights(run)
    path = snapshots(run)[-1] / file
    content = damage(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    said = []
    train(config, squares, run, resume=True, say=said.append)
    assert "snapshot 000000320 cannot be used and is skipped" in said[0]
    assert "000000160" in said[1]
    assert _weights(run) == whole


def test_only_the_newest_and_the_best_snapshots_are_kept(tmp_path, tiny_run, squares):
    config = tiny_run(total_kimg=0.64, tick_kimg=0.08, snapshot_kimg=0.16, keep_snapshots=2)
    scores = iter([4.0, 1.0, 3.0, 2.0])
    train(config, squares, tmp_path / "run", snapshot_metrics=lambda g, n: {"swd": next(scores)}, score="swd")
    assert [path.name for path in snapshots(tmp_path / "run")] == ["000000320", "000000480", "000000640"]


def test_run_folders_are_protected(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    train(tiny_run(), squares, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--resume"):
        train(tiny_run(), squares, run)
    with pytest.raises(UsageError, match=r"seed was 0 and is now 1; trainer.r1_gamma was 10.0 and is now 2.0"):
        train(tiny_run(seed=1, r1_gamma=2.0), squares, run, resume=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        train(tiny_run(), squares, foreign)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_divergence_stops_with_the_last_good_snapshot(tmp_path, tiny_run, squares, monkeypatch):
    run, config = tmp_path / "run", tiny_run(total_kimg=0.48, tick_kimg=0.04, snapshot_kimg=0.16)
    original = Trainer.step

    def step(trainer):
        original(trainer)
        if trainer.state.num_images > 200:
            trainer.losses["loss_d"] = torch.tensor([math.nan, 1.0])

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(DivergenceError, match=r"loss_d nan.*snapshot 000000160 is the last good one"):
        train(config, squares, run)
    assert [path.name for path in snapshots(run)] == ["000000160"]


def test_two_processes_cannot_train_one_run(tmp_path, tiny_run, squares):
    run, config = tmp_path / "run", tiny_run()

    def again(done, total, note=""):
        with pytest.raises(UsageError, match="another process"):
            train(config, squares, run, resume=True)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(config, squares, run, progress=again)


def test_full_disk_leaves_the_last_snapshot(tmp_path, tiny_run, squares, monkeypatch):
    run, config = tmp_path / "run", tiny_run(total_kimg=0.48, tick_kimg=0.08, snapshot_kimg=0.16)
    written = []

    def save_file(tensors, path, metadata):
        if len(written) > 2:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        original(tensors, path, metadata)

    import latentlab.checkpoint as module

    original = module.save_file
    monkeypatch.setattr(module, "save_file", save_file)
    with pytest.raises(OSError, match=r"No space left on device: .*snapshots/000000320"):
        train(config, squares, run)
    assert [path.name for path in (run / "snapshots").iterdir()] == ["000000160"]
    monkeypatch.undo()
    assert train(config, squares, run, resume=True).num_images == 480


@pytest.mark.parametrize("every", [0.5, 1 / 72, 0.0001, 0.3 / 7, 12.3456789])
def test_ticks_always_move_on(every):
    images, marks = 0, []
    while images < 36_000 and len(marks) < 200:
        images = _next(images, every, 36_000) + 7  # a minibatch overshoots
        marks.append(images)
    assert all(later > earlier for earlier, later in itertools.pairwise(marks))
    assert _next(35_999, every, 36_000) == 36_000


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from conftest import Squares
from trainers.loop import train
from trainers.config import RunConfig
torch.set_num_threads(1)
train(RunConfig.model_validate_json(Path({config!r}).read_text()), Squares(), Path({run!r}), resume=True)
"""


def _process(tmp_path, config, run):
    (tmp_path / "c.json").write_text(config.model_dump_json())
    script = SCRIPT.format(tests=os.path.dirname(__file__), config=str(tmp_path / "c.json"), run=str(run))  # noqa: PTH120
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)


def _until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_process_goes_on_exactly(tmp_path, tiny_run, squares, how):
    """Ctrl-C, and what a cluster sends before it kills: a snapshot is written first."""
    config = tiny_run(total_kimg=0.96, tick_kimg=0.04, snapshot_kimg=0.16)
    run = tmp_path / "run"
    process = _process(tmp_path, config, run)
    _until(lambda: (run / "stats.jsonl").is_file() and len((run / "stats.jsonl").read_text().splitlines()) > 3)
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    interrupted_at = [path.name for path in snapshots(run)]
    assert "000000960" not in interrupted_at
    train(config, squares, run, resume=True)
    train(config, squares, tmp_path / "whole")
    assert _weights(run) == _weights(tmp_path / "whole")


def test_unreadable_run_is_an_error_not_a_crash(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        train(tiny_run(), squares, run, resume=True)
    assert issubclass(CheckpointError, LatentLabError)
