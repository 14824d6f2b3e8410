"""Writing stores: kills at any moment, several threads and processes, full disks; always to the same bytes."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny_store import CHUNK_ROWS, EVERYTHING, SETTINGS, SHAPES, all_rows, create, go_on, rows_of, write

from latentlab.errors import StoreError
from latentlab.store import LatentStore, create_store, peek, resume_store, writer_lock

BOTH = pytest.mark.parametrize("settings", [SETTINGS, EVERYTHING], ids=["plain", "with-images"])
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}


def python(script: str, *arguments: object) -> subprocess.Popen:
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


@contextmanager
def largest_file(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@BOTH
def test_any_order_of_chunks_gives_the_same_file(tmp_path, settings):
    whole = write(tmp_path / "whole.h5", settings)
    path = create(tmp_path / "run.h5", settings)
    with resume_store(path) as writer:
        assert (writer.num_samples, writer.chunk_rows, writer.num_chunks) == (10, 4, 3)
        assert writer.rows(2) == slice(8, 10)
        for chunk, left in ((2, [0, 1]), (0, [1]), (1, [])):
            writer.write_chunk(chunk, rows_of(settings, writer.rows(chunk)))
            assert writer.pending == left
        writer.finish()
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["run.h5", "whole.h5"]


def test_two_threads_write_at_once(tmp_path):
    settings, shapes = EVERYTHING, SHAPES | {"images": (64, 64, 3)}
    whole = write(tmp_path / "whole.h5", settings, chunk_rows=1, shapes=shapes)
    path = create(tmp_path / "run.h5", settings, chunk_rows=1, shapes=shapes)
    with resume_store(path) as writer, ThreadPoolExecutor(2) as pool:
        rows = {chunk: rows_of(settings, writer.rows(chunk), shapes) for chunk in writer.pending}
        list(pool.map(writer.write_chunk, rows, rows.values()))
        assert writer.pending == []
        writer.finish()
    assert path.read_bytes() == whole.read_bytes()


ONE_OF_TWO = """
import sys
from pathlib import Path
from tiny_store import EVERYTHING, rows_of
from latentlab.store import resume_store
with resume_store(Path(sys.argv[1]), share=(int(sys.argv[2]), 2)) as writer:
    print(writer.pending, flush=True)
    for chunk in writer.pending:
        writer.write_chunk(chunk, rows_of(EVERYTHING, writer.rows(chunk)))
