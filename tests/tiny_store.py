"""Tiny stores whose rows are known: row i is a function of the seed and i alone."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from latentlab.store import StoreSettings, create_store, peek, resume_store, writer_lock

SHAPES = {"z": (4,), "w": (3,), "ws": (2, 3), "logits": (2,), "features": (5,), "images": (8, 8, 3)}
CHUNK_ROWS = 4
SETTINGS = StoreSettings(
    num_samples=10,
    seed=3,
    network={"name": "net", "sha256": "a" * 64},
    classifiers={"name": "classifiers", "sha256": "b" * 64},
    attributes=("Male", "Smiling"),
    truncation_psi=1.0,
    noise_mode="random",
)
EVERYTHING = replace(
    SETTINGS,
    datasets=tuple(SHAPES),
    features={"name": "trunk", "sha256": "c" * 64},
    resize="box 64 -> 32",
)


def rows_of(settings: StoreSettings, rows: slice, shapes: dict = SHAPES) -> dict[str, np.ndarray]:
    """The rows of a store."""
    found: dict[str, list] = {name: [] for name in settings.datasets}
    for number in range(settings.first_row + rows.start, settings.first_row + rows.stop):
        random = np.random.default_rng([settings.seed or 0, number])
        for name in found:
            values = random.normal(size=shapes[name]) if name != "images" else random.integers(0, 256, shapes[name])
            found[name].append(values.astype(np.uint8 if name == "images" else np.float32))
    return {name: np.stack(values) for name, values in found.items()}


def all_rows(settings: StoreSettings) -> dict[str, np.ndarray]:
    return rows_of(settings, slice(0, settings.num_samples))


def create(path: Path, settings: StoreSettings = SETTINGS, *, chunk_rows=CHUNK_ROWS, shapes: dict = SHAPES) -> Path:
    create_store(path, settings, {name: shapes[name] for name in settings.datasets}, chunk_rows=chunk_rows)
    return path


def write(
    path: Path,
    settings: StoreSettings = SETTINGS,
    *,
    chunks: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    shapes: dict = SHAPES,
) -> Path:
    """A store of chunks of four rows, all of them or the first few."""
    create(path, settings, chunk_rows=chunk_rows, shapes=shapes)
    with resume_store(path) as writer:
        for chunk in writer.pending[:chunks]:
            writer.write_chunk(chunk, rows_of(settings, writer.rows(chunk), shapes))
        if not writer.pending:
            writer.finish()
    return path


def go_on(path: Path, settings: StoreSettings = EVERYTHING) -> None:
    """Do what is left of a store, as a command does that is run again."""
    with writer_lock(path):
        if not path.exists():
            create(path, settings)
        if peek(path)[2]:
            return
        with resume_store(path) as writer:
            for chunk in writer.pending:
                writer.write_chunk(chunk, rows_of(settings, writer.rows(chunk)))
            writer.finish()


def foreign(path: Path, *, attributes: dict | None = None, **arrays: object) -> Path:
    """A file as another tool might write it."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update(attributes or {})
    return path
