"""`latentlab weights`: pretrained weights that measurements need."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from latentlab.weights import Weights

app = typer.Typer(no_args_is_help=True, help="Pretrained weights: list, fetch, check.")

Name = Annotated[str, typer.Argument(help="vgg16, alexnet, squeezenet, inception, or all.")]
Folder = Annotated[Path | None, typer.Option("--from", help="A folder that holds the files; looked into first.")]


@app.command("list")
def show() -> None:
    """Say which weights are needed for what, whether they are here, their size, licence and checksum.

    \b
    Example:
      latentlab weights list
    """
    from latentlab.cli.display import print_table
    from latentlab.weights import cache, find_weights, known_weights

    rows = [
        [
            weights.name,
            "yes" if find_weights(weights) else "no",
            f"{weights.megabytes:g} MB",
            weights.sha256[:8],
            weights.needed_for,
        ]
        for weights in known_weights()
    ]
    print_table(["name", "here", "size", "SHA-256", "needed for"], rows, title=f"weights in {cache()}")
    for weights in known_weights():
        print(f"{weights.name}: {weights.file}, {weights.licence}; {weights.url}")
    print("LPIPS's own heads come with the package lpips (BSD-2-Clause). The embedded faces need no weights.")


@app.command()
def fetch(name: Name, source: Folder = None) -> None:
    """Put weights into torch's cache: copied from a folder if named, else downloaded; their checksum is compared.

    \b
    Example:
      latentlab weights fetch vgg16
      latentlab weights fetch all --from /media/stick/weights
    """
    from latentlab.cli.display import say
    from latentlab.errors import UsageError
    from latentlab.weights import fetch_weights

    if source is not None and not source.is_dir():
        raise UsageError(f"--from {source}: there is no such folder; name the one that holds the files.")

    for weights in _named(name):
        path = fetch_weights(weights, () if source is None else (source,), option="--from")
        say(f"{weights.name}: {path}")


@app.command()
def check(
    name: Name = "all", folder: Annotated[Path | None, typer.Option(help="Instead of the cache.")] = None
) -> None:
    """Compare checksums of weights that are here; exits with 1 if one differs or a named one is missing.

    \b
    Example:
      latentlab weights check
    """
    from latentlab.errors import UsageError
    from latentlab.files import file_sha256
    from latentlab.weights import find_weights

    if folder is not None and not folder.is_dir():
        raise UsageError(f"--folder {folder}: there is no such folder.")
    wrong = False
    for weights in _named(name):
        path = find_weights(weights, folder)
        if path is None:
            print(f"{weights.name}: not here")
            wrong |= name != "all"
            continue
        found = file_sha256(path)
        wrong |= not weights.genuine(found)
        verdict = "right" if weights.genuine(found) else f"WRONG, must begin with {weights.sha256[:16]}"
        print(f"{weights.name}: {path}, SHA-256 {found[:16]}..., {verdict}")
    if wrong:
        raise typer.Exit(1)


def _named(name: str) -> "list[Weights]":
    from latentlab.weights import known_weights, weights_named

    return list(known_weights()) if name == "all" else [weights_named(name)]
