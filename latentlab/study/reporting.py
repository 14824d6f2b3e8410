"""A study's report: its tables and orderings before the runs of its first seed."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attribute_classifiers.network import read_card
from latentlab.errors import DataError, LatentLabError
from latentlab.report import ReportRun, read_run, render_report
from latentlab.report.charts import FIRST, RULE, TEXT, Chart, W, Z, chart
from latentlab.report.sections import Measured, Section, SectionFigure, SectionTable
from latentlab.study.cells import Cell
from latentlab.study.folder import run_name
from latentlab.study.orderings import Statement
from latentlab.study.recipe import Recipe
from latentlab.study.summary import Summary
from latentlab.study.tables import MEASURES, Measure
from latentlab.study.wording import agrees, notes, substitutes, titles

if TYPE_CHECKING:
    from latentlab.study import Study

TITLE = "How much does the mapping straighten the latent space? A study"
COLOURS: dict[str, str] = {"full": Z, "end": W, "separability": FIRST}


def write_report(work: "Study", summaries: Sequence[Summary], *, formats: Sequence[str] = ("html",)) -> Path:
    """Write the report of a study, in place of an earlier one; returns its page.

    Raises:
        DataError: No run can be read.
    """
    recipe, folder = work.recipe, work.folder
    runs: list[ReportRun] = []
    left_out: list[str] = []
    for variant in recipe.generators:
        name = run_name(variant, recipe.seeds[0])
        try:
            runs.append(read_run(folder.run(name)))
        except LatentLabError as error:  # the tables have what is measured of it
            left_out.append(f"{name} is left out below the study's tables: {error}")
    if not runs:
        raise DataError(f"{folder.root} has no run that can be reported: {' '.join(left_out)}")
    cards = []
    with contextlib.suppress(LatentLabError):  # a study of FID alone has none
        cards.append(read_card(folder.classifiers(recipe)))
    sections = [section(summary, recipe) for summary in summaries]
    said = [*_notes(recipe), *left_out]
    return render_report(
        runs, folder.report, title=TITLE, cards=cards, notes=said, sections=sections, formats=formats, overwrite=True
    )


def _notes(recipe: Recipe) -> Iterator[str]:
    many = len(recipe.seeds)
    kimg = "the preset's number of" if recipe.training.kimg is None else f"{recipe.training.kimg:g} thousand"
    yield (
        f"Every generator was trained {'once' if many == 1 else f'{many} times'}, with {kimg} images of "
        f"{recipe.data.source} at {recipe.data.resolution}x{recipe.data.resolution} (preset {recipe.training.preset}); "
        "the paper has 25 million (A: 12 million) of FFHQ at 1024x1024. The numbers describe these networks."
    )
    if many > 1:
        yield f"What follows the study's tables shows the runs of seed {recipe.seeds[0]} alone."


def section(summary: Summary, recipe: Recipe) -> Section:
    """A table of a study as a section of the report: numbers, orderings, and a picture of these."""
    table, title, seeds = summary.table, titles(recipe), len(recipe.seeds)
    said = (*substitutes(recipe, summary), *notes(summary, seeds))
    numbers = SectionTable(f"Table {table.name}: {table.title}", _numbers(summary, title, seeds), notes=said)
    single = _single(summary, title)
    singles = [SectionTable(f"Table {table.name}: every training", single)] if seeds > 1 and len(single) else []
    if not summary.statements:
        return Section(f"Table {table.name}", _anchor(table.name), [_INTRODUCTION], tables=[numbers, *singles])
    orderings = SectionTable(f"Table {table.name}: orderings", _orderings(summary.statements, title), notes=_LEGEND)
    figures = [
        SectionFigure(
            f"Table {table.name}: {title[measure]}",
            alt=drawn.alt,
            chart=drawn,
            caption="Ratios with their 95 % intervals, on a logarithmic scale: left of the line, the ordering came "
            "out. Grey marks are the paper's ratios.",
        )
        for measure in table.measures
        if (drawn := forest([one for one in summary.statements if one.measure == measure], title[measure])) is not None
    ]
    return Section(
        f"Table {table.name}",
        _anchor(table.name),
        [_INTRODUCTION],
        tables=[numbers, orderings, *singles],
        figures=figures,
    )


_INTRODUCTION = (
    "Lower is better in every column. The columns `Paper:` are the published numbers of FFHQ at 1024x1024 "
    "[@karras2019style], of other networks: their order can be compared, their size cannot."
)
_LEGEND = (
    "The ratio is that of the side that should be lower over the other one; it `holds` where its 95 % interval lies "
    "below 1, `does not hold` where it lies above, and is `open` where it contains 1. p is that of a ratio of 1. No "
    "correction was made for their number: over seeds, of 20 orderings without any difference one is called one way or "
    "the other; of one training each far more are, for the intervals do not hold how trainings differ.",
)


def _anchor(name: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())
    return f"study-table-{kept}"


def _numbers(summary: Summary, title: dict[Measure, str], seeds: int) -> pd.DataFrame:
    rows = []
    for line in summary.lines:
        row: dict[str, object] = {"generator": line.row.label or line.row.generator}
        if line.row.space is not None:
            row["space"] = line.row.space.upper()
        row |= {title[measure]: _measured(cell, seeds) for measure, cell in line.cells.items()}
        row |= {f"Paper: {MEASURES[measure]}": cell.paper for measure, cell in line.cells.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _measured(cell: Cell, seeds: int) -> Measured:
    return Measured(cell.value, cell.ci95, len(cell.numbers) if seeds > 1 and cell.numbers else None)


def _single(summary: Summary, title: dict[Measure, str]) -> pd.DataFrame:
    """Every training by itself."""
    return pd.DataFrame(
        {
            "generator": line.row.label or line.row.generator,
            "space": (line.row.space or "").upper(),
            "column": title[measure],
            "seed": seed,
            "value": Measured(number.value, number.ci95),
        }
        for line in summary.lines
        for measure, cell in line.cells.items()
        for seed, number in cell.numbers.items()
    )


def _orderings(statements: Sequence[Statement], title: dict[Measure, str]) -> pd.DataFrame:
    said = {True: "lower", False: "not lower", None: "–"}
    return pd.DataFrame(
        {
            "ordering": one.claim,
            "column": title[one.measure],
            "verdict": one.verdict,
            "ratio": Measured(one.ratio, one.ci95),
            "p": one.p_value,
            "lower in": f"{one.held} of {one.seeds}",
            "paper": said[agrees(one)],
            "paper's ratio": None if one.paper is None else one.paper[0] / one.paper[1],
        }
        for one in statements
    )


def forest(statements: Sequence[Statement], title: str) -> Chart | None:
    """The ratios of a column's orderings with their intervals, one below the other; None without any."""
    if not statements:
        return None
    words = "; ".join(f"{one.claim}: {one.verdict}, ratio {one.ratio:.3g}" for one in statements)
    size = (6.4, 0.8 + 0.42 * len(statements))
    return chart(partial(_draw, statements), alt=f"{title}, ratios of orderings. {words}.", size=size)


