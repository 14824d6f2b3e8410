"""Files of factors: numbers on a scale, or labels, of the samples of a store."""

import zipfile
from pathlib import Path

import numpy as np

from latentlab.errors import DataError, UsageError
from latentlab.store.labelling import read_scores

SUFFIXES = (".npz", ".csv", ".parquet")
_FORM = "it must hold `names` [K] (texts) and `values` [N, K] (numbers), a row per sample in the store's order"


def read_factors(path: Path | str, samples: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values float64 [N, K] of the factors in a file, one row per sample of a store.

    Args:
        path: .npz with the arrays `names` [K] and `values` [N, K], rows in the store's order; or .csv or .parquet with
            a column `sample`, by which rows are joined, and a column of numbers per factor.
        samples: The sample numbers of the store's rows, [N].

    Raises:
        UsageError: the file's name ends otherwise, or there is no such file.
        DataError: the file does not have this form, or not one row for each sample.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a file of factors must end in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file of factors.")
    if path.suffix.lower() != ".npz":
        return read_scores(path, samples)
    names, values = _read_arrays(path)
    if len(values) != len(samples):
        raise DataError(
            f"{path} has {len(values):,} rows, and the store {len(samples):,} samples: factors are matched by their "
            "order, so make the file from this store."
        )
    return names, values


def _read_arrays(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in ("names", "values") if name not in stored.files]
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)}: {_FORM}.")
            names, values = stored["names"], stored["values"]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz file ({error}); {_FORM}.") from error
    if (
        values.ndim != 2
        or names.shape != values.shape[1:]
        or names.dtype.kind != "U"
        or values.dtype.kind not in "biuf"
    ):
        raise DataError(
            f"{path}: `names` is {names.dtype} {list(names.shape)} and `values` {values.dtype} {list(values.shape)}; "
            f"{_FORM}."
        )
    return tuple(map(str, names)), values.astype(np.float64)
