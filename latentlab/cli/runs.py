"""`latentlab runs`: what is in training, finished, stopped or damaged."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentlab.cli import completion
from latentlab.cli.options import Json
from latentlab.errors import UsageError

if TYPE_CHECKING:
    from trainers.runs import RunSummary

COLUMNS = ("Run", "State", "kimg", "images/s", "Best (low is good)", "Left", "Settings", "Data", "Last tick")


def runs(
    root: Annotated[
        Path, typer.Argument(help="A folder of runs, or one run.", autocompletion=completion.run_folders)
    ] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List training runs, newest first: state, progress, speed and the best snapshot.

    A run that is `stopped` goes on with `latentlab train --resume`. Nothing is changed; runs may be in training.
    Folders of networks that were only measured, such as bundled ones, are named besides.

    \b
    Example:
      latentlab runs
      latentlab runs ./experiments --json
    """
    from latentlab.cli.display import print_table, say
    from trainers.runs import list_runs

    if root.is_file():
        raise UsageError(f"{root} is a file: name a folder of runs, such as runs, or one run.")
    found = list_runs(root)
    if measured := _measured(root, [run.path for run in found]):
        where = " ".join(str(folder) for folder in measured)
        say(f"Measured, but no training run: {where} (`latentlab report` shows them)")
    if not found:
        say(f"There is no run in {root}: `latentlab train` makes one, or name the folder that holds your runs.")
    elif as_json:
        for run in found:
            print(json.dumps(_record(run)))
    else:
        print_table(COLUMNS, [_row(run) for run in found])
        for run in found:
            if run.reason:
                print(f"{run.name} is damaged: {run.reason}.")


def _measured(root: Path, runs: Sequence[Path]) -> list[Path]:
    """Folders beside runs with samples or results of networks that were not trained here, such as bundled ones."""
    found = {path.parent for name in ("results.jsonl", "run.h5") for path in root.glob(f"[!.]*/{name}")}
    return sorted(found - set(runs))


def _record(run: "RunSummary") -> dict[str, object]:
    from dataclasses import asdict

    fields = {"path": str(run.path), "updated": run.updated.isoformat(timespec="seconds")}
    return {**asdict(run), **fields, "seconds_left": run.seconds_left}


def _row(run: "RunSummary") -> list[str]:
    import datetime

    from latentlab.cli.display import number

    total = "?" if run.total_kimg is None else f"{run.total_kimg:,g}"
    best = run.best
    return [
        run.name,
        run.state,
        f"{run.kimg:,.1f} of {total}",
        number(run.images_per_second),
        "–" if best is None else f"{best.metric} {number(best.value)} at {best.kimg:,.4g}",
        duration(run.seconds_left),
        run.settings or "–",
        run.dataset or "–",
        f"{duration((datetime.datetime.now(datetime.UTC) - run.updated).total_seconds())} ago",
    ]


def duration(seconds: float | None) -> str:
    """A time in its two largest units, such as "2 h 05 min", or a dash where it is not known."""
    if seconds is None:
        return "–"
    if round(seconds) < 60:
        return f"{max(round(seconds), 0)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes / 60 / 24:,.0f} days"
