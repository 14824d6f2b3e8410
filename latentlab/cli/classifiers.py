"""`latentlab classifiers`: the attribute classifiers."""

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from latentlab.cli.options import (
    Crop,
    Data,
    Device,
    Filter,
    NumImages,
    Seed,
    SkipBad,
    Without,
    combination,
    torch_device,
)
from latentlab.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Attribute classifiers: train, look at.")


Preset = Literal["quick", "small", "paper"]
"""Sizes and lengths of training; attribute_classifiers/presets.py."""


Trunk = Literal["separate", "shared"]
"""One network per attribute, or one for all."""


Precision = Literal["float32", "bfloat16"]
"""Of the convolutions in training."""


@app.callback()
def _group() -> None:
    pass


@app.command()
def train(
    data: Data = "faces",
    out: Annotated[Path | None, typer.Option(help="Folder to make; classifiers/PRESET if left out.")] = None,
    preset: Annotated[Preset, typer.Option(help="quick and small: for a CPU; paper: the paper's.")] = "quick",
    trunk: Annotated[
        Trunk | None,
        typer.Option(
            help="separate: one network per attribute, as in the paper; shared: one network with one output "
            "per attribute. The preset's if left out."
        ),
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(help="Such as Smiling,Male; all that the images have labels for if left out.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="A power of two; the preset's if left out.")] = None,
    images_shown: Annotated[
        int | None, typer.Option(help="Images to train with, repetitions counted; the preset's if left out.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="bfloat16 is faster where the processor has it; the preset's if left out.")
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

    Under torchrun, processes share the networks of a separate trunk, and every minibatch of a shared one.

    \b
    Example:
      latentlab classifiers train --data faces --out classifiers/quick
      latentlab classifiers train --trunk separate --attributes Smiling,Male --precision bfloat16
      torchrun --nproc-per-node 8 -m latentlab classifiers train --preset paper --data celeba-hq
    """
    from attribute_classifiers.attributes import CELEBA_ATTRIBUTES
    from attribute_classifiers.network import read_card
    from attribute_classifiers.presets import preset as preset_config
    from attribute_classifiers.training import train_classifiers
    from latentlab.cli.display import progress_bar, say_skipped
    from latentlab.data import open_dataset
    from latentlab.distributed import team

    configured = functools.partial(
        preset_config, preset, resolution=resolution, trunk=trunk, images_shown=images_shown, precision=precision
    )
    asked = None if attributes is None else named(attributes)
    config = configured(attributes=asked or CELEBA_ATTRIBUTES)  # complains before images are read
    chosen = torch_device(device)
    folder = out or Path("classifiers") / preset
    with team(chosen) as crew:
        with crew.first(), progress_bar("Reading images", shown=crew.leads) as progress:
            dataset = open_dataset(
                data,
                resolution=config.network.resolution,
                crop=crop,
                filter=filter,
                skip_bad=skip_bad,
                num_images=num_images,
                missing=combination(without),
                progress=progress,
            )
        if crew.leads:
            say_skipped(dataset)
        with progress_bar("Training classifiers", shown=crew.leads) as progress:
            train_classifiers(
                dataset,
                configured(attributes=asked or dataset.attributes or CELEBA_ATTRIBUTES),
                folder,
                seed=seed,
                device=chosen,
                resume=resume,
                team=crew,
                progress=progress,
            )
        if crew.leads:
            print_card(read_card(folder))


def named(text: str) -> tuple[str, ...]:
    """`Smiling,Male` -> ("Smiling", "Male").

    Raises:
        UsageError: A name is empty.
    """
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise UsageError(f"--attributes {text!r}: expected names separated by commas, such as Smiling,Male.")
    return found


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
