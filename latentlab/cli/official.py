"""`latentlab networks inspect`: what is in an official network file, printed."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from latentlab.interop.pickles import OfficialFile, OfficialNetwork

TIME_LIMIT = 120.0


def inspect(
    file: Annotated[Path, typer.Argument(help="A .pkl file of StyleGAN, StyleGAN2, StyleGAN2-ADA or StyleGAN3.")],
    variables: Annotated[bool, typer.Option("--variables", help="List every tensor, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds that reading may take.")] = TIME_LIMIT,
) -> None:
    """Show which networks an official file holds, without converting it or running anything in it.

    Exits with 1 if it is no such file, damaged, or contains what official files do not.

    \b
    Example:
      latentlab networks inspect stylegan2-ffhq-config-f.pkl
    """
    from latentlab.errors import CheckpointError
    from latentlab.interop.checkpoints import described_checkpoint, is_torch_archive
    from latentlab.interop.pickles import Limits, open_official

    _refuse_own(file)
    if is_torch_archive(file) and (sentence := described_checkpoint(file)):
        raise CheckpointError(sentence)
    found = open_official(file, limits=Limits(seconds=time_limit))
    if as_json:
        print(json.dumps(_described(found, variables=variables)))
    else:
        _print(found, variables=variables)


def _refuse_own(file: Path) -> None:
    """Networks of LatentLab's own form are looked at by other commands."""
    if file.is_file():
        return
    from latentlab.checkpoint import network_folder
    from latentlab.errors import CheckpointError, UnknownNetworkError

    with contextlib.suppress(UnknownNetworkError):
        network_folder(file)
        raise CheckpointError(
            f"{file} is a network of LatentLab's and no official file: name a .pkl file. `latentlab networks list "
            f"--json` has the settings of the bundled ones, `latentlab networks check {file}` looks at any."
        )


def _described(found: "OfficialFile", *, variables: bool) -> dict[str, Any]:
    networks = []
    for network in found.networks.values():
        record = network.record
        about = {
            "name": network.name,
            "class_name": network.class_name,
            "architecture": network.architecture,
            "config": network.config,
            "arguments": network.arguments,
            "num_tensors": len(network.tensors),
            "num_parameters": network.num_parameters,
            "num_values": network.num_values,
            "sha256": network.sha256,
            "source_sha256": record.source_sha256,
            "source_length": record.source_length,
            "state_version": getattr(record, "version", None),
        }
        if variables:
            about["variables"] = [
                {
                    "name": name,
                    "shape": list(array.shape),
                    "dtype": array.dtype.name,
                    "parameter": name in network.parameters,
                }
                for name, array in network.tensors.items()
            ]
        networks.append(about)
    head = {"file": str(found.path), "bytes": found.num_bytes, "sha256": found.sha256, "kind": found.kind}
    return {**head, "protocol": found.protocol, "networks": networks, "extras": dict(found.extras)}


def _print(found: "OfficialFile", *, variables: bool) -> None:
    from latentlab.cli.display import print_table

    print(f"{found.path}: {found.kind}; {found.num_bytes:,} bytes, pickle protocol {found.protocol}")
    print(f"SHA-256 of the file: {found.sha256}")
    print_table(
        ["network", "architecture", "class", "tensors", "parameters", "values", "SHA-256 of the contents"],
        [_row(network) for network in found.networks.values()],
    )
    for network in found.networks.values():
        _print_settings(f"{network.name} was made with:", network.config, network.arguments)
    _print_settings("The file also holds:", found.extras, [])
    if variables:
        for network in found.networks.values():
            print_table(["tensor", "shape", "type", "parameter"], _tensors(network), title=_shown(network.name))


def _row(network: "OfficialNetwork") -> list[str]:
    names = (network.name, network.architecture, network.class_name)
    counts = (len(network.tensors), network.num_parameters, network.num_values)
    return [*map(_shown, names), *(f"{count:,}" for count in counts), f"{network.sha256[:16]}..."]


def _tensors(network: "OfficialNetwork") -> list[list[str]]:
    return [
        [_shown(name), " x ".join(map(str, array.shape)) or "scalar", array.dtype.name,
         "yes" if name in network.parameters else "no"]
        for name, array in network.tensors.items()
    ]  # fmt: skip


def _print_settings(title: str, settings: Mapping[str, Any], arguments: list[Any]) -> None:
    if not settings and not arguments:
        return
    print(_shown(title))
    if arguments:
        print(f"  {_shown(json.dumps(arguments, ensure_ascii=False))}")
    for name, value in settings.items():
        print(f"  {_shown(name)} = {_shown(json.dumps(value, ensure_ascii=False))}")


def _shown(text: str) -> str:
    from latentlab.interop.pickles.cursor import shown

    return shown(text, 500)
