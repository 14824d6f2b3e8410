"""`latentlab data`: the embedded faces as files."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.cli.options import Seed, Without, combination

app = typer.Typer(no_args_is_help=True, help="Make data sets.")


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
