"""`latentlab label`: give the samples of a store other labels."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.cli import completion
from latentlab.cli.options import Device
from latentlab.cli.stores import Store, find_store
from latentlab.errors import UsageError


def label(
    run: Store,
    scores: Annotated[
        Path | None,
        typer.Option(help="A .csv or .parquet file with a column `sample` and a column of scores per attribute."),
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            help="Instead of scores: what shall label the images of the store, as in `latentlab sample --classifiers`.",
            autocompletion=completion.classifiers,
        ),
    ] = None,
    nearest_faces: Annotated[
        bool,
        typer.Option(
            "--nearest-faces",
            help="Instead of scores: the attributes of the embedded faces nearest to the images of the store.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The store to make; beside RUN, RUN-SCORES.h5, RUN-CLASSIFIERS.h5 or RUN-nearest-faces.h5."),
    ] = None,
    factors_out: Annotated[
        Path | None, typer.Option(help="With --nearest-faces: an .npz file to make with the factors of these faces.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The scores are probabilities; they are log-odds if left out.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the scores' maker is called; the name of the file if left out.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Write a new store with other logits: scores of your own attribute model, or of classifiers that see its images.

    Scores are joined by sample number. With --nearest-faces, the embedded face that is nearest to each image is
    searched, and its attributes become the logits: for generators trained on the embedded faces, without classifiers.

    \b
    Example:
      latentlab label runs/style-8/run.h5 --scores scores.csv
      latentlab label runs/style-8/run.h5 --classifiers mine.onnx
      latentlab label runs/style-8/run.h5 --nearest-faces --factors-out factors.npz
    """
    from latentlab.cli.display import progress_bar
    from latentlab.store.labelling import label_with_scores

    if [scores is not None, classifiers is not None, nearest_faces].count(True) != 1:
        raise UsageError(
            "give either --scores FILE or --classifiers NAME or --nearest-faces: what shall label the samples."
        )
    if scores is None and (probabilities or name is not None):
        raise UsageError("--probabilities and --name belong to --scores.")
    if factors_out is not None and not nearest_faces:
        raise UsageError("--factors-out belongs to --nearest-faces: nothing else knows factors.")
    run = find_store(run)
    if classifiers is not None:
        _label_images(run, classifiers, out, device)
        return
    if scores is None:
        _label_nearest_faces(run, out, factors_out)
        return
    with progress_bar("Labelling", "rows") as progress:
        made = label_with_scores(run, scores, out, probabilities=probabilities, name=name, progress=progress)
    clipped = f"; {made.num_clipped:,} probabilities of 0 or 1 were clipped" if made.num_clipped else ""
    print(f"{made.path}: {made.num_samples:,} samples with scores of {', '.join(made.attributes)}{clipped}")


def _label_images(run: Path, classifiers: str, out: Path | None, device: str) -> None:
    from latentlab.cli.display import progress_bar
    from latentlab.cli.networks import open_labeller
    from latentlab.cli.options import torch_device
    from latentlab.relabelling import label_images
    from latentlab.store import LatentStore

    chosen = torch_device(device)
    with LatentStore.open(run, needs=["images"]) as store:
        count, channels = len(store), store.images.shape[3]
    labeller = open_labeller(classifiers, chosen, channels=channels)
    if labeller is None:
        raise UsageError("--classifiers none: name what shall label the images.")
    with progress_bar("Labelling", "rows") as progress:
        made = label_images(run, labeller, out, device=chosen, progress=progress)
    print(f"{made}: {count:,} samples with labels by {labeller.name}: {', '.join(labeller.attributes)}")


def _label_nearest_faces(run: Path, out: Path | None, factors_out: Path | None) -> None:
    import numpy as np

    from latentlab.cli.display import progress_bar
    from latentlab.relabelling import label_nearest_faces

    with progress_bar("Labelling", "rows") as progress:
        made, found = label_nearest_faces(run, out, factors_out=factors_out, progress=progress)
    distances = np.percentile(found.distances * 127.5, [50, 5, 95])
    print(f"{made}: {len(found.factors):,} samples with attributes of their nearest embedded faces")
    print(
        "distance to them, root mean square of 8-bit pixels: median {:.1f}, 90 % between {:.1f} and {:.1f} "
        "(of embedded faces themselves: 1.5)".format(*distances)
    )
    if factors_out is not None:
        print(f"{factors_out}: their factors")
