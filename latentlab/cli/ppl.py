"""`latentlab ppl`: how much images change along paths in Z or W."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import BatchSize, Device, Json, Results, Seed, torch_device
from latentlab.cli.outputs import check_outputs
from latentlab.cli.showing import keep_and_show
from latentlab.errors import UsageError

if TYPE_CHECKING:
    import torch

    from latentlab.metrics.path_length import PathSettings
    from latentlab.perceptual import Distance
    from latentlab.results import MetricResult


Space = Literal["z", "w"]
"""Which latent space the path runs in."""


Sampling = Literal["full", "end", "ends"]
"""Where on the path."""


Protocol = Literal["stylegan", "stylegan2-ada", "torch-fidelity", "torchmetrics"]
"""Whose rules are followed."""


def share(text: str) -> float:
    """`1%` or `0.01` as a number.

    Raises:
        typer.BadParameter: It is neither, or not between 0 and 1.
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise typer.BadParameter(f"{text} is no share between 0 and 1; give 1% or 0.01.")
    return value


def ppl(
    space: Annotated[
        Space | None, typer.Option(help="z: walked before the mapping; w: walked after it, if left out.")
    ] = None,
    sampling: Annotated[
        Sampling | None,
        typer.Option(
            help="full: anywhere on the path, if left out; end: at its start, as all code does; ends: at either end."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Both spaces, full and end, in one pass; instead of --space and --sampling.")
    ] = False,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="Whose rules: of interpolation, crop, size, outliers and number of pairs. stylegan: the published "
            "ones of 2019."
        ),
    ] = "stylegan",
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own "
            "package.module:factory; the newest run if left out.",
            autocompletion=completion.networks,
        ),
    ] = None,
    distance: Annotated[
        str,
        typer.Option(
            help="lpips-vgg (the published one), lpips-alex, lpips-squeeze; classifier:FOLDER, a distance on the "
            "features of trained attribute classifiers that needs no download (bundled: classifier:faces32); or your "
            "own package.module:factory.",
            autocompletion=completion.features_or("lpips-vgg", "lpips-alex", "lpips-squeeze"),
        ),
    ] = "lpips-vgg",
    num_samples: Annotated[
        int | None, typer.Option(help="Pairs; the protocol's number if left out (stylegan: 100,000).", min=2)
    ] = None,
    until_ci: Annotated[
        float | None,
        typer.Option(
            parser=share,
            metavar="SHARE",
            help="End when half of every 95 % interval is at most this share of its value, such as 1%.",
        ),
    ] = None,
    method: Annotated[
        Literal["differences", "tangent"],
        typer.Option(help="differences: the published finite step; tangent: its limit, by forward differentiation."),
    ] = "differences",
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], typer.Option(help="Of the tangent's networks.")
    ] = "float32",
    crop: Annotated[
        bool | None, typer.Option("--crop/--no-crop", help="Crop to where aligned faces are; as the protocol does.")
    ] = None,
    interpolation: Annotated[
        Literal["slerp", "slerp-norm", "lerp"] | None,
        typer.Option(
            help="How z is walked; as the protocol does, lengths kept where the generator does not normalise."
        ),
    ] = None,
    upsample: Annotated[
        int | None, typer.Option(help="Bring smaller images to this width before the distance.", min=1)
    ] = None,
    quantize: Annotated[bool, typer.Option("--quantize", help="Round images to 8 bits first.")] = False,
    noise_mode: Annotated[
        Literal["random", "const", "none"], typer.Option(help="The noise of both images of a pair.")
    ] = "random",
    epsilon: Annotated[
        float | None, typer.Option(help="Step along the path, of differences; 1e-4 if left out.")
    ] = None,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder with the weights of VGG16, ...")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="An HDF5 file for every pair's distance, and images around the largest ones.")
    ] = None,
    batch_size: BatchSize = 32,
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure the perceptual path length; lower is better.

    Results are appended to the run's results.jsonl, or to runs/package.module-factory/results.jsonl. Under torchrun,
    processes share the pairs.

    \b
    Example:
      latentlab ppl --space w --sampling end --network runs/style-8 --distance classifier:classifiers/quick
      latentlab ppl --all --method tangent --precision bfloat16 --until-ci 1%
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import beside, open_network
    from latentlab.distributed import team as joined
    from latentlab.metrics.path_length import EPSILON, PathSettings, perceptual_path_lengths
    from latentlab.protocols import has_mapping
    from latentlab.results import check_results_file
    from latentlab.unfinished import until_written

    chosen = torch_device(device)
    generator, name, folder = open_network(network, chosen)
    target = results or beside(folder, "results.jsonl")
    check_results_file(target)
    check_outputs({"--keep": keep}, inputs=[target])
    if everything and (space or sampling):
        raise UsageError("--all measures both spaces, full and end: leave --space and --sampling out.")
    if epsilon is not None and method == "tangent":
        raise UsageError("--epsilon is the step of differences, and the tangent has none: leave it out.")
    places: list[tuple[Space, Sampling]] = [(space or "w", sampling or "full")]
    if everything:
        spaces: tuple[Space, ...] = ("z", "w") if has_mapping(generator) else ("z",)
        places = [(one, end) for one in spaces for end in ("full", "end")]
    many = [
        PathSettings(
            space=one,
            sampling=end,
            epsilon=EPSILON if epsilon is None else epsilon,
            crop=crop,
            seed=seed,
            protocol=protocol,
            interpolation=interpolation if one == "z" or not everything else None,
            upsample=upsample,
            quantize=quantize,
            noise_mode=noise_mode,
            method=method,
            precision=precision,
        )
        for one, end in places
    ]
    measure = open_distance(distance, weights_dir, chosen)
    with joined(chosen) as team, until_written(target, team=team, told=say) as unfinished:
        with progress_bar("Path length", "pairs", shown=team.leads) as progress:
            measured = perceptual_path_lengths(
                generator,
                measure,
                many,
                network=name,
                num_samples=num_samples,
                until_ci=until_ci,
                batch_size=batch_size,
                device=chosen,
                team=team,
                keep=keep,
                unfinished=unfinished,
                progress=progress,
            )
        if not team.leads:
            return
        keep_and_show(measured, target, as_json=as_json, show=lambda: _print(measured, many))


