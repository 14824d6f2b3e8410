"""`latentlab figures`: the paper's pictures of a network."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from latentlab.cli.options import Device, Seed, torch_device
from latentlab.errors import UsageError


def figures(
    out: Annotated[Path, typer.Option(help="The folder to make; it must not exist.")],
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own package.module:factory; "
            "the newest run if left out."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Which figures, with commas between them: samples, scales, mixing, noise, layers, truncation, "
            "interpolation; all if left out."
        ),
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Truncation psi of all figures but truncation and interpolation; 1 for none.")
    ] = 1.0,
    draws: Annotated[int, typer.Option(help="Draws of noise of which the deviation is taken.", min=4)] = 100,
    pairs: Annotated[int, typer.Option(help="Pairs between which is interpolated.", min=1, max=64)] = 4,
    distance: Annotated[
        str | None,
        typer.Option(
            help="Of the speeds of interpolation, as in `latentlab ppl`: lpips-vgg, classifier:FOLDER, ...; mean "
            "squared pixel difference if left out."
        ),
    ] = None,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder with the weights of VGG16, ...")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was drawn as JSON lines.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the figures of the StyleGAN paper for a network: samples, style mixing, noise, truncation, interpolation.

    The folder holds a PNG file for each, and figures.json with settings and captions. What a network has nothing to
    show of, such as noise where it has none, is left out and said so.

    \b
    Example:
      latentlab figures --network style-8 --out figures
      latentlab figures --network ffhq.pkl --only mixing,truncation --truncation 0.7 --out ffhq-figures
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import open_network
    from latentlab.cli.outputs import check_outputs
    from latentlab.cli.ppl import open_distance
    from latentlab.figures import FigureSettings, figure_names, save_figures
    from latentlab.files import refuse_existing

    names = figure_names(only)
    settings = FigureSettings(seed=seed, truncation_psi=truncation, noise_draws=draws, num_pairs=pairs)
    if distance is not None and "interpolation" not in names:
        raise UsageError(f"--distance {distance} is for interpolation, which --only {only} leaves out.")
    check_outputs({}, folders={"--out": out})
    refuse_existing(out)
    chosen = torch_device(device)
    generator, name, _ = open_network(network, chosen)
    measure = None if distance is None else open_distance(distance, weights_dir, chosen)
    record = save_figures(
        out,
        generator,
        name,
        names=names,
        settings=settings,
        distance=measure,
        device=chosen,
        progress=lambda figure: progress_bar(f"Figure {figure}"),
    )
    _tell(record, as_json=as_json)
    say(f"wrote {out}")


def _tell(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        lines = [{"network": record["network"], **figure} for figure in (*record["figures"], *record["left_out"])]
        print(*(json.dumps(line, ensure_ascii=False) for line in lines), sep="\n")
        return
    for figure in record["figures"]:
        print(f"{figure['file']}, {figure['width']} x {figure['height']} pixels: {figure['caption']}")
    for one in record["left_out"]:
        print(f"{one['name']} was left out: {one['reason']}")
