"""Joining stores: shards of one run into the file a single run would have written, or samples of several runs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from latentlab.errors import StoreError, UsageError
from latentlab.files import refuse_existing
from latentlab.progress import Progress, silent
from latentlab.store.checking import repeated_rows, row_digests
from latentlab.store.form import CHUNK_ROWS, StoreSettings
from latentlab.store.reading import LatentStore
from latentlab.store.writing import new_store


def merge_stores(paths: Sequence[Path | str], out: Path | str, *, progress: Progress = silent) -> StoreSettings:
    """Join stores of one network into a new one, a chunk at a time; returns what the new store says of itself.

    Stores of one seed are shards: in the order of their sample numbers they must follow each other without a gap, and
    the result equals, byte by byte, the store of a single run (in chunks of 256 rows where theirs differ).
    Stores of several or unknown seeds are put behind each other as they are given: the result has no seed, its sample
    numbers begin at 0, and `sources` says what it was made of.

    Raises:
        OutputExistsError: `out` is taken.
        UsageError: fewer than two stores, or one of them twice.
        StoreError: stores that cannot be read, do not fit each other, overlap, or leave a gap; repeated rows.
    """
    out = Path(out)
    refuse_existing(out)
    if len(paths) < 2 or len({Path(path).resolve() for path in paths}) < len(paths):
        raise UsageError("merge takes two or more stores, and each of them once.")
    with ExitStack() as opened:
        stores = [opened.enter_context(LatentStore.open(path)) for path in paths]
        for store in stores[1:]:
            _check_fit(stores[0], store)
        _check_overlaps(stores)
        seeds = {store.settings.seed for store in stores}
        if len(seeds) == 1 and None not in seeds:
            stores.sort(key=lambda store: store.settings.first_row)
            settings = _one_run(stores)
        else:
            settings = _several_runs(stores)
        _copy(stores, out, settings, progress)
    return settings


def regroup(blocks: Iterable[dict[str, np.ndarray]], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Cut a stream of blocks of rows into blocks of `rows` rows; the last one may be shorter."""
    held: list[dict[str, np.ndarray]] = []
    count = 0
    for block in blocks:
        total = len(next(iter(block.values())))
        start = 0
        while start < total:
            stop = min(start + rows - count, total)
            held.append({name: values[start:stop] for name, values in block.items()})
            count, start = count + stop - start, stop
            if count == rows:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def _joined(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _check_fit(first: LatentStore, other: LatentStore) -> None:
    """Both must be of the same network and settings, with the same datasets."""
    mine, theirs = (replace(store.settings, num_samples=0, seed=None, first_row=0) for store in (first, other))
    differences = theirs.differences(mine)
    if not differences:
        widths = {name: (other.widths[name], width) for name, width in first.widths.items()}
        differences = [f"{name} {[*a]} per row instead of {[*b]}" for name, (a, b) in widths.items() if a != b]
    if differences:
        raise StoreError(f"{other.path} does not fit {first.path}: {'; '.join(differences)}.")


def _check_overlaps(stores: list[LatentStore]) -> None:
    """No sample may be there twice: by seed and number, or, where seeds are not known, by z."""
    known = [store for store in stores if store.settings.seed is not None]
    known.sort(key=lambda store: (store.settings.seed, store.settings.first_row))
    for a, b in pairwise(known):
        end = a.settings.first_row + len(a)
        if a.settings.seed == b.settings.seed and b.settings.first_row < end:
            last = min(end, b.settings.first_row + len(b)) - 1
            raise StoreError(
                f"{a.path} and {b.path} overlap: both hold the samples {b.settings.first_row} to {last} of seed "
                f"{a.settings.seed}. Leave one of them out."
            )
    if len(known) < len(stores) and stores[0].has("z"):
        _check_repeated(stores)


def _check_repeated(stores: list[LatentStore]) -> None:
    digests = [digest for store in stores for block in store.blocks(["z"]) for digest in row_digests(block["z"])]
    ends = np.cumsum([len(store) for store in stores])
    for pair in repeated_rows(digests):
        (store, row), (other, earlier) = (_place(stores, ends, place) for place in pair)
        raise StoreError(f"{store}: row {row} repeats row {earlier} of {other} (z is the same). Leave one of them out.")


def _place(stores: list[LatentStore], ends: np.ndarray, row: int) -> tuple[Path, int]:
    """The store that holds a row of the whole, and its number there."""
    number = int(np.searchsorted(ends, row, side="right"))
    return stores[number].path, row - int(ends[number]) + len(stores[number])


def _one_run(stores: list[LatentStore]) -> StoreSettings:
    """What the store of a single run would say."""
    for a, b in pairwise(stores):
        end = a.settings.first_row + len(a)
        if b.settings.first_row != end:
            raise StoreError(
                f"between {a.path} and {b.path} the samples {end} to {b.settings.first_row - 1} are missing: "
                "name the store that holds them, too."
            )
    sources: list[Any] = []
    for store in stores:
        sources += [source for source in store.settings.sources if source not in sources]
    return replace(_common(stores), first_row=stores[0].settings.first_row, sources=tuple(sources))


def _several_runs(stores: list[LatentStore]) -> StoreSettings:
    """The common settings, with no seed."""
    return replace(_common(stores), seed=None, first_row=0, sources=tuple(store.provenance for store in stores))


def _common(stores: list[LatentStore]) -> StoreSettings:
    resizes = {store.settings.resize for store in stores}
    resize = resizes.pop() if len(resizes) == 1 else "unknown"
    return replace(stores[0].settings, num_samples=sum(map(len, stores)), resize=resize)


def _copy(stores: list[LatentStore], out: Path, settings: StoreSettings, progress: Progress) -> None:
    steps = {store.chunk_rows for store in stores}
    step = steps.pop() if len(steps) == 1 else CHUNK_ROWS
    blocks = (block for store in stores for block in store.blocks(settings.datasets))
    with new_store(out, settings, stores[0].widths, chunk_rows=step) as writer:
        for number, block in enumerate(regroup(blocks, step)):
            writer.write_chunk(number, block)
            progress(writer.rows(number).stop, writer.num_samples)
