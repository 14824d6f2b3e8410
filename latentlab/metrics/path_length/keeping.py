"""The file of a measurement's pairs: every distance, and the images between which the largest ones lie."""

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from latentlab.files import atomic_file, refuse_existing
from latentlab.images import to_uint8
from latentlab.metrics.path_length.pairs import Pairs
from latentlab.results import MetricResult

LARGEST = 8
OFFSETS = (-0.04, -0.02, 0.0, 0.02, 0.04)
"""Steps along the path, far enough apart for the eye."""
SCHEMA_VERSION = 1


def save_pairs(path: Path | str, pairs: Pairs, results: Sequence[MetricResult], lengths: np.ndarray) -> None:
    """Write an HDF5 file with a group for every result.

    Each has `lengths` float32 [N], row i that of pair i; `largest` int64 [K], the rows of the largest lengths, the
    largest first; `images` uint8 [K, S, R, R, C], whole images around them, at t + `OFFSETS` on the path; and as
    attributes `protocol` and `network` (JSON), `seed` and `value`. The file appears whole or not at all.

    Raises:
        OutputExistsError: The file exists.
    """
    refuse_existing(path)
    with atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for settings, result, found in zip(pairs.many, results, lengths, strict=True):
            group = file.create_group(result.metric)
            largest = np.argsort(-found, kind="stable")[:LARGEST]
            group["lengths"], group["largest"] = found, largest
            seen = [pairs.around(settings, int(row), OFFSETS) for row in largest]
            group["images"] = np.stack([to_uint8(images) for images in seen])
            group.attrs["protocol"] = json.dumps(result.protocol)
            group.attrs["network"] = result.network.model_dump_json()
            group.attrs["seed"], group.attrs["value"] = result.seed, result.value
