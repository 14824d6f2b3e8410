"""What `latentlab study` prints: its plan, its tables, and which orderings came out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentlab.study import Estimates, Planned, Recipe, Study, Summary
    from latentlab.study.tables import Measure


def print_plan(plan: "Sequence[Planned]", estimates: "Estimates") -> None:
    """What is to be done: a line for each generator, a column for each kind of work."""
    from latentlab.cli.display import fits, print_table, say
    from latentlab.cli.runs import duration
    from latentlab.study.folder import TITLES

    kinds = [kind for kind in TITLES if any(planned.job.kind == kind for planned in plan)]
    generators: dict[str, list[Planned]] = {}
    for planned in plan:
        generators.setdefault("all" if planned.job.variant is None else planned.job.variant.name, []).append(planned)
    full, brief = [], []
    for name, members in generators.items():
        each = {planned.job.kind: duration(planned.seconds) for planned in members}
        done = sum(planned.finished for planned in members)
        ends = [f"{done} of {len(members)}", duration(sum(planned.left for planned in members))]
        full.append([name, *(each.get(kind, "") for kind in kinds), *ends])
        brief.append([name, *ends])
    heads = [TITLES[kind][0].split()[-1 if kind == "classifiers" else 0].lower() for kind in kinds]
    seeds = len({planned.job.seed for planned in plan if planned.job.variant})
    title = f"Jobs of {seeds} seeds; times of work are those of one seed" if seeds > 1 else None
    columns = ["generator", *heads, "jobs done", "time left"]
    if fits(columns, full):
        print_table(columns, full, title=title)
    else:
        print_table(["generator", "jobs done", "time left"], brief, title=title)
    for path, reason in {planned.finding.path: planned.finding.reason for planned in plan}.items():
        if path is not None:
            say(f"{path}: {reason}")
    if all(planned.finished for planned in plan):
        print("Everything is done.")
        return
    trained = [one.job.variant.name for one in plan if one.job.variant and one.job.kind == "train" and not one.finished]
    flops = sum(estimates.trainings[name].flops for name in trained)
    guess = ", of which some is reckoned from its arithmetic alone" if estimates.extrapolated else ""
    print(
        f"{duration(sum(planned.left for planned in plan))} of work is left for one job after the other, by trials of "
        f"{estimates.took:.0f} s on this machine{guess}."
        + (f" The trainings among it are {flops:.2g} floating-point operations." if flops else "")
    )


def print_measured(work: "Study") -> None:
    """The tables, where something of them is measured."""
    for summary in work.summaries():
        if any(cell.numbers for line in summary.lines for cell in line.cells.values()):
            print_summary(summary, work.recipe)


def print_summary(summary: "Summary", recipe: "Recipe") -> None:
    """A table with what must be said of it, and its orderings; one line for each number where it is too wide."""
    from latentlab.cli.display import fits, print_table
    from latentlab.study.wording import cell, notes, substitutes, titles

    table, title = summary.table, titles(recipe)
    spaces = any(row.space for row in table.rows)
    columns = ["generator", *(["space"] if spaces else [])]
    for measure in table.measures:
        columns += [title[measure], "paper"]
    rows, long = [], []
    for line in summary.lines:
        row = [line.row.label or line.row.generator, *([(line.row.space or "").upper()] if spaces else [])]
        named = row[:]
        for measure in table.measures:
            one = line.cells[measure]
            value, paper = cell(one, len(recipe.seeds)), "–" if one.paper is None else f"{one.paper:g}"
            row += [value.replace(" [", "\n[", 1), paper]
            long.append([*named, title[measure], value, paper])
        rows.append(row)
    name = f"Table {table.name}: {table.title}"
    if fits(columns, rows):
        print_table(columns, rows, title=name)
    else:
        print_table([*columns[: 1 + spaces], "column", "value", "paper"], long, title=name)
    for words in (*substitutes(recipe, summary), *notes(summary, len(recipe.seeds))):
        print(words)
    if summary.statements:
        _print_orderings(summary, title)


def _print_orderings(summary: "Summary", title: "Mapping[Measure, str]") -> None:
    from latentlab.cli.display import fits, print_table
    from latentlab.study.wording import sentence, short

    measures = summary.table.measures
    verdicts: dict[str, dict[Measure, str]] = {}
    for statement in summary.statements:
        verdicts.setdefault(statement.claim, {})[statement.measure] = short(statement)
    rows = [[claim, *(found.get(measure, "") for measure in measures)] for claim, found in verdicts.items()]
    columns = ["ordering, and the ratio of the two", *(title[measure] for measure in measures)]
    if fits(columns, rows):
        print_table(columns, rows)
    else:
        print()
        for statement in summary.statements:
            print(f"{statement.claim}, {title[statement.measure]}: {sentence(statement)}.")
    print(
        "An ordering holds where the 95 % interval of the ratio lies below 1, does not hold where it lies above; else "
        "it is open.\n"
    )
