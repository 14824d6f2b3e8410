"""A run that is killed again and again ends as an undisturbed one, bit for bit."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Squares

from latentlab.checkpoint import load_generator, load_tensors, snapshots
from latentlab.errors import UsageError
from trainers.config import RunConfig
from trainers.loop import train
from trainers.trainer import Trainer

KILLS, ENOUGH = 24, 20
UNTIMED = ("images_per_second", "seconds")


def _train_and_die(config: str, run: str, seed: int) -> None:
    """Train; die at a random moment, or at a random operation on a file of the run."""
    torch.set_num_threads(1)
    draw = random.Random(seed)
    if seed % 2:
        _die_at_operation(run, draw.randrange(1, 120))
    else:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.02, 0.8))  # SIGALRM kills like SIGKILL: no handler runs
    train(RunConfig.model_validate_json(config), Squares(), Path(run), resume=True)


def _die_at_operation(run: str, number: int) -> None:
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"):
            left -= any(isinstance(argument, str) and run in argument for argument in map(_text, arguments))
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _text(argument: object) -> object:
    return os.fspath(argument) if isinstance(argument, os.PathLike) else argument


def _result(run: Path) -> tuple[dict, dict, list]:
    newest = snapshots(run)[-1]
    average, training = load_tensors(newest, "network")[0], load_tensors(newest, "training")[0]
    stats = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return average, training, [{k: v for k, v in tick.items() if k not in UNTIMED} for tick in stats]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="forks processes that have torch")
def test_killed_many_times_equals_undisturbed(tmp_path, tiny_run, squares):
    config = tiny_run(total_kimg=4.0, tick_kimg=0.04, snapshot_kimg=0.08, mixing_prob=0.5)
    run, context = tmp_path / "killed", multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainers.loop", "torch.utils.tensorboard"])
    deaths: list[int] = []
    for seed in range(KILLS):
        process = context.Process(target=_train_and_die, args=(config.model_dump_json(), str(run), seed))
        process.start()
        process.join(60)
        if process.exitcode == 0:  # a fast machine came to the end in between
            break
        assert process.exitcode in (-signal.SIGKILL, -signal.SIGALRM)
        deaths.append(process.exitcode)
        for folder in snapshots(run):  # what is visible is whole, but for old ones that were being removed
            if folder in snapshots(run)[-config.trainer.keep_snapshots :]:
                load_tensors(folder, "network")
                load_tensors(folder, "training")
    assert len(deaths) >= ENOUGH
    words: list[str] = []
    train(config, squares, run, resume=True, say=words.append)
    assert [word for word in words if "resuming" in word]
    train(config, squares, tmp_path / "whole")
    ours, whole = _result(run), _result(tmp_path / "whole")
    for found, expected in zip(ours[:2], whole[:2], strict=True):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor), name
    assert ours[2] == whole[2]
    leftovers = list(run.rglob("*.partial"))
    assert not leftovers


def test_snapshots_hold_every_position(tmp_path, tiny_run, squares):
    train(tiny_run(), squares, tmp_path / "run", snapshot_metrics=lambda g, n: {"swd": 5.0}, score="swd")
    description = json.loads((snapshots(tmp_path / "run")[-1] / "training.json").read_text())
    assert description["num_images"] == 200
    assert description["num_steps"] == 25
    assert 0 < description["phase_images"] < 200
    assert description["best"] == {"metric": "swd", "value": 5.0, "num_images": 80}
    assert description["adam_g"]["steps"] > 0
    names = load_tensors(snapshots(tmp_path / "run")[-1], "training")[0]
    assert {name.split(".")[0] for name in names} == {"g", "d", "adam_g", "adam_d"}


def test_the_best_snapshot_is_kept_and_named(tmp_path, tiny_run, squares):
    scores = iter([4.0, 1.0, 3.0, 2.0])
    config = tiny_run(total_kimg=0.64, tick_kimg=0.08, snapshot_kimg=0.16, keep_snapshots=1)
    run = tmp_path / "run"
    train(config, squares, run, snapshot_metrics=lambda g, n: {"fid2048": next(scores)}, score="fid2048")
    assert [path.name for path in snapshots(run)] == ["000000320", "000000640"]
    assert (run / "best").resolve().name == "000000320"


def test_another_configuration_needs_force(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    train(tiny_run(), squares, run)
    words: list[str] = []
    longer = tiny_run(total_kimg=0.28, r1_gamma=2.0)
    state = train(longer, squares, run, resume=True, force=True, say=words.append)
    assert state.num_images == 280
    assert "going on with other settings: trainer.r1_gamma was 10.0 and is now 2.0" in words
    assert json.loads((run / "config.json").read_text())["trainer"]["total_kimg"] == 0.28
    assert json.loads((run / "config-1.json").read_text())["trainer"]["total_kimg"] == 0.2


def test_a_forced_configuration_that_does_not_fit_changes_nothing(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    train(tiny_run(), squares, run)
    before = (run / "config.json").read_bytes()
    wider = tiny_run()
    wider = wider.model_copy(update={"generator": wider.generator.model_copy(update={"fmap_max": 16})})
    with pytest.raises(UsageError, match=r"another form .*generator\.fmap_max was 8 and is now 16"):
        train(wider, squares, run, resume=True, force=True)
    assert (run / "config.json").read_bytes() == before
    assert train(tiny_run(), squares, run, resume=True).num_images == 200


def test_killed_before_anything_was_written(tmp_path, tiny_run, squares):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").touch()
    assert train(tiny_run(), squares, run).num_images == 200


def test_the_best_network_is_named_after_its_run(tmp_path, tiny_run, squares):
    train(tiny_run(), squares, tmp_path / "run", snapshot_metrics=lambda g, n: {"swd": 5.0}, score="swd")
    assert load_generator(tmp_path / "run" / "best")[1].name == "run@000000080"


def test_a_snapshot_on_request_is_not_measured(tmp_path, tiny_run, squares):
    """Whoever asks to stop may kill soon."""
    measured = []

    def stop(done, total, note=""):
        if done == 56:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(
            tiny_run(),
            squares,
            tmp_path / "run",
            progress=stop,
            snapshot_metrics=lambda g, n: measured.append(n) or {},
        )
    assert [path.name for path in snapshots(tmp_path / "run")] == ["000000056"]
    assert not measured


def test_time_passes(tmp_path, tiny_run, squares):
    """Seconds add up over resumptions."""
    started = time.perf_counter()
    state = train(tiny_run(), squares, tmp_path / "run")
    again = train(tiny_run(total_kimg=0.24), squares, tmp_path / "run", resume=True, force=True)
    assert 0 < state.seconds < again.seconds < time.perf_counter() - started


def test_a_stop_at_the_very_end_is_measured_afterwards(tmp_path, tiny_run, squares):
    run = tmp_path / "run"

    def stop(done, total, note=""):
        if done == total:
            signal.raise_signal(signal.SIGTERM)

    def metrics(generator, num_images):
        return {"swd": float(num_images)}

    with pytest.raises(KeyboardInterrupt):
        train(tiny_run(), squares, run, progress=stop, snapshot_metrics=metrics, score="swd")
    assert "swd" not in json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    (run / "best").unlink()
    state = train(tiny_run(), squares, run, resume=True, snapshot_metrics=metrics, score="swd")
    assert state.metrics == {"swd": 200.0}
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    assert (last["kimg"], last["swd"]) == (0.2, 200.0)
    assert json.loads((snapshots(run)[-1] / "training.json").read_text())["metrics"] == {"swd": 200.0}
    assert (run / "best").resolve().name == "000000080"


def test_overflow_in_half_precision_is_no_divergence(tiny_run, squares):
    """With float16 such a step is skipped; in other precisions a loss that is not finite is shown."""
    for precision, expected in (("float16", 2.0), ("bfloat16", float("inf"))):
        trainer = Trainer(tiny_run(precision=precision), squares, torch.device("cpu"))
        for value in (1.0, float("inf"), 3.0):
            trainer._note({"loss_d": torch.tensor(value)})
        assert trainer.averages() == {"loss_d": expected}
        assert trainer.averages() == {}
    trainer = Trainer(tiny_run(precision="float16"), squares, torch.device("cpu"))
    trainer._note({"loss_d": torch.tensor(torch.nan), "r1": torch.tensor(torch.nan)})
    assert str(trainer.averages()) == "{'loss_d': nan}"  # a divergence; a penalty alone is none


def test_a_damaged_later_snapshot_never_costs_a_good_one(tmp_path, tiny_run, squares):
    """It does not count among the newest, of which some are kept."""
    run, config = tmp_path / "run", tiny_run(keep_snapshots=1)
    train(tiny_run(), squares, run)
    names = [path.name for path in snapshots(run)]
    (run / "snapshots" / names[-1] / "training.json").write_text("{")

    def stop(done, total, note=""):
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(config, squares, run, resume=True, force=True, progress=stop)
    assert [path.name for path in snapshots(run)] == ["000000168", names[-1]]
    assert train(config, squares, run, resume=True).num_images == 200
