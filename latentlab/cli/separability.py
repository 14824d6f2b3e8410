"""`latentlab separability`: how well hyperplanes in Z and W tell the attributes apart; whether two stores differ."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import Device, Json, Results, Seed, torch_device
from latentlab.cli.showing import keep_and_show
from latentlab.cli.stores import find_store
from latentlab.errors import UsageError

if TYPE_CHECKING:
    from latentlab.metrics.separability import Comparison
    from latentlab.results import MetricResult


Protocol = Literal["latentlab", "stylegan"]
"""How samples are ranked and one-class attributes counted; docs/separability.md."""


Solver = Literal["newton", "liblinear", "liblinear-dual"]
"""How the hyperplanes are found."""


Space = Literal["z", "w", "both"]
"""Which latent space."""


def separability(
    stores: Annotated[
        list[Path],
        typer.Argument(
            help="A store with latents and logits, such as runs/NAME/run.h5, or NAME alone: of a run or a bundled "
            "network; two stores are compared.",
            autocompletion=completion.stores,
        ),
    ],
    space: Annotated[Space, typer.Option(help="z, w, or both.")] = "both",
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="latentlab: ranked by |log-odds|, one-class attributes invalid; stylegan: as the official "
            "code, saturating confidence, one-class attributes count as perfect."
        ),
    ] = "latentlab",
    solver: Annotated[
        Solver | None,
        typer.Option(
            help="newton: all hyperplanes at once, to convergence; liblinear: scikit-learn's LinearSVC as it is today; "
            "liblinear-dual: as of 2018. Left out: newton, and liblinear for --protocol stylegan."
        ),
    ] = None,
    num_keep: Annotated[
        int | None, typer.Option(help="Most confident samples kept per attribute; half of all if left out.", min=2)
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of the samples to measure on hyperplanes fitted to the rest, such as 0.2.")
    ] = 0.0,
    permutations: Annotated[
        int | None,
        typer.Option(
            help="How often to fit to shuffled labels, for the score that means nothing; 1 if left out.", min=0
        ),
    ] = None,
    refits: Annotated[
        int | None,
        typer.Option(
            help="Groups of samples to fit without, for intervals that count how hyperplanes vary; left out, 0 for one "
            "store and 10 for two."
        ),
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Also measure with a half, a quarter, ... of samples.")
    ] = False,
    results: Results = None,
    as_json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure linear separability: exp of the summed entropies H(Y|X); 1 is perfect, lower is better.

    Results are appended to results.jsonl beside the store. Of two stores it is said whether they differ by more than
    chance, and nothing is written. Under torchrun, processes share the rows of one store.

    \b
    Example:
      latentlab separability runs/style-8/run.h5 --held-out 0.2 --curve
      latentlab separability runs/style-8/run.h5 runs/traditional-0/run.h5
    """
    from latentlab.distributed import team as joined
    from latentlab.results import check_results_file

    if len(stores) > 2:
        raise UsageError(f"{len(stores)} stores are named; one is measured, and two are compared.")
    stores = [find_store(store) for store in stores]
    where = torch_device(device)
    spaces: tuple[Literal["z", "w"], ...] | None = None if space == "both" else (space,)
    asked = {"spaces": spaces, "protocol": protocol, "solver": solver, "num_keep": num_keep, "seed": seed}
    if len(stores) == 2:
        if held_out or curve or results or permutations is not None:
            raise UsageError(
                "--held-out, --permutations, --curve and --results go with one store; two are only compared."
            )
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError("two stores are compared by one process: leave torchrun out.")
        _compare(stores, asked | {"device": where, "refits": 10 if refits is None else refits}, as_json=as_json)
        return
    with joined(where) as team:
        more: dict[str, Any] = {"held_out": held_out, "permutations": 1 if permutations is None else permutations}
        more |= {"refits": refits or 0, "curve": curve, "device": where, "team": team}
        target = results or stores[0].parent / "results.jsonl"
        if team.leads:
            check_results_file(target)
        measured = _measure(stores[0], asked | more, shown=team.leads)
        if team.leads:
            keep_and_show(measured, target, as_json=as_json, show=lambda: _print(measured))


