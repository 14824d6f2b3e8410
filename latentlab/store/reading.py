"""Reading stores of samples, with everything checked."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from latentlab.errors import StoreError
from latentlab.store import form, parts
from latentlab.store.form import StoreSettings


class LatentStore:
    """A complete, checked store, open for reading; use it in a `with` statement or call `close`.

    Attributes:
        path: The file.
        settings: What is known about its making. In files of other tools a missing network is called "unknown".
        chunk_rows: Rows per chunk.
        chunks: The rows of each chunk.
        has_checksums: Whether the file has checksums, which are then checked wherever rows are read.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.settings = form.read_settings(file)
        self.chunk_rows = form.chunk_rows(file)
        starts = range(0, self.settings.num_samples, self.chunk_rows)
        self.chunks = [slice(start, min(start + self.chunk_rows, len(self))) for start in starts]
        self.has_checksums = "chunk_crc32" in file
        self._file = file

    @classmethod
    def open(cls, path: Path | str, needs: Sequence[str] = (), *, network_sha256: str | None = None) -> "LatentStore":
        """Open and check a store of any origin; the numbers themselves are checked when they are read.

        Args:
            path: The file.
            needs: Datasets the caller cannot do without, of "z", "w", "ws", "logits", "features", "images".
            network_sha256: The network the samples must be of, if the store says of which they are.

        Raises:
            StoreError: it is not HDF5 or is cut short, has another schema version, lacks datasets, has datasets of
                wrong shapes, is incomplete, or is of another network.
        """
        path = Path(path)
        file = form.open_file(path)
        try:
            form.check_version(path, file)
            form.check_present(path, file, needs)
            form.check_shapes(path, file)
            form.check_complete(path, file)
            store = cls(path, file)
            store._check_network(network_sha256)
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            file.close()
            raise form.damaged(path) from error
        except BaseException:
            file.close()
            raise
        return store

    def __enter__(self) -> "LatentStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.settings.num_samples

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def has(self, name: str) -> bool:
        """Whether the store holds dataset `name`."""
        return name in self._file

    @property
    def z(self) -> np.ndarray:
        """Latents, float32 [N, z_dim]."""
        return self._read("z")

    @property
    def w(self) -> np.ndarray:
        """The last layer's intermediate latents, float32 [N, w_dim]."""
        return self._read("w")

    @property
    def ws(self) -> np.ndarray:
        """All layers' intermediate latents, float32 [N, num_ws, w_dim]."""
        return self._read("ws")

    @property
    def logits(self) -> np.ndarray:
        """Log-odds of the attributes, float32 [N, A]."""
        return self._read("logits")

    @property
    def features(self) -> np.ndarray:
        """Features of the images, float32 [N, F]."""
        return self._read("features")

    @property
    def sample_numbers(self) -> np.ndarray:
        """The number of each row's sample, int64 [N]: `first_row` and on."""
        return np.arange(len(self), dtype=np.int64) + self.settings.first_row

    @property
    def images(self) -> h5py.Dataset:
        """Images, uint8 [N, H, W, C], as a dataset to be read in slices."""
        form.check_present(self.path, self._file, ["images"])
        return self._file["images"]

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """The shape of one row of each dataset."""
        return {name: self._file[name].shape[1:] for name in self.settings.datasets}

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the samples come from, as JSON writes it into what is made of them: file, settings, version."""
        left_out = {"datasets"} if self.settings.sources else {"datasets", "sources"}
        fields = {name: value for name, value in asdict(self.settings).items() if name not in left_out}
        written_by = str(self._file.attrs.get("latentlab_version", "unknown"))
        plain: dict[str, Any] = json.loads(json.dumps(fields))
        return {"file": self.path.name, **plain, "latentlab_version": written_by}

    def rows(self, name: str) -> "StoreRows":
        """A dataset to be read in slices, each time from the disk: for what does not fit the memory.

        Raises:
            StoreError: there is no such dataset.
        """
        form.check_present(self.path, self._file, [name])
        return StoreRows(self, name)

    def chunk(self, name: str, number: int) -> np.ndarray:
        """One chunk of a dataset: float32, or uint8 images; checked to be undamaged and finite.

        Raises:
            StoreError: the rows are damaged or not finite.
        """
        values, problem = self.inspect(name, number)
        if problem is not None:
            raise StoreError(f"{self.path}: {problem}.")
        return values

    def blocks(self, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        """The rows of some datasets, chunk by chunk, checked as `chunk` does."""
        form.check_present(self.path, self._file, names)
        for number in range(len(self.chunks)):
            yield {name: self.chunk(name, number) for name in names}

    def dataset(self, name: str) -> h5py.Dataset:
        """A dataset as it is, unchecked."""
        return self._file[name]

    def inspect(self, name: str, number: int) -> tuple[np.ndarray, str | None]:
        """One chunk of a dataset, and what is wrong with it (None: nothing)."""
        rows, dataset = self.chunks[number], self._file[name]
        kind = np.dtype(np.uint8 if name == "images" else np.float32)
        with np.errstate(over="ignore"):
            try:
                values = dataset[rows].astype(kind, copy=False)
            except (OSError, RuntimeError):
                return np.empty((0, *dataset.shape[1:]), kind), _damage(name, rows, "cannot be read")
        if self.has_checksums and dataset.dtype == kind:
            expected = self._file["chunk_crc32"][number, form.arrays_of(self._file).index(name)]
            if zlib.crc32(np.ascontiguousarray(values).data) != expected:
                return values, _damage(name, rows, "are damaged")
        if name != "images":
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not finite.all():
                first = rows.start + int(np.argmin(finite))
                return values, f"{name} is not finite (NaN or infinity), first in row {first}"
        return values, None

    def _read(self, name: str) -> np.ndarray:
        form.check_present(self.path, self._file, [name])
        values = np.empty(self._file[name].shape, np.float32)
        for number, rows in enumerate(self.chunks):
            values[rows] = self.chunk(name, number)
        return values

    def _check_network(self, asked: str | None) -> None:
        network = self.settings.network
        if asked is not None and network["sha256"] not in ("unknown", asked):
            raise StoreError(
                f"{self.path} holds samples of {network['name']} (SHA-256 {network['sha256']}), but the network asked "
                f"for has the SHA-256 {asked}: name the store of that network, or sample it."
            )


class StoreRows:
    """A dataset of an open store, read in slices of rows; chunks are checked when they are read first.

    Attributes:
        shape: Of the dataset.
    """

    def __init__(self, store: LatentStore, name: str) -> None:
        self.store, self.name = store, name
        self.shape: tuple[int, ...] = (len(store), *store.widths[name])
        self._checked: set[int] = set()

    def __getitem__(self, rows: slice) -> np.ndarray:
        """float32 rows, start to stop without a step.

        Raises:
            StoreError: they are damaged or not finite.
        """
        start, stop, _ = rows.indices(len(self.store))
        size = self.store.chunk_rows
        unseen = [n for n in range(start // size, -(-stop // size)) if n not in self._checked]
        for number in unseen:
            self.store.chunk(self.name, number)
        self._checked.update(unseen)
        return np.asarray(self.store.dataset(self.name)[start:stop], np.float32)


def peek(path: Path | str) -> tuple[StoreSettings, int, bool]:
    """What is known of a store that may be incomplete: its settings, finished rows, and whether it is complete.

    Raises:
        StoreError: as `LatentStore.open`, but for incompleteness.
    """
    path = Path(path)
    with form.open_file(path) as file, form.reading(path):
        form.check_version(path, file)
        form.check_present(path, file, ())
        form.check_shapes(path, file)
        return form.read_settings(file), form.finished_rows(file), bool(file.attrs.get("complete", True))


def describe(path: Path | str) -> dict[str, Any]:
    """What a store is, finished or not: file, size, schema, datasets, rows, provenance; for JSON.

    Raises:
        StoreError: as `peek`.
    """
    path = Path(path)
    settings, finished, complete = peek(path)
    with form.open_file(path) as file, form.reading(path):
        fields = {name: value for name, value in asdict(settings).items() if name not in ("num_samples", "datasets")}
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            "schema_version": _plain(file.attrs.get("schema_version")),
            "complete": complete,
            "finished_rows": finished,
            "num_samples": settings.num_samples,
            "chunk_rows": form.chunk_rows(file),
            "checksums": "chunk_crc32" in file,
            "datasets": {name: _form(path, file[name]) for name in settings.datasets},
            "latentlab_version": str(file.attrs.get("latentlab_version", "unknown")),
            **fields,
        }


def _form(path: Path, dataset: h5py.Dataset) -> dict[str, Any]:
    """Shape, type, and bytes on the disk; the images of a growing store lie in part files."""
    stored = dataset.id.get_storage_size()
    if dataset.chunks and not stored:
        stored = sum(part.stat().st_size for part in parts.parts_folder(path).glob("*.h5"))
    return {"shape": list(dataset.shape), "dtype": str(dataset.dtype), "bytes": stored}


def _plain(number: Any) -> int | None:
    return None if number is None else int(number)


def _damage(name: str, rows: slice, what: str) -> str:
    return f"rows {rows.start} to {rows.stop - 1} of {name} {what}; remove the file and sample again"