def _draw(statements: Sequence[Statement], axes: Axes) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color=TEXT, linewidth=0.9)
    edges = [1.0]
    for place, one in enumerate(reversed(statements)):
        colour = COLOURS.get(one.measure, Z)
        edges.append(one.ratio)
        if one.ci95 is not None:
            axes.plot(one.ci95, (place, place), color=colour, linewidth=1.6, solid_capstyle="butt")
            edges += [max(one.ci95[0], one.ratio / 30), min(one.ci95[1], one.ratio * 30)]
        axes.plot(one.ratio, place, "o", color=colour, markersize=4.5)
        if one.paper is not None:
            edges.append(one.paper[0] / one.paper[1])
            axes.plot(edges[-1], place, "D", color=RULE, markeredgecolor=TEXT, markersize=3.5)
        axes.annotate(
            one.claim, (0, place), (2, 6), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7.5
        )
    low, high = min(edges), max(edges)
    margin = (high / low) ** 0.08
    axes.set_xlim(low / margin, high * margin)
    axes.set_ylim(-0.6, len(statements) - 0.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("ratio")
    ticks = list(_ticks(low / margin, high * margin))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _ticks(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10, ... within bounds; powers of ten alone where these are far apart, finer ones where they are near."""
    if high / low < 4:
        yield from (float(f"{tick:.6g}") for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high)
        return
    steps = (1, 2, 5) if high / low < 200 else (1,)
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            tick = step * 10.0**power
            if low <= tick <= high:
                yield tick