"""


def test_two_processes_write_at_once_and_one_finishes(tmp_path):
    whole = write(tmp_path / "whole.h5", EVERYTHING)
    path = create(tmp_path / "run.h5", EVERYTHING)
    with resume_store(path, share=(0, 2)) as writer:
        assert writer.pending == [0, 2]
        with pytest.raises(StoreError, match="3 of 3 chunks are not there yet"):
            writer.finish()
        processes = [python(ONE_OF_TWO, path, rank) for rank in (0, 1)]
        assert [process.communicate()[0] for process in processes] == ["[0, 2]\n", "[1]\n"]
        assert [process.returncode for process in processes] == [0, 0]
        writer.finish()
    assert path.read_bytes() == whole.read_bytes()


@BOTH
def test_each_process_checks_its_own_chunks(tmp_path, settings):
    path = write(tmp_path / "run.h5", settings, chunks=2)
    with h5py.File(path, "r+") as file:
        file["w"][5, 1] += 1
    with resume_store(path, share=(0, 2)) as writer:
        assert writer.pending == [2]
    assert peek(path)[1] == 8
    with resume_store(path, share=(1, 2)) as writer:
        assert writer.pending == [1]
    assert peek(path)[1] == 4
    with resume_store(path) as writer:
        assert writer.pending == [1, 2]


@pytest.mark.parametrize("damage", ["missing", "short", "changed", "of another chunk"])
def test_a_chunk_counts_only_with_its_images(tmp_path, damage):
    whole = write(tmp_path / "whole.h5", EVERYTHING)
    path = write(tmp_path / "run.h5", EVERYTHING, chunks=2)
    parts = tmp_path / "run.h5.parts"
    assert sorted(part.name for part in parts.iterdir()) == ["000000.h5", "000001.h5"]
    match damage:
        case "missing":
            (parts / "000001.h5").unlink()
        case "short":
            (parts / "000001.h5").write_bytes((parts / "000001.h5").read_bytes()[:500])
        case "changed":
            with h5py.File(parts / "000001.h5", "r+") as file:
                file["images"][0, 0, 0, 0] += 1
        case "of another chunk":
            (parts / "000001.h5").write_bytes((parts / "000000.h5").read_bytes())
    with resume_store(path) as writer:
        assert writer.pending == [1, 2]
    go_on(path)
    assert path.read_bytes() == whole.read_bytes()


def test_a_part_that_is_lost_before_the_end_is_named_and_made_again(tmp_path):
    path = create(tmp_path / "run.h5", EVERYTHING)
    with resume_store(path) as writer:
        for chunk in writer.pending:
            writer.write_chunk(chunk, rows_of(EVERYTHING, writer.rows(chunk)))
        (tmp_path / "run.h5.parts" / "000001.h5").unlink()
        with pytest.raises(StoreError, match=r"000001.h5 is missing or damaged: run the same command again"):
            writer.finish()
    go_on(path)
    assert path.read_bytes() == write(tmp_path / "whole.h5", EVERYTHING).read_bytes()


def test_two_writers_are_kept_apart(tmp_path):
    with (
        writer_lock(tmp_path / "run.h5"),
        pytest.raises(StoreError, match="being written by another process"),
        writer_lock(tmp_path / "run.h5"),
    ):
        pass


def test_parts_of_a_store_that_is_gone_or_complete_are_removed(tmp_path):
    path = tmp_path / "run.h5"
    parts = tmp_path / "run.h5.parts"
    write(path, EVERYTHING, chunks=2)
    with writer_lock(path):
        assert parts.is_dir()  # it is not complete
    path.unlink()
    create(path, EVERYTHING)
    assert not parts.exists()
    write(path, EVERYTHING)
    parts.mkdir()
    with writer_lock(path):
        assert not parts.exists()
    parts.mkdir()
    before = path.read_bytes()
    with resume_store(path) as writer:
        assert writer.pending == []
        writer.finish()
    assert not parts.exists()
    assert path.read_bytes() == before


def test_stores_of_an_earlier_schema_cannot_be_continued(tmp_path):
    path = write(tmp_path / "run.h5", chunks=2)
    with h5py.File(path, "r+") as file:
        del file["chunk_done"]
        file["rows_done"] = 8
        file.attrs.modify("schema_version", 1)
    assert peek(path)[1:] == (8, False)
    with pytest.raises(StoreError, match=r"schema version 1.* finish it with the version of LatentLab that wrote it"):
        resume_store(path).__enter__()


# -------------------------------------------------------------------------------------------------------- full disks


def test_a_full_disk_ends_in_a_clear_error_and_a_resumable_file(tmp_path):
    path = create(tmp_path / "run.h5")
    rows = rows_of(SETTINGS, slice(0, 4))
    with resume_store(path) as writer:
        writer.write_chunk(0, rows)
        with largest_file(16):
            with pytest.raises(StoreError, match=r"run.h5 could not be written .* make room"):
                writer.write_chunk(1, rows)
            with pytest.raises(StoreError, match=r"new.h5 could not be written"):
                create_store(tmp_path / "new.h5", SETTINGS, {"z": 4, "w": 3, "logits": 2})
    assert peek(path)[1] == 4
    assert [child.name for child in tmp_path.iterdir()] == ["run.h5"]


def test_a_full_disk_while_images_are_written(tmp_path):
    whole = write(tmp_path / "whole.h5", EVERYTHING)
    path = create(tmp_path / "run.h5", EVERYTHING)
    rows = {chunk: rows_of(EVERYTHING, slice(4 * chunk, min(4 * chunk + 4, 10))) for chunk in range(3)}
    with resume_store(path) as writer:
        writer.write_chunk(0, rows[0])
        with largest_file(1000), pytest.raises(StoreError, match=r"run.h5 could not be written \(File too large\)"):
            writer.write_chunk(1, rows[1])
        assert peek(path)[1] == 4
        assert [part.name for part in (tmp_path / "run.h5.parts").iterdir()] == ["000000.h5"]
        for chunk in (1, 2):
            writer.write_chunk(chunk, rows[chunk])
        with largest_file(path.stat().st_size), pytest.raises(StoreError, match=r"run.h5 could not be written"):
            writer.finish()
    assert peek(path)[1:] == (10, False)
    assert sorted(child.name for child in tmp_path.iterdir() if child != whole) == ["run.h5", "run.h5.parts"]
    go_on(path)
    assert path.read_bytes() == whole.read_bytes()


# ------------------------------------------------------------------------------------------------------------- kills

KILLED_AT_EVERY_STEP = """
import itertools, os, shutil, sys
from dataclasses import replace
from pathlib import Path
from tiny_store import EVERYTHING, SETTINGS, go_on
from latentlab.store import parts, peek, writing

