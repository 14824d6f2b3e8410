"""Results at the end of a command: kept in their file, and shown."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentlab.results import MetricResult


def keep_and_show(measured: Sequence["MetricResult"], target: Path, *, as_json: bool, show: Callable[[], None]) -> None:
    """Append results to their file and print them, as JSON lines or by `show`; a full disk costs the lines alone."""
    from latentlab.cli.display import say
    from latentlab.results import append_results

    try:
        append_results(target, list(measured))
    finally:
        if as_json:
            print(*(result.model_dump_json() for result in measured), sep="\n")
        else:
            show()
    say(f"appended to {target}")
