"""`latentlab disentanglement`: MIG, DCI, SAP, modularity and explicitness of Z and W."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latentlab.cli.options import Json, Results, Seed
from latentlab.cli.showing import keep_and_show
from latentlab.cli.stores import Store, find_store

if TYPE_CHECKING:
    from latentlab.results import MetricResult


ALL = "mig,modularity,sap,dci-linear,dci-boosting,explicitness"


def disentanglement(
    store: Store,
    space: Annotated[Literal["z", "w", "both"], typer.Option(help="z, w, or both.")] = "both",
    metrics: Annotated[str, typer.Option(help="Which, separated by commas.")] = ALL,
    factors: Annotated[
        Path | None,
        typer.Option(
            help="Measure against these factors, not the store's labels: .npz with `names` [K] and `values` [N, K], or "
            ".csv or .parquet with a column `sample` and one per factor."
        ),
    ] = None,
    num_samples: Annotated[
        int | None,
        typer.Option(
            help="Samples that models are fitted to and tested on, two to one; at most 15,000 if left out. MIG and "
            "modularity take all."
        ),
    ] = None,
    binning: Annotated[
        Literal["equal-count", "equal-width"], typer.Option(help="How MIG and modularity cut latents into 20 bins.")
    ] = "equal-count",
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
) -> None:
    """Measure how single latents and attributes, or factors, belong together; higher is better for every number.

    Results are appended to results.jsonl beside the store.

    \b
    Example:
      latentlab disentanglement runs/style-8/run.h5
      latentlab disentanglement run.h5 --factors run-factors.npz --metrics mig,sap
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.metrics.disentanglement.on_store import disentanglement_results, measurable_spaces
    from latentlab.results import check_results_file
    from latentlab.store import LatentStore

    store = find_store(store)
    target = results or store.parent / "results.jsonl"
    check_results_file(target)
    needs = ("logits",) if factors is None else ()
    with LatentStore.open(store, needs=needs) as opened, progress_bar("Measuring", "fits") as progress:
        found = measurable_spaces(opened)
        if not opened.settings.has_mapping:
            say(f"this generator has no mapping network: W is Z{', so only Z is measured' * (space == 'both')}")
        elif space == "both" and len(found) == 1:
            say(f"{store} holds no {'w' if found == ('z',) else 'z'}, so only {found[0].upper()} is measured")
        measured = disentanglement_results(
            opened,
            spaces=None if space == "both" else (space,),
            metrics=[name.strip() for name in metrics.split(",")],
            factors=factors,
            num_samples=num_samples,
            binning=binning,
            seed=seed,
            progress=progress,
        )
    against = f"the labels of {store}" if factors is None else str(factors)
    keep_and_show(measured, target, as_json=as_json, show=lambda: _print(measured, against=against))


def _print(measured: list["MetricResult"], *, against: str) -> None:
    from latentlab.cli.display import interval, number, print_table
    from latentlab.results import DISENTANGLEMENT

    by_name = {result.metric: result for result in measured}
    spaces = sorted({result.protocol["space"] for result in measured}, reverse=True)  # z, w
    columns = [
        "metric",
        *(heading.format(space.upper()) for space in spaces for heading in ("{} [95 %]", "useless {}")),
    ]
    rows = []
    for name, title in DISENTANGLEMENT.items():
        found = [by_name[f"{name}_{space}"] for space in spaces if f"{name}_{space}" in by_name]
        if found:
            cells = [
                cell
                for one in found
                for cell in (f"{number(one.value)} {interval(one.ci95)}", number(one.details["baseline"]))
            ]
            rows.append([title, *cells])
    print_table(columns, rows, title=f"Disentanglement of {measured[0].network.name}, against {against}")
    _print_factors(measured[0])
    print('Higher is better for every number. "useless": the same latents against other samples\' factors.')


def _print_factors(result: "MetricResult") -> None:
    """Which factors are left out and why, and how many count."""
    factors = result.details["factors"]
    for reason in sorted({row["reason"] for row in factors if row["reason"]}):
        print(f"{', '.join(row['name'] for row in factors if row['reason'] == reason)}: {reason}.")
    valid, total = result.details["num_valid"], len(factors)
    if valid < total:
        print(f"over {valid} of {total} valid factors: comparable only with numbers over the same ones")
