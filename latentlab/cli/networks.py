"""How commands find the network and the labeller they are to use, and where what they write goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from latentlab.errors import UnknownNetworkError, UsageError
from latentlab.results import NetworkName
from latentlab.zoo import DEFAULT_NETWORK, is_bundled, network_names

if TYPE_CHECKING:
    import torch

    from latentlab.features import ImageFeatures
    from latentlab.protocols import GeneratorLike, Labeller


def open_network(spec: str | None, device: "torch.device") -> tuple["GeneratorLike", NetworkName, Path]:
    """The network that `--network` names, or the newest run's, on `device`; its name, and the folder it belongs to.

    The folder is its network folder, or `user_folder` for a generator of the user's own, a file of others' making or a
    bundled network. Where nothing is named and there is no run, it is the bundled `zoo.DEFAULT_NETWORK`.
    """
    from latentlab.checkpoint import load_generator, network_folder
    from latentlab.cli.display import say
    from latentlab.interop.factories import names_factory

    if spec is None:
        spec = _newest_or_bundled()
    if names_factory(spec):
        from latentlab.interop.generators import load_user_generator

        own, name = load_user_generator(spec, device=device)
        return own, name, user_folder(spec)
    from latentlab.interop.official_networks import SUFFIXES, check_unconditional, is_network_file, load_generator_file

    if Path(spec).suffix.lower() in SUFFIXES and not Path(spec).exists():
        raise UnknownNetworkError(f"unknown network {spec!r}: there is no such file.")
    if Path(spec).is_file() and not is_network_file(spec):
        raise UnknownNetworkError(f"unknown network {spec!r}: files that hold one end with {', '.join(SUFFIXES)}.")
    if is_network_file(spec):
        say(f"reading {spec} as data")
        foreign, name = load_generator_file(spec)
        return foreign.to(device), name, user_folder(Path(spec).name.replace(".", "-"))
    generator, name = load_generator(spec)
    check_unconditional(generator, name.name)
    folder = network_folder(spec)
    return generator.to(device), name, user_folder(name.name) if is_bundled(folder) else folder


def _newest_or_bundled() -> str:
    from latentlab.checkpoint import newest_run
    from latentlab.cli.display import say

    try:
        run = newest_run()
    except UnknownNetworkError:
        if DEFAULT_NETWORK not in network_names():
            raise
        say(f"no --network was given, and there is no run yet: taking the bundled {DEFAULT_NETWORK}")
        return DEFAULT_NETWORK
    say(f"no --network was given: taking the newest run, {run}")
    return str(run)


def open_labeller(spec: str | None, device: "torch.device", *, channels: int = 3) -> "Labeller | None":
    """The labeller that `--classifiers` names, or the newest classifiers; None for `none`.

    Args:
        spec: `none`, a classifier folder or a name under classifiers/, a file, or package.module:factory.
        device: Where it computes.
        channels: Of the images it will be shown.
    """
    from attribute_classifiers.network import load_classifiers, newest_classifiers
    from latentlab.interop.factories import names_factory
    from latentlab.interop.labellers import is_labeller_file, load_labeller

    if spec == "none":
        return None
    if spec is None:
        return load_classifiers(newest_classifiers(), device=device)
    if names_factory(spec) or is_labeller_file(spec):
        return load_labeller(spec, device=device, channels=channels)
    return load_classifiers(spec, device=device)


def open_features(spec: str, device: "torch.device", *, inception_weights: Path | None = None) -> "ImageFeatures":
    """The network that `--features` names, `inception` or `classifier:NAME`.

    Raises:
        UsageError: The name has another form.
        WeightsError: Inception's weights cannot be had.
    """
    from attribute_classifiers.network import load_classifiers
    from latentlab.features import ClassifierFeatures, inception_features

    kind, _, name = spec.partition(":")
    if spec == "inception":
        return inception_features(inception_weights, device=device)
    if kind == "classifier" and name:
        return ClassifierFeatures(load_classifiers(name, device=device), device=device)
    raise UsageError(f"--features {spec}: expected `inception` or `classifier:NAME`, such as classifier:faces32.")


def user_folder(spec: str) -> Path:
    """Where what is found out about package.module:factory goes: runs/package.module-factory (ffhq.pkl: ffhq-pkl)."""
    from latentlab.checkpoint import RUNS

    return RUNS / spec.replace(":", "-")


def beside(network: Path, name: str) -> Path:
    """Where a file about a network goes: into its run folder, or into its own folder if it belongs to no run."""
    return (network.parent.parent if network.parent.name == "snapshots" else network) / name
