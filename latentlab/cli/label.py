"""`latentlab label`: give the samples of a store other labels."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.errors import UsageError


def label(
    run: Annotated[Path, typer.Argument(help="A complete store of samples; it stays as it is.")],
    scores: Annotated[
        Path | None,
        typer.Option(help="A .csv or .parquet file with a column `sample` and a column of scores per attribute."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The store to make; RUN-SCORES.h5 beside RUN if left out.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The scores are probabilities; they are log-odds if left out.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="What the classifiers are called; the name of the file of scores if left out.")
    ] = None,
) -> None:
    """Write a new store with scores of your own attribute model, joined by sample number, as its logits.

    \b
    Example:
      latentlab label runs/style-8/run.h5 --scores scores.csv
    """
    from latentlab.cli.display import progress_bar
    from latentlab.store.labelling import label_with_scores

    if scores is None:
        raise UsageError("nothing to label with: give --scores FILE.")
    with progress_bar("Labelling", "rows") as progress:
        made = label_with_scores(run, scores, out, probabilities=probabilities, name=name, progress=progress)
    clipped = f"; {made.num_clipped:,} probabilities of 0 or 1 were clipped" if made.num_clipped else ""
    print(f"{made.path}: {made.num_samples:,} samples with scores of {', '.join(made.attributes)}{clipped}")
