"""How commands find the network they are to measure, and where what they write goes."""

from pathlib import Path
from typing import TYPE_CHECKING

from latentlab.results import NetworkName

if TYPE_CHECKING:
    import torch

    from latentlab.networks import Generator


def open_network(spec: str | None, device: "torch.device") -> tuple["Generator", NetworkName, Path]:
    """The network that `--network` names, or the newest run's; with its name and its network folder."""
    from latentlab.checkpoint import load_generator, network_folder, newest_run
    from latentlab.cli.display import say

    if spec is None:
        run = newest_run()
        say(f"no --network was given: taking the newest run, {run}")
        spec = str(run)
    generator, name = load_generator(spec)
    return generator.to(device), name, network_folder(spec)


def beside(network: Path, name: str) -> Path:
    """Where a file about a network goes: into its run folder, or into its own folder if it belongs to no run."""
    return (network.parent.parent if network.parent.name == "snapshots" else network) / name
