"""`latentlab classifiers`: the attribute classifiers."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from latentlab.cli.options import (
    Crop,
    Data,
    Device,
    Filter,
    Labels,
    NumImages,
    Seed,
    SkipBad,
    Without,
    combination,
    torch_device,
)

app = typer.Typer(no_args_is_help=True, help="Attribute classifiers: train, look at.")


Preset = Literal["quick", "small", "paper"]
"""Sizes and lengths of training; attribute_classifiers/presets.py."""


Trunk = Literal["separate", "shared"]
"""One network per attribute, or one for all."""


@app.callback()
def _group() -> None:
    pass


@app.command()
def train(
    data: Data = "faces",
    labels: Labels = None,
    out: Annotated[Path | None, typer.Option(help="Folder to make; classifiers/PRESET if left out.")] = None,
    preset: Annotated[Preset, typer.Option(help="quick and small: for a CPU; paper: the paper's.")] = "quick",
    trunk: Annotated[
        Trunk | None,
        typer.Option(
            help="separate: one network per attribute, as in the paper; shared: one network with one output "
            "per attribute. The preset's if left out."
        ),
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="A power of two; the preset's if left out.")] = None,
    images_shown: Annotated[
        int | None, typer.Option(help="Images to train with, repetitions counted; the preset's if left out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was killed.")] = False,
    num_images: NumImages = None,
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    filter: Filter = "box",  # noqa: A002
    skip_bad: SkipBad = False,
    without: Without = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train attribute classifiers on labelled real images, and measure them on images held out.

    \b
    Example:
      latentlab classifiers train --data faces --out classifiers/quick
    """
    from attribute_classifiers.network import read_card
    from attribute_classifiers.presets import preset as preset_config
    from attribute_classifiers.training import train_classifiers
    from latentlab.cli.display import progress_bar, say_skipped
    from latentlab.data import open_dataset

    config = preset_config(preset, resolution=resolution, trunk=trunk, images_shown=images_shown)
    chosen = torch_device(device)
    with progress_bar("Reading images") as progress:
        dataset = open_dataset(
            data,
            resolution=config.network.resolution,
            crop=crop,
            filter=filter,
            labels=labels,
            skip_bad=skip_bad,
            num_images=num_images,
            missing=combination(without),
            progress=progress,
        )
    say_skipped(dataset)
    folder = out or Path("classifiers") / preset
    with progress_bar("Training classifiers") as progress:
        train_classifiers(dataset, config, folder, seed=seed, device=chosen, resume=resume, progress=progress)
    print_card(read_card(folder))


@app.command()
def card(
    classifiers: Annotated[Path, typer.Argument(help="A classifier folder, or a name under classifiers/.")],
) -> None:
    """Show how good classifiers are, attribute by attribute.

    \b
    Example:
      latentlab classifiers card classifiers/quick
    """
    from attribute_classifiers.network import find_classifiers, read_card

    print_card(read_card(find_classifiers(classifiers)))


def print_card(card: dict[str, Any]) -> None:
    """The card as a table, the mean and the weak attributes below it."""
    from attribute_classifiers.evaluation import card_table
    from latentlab.cli.display import print_table

    table = card_table(card)
    print_table([*map(str, table.columns)], [[_cell(value) for value in row] for row in table.itertuples(index=False)])
    mean = card["mean_balanced_accuracy"]
    measured = [row for row in card["attributes"] if row["balanced_accuracy"] is not None]
    unmeasured = [row["name"] for row in card["attributes"] if row["balanced_accuracy"] is None]
    weak = [row["name"] for row in measured if row["weak"]]
    print(f"{card['name']}: {card['trunk']} trunk, trained on {card['num_train']:,} images of "
          f"{card['dataset']['name']}, measured on {card['num_held_out']:,} held out.")  # fmt: skip
    print(f"Mean balanced accuracy {mean:.3f}." if mean is not None else "No attribute could be measured.")
    print(f"Weak (balanced accuracy below 0.7): {', '.join(weak)}." if weak else "No attribute is weak (below 0.7).")
    if unmeasured:
        print(f"Not measured, because the held-out images show one class only: {', '.join(unmeasured)}.")


def _cell(value: object) -> str:
    if isinstance(value, bool | str):
        return {"True": "weak", "False": ""}.get(str(value), str(value))
    return "–" if value is None or value != value else f"{value:.3f}"
