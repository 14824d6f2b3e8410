"""Measurements that were ended go on where they were, and come to the same numbers."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from fake_generator import NETWORK, FakeGenerator, SquaredDistance
from processes import finish, start
from test_fid import Colours, dataset

from latentlab.distributed import Team
from latentlab.errors import DataError, LatentLabWarning
from latentlab.metrics.fid import distance_results
from latentlab.metrics.path_length import PathSettings, perceptual_path_lengths
from latentlab.unfinished import Unfinished, until_written

MANY = [PathSettings(space, "end", epsilon=1e-2, crop=False) for space in "zw"]
OWN_NETWORKS = """
import os
import time
from fake_generator import FakeGenerator, SquaredDistance

class Slow(SquaredDistance):
    def __call__(self, first, second):
        time.sleep(0.02)
        return super().__call__(first, second)

def make():
    with open("pids", "a") as file:
        print(os.getpid(), file=file)
    return FakeGenerator()

def distance():
    return Slow()
"""


class Interrupted(SquaredDistance):
    """Ends the measurement after some calls, as Ctrl-C does."""

    thread_safe = True

    def __init__(self, after=None):
        super().__init__()
        self.after, self.pairs = after, 0

    def __call__(self, first, second):
        self.pairs += len(first)
        if self.after is not None and self.pairs > self.after:
            raise KeyboardInterrupt
        return super().__call__(first, second)


class InterruptedColours(Colours):
    def __init__(self, after):
        super().__init__()
        self.after = after

    def __call__(self, images):
        if self.seen >= self.after:
            raise KeyboardInterrupt
        return super().__call__(images)


def lengths(results, distance, *, many=MANY, told=None, **how):
    how = {"num_samples": 1500, "bootstrap": 20} | how
    with until_written(results, told=(told if told is not None else []).append) as unfinished:
        return perceptual_path_lengths(FakeGenerator(), distance, many, network=NETWORK, unfinished=unfinished, **how)


def values(results):
    return [(result.value, result.ci95, result.num_samples) for result in results]


@pytest.mark.parametrize("how", [{}, {"until_ci": 0.05, "num_samples": 50_000}])
def test_path_lengths_go_on(tmp_path, how):
    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted(), **how)
    target, told = tmp_path / "results.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        lengths(target, Interrupted(after=1600), told=told, **how)
    (folder,) = (tmp_path / "unfinished").iterdir()
    count = sum(len(np.load(part)) for part in folder.iterdir())
    assert 256 <= count < 1500
    assert told == []
    again = Interrupted()
    assert values(lengths(target, again, told=told, **how)) == values(undisturbed)
    assert told == [f"going on after {count:,} of {undisturbed[0].num_samples if not how else 50_000:,} pairs, "
                    f"which {folder} has"]  # fmt: skip
    assert again.pairs <= 2 * (undisturbed[0].num_samples - count) + 8
    assert not (tmp_path / "unfinished").exists()


def test_other_measurements_do_not_use_what_was_kept(tmp_path):
    target = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        lengths(target, Interrupted(after=1600))
    for many in (MANY[:1], [PathSettings(space, "end", epsilon=1e-2, crop=False, seed=1) for space in "zw"]):
        other = Interrupted()
        lengths(target, other, many=many)
        assert other.pairs >= 1500 * len(many)
    assert len(list((tmp_path / "unfinished").iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"nothing of the kind"])
def test_damaged_parts_and_those_after_them_are_made_again(tmp_path, damage):
    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted())
    target, again = tmp_path / "results.jsonl", Interrupted()
    with pytest.raises(KeyboardInterrupt):
        lengths(target, Interrupted(after=2200))
    (folder,) = (tmp_path / "unfinished").iterdir()
    assert len(list(folder.iterdir())) > 2
    (folder / "000001.npy").write_bytes(damage)
    assert values(lengths(target, again)) == values(undisturbed)
    assert 2 * (1500 - 256) <= again.pairs <= 2 * (1500 - 256) + 8


def test_fewer_pairs_than_were_kept_are_their_beginning(tmp_path):
    target = tmp_path / "results.jsonl"
    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted(), num_samples=100)
    with pytest.raises(KeyboardInterrupt):
        lengths(target, Interrupted(after=1600))
    again = Interrupted()
    assert values(lengths(target, again, num_samples=100)) == values(undisturbed)
    assert again.pairs == 0


def test_more_pairs_than_before_go_on_with_whole_batches(tmp_path, monkeypatch):
    """A measurement of another number of pairs that was ended after its last pair, before its results."""

    def ended(*_, **__):
        raise KeyboardInterrupt

    target = tmp_path / "results.jsonl"
    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted(), num_samples=1100)
    with monkeypatch.context() as patch:
        patch.setattr("latentlab.metrics.path_length.measuring._result", ended)
        for number in (301, 703):
            with pytest.raises(KeyboardInterrupt):
                lengths(target, Interrupted(), num_samples=number)
    again = Interrupted()
    assert values(lengths(target, again, num_samples=1100)) == values(undisturbed)
    assert again.pairs <= 2 * (1100 - 696) + 8


def test_where_a_measurement_ends_does_not_depend_on_what_was_kept(tmp_path):
    how = {"until_ci": 0.05, "num_samples": 50_000}
    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted(), **how)
    number = undisturbed[0].num_samples
    with pytest.raises(KeyboardInterrupt):  # of a fixed number of pairs, larger
        lengths(tmp_path / "results.jsonl", Interrupted(after=2 * (number + 500)), num_samples=2 * number)
    again = Interrupted()
    assert values(lengths(tmp_path / "results.jsonl", again, **how)) == values(undisturbed)
    assert again.pairs < number


def test_a_distance_is_tried_on_equal_images_by_those_who_go_on_too(tmp_path):
    class Broken(Interrupted):
        def __call__(self, first, second):
            return super().__call__(first, second) + 1

    with pytest.raises(KeyboardInterrupt):
        lengths(tmp_path / "results.jsonl", Interrupted(after=1600))
    with pytest.raises(DataError, match="between equal images"):
        lengths(tmp_path / "results.jsonl", Broken())


def test_features_of_generated_images_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("latentlab.metrics.fid._STEP", 64)
    data, how = dataset(), {"network": NETWORK, "num_generated": 300, "num_real": 300, "batch_size": 20}
    undisturbed = distance_results(FakeGenerator(), data, Colours(), **how)[0]
    features, told = InterruptedColours(after=200), []
    with pytest.raises(KeyboardInterrupt), until_written(tmp_path / "results.jsonl") as unfinished:
        distance_results(FakeGenerator(), data, features, unfinished=unfinished, **how)
    again = Colours()
    with until_written(tmp_path / "results.jsonl", told=told.append) as unfinished:
        results = distance_results(FakeGenerator(), data, again, unfinished=unfinished, **how)[0]
    assert values(results) == values(undisturbed)
    assert again.seen == 300 - 180
    assert told[0].startswith("going on after 180 of 300 generated images")
    assert not (tmp_path / "unfinished").exists()


def test_a_full_disk_is_said_once_and_ends_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    undisturbed = lengths(tmp_path / "other" / "results.jsonl", Interrupted())
    monkeypatch.setattr("latentlab.unfinished.atomic_file", full)
    with pytest.warns(LatentLabWarning, match="No space left on device.*begins anew") as warned:
        found = lengths(tmp_path / "results.jsonl", Interrupted())
    assert len(warned) == 1
    assert values(found) == values(undisturbed)


def test_all_processes_begin_with_what_the_first_has(tmp_path):
    kept = Unfinished(tmp_path)
    kept.begin("ppl", {"seed": 0}, width=3)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    kept.keep(rows[:1])
    kept.keep(rows[1:])
    sent = []
    leader, other = Team(0, 2), Team(1, 2)
    object.__setattr__(leader, "add", lambda tensors: sent.append(tensors[0].clone()))
    object.__setattr__(other, "add", lambda tensors: tensors[0].add_(sent.pop(0)))
    np.testing.assert_array_equal(Unfinished(tmp_path, team=leader).begin("ppl", {"seed": 0}, width=3), rows)
    np.testing.assert_array_equal(Unfinished(tmp_path, team=other).begin("ppl", {"seed": 0}, width=3), rows)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_command_goes_on(tmp_path, processes):
    where = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
    (tmp_path / "own.py").write_text(where + OWN_NETWORKS)
    measure = ["-m", "latentlab", "ppl", "--network", "own:make", "--distance", "own:distance", "--no-crop"]
    measure += ["--num-samples", "900", "--batch-size", "8", "--device", "cpu", "--json"]
    command = [*measure, "--results", tmp_path / "results.jsonl"]
    whole = json.loads(finish(start(*measure, "--results", tmp_path / "whole" / "r.jsonl", cwd=tmp_path)))
    process = start(*command, processes=processes, cwd=tmp_path)
    end = time.monotonic() + 100
    while not list(tmp_path.glob("unfinished/ppl-*/000000.npy")):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    for pid in (tmp_path / "pids").read_text().split()[1:]:  # the first was of the whole measurement
        os.kill(int(pid), signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "results.jsonl").exists()
    again = start(*command, processes=processes, cwd=tmp_path)
    said, errors = again.communicate(timeout=100)
    assert again.returncode == 0, errors
    assert "going on after" in errors
    lines = [line for line in said.splitlines() if line.startswith("{")]
    assert json.loads(lines[-1])["value"] == pytest.approx(whole["value"], rel=1e-5)
    assert not (tmp_path / "unfinished").exists()
