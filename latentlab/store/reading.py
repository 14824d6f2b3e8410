"""Reading stores of samples, with everything checked."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from latentlab.errors import StoreError
from latentlab.store import form
from latentlab.store.form import StoreSettings

_ROWS_AT_A_TIME = 16384


class LatentStore:
    """A complete, checked store, open for reading; use it in a `with` statement or call `close`.

    Attributes:
        path: The file.
        settings: What is known about its making. In files of other tools a missing network is called "unknown".
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.settings = form.read_settings(file)
        self._file = file

    @classmethod
    def open(cls, path: Path | str, needs: Sequence[str] = ()) -> "LatentStore":
        """Open and check a store of any origin; the numbers themselves are checked when they are read.

        Args:
            path: The file.
            needs: Datasets the caller cannot do without, of "z", "w", "logits", "images".

        Raises:
            StoreError: it is not HDF5 or is cut short, has another schema version, lacks datasets, has datasets of
                wrong shapes, or is incomplete.
        """
        path = Path(path)
        file = form.open_file(path)
        try:
            form.check_version(path, file)
            form.check_present(path, file, needs)
            form.check_shapes(path, file)
            form.check_complete(path, file)
            return cls(path, file)
        except (OSError, KeyError, RuntimeError) as error:
            file.close()
            raise form.damaged(path) from error
        except BaseException:
            file.close()
            raise

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
    def logits(self) -> np.ndarray:
        """Log-odds of the attributes, float32 [N, A]."""
        return self._read("logits")

    @property
    def images(self) -> h5py.Dataset:
        """Images, uint8 [N, H, W, C], as a dataset to be read in slices."""
        form.check_present(self.path, self._file, ["images"])
        return self._file["images"]

    def _read(self, name: str) -> np.ndarray:
        form.check_present(self.path, self._file, [name])
        dataset = self._file[name]
        values = np.empty(dataset.shape, np.float32)
        for start in range(0, len(values), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            try:
                values[rows] = dataset[rows]
            except (OSError, RuntimeError) as error:
                raise form.damaged(self.path) from error
            finite = np.isfinite(values[rows]).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise StoreError(f"{self.path}: {name} is not finite (NaN or infinity), first in row {row}.")
        self._check_crc(name, values)
        return values

    def _check_crc(self, name: str, values: np.ndarray) -> None:
        if "chunk_crc32" not in self._file or self._file[name].dtype != np.float32:
            return
        stored = self._file["chunk_crc32"][:, form.arrays_of(self._file).index(name)]
        step = int(self._file.attrs["chunk_rows"])
        for chunk, expected in enumerate(stored):
            if zlib.crc32(values[chunk * step : (chunk + 1) * step].data) != expected:
                rows = f"{chunk * step} to {min((chunk + 1) * step, len(values)) - 1}"
                raise StoreError(f"{self.path}: rows {rows} of {name} are damaged; remove the file and sample again.")


def peek(path: Path | str) -> tuple[StoreSettings, int, bool]:
    """What is known of a store that may be incomplete: its settings, finished rows, and whether it is complete.

    Raises:
        StoreError: as `LatentStore.open`, but for incompleteness.
    """
    path = Path(path)
    with form.open_file(path) as file:
        form.check_version(path, file)
        form.check_present(path, file, ())
        form.check_shapes(path, file)
        settings = form.read_settings(file)
        done = int(file["rows_done"][()]) if "rows_done" in file else settings.num_samples
        return settings, done, bool(file.attrs.get("complete", True))
