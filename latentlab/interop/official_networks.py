"""Networks out of files that others' code wrote, in this project's classes: official pickles, ports' checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from latentlab import stylegan2, stylegan3
from latentlab.checkpoint import AnyDiscriminator, AnyGenerator
from latentlab.errors import CheckpointError, UsageError
from latentlab.files import file_sha256
from latentlab.interop import stylegan, stylegan2_tensorflow
from latentlab.interop.checkpoints import convert_checkpoint, is_torch_archive
from latentlab.interop.identity import combined_sha256
from latentlab.interop.pickles import PICKLES, Limits, OfficialFile, OfficialNetwork, TensorFlowNetwork, open_official
from latentlab.interop.pickles.cursor import shown
from latentlab.interop.state_dicts import assigned
from latentlab.results import NetworkName
from latentlab.stylegan2.config import Repository

AnyNetwork = AnyGenerator | AnyDiscriminator
SUFFIXES = (*PICKLES, ".pt", ".pth", ".model")
"""Of files that are taken to be networks where a network is named."""
_AVERAGED = ("Gs", "G_ema")
_ALL_AVERAGED = (*_AVERAGED, "g_ema", "g_running")  # those of ports, too


@dataclass(frozen=True)
class Loaded:
    """A network of a file.

    Attributes:
        network: In eval mode, on the CPU, without gradients.
        which: Its name in the file.
        file_sha256: Of the file.
        sha256: Of what decides the network: the file, which network in it, the label, and the resolution asked for.
        origin: What is known of where it comes from, for network.json.
        notes: What was chosen or drawn where the file does not say it, in sentences.
    """

    network: AnyNetwork
    which: str
    file_sha256: str
    sha256: str
    origin: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()


def load_network_file(
    path: Path | str,
    *,
    which: str | None = None,
    label: int | None = None,
    resolution: int | None = None,
    limits: Limits | None = None,
) -> Loaded:
    """A network out of a file of others' making; nothing in the file is executed.

    Args:
        path: An official pickle of StyleGAN, StyleGAN2, StyleGAN2-ADA or StyleGAN3, or a checkpoint of one of
            Rosinality's ports, of StyleGAN or StyleGAN2.
        which: Its name in the file, such as G, D, Gs or G_ema; the averaged generator if left out.
        label: The class that a conditional generator shows from now on, counted from 0.
        resolution: Of the images, for checkpoints of Rosinality's StyleGAN; the highest trained one if left out.
        limits: What reading a pickle may cost.

    Raises:
        CheckpointError: The file is of another kind, damaged, or holds what is not supported.
        UsageError: There is no network of this name, or the class or the resolution does not fit.
    """
    path = Path(path)
    network: AnyNetwork
    notes: tuple[str, ...] = ()
    if is_torch_archive(path):
        converted = convert_checkpoint(path, which=which, resolution=resolution)
        network, which, notes, digest = converted.generator, converted.which, converted.notes, file_sha256(path)
        origin: dict[str, Any] = {"kind": converted.kind, **({"notes": list(notes)} if notes else {})}
    else:
        if resolution is not None:
            raise UsageError("--resolution: an official file's networks have one; leave it out.")
        opened = open_official(path, limits=limits)
        chosen = _chosen(opened, which)
        try:
            network = network_of(chosen)
        except CheckpointError as error:
            raise CheckpointError(f"{path}, {shown(chosen.name)}: {shown(str(error), 4000)}") from error
        which, digest = chosen.name, opened.sha256
        origin = {"kind": opened.kind, "architecture": chosen.architecture, "content_sha256": chosen.sha256}
    if label is not None:
        _set_label(network, label)
    network.to(memory_format=torch.channels_last)  # as folders' networks: in the same order of additions, and fast
    origin = {"file": path.name, "file_sha256": digest, "which": which, **origin}
    asked = [] if resolution is None else [resolution]
    plain = which in _ALL_AVERAGED and label is None and not asked
    sha256 = digest if plain else combined_sha256(digest, which, label, *asked)
    return Loaded(network, which, digest, sha256, origin, notes)


def load_generator_file(path: Path | str, *, limits: Limits | None = None) -> tuple[AnyGenerator, NetworkName]:
    """The averaged generator of such a file, ready to be measured, and its name: the file's, and the file's hash.

    Raises:
        CheckpointError, UsageError: As `load_network_file`; also if the generator is conditional and has no class.
    """
    loaded = load_network_file(path, limits=limits)
    network = loaded.network
    if not isinstance(network, AnyGenerator):
        raise CheckpointError(
            f"{path} holds a discriminator or classifier ({loaded.which}), not a generator. Attribute classifiers are "
            "made usable by `latentlab classifiers import`."
        )
    check_unconditional(network, f"{path}")
    return network, NetworkName(name=Path(path).stem, sha256=loaded.sha256)


def is_network_file(spec: str | Path) -> bool:
    """Whether a name means a file of a network: it exists, and ends as such files do."""
    return Path(spec).suffix.lower() in SUFFIXES and Path(spec).is_file()


def check_unconditional(network: AnyNetwork, name: str) -> None:
    """Refuse a conditional generator that has no class of its own.

    Raises:
        UsageError: saying how to give it one.
    """
    c_dim = getattr(network, "c_dim", 0)
    if c_dim and getattr(network, "label", None) is None:
        raise UsageError(
            f"{name} is conditional on {c_dim} classes: choose one with `latentlab networks convert FILE --out FOLDER "
            f"--class N` (0 to {c_dim - 1}) and measure the folder."
        )


# --------------------------------------------------------------------------------------------- of official networks


def network_of(official: OfficialNetwork) -> AnyNetwork:
    """An official network in this project's class, in eval mode and without gradients.

    Raises:
        CheckpointError: Its architecture or a setting is not supported, or tensors do not fit.
    """
    tensorflow = isinstance(official.record, TensorFlowNetwork)
    make = (_TENSORFLOW if tensorflow else _TORCH).get(official.architecture)
    if make is None:
        raise CheckpointError(
            f"the network ({official.class_name}, {official.architecture}) is none of those that can be converted: "
            f"{', '.join(dict.fromkeys((*_TENSORFLOW, *_TORCH)))}."
        )
    return make(official)


def _from_kwargs(official: OfficialNetwork, config: BaseModel, build: Callable[[Any], AnyNetwork]) -> AnyNetwork:
    if official.arguments:
        raise CheckpointError(f"it was made with arguments without names ({official.arguments}), which is not known.")
    return assigned(lambda: build(config), {name: official.torch(name) for name in official.tensors})


def _repository(official: OfficialNetwork) -> Repository:
    """Whose StyleGAN2 class a module is of: ADA's takes settings of the blocks nested, StyleGAN3's takes them flat."""
    nested = "synthesis_kwargs" in official.config or "block_kwargs" in official.config
    flat = {"channel_base", "channel_max", "num_fp16_res", "conv_clamp"} & official.config.keys()
    generator = "Generator" in official.class_name
    return "stylegan3" if generator and flat and not nested else "stylegan2-ada-pytorch"


_TENSORFLOW: dict[str, Callable[[OfficialNetwork], AnyNetwork]] = {
    "StyleGAN generator": lambda o: stylegan.generator_from_variables(o.tensors, o.config),
    "StyleGAN discriminator": lambda o: stylegan.discriminator_from_variables(o.tensors, o.config),
    "StyleGAN2 generator": lambda o: stylegan2_tensorflow.generator_from_variables(o.tensors, o.config),
    "StyleGAN2 discriminator": lambda o: stylegan2_tensorflow.discriminator_from_variables(
        o.tensors, o.config, function=o.class_name
    ),
}
_TORCH: dict[str, Callable[[OfficialNetwork], AnyNetwork]] = {
    "StyleGAN2 generator": lambda o: _from_kwargs(
        o, stylegan2.official_generator_config(o.config, _repository(o)), stylegan2.Generator
    ),
    "StyleGAN2 discriminator": lambda o: _from_kwargs(
        o, stylegan2.official_discriminator_config(o.config, _repository(o)), stylegan2.Discriminator
    ),
    "StyleGAN3 generator": lambda o: _from_kwargs(
        o, stylegan3.official_generator_config(o.config), stylegan3.Generator
    ),
}


def _chosen(opened: OfficialFile, which: str | None) -> OfficialNetwork:
    if which is None:
        which = next((name for name in _AVERAGED if name in opened.networks), None)
        if which is None and len(opened.networks) == 1:
            which = next(iter(opened.networks))
    if which is None or which not in opened.networks:
        asked = f"no network {which!r}" if which else "no averaged generator"
        there = shown(", ".join(opened.networks), 500)
        raise UsageError(f"{opened.path} holds {asked}; it has {there}: name one with --which.")
    return opened.networks[which]


def _set_label(network: AnyNetwork, label: int) -> None:
    if not isinstance(network, stylegan2.Generator | stylegan3.Generator) or not network.c_dim:
        raise UsageError(f"class {label} was asked for, and this network is no conditional generator: leave it out.")
    if not 0 <= label < network.c_dim:
        raise UsageError(f"class {label} was asked for; this generator has 0 to {network.c_dim - 1}.")
    network.label = tuple(float(number == label) for number in range(network.c_dim))
