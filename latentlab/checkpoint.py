"""Networks on disk: weights as safetensors beside a JSON description; nothing pickled, nothing executed.

A network folder holds `network.safetensors` and `network.json`; the second names the checksum of the first, so a file
that was damaged or exchanged is noticed before its numbers are used.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentlab import stylegan2, stylegan3
from latentlab.errors import CheckpointError, UnknownNetworkError
from latentlab.files import DISK_FULL, file_sha256
from latentlab.networks import Discriminator, Generator, GeneratorConfig
from latentlab.results import NetworkName
from latentlab.zoo import bundled_network, bundled_record, network_names

SCHEMA_VERSION = 1
RUNS = Path("runs")
AnyGenerator = Generator | stylegan2.Generator | stylegan3.Generator
"""Every generator that a network folder may hold."""
AnyDiscriminator = Discriminator | stylegan2.Discriminator
"""Every discriminator that it may hold."""


class Family(NamedTuple):
    """Networks of one kind: the record of a generator's settings, and the classes."""

    config: type[BaseModel]
    generator: type[AnyGenerator]
    discriminator: type[AnyDiscriminator] | None


OWN = "latentlab"
FAMILIES: dict[str, Family] = {
    OWN: Family(GeneratorConfig, Generator, Discriminator),
    "stylegan2": Family(stylegan2.GeneratorConfig, stylegan2.Generator, stylegan2.Discriminator),
    "stylegan3": Family(stylegan3.GeneratorConfig, stylegan3.Generator, None),
}
"""By the name in network.json, where LatentLab's own family may be left out."""


def save_tensors(folder: Path, stem: str, tensors: dict[str, Tensor], description: dict[str, Any]) -> str:
    """Write `stem.safetensors` and `stem.json` into a folder; the checksum joins the description and is returned."""
    weights = folder / f"{stem}.safetensors"
    write_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, weights)
    sha256 = file_sha256(weights)
    description = {"schema_version": SCHEMA_VERSION, **description, "weights_sha256": sha256}
    (folder / f"{stem}.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return sha256


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file with text in its header.

    Raises:
        OSError: The disk is full.
        CheckpointError: It cannot be written for another reason.
    """
    try:
        save_file(tensors, path, metadata)
    except (SafetensorError, OSError) as error:
        for number in DISK_FULL:  # safetensors gives errors of the system as text
            if f"(os error {number})" in str(error) or getattr(error, "errno", None) == number:
                raise OSError(number, os.strerror(number), str(path)) from error
        raise CheckpointError(f"{path} cannot be written ({error}): what was there before is untouched.") from error


def load_tensors(folder: Path, stem: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what save_tensors wrote: tensors on the CPU, and the description.

    Raises:
        CheckpointError: A file is missing, of another schema version, or its checksum does not hold.
    """
    weights, text = folder / f"{stem}.safetensors", folder / f"{stem}.json"
    description = read_json(text)
    if description.get("schema_version") != SCHEMA_VERSION:
        given = description.get("schema_version")
        raise CheckpointError(f"{text}: schema version {given!r}; this LatentLab reads version {SCHEMA_VERSION}.")
    if not weights.is_file():
        raise CheckpointError(f"{weights} is missing, though {text.name} beside it names it.")
    if file_sha256(weights) != description.get("weights_sha256"):
        raise CheckpointError(f"{weights} is damaged: its checksum is not the one in {text.name}.")
    try:
        return load_file(weights), description
    except SafetensorError as error:
        raise CheckpointError(f"{weights}: not a safetensors file ({error}).") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: The file is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error}).") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}.")
    return value


