"""A table of a section as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import pandas as pd

from latentlab.report.formatting import NONE, count, number
from latentlab.report.prose import latex, latex_prose, markdown
from latentlab.report.sections import Measured, SectionTable


def cell_text(cell: Any) -> str:
    """A cell in words: numbers rounded, a dash for what there is not."""
    if cell is None or (isinstance(cell, float) and pd.isna(cell)):
        return NONE
    if isinstance(cell, float):
        return number(cell)
    return " ".join(str(cell).split()) or NONE


def to_csv(table: SectionTable) -> str:
    """Numbers at full precision; a `Measured` has columns for the ends of its interval, its samples and its note."""
    columns: dict[str, Any] = {}
    for name, cells in table.content.items():
        if any(isinstance(cell, Measured) for cell in cells):
            columns |= _spread(str(name), list(cells))
        else:
            columns[str(name)] = list(cells)
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def _spread(name: str, cells: Sequence[Any]) -> dict[str, Any]:
    """Columns of measured cells; what stands in place of a number is a note; endings that no cell has are left out."""
    parts = [cell if isinstance(cell, Measured) else Measured(None, note=str(cell or "")) for cell in cells]
    columns: dict[str, Any] = {
        f"{name}{ending}": [part.columns()[ending] for part in parts] for ending in Measured(None).columns()
    }
    columns[f"{name} samples"] = pd.array(columns[f"{name} samples"], dtype="Int64")  # else 5 samples become 5.0
    return {key: values for key, values in columns.items() if key == name or not all(pd.isna(list(values)))}


def to_markdown(table: SectionTable) -> str:
    """A pipe table; bars, line breaks and angle brackets in cells are made harmless."""
    content = table.content
    rows = [list(content.columns), ["---"] * len(content.columns), *content.map(cell_text).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(markdown(str(cell)) for cell in row) + " |" for row in rows)


def to_latex(table: SectionTable, label: str, placement: str = "htbp") -> str:
    """A floating table by booktabs, as wide as the text at most, which takes adjustbox.

    What is said of single cells, such as their samples, stands below the table, under letters.
    """
    remarks: dict[str, str] = {}
    numeric = [number > 0 and is_numeric(cells) for number, (_, cells) in enumerate(table.content.items())]
    written = {
        name: [_latex_cell(cell, remarks, numeric=of_numbers) for cell in cells]
        for (name, cells), of_numbers in zip(table.content.items(), numeric, strict=True)
    }
    content = pd.DataFrame(written, columns=table.content.columns)
    content.columns = pd.Index([latex(name) for name in content.columns])
    columns = "".join("r" if of_numbers else "l" for of_numbers in numeric)
    below = [*(f"$^{{{letter}}}$ {latex(text)}" for text, letter in remarks.items()), *map(latex_prose, table.notes)]
    lines = [
        rf"\begin{{table}}[{placement}]",
        r"\centering",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{label}}}",
        r"\small",
        r"\begin{adjustbox}{max width=\linewidth, max totalheight=0.85\textheight}",
        content.style.hide(axis="index").to_latex(hrules=True, column_format=columns).strip(),
        r"\end{adjustbox}",
        *(rf"\par\smallskip{{\raggedright\footnotesize {line}\par}}" for line in below),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(cell: Any, remarks: dict[str, str], *, numeric: bool) -> str:
    """A cell for LaTeX; what is said of a number or in its place goes into `remarks`, and its letter into the cell."""
    if isinstance(cell, str) and numeric and cell_text(cell) != NONE:
        cell = Measured(None, note=cell_text(cell))
    if not isinstance(cell, Measured):
        return latex(cell_text(cell))
    samples = "" if cell.num_samples is None else f"n = {count(cell.num_samples)}"
    remark = "; ".join(part for part in (samples, cell.note) if part)
    mark = f"$^{{{remarks.setdefault(remark, _letter(len(remarks)))}}}$" if remark else ""
    return " ".join(part for part in (latex(cell.shown) + mark, latex(cell.interval)) if part)


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, last = divmod(number, 26)
    return (_letter(first - 1) if first else "") + ascii_lowercase[last]


def is_numeric(cells: "pd.Series[Any]") -> bool:
    """Whether a column holds numbers, apart from cells in which there is none."""
    kinds = [cell for cell in cells if cell_text(cell) != NONE]
    return any(_is_number(cell) for cell in kinds) and sum(map(_is_number, kinds)) * 2 >= len(kinds)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Measured) or (isinstance(cell, int | float) and not isinstance(cell, bool))
