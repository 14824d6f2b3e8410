"""Several ways of doing one thing, each in a process of its own, measured in turns.

So a machine that slows down slows all of them, and none has the memory settings of another.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from latentlab.memory import keep_freed_memory

TURNS = 5


def measured(
    make: Callable[..., Any], arguments: tuple[Any, ...], ways: Mapping[str, tuple[str, bool]], amount: int
) -> dict[str, list[float]]:
    """How much of `amount` each way does in a second, turn by turn; a turn before the first warms up.

    Args:
        make: Makes, in each process, the object whose methods are the ways.
        arguments: For it.
        ways: Name of a way -> its method, and whether it has the memory settings of LatentLab's command line.
        amount: What a call does.
    """
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for name, (method, ours) in ways.items():
        connections[name], theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, make, arguments, method, ours), daemon=True)
        process.start()
        processes.append(process)
        connections[name].recv()  # it is ready
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        print(f"turn {turn} of {TURNS}" if turn else "warming up", file=sys.stderr, flush=True)
        for name, connection in connections.items():
            connection.send(True)
            seconds = connection.recv()
            if turn:
                speeds[name].append(amount / seconds)
    for connection, process in zip(connections.values(), processes, strict=True):
        connection.send(False)
        process.join()
    return speeds


def table(speeds: Mapping[str, Sequence[float]], peer: Sequence[float], digits: int = 0) -> list[list[str]]:
    """A row per way: median speed, median ratio to the peer's speed in the same turn, and the range of the ratios."""
    rows = []
    for name, found in speeds.items():
        ratios = [one / other for one, other in zip(found, peer, strict=True)]
        median = f"{statistics.median(found):,.{digits}f}"
        rows.append([name, median, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}"])
    return rows


def _serve(
    connection: Connection, make: Callable[..., Any], arguments: tuple[Any, ...], method: str, ours: bool
) -> None:
    if ours:
        keep_freed_memory()
    work = getattr(make(*arguments), method)
    connection.send(True)
    while connection.recv():
        started = time.perf_counter()
        work()
        connection.send(time.perf_counter() - started)