def assign(network: nn.Module, tensors: dict[str, Tensor], origin: str) -> None:
    """Load tensors into a network of the same form.

    Raises:
        CheckpointError: A tensor is missing, superfluous or of another shape.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{origin}: the weights do not fit the network they came with: {first}") from error


def save_generator(folder: Path, generator: AnyGenerator, training: dict[str, Any]) -> str:
    """Write a network folder's two files into an existing folder; returns the weights' SHA-256.

    `training` is a free record of how the weights came about (images seen, data set, run).
    """
    family = next(name for name, family in FAMILIES.items() if isinstance(generator, family.generator))
    description = _described("generator", family, generator.config, training)
    if isinstance(generator, Generator):
        description["lod"] = generator.synthesis.lod
    return save_tensors(folder, "network", generator.state_dict(), description)


def save_discriminator(folder: Path, discriminator: AnyDiscriminator, training: dict[str, Any]) -> str:
    """The same of a discriminator."""
    family = next(name for name, one in FAMILIES.items() if isinstance(discriminator, one.discriminator or ()))
    description = _described("discriminator", family, discriminator.config, training)
    if isinstance(discriminator, Discriminator):
        description["lod"] = discriminator.lod
    return save_tensors(folder, "network", discriminator.state_dict(), description)


def _described(kind: str, family: str, config: BaseModel, training: dict[str, Any]) -> dict[str, Any]:
    named = {} if family == OWN else {"family": family}
    return {"kind": kind, **named, "config": config.model_dump(), "training": training}


def load_network_folder(folder: Path) -> tuple[AnyGenerator, dict[str, Any]]:
    """A generator in eval mode from a network folder, and the folder's description.

    Raises:
        CheckpointError: The folder is incomplete, damaged or no generator.
    """
    tensors, description = load_tensors(folder, "network")
    if description.get("kind") != "generator":
        raise CheckpointError(f"{folder}: holds a {description.get('kind')!r}, not a generator.")
    family = FAMILIES.get(description.get("family", OWN))
    if family is None:
        known = ", ".join(FAMILIES)
        raise CheckpointError(f"{folder}: family {description['family']!r}; this LatentLab knows {known}.")
    try:
        build = cast(Callable[[BaseModel], AnyGenerator], family.generator)
        generator = build(family.config.model_validate(description.get("config")))
    except ValidationError as error:
        problem = error.errors()[0]
        raise CheckpointError(f"{folder / 'network.json'}: config {problem['loc']}: {problem['msg']}.") from error
    assign(generator, tensors, str(folder))
    if isinstance(generator, Generator):
        generator.synthesis.lod = float(description.get("lod", 0.0))
    generator.to(memory_format=torch.channels_last)  # in which convolutions are fastest
    return generator.eval().requires_grad_(False), description


def snapshots(run: Path) -> list[Path]:
    """The snapshot folders of a run, oldest first."""
    return sorted(path for path in (run / "snapshots").glob("[0-9]*") if path.is_dir())


def network_folder(spec: str | Path) -> Path:
    """The network folder that a name stands for.

    A name is a network folder, a run folder (its newest snapshot), the name of a run under `runs/`, or of a bundled
    network (latentlab.zoo), or the folder of what was measured of one.

    Raises:
        UnknownNetworkError: Nothing goes by this name; the message lists what is there.
    """
    for path in (Path(spec), RUNS / str(spec)):
        if (path / "network.json").is_file():
            return path
        if found := snapshots(path):
            return found[-1]
    if bundled := bundled_network(spec) or (bundled_record(Path(spec)) if Path(spec).is_dir() else None):
        return bundled
    known = ", ".join(path.name for path in _runs()) or "none yet (`latentlab train` makes one)"
    raise UnknownNetworkError(
        f"unknown network {str(spec)!r}: expected a run folder, a snapshot folder, the name of a run under "
        f"{RUNS}/ or of a bundled network. Runs there: {known}. Bundled: {', '.join(network_names()) or 'none'}."
    )


def newest_run() -> Path:
    """The run under `runs/` with the newest snapshot.

    Raises:
        UnknownNetworkError: There is none.
    """
    found = _runs()
    if not found:
        raise UnknownNetworkError(
            f"no network was named and {RUNS}/ has no run; name one, or train with `latentlab train`."
        )
    return max(found, key=lambda run: snapshots(run)[-1].stat().st_mtime)


def load_generator(spec: str | Path) -> tuple[AnyGenerator, NetworkName]:
    """Load a generator by name (see network_folder), in eval mode on the CPU, with its name and hash.

    The hash is that of the weights; of a conditional generator its class joins them.

    Raises:
        UnknownNetworkError: No network goes by this name.
        CheckpointError: Its files are incomplete or damaged.
    """
    folder = network_folder(spec).resolve()  # RUN/best is a link to a snapshot
    generator, description = load_network_folder(folder)
    is_snapshot = folder.parent.name == "snapshots"
    name = f"{folder.parent.parent.name}@{folder.name}" if is_snapshot else folder.name
    return generator, NetworkName(name=name, sha256=_identity(generator, description["weights_sha256"]))


def _identity(generator: AnyGenerator, weights_sha256: str) -> str:
    """The hash of what decides the images: the weights, the class of a conditional generator, the level of detail."""
    label = getattr(generator, "label", None)
    lod = generator.synthesis.lod if isinstance(generator, Generator) else 0.0
    if label is None and not lod:
        return weights_sha256
    return hashlib.sha256(f"{weights_sha256} {label} {lod}".encode()).hexdigest()


def _runs() -> list[Path]:
    return sorted(run for run in RUNS.glob("*") if snapshots(run)) if RUNS.is_dir() else []
