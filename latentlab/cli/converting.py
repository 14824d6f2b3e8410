"""`latentlab networks convert`: files of others' making to network folders."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from latentlab.cli.official import TIME_LIMIT
from latentlab.cli.options import Device, torch_device
from latentlab.errors import UsageError


def convert(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .pkl file of StyleGAN, StyleGAN2, StyleGAN2-ADA or StyleGAN3, or a checkpoint of Rosinality's "
            "StyleGAN or StyleGAN2."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make: network.safetensors, network.json.")],
    which: Annotated[
        str | None,
        typer.Option(help="Gs, G_ema, G or D; the averaged generator if left out."),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Of Rosinality's StyleGAN: pixels of the images; the highest trained if left out.", min=4),
    ] = None,
    label: Annotated[
        int | None,
        typer.Option("--class", help="The class that a conditional generator shows from now on, from 0.", min=0),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="An image that the official code made: seed0085.png, or a .npy file.")
    ] = None,
    check_seed: Annotated[
        int | None, typer.Option(help="The seed it was made of; the number in its name if left out.", min=0)
    ] = None,
    check_psi: Annotated[float, typer.Option(help="The truncation it was made with.")] = 1.0,
    check_noise: Annotated[
        Literal["const", "none"], typer.Option(help="The noise it was made with; random noise cannot be repeated.")
    ] = "const",
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds that reading may take.")] = TIME_LIMIT,
    device: Device = "auto",
) -> None:
    """Turn a network of an official file into plain safetensors and JSON, which every command takes as --network.

    Nothing in the file is executed. With --check the folder is written, and the command exits with 1, also where the
    image is another one.

    \b
    Example:
      latentlab networks convert ffhq.pkl --out networks/ffhq
      latentlab networks convert ffhq.pkl --out networks/ffhq --check seed0085.png
    """
    from latentlab.checkpoint import AnyGenerator
    from latentlab.cli.display import say
    from latentlab.files import refuse_existing
    from latentlab.interop.converting import compare_with_image, described, save_network, seed_in
    from latentlab.interop.official_networks import load_network_file
    from latentlab.interop.pickles import Limits

    refuse_existing(out)
    if check is not None and not check.is_file():
        raise UsageError(f"--check {check}: there is no such file.")
    chosen = torch_device(device)
    loaded = load_network_file(file, which=which, label=label, resolution=resolution, limits=Limits(seconds=time_limit))
    network = loaded.network
    if check is not None and not isinstance(network, AnyGenerator):
        raise UsageError("--check compares images, and this network makes none: leave it out.")
    seed = seed_in(check.stem) if check is not None and check_seed is None else check_seed
    compared = None
    if check is not None and seed is not None and isinstance(network, AnyGenerator):  # before anything is written
        compared = compare_with_image(
            network.to(chosen),
            check,
            seed=seed,
            truncation_psi=check_psi,
            noise_mode=check_noise,
            device=chosen,
        )
    save_network(out, loaded)
    print(f"{described(loaded)}: {sum(p.numel() for p in network.parameters()):,} parameters")
    for note in loaded.notes:
        say(note)
    say(f"written to {out}")
    if compared is None:
        return
    print(
        f"{check}, seed {seed}: {compared.verdict}; of 255 levels, it differs by {compared.mean:.3f} on average and "
        f"{compared.largest:.1f} at most"
    )
    if not compared.same:
        raise typer.Exit(1)
