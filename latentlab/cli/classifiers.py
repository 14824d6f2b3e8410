"""`latentlab classifiers`: the attribute classifiers."""

import csv
import functools
from pathlib import Path
from typing import Annotated, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import (
    Crop,
    Data,
    Device,
    Filter,
    Json,
    Labels,
    NumImages,
    Seed,
    SkipBad,
    Without,
    combination,
    torch_device,
)
from latentlab.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Attribute classifiers: train, import, measure, look at.")


Preset = Literal["quick", "small", "paper"]
"""Sizes and lengths of training; attribute_classifiers/presets.py."""


Trunk = Literal["separate", "shared"]
"""One network per attribute, or one for all."""


Precision = Literal["float32", "bfloat16"]
"""Of the convolutions in training."""


Sort = Literal["name", "share", "accuracy", "balanced_accuracy", "auc", "log_loss", "calibration_error", "temperature"]
"""Columns of a card; attribute_classifiers/card.py."""


PositiveOutput = Literal["absent", "present"]
"""What an official network's output above zero says; attribute_classifiers/importing.py."""


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
    from attribute_classifiers.training import refuse_taken, train_classifiers
    from latentlab.cli.cards import print_card
    from latentlab.cli.display import progress_bar, say, say_skipped
    from latentlab.data import open_dataset
    from latentlab.distributed import team

    configured = functools.partial(
        preset_config, preset, resolution=resolution, trunk=trunk, images_shown=images_shown, precision=precision
    )
    asked = None if attributes is None else named(attributes)
    config = configured(attributes=asked or CELEBA_ATTRIBUTES)  # complains before images are read
    chosen = torch_device(device)
    folder = out or Path("classifiers") / preset
    refuse_taken(folder, resume=resume)  # so does this
    if folder.exists():
        say(f"{folder} is finished already")
    with team(chosen) as crew:
        with crew.first(), progress_bar("Reading images", shown=crew.leads) as progress:
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


@app.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(help="Such as celebahq-classifier-00-male.pkl, or a folder of such; any of the 40.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("classifiers/celebahq"),
    positive_output: Annotated[
        PositiveOutput, typer.Option(help="What an output above 0 of these networks says of its attribute.")
    ] = "absent",
) -> None:
    """Make classifiers of the official ones for CelebA-HQ, TensorFlow files of one network each.

    The files are read as data: nothing in them is executed. How good the networks are is not known until `evaluate`
    measures them.

    \b
    Example:
      latentlab classifiers import celebahq-classifier-*.pkl --out classifiers/celebahq
    """
    from attribute_classifiers.importing import import_classifiers
    from latentlab.cli.cards import say_imported
    from latentlab.cli.display import progress_bar

    with progress_bar("Importing classifiers", "networks") as progress:
        imported = import_classifiers(files, out, positive_output=positive_output, progress=progress)
    say_imported(imported)


def named(text: str) -> tuple[str, ...]:
    """`Smiling,Male` -> ("Smiling", "Male"); a name with a comma stands in quotes, as in a CSV file.

    Raises:
        UsageError: A name is empty, or there twice.
    """
    found = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not found or not all(found):
        raise UsageError(f"--attributes {text!r}: expected names separated by commas, such as Smiling,Male.")
    if len(set(found)) < len(found):
        raise UsageError(f"--attributes {text!r}: every attribute may be named only once.")
    return found


@app.command()
def evaluate(
    classifiers: Annotated[
        Path,
        typer.Argument(
            help="A classifier folder, or a name under classifiers/.", autocompletion=completion.classifiers
        ),
    ],
    data: Annotated[str, typer.Option(help="Labelled images, in any form that `classifiers train` takes.")],
    labels: Labels = None,
    attributes: Annotated[
        str | None, typer.Option(help="Which, such as Male,Smiling; all that classifiers and data have, if left out.")
    ] = None,
    num_images: NumImages = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Take all images, even of the data that was trained on.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A JSON file to write the card to.")] = None,
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    filter: Filter = "box",  # noqa: A002
    skip_bad: SkipBad = False,
    without: Without = None,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Of the intervals.")] = 0,
    device: Device = "auto",
) -> None:
    """Measure classifiers on labelled images: their card on data of your choice.

    On the data that they were trained on, the images that were held out are taken.

    \b
    Example:
      latentlab classifiers evaluate quick --data faces --attributes Male,Smiling
    """
    import json

    from attribute_classifiers.card import Training
    from attribute_classifiers.evaluation import check_attributes, choose_images, common_attributes
    from attribute_classifiers.evaluation import evaluate as measure
    from attribute_classifiers.network import find_classifiers, load_classifiers
    from latentlab.cli.cards import print_card, say_left_out, write_card
    from latentlab.cli.display import progress_bar, say, say_skipped
    from latentlab.data import open_dataset
    from latentlab.files import refuse_existing

    if out is not None:
        refuse_existing(out)
    folder = find_classifiers(classifiers)
    loaded = load_classifiers(folder, device=torch_device(device))
    asked = None if attributes is None else named(attributes)
    check_attributes(loaded, asked or ())
    with progress_bar("Reading images") as progress:
        dataset = open_dataset(
            data,
            resolution=loaded.resolution,
            crop=crop,
            filter=filter,
            labels=labels,
            skip_bad=skip_bad,
            num_images=num_images,
            missing=combination(without),
            progress=progress,
        )
    say_skipped(dataset)
    chosen = choose_images(folder, dataset, everything=everything)
    if chosen.note:
        say(chosen.note)
    if asked is None:
        say_left_out(loaded, dataset, common_attributes(loaded, dataset))
    with progress_bar("Classifying images") as progress:
        found = measure(
            loaded,
            dataset,
            training=Training.read(folder),
            rows=chosen.rows,
            origin=chosen.origin,
            attributes=asked,
            seed=seed,
            progress=progress,
        )
    if out is not None:
        write_card(out, found)
    if as_json:
        print(json.dumps(found))
    else:
        print_card(found)


@app.command()
def card(
    classifiers: Annotated[
        Path,
        typer.Argument(
            help="A classifier folder, or a name under classifiers/.", autocompletion=completion.classifiers
        ),
    ],
    sort: Annotated[Sort, typer.Option(help="The best come first by this.")] = "balanced_accuracy",
    as_json: Json = False,
) -> None:
    """Show how good classifiers are, attribute by attribute, on the images that their training held out.

    \b
    Example:
      latentlab classifiers card classifiers/quick --sort auc
    """
    import json

    from attribute_classifiers.network import find_classifiers, read_card
    from latentlab.cli.cards import print_card

    found = read_card(find_classifiers(classifiers))
    if as_json:
        print(json.dumps(found))
    else:
        print_card(found, sort)
