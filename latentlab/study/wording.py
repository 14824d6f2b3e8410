"""A study's numbers and statements in words, for terminals and pages."""

from collections.abc import Iterator

from latentlab.metrics.separability.stores import FEWEST_FOR_VERDICT
from latentlab.study.cells import Cell, Interval
from latentlab.study.orderings import Statement
from latentlab.study.recipe import INCEPTION, LPIPS, Recipe
from latentlab.study.summary import Summary
from latentlab.study.tables import MEASURES, Measure


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def interval(ci95: Interval) -> str:
    """A 95 % interval in brackets, or nothing."""
    return "" if ci95 is None else f" [{number(ci95[0])}, {number(ci95[1])}]"


def titles(recipe: Recipe) -> dict[Measure, str]:
    """Titles of columns; what stands in for a published network is named."""
    found = dict(MEASURES)
    if recipe.measuring.features != INCEPTION:
        found |= {measure: title.replace("FID", "FD*") for measure, title in found.items()}
    if recipe.measuring.distance != LPIPS:
        found |= {measure: found[measure] + "*" for measure in ("full", "end")}
    return found


def substitutes(recipe: Recipe, summary: Summary) -> Iterator[str]:
    """What the stars in a table's titles mean."""
    measures = summary.table.measures
    if recipe.measuring.features != INCEPTION and any(measure.startswith("fid") for measure in measures):
        yield (
            "FD*: Fréchet distance on the features of the study's attribute classifiers, which stand in for "
            "Inception's; it is no FID, and only its order can be compared with the paper's column."
        )
    if recipe.measuring.distance != LPIPS and {"full", "end"} & set(measures):
        yield (
            "PPL*: path lengths by a distance on the features of the study's attribute classifiers, which stands in "
            "for LPIPS with VGG16; only their order can be compared with the paper's column."
        )


def cell(one: Cell, seeds: int = 1) -> str:
    """A cell of a table: mean and interval, or a dash; of how many trainings, if fewer than there shall be."""
    if one.value is None:
        return "–"
    fewer = f" n = {len(one.numbers)}" if len(one.numbers) < seeds else ""
    return number(one.value) + interval(one.ci95) + fewer


def sentence(statement: Statement) -> str:
    """An ordering in one line: what came out, with which certainty, and what the paper has."""
    chance = statement.p_value
    certainty = "" if chance is None else ", p < 0.001" if chance < 0.001 else f", p = {chance:.2g}"
    seeds = f", lower in {statement.held} of {statement.seeds} seeds" if statement.seeds > 1 else ""
    ratio = f"ratio {number(statement.ratio)}{interval(statement.ci95)}{certainty}{seeds}"
    return f"{statement.verdict}: {ratio}; {paper(statement)}"


def short(statement: Statement) -> str:
    """Lines of a cell: verdict, ratio, interval, in how many of several seeds, and whether the paper says otherwise."""
    seeds = f"in {statement.held} of {statement.seeds}" if statement.seeds > 1 else ""
    against = "paper: no" if agrees(statement) is False else ""
    lines = (statement.verdict, number(statement.ratio), interval(statement.ci95).strip(), seeds, against)
    return "\n".join(line for line in lines if line)


def agrees(statement: Statement) -> bool | None:
    """Whether the published numbers bear an ordering out; None where there are none."""
    return None if statement.paper is None else statement.paper[0] < statement.paper[1]


def paper(statement: Statement) -> str:
    """What the published numbers say of an ordering."""
    if statement.paper is None:
        return "the paper has no such pair"
    low, high = statement.paper
    bears = "bears it out" if agrees(statement) else "does not"
    return f"paper {low:g} and {high:g}: {bears}"


def notes(summary: Summary, seeds: int) -> Iterator[str]:
    """What must be said under a table."""
    counts = {len(cell.numbers) for line in summary.lines for cell in line.cells.values() if cell.numbers}
    if seeds > 1 and counts - {1}:
        fewer = "" if counts == {seeds} else "up to "
        yield (
            f"Geometric means of {fewer}{seeds} trainings; in brackets 95 % intervals by Student's t over their "
            "logarithms, for these classifiers and images."
        )
        if fewer:
            yield "Cells of fewer trainings say of how many (n); one of n = 1 has the interval of its measurement."
    elif seeds > 1:
        yield (
            f"So far one training each, of {seeds}: intervals are those of the measurements and do not say how other "
            "trainings would come out."
        )
    else:
        yield (
            "One training each: intervals are those of the measurements and do not say how other trainings would come "
            "out; --seeds 3 does."
        )
    if "separability" in summary.table.measures and summary.num_attributes and not summary.attributes:
        yield (
            "No attribute can be scored in every row and seed of this table, so separability cannot be compared: "
            "that of each run is in its results."
        )
    elif "separability" in summary.table.measures and summary.num_attributes:
        yield (
            f"Separability is over the {len(summary.attributes)} of {summary.num_attributes} attributes that can be "
            "scored in every row and seed of this table, in Z of its generators, too."
        )
    if any(
        not number.trusted for line in summary.lines for cell in line.cells.values() for number in cell.numbers.values()
    ):
        yield (
            f"Separability: fewer than {FEWEST_FOR_VERDICT} samples were kept for each dimension, so intervals are too "
            "narrow, and of one training no ordering is judged by them."
        )
    for words in summary.missing:
        yield f"Not measured: {words}."
