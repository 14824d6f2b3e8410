"""card.json: how good classifiers are, in numbers that a page or a table can show."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from attribute_classifiers.confusion import describe_confusion
from attribute_classifiers.network import AttributeClassifiers, read_card, read_training
from attribute_classifiers.presets import ClassifierShape
from attribute_classifiers.scoring import MEASURES, RESAMPLES, score, score_attributes

SCHEMA_VERSION = 3  # 2 could not be without measures; 1, which does not say so, had no intervals nor confusion
Sort = Literal["name", "share", "accuracy", "balanced_accuracy", "auc", "log_loss", "calibration_error", "temperature"]
Origin = Literal["held out", "other data", "training data", "perhaps training data"]
"""Images that classifiers are measured on: held out from their training, of other data, or ones that they have seen."""

_ASCENDING = ("name", "log_loss", "calibration_error")


@dataclass(frozen=True)
class Training:
    """What classifiers were made from.

    Attributes:
        trained_on: `Dataset.describe()` of the data, and `labels_sha256`.
        num_train: Images trained on.
        num_calibration: Images that the temperatures were fitted on; None in the time before there were any.
    """

    trained_on: dict[str, Any]
    num_train: int | None
    num_calibration: int | None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from a classifier folder.

        Raises:
            CheckpointError: the folder is incomplete or damaged.
        """
        card = read_card(folder)
        return cls(read_training(folder)[0], card.get("num_train"), card.get("num_calibration"))


def make_card(
    classifiers: AttributeClassifiers,
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    names: tuple[str, ...],
    dataset: dict[str, Any],
    training: Training,
    origin: Origin,
    seed: int,
) -> dict[str, Any]:
    """The content of card.json.

    Args:
        classifiers: What is measured.
        logits: [N, A] log-odds.
        labels: [N, A], -1 or 1.
        names: A names, some or all of the classifiers'.
        dataset: `Dataset.describe()` of the data measured on.
        training: What the classifiers were made from.
        origin: Where the N images are from.
        seed: Of the bootstrap.
    """
    attributes, mean = score_attributes(logits, labels, names, seed=seed)
    places = [classifiers.attributes.index(name) for name in names]
    temperatures = classifiers.temperature.cpu().numpy().astype(np.float64)[places]
    for row, temperature, outputs, truth in zip(attributes, temperatures, logits.T, labels.T, strict=True):
        row |= {"temperature": float(temperature), "uncalibrated": _uncalibrated(outputs * temperature, truth)}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": classifiers.name,
        "trunk": classifiers.config.trunk,
        "dataset": dataset,
        **asdict(training),
        "num_measured": len(logits),
        "measured_on": origin,
        "bootstrap": {"resamples": RESAMPLES, "seed": seed},
        "mean_balanced_accuracy": mean["balanced_accuracy"],
        "mean": mean,
        "attributes": attributes,
        "confusion": describe_confusion(logits, labels, names, seed=seed),
    }


def unmeasured_card(
    name: str, shape: ClassifierShape, *, trained_on: dict[str, Any], source: dict[str, Any]
) -> dict[str, Any]:
    """The card of classifiers that were trained elsewhere and not measured: every measure is null.

    Args:
        name: The folder's.
        shape: What the classifiers are.
        trained_on: What is known of their training data, in the form of `Dataset.describe()`.
        source: Where they come from.
    """
    unknown: dict[str, Any] = dict.fromkeys(MEASURES) | {"ci95": dict.fromkeys(MEASURES)}
    row = {"share": None, **unknown, "weak": None, "uncertain": None, "temperature": 1.0, "uncalibrated": None}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "trunk": shape.trunk,
        "dataset": None,
        **asdict(Training(trained_on, None, None)),
        "num_measured": 0,
        "measured_on": None,
        "bootstrap": None,
        "mean_balanced_accuracy": None,
        "mean": unknown,
        "attributes": [{"name": attribute, **row} for attribute in shape.attributes],
        "confusion": None,
        "source": source,
    }


def sorted_attributes(card: dict[str, Any], by: Sort = "balanced_accuracy") -> list[dict[str, Any]]:
    """A card's attributes, the best (largest share or temperature, first name) first, unknown ones last."""
    known = [row for row in card["attributes"] if row.get(by) is not None]
    unknown = [row for row in card["attributes"] if row.get(by) is None]
    return sorted(known, key=lambda row: row[by], reverse=by not in _ASCENDING) + unknown


def _uncalibrated(outputs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What log loss and calibration error were without a temperature; the other measures are the same."""
    values = score(outputs, labels, np.ones((len(outputs), 1)))[:, 0]
    return {name: float(values[MEASURES.index(name)]) for name in ("log_loss", "calibration_error")}
