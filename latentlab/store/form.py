"""The form of run.h5: names, root attributes, and the rules a file must keep to be used."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from latentlab.errors import StoreError

SCHEMA_VERSION = 2
READABLE = (1, 2)
ARRAYS = ("z", "w", "ws", "logits", "features", "images")
"""The datasets with one row per sample, in the order of the columns of `chunk_crc32`."""
FORMS = {"ws": "[N, num_ws, w_dim]", "images": "[N, H, W, C]"}
"""Those of more than two axes; the others are [N, width]."""
CHUNK_ROWS = 256
UNKNOWN = {"name": "unknown", "sha256": "unknown"}


@dataclass(frozen=True)
class StoreSettings:
    """What decides the rows of a store; written into its root attributes.

    `has_mapping` is false where W is only normalised Z; `datasets` are those the file has (not an attribute).
    `network`, `classifiers` and `features` are {"name": ..., "sha256": ...}; `classifiers` is None in a store without
    logits, `features` (who made the features) in one without features. `first_row` is the sample number of row 0.
    `resize` says how images were brought to the classifiers, "none" if they were not. `sources` tells what a merged
    or re-labelled store was made of.
    """

    num_samples: int
    seed: int | None
    network: Mapping[str, str]
    classifiers: Mapping[str, str] | None
    attributes: tuple[str, ...]
    truncation_psi: float | None
    noise_mode: str
    has_mapping: bool = True
    datasets: tuple[str, ...] = ("z", "w", "logits")
    first_row: int = 0
    features: Mapping[str, str] | None = None
    resize: str = "none"
    sources: tuple[Mapping[str, Any], ...] = ()

    def differences(self, other: "StoreSettings") -> list[str]:
        """One phrase per field that makes the rows differ; networks and the like are compared by their hashes.

        An unknown `resize` counts as the same: schema 1 did not say.
        """
        mine, theirs = _comparable(self), _comparable(other)
        if "unknown" in (self.resize, other.resize):
            del mine["resize"]
        return [f"{name} {mine[name]!r} instead of {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, without HDF5's own lock, so that a store can be read while it grows."""
    if not path.is_file():
        raise StoreError(f"{path}: no such store of samples; `latentlab sample` writes one.")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise _unopened(path, str(error)) from error


def _unopened(path: Path, reason: str) -> StoreError:
    """The error for a file that HDF5 does not open; it may be of any kind, so nobody is told to remove it."""
    if not path.stat().st_size:
        return StoreError(f"{path} is empty, and no store of samples; `latentlab sample` writes one.")
    if not os.access(path, os.R_OK):
        return StoreError(f"{path} may not be read: {reason}.")
    if not h5py.is_hdf5(path):
        return StoreError(
            f"{path} is not an HDF5 file, so it is no store of samples: name a run.h5 that `latentlab sample` wrote."
        )
    if "truncated file" in reason:
        return StoreError(f"{path} is cut short: copy it again, or run `latentlab sample` again to another file.")
    return StoreError(f"{path} is an HDF5 file, but cannot be opened: {reason}.")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What h5py raises for a structure that is damaged, as StoreError."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path) from error


def damaged(path: Path, reason: str = "damaged") -> StoreError:
    """The error for a file whose structure cannot be read."""
    return StoreError(f"{path} is {reason}: remove it and run `latentlab sample` again.")


def arrays_of(file: h5py.File) -> list[str]:
    """The row datasets a file has, in canonical order."""
    return [name for name in ARRAYS if name in file]


def check_version(path: Path, file: h5py.File) -> None:
    """Refuse files of another schema version; one without a version comes from another tool and is accepted."""
    found = file.attrs.get("schema_version", SCHEMA_VERSION)
    if found not in READABLE:
        raise StoreError(
            f"{path} has schema version {found}, and this LatentLab reads versions {READABLE[0]} to {READABLE[-1]}: "
            "use the version of LatentLab that wrote it, or sample again."
        )


def check_present(path: Path, file: h5py.File, needs: Sequence[str]) -> None:
    """Name every dataset that is needed and missing, or that is not a dataset of numbers."""
    missing = [name for name in needs if name not in file]
    if not arrays_of(file):
        missing = list(needs) or ["z", "w"]
    if missing:
        there = ", ".join(arrays_of(file)) or f"none of {', '.join(ARRAYS)}"
        option = {"logits": "--classifiers", "images": "--images"}.get(missing[0]) if len(missing) == 1 else None
        hint = f" (sample with {option} to get {missing[0]})" if option else ""
        raise StoreError(f"{path} lacks {', '.join(missing)}{hint}; it holds {there}.")
    for name in arrays_of(file):
        if not isinstance(file[name], h5py.Dataset) or file[name].dtype.kind not in "fiub":
            raise StoreError(f"{path}: {name} must be a dataset of numbers, {_form(name)} of float32.")
        if name == "images" and file[name].dtype != np.uint8:
            raise StoreError(f"{path}: images are {file[name].dtype}; they must be uint8, [N, H, W, C].")


