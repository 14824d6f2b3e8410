"""`latentlab sample`: labelled latents of a network."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import Device, Seed, torch_device
from latentlab.errors import StoreError, UsageError

Noise = Literal["random", "const", "none"]
"""Where the noise inputs come from."""


def sample(
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own "
            "package.module:factory; the newest run if left out.",
            autocompletion=completion.networks,
        ),
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            help="A classifier folder, a name under classifiers/, FILE.onnx or FILE.pt (TorchScript) with FILE.json "
            "beside it, your own package.module:factory, or `none`; the newest classifiers if left out.",
            autocompletion=completion.labellers,
        ),
    ] = None,
    num_samples: Annotated[int, typer.Option(help="Rows; the paper takes 200,000.", min=1)] = 20_000,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The store; run.h5 in the run folder, or in runs/package.module-factory/ (ffhq.pkl: runs/ffhq-pkl/)."
        ),
    ] = None,
    noise: Annotated[Noise, typer.Option(help="random, as in every published measurement; const; none.")] = "random",
    truncation: Annotated[float, typer.Option(help="Truncation psi; 1 for none, as in every measurement.")] = 1.0,
    images: Annotated[bool, typer.Option("--images", help="Keep the images, too: uint8, compressed.")] = False,
    wplus: Annotated[bool, typer.Option("--wplus", help="Keep w of all layers, too.")] = False,
    features: Annotated[
        str | None,
        typer.Option(
            help="Keep feature vectors of the images: `inception` (FID's), or `classifier:NAME`.",
            autocompletion=completion.features_or("inception"),
        ),
    ] = None,
    inception_weights: Annotated[
        Path | None, typer.Option(help="The file of FID's Inception network, for --features inception.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="K/N: only the K-th of N parts, for `latentlab store merge`.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Rows in work at a time; changes neither rows nor their bits.", min=1)
    ] = 64,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Sample latents, make their images, label these, and write z, w and logits to a store.

    Killed and run again, it goes on where it was. Under torchrun, processes share the rows; the file is the same.

    \b
    Example:
      latentlab sample --network runs/style-8 --classifiers classifiers/quick --num-samples 20000
      torchrun --nproc-per-node 8 -m latentlab sample --network style-8 --num-samples 200000 --images
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import beside, open_features, open_labeller, open_network
    from latentlab.distributed import team
    from latentlab.protocols import has_mapping
    from latentlab.sampling import sample as sample_store
    from latentlab.sampling import shard_rows

    part = (1, 1) if shard is None else fraction(shard)
    chosen = torch_device(device)
    with team(chosen) as crew:
        generator, name, folder = open_network(network, chosen)
        labeller = open_labeller(classifiers, chosen, channels=generator.img_channels)
        path = out or beside(folder, "run.h5" if shard is None else f"run-{part[0]}-of-{part[1]}.h5")
        if crew.leads:
            say(f"network {name.name}, classifiers {labeller.name if labeller else 'none'}")
            if not has_mapping(generator):
                say("this generator has no mapping network: its W is Z")
        was_complete = is_complete(path)
        with progress_bar("Sampling", "rows", shown=crew.leads) as progress:
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
                with_all_layers=wplus,
                features=None
                if features is None
                else open_features(features, chosen, inception_weights=inception_weights),
                shard=part,
                device=chosen,
                team=crew,
                progress=progress,
            )
        if crew.leads:
            if was_complete:  # and of these settings: others were refused
                say(f"{path} was complete already")
            rows = shard_rows(num_samples, part)
            which = "" if shard is None else f", {rows.start:,} to {rows.stop - 1:,} of {num_samples:,}"
            print(f"{path}: {rows.stop - rows.start:,} samples of {name.name}{which}")


def is_complete(path: Path) -> bool:
    """Whether there is a store with all of its rows."""
    from latentlab.store import peek

    try:
        return path.exists() and peek(path)[2]
    except StoreError:  # `sample` says what it is
        return False


def fraction(text: str) -> tuple[int, int]:
    """`2/3` -> (2, 3).

    Raises:
        UsageError: The text has another form.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard {text}: expected K/N, such as 2/3 for the second of three parts.")
    return int(number), int(count)
