"""Attribute classifiers as one module, images in, log-odds out; saved as a folder and loaded from it.

Every classifier has the architecture of the discriminator without minibatch standard deviation (paper, appendix C).
"separate" is one network per attribute, as in the paper; "shared" is one network with an output per attribute, for
machines on which forty networks are too many.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from safetensors import safe_open
from torch import Tensor, nn

from attribute_classifiers.presets import ClassifierConfig, ClassifierShape
from latentlab.checkpoint import write_tensors
from latentlab.errors import CheckpointError, UnknownNetworkError, UsageError
from latentlab.files import atomic_folder, file_sha256
from latentlab.images import box_resize
from latentlab.interop.pickles import PICKLES
from latentlab.networks import Discriminator
from latentlab.randomness import derive_seed
from latentlab.zoo import DEFAULT_CLASSIFIERS, bundled_classifiers, classifier_names

SCHEMA_VERSION = 3  # 2 could not lack `training`; 1 had neither temperatures nor the seed
READABLE = (1, 2, SCHEMA_VERSION)
ROOT = Path("classifiers")
WEIGHTS, CONFIG, CARD = "classifiers.safetensors", "config.json", "card.json"


class AttributeClassifiers(nn.Module):
    """Log-odds of A binary attributes from images.

    Attributes:
        attributes: The A names, in the order of the outputs.
        resolution: R that the networks take; images of another size are resized to it (`box_resize`).
        name: What results call these classifiers: their folder's name.
        sha256: Hash of their weights file; empty for classifiers that are not saved.
        temperature: [A], by which the networks' outputs are divided, so that they are log-odds as calibration found
            them; 1 until calibrated.
    """

    temperature: Tensor
    thread_safe = True  # several threads may call it at once

    def __init__(self, config: ClassifierShape, *, name: str = "", sha256: str = "") -> None:
        super().__init__()
        self.config, self.name, self.sha256 = config, name, sha256
        with torch.random.fork_rng(devices=[]):  # leaves the global generator as it was
            self.networks = nn.ModuleList(Discriminator(config.network) for _ in range(config.num_networks))
        self.register_buffer("temperature", torch.ones(len(config.attributes)))

    def __iter__(self) -> Iterator[Discriminator]:
        """The networks: one, or one per attribute in the attributes' order."""
        yield from (cast(Discriminator, network) for network in self.networks)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.config.attributes

    @property
    def resolution(self) -> int:
        """Height and width of the images that the networks take."""
        return self.config.network.resolution

    def forward(self, images: Tensor) -> Tensor:
        """Square images [N, 3, H, H] in [-1, 1] -> log-odds [N, A], > 0 = present; too small ones with a warning.

        These are the networks' outputs divided by `temperature`. Grey images count as three channels.

        Raises:
            UsageError: Images have another number of channels than the networks take.
        """
        images = box_resize(self._in_colour(images), self.resolution)
        return torch.cat([network(images) for network in self], dim=1) / self.temperature

    def features(self, images: Tensor) -> list[Tensor]:
        """Activations after FromRGB and after every block, [N, C_k, H / 2^k, W / 2^k]; H and W are free.

        With separate networks C_k counts the feature maps of all of them, one network after the other.

        Raises:
            UsageError: As `forward`.
        """
        images = self._in_colour(images)
        per_network = [network.features(images) for network in self]
        return [torch.cat(level, dim=1) for level in zip(*per_network, strict=True)]

    def _in_colour(self, images: Tensor) -> Tensor:
        taken, given = self.config.network.num_channels, images.shape[1]
        if given not in (1, taken):
            raise UsageError(f"the classifiers {self.name} take images of {taken} channels, not {given}: train others.")
        return images.expand(-1, taken, -1, -1)


def initialise(classifiers: AttributeClassifiers, seed: int) -> AttributeClassifiers:
    """Weights ~ N(0, 1) and biases 0, as equalised learning rate wants (ProGAN, section 4.1); network k has a seed."""
    for number, network in enumerate(classifiers):
        _draw(network, seed, number)
    return classifiers


def new_network(config: ClassifierShape, seed: int, number: int) -> Discriminator:
    """One of the networks, with the initial weights that `initialise` gives it."""
    with torch.random.fork_rng(devices=[]):
        network = Discriminator(config.network)
    return _draw(network, seed, number)


@torch.no_grad()
def _draw(network: Discriminator, seed: int, number: int) -> Discriminator:
    generator = torch.Generator().manual_seed(derive_seed(seed, "classifiers/weights", number))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.normal_(generator=generator)
        else:
            parameter.zero_()
    return network


def save_classifiers(
    folder: Path | str,
    classifiers: AttributeClassifiers,
    *,
    dataset: dict[str, Any],
    card: dict[str, Any],
    seed: int | None = None,
) -> Path:
    """Write classifiers.safetensors, config.json and card.json; the folder appears at once.

    Args:
        folder: Must not exist.
        classifiers: What is saved.
        dataset: What they were trained on, as `Dataset.describe()` gives it.
        card: How good they are, as `evaluation.evaluate` gives it.
        seed: What they were trained with; it says which images were held out. None if it is not known.

    Raises:
        OutputExistsError: the folder exists.
    """
    with atomic_folder(folder) as temporary:
        write_tensors({key: value.contiguous() for key, value in classifiers.state_dict().items()}, temporary / WEIGHTS)
        write_records(temporary, classifiers.config, dataset=dataset, card=card, seed=seed)
    return Path(folder)


