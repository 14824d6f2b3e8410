"""Measuring classifiers on labelled images: which images, which attributes, and what the networks say of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attribute_classifiers.calibration import fit_temperatures
from attribute_classifiers.card import Origin, Training, make_card
from attribute_classifiers.network import AttributeClassifiers, imported, read_config, read_training
from attribute_classifiers.presets import ClassifierConfig
from attribute_classifiers.split import split_images
from latentlab.blocks import block_rows, mapped
from latentlab.data import Dataset
from latentlab.errors import DataError, UsageError
from latentlab.images import to_float
from latentlab.progress import Progress, silent


def predict(
    classifiers: AttributeClassifiers, dataset: Dataset, rows: np.ndarray, *, progress: Progress = silent
) -> np.ndarray:
    """Log-odds of the given images, float32 [len(rows), A].

    Images are read while the networks work on others: on a CPU a thread reads and classifies a block of them, on as
    many blocks at once as there are cores. Every block has the same size, the last one being filled up, so that an
    image's numbers depend neither on how many others are asked for nor on the number of threads.

    Raises:
        DataError: log-odds are not finite.
    """
    device = next(classifiers.parameters()).device
    classifiers.to(memory_format=torch.channels_last)
    logits = np.empty((len(rows), len(classifiers.attributes)), np.float32)
    size = block_rows(dataset.resolution)
    blocks = [slice(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def read(block: slice) -> Tensor:
        images = to_float(dataset.images(rows[block]))
        filled = torch.cat([images, images[-1:].expand(size - len(images), -1, -1, -1)])
        return filled.contiguous(memory_format=torch.channels_last)

    for block, found in mapped(classifiers, read, blocks, device=device):
        logits[block] = found[: block.stop - block.start].numpy()
        progress(block.stop, len(rows), "images classified")
    if not np.isfinite(logits).all():
        raise DataError(
            f"the classifiers '{classifiers.name}' made log-odds that are not finite: their weights are damaged, or "
            "their training diverged. Train them again."
        )
    return logits


def calibrate(
    classifiers: AttributeClassifiers, dataset: Dataset, rows: np.ndarray, *, progress: Progress = silent
) -> None:
    """Set the temperatures to those that fit the labels of the given images best, whatever they were before."""
    outputs = predict(classifiers, dataset, rows, progress=progress) * classifiers.temperature.cpu().numpy()
    fitted = fit_temperatures(outputs, _labels(dataset, rows, classifiers.attributes))
    classifiers.temperature.copy_(torch.from_numpy(fitted))


def evaluate(
    classifiers: AttributeClassifiers,
    dataset: Dataset,
    *,
    training: Training,
    rows: np.ndarray | None = None,
    origin: Origin = "held out",
    attributes: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure classifiers on labelled images; returns a card, see `make_card`.

    Args:
        classifiers: Ready for use, on any device.
        dataset: Labelled images at the classifiers' resolution, or at a multiple of it.
        training: What the classifiers were made from.
        rows: Which images; all of them if left out.
        origin: Where these images are from, for the card.
        attributes: Which; left out, all that both the classifiers and the data have.
        seed: Of the bootstrap.
        progress: Told how many images are classified.

    Raises:
        UsageError: classifiers or data lack an attribute that is asked for, or have none in common.
        DataError: the images have no labels, or log-odds are not finite.
    """
    names = common_attributes(classifiers, dataset, attributes)
    rows = np.arange(len(dataset)) if rows is None else rows
    places = [classifiers.attributes.index(name) for name in names]
    logits = predict(classifiers, dataset, rows, progress=progress)[:, places]
    card = make_card(
        classifiers,
        logits,
        _labels(dataset, rows, names),
        names=names,
        dataset=dataset.describe(),
        training=training,
        origin=origin,
        seed=seed,
    )
    return card | ({"weights_sha256": classifiers.sha256} if classifiers.sha256 else {})


