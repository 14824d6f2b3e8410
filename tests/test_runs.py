"""Listing runs: their states from what is on disk, without touching anything."""

import datetime
import json
import os
import subprocess
import sys
import time

import pytest
import typer
from filelock import FileLock
from typer.testing import CliRunner

from latentlab.cli.runs import duration, runs
from latentlab.errors import UsageError
from trainers.loop import train
from trainers.runs import BestSnapshot, list_runs

GENERATOR = {"use_styles": True, "mapping_layers": 8, "resolution": 32}


def _run(root, name="one", *, ticks=3, total=10.0, section="trainer", **config):
    """A run folder with a tick per kimg, at 100, 200, 300, ... images per second."""
    run = root / name
    run.mkdir(parents=True)
    settings = {"config": "F", "generator": GENERATOR, section: {"total_kimg": total}, "dataset": {"name": "faces"}}
    (run / "config.json").write_text(json.dumps(settings | config))
    (run / ".lock").touch()
    lines = [
        json.dumps({"kimg": float(i), "images_per_second": 100.0 * i, "seconds": 5.0 * i}) for i in range(1, ticks + 1)
    ]
    (run / "stats.jsonl").write_text("".join(line + "\n" for line in lines))
    return run


def _snapshot(run, images, **fields):
    folder = run / "snapshots" / f"{images:09d}"
    folder.mkdir(parents=True)
    (folder / "training.json").write_text(json.dumps({"num_images": images, **fields}))


def test_a_stopped_run(tmp_path):
    run = _run(tmp_path, ticks=9)
    os.utime(run / "stats.jsonl", (1_700_000_000, 1_700_000_000))
    (found,) = list_runs(tmp_path)
    assert (found.name, found.path, found.state, found.reason) == ("one", run, "stopped", "")
    assert (found.kimg, found.total_kimg, found.seconds) == (9.0, 10.0, 45.0)
    assert found.images_per_second == 700.0  # of 500, 600, 700, 800, 900
    assert (found.settings, found.dataset) == ("style 8, F, 32 px", "faces")
    assert found.updated == datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    assert (found.best, found.seconds_left) == (None, None)


def test_a_run_being_trained_is_told_by_its_lock(tmp_path):
    run = _run(tmp_path, ticks=4)
    script = "import sys, time, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire()\n"
    script += "print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(run / ".lock")], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        (found,) = list_runs(tmp_path)
        process.kill()
    assert found.state == "training"
    assert found.seconds_left == pytest.approx(6000 / 250)
    assert list_runs(tmp_path)[0].state == "stopped"
    with FileLock(run / ".lock", timeout=0):
        assert list_runs(tmp_path)[0].state == "training"


def test_finished(tmp_path):
    run = _run(tmp_path, ticks=10)
    assert list_runs(tmp_path)[0].state == "stopped"  # killed, or the disk was full, while it wrote the snapshot
    _snapshot(run, 9_000)
    assert list_runs(tmp_path)[0].state == "stopped"
    _snapshot(run, 10_000)
    assert list_runs(tmp_path)[0].state == "finished"


def test_a_run_whose_snapshots_are_all_damaged(tmp_path):
    run = _run(tmp_path, ticks=10)
    for images in (9_000, 10_000):
        _snapshot(run, images)
        (run / "snapshots" / f"{images:09d}" / "training.json").write_text("")
    (found,) = list_runs(tmp_path)
    assert (found.state, found.reason) == ("damaged", "no snapshot can be read")
    with FileLock(run / ".lock", timeout=0):
        assert list_runs(tmp_path)[0].state == "training"


def test_the_folder_of_a_real_run(tmp_path, tiny_run, squares):
    train(tiny_run(), squares, tmp_path / "real", snapshot_metrics=lambda g, n: {"swd": 1000.0 - n}, score="swd")
    (found,) = list_runs(tmp_path)
    assert (found.state, found.kimg, found.settings, found.dataset) == ("finished", 0.2, "style 2, F, 16 px", "squares")
    assert found.best == BestSnapshot("swd", 800.0, 0.2)


def test_files_of_earlier_versions(tmp_path):
    run = _run(tmp_path, section="training", config=None, preset="quick")
    for images, fid in ((1000, 9.0), (2000, 5.0), (3000, 7.0)):
        _snapshot(run, images, metrics={"swd": images, "fid2048": fid})
    (found,) = list_runs(tmp_path)
    assert (found.total_kimg, found.settings) == (10.0, "style 8, quick, 32 px")
    assert found.best == BestSnapshot("fid2048", 5.0, 2.0)


def test_the_best_snapshot_is_what_the_newest_readable_one_says(tmp_path):
    run = _run(tmp_path)
    _snapshot(run, 1000, best={"metric": "swd", "value": 8.0, "num_images": 1000})
    _snapshot(run, 2000, best={"metric": "swd", "value": 6.0, "num_images": 2000})
    _snapshot(run, 3000)
    (run / "snapshots" / "000003000" / "training.json").write_text("{")
    assert list_runs(tmp_path)[0].best == BestSnapshot("swd", 6.0, 2.0)


