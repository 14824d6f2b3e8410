"""Files of factors: numbers on a scale, or labels, of the samples of a store."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from latentlab.errors import DataError, UnknownNetworkWarning, UsageError
from latentlab.files import load_arrays
from latentlab.store import StoreSettings
from latentlab.store.labelling import read_scores

SUFFIXES = (".npz", ".csv", ".parquet")
_FORM = "it must hold `names` [K] (texts) and `values` [N, K] (numbers), a row per sample in the store's order"
_UNKNOWN = (None, "unknown")


def read_factors(
    path: Path | str, samples: np.ndarray, settings: StoreSettings | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values float64 [N, K] of the factors in a file, one row per sample of a store.

    Args:
        path: .npz with the arrays `names` [K] and `values` [N, K], rows in the store's order, and, if it is known,
            `provenance`, a JSON text whose `images` are what a store's `provenance` is; or .csv or .parquet with a
            column `sample`, by which rows are joined, and a column of numbers per factor.
        samples: The sample numbers of the store's rows, [N].
        settings: What the store says of its samples; the file must be of the same network and seed, and a warning says
            so where neither is known.

    Raises:
        UsageError: the file's name ends otherwise, or there is no such file.
        DataError: the file does not have this form, or not one row for each sample, or is of other samples.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a file of factors must end in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file of factors.")
    images: dict[str, Any] = {}
    if path.suffix.lower() == ".npz":
        names, values, images = _read_arrays(path)
    else:
        names, values = read_scores(path, samples)
    if len(values) != len(samples):
        raise DataError(
            f"{path} has {len(values):,} rows, and the store {len(samples):,} samples: factors are matched by their "
            "order, so make the file from this store."
        )
    if settings is not None:
        _check_origin(path, images, settings)
    return names, values


def _read_arrays(path: Path) -> tuple[tuple[str, ...], np.ndarray, dict[str, Any]]:
    """Names, values, and of which images they are, as far as the file says."""
    arrays = load_arrays(path)
    missing = [name for name in ("names", "values") if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: {_FORM}.")
    names, values = arrays["names"], arrays["values"]
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
    return tuple(map(str, names)), values.astype(np.float64), _images(arrays.get("provenance"))


def _images(provenance: np.ndarray | None) -> dict[str, Any]:
    """What a provenance says of the images, nothing where it has another form."""
    try:
        told = json.loads(str(provenance))
    except ValueError:
        return {}
    images = told.get("images") if isinstance(told, dict) else None
    return images if isinstance(images, dict) else {}


def _check_origin(path: Path, images: dict[str, Any], settings: StoreSettings) -> None:
    """Refuse factors of other samples than the store's."""
    network = images.get("network")
    theirs = {
        "network (SHA-256)": network.get("sha256") if isinstance(network, dict) else None,
        "seed": images.get("seed"),
        "first sample": images.get("first_row"),
    }
    own = (settings.network["sha256"], settings.seed, settings.first_row)
    both = {
        name: (told, mine)
        for (name, told), mine in zip(theirs.items(), own, strict=True)
        if told not in _UNKNOWN and mine not in _UNKNOWN
    }
    different = [f"{name} {told} instead of {mine}" for name, (told, mine) in both.items() if told != mine]
    if different:
        source = f" {images['file']}" if isinstance(images.get("file"), str) else ""
        raise DataError(
            f"{path} holds factors of the images of another store{source}: {'; '.join(different)}. Make the file from "
            "this store, such as by `latentlab label --nearest-faces --factors-out`."
        )
    if not both.keys() & {"network (SHA-256)", "seed"}:
        warnings.warn(
            f"nothing says that the factors in {path} are of the samples in this store: their network and seed are not "
            "known.",
            UnknownNetworkWarning,
            stacklevel=4,
        )
