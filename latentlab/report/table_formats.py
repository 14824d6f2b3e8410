"""A table of a section as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from latentlab.report.formatting import NONE, number
from latentlab.report.sections import Measured, SectionTable

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "]": "{]}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
    | {"–": "--", "—": "---", "’": "'", "“": "``", "”": "''", "…": r"\dots{}", "₂": r"$_{2}$"}
    | {"−": r"$-$", "×": r"$\times$", "ψ": r"$\psi$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "→": r"$\to$"}
    | {high: f"$^{{{low}}}$" for high, low in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)}
)


def latex(text: object) -> str:
    """A text for LaTeX: its special characters escaped, typographic ones in its own words."""
    return " ".join(str(text).split()).translate(_LATEX)


def cell_text(cell: Any) -> str:
    """A cell in words: numbers rounded, a dash for what there is not."""
    if cell is None or (isinstance(cell, float) and pd.isna(cell)):
        return NONE
    if isinstance(cell, float):
        return number(cell)
    return " ".join(str(cell).split()) or NONE


def to_csv(table: SectionTable) -> str:
    """Numbers at full precision; a `Measured` has columns for the ends of its interval, its samples and its note."""
    columns: dict[str, list[Any]] = {}
    for name, cells in table.content.items():
        if any(isinstance(cell, Measured) for cell in cells):
            columns |= _spread(str(name), list(cells))
        else:
            columns[str(name)] = list(cells)
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def _spread(name: str, cells: Sequence[Any]) -> dict[str, list[Any]]:
    """Columns of measured cells; what stands in place of a number is a note; endings that no cell has are left out."""
    parts = [cell if isinstance(cell, Measured) else Measured(None, note=str(cell or "")) for cell in cells]
    columns = {f"{name}{ending}": [part.columns()[ending] for part in parts] for ending in Measured(None).columns()}
    return {key: values for key, values in columns.items() if key == name or any(v is not None for v in values)}


def to_markdown(table: SectionTable) -> str:
    """A pipe table; bars, line breaks and angle brackets in cells are made harmless."""
    content = table.content
    rows = [list(content.columns), ["---"] * len(content.columns), *content.map(cell_text).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(markdown(str(cell)) for cell in row) + " |" for row in rows)


def markdown(text: str) -> str:
    """A text on one line of Markdown, in a table or out of it."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split()) or NONE


def to_latex(table: SectionTable, label: str, placement: str = "htbp") -> str:
    """A floating table by booktabs, its notes below; as wide as the text at most, which takes adjustbox."""
    content = table.content.map(cell_text).reset_index(drop=True)
    content.columns = pd.Index([str(name) for name in content.columns])
    styler = content.style.format(latex).format_index(latex, axis="columns").hide(axis="index")
    columns = "l" + "".join("r" if is_numeric(cells) else "l" for _, cells in list(table.content.items())[1:])
    lines = [
        rf"\begin{{table}}[{placement}]",
        r"\centering",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{label}}}",
        r"\small",
        r"\begin{adjustbox}{max width=\linewidth, max totalheight=0.85\textheight}",
        styler.to_latex(hrules=True, column_format=columns).strip(),
        r"\end{adjustbox}",
        *(rf"\par\smallskip\raggedright\footnotesize {latex(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def is_numeric(cells: "pd.Series[Any]") -> bool:
    """Whether a column holds numbers, apart from cells in which there is none."""
    kinds = [cell for cell in cells if cell is not None and cell != ""]
    return any(_is_number(cell) for cell in kinds) and sum(map(_is_number, kinds)) * 2 >= len(kinds)


def _is_number(cell: Any) -> bool:
    return isinstance(cell, Measured) or (isinstance(cell, int | float) and not isinstance(cell, bool))
