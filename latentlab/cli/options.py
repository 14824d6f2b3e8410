"""Options that several commands share, and what their values stand for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentlab.errors import UsageError

if TYPE_CHECKING:
    import torch

Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON lines instead of a table.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that an earlier call wrote.")]
Data = Annotated[
    str,
    typer.Option(help="`faces` (the embedded ones), a folder or zip of images, CelebA, or a file of `data prepare`."),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="A .csv, .tsv or .parquet file with labels for the images: a column of file names, and any number of "
        "columns of 1 and 0, 1 and -1, or true and false."
    ),
]
NumImages = Annotated[
    int | None, typer.Option(help="Use only the first ones; all of a folder, or 30,000 embedded faces, if left out.")
]
Without = Annotated[
    str | None,
    typer.Option(
        help="Leave a combination out of the embedded faces: `Male=1,Smiling=0` keeps no man who does not smile."
    ),
]
BatchSize = Annotated[int, typer.Option(help="Changes the speed only.", min=1)]
Results = Annotated[Path | None, typer.Option(help="The JSON-lines file to append to.")]


Filter = Annotated[
    Literal["box", "lanczos"], typer.Option(help="How images are made smaller: averages, or PIL's Lanczos.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, naming them.")]
Crop = Literal["auto", "center", "celeba"]
"""How images become square."""


def torch_device(name: str) -> "torch.device":
    """The device that an option names; the command that asks is about to compute, so freed memory is kept from here on.

    Raises:
        UsageError: There is no such device here.
    """
    import torch

    from latentlab.memory import keep_freed_memory

    keep_freed_memory()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":  # one GPU for each process that torchrun started on this machine
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"--device {name}: no such device here; take cpu, or auto to take what there is.") from error
    return device


def combination(text: str | None) -> dict[str, bool] | None:
    """`Male=1,Smiling=0` -> {"Male": True, "Smiling": False}.

    Raises:
        UsageError: The text has another form.
    """
    if text is None:
        return None
    values = {"1": True, "+1": True, "0": False, "-1": False}
    pairs = [part.strip().partition("=") for part in text.split(",")]
    if not all(name and value in values for name, _, value in pairs):
        raise UsageError(f"--without {text}: expected attributes with 0 or 1, such as Male=1,Smiling=0.")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise UsageError(f"--without {text}: every attribute may be named only once.")
    return {name: values[value] for name, _, value in pairs}
