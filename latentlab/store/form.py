"""The form of run.h5: names, root attributes, and the rules a file must keep to be used."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py

from latentlab.errors import StoreError

SCHEMA_VERSION = 1
ARRAYS = ("z", "w", "logits", "images")
"""The datasets with one row per sample, in the order of the columns of `chunk_crc32`."""
UNKNOWN = {"name": "unknown", "sha256": "unknown"}


@dataclass(frozen=True)
class StoreSettings:
    """What decides the rows of a store; written into its root attributes.

    `has_mapping` is false where W is only normalised Z; `datasets` are those the file has (not an attribute).
    `network` and `classifiers` are {"name": ..., "sha256": ...}; `classifiers` is None in a store without logits.
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

    def differences(self, other: "StoreSettings") -> list[str]:
        """One phrase per field that makes the rows differ; networks and classifiers are compared by their hashes."""
        mine, theirs = _comparable(self), _comparable(other)
        return [f"{name} {mine[name]!r} instead of {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, without HDF5's own lock, so that a store can be read while it grows."""
    if not path.is_file():
        raise StoreError(f"{path}: no such store of samples; `latentlab sample` writes one.")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise damaged(path, "cut short" if "truncated file" in str(error) else "not an HDF5 file") from error


def damaged(path: Path, reason: str = "damaged") -> StoreError:
    """The error for a file whose structure cannot be read."""
    return StoreError(f"{path} is {reason}: remove it and run `latentlab sample` again.")


def arrays_of(file: h5py.File) -> list[str]:
    """The row datasets a file has, in canonical order."""
    return [name for name in ARRAYS if name in file]


def check_version(path: Path, file: h5py.File) -> None:
    """Refuse files of another schema version; one without a version comes from another tool and is accepted."""
    found = file.attrs.get("schema_version", SCHEMA_VERSION)
    if found != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {found}, and this LatentLab reads version {SCHEMA_VERSION}: "
            "use the version of LatentLab that wrote it, or sample again."
        )


def check_present(path: Path, file: h5py.File, needs: Sequence[str]) -> None:
    """Name every dataset that is needed and missing, or that is not a dataset of numbers."""
    missing = [name for name in needs if name not in file]
    if not arrays_of(file):
        missing = list(needs) or ["z", "w"]
    if missing:
        there = ", ".join(arrays_of(file)) or "none of z, w, logits, images"
        hint = " (sample with --classifiers to get logits)" if missing == ["logits"] else ""
        raise StoreError(f"{path} lacks {', '.join(missing)}{hint}; it holds {there}.")
    for name in arrays_of(file):
        if not isinstance(file[name], h5py.Dataset) or file[name].dtype.kind not in "fiub":
            raise StoreError(f"{path}: {name} must be a dataset of numbers, [N, width] of float32.")


def check_shapes(path: Path, file: h5py.File) -> None:
    """All row datasets must have the right number of axes and one number of rows, and names must match logits."""
    shapes = {name: file[name].shape for name in arrays_of(file)}
    for name, shape in shapes.items():
        axes = 4 if name == "images" else 2
        if len(shape) != axes or not all(shape):
            form = "[N, H, W, C]" if name == "images" else "[N, width]"
            raise StoreError(f"{path}: {name} has the shape {list(shape)}; it must be {form} and not empty.")
    if len({shape[0] for shape in shapes.values()}) > 1:
        rows = ", ".join(f"{name} {shape[0]}" for name, shape in shapes.items())
        raise StoreError(f"{path}: the datasets have different numbers of rows: {rows}.")
    names = file.attrs.get("attributes")
    if "logits" in shapes and names is not None and len(names) != shapes["logits"][1]:
        raise StoreError(f"{path}: logits has {shapes['logits'][1]} columns, but {len(names)} attributes are named.")


def check_complete(path: Path, file: h5py.File) -> None:
    """Refuse unfinished stores; a file without the attribute `complete` counts as complete."""
    if not file.attrs.get("complete", True):
        total = next(file[name].shape[0] for name in arrays_of(file))
        done = int(file["rows_done"][()]) if "rows_done" in file else 0
        raise StoreError(
            f"{path} is incomplete: {done} of {total} samples are there. "
            "Run `latentlab sample` again with the same options to finish it."
        )


def read_settings(file: h5py.File) -> StoreSettings:
    """The root attributes; in files of other tools, what is missing is filled with "unknown" or None."""
    attrs, arrays = file.attrs, arrays_of(file)
    classifiers = _named(attrs.get("classifiers")) or (UNKNOWN if "logits" in arrays else None)
    width = file["logits"].shape[1] if "logits" in arrays else 0
    names = attrs.get("attributes", [f"attribute {column}" for column in range(width)])
    seed, psi = attrs.get("seed"), attrs.get("truncation_psi")
    return StoreSettings(
        num_samples=file[arrays[0]].shape[0],
        seed=None if seed is None else int(seed),
        network=_named(attrs.get("network")) or UNKNOWN,
        classifiers=classifiers,
        attributes=tuple(str(name) for name in names),
        truncation_psi=None if psi is None else float(psi),
        noise_mode=str(attrs.get("noise_mode", "unknown")),
        has_mapping=bool(attrs.get("has_mapping", True)),
        datasets=tuple(arrays),
    )


def sound_rows(file: h5py.File) -> int:
    """Rows before the first finished chunk whose stored checksums do not hold."""
    done, step = int(file["rows_done"][()]), int(file.attrs["chunk_rows"])
    for chunk, stored in enumerate(file["chunk_crc32"][: -(-done // step)]):
        rows = slice(chunk * step, min((chunk + 1) * step, done))
        if any(zlib.crc32(file[name][rows]) != crc for name, crc in zip(arrays_of(file), stored, strict=True)):
            return rows.start
    return done


def _named(attribute: Any) -> dict[str, str] | None:
    """A name and a hash from their JSON text; a plain text of another tool is taken as the name."""
    if attribute is None:
        return None
    text = attribute.decode() if isinstance(attribute, bytes) else str(attribute)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = {"name": text}
    return {**UNKNOWN, **found} if isinstance(found, dict) else None


def _comparable(settings: StoreSettings) -> dict[str, Any]:
    fields = asdict(settings)
    fields["network"] = settings.network["sha256"]
    fields["classifiers"] = settings.classifiers and settings.classifiers["sha256"]
    return fields
