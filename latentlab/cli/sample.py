"""`latentlab sample`: labelled latents of a network."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from latentlab.cli.options import BatchSize, Device, Seed, torch_device

Noise = Literal["random", "const", "none"]
"""Where the noise inputs come from."""


def sample(
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, or your own package.module:factory; the newest run if "
            "left out."
        ),
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            help="A classifier folder, a name under classifiers/, FILE.onnx or FILE.pt (TorchScript) with FILE.json "
            "beside it, your own package.module:factory, or `none`; the newest classifiers if left out."
        ),
    ] = None,
    num_samples: Annotated[int, typer.Option(help="Rows; the paper takes 200,000.", min=1)] = 20_000,
    out: Annotated[
        Path | None, typer.Option(help="The store; run.h5 in the run folder, or in runs/package.module-factory/.")
    ] = None,
    noise: Annotated[Noise, typer.Option(help="random, as in every published measurement; const; none.")] = "random",
    truncation: Annotated[float, typer.Option(help="Truncation psi; 1 for none, as in every measurement.")] = 1.0,
    images: Annotated[bool, typer.Option("--images", help="Keep the images, too.")] = False,
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Sample latents, make their images, label these, and write z, w and logits to a store.

    Killed and run again, it goes on where it was.

    \b
    Example:
      latentlab sample --network runs/style-8 --classifiers classifiers/quick --num-samples 20000
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import beside, open_labeller, open_network
    from latentlab.protocols import has_mapping
    from latentlab.sampling import sample as sample_store

    chosen = torch_device(device)
    generator, name, folder = open_network(network, chosen)
    labeller = open_labeller(classifiers, chosen, channels=generator.img_channels)
    say(f"network {name.name}, classifiers {labeller.name if labeller else 'none'}")
    if not has_mapping(generator):
        say("this generator has no mapping network: its W is Z")
    path = out or beside(folder, "run.h5")
    with progress_bar("Sampling") as progress:
        sample_store(
            generator,
            path,
            network=name,
            labeller=labeller,
            num_samples=num_samples,
            seed=seed,
            batch_size=batch_size,
            noise_mode=noise,
            truncation_psi=truncation,
            with_images=images,
            device=chosen,
            progress=progress,
        )
    print(f"{path}: {num_samples:,} samples of {name.name}")