def common_attributes(
    classifiers: AttributeClassifiers, dataset: Dataset, asked: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The attributes asked for, or else all that both have, in the classifiers' order.

    Raises:
        DataError: the images have no labels.
        UsageError: classifiers or data lack an attribute that is asked for, or have none in common.
    """
    if dataset.labels is None:
        raise DataError(f"{dataset.name} has no labels, so nothing can be measured on it: give labelled images.")
    check_attributes(classifiers, asked or ())
    labelled = f"{dataset.name} has labels for {', '.join(dataset.attributes)}"
    _refuse_absent(asked or (), dataset.attributes, labelled)
    wanted = dataset.attributes if asked is None else asked
    names = tuple(name for name in classifiers.attributes if name in wanted)
    if not names:
        raise UsageError(f"no attribute in common: {_trained_for(classifiers)}; {labelled}.")
    return names


def check_attributes(classifiers: AttributeClassifiers, asked: Sequence[str]) -> None:
    """Raise UsageError unless the classifiers were trained for all of these attributes."""
    _refuse_absent(asked, classifiers.attributes, _trained_for(classifiers))


class Chosen(NamedTuple):
    """Images to measure on, where they are from, and what a user should know about it ("" = nothing)."""

    rows: np.ndarray
    origin: Origin
    note: str


def choose_images(folder: Path, dataset: Dataset, *, everything: bool = False) -> Chosen:
    """All images, or, of the data that the classifiers in `folder` were trained on, those that nothing was fitted to.

    Args:
        folder: The classifiers'.
        dataset: What they are to be measured on.
        everything: Take all images even then.

    Raises:
        CheckpointError: the folder is incomplete or damaged.
    """
    trained_on, seed = read_training(folder)
    every, name = np.arange(len(dataset)), folder.name
    if imported(folder) and dataset.filter != "drawn":  # embedded faces are nobody else's
        note = (
            f"'{name}' was trained elsewhere on {trained_on['name']}, and which images it saw is not known: if any of "
        )
        return Chosen(
            every, "perhaps training data", note + f"{dataset.name} are among them, the numbers are too good."
        )
    if trained_on.get("fingerprint") != dataset.fingerprint:
        drawn = trained_on.get("filter") == dataset.filter == "drawn"  # embedded faces, perhaps more or fewer of them
        if not drawn and trained_on.get("name") != dataset.name:
            return Chosen(every, "other data", "")
        note = f"'{name}' was trained on {trained_on['name']}, measured is {dataset.name}: some images may be in both, "
        return Chosen(every, "perhaps training data", note + "which would make the numbers too good.")
    if seed is None:
        note = f"'{name}' was trained on these images, and does not say which it held out: the numbers are too good."
        return Chosen(every, "training data", note)
    config, _ = read_config(folder)
    assert isinstance(config, ClassifierConfig)
    split = split_images(len(dataset), config.training.held_out, seed)
    if everything:
        count = len(split.train) + len(split.calibration)
        note = (
            f"'{name}' was trained or calibrated on {count:,} of these {len(every):,} images: the numbers are too good."
        )
        return Chosen(every, "training data", note)
    note = f"'{name}' was trained on these images: measuring on the {len(split.measured):,} that it held out; "
    return Chosen(split.measured, "held out", note + "--all takes all of them.")


def _trained_for(classifiers: AttributeClassifiers) -> str:
    return f"the classifiers '{classifiers.name}' were trained for {', '.join(classifiers.attributes)}"


def _refuse_absent(asked: Sequence[str], known: Sequence[str], have: str) -> None:
    absent = [name for name in asked if name not in known]
    if absent:
        raise UsageError(f"asked for {', '.join(absent)}, but {have}: name attributes that are among these.")


def _labels(dataset: Dataset, rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """int8 [len(rows), len(names)], -1 or 1."""
    assert dataset.labels is not None
    return dataset.labels[rows][:, [dataset.attributes.index(name) for name in names]]
