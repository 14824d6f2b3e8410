"""`latentlab store`: what a store of samples holds, whether it is sound, joining and exporting."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import Json
from latentlab.cli.stores import Store, find_store
from latentlab.errors import StoreError

app = typer.Typer(no_args_is_help=True, help="Stores of samples: look at, check, join, export.")

Format = Literal["parquet", "csv", "npz", "npy", "png"]
LISTED = 20


@app.callback()
def _group() -> None:
    pass


@app.command()
def info(run: Store, as_json: Json = False) -> None:
    """Show what a store holds, where it comes from and how complete it is; also while it grows.

    \b
    Example:
      latentlab store info runs/style-8/run.h5
    """
    from latentlab.store import describe

    found = describe(find_store(run))
    if as_json:
        print(json.dumps(found))
    else:
        _print_info(found)


@app.command()
def check(
    run: Store,
    network_sha256: Annotated[
        str | None, typer.Option(help="Refuse a store of another network than the one with this hash.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the checksums of all rows, that numbers are finite, and that no sample is there twice; exits 1 if not.

    \b
    Example:
      latentlab store check runs/style-8/run.h5
    """
    from latentlab.cli.display import progress_bar
    from latentlab.store.checking import check_store

    run = find_store(run)
    with progress_bar("Checking", "rows") as progress:
        found = check_store(run, network_sha256=network_sha256, progress=progress)
    if as_json:
        fields = {"num_samples": found.num_samples, "datasets": found.datasets, "checksums": found.checksums}
        print(json.dumps({"file": str(run), "sound": not found.findings, **fields, "findings": found.findings}))
    else:
        for finding in found.findings[:LISTED]:
            print(finding)
        if len(found.findings) > LISTED:
            print(f"and {len(found.findings) - LISTED:,} more; --json names them all")
    if found.findings:
        raise StoreError(f"{run} is not sound: {len(found.findings):,} findings.")
    if not as_json:
        how = "checksums hold" if found.checksums else "it has no checksums, so only its numbers were looked at"
        print(f"{run}: {found.num_samples:,} samples of {', '.join(found.datasets)} are sound; {how}")


@app.command()
def merge(
    runs: Annotated[list[Path], typer.Argument(help="The stores to join.", autocompletion=completion.stores)],
    out: Annotated[Path, typer.Option(help="The store to make.")],
) -> None:
    """Join shards of one run into the store a single run would have written, or samples of several runs.

    \b
    Example:
      latentlab store merge shard-0.h5 shard-1.h5 --out run.h5
    """
    from latentlab.cli.display import progress_bar
    from latentlab.store.merging import merge_stores

    with progress_bar("Joining", "rows") as progress:
        merged = merge_stores([find_store(run) for run in runs], out, progress=progress)
    origin = f"sources of {len(runs)} stores, no seed" if merged.seed is None else f"seed {merged.seed}"
    print(f"{out}: {merged.num_samples:,} samples from {merged.first_row} on, {origin}")


@app.command()
def export(
    run: Store,
    format: Annotated[  # noqa: A002 (the name of the option)
        Format,
        typer.Option(
            help="parquet, csv, npz: one file; npy: a folder as scripts that train boundaries read it; "
            "png: a folder of images named by sample number."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file or folder to make.")],
    datasets: Annotated[
        str | None, typer.Option(help="Some of z,w,ws,logits,features,images; z,w,logits if left out.")
    ] = None,
) -> None:
    """Write samples as Parquet, CSV, .npz, .npy or PNG files.

    \b
    Example:
      latentlab store export runs/style-8/run.h5 --format npy --out boundary-data
    """
    from latentlab.cli.display import progress_bar
    from latentlab.store.exporting import export_store

    asked = None if datasets is None else [name.strip() for name in datasets.split(",")]
    with progress_bar("Exporting", "rows") as progress:
        written = export_store(find_store(run), out, format=format, datasets=asked, progress=progress)
    print(f"{out}: {', '.join(written)}")


def _print_info(found: dict[str, Any]) -> None:
    """One line per fact, a table of the datasets below."""
    from latentlab.cli.display import print_table

    version = found["schema_version"]
    finished, total = found["finished_rows"], found["num_samples"]
    facts = {
        "file": found["file"],
        "schema": "not given: written by another tool" if version is None else str(version),
        "samples": f"{finished:,} of {total:,}" + ("" if found["complete"] else ", not complete yet"),
        "numbers": f"{found['first_row']} to {found['first_row'] + total - 1}",
        "seed": "unknown" if found["seed"] is None else str(found["seed"]),
        "network": _who(found["network"]),
        "classifiers": _who(found["classifiers"]),
        "attributes": ", ".join(found["attributes"]) or "none",
        "features": _who(found["features"]),
        "truncation psi": "unknown" if found["truncation_psi"] is None else str(found["truncation_psi"]),
        "noise": found["noise_mode"],
        "mapping": "yes" if found["has_mapping"] else "no: W is Z",
        "resize": _resize(found["resize"]),
        "checksums": f"of every {found['chunk_rows']} rows" if found["checksums"] else "none",
        "written by": f"LatentLab {found['latentlab_version']}",
    }
    for name, value in facts.items():
        print(f"{name + ':':<16}{value}")
    for source in found["sources"]:
        print(f"{'made of:':<16}{json.dumps(source)}")
    rows = [
        [name, "x".join(map(str, data["shape"])), data["dtype"], f"{data['bytes'] / 1e6:,.1f}"]
        for name, data in found["datasets"].items()
    ]
    print_table(["dataset", "shape", "type", "MB on disk"], rows)


def _who(named: dict[str, str] | None) -> str:
    if named is None:
        return "none"
    return named["name"] if named["sha256"] == "unknown" else f"{named['name']} (SHA-256 {named['sha256']})"


def _resize(resize: str) -> str:
    """A warning where classifiers saw less than they were made for."""
    return f"{resize}: the classifiers saw images made larger" if "upsampled" in resize else resize