def check_shapes(path: Path, file: h5py.File) -> None:
    """All row datasets must have the right number of axes and one number of rows; names and checksums must match."""
    shapes = {name: file[name].shape for name in arrays_of(file)}
    for name, shape in shapes.items():
        if len(shape) != _form(name).count(",") + 1 or not all(shape):
            raise StoreError(f"{path}: {name} has the shape {list(shape)}; it must be {_form(name)} and not empty.")
    if len({shape[0] for shape in shapes.values()}) > 1:
        rows = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
        raise StoreError(f"{path}: the datasets have different numbers of rows: {rows}.")
    names = file.attrs.get("attributes")
    if "logits" in shapes and names is not None and len(names) != shapes["logits"][1]:
        raise StoreError(f"{path}: logits has {shapes['logits'][1]} columns, but {len(names)} attributes are named.")
    step = file.attrs.get("chunk_rows", CHUNK_ROWS)
    if not isinstance(step, int | np.integer) or step < 1:
        raise StoreError(f"{path}: chunk_rows is {step!r}; it must be a whole number of at least 1.")
    chunks = -(-num_rows(file) // int(step))
    for name, shape in {"chunk_crc32": (chunks, len(shapes)), "chunk_done": (chunks,)}.items():
        if name in file and file[name].shape != shape:
            raise StoreError(f"{path}: {name} has the shape {list(file[name].shape)}; it must be {list(shape)}.")


def chunk_rows(file: h5py.File) -> int:
    """Rows per chunk; other tools need not say."""
    return int(file.attrs.get("chunk_rows", CHUNK_ROWS))


def num_rows(file: h5py.File) -> int:
    """N."""
    return int(file[arrays_of(file)[0]].shape[0])


def finished_rows(file: h5py.File) -> int:
    """Rows of finished chunks; all rows of a file that keeps no account of them."""
    if "chunk_done" in file:
        done, step = file["chunk_done"][:] == 1, chunk_rows(file)
        return int(done.sum()) * step - int(done[-1]) * (len(done) * step - num_rows(file))
    if "rows_done" in file:
        return int(file["rows_done"][()])
    return num_rows(file) if file.attrs.get("complete", True) else 0


def check_complete(path: Path, file: h5py.File) -> None:
    """Refuse unfinished stores; a file without the attribute `complete` counts as complete."""
    if not file.attrs.get("complete", True):
        raise StoreError(
            f"{path} is incomplete: {finished_rows(file)} of {num_rows(file)} samples are there. "
            "Run `latentlab sample` again with the same options to finish it."
        )


def read_settings(file: h5py.File) -> StoreSettings:
    """The root attributes; in files of other tools, what is missing is filled with "unknown" or None."""
    attrs, arrays = file.attrs, arrays_of(file)
    classifiers = _named(attrs.get("classifiers")) or (UNKNOWN if "logits" in arrays else None)
    width = file["logits"].shape[1] if "logits" in arrays else 0
    names = attrs.get("attributes", [f"attribute {column}" for column in range(width)])
    return StoreSettings(
        num_samples=num_rows(file),
        seed=_value(file, "seed", int, None),
        network=_named(attrs.get("network")) or UNKNOWN,
        classifiers=classifiers,
        attributes=tuple(map(_text, names)),
        truncation_psi=_value(file, "truncation_psi", float, None),
        noise_mode=_text(attrs.get("noise_mode", "unknown")),
        has_mapping=bool(attrs.get("has_mapping", True)),
        datasets=tuple(arrays),
        first_row=_value(file, "first_row", int, 0),
        features=_named(attrs.get("features")) or (UNKNOWN if "features" in arrays else None),
        resize=_text(attrs.get("resize", "unknown")),
        sources=tuple(_value(file, "sources", json.loads, [])),
    )


def _value(file: h5py.File, name: str, kind: Callable[[Any], Any], absent: Any) -> Any:
    """A root attribute as a number or the like."""
    found = file.attrs.get(name)
    try:
        return absent if found is None else kind(found)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{file.filename}: the root attribute {name} is {found!r}; see docs/store.md.") from error


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _form(name: str) -> str:
    return FORMS.get(name, "[N, width]")


def _named(attribute: Any) -> dict[str, str] | None:
    """A name and a hash from their JSON text; a plain text of another tool is taken as the name."""
    if attribute is None:
        return None
    text = _text(attribute)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = {"name": text}
    return {**UNKNOWN, **found} if isinstance(found, dict) else None


def _comparable(settings: StoreSettings) -> dict[str, Any]:
    fields = asdict(settings)
    for name in ("network", "classifiers", "features"):
        fields[name] = fields[name] and fields[name]["sha256"]
    del fields["sources"]
    return fields
