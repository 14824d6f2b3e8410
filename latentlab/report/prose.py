"""A report's sentences for Markdown and LaTeX."""

from collections.abc import Sequence

from latentlab.report.citations import Work, in_words, with_citations
from latentlab.report.formatting import NONE

_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "]": "{]}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
    | {"–": "--", "—": "---", "’": "'", "“": "``", "”": "''", "…": r"\dots{}", "₂": r"$_{2}$"}
    | {"−": r"$-$", "×": r"$\times$", "ψ": r"$\psi$", "σ": r"$\sigma$", "ε": r"$\varepsilon$", "→": r"$\to$"}
    | {high: f"$^{{{low}}}$" for high, low in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)}
)


def latex(text: object) -> str:
    """A text for LaTeX: its special characters escaped, typographic ones in its own words."""
    return " ".join(str(text).split()).translate(_LATEX)


def latex_prose(text: str) -> str:
    """A paragraph for LaTeX: what stands between backticks as code, marks of works as \\cite."""
    return with_citations(text, _cite, _latex_with_code)


def _cite(works: Sequence[Work]) -> str:
    return rf"~\cite{{{','.join(work.key for work in works)}}}"


def _latex_with_code(text: str) -> str:
    """Escaped, its outer blanks kept."""
    parts = [rf"\texttt{{{latex(part)}}}" if place % 2 else _spaced(part) for place, part in enumerate(text.split("`"))]
    return "".join(parts)


def _spaced(text: str) -> str:
    inner = latex(text)
    return f"{' ' * text.startswith(' ')}{inner}{' ' * (text.endswith(' ') and bool(inner))}"


def markdown(text: str) -> str:
    """A text on one line of Markdown, in a table or out of it."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split()) or NONE


def markdown_prose(text: str) -> str:
    """A paragraph for Markdown, the works that it cites in words."""
    return with_citations(text, in_words, _markdown_part)


def alternative(text: str) -> str:
    """A picture's alternative text for Markdown."""
    return markdown(text).replace("[", r"\[").replace("]", r"\]")


def _markdown_part(text: str) -> str:
    """A part of a sentence; the blanks around it stay."""
    return f"{' ' * text.startswith(' ')}{markdown(text)}{' ' * text.endswith(' ')}" if text.strip() else text
