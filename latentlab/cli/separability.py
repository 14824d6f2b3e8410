"""`latentlab separability`: how well hyperplanes in Z and W tell the attributes apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentlab.cli.options import Json, Results, Seed

if TYPE_CHECKING:
    from latentlab.results import MetricResult


Protocol = Literal["latentlab", "stylegan"]
"""How samples are ranked and one-class attributes counted; docs/metrics.md."""


Solver = Literal["liblinear", "liblinear-dual"]
"""How the hyperplanes are found."""


Space = Literal["z", "w", "both"]
"""Which latent space."""


def separability(
    store: Annotated[Path, typer.Argument(help="A store with latents and logits, such as runs/NAME/run.h5.")],
    space: Annotated[Space, typer.Option(help="z, w, or both.")] = "both",
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="latentlab: ranked by |log-odds|, one-class attributes invalid; stylegan: as the official "
            "code, saturating confidence, one-class attributes count as perfect."
        ),
    ] = "latentlab",
    solver: Annotated[
        Solver, typer.Option(help="liblinear: scikit-learn's LinearSVC as it is today; liblinear-dual: as of 2018.")
    ] = "liblinear",
    num_keep: Annotated[
        int | None, typer.Option(help="Most confident samples kept per attribute; half of all if left out.", min=2)
    ] = None,
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Measure linear separability: exp of the summed entropies H(Y|X); 1 is perfect, lower is better.

    Results are appended to results.jsonl beside the store.

    \b
    Example:
      latentlab separability runs/style-8/run.h5
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.metrics.separability import separability_results
    from latentlab.results import append_results
    from latentlab.store import LatentStore

    spaces: tuple[Literal["z", "w"], ...] | None = None if space == "both" else (space,)
    with LatentStore.open(store, needs=("logits",)) as opened, progress_bar("Fitting SVMs", "attributes") as progress:
        if not opened.settings.has_mapping:
            say(f"this generator has no mapping network: W is Z{', so only Z is measured' * (space == 'both')}")
        measured = separability_results(
            opened,
            spaces=spaces,
            protocol=protocol,
            solver=solver,
            num_keep=num_keep,
            seed=seed,
            progress=progress,
        )
    target = results or store.parent / "results.jsonl"
    append_results(target, measured)
    if as_json:
        print(*(result.model_dump_json() for result in measured), sep="\n")
    else:
        _print(measured)
    say(f"appended to {target}")


def _print(measured: list["MetricResult"]) -> None:
    from latentlab.cli.display import interval, number, print_table
    from latentlab.results import METRICS

    by_space = [{row["name"]: row for row in result.details["attributes"]} for result in measured]
    spaces = [result.metric.removeprefix("ls_").upper() for result in measured]
    columns = ["attribute", "positive", "H(Y)"]
    columns += [heading for space in spaces for heading in (f"H(Y|X) {space} [95 %]", f"acc. {space}")]
    rows = []
    for name, first in by_space[0].items():
        cells = [cell for rows_of in by_space for cell in _cells(rows_of[name])]
        rows.append([name, _fixed(first["share_positive"]), _fixed(first["entropy_bits"]), *cells])
    print_table(columns, rows, title=f"Entropies in bits, {measured[0].network.name}")
    for reason in sorted({row["reason"] for row in by_space[0].values() if row["reason"]}):
        names = [name for name, row in by_space[0].items() if row["reason"] == reason]
        print(f"{', '.join(names)}: {reason}.")
    for result in measured:
        total, valid = len(result.details["attributes"]), result.details["num_valid"]
        partial = "" if valid == total else f" over {valid} of {total} valid attributes: not comparable with others"
        print(f"{METRICS[result.metric]}: {number(result.value)} {interval(result.ci95)}{partial}")
    protocol = measured[0].protocol
    print(f"protocol {protocol['name']}, confidence by {protocol['confidence']}, {measured[0].num_samples:,} samples")


def _cells(row: dict[str, Any]) -> list[str]:
    """An attribute's entropy with its interval, and its accuracy, in one space."""
    if row["conditional_entropy_bits"] is None:
        return ["–", "–"]
    low, high = (_fixed(end) for end in row["ci95"])
    return [f"{_fixed(row['conditional_entropy_bits'])} [{low}, {high}]", _fixed(row["accuracy"])]


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
