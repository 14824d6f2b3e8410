"""How good classifiers are: logits are collected in one place and scored, as pure functions of arrays, in another."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from attribute_classifiers.network import AttributeClassifiers
from latentlab.data import Dataset
from latentlab.images import to_float
from latentlab.progress import Progress, silent

WEAK_BELOW = 0.7
BATCH_SIZE = 100


@torch.no_grad()
def predict(
    classifiers: AttributeClassifiers, dataset: Dataset, rows: np.ndarray, *, progress: Progress = silent
) -> np.ndarray:
    """Log-odds of the given images, float32 [len(rows), A]."""
    device = next(classifiers.parameters()).device
    logits = np.empty((len(rows), len(classifiers.attributes)), np.float32)
    for start in range(0, len(rows), BATCH_SIZE):
        stop = min(start + BATCH_SIZE, len(rows))
        images = to_float(dataset.images(rows[start:stop])).to(device).contiguous(memory_format=torch.channels_last)
        logits[start:stop] = classifiers(images).cpu().numpy()
        progress(stop, len(rows), "held-out images classified")
    return logits


def score_attribute(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Share of positives, accuracy, balanced accuracy and area under the ROC curve of one attribute.

    Args:
        logits: [N] log-odds; > 0 is the prediction "present".
        labels: [N], -1 or 1.

    Returns:
        share, accuracy, balanced_accuracy, auc as fractions, the last three None where only one class occurs, and
        weak: whether the balanced accuracy is below 0.7 or unknown.
    """
    present, predicted = labels > 0, logits > 0
    share = float(present.mean())
    if share in (0.0, 1.0):
        return {"share": share, "accuracy": None, "balanced_accuracy": None, "auc": None, "weak": True}
    balanced = float(balanced_accuracy_score(present, predicted))
    return {
        "share": share,
        "accuracy": float(accuracy_score(present, predicted)),
        "balanced_accuracy": balanced,
        "auc": float(roc_auc_score(present, logits)),
        "weak": balanced < WEAK_BELOW,
    }


def score_attributes(logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """`score_attribute` of every column of logits and labels [N, A], with its name."""
    return [{"name": name, **score_attribute(logits[:, k], labels[:, k])} for k, name in enumerate(names)]


def mean_balanced_accuracy(attributes: list[dict[str, Any]]) -> float | None:
    """Mean over the attributes for which it is known; None if it is for none."""
    known = [entry["balanced_accuracy"] for entry in attributes if entry["balanced_accuracy"] is not None]
    return float(np.mean(known)) if known else None


def make_card(
    classifiers: AttributeClassifiers,
    dataset: Dataset,
    split: tuple[np.ndarray, np.ndarray],
    scores: list[dict[str, Any]],
) -> dict[str, Any]:
    """card.json: what the classifiers are, what they saw, and `scores` on the held-out images (the split's second)."""
    return {
        "name": classifiers.name,
        "trunk": classifiers.config.trunk,
        "dataset": dataset.describe(),
        "num_train": len(split[0]),
        "num_held_out": len(split[1]),
        "mean_balanced_accuracy": mean_balanced_accuracy(scores),
        "attributes": scores,
    }


def card_table(card: dict[str, Any]) -> pd.DataFrame:
    """A card's attributes as a table for printing: one row each, the best balanced accuracy first."""
    columns = ["name", "share", "accuracy", "balanced_accuracy", "auc", "weak"]
    table = pd.DataFrame(card["attributes"])[columns]
    return table.sort_values("balanced_accuracy", ascending=False, kind="stable", ignore_index=True)
