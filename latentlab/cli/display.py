"""What long work and tables look like: a bar with rate and time left on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from latentlab.progress import Progress as Callback
from latentlab.progress import silent

if TYPE_CHECKING:
    from latentlab.data import Dataset

SECONDS_BETWEEN_LINES = 10.0
PIPED = 120  # characters of a line that no terminal shows
NAMED = 10  # skipped images that are named one by one


class RateColumn(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        """Rate of a task, empty until it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "", style="progress.data.speed")


def bars(console: Console) -> Progress:
    """Progress bars with counts, rate, time left and a note, for tasks with the fields `unit` and `note`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        expand=True,
    )


@contextmanager
def progress_bar(title: str, unit: str = "images", *, shown: bool = True) -> Iterator[Callback]:
    """Show one piece of long work on standard error, if `shown`; yields the callback that the work takes."""
    if not shown:
        yield silent
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(title, unit)
        return
    with bars(console) as live:
        task = live.add_task(title, total=None, unit=unit, note="")

        def update(done: int, total: int, note: str = "") -> None:
            live.update(task, completed=done, total=total, note=note)

        yield update


class Lines:
    """A plain line every few seconds, for logs."""

    def __init__(self, title: str, unit: str) -> None:
        self.title, self.unit = title, unit
        self.started = self.last = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Print if it is time, or if the work is done."""
        now = time.monotonic()
        self.first = done if self.first is None else self.first
        if done < total and now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        speed = f", {rate:,.0f}/s" if rate >= 1 else ""
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 and done < total else ""
        words = f", {note}" if note else ""
        line = f"{self.title}: {done:,} of {total:,} {self.unit}{speed}{left}{words}"
        print(line, file=sys.stderr, flush=True)


def say(words: str) -> None:
    """A line for the person at the terminal, on standard error, so that standard output stays a result.

    Of torchrun's processes the first speaks for all.
    """
    if os.environ.get("RANK", "0") == "0":
        print(words, file=sys.stderr, flush=True)


def say_skipped(dataset: "Dataset") -> None:
    """Name the images that were left out because they cannot be read."""
    if dataset.skipped:
        images = "1 image" if len(dataset.skipped) == 1 else f"{len(dataset.skipped):,} images"
        more = f" and {len(dataset.skipped) - NAMED:,} more" if len(dataset.skipped) > NAMED else ""
        say(f"left out {images} that cannot be read: {', '.join(dataset.skipped[:NAMED])}{more}")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else PIPED)


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table's cells need neither be cut nor broken where it is printed."""
    widths = [max(map(cell_len, "\n".join(cells).split("\n"))) for cells in zip(columns, *rows, strict=True)]
    return sum(widths) + 3 * len(widths) <= _console().width


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    align: Literal["left", "right"] = "right",
) -> None:
    """A table on standard output; numbers (all columns but the first) to the right, if not told otherwise."""
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify=align if number else "left", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _console().print(table)


def number(value: float | None) -> str:
    """A number with a sensible count of digits, or a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def interval(ci95: Sequence[float | None]) -> str:
    """A 95 % interval."""
    return f"[{number(ci95[0])}, {number(ci95[1])}]"


class Stages:
    """Several pieces of work under one bar for all of them; each counts by the seconds it is expected to take."""

    def __init__(self, shown: Progress | None) -> None:
        self.shown = shown
        self.overall: TaskID | None = None
        self.total = self.finished = 0.0
        self.under_way: dict[int, float] = {}
        self.started = time.monotonic()

    def plan(self, seconds: float) -> None:
        """Say how long everything together is expected to take."""
        self.total = seconds
        if self.shown is not None:
            self.overall = self.shown.add_task("[bold]Everything", total=seconds, unit="s", note="")

    @contextmanager
    def stage(self, title: str, seconds: float, unit: str = "images") -> Iterator[Callback]:
        """Show one piece of work; yields its callback."""
        lines, number = Lines(title, unit), len(self.under_way)
        while number in self.under_way:
            number += 1
        self.under_way[number] = 0.0
        task = None if self.shown is None else self.shown.add_task(title, total=None, unit=unit, note="")

        def update(done: int, total: int, note: str = "") -> None:
            if self.shown is None or task is None or self.overall is None:
                lines(done, total, note)
                return
            self.shown.update(task, completed=done, total=total, note=note)
            self.under_way[number] = seconds * done / max(total, 1)
            self.shown.update(self.overall, completed=self.finished + sum(self.under_way.values()))

        yield update
        del self.under_way[number]
        self.finished += seconds
        if self.shown is None or task is None or self.overall is None:
            elapsed = time.monotonic() - self.started
            say(f"{title}: done ({self.finished / max(self.total, 1):.0%} of everything, {elapsed:.0f} s so far)")
        else:
            self.shown.update(self.overall, completed=self.finished)
            self.shown.update(task, visible=False)
            self.shown.console.print(f"[green]done[/] {title}")


@contextmanager
def stages() -> Iterator[Stages]:
    """A display for a command of many stages."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Stages(None)
        return
    with bars(console) as shown:
        yield Stages(shown)
