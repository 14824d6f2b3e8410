"""`python -m latentlab.study.bundling STUDY`: the first seed of a study becomes the bundled networks (`make zoo`)."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from latentlab.errors import CheckpointError
from latentlab.files import atomic_folder
from latentlab.zoo import CLASSIFIERS, DEFAULT_CLASSIFIERS, NETWORKS, PREFIX, ROOT

LARGEST = 10 * 2**20
"""Bytes that all of it may have."""


def bundle(study: Path, root: Path = ROOT) -> int:
    """Copy the last networks of a finished study's first seed, and its classifiers; returns the bytes of all.

    Raises:
        CheckpointError: A training is not finished, or it is more than 10 MiB.
    """
    seed = json.loads((study / "study.json").read_text(encoding="utf-8"))["seeds"][0]
    runs = sorted((study / "runs").glob(f"*-seed{seed}"))
    if not runs:
        raise CheckpointError(f"{study} has no run of seed {seed}.")
    for run in runs:
        _bundle_run(run, root / NETWORKS.name / f"{PREFIX}{run.name.removesuffix(f'-seed{seed}')}")
    with atomic_folder(root / CLASSIFIERS.name / DEFAULT_CLASSIFIERS, replace=True) as folder:
        for path in (study / "classifiers" / "study").iterdir():
            shutil.copyfile(path, folder / path.name)
        card = json.loads((folder / "card.json").read_text(encoding="utf-8")) | {"name": DEFAULT_CLASSIFIERS}
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    if total > LARGEST:
        raise CheckpointError(f"the bundled networks have {total:,} bytes; {LARGEST:,} are allowed.")
    return total


def _bundle_run(run: Path, target: Path) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    snapshot = sorted((run / "snapshots").glob("[0-9]*"))[-1]
    if int(snapshot.name) < config["trainer"]["total_kimg"] * 1000:
        raise CheckpointError(f"{run} is not finished: its newest snapshot is {snapshot.name}.")
    with atomic_folder(target, replace=True) as folder:
        for name in ("network.safetensors", "network.json"):
            shutil.copyfile(snapshot / name, folder / name)
        for name in ("config.json", "stats.jsonl"):
            shutil.copyfile(run / name, folder / name)


def main(study: Annotated[Path, typer.Argument(help="A finished study by zoo/recipe.toml.")]) -> None:
    """Bundle the networks and classifiers of a study."""
    print(f"{bundle(study):,} bytes in {ROOT}")


if __name__ == "__main__":
    typer.run(main)
