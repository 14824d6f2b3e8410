"""`latentlab data`: the embedded faces as files, images as one file that opens at once, and what a data set holds."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latentlab.cli.options import Crop, Filter, Json, Labels, Seed, SkipBad, Without, combination

app = typer.Typer(no_args_is_help=True, help="Make data sets, and look at them.")

LISTED = 20


@app.callback()
def _group() -> None:
    pass


@app.command()
def faces(
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    num_images: Annotated[int, typer.Option(help="How many faces.", min=1)] = 30_000,
    resolution: Annotated[int, typer.Option(help="A power of two from 16 to 256.")] = 32,
    without: Without = None,
    seed: Seed = 0,
) -> None:
    """Write the embedded faces in CelebA's layout, with their attributes and the factors behind them.

    \b
    Example:
      latentlab data faces --out faces --num-images 1000 --resolution 64
    """
    from latentlab.cli.display import progress_bar
    from latentlab.data.export import write_celeba_layout

    with progress_bar("Drawing faces") as progress:
        write_celeba_layout(
            out,
            num_images=num_images,
            resolution=resolution,
            seed=seed,
            missing=combination(without),
            progress=progress,
        )
    print(f"{out}: {num_images:,} faces, list_attr_celeba.txt and factors.csv")


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="A folder of images, a folder in CelebA's layout, or a zip file.")],
    out: Annotated[Path, typer.Option(help="The file to make, ending in .h5.")],
    resolution: Annotated[int, typer.Option(help="A power of two from 8 to 1024.")],
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    filter: Filter = "box",  # noqa: A002 (the name of the option)
    labels: Labels = None,
    num_images: Annotated[int | None, typer.Option(help="Use only the first ones; all if left out.", min=1)] = None,
    skip_bad: SkipBad = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier file.")] = False,
) -> None:
    """Decode, crop and resize images once, into one file that training opens at once.

    \b
    Example:
      latentlab data prepare ffhq/images1024x1024 --out ffhq-256.h5 --resolution 256 --filter lanczos
      latentlab data prepare photos --labels photos.csv --out photos-64.h5 --resolution 64 --crop center
    """
    import time

    from latentlab.cli.display import progress_bar
    from latentlab.data.decoding import Preparation
    from latentlab.data.preparing import prepare as prepare_images

    started = time.monotonic()
    with progress_bar("Preparing images") as progress:
        made = prepare_images(
            source,
            out,
            Preparation(resolution, crop, filter),
            labels=labels,
            num_images=num_images,
            skip_bad=skip_bad,
            overwrite=overwrite,
            progress=progress,
        )
    _print_summary(made.summary(), seconds=f"{time.monotonic() - started:,.1f}")


@app.command()
def show(
    data: Annotated[str, typer.Argument(help="`faces`, a folder or zip of images, CelebA, or a file of `prepare`.")],
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Print how many images there are, of which sizes, and how often they have each attribute; decode none of them.

    \b
    Example:
      latentlab data show celeba-hq
      latentlab data show photos --labels photos.csv
    """
    from latentlab.cli.display import print_table, progress_bar
    from latentlab.data.summary import summarise

    with progress_bar("Reading headers") as progress:
        facts = summarise(data, labels=labels, progress=progress)
    if as_json:
        print(json.dumps(facts))
        return
    _print_facts(facts)
    rows = [[row["name"], f"{row['positives']:,}", f"{row['share']:.3f}"] for row in facts["attributes"]]
    if rows:
        print_table(["attribute", "present", "share"], rows)
    else:
        print("no labels; --labels FILE gives some")
    for image in facts["first"]:
        print(f"{image['file']}: {', '.join(image['attributes']) or 'no attribute'}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="What `latentlab data prepare` made.")], as_json: Json = False
) -> None:
    """Verify the fingerprint of prepared images and print what the file holds.

    \b
    Example:
      latentlab data check ffhq-256.h5
    """
    from latentlab.cli.display import progress_bar
    from latentlab.data.prepared import check_prepared

    with progress_bar("Checking images") as progress:
        summary = check_prepared(file, progress).summary()
    if as_json:
        print(json.dumps(summary))
    else:
        _print_summary(summary, verified="yes")


def _print_facts(facts: dict[str, Any]) -> None:
    """Name, number, sizes, unreadable files, and where labels come from, a line each."""
    sizes = [f"{size} ({count:,})" for size, count in facts["sizes"].items()]
    lines = {
        "name": facts["name"],
        "num_images": f"{facts['num_images']:,}",
        "sizes": _some(sizes),
        "unreadable": f"{len(facts['unreadable']):,} {_some(facts['unreadable'])}",
        "labels": " through ".join(facts["label_files"]),
        "labels_sha256": facts["labels_sha256"] or "",
    }
    for name, text in lines.items():
        if text:
            print(f"{name + ':':<20}{text}".rstrip())


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:LISTED]) + (f" and {len(texts) - LISTED:,} more" if len(texts) > LISTED else "")


def _print_summary(summary: dict[str, Any], **more: str) -> None:
    """One line per fact, on standard output; images that were left out come last."""
    skipped, attributes = summary.pop("skipped"), summary.pop("attributes")
    summary |= {"attributes": len(attributes), **more, "skipped": len(skipped)}
    for name, value in summary.items():
        print(f"{name + ':':<20}{value:,}" if isinstance(value, int) else f"{name + ':':<20}{value}")
    for name in skipped[:LISTED]:
        print(f"  {name}")
    if len(skipped) > LISTED:
        print(f"  and {len(skipped) - LISTED} more; the file's data set `skipped` names them all")