@pytest.mark.parametrize("end", ['{"kimg": 4.0, "imag', "\x00\x00\x00\x00", '{"kimg": null}\n', "[1]\n", "\n"])
def test_a_half_written_last_line_is_left_out(tmp_path, end):
    run = _run(tmp_path, ticks=3)
    with (run / "stats.jsonl").open("a") as file:
        file.write(end)
    assert [(found.state, found.kimg) for found in list_runs(tmp_path)] == [("stopped", 3.0)]


def test_a_run_before_its_first_tick(tmp_path):
    run = _run(tmp_path)
    (run / "stats.jsonl").write_text('{"kimg": 1.')
    assert [(found.state, found.kimg, found.images_per_second) for found in list_runs(tmp_path)] == [
        ("stopped", 0.0, None)
    ]
    (run / "stats.jsonl").unlink()
    assert list_runs(tmp_path)[0].state == "stopped"


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", b"{", "config.json is no JSON"),
        ("config.json", b"\xff\xfe", "config.json is no JSON"),
        ("config.json", b"[]", "config.json is no JSON object"),
        ("config.json", b'{"trunk": {}}', "config.json is not that of a training run"),
        ("stats.jsonl", b"\x00\n\x01\n", "stats.jsonl holds no line that can be read"),
    ],
)
def test_damaged(tmp_path, file, content, reason):
    path = _run(tmp_path) / file
    path.unlink() if content is None else path.write_bytes(content)
    (found,) = list_runs(tmp_path)
    assert (found.state, found.reason) == ("damaged", reason)


def test_newest_first_and_only_runs(tmp_path):
    for age, name in ((300, "old"), (100, "new"), (200, "middle")):
        os.utime(_run(tmp_path, name) / "stats.jsonl", (1_700_000_000 - age,) * 2)
    for other in ("imported", ".new.abc.partial"):
        (tmp_path / other).mkdir()
    (tmp_path / "imported" / "network.json").write_text("{}")
    (tmp_path / ".new.abc.partial" / "config.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    assert [run.name for run in list_runs(tmp_path)] == ["new", "middle", "old"]


def test_the_root_may_be_a_run_or_missing(tmp_path, monkeypatch):
    run = _run(tmp_path)
    assert [found.name for found in list_runs(run)] == ["one"]
    monkeypatch.chdir(run)
    assert [found.name for found in list_runs(type(run)())] == ["one"]
    assert list_runs(tmp_path / "nowhere") == []


def _contents(root):
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")}


def test_nothing_is_touched(tmp_path):
    _snapshot(_run(tmp_path), 1000)
    (_run(tmp_path, "unlocked") / ".lock").unlink()
    before = _contents(tmp_path)
    assert len(list_runs(tmp_path)) == 2
    assert _contents(tmp_path) == before


def test_a_hundred_long_runs_are_listed_at_once(tmp_path):
    run = _run(tmp_path, "000", ticks=20_000, total=20_000)
    for i in range(1, 100):
        folder = tmp_path / f"{i:03d}"
        folder.mkdir()
        for name in ("config.json", "stats.jsonl", ".lock"):
            (folder / name).hardlink_to(run / name)
    started = time.perf_counter()
    assert {found.kimg for found in list_runs(tmp_path)} == {20_000.0}
    assert time.perf_counter() - started < 2


def test_no_torch_is_loaded():
    script = "import sys, latentlab.cli.runs, latentlab.cli.display, trainers.runs\n"
    script += "print(sorted({'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(runs)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_the_table(tmp_path, command):
    run = _run(tmp_path, "style-8", ticks=4)
    _snapshot(run, 4000, best={"metric": "swd", "value": 6.25, "num_images": 3000})
    (_run(tmp_path, "broken") / "config.json").write_text("{")
    with FileLock(run / ".lock"):
        output = command(tmp_path).output
    line = next(line for line in output.splitlines() if line.strip().startswith("style-8"))
    for cell in ("training", "4.0 of 10", "250", "swd 6.25 at 3", "24 s", "style 8, F, 32 px", "faces"):
        assert cell in line
    assert "broken is damaged: config.json is no JSON." in output


def test_json_lines(tmp_path, command):
    for name in ("a", "b"):
        _run(tmp_path, name)
    records = [json.loads(line) for line in command(tmp_path, "--json").stdout.splitlines()]
    assert sorted(record["name"] for record in records) == ["a", "b"]
    assert records[0].keys() == {
        "name", "path", "state", "reason", "kimg", "total_kimg", "images_per_second", "seconds", "seconds_left",
        "best", "settings", "dataset", "updated",
    }  # fmt: skip


def test_no_runs_get_a_sentence(tmp_path, command):
    for words in ((tmp_path,), (tmp_path / "nowhere", "--json")):
        result = command(*words)
        assert result.exit_code == 0
        assert result.stdout == ""
        assert "`latentlab train` makes one" in result.stderr


def test_a_file_is_no_folder_of_runs(tmp_path, command):
    (tmp_path / "run.h5").touch()
    assert isinstance(command(tmp_path / "run.h5").exception, UsageError)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"), (0, "0 s"), (59.4, "59 s"), (59.9, "1 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min"),
        (3540, "59 min"), (3600 * 47, "47 h 00 min"), (3600 * 72, "3 days"),
    ],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words
