"""Checking a whole store: every chunk's checksums, finite numbers, names, and rows that are there twice."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentlab.progress import Progress, silent
from latentlab.store.reading import LatentStore


@dataclass(frozen=True)
class StoreCheck:
    """What was found.

    Attributes:
        num_samples: Rows.
        datasets: What was checked.
        checksums: Whether the file has checksums; without, damage is only noticed where numbers are not finite.
        findings: One phrase per thing that is wrong; empty if nothing is.
    """

    num_samples: int
    datasets: tuple[str, ...]
    checksums: bool
    findings: tuple[str, ...]


def check_store(path: Path | str, *, network_sha256: str | None = None, progress: Progress = silent) -> StoreCheck:
    """Read all of a complete store, a chunk at a time, and tell everything that is wrong with it.

    Args:
        path: The store.
        network_sha256: The network it must be of.
        progress: Told after every chunk of every dataset; the unit is rows.

    Raises:
        StoreError: it cannot be opened: see `LatentStore.open`.
    """
    with LatentStore.open(path, network_sha256=network_sha256) as store:
        names, total = store.settings.datasets, len(store) * len(store.settings.datasets)
        findings: list[str] = []
        digests: list[bytes | None] = []
        done = 0
        for name in names:
            for number, rows in enumerate(store.chunks):
                values, problem = store.inspect(name, number)
                findings += [] if problem is None else [problem]
                if name == "z":
                    digests += row_digests(values) if len(values) else [None] * (rows.stop - rows.start)
                done += rows.stop - rows.start
                progress(done, total, name)
        findings += [f"row {row} repeats row {first}: z is the same" for row, first in repeated_rows(digests)]
        repeated = [name for name, count in Counter(store.settings.attributes).items() if count > 1]
        findings += [f"the attribute {name} is named more than once" for name in repeated]
        return StoreCheck(len(store), names, store.has_checksums, tuple(findings))


def row_digests(values: np.ndarray) -> list[bytes]:
    """A digest of the bytes of each row, by which equal rows are found."""
    return [hashlib.blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(values)]


def repeated_rows(digests: Iterable[bytes | None]) -> Iterator[tuple[int, int]]:
    """(row, earlier row) for every row whose digest was there before; None stands for a row that cannot be read."""
    first: dict[bytes, int] = {}
    for row, digest in enumerate(digests):
        if digest is not None and first.setdefault(digest, row) != row:
            yield row, first[digest]
