"""`latentlab train`: a generator, its snapshots and its training curves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentlab.cli.options import Crop, Data, Device, NumImages, Seed, Without, combination, torch_device

if TYPE_CHECKING:
    from latentlab.data import Dataset
    from trainers.presets import RunConfig


Arch = Literal["style", "traditional"]
"""How the latent enters the synthesis."""


Preset = Literal["quick", "small", "paper"]
"""Sizes of networks and lengths of training; trainers/presets.py."""


def train(
    mapping_depth: Annotated[int, typer.Option(help="Layers of the mapping network; 0 for none.")] = 8,
    arch: Annotated[Arch, typer.Option(help="Style-based, or traditional.")] = "style",
    data: Data = "faces",
    resolution: Annotated[int, typer.Option(help="A power of two from 8 to 1024.")] = 32,
    preset: Annotated[
        Preset, typer.Option(help="quick: minutes on a CPU; small: for a GPU; paper: the paper's.")
    ] = "quick",
    kimg: Annotated[
        float | None, typer.Option(help="Thousands of real images to train with; the preset's if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/ARCH-DEPTH if left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")] = False,
    num_images: NumImages = None,
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    without: Without = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a generator by progressive growing and leave a run folder with snapshots and sample grids.

    \b
    Example:
      latentlab train --mapping-depth 8 --data faces --out runs/style-8
    """
    from latentlab.cli.display import progress_bar, say

    run = out or Path("runs") / f"{arch}-{mapping_depth}"
    say(f"{arch} generator, {mapping_depth} mapping layers, {resolution} px: {run}")

    from latentlab.data import open_dataset
    from latentlab.metrics.sliced_wasserstein import snapshot_metric
    from trainers.loop import refuse_taken
    from trainers.loop import train as train_run
    from trainers.presets import networks_for, training_for

    # Complain before images are read, which can take long.
    networks_for(preset, arch=arch, mapping_depth=mapping_depth, resolution=resolution)
    training_for(preset, kimg)
    refuse_taken(run, resume=resume)
    chosen = torch_device(device)
    with progress_bar("Reading images") as progress:
        dataset = open_dataset(
            data,
            resolution=resolution,
            crop=crop,
            num_images=num_images,
            missing=combination(without),
            progress=progress,
        )
    config = _config(dataset, arch=arch, depth=mapping_depth, preset=preset, kimg=kimg, seed=seed)
    with progress_bar("Training") as progress:
        state = train_run(
            config,
            dataset,
            run,
            resume=resume,
            device=chosen,
            snapshot_metrics=snapshot_metric(dataset, seed=seed),
            score="swd",
            progress=progress,
            say=say,
        )
    print(f"{run}: {state.num_images / 1000:.1f} kimg in {state.seconds:,.0f} s, sliced Wasserstein distance "
          f"{state.metrics.get('swd', float('nan')):.2f}; images in {run / 'grids'}")  # fmt: skip


def _config(
    dataset: "Dataset", *, arch: Arch, depth: int, preset: Preset, kimg: float | None, seed: int
) -> "RunConfig":
    from trainers.presets import DatasetRecord, run_config

    return run_config(
        preset,
        arch=arch,
        mapping_depth=depth,
        dataset=DatasetRecord.model_validate(dataset.describe()),
        kimg=kimg,
        seed=seed,
    )
