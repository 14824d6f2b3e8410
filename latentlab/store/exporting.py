"""Writing a store's samples in the forms that other tools read: Parquet, CSV, .npz, .npy, .png."""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image

from latentlab.errors import StoreError, UsageError
from latentlab.files import atomic_file, atomic_folder, refuse_existing, unfit_names
from latentlab.progress import Progress, silent
from latentlab.store.form import ARRAYS
from latentlab.store.merging import regroup
from latentlab.store.reading import LatentStore

Format = Literal["parquet", "csv", "npz", "npy", "png"]
DEFAULT = ("z", "w", "logits")
ROW_GROUP = 16384
NPY_NAMES = {"ws": "wp"}
"""Where boundary-training scripts expect another name than the store's."""
PIL_CHANNELS = (1, 3, 4)


def export_store(
    path: Path | str,
    out: Path | str,
    *,
    format: Format,  # noqa: A002 (the name of the option)
    datasets: Sequence[str] | None = None,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Write samples in another form, atomically, and a chunk at a time (.npz and scores: all at once).

    Returns the datasets written.

    Args:
        path: A complete store.
        out: A file (parquet, csv, npz) or a folder (npy, png).
        format: parquet, csv: a table with the columns sample, z_0, ..., w_0, ..., ws_LAYER_0, ..., the attributes'
            names, features_0, ...; npz: arrays by name, `sample`, `attributes` and `provenance`; npy: z.npy, w.npy,
            wp.npy (all layers), scores/ATTRIBUTE.npy [N, 1] and provenance.json, as scripts that train boundaries read
            them; png: images, NNNNNN.png by sample number.
        datasets: Which; left out, those of z, w and logits that are there.
        progress: Told after every chunk; the unit is rows.

    Raises:
        OutputExistsError: `out` is taken.
        UsageError: a dataset goes by another name or does not fit the format.
        StoreError: the store cannot be read, lacks what is asked for, or has names that clash in this format.
    """
    out = Path(out)
    refuse_existing(out)
    with LatentStore.open(path) as store:
        names = _chosen(store, format, datasets)
        _WRITERS[format](store, out, names, progress)
    return names


def _chosen(store: LatentStore, format: Format, datasets: Sequence[str] | None) -> tuple[str, ...]:  # noqa: A002
    """The datasets to write, in canonical order."""
    if format == "png":
        if datasets not in (None, ["images"], ("images",)):
            raise UsageError("--format png writes the images alone: leave --datasets out.")
        datasets = ["images"]
    asked = [name for name in DEFAULT if store.has(name)] if datasets is None else datasets
    if not asked:
        there = ", ".join(store.settings.datasets)
        raise UsageError(f"{store.path} holds neither z, w nor logits: say what to export with --datasets {there}.")
    if any(name not in ARRAYS for name in asked):
        raise UsageError(f"--datasets {','.join(asked)}: expected some of {', '.join(ARRAYS)}, with commas between.")
    if format in ("parquet", "csv") and "images" in asked:
        raise UsageError(f"--format {format} has no place for images: use png, npz or npy.")
    missing = [name for name in asked if not store.has(name)]
    if missing:
        there = ", ".join(store.settings.datasets)
        raise StoreError(f"{store.path} lacks {', '.join(missing)}; it holds {there}.")
    return tuple(name for name in ARRAYS if name in asked)


def _blocks(
    store: LatentStore, names: Sequence[str], progress: Progress, rows: int = ROW_GROUP
) -> Iterator[dict[str, np.ndarray]]:
    """The samples in larger blocks, each with the numbers of its samples."""
    numbers, done = store.sample_numbers, 0
    for block in regroup(store.blocks(names), rows):
        stop = done + len(block[names[0]])
        yield {"sample": numbers[done:stop], **block}
        done = stop
        progress(done, len(store))


# ------------------------------------------------------------------------------------------------------------- tables


def column_names(store: LatentStore, names: Sequence[str]) -> list[str]:
    """Names of a table's columns.

    Raises:
        StoreError: two columns would have one name.
    """
    columns = ["sample"]
    for name in names:
        places = ("_".join(map(str, place)) for place in product(*map(range, store.widths[name])))
        columns += store.settings.attributes if name == "logits" else [f"{name}_{place}" for place in places]
    clashes = [column for column, count in Counter(columns).items() if count > 1]
    if clashes:
        raise StoreError(
            f"{store.path}: more than one column would be called {', '.join(clashes)}: leave datasets out with "
            "--datasets, or export as npz."
        )
    return columns


def _write_table(
    store: LatentStore, out: Path, names: Sequence[str], progress: Progress, *, form: Literal["parquet", "csv"]
) -> None:
    """Provenance as JSON in Parquet's metadata, under `latentlab`; CSV with the digits that bring back each float32."""
    columns = column_names(store, names)
    kinds = [pa.int64(), *[pa.float32()] * (len(columns) - 1)]
    schema = pa.schema([*zip(columns, kinds, strict=True)], metadata={"latentlab": json.dumps(store.provenance)})
    make = pq.ParquetWriter if form == "parquet" else pa.csv.CSVWriter
    with atomic_file(out) as temporary, make(str(temporary), schema) as writer:
        for block in _blocks(store, names, progress):
            flat = [values.reshape(len(values), -1).T for values in block.values()]
            arrays = [pa.array(np.ascontiguousarray(column)) for values in flat for column in values]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


# ------------------------------------------------------------------------------------------------------------- arrays


def _write_npz(store: LatentStore, out: Path, names: Sequence[str], progress: Progress) -> None:
    """A dataset at a time, as `numpy.savez` lays it out."""
    few = {
        "sample": store.sample_numbers,
        "attributes": np.array(store.settings.attributes, np.str_),
        "provenance": np.array(json.dumps(store.provenance)),
    }
    told = _Told(store, names, progress)
    with atomic_file(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in few.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
        for name in names:
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                _write_array(file, store, name, told)


def _write_npy(store: LatentStore, out: Path, names: Sequence[str], progress: Progress) -> None:
    """Latent codes [N, D] and, for each attribute, scores [N, 1]."""
    files = {} if "logits" not in names else _score_files(store)
    told = _Told(store, names, progress)
    with atomic_folder(out) as folder:
        for name in names:
            if name != "logits":
                with (folder / f"{NPY_NAMES.get(name, name)}.npy").open("wb") as file:
                    _write_array(file, store, name, told)
        if files:
            (folder / "scores").mkdir()
            for column, scores in zip(files, store.logits.T, strict=True):
                np.save(folder / "scores" / column, scores[:, None], allow_pickle=False)
        np.save(folder / "sample.npy", store.sample_numbers, allow_pickle=False)
        (folder / "provenance.json").write_text(json.dumps(store.provenance, indent=2) + "\n", encoding="utf-8")


class _Told:
    """Progress over several datasets, one after another."""

    def __init__(self, store: LatentStore, names: Sequence[str], progress: Progress) -> None:
        self.done, self.total, self.progress = 0, len(store) * len(names), progress

    def __call__(self, rows: int) -> None:
        self.done += rows
        self.progress(self.done, self.total)


def _write_array(file: IO[bytes], store: LatentStore, name: str, told: Callable[[int], None]) -> None:
    """One dataset in NumPy's .npy format, chunk by chunk."""
    shape = (len(store), *store.widths[name])
    kind = np.dtype(np.uint8 if name == "images" else np.float32)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in store.blocks([name]):
        file.write(np.ascontiguousarray(block[name]).data.cast("B"))
        told(len(block[name]))


def _score_files(store: LatentStore) -> list[str]:
    """One file name per attribute."""
    attributes = store.settings.attributes
    wrong = unfit_names(attributes)
    if wrong:
        raise StoreError(f"{store.path}: attributes that cannot each be a file's name: {', '.join(wrong)}. Use npz.")
    return [f"{name}.npy" for name in attributes]


# ------------------------------------------------------------------------------------------------------------- images


def _write_png(store: LatentStore, out: Path, names: Sequence[str], progress: Progress) -> None:
    channels = store.widths["images"][-1]
    if channels not in PIL_CHANNELS:
        raise StoreError(f"{store.path}: images of {channels} channels cannot be PNG files; export them as npz or npy.")
    digits = max(6, len(str(store.sample_numbers[-1])))
    with atomic_folder(out) as folder:
        for block in _blocks(store, names, progress, rows=store.chunk_rows):
            for number, image in zip(block["sample"], block["images"], strict=True):
                pixels = image[:, :, 0] if channels == 1 else image
                Image.fromarray(pixels).save(folder / f"{number:0{digits}d}.png")


_WRITERS: dict[Format, Callable[[LatentStore, Path, Sequence[str], Progress], None]] = {
    "parquet": partial(_write_table, form="parquet"),
    "csv": partial(_write_table, form="csv"),
    "npz": _write_npz,
    "npy": _write_npy,
    "png": _write_png,
}
