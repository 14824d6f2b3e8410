"""Blocks of rows: how many rows networks take at once, and working on several blocks at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from latentlab.protocols import FOREIGN_BLOCK, GeneratorLike, full_precision, threads_may_share

MOST_ROWS = 64
READING_THREADS = 2
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


def mapped(
    network: Callable[[torch.Tensor], torch.Tensor],
    read: Callable[[Item], torch.Tensor],
    items: Iterable[Item],
    *,
    device: torch.device,
    workers: int | None = None,
) -> Iterator[tuple[Item, torch.Tensor]]:
    """What a network makes of each item's images, on the CPU, in order, under inference mode and full precision.

    On a CPU a thread reads an item and runs the network on it, on as many items at once as torch has threads; on a GPU
    threads read ahead.

    Args:
        network: On `device`; several threads call it at once unless `workers` is 1.
        read: Makes an item's images, on the CPU.
        items: What is read.
        device: Where the network is.
        workers: Threads; left out, as described.
    """
    on_cpu = device.type == "cpu"
    workers = workers or (torch.get_num_threads() if on_cpu else READING_THREADS)

    @torch.inference_mode()
    def compute(images: torch.Tensor) -> torch.Tensor:
        return network(images.to(device)).cpu()

    def work(item: Item) -> torch.Tensor:
        return compute(read(item)) if on_cpu else read(item)

    with block_pool(workers) as pool, full_precision():
        for item, found in in_order(pool, work, items, ahead=2 * workers):
            yield item, found if on_cpu else compute(found)


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


def spread(
    function: Callable[[Item], Made], items: Iterable[Item], generator: GeneratorLike, device: torch.device | str
) -> Iterator[tuple[Item, Made]]:
    """Items with what a function makes of them by a generator, in order, under full precision.

    On a CPU several threads call the function at once, if they may share the generator.
    """
    on_cpu = torch.device(device).type == "cpu"
    workers = torch.get_num_threads() if on_cpu and threads_may_share(generator) else 1
    with block_pool(workers) as pool, full_precision():
        yield from in_order(pool, function, items, ahead=2 * workers)


def cut(rows: slice, size: int) -> list[slice]:
    """Rows cut into blocks of `size`, the last one as long as what remains."""
    return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]


def block_rows(resolution: int) -> int:
    """Rows for which networks run together, by the images' height and width; a divisor of a chunk's.

    As many as keep the processor busy with small images, and fit its memory with large ones.
    """
    return min(max(2**20 // resolution**2, FOREIGN_BLOCK), MOST_ROWS)
