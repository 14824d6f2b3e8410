"""What a run was trained on: the labels of its images, where they follow from the run's config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.embedded import Selection
from latentlab.errors import CheckpointError

Combination = tuple[bool, bool]
"""Whether the first and the second of two attributes are present."""
Counts = dict[Combination, int]
COMBINATIONS: tuple[Combination, ...] = ((False, False), (True, False), (False, True), (True, True))


@dataclass(frozen=True)
class TrainingData:
    """The embedded faces that a run was trained on.

    Attributes:
        selection: Which faces; `selection.missing` is the combination that was left out (`--without`).
    """

    selection: Selection

    @property
    def missing(self) -> dict[str, bool]:
        """The combination of values that no image has; empty where none was left out."""
        return dict(self.selection.missing)

    def counts(self, attributes: tuple[str, str]) -> Counts | None:
        """How many images have each combination of two attributes; None where their labels do not name them."""
        return _counts(self.selection, attributes)

    def full_counts(self, attributes: tuple[str, str]) -> Counts | None:
        """The same of as many faces with nothing left out."""
        return _counts(Selection(self.selection.seed, self.selection.count), attributes)


def training_data(run: Path | None) -> TrainingData | None:
    """What the run in a folder was trained on; None where nobody says, or it was not the embedded faces.

    Raises:
        CheckpointError: config.json is damaged.
    """
    path = None if run is None else run / "config.json"
    if path is None or not path.is_file():
        return None
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
        dataset = config.get("dataset") or {}
        name, count, drawn = dataset.get("name"), dataset.get("num_images"), dataset.get("filter") == "drawn"
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is no run's config.json ({error}): restore it, or move it away.") from error
    if not (drawn and isinstance(name, str) and isinstance(count, int) and count > 0):
        return None
    selection = Selection.of_name(name, count)
    return None if selection is None else TrainingData(selection)


def counted(labels: np.ndarray) -> Counts:
    """How many rows of bool [N, 2] have each combination."""
    return {both: int((labels == np.array(both)).all(axis=1).sum()) for both in COMBINATIONS}


def _counts(selection: Selection, attributes: tuple[str, str]) -> Counts | None:
    if not set(attributes) <= set(CELEBA_ATTRIBUTES):
        return None
    columns = [CELEBA_ATTRIBUTES.index(name) for name in attributes]
    return counted(selection.labels()[:, columns] > 0)