def _measure(path: Path, asked: dict[str, Any], *, shown: bool) -> list["MetricResult"]:
    from latentlab.cli.display import progress_bar, say
    from latentlab.metrics.separability import separability_results
    from latentlab.store import LatentStore

    with (
        LatentStore.open(path, needs=("logits",)) as opened,
        progress_bar("Fitting SVMs", "hyperplanes", shown=shown) as progress,
    ):
        if not opened.settings.has_mapping:
            only = ", so only Z is measured" * (asked["spaces"] is None)
            say(f"this generator has no mapping network: W is Z{only}")
        return separability_results(opened, **asked, progress=progress)


def _compare(paths: list[Path], asked: dict[str, Any], *, as_json: bool) -> None:
    from latentlab.cli.display import progress_bar
    from latentlab.metrics.separability import compare_stores
    from latentlab.store import LatentStore

    with (
        LatentStore.open(paths[0], needs=("logits",)) as first,
        LatentStore.open(paths[1], needs=("logits",)) as second,
        progress_bar("Fitting SVMs", "hyperplanes") as progress,
    ):
        found = compare_stores(first, second, **asked, progress=progress)
    if as_json:
        print(*(comparison.model_dump_json() for comparison in found), sep="\n")
        return
    for comparison in found:
        _print_comparison(comparison)


def _print(measured: list["MetricResult"]) -> None:
    from latentlab.cli.display import print_table

    for result in measured:
        space, attributes = result.metric.removeprefix("ls_").upper(), result.details["attributes"]
        held = "held_out" in result.details
        columns = ["attribute", "positive", "H(Y)", "H(Y|X)", "[95 %]", "I/H(Y)", "accuracy", *(["held out"] * held)]
        rows = [_cells(row, held=held) for row in attributes]
        print_table(columns, rows, title=f"{space}, entropies in bits, {result.network.name}")
        for reason in sorted({row["reason"] for row in attributes if row["reason"]}):
            print(f"{space}: {', '.join(row['name'] for row in attributes if row['reason'] == reason)}: {reason}.")
        few = [row for row in attributes if row["valid"] and 0 < row["num_rarer"] <= result.details["num_dims"]]
        if few:
            named = ", ".join(f"{row['name']} ({row['num_rarer']})" for row in few)
            print(f"{space}: no more samples of the rarer class than dimensions, parted by chance: {named}.")
    for result in measured:
        _print_score(result)
    _print_ratio(measured[-1].details.get("ratio_z_over_w"))
    for result in measured:
        _print_curve(result)
    _print_protocol(measured)


def _print_score(result: "MetricResult") -> None:
    """The score, and what it is worth."""
    from latentlab.cli.display import interval, number
    from latentlab.results import METRICS

    details = result.details
    total, valid = len(details["attributes"]), details["num_valid"]
    over = f" over the {valid} of {total} attributes that are valid: compares only with scores over the same"
    partial = "" if valid == total else over
    print(f"{METRICS[result.metric]}: {number(result.value)} {interval(result.ci95)}{partial}")
    held = details.get("held_out")
    if held:
        few = held["num_valid"] < valid
        fewer = f"; over {held['num_valid']} attributes, with {number(held['fitted_score'])} above" * few
        share = f"{100 * held['fraction']:g} % of the samples, fitted to the others"
        ends = interval(held["ci95"]) if held["ci95"] else ""
        print(f"  on held-out samples ({share}{fewer}): {number(held['score'])} {ends}")
    refits = details.get("refits")
    if refits:
        none = f"no interval, the solver did not converge in {refits['failed']} fits"
        ends = interval(refits["ci95"]) if refits["ci95"] else none
        print(f"  hyperplanes refitted without each of {refits['groups']} groups: {ends}")
    nothing = f"  hyperplanes that say nothing: {number(details['know_nothing_score'])}"
    shuffled = details.get("permuted_scores")
    print(nothing + (f"; fitted to shuffled labels: {', '.join(map(number, shuffled))}" if shuffled else ""))


def _print_ratio(ratio: dict[str, Any] | None) -> None:
    from latentlab.cli.display import interval, number

    if ratio:
        low, high = ratio["ci95"]
        verdict = "W is the less entangled" if low > 1 else "Z is the less entangled" if high < 1 else "no difference"
        print(
            f"Z/W: {number(ratio['value'])} {interval(ratio['ci95'])} over {ratio['num_attributes']} attributes valid "
            f"in both, {_fits(ratio['refits'])}: {_verdict(ratio, verdict + ' beyond chance')}."
        )


