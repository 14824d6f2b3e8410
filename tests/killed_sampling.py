"""Samples in forked processes that are killed with -9, until the store is complete. Usage: killed_sampling.py FOLDER.

A third of the kills come at random moments; the others in the middle of writing rows, checksums, marks or part files,
half of whose bytes are on the disk by then. After every kill the store must open, and chunks that were finished must be
finished and sound.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller

from latentlab.sampling import sample
from latentlab.store import peek, resume_store

CHUNKS = 300
KILLS = 24


def run(path: Path) -> None:
    torch.set_num_threads(1)
    sample(
        FakeGenerator(),
        path,
        network=NETWORK,
        labeller=FakeLabeller(),
        num_samples=CHUNKS * 256 - 100,
        with_images=True,
    )


def killed_at_write(number: int) -> None:
    """Let this process die in the middle of its n-th write."""
    pwrite, write_bytes, left = os.pwrite, Path.write_bytes, [number]

    def dying_pwrite(handle: int, data: memoryview, place: int) -> int:
        left[0] -= 1
        if left[0] == 0:
            pwrite(handle, data[: len(data) // 2], place)
            os.kill(os.getpid(), signal.SIGKILL)
        return pwrite(handle, data, place)

    def dying_write_bytes(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] == 0:
            write_bytes(path, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write_bytes(path, data)

    os.pwrite, Path.write_bytes = dying_pwrite, dying_write_bytes


def attempt(path: Path, *, write: int | None = None, seconds: float | None = None) -> bool:
    """Sample in a process of its own that may be killed; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            if write is not None:
                killed_at_write(write)
            run(path)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def finished(path: Path) -> set[int]:
    """The chunks that are finished and sound; all others are pending, or the store does not open."""
    with resume_store(path) as writer:
        return set(range(CHUNKS)) - set(writer.pending)


def main() -> None:
    folder, chance = Path(sys.argv[1]), random.Random(0)
    path, kept, counts = folder / "killed.h5", [0], {"kills": 0, "kills in a write": 0}
    before: set[int] = set()
    while counts["kills"] < KILLS:
        in_write = counts["kills"] % 3 > 0
        if in_write:
            killed = attempt(path, write=chance.randint(1, 30))
        else:
            killed = attempt(path, seconds=chance.uniform(0.01, 0.1))
        counts["kills"] += killed
        counts["kills in a write"] += killed and in_write
        if path.exists():
            now = finished(path)
            assert before <= now, f"lost {before - now}"
            assert peek(path)[1] <= CHUNKS * 256
            before = now
            kept.append(len(now))
        if not killed and len(before) == CHUNKS:
            raise SystemExit("the store was complete before it was killed often enough")
    assert not attempt(path)
    assert not attempt(folder / "whole.h5")
    print(json.dumps({**counts, "kept chunks at the start": kept[1], "kept chunks at the end": kept[-1]}))


if __name__ == "__main__":
    main()
