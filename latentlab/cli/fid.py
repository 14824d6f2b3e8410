"""`latentlab fid`: how far generated images are from real ones, as sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentlab.cli import completion
from latentlab.cli.options import BatchSize, Crop, Data, Device, Json, NumImages, Results, Seed, SkipBad, torch_device
from latentlab.cli.showing import keep_and_show

if TYPE_CHECKING:
    from latentlab.results import MetricResult


def fid(
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own "
            "package.module:factory; the newest run if left out.",
            autocompletion=completion.networks,
        ),
    ] = None,
    data: Data = "faces",
    features: Annotated[
        str,
        typer.Option(
            help="inception (FID and KID), or classifier:FOLDER, the last feature maps of trained attribute "
            "classifiers: a distance of its own that needs no download (bundled: classifier:faces32).",
            autocompletion=completion.features_or("inception"),
        ),
    ] = "inception",
    num_samples: Annotated[int, typer.Option(help="Generated images; published: 50,000.", min=1)] = 50_000,
    num_real: Annotated[int, typer.Option(help="Real images, chosen by the seed.", min=1)] = 50_000,
    mixed: Annotated[
        int, typer.Option(help="Latents mixed in every image at random layers, as in the paper's table 2.", min=1)
    ] = 1,
    weights_dir: Annotated[
        Path | None, typer.Option(help="The Inception network's file, or a folder that holds it.")
    ] = None,
    num_images: NumImages = None,
    crop: Annotated[Crop, typer.Option(help="How images that are not square become so.")] = "auto",
    skip_bad: SkipBad = False,
    batch_size: BatchSize = 32,
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure the Fréchet inception distance and the kernel distance to real images; lower is better.

    Results are appended to the run's results.jsonl. The first measurement takes features of all real images that
    --num-real asks for, which takes minutes; they are kept in the cache folder. Under torchrun, processes share the
    generated images.

    \b
    Example:
      latentlab fid --network style-8 --data ffhq.zip --weights-dir weights
      latentlab fid --network faces32-style-8 --features classifier:faces32 --num-samples 5000 --num-real 5000
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import beside, open_features, open_network
    from latentlab.data import open_dataset
    from latentlab.distributed import team as joined
    from latentlab.metrics.fid import distance_results
    from latentlab.results import check_results_file
    from latentlab.unfinished import until_written

    chosen = torch_device(device)
    generator, name, folder = open_network(network, chosen)
    target = results or beside(folder, "results.jsonl")
    check_results_file(target)
    measured_by = open_features(features, chosen, inception_weights=weights_dir)
    with progress_bar("Reading images", "images") as progress:
        dataset = open_dataset(
            data,
            resolution=generator.img_resolution,
            crop=crop,
            num_images=num_images,
            skip_bad=skip_bad,
            progress=progress,
        )
    with joined(chosen) as team, until_written(target, team=team, told=say) as unfinished:
        with progress_bar("Features", "images", shown=team.leads) as progress:
            measured, words = distance_results(
                generator,
                dataset,
                measured_by,
                network=name,
                num_generated=num_samples,
                num_real=num_real,
                mixed=mixed,
                seed=seed,
                batch_size=batch_size,
                device=chosen,
                team=team,
                unfinished=unfinished,
                progress=progress,
                say=say,
            )
        if not team.leads:
            return
        for sentence in words:
            say(sentence)
        keep_and_show(measured, target, as_json=as_json, show=lambda: _print(measured))


def _print(measured: "list[MetricResult]") -> None:
    from latentlab.cli.display import interval, number

    for result in measured:
        print(f"{result.metric} of {result.network.name}: {number(result.value)} {interval(result.ci95)}")