def _fits(refits: int) -> str:
    return f"hyperplanes refitted without each of {refits} groups" if refits else "hyperplanes held fixed"


def _verdict(ratio: dict[str, Any], verdict: str) -> str:
    """What follows, if the interval can be trusted."""
    if ratio["trusted"]:
        return verdict
    return f"no verdict with {ratio['samples_per_dimension']:.0f} kept samples per dimension; take --refits 10"


def _print_curve(result: "MetricResult") -> None:
    from latentlab.cli.display import interval, number, print_table

    curve = result.details.get("curve")
    if not curve:
        return
    held = "held_out_score" in curve[0]
    columns = ["samples", "score", "[95 %]", *(["held out"] * held)]
    rows = [
        [
            f"{point['num_samples']:,}",
            number(point["score"]),
            interval(point["ci95"]),
            *([number(point["held_out_score"])] if held else []),
        ]
        for point in curve
    ]
    space, over = result.metric.removeprefix("ls_").upper(), curve[0]["num_attributes"]
    print_table(columns, rows, title=f"{space}, by the number of samples, over {over} attributes valid at every size")


def _print_protocol(measured: list["MetricResult"]) -> None:
    protocol = measured[0].protocol
    rows = [row for result in measured for row in result.details["attributes"] if row["iterations"] is not None]
    converged = sum(bool(row["converged"]) for row in rows)
    print(
        f"protocol {protocol['name']}, confidence by {protocol['confidence']}, {measured[0].num_samples:,} samples, "
        f"{protocol['num_keep']:,} kept per attribute; solver {protocol['solver']}, {converged} of {len(rows)} fits "
        "converged"
    )


def _print_comparison(comparison: "Comparison") -> None:
    from latentlab.cli.display import interval, number, print_table

    first, second = (network.name for network in comparison.networks)
    rows = [
        [row.name, _fixed(row.first), _fixed(row.second), f"{row.difference:+.3f}", _pair(row.ci95)]
        for row in comparison.attributes
    ]
    space = comparison.space.upper()
    print_table(
        ["attribute", "first", "second", "difference", "[95 %]"],
        rows,
        title=f"H(Y|X) in bits, {space}: {first}, {second}",
    )
    if comparison.left_out:
        print(f"left out, not valid in both: {', '.join(comparison.left_out)}")
    print(f"scores over {len(rows)} attributes: {number(comparison.scores[0])} and {number(comparison.scores[1])}")
    verdict = {
        True: "larger than chance",
        False: "not larger than chance",
        None: "too few samples per dimension for a verdict; leave --refits out",
    }[comparison.larger_than_chance]
    print(
        f"{space}, first/second: {number(comparison.ratio)} {interval(comparison.ci95)}, "
        f"{_p(comparison.p_value)}, {_fits(comparison.protocol['refits'])}: {verdict}"
    )
    if comparison.attributes_p_value is not None:
        print(f"through the attributes (signed ranks): {_p(comparison.attributes_p_value)}")
    if comparison.same_classifiers is None:
        print("the stores do not say who labelled them: with other classifiers, scores measure other things")
    elif not comparison.same_classifiers:
        print("the stores were not labelled by the same classifiers: their scores measure different things")
    how = "the same z row by row, resampled together" if comparison.paired else "different z, resampled apart"
    protocol = comparison.protocol
    print(
        f"protocol {protocol['name']}, solver {protocol['solver']}, {protocol['num_samples']:,} samples of each; {how}"
    )


def _cells(row: dict[str, Any], *, held: bool) -> list[str]:
    """An attribute's line."""
    more = [_fixed(row["held_out_conditional_entropy_bits"])] if held else []
    known = [row["name"], _fixed(row["share_positive"]), _fixed(row["entropy_bits"])]
    if row["conditional_entropy_bits"] is None:
        return [*known, "–", "–", "–", "–", *more]
    left, ends = _fixed(row["conditional_entropy_bits"]), _pair(row["ci95"])
    return [*known, left, ends, _fixed(row["information"]), _fixed(row["accuracy"]), *more]


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def _pair(ends: Any) -> str:
    low, high = (_fixed(end) for end in ends)
    return f"[{low}, {high}]"


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
