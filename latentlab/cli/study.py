"""`latentlab study`: the paper's tables, from trainings to a report."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.options import Device, torch_device
from latentlab.cli.study_tables import print_measured, print_plan, print_summary
from latentlab.errors import DataError, LatentLabError, UsageError

if TYPE_CHECKING:
    import torch

    from latentlab.study import Executor, Outcome, Planned, Study

Preset = Literal["quick", "small", "paper"]
"""Sizes of everything; latentlab/study/reading.py."""


def study(
    table: Annotated[
        list[str] | None,
        typer.Option(help="1, 2, 3, 4, all, or the recipe's own; several joined by commas.", metavar="NAME"),
    ] = None,
    preset: Annotated[
        Preset | None, typer.Option(help="quick: minutes a generator; small: for a GPU; paper: the paper's. (quick)")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images, as `latentlab train --data` takes them; the embedded faces if left out.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="A power of two from 8 to 1024; the preset's if left out.")
    ] = None,
    num_images: Annotated[int | None, typer.Option(help="Use only the first ones.", min=1)] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How often everything is trained, for intervals over trainings.", min=1)
    ] = None,
    kimg: Annotated[float | None, typer.Option(help="Thousands of images of each training.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A TOML file of settings, generators and tables: docs/study.md.")
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            help="Finished attribute classifiers; the study trains its own if left out.",
            autocompletion=completion.classifiers,
        ),
    ] = None,
    distance: Annotated[
        Literal["lpips-vgg", "classifiers"] | None,
        typer.Option(
            help="For path lengths: the published one, or on the study's classifiers, which needs no download."
        ),
    ] = None,
    features: Annotated[
        Literal["inception", "classifiers"] | None,
        typer.Option(help="For distances to real images: FID's, or the study's classifiers'."),
    ] = None,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder with pretrained weights.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; study/PRESET if left out.")] = None,
    executor: Annotated[
        Literal["local", "ray"], typer.Option(help="local: one job after the other here; ray: on a cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, such as auto; one is started here if left out.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each job; all if left out.", min=1)] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes of each job through torchrun, one GPU each.", min=1)
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of the report: html, md, tex, pdf, or several joined by commas.")
    ] = "html",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with its time, and stop.")] = False,
    device: Device = "auto",
) -> None:
    """Train and measure the generators of the paper's tables, and report which of its orderings came out.

    Killed and run again, by the same command, it goes on. More tables and seeds can be added later.

    \b
    Example:
      latentlab study --table 4 --preset quick --seeds 3 --out study/mapping
      latentlab study --table all --preset paper --data ffhq.h5 --executor ray --address auto
    """  # fmt: skip
    from latentlab.cli.display import progress_bar, say
    from latentlab.report import check_formats
    from latentlab.study import Study, given_by, make_recipe, read_recipe
    from latentlab.study.folder import StudyFolder

    if address is not None and executor != "ray":
        raise UsageError(f"--address {address}: it is that of a Ray cluster; add --executor ray.")
    given = {} if recipe is None else read_recipe(recipe)
    asked = [part.strip() for part in formats.split(",")]
    check_formats(asked)
    chosen = torch_device(device)
    if chosen.type == "cuda":
        import torch

        chosen = torch.device("cuda")
    place = out or Path("study") / (preset or (str(given.get("preset", "quick"))))
    earlier = StudyFolder(place).read()
    settings: dict[str, dict[str, Any]] = {
        "data": {"source": data, "resolution": resolution, "num_images": num_images},
        "training": {"kimg": kimg},
        "classifiers": {"path": classifiers},
        "measuring": {
            "distance": distance,
            "features": features,
            "weights": None if weights_dir is None else str(weights_dir),
        },
    }
    said = [value for section in settings.values() for value in section.values()]
    if earlier and all(value is None for value in (table, preset, seeds, recipe, threads, processes, *said)):
        wanted = earlier  # nothing is asked for but that it go on
    else:
        if earlier and recipe is None and preset in (None, earlier.preset):
            given, preset = given_by(earlier), earlier.preset  # what is not said stays as it is
            given |= {} if threads is None else {"threads": threads}
        wanted = make_recipe(
            _tables(table, given),
            given=given,
            preset=preset,
            seeds=seeds,
            settings=settings,
            threads=threads or (earlier.threads if earlier else _threads()),  # of the machine that it began on
            processes=processes,
        )
    work = Study(place, wanted, device=chosen)
    with nullcontext() if dry_run else work.alone():
        work.fit()
        with progress_bar("Trying what is to be done", "trials") as progress:
            estimates, plan = work.plan(progress)  # missing weights end it here, before anything is begun
        print_plan(plan, estimates)
        runner = _executor(executor, address, chosen)
        if dry_run:
            print_measured(work)
            return
        work.begin()
        failures = _run(work, plan, runner)
        _finish(work, failures, asked)
        say(f"study in {work.folder.root}")


def _tables(asked: Sequence[str] | None, given: Mapping[str, Any]) -> list[str]:
    """Names of tables; none for all that the recipe has, or the paper's."""
    from latentlab.study import TABLES

    names = [part.strip() for name in asked or () for part in name.split(",")]
    if "all" not in names:
        return names
    return [*TABLES, *(name for one in given.get("table", []) if (name := one.get("name")) not in TABLES)]


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _executor(name: str, address: str | None, device: "torch.device") -> "Executor":
    from latentlab.cli.display import say
    from latentlab.study import InProcess, OnRay

    if name == "ray":
        return OnRay(address=address, device=device.type, say=say)
    return InProcess(device, say)


def _run(work: "Study", plan: "list[Planned]", executor: "Executor") -> "list[Outcome]":
    from latentlab.cli.display import say, stages

    if all(planned.finished for planned in plan):
        return []
    failures = []
    with stages() as display:
        display.plan(sum(planned.left for planned in plan) or 1.0)
        for outcome in work.run(executor, plan, display):
            if outcome.state == "failed":
                say(f"{outcome.job} failed: {outcome.reason}")
            if outcome.state != "done":
                failures.append(outcome)
    return failures


def _finish(work: "Study", failures: "Sequence[Outcome]", formats: list[str]) -> None:
    """Print the tables and write the report; what failed is said at the end.

    Raises:
        LatentLabError: Something failed.
    """
    from latentlab.study.reporting import write_report

    summaries = work.summaries()
    for summary in summaries:
        print_summary(summary, work.recipe)
    failed = [outcome for outcome in failures if outcome.state == "failed"]
    try:
        print(f"Report: {write_report(work, summaries, formats=formats)}")
    except DataError:
        if not failed:
            raise
    if failed:
        raise LatentLabError(
            f"{len(failed)} of the study's jobs failed, and {len(failures) - len(failed)} that need them were left "
            f"out: {failed[0].job}: {failed[0].reason} The same command tries them again."
        )
    if missing := [words for summary in summaries for words in summary.missing]:
        raise LatentLabError(f"not measured, though nothing failed: {missing[0]}. The same command tries it again.")