def _print(measured: "list[MetricResult]", many: "list[PathSettings]") -> None:
    from latentlab.cli.display import interval, number
    from latentlab.metrics.path_length.measuring import FEWEST
    from latentlab.results import METRICS

    for result in measured:
        print(f"{METRICS[result.metric]} of {result.network.name}: {number(result.value)} {interval(result.ci95)}")
        if result.details.get("until_ci_met") is False:
            print(f"  its interval is wider than --until-ci {result.details['until_ci']:.3g} asks: take more pairs")
    result, settings = measured[0], many[0]
    if settings.quantize:
        print("  rounded to 256 levels: at so small a step, most of it is rounding and not the image's change")
    if result.num_samples < FEWEST:
        print(
            f"  of {result.num_samples:,} pairs, intervals say little: below {FEWEST:,}, fewer than ten are outliers "
            "on each side"
        )
    protocol = result.protocol
    step = f"epsilon {settings.epsilon:g}" if settings.method == "differences" else f"tangent, {settings.precision}"
    print(
        f"{result.num_samples:,} pairs, protocol {settings.protocol}, distance {protocol['distance']['name']}, images "
        f"{protocol['image_size']} pixels wide, {'cropped' if settings.cropped else 'not cropped'}, {step}, noise "
        f"{protocol['noise']}{', rounded to 8 bits' if settings.quantize else ''}"
    )


def open_distance(spec: str, weights_dir: Path | None, device: "torch.device") -> "Distance":
    """The perceptual distance that `--distance` names.

    Raises:
        UsageError: There is none of this name.
        WeightsError: Its weights cannot be had.
    """
    from attribute_classifiers.network import load_classifiers
    from latentlab.interop.distances import load_user_distance
    from latentlab.interop.factories import names_factory
    from latentlab.perceptual import classifier_distance, lpips_distance

    kind, _, rest = spec.partition(":")
    if kind == "classifier" and rest:
        return classifier_distance(load_classifiers(rest, device=device))
    if spec in ("lpips-vgg", "lpips-alex", "lpips-squeeze"):
        return lpips_distance(spec.removeprefix("lpips-"), weights_dir=weights_dir, device=device)  # type: ignore[arg-type]
    if names_factory(spec) and kind != "classifier":
        return load_user_distance(spec, device=device)
    raise UsageError(
        f"--distance {spec}: expected lpips-vgg, lpips-alex, lpips-squeeze, classifier:FOLDER, such as "
        "classifier:faces32, or package.module:factory."
    )
