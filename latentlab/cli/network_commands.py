"""`latentlab networks`: generators and files of networks, looked at."""

import json
from typing import Annotated, Any

import typer

from latentlab.cli import completion
from latentlab.cli.bundled import list_networks
from latentlab.cli.converting import convert
from latentlab.cli.official import inspect
from latentlab.cli.options import Device, torch_device
from latentlab.errors import UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="List the bundled networks, look into official files, convert them, check generators.",
)


@app.callback()
def _group() -> None:
    pass


app.command("list")(list_networks)
app.command()(inspect)
app.command()(convert)


@app.command()
def check(
    network: Annotated[
        str,
        typer.Argument(
            help="package.module:factory; or a run folder, a snapshot, a name under runs/, or an official file.",
            autocompletion=completion.networks,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
    device: Device = "auto",
) -> None:
    """Call a generator on a few latents and say what is wrong with it.

    Exits with 1 if it cannot be measured, and with 2 if it cannot be made.

    \b
    Example:
      latentlab networks check mymodule:make
    """
    from latentlab.checkpoint import load_generator
    from latentlab.interop.factories import names_factory
    from latentlab.interop.generator_checks import examine_generator
    from latentlab.interop.generators import make_generator
    from latentlab.interop.official_networks import is_network_file, load_generator_file

    chosen = torch_device(device)
    try:
        if names_factory(network):
            generator, name = make_generator(network, device=chosen)
        else:
            own, name = load_generator_file(network) if is_network_file(network) else load_generator(network)
            generator = own.to(chosen)
    except UsageError as error:
        if as_json:
            print(json.dumps({"name": network, "sha256": None, "fits": False, "problems": [str(error)]}))
        raise
    found = examine_generator(generator, device=chosen)
    if as_json:
        lists = {"problems": found.problems, "suspicions": found.suspicions}
        print(json.dumps({**name.model_dump(), "fits": not found.problems, **lists, "facts": found.facts}))
    else:
        _print(name.name, found.problems, suspicions=found.suspicions, facts={**found.facts, "sha256": name.sha256})
    if found.problems:
        raise typer.Exit(1)


def _print(name: str, problems: list[str], *, suspicions: list[str], facts: dict[str, Any]) -> None:
    print(f"{name} cannot be measured as it is:" if problems else f"{name} fits.")
    for problem in problems:
        print(f"- {problem}")
    if suspicions:
        print("Suspicious:")
    for suspicion in suspicions:
        print(f"- {suspicion}")
    for fact, value in facts.items():
        print(f"{fact + ':':<18}{_words(value)}")
    if facts.get("has_mapping") is False:
        print("It has no mapping network: W is Z, and measurements are taken in Z alone.")


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(f"{end:.3g}" for end in value) if isinstance(value[0], float) else ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
