"""`latentlab ppl`: how much images change along paths in Z or W."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentlab.cli.options import BatchSize, Device, Json, Results, Seed, torch_device

if TYPE_CHECKING:
    import torch

    from latentlab.perceptual import Distance


Space = Literal["z", "w"]
"""Which latent space the path runs in."""


Sampling = Literal["full", "end"]
"""Where on the path."""


def ppl(
    space: Annotated[Space, typer.Option(help="z: slerp before the mapping; w: lerp after it.")] = "w",
    sampling: Annotated[Sampling, typer.Option(help="full: anywhere on the path; end: at its start.")] = "full",
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, or your own package.module:factory; the newest run if "
            "left out."
        ),
    ] = None,
    distance: Annotated[
        str,
        typer.Option(
            help="lpips-vgg (the published one), lpips-alex, lpips-squeeze, or classifier:FOLDER, a distance "
            "on the features of trained attribute classifiers that needs no download."
        ),
    ] = "lpips-vgg",
    num_samples: Annotated[int, typer.Option(help="Pairs; the paper takes 100,000.", min=2)] = 100_000,
    crop: Annotated[bool, typer.Option("--crop/--no-crop", help="Crop to where aligned faces are.")] = True,
    epsilon: Annotated[float, typer.Option(help="Step along the path.")] = 1e-4,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder with the weights of VGG16, ...")] = None,
    batch_size: BatchSize = 32,
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure the perceptual path length by the official finite difference; lower is better.

    Results are appended to the run's results.jsonl, or to runs/package.module-factory/results.jsonl.

    \b
    Example:
      latentlab ppl --space w --sampling end --network runs/style-8 --distance classifier:classifiers/quick
    """
    from latentlab.cli.display import interval, number, progress_bar, say
    from latentlab.cli.networks import beside, open_network
    from latentlab.metrics.path_length import PathSettings, perceptual_path_length
    from latentlab.results import METRICS, append_results, check_results_file

    chosen = torch_device(device)
    generator, name, folder = open_network(network, chosen)
    target = results or beside(folder, "results.jsonl")
    check_results_file(target)
    settings = PathSettings(space=space, sampling=sampling, epsilon=epsilon, crop=crop, seed=seed)
    measure = open_distance(distance, weights_dir, chosen)
    with progress_bar("Path length", "pairs") as progress:
        result = perceptual_path_length(
            generator,
            measure,
            settings,
            network=name,
            num_samples=num_samples,
            batch_size=batch_size,
            device=chosen,
            progress=progress,
        )
    try:
        append_results(target, [result])
    finally:  # a full disk costs the file its line, not the user the number
        if as_json:
            print(result.model_dump_json())
        else:
            print(f"{METRICS[result.metric]} of {name.name}: {number(result.value)} {interval(result.ci95)}")
            cropped = "cropped" if crop else "not cropped"
            print(f"{result.num_samples:,} pairs, distance {measure.name}, images {cropped}, epsilon {epsilon:g}")
    say(f"appended to {target}")


def open_distance(spec: str, weights_dir: Path | None, device: "torch.device") -> "Distance":
    """The perceptual distance that `--distance` names.

    Raises:
        UsageError: There is none of this name.
        WeightsError: Its weights cannot be had.
    """
    from attribute_classifiers.network import load_classifiers
    from latentlab.errors import UsageError
    from latentlab.perceptual import classifier_distance, lpips_distance

    kind, _, rest = spec.partition(":")
    if kind == "classifier" and rest:
        return classifier_distance(load_classifiers(rest, device=device))
    if spec in ("lpips-vgg", "lpips-alex", "lpips-squeeze"):
        return lpips_distance(spec.removeprefix("lpips-"), weights_dir=weights_dir, device=device)  # type: ignore[arg-type]
    raise UsageError(
        f"--distance {spec}: expected lpips-vgg, lpips-alex, lpips-squeeze or classifier:FOLDER, such as "
        "classifier:classifiers/quick."
    )
