"""`latentlab train`: a generator, its snapshots and its training curves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from latentlab.cli import completion
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

Arch = Literal["style", "traditional"]
"""How the latent enters the synthesis."""

Letter = Literal["A", "B", "C", "D", "E", "F"]
"""The paper's configurations; trainers/presets.py."""

Preset = Literal["quick", "small", "paper"]
"""Sizes of networks and lengths of training; trainers/presets.py."""

Loss = Literal["logistic", "wgan-gp"]
"""What generator and discriminator are trained with."""

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""Arithmetic of convolutions."""


def train(
    mapping_depth: Annotated[
        int | None, typer.Option(help="Layers of the mapping network, 0 for none; the configuration's if left out.")
    ] = None,
    config: Annotated[
        Letter | None,
        typer.Option(
            help="A: progressive GAN; B: traditional; C: + mapping and styles; D: + constant input; "
            "E: + noise; F: + mixing, the default."
        ),
    ] = None,
    arch: Annotated[
        Arch | None, typer.Option(help="Short for --config F (style) and --config B (traditional).")
    ] = None,
    mixing: Annotated[
        float | None, typer.Option(help="How often styles are mixed: the paper has 0, 0.5, 0.9 and 1.")
    ] = None,
    loss: Annotated[Loss | None, typer.Option(help="The configuration's if left out.")] = None,
    preset: Annotated[
        Preset, typer.Option(help="quick: minutes on a CPU; small: for a GPU; paper: the paper's.")
    ] = "quick",
    gpus: Annotated[
        int | None, typer.Option(help="Whose official minibatches: for 1, 2, 4 or 8 GPUs (--preset paper; 8).")
    ] = None,
    kimg: Annotated[
        float | None, typer.Option(help="Thousands of real images to train with; the preset's if left out.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A TOML file with fields of config.json to set.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, a field to set, as trainer.r1_gamma=1; repeatable.")
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="float32 if left out.")] = None,
    shards: Annotated[
        int | None, typer.Option(help="Independent parts of a minibatch; the number of processes if left out.")
    ] = None,
    data: Data = "faces",
    resolution: Annotated[int, typer.Option(help="A power of two from 8 to 1024.")] = 32,
    num_images: NumImages = None,
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    filter: Filter = "box",  # noqa: A002
    skip_bad: SkipBad = False,
    without: Without = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; runs/style-8, runs/traditional-0, runs/C-8, ... if left out.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Resume with other settings all the same.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and all settings, and stop.")] = False,
    snapshot_metrics: Annotated[
        str,
        typer.Option(
            help="What to measure at snapshots, the first one deciding which is the best: swd, fid, "
            "fd_classifiers, ppl_wend, ls_w, ..., joined by commas; or none."
        ),
    ] = "swd",
    metric_samples: Annotated[
        int | None, typer.Option(help="Images (fid), pairs (ppl) or samples (ls) for each of them.", min=2)
    ] = None,
    classifiers: Annotated[
        Path | None,
        typer.Option(help="Classifiers for ls, fd_classifiers and ppl.", autocompletion=completion.classifiers),
    ] = None,
    inception_weights: Annotated[Path | None, typer.Option(help="Weights file of FID's Inception.")] = None,
    lpips_weights: Annotated[Path | None, typer.Option(help="A folder with the weights of VGG16, for ppl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print the plan as JSON.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a generator by progressive growing and leave a run folder with snapshots and sample grids.

    \b
    Example:
      latentlab train --mapping-depth 8 --data faces --out runs/style-8
      latentlab train --config F --preset paper --resolution 1024 --data ffhq.h5 --dry-run
      torchrun --nproc-per-node 8 -m latentlab train --preset paper --resolution 1024 --data ffhq.h5
    """  # fmt: skip
    from functools import partial

    from latentlab.cli.training import DataChoice, MetricChoice, Place, letter_for, read_fields, show_plan, train_run
    from latentlab.data import open_dataset
    from trainers.presets import Choice

    choice = Choice(
        config=letter_for(config, arch),
        preset=preset,
        mapping_layers=mapping_depth,
        mixing_prob=mixing,
        loss=loss,
        gpus=gpus,
        kimg=kimg,
        shards=shards,
        precision=precision,
        fields=read_fields(recipe, assignments or []),
    )
    read = partial(
        open_dataset,
        data,
        resolution=resolution,
        crop=crop,
        filter=filter,
        num_images=num_images,
        skip_bad=skip_bad,
        missing=combination(without),
    )
    if as_json and not dry_run:
        raise UsageError("--json prints the plan of --dry-run; a run's numbers are in its stats.jsonl.")
    images = DataChoice(data, resolution, num_images, read)
    if dry_run:
        show_plan(choice, images, seed, as_json=as_json)
        return
    metrics = MetricChoice(snapshot_metrics, metric_samples, classifiers, inception_weights, lpips_weights)
    place = Place(out, resume=resume, force=force, device=torch_device(device))
    train_run(choice, images, metrics, place, seed=seed)
