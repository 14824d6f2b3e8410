"""Several ways of doing one thing, measured in turns, so that a machine that slows down slows all of them."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

TURNS = 5


def measured(ways: Mapping[str, Callable[[], None]], amount: int) -> dict[str, list[float]]:
    """How much of `amount` each way does in a second, turn by turn; a turn before the first warms up."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        print(f"turn {turn} of {TURNS}" if turn else "warming up", file=sys.stderr, flush=True)
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            if turn:
                speeds[name].append(amount / (time.perf_counter() - started))
    return speeds


def table(speeds: Mapping[str, Sequence[float]], peer: Sequence[float], digits: int = 0) -> list[list[str]]:
    """A row per way: median speed, median ratio to the peer's speed in the same turn, and the range of the ratios."""
    rows = []
    for name, found in speeds.items():
        ratios = [one / other for one, other in zip(found, peer, strict=True)]
        median = f"{statistics.median(found):,.{digits}f}"
        rows.append([name, median, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}"])
    return rows
