"""Official attribute classifiers, forty files of one network each, turned into a classifier folder.

The networks are `D_basic` without minibatch standard deviation, one output l each. The official separability takes
softmax([l, -l]) for the probabilities of two classes, so the log-odds between them are 2 l. Which class is "present" no
official text says; those who compared the networks with labels take the second: l > 0 means absent, and the log-odds of
"present" are -2 l. Factor and sign go into the last layer, which is exact in floating point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from attribute_classifiers.attributes import CELEBA_ATTRIBUTES
from attribute_classifiers.card import unmeasured_card
from attribute_classifiers.network import WEIGHTS, write_records
from attribute_classifiers.official_names import files_by_attribute
from attribute_classifiers.presets import ClassifierShape
from latentlab.checkpoint import write_tensors
from latentlab.errors import CheckpointError
from latentlab.files import atomic_folder, refuse_existing
from latentlab.interop.pickles import OfficialFile, OfficialNetwork, open_official
from latentlab.interop.stylegan import discriminator_from_variables
from latentlab.networks import Discriminator
from latentlab.progress import Progress, silent

PositiveOutput = Literal["absent", "present"]
"""What a network's output above zero says of its attribute."""
FACTORS: dict[PositiveOutput, float] = {"absent": -2.0, "present": 2.0}
"""By which outputs become log-odds of "present"."""
TRAINED_ON = {
    "name": "CelebA-HQ", "fingerprint": None, "num_images": 30_000, "resolution": 256, "crop": None, "filter": None,
    "num_skipped": None, "labels_sha256": None,
}  # fmt: skip
"""What the paper says of their training data, in the form of `Dataset.describe()`."""
PAPER = "Karras, Laine, Aila 2019 (arXiv 1812.04948), appendix C"
MBSTD_DEFAULT = 4
"""Group size of `D_basic` where a file does not give one."""


@dataclass(frozen=True)
class Classifier:
    """One official classifier.

    Attributes:
        network: As in the file.
        file_sha256: Of the file.
        content_sha256: Of the network, whatever file it is in.
    """

    network: Discriminator
    file_sha256: str
    content_sha256: str


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
        folder: The new classifier folder.
        attributes: In CelebA's order.
        missing: Those of the 40 for which there was no file.
    """

    folder: Path
    attributes: tuple[str, ...]
    missing: tuple[str, ...]


def import_classifiers(
    files: Sequence[Path],
    out: Path | str,
    *,
    positive_output: PositiveOutput = "absent",
    progress: Progress = silent,
) -> Imported:
    """Make a classifier folder of official files; it appears at once, or not at all.

    One file after the other is read; memory holds all networks and one file.

    Args:
        files: Official files, and folders of such.
        out: The folder to make.
        positive_output: What an output above zero says; see the head of this module.
        progress: Told after every network.

    Raises:
        UsageError: Names of files tell no attribute, or one twice; `out` exists.
        CheckpointError: A file holds something else than one classifier, or classifiers differ in architecture.
    """
    out = Path(out)
    refuse_existing(out)
    found = files_by_attribute(files)
    first, *others = found.items()
    opened = read_classifier(first[1])
    shape = ClassifierShape(trunk="separate", attributes=tuple(found), network=opened.network.config)
    sources: list[dict[str, Any]] = []

    state = {"temperature": torch.ones(len(found))}
    for number, (attribute, path) in enumerate([first, *others]):
        classifier = opened if number == 0 else read_classifier(path)
        _check_alike(classifier, path, opened, first[1])
        sources.append(_source(attribute, path, classifier, sources))
        state |= _weights(classifier.network, number, FACTORS[positive_output])
        progress(number + 1, len(found), attribute)
    with atomic_folder(out) as temporary:
        write_tensors(state, temporary / WEIGHTS)
        origin = {
            "kind": "official StyleGAN attribute classifiers",
            "paper": PAPER,
            "positive_output": positive_output,
            "factor": FACTORS[positive_output],
            "files": sources,
        }
        card = unmeasured_card(out.name, shape, trained_on=TRAINED_ON, source=origin)
        write_records(temporary, shape, dataset=TRAINED_ON, card=card, seed=None)
    return Imported(out, shape.attributes, tuple(name for name in CELEBA_ATTRIBUTES if name not in found))


def read_classifier(path: Path) -> Classifier:
    """The classifier in an official file; nothing in the file is executed.

    Raises:
        CheckpointError: The file is no official one, holds more than one network or one of another kind, or the
            network has minibatch statistics, several outputs, or something else that changes what it computes.
    """
    file = open_official(path)
    try:
        official = _one_discriminator(file)
        network = discriminator_from_variables(official.tensors, official.config)
        _check_network(network)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Classifier(network, file.sha256, official.sha256)


def _one_discriminator(file: OfficialFile) -> OfficialNetwork:
    if len(file.networks) != 1:
        raise CheckpointError(
            f"it holds {len(file.networks)} networks ({', '.join(file.networks)}), and a classifier's file holds one."
        )
    (official,) = file.networks.values()
    if official.class_name != "D_basic":
        raise CheckpointError(
            f"it holds a network of another kind ({official.architecture}, {official.class_name}); classifiers are "
            "D_basic."
        )
    if official.config.get("mbstd_group_size", MBSTD_DEFAULT) not in (0, 1):
        raise CheckpointError(
            "it is a discriminator with minibatch standard deviation, whose output for an image depends on the others "
            "of its batch; classifiers have none (mbstd_group_size 0 or 1)."
        )
    outputs = official.tensors.get("4x4/Dense1/weight")
    if official.config.get("label_size", 0) or (outputs is not None and outputs.shape[-1] != 1):
        count = "several" if outputs is None else outputs.shape[-1]
        raise CheckpointError(f"it has {count} outputs or takes labels; a classifier has one output and takes none.")
    return official


def _check_network(network: Discriminator) -> None:
    if network.config.num_channels != 3:
        raise CheckpointError(f"it takes images of {network.config.num_channels} channels; classifiers take 3.")
    if network.lod:
        raise CheckpointError(f"it was saved while growing (lod {network.lod:g}); classifiers are at full resolution.")


def _check_alike(classifier: Classifier, path: Path, first: Classifier, first_path: Path) -> None:
    one, other = (found.network.config.model_dump(exclude={"mbstd_group_size"}) for found in (first, classifier))
    differing = [f"{name} {other[name]} and {one[name]}" for name in one if one[name] != other[name]]
    if differing:
        raise CheckpointError(
            f"{path} and {first_path} differ in their architecture ({', '.join(differing)}): all classifiers of a "
            "folder are alike, so import them into two."
        )


def _source(attribute: str, path: Path, classifier: Classifier, earlier: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the card says of a file."""
    for other in earlier:
        if other["content_sha256"] == classifier.content_sha256:
            raise CheckpointError(
                f"{path} holds the same network as {other['file']}, which is called {other['attribute']}: fetch both "
                "again."
            )
    hashes = {"file_sha256": classifier.file_sha256, "content_sha256": classifier.content_sha256}
    return {"attribute": attribute, "file": path.name, **hashes}


@torch.no_grad()
def _weights(network: Discriminator, number: int, factor: float) -> dict[str, Tensor]:
    """A network's tensors by their names in a classifier folder, its output multiplied."""
    return {
        f"networks.{number}.{name}": (tensor * factor if name.startswith("dense1.") else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