path, settings = Path(sys.argv[1]), {"plain": SETTINGS, "with-images": EVERYTHING}[sys.argv[2]]
steps = itertools.count()

def torn_write(handle, block, place):
    pwrite(handle, bytes(block)[: len(block) // 2], place)

def torn_copy(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:1000])

def half_removed(folder):
    next(iter(sorted(folder.iterdir()))).unlink()

def torn_part(file, content):
    write_bytes(file, content[: len(content) // 2])

def die_at(step, owner, name, torn=None):
    function = getattr(owner, name)
    def wrapped(*arguments, **options):
        if next(steps) == step:
            if torn is not None:
                torn(*arguments)
            os._exit(9)
        result = function(*arguments, **options)
        if next(steps) == step:
            os._exit(9)
        return result
    setattr(owner, name, wrapped)

pwrite, write_bytes = os.pwrite, Path.write_bytes
def child(step):
    die_at(step, os, "pwrite", torn_write)
    die_at(step, os, "fsync")
    die_at(step, Path, "write_bytes", torn_part)
    die_at(step, Path, "replace")
    die_at(step, Path, "unlink")
    die_at(step, shutil, "copyfile", torn_copy)
    die_at(step, shutil, "rmtree", half_removed)
    die_at(step, os, "posix_fallocate")
    die_at(step, parts, "put_parts")
    die_at(step, parts, "part_crc32")
    go_on(path, settings)
    os._exit(0)

go_on(path, settings)
whole = path.read_bytes()
path.unlink()
for step in itertools.count():
    finished = 0
    for again in range(2):  # killed at this step of the first run, and of the run that goes on from there
        process = os.fork()
        if not process:
            child(step)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, 9), code
        if path.exists():
            rows = peek(path)[1]
            assert rows >= finished, (step, rows, finished)
            finished = rows
        if code == 0:
            break
    go_on(path, settings)
    assert path.read_bytes() == whole, step
    left = {child.name for child in path.parent.iterdir()} - {path.name, f".{path.name}.lock"}
    assert not [name for name in left if name.endswith(".parts")], (step, left)
    for name in left:
        (path.parent / name).unlink()
    path.unlink()
    if code == 0 and not again:
        break
print(step)
"""


@BOTH
def test_killed_before_within_and_after_every_step(tmp_path, settings):
    process = python(KILLED_AT_EVERY_STEP, tmp_path / "run.h5", "plain" if settings is SETTINGS else "with-images")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert int(out) >= (40 if settings is SETTINGS else 70)  # kills


WRITE_FOREVER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tiny_store import EVERYTHING, create, rows_of
from latentlab.store import resume_store, writer_lock
path, settings = Path(sys.argv[1]), replace(EVERYTHING, num_samples=3000)
with writer_lock(path):
    if not path.exists():
        create(path, settings)
    with resume_store(path) as writer, ThreadPoolExecutor(2) as pool:
        print("ready", flush=True)
        for pair in zip(*[iter(writer.pending)] * 2):
            list(pool.map(writer.write_chunk, pair, [rows_of(settings, writer.rows(chunk)) for chunk in pair]))
"""


def test_twenty_kills_at_random_moments_lose_no_finished_chunk(tmp_path):
    path, finished, moments = tmp_path / "run.h5", 0, random.Random(0)
    for _ in range(20):
        with python(WRITE_FOREVER, path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.0, 0.06) if finished else 0.5)
            process.send_signal(signal.SIGKILL)
        settings, rows, complete = peek(path)
        assert (settings.num_samples, complete) == (3000, False)
        assert rows >= finished
        finished = rows
    assert finished > 0
    with resume_store(path) as writer, h5py.File(path) as file:
        there = [chunk for chunk in range(writer.num_chunks) if chunk not in writer.pending]
        assert len(there) * CHUNK_ROWS == finished
        for chunk in there[:: max(1, len(there) // 20)]:
            rows = writer.rows(chunk)
            assert np.array_equal(file["ws"][rows], rows_of(settings, rows)["ws"])


def test_a_store_is_readable_by_others_while_it_grows(tmp_path):
    path = create(tmp_path / "run.h5", EVERYTHING)
    with resume_store(path) as writer:
        writer.write_chunk(1, rows_of(EVERYTHING, slice(4, 8)))
        with h5py.File(path, "r", locking=False) as file:
            assert np.array_equal(file["z"][4:8], all_rows(EVERYTHING)["z"][4:8])
        with pytest.raises(StoreError, match="incomplete: 4 of 10"):
            LatentStore.open(path)
