"""Blocks of rows: how many rows networks take at once, and working on several blocks at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from latentlab.protocols import FOREIGN_BLOCK

MOST_ROWS = 64
Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def block_pool(workers: int) -> Iterator[Executor]:
    """A pool whose threads compute with one thread each; what waits in it is dropped when the block ends early."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: Executor, function: Callable[[Item], Made], items: Iterable[Item], *, ahead: int
) -> Iterator[tuple[Item, Made]]:
    """Items with what `function` makes of them in a pool, in the items' order; at most `ahead` are in work."""
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) >= ahead:
            first, made = waiting.popleft()
            yield first, made.result()
    for first, made in waiting:
        yield first, made.result()


def block_rows(resolution: int) -> int:
    """Rows for which networks run together, by the images' height and width; a divisor of a chunk's.

    As many as keep the processor busy with small images, and fit its memory with large ones.
    """
    return min(max(2**20 // resolution**2, FOREIGN_BLOCK), MOST_ROWS)