def write_records(
    folder: Path, shape: ClassifierShape, *, dataset: dict[str, Any], card: dict[str, Any], seed: int | None
) -> None:
    """Write config.json and card.json beside the weights; `training` is null of networks trained elsewhere."""
    config = {
        "schema_version": SCHEMA_VERSION,
        "training": None,
        **shape.model_dump(mode="json"),
        "dataset": dataset,
        "seed": seed,
        "weights_sha256": file_sha256(folder / WEIGHTS),
    }
    _write_json(folder / CONFIG, config)
    _write_json(folder / CARD, card)


def load_classifiers(name: Path | str, *, device: str | torch.device = "cpu") -> AttributeClassifiers:
    """Load classifiers by their folder, or by their name under classifiers/; ready for use, without gradients.

    Raises:
        UnknownNetworkError: there is no such folder.
        CheckpointError: the folder is incomplete or damaged.
    """
    folder = find_classifiers(name)
    config, sha256 = read_config(folder)
    if file_sha256(folder / WEIGHTS) != sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} is damaged: its SHA-256 is not the one in {CONFIG}. Copy it again or train again."
        )
    with torch.device("meta"):  # forty networks take gigabytes: what would be overwritten is not made
        classifiers = AttributeClassifiers(config, name=folder.name, sha256=sha256)
    state = {"temperature": torch.ones(len(config.attributes), device=device)}  # schema 1 has none
    with safe_open(folder / WEIGHTS, "pt") as file:
        state |= {name: _placed(file.get_tensor(name), device) for name in file.keys()}  # noqa: SIM118
    try:
        classifiers.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder / WEIGHTS} does not fit {CONFIG}: {error}") from error
    return classifiers.eval().requires_grad_(False)


def _placed(tensor: Tensor, device: str | torch.device) -> Tensor:
    """A copy on a device, of convolutions in the layout in which they are fastest."""
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device, torch.float32, copy=True, memory_format=layout)


def find_classifiers(name: Path | str) -> Path:
    """The folder that `name` means: itself, one under classifiers/, or a bundled one (latentlab.zoo).

    Raises:
        UnknownNetworkError: there is none; the message lists what there is.
    """
    if Path(name).is_file():
        remedy = f"`latentlab classifiers import {name} ... --out FOLDER` makes classifiers of official files"
        remedy = remedy if is_official_file(name) else "name the folder"
        raise UnknownNetworkError(f"{name} is a file, and classifiers are a folder: {remedy}.")
    candidates = [folder for folder in (Path(name), ROOT / name) if folder.is_dir()]
    candidates.sort(key=lambda folder: not (folder / CONFIG).is_file())  # those that hold classifiers first
    if candidates:
        return candidates[0].resolve()
    if bundled := bundled_classifiers(name):
        return bundled
    known = sorted(path.parent.name for path in ROOT.glob(f"*/{CONFIG}"))
    listed = f"{ROOT}/ holds {', '.join(known)}" if known else f"{ROOT}/ holds none yet"
    listed += f"; bundled: {', '.join(classifier_names()) or 'none'}"
    raise UnknownNetworkError(
        f"no classifiers called '{name}': {listed}. `latentlab classifiers train` makes new ones."
    )


def is_official_file(name: Path | str) -> bool:
    """Whether a name ends as those of official network files do."""
    return Path(name).suffix.lower() in PICKLES


def newest_classifiers() -> Path:
    """The folder under classifiers/ that was finished last, or the bundled ones where there is none.

    Raises:
        UnknownNetworkError: there is none.
    """
    finished = [path.parent for path in ROOT.glob(f"*/{CONFIG}")]
    if not finished and (bundled := bundled_classifiers(DEFAULT_CLASSIFIERS)):
        return bundled
    if not finished:
        raise UnknownNetworkError(f"{ROOT}/ holds no classifiers yet: `latentlab classifiers train` makes some.")
    return max(finished, key=lambda folder: (folder / CONFIG).stat().st_mtime_ns)


def read_card(folder: Path | str) -> dict[str, Any]:
    """A classifier folder's card.json.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = Path(folder) / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return card


def read_config(folder: Path) -> tuple[ClassifierShape, str]:
    """Settings and weights hash from a classifier folder's config.json; a ClassifierConfig if they were trained here.

    Raises:
        CheckpointError: a file is missing, or config.json is not one.
    """
    missing = [name for name in (WEIGHTS, CONFIG, CARD) if not (folder / name).is_file()]
    if missing:
        official = any(map(is_official_file, folder.iterdir())) if folder.is_dir() else False
        remedy = (
            f" `latentlab classifiers import {folder} --out FOLDER` makes one of official files." if official else ""
        )
        raise CheckpointError(f"{folder} is no classifier folder: it lacks {', '.join(missing)}.{remedy}")
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] not in READABLE:
            known = f"{READABLE[0]} to {READABLE[-1]}"
            raise CheckpointError(f"{path}: schema version {content['schema_version']}; known are {known}.")
        kind = ClassifierShape if content["training"] is None else ClassifierConfig
        fields = {key: content[key] for key in kind.model_fields}
        return kind.model_validate(fields), str(content["weights_sha256"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no classifiers' settings file: {error}") from error


def read_training(folder: Path) -> tuple[dict[str, Any], int | None]:
    """The data that classifiers were trained on, as `Dataset.describe()` gave it, and the seed, None if not recorded.

    Raises:
        CheckpointError: a file is missing, or config.json is not one.
    """
    read_config(folder)
    content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return content.get("dataset") or {}, content.get("seed")


def imported(folder: Path) -> bool:
    """Whether classifiers were trained elsewhere, so that nothing says with which images.

    Raises:
        CheckpointError: a file is missing, or config.json is not one.
    """
    return not isinstance(read_config(folder)[0], ClassifierConfig)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
