"""How commands find the samples that they read: by the file, or by the name of the network that they are of."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.cli import completion
from latentlab.errors import StoreError
from latentlab.zoo import DEFAULT_CLASSIFIERS, NETWORK_MARKS, bundled_network, bundled_record

RUNS, SAMPLES = Path("runs"), "run.h5"

Store = Annotated[
    Path,
    typer.Argument(
        help="A store of samples, such as runs/NAME/run.h5, or NAME alone: of a run or a bundled network.",
        autocompletion=completion.stores,
    ),
]


def find_store(named: Path) -> Path:
    """The store that a path, a run's folder, or the name of a run or of a bundled network stands for.

    Raises:
        StoreError: There is such a network, and no samples of it; the message has the command that makes some.
    """
    if named.is_file():
        return named
    folder = named if named.is_dir() else RUNS / named
    store = folder / SAMPLES
    if store.is_file():
        return store
    if bundled := bundled_network(named) or bundled_record(named):
        name, labelled, store = bundled.name, f" --classifiers {DEFAULT_CLASSIFIERS}", RUNS / bundled.name / SAMPLES
    elif any((folder / mark).exists() for mark in NETWORK_MARKS):
        name, labelled = str(named), ""
    else:
        return named
    raise StoreError(
        f"there are no samples of {name} yet, {store}: `latentlab sample --network {name}{labelled}` makes some."
    )
