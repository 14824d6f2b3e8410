"""A report as Markdown and as LaTeX, with the files that they show: every section by one template."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from latentlab.report.citations import bibliography, cited
from latentlab.report.prose import alternative, latex, latex_prose, markdown, markdown_prose
from latentlab.report.sections import Section, SectionFigure, SectionTable, file_names, table_titles, texts
from latentlab.report.table_formats import to_csv, to_latex, to_markdown

MARK = "LatentLab report"
"""What every document of a report says of itself, by which its folder is known."""


def markdown_tables(title: str, sections: Sequence[Section]) -> str:
    """tables.md: every section without its figures, in GitHub's Markdown."""
    return _markdown(title, sections, {}, {})


def markdown_report(title: str, sections: Sequence[Section]) -> dict[str, bytes]:
    """report.md, its pictures (charts as SVG) and its tables as CSV: contents by the files' places."""
    pictures, tables = _files(sections, "svg"), _table_names(sections)
    text = _markdown(title, sections, {key: place for key, (place, _) in pictures.items()}, tables)
    files = {"report.md": text.encode("utf-8")} | dict(pictures.values())
    found = {(section.anchor, table.title): table for section in sections for table in section.tables}
    return files | {place: to_csv(found[key]).encode("utf-8") for key, place in tables.items()}


def latex_report(title: str, sections: Sequence[Section]) -> dict[str, bytes]:
    """report.tex, its pictures (charts as PDF) and references.bib: contents by the files' places."""
    pictures = _files(sections, "pdf")
    works = cited(texts(sections))
    text = _environment("latex").get_template("report.tex.j2").render(
        title=title,
        mark=MARK,
        sections=sections,
        pictures={key: place for key, (place, _) in pictures.items()},
        names=file_names(table_titles(sections)),
        works=works,
    )  # fmt: skip
    files = {"report.tex": text.encode("utf-8")} | dict(pictures.values())
    return files | {"references.bib": bibliography(works).encode("utf-8")}


def _markdown(
    title: str,
    sections: Sequence[Section],
    pictures: dict[tuple[str, str], str],
    tables: dict[tuple[str, str], str],
) -> str:
    text = _environment("markdown").get_template("report.md.j2").render(
        title=title, mark=MARK, sections=sections, pictures=pictures, tables=tables, works=cited(texts(sections))
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _table_names(sections: Sequence[Section]) -> dict[tuple[str, str], str]:
    return {key: f"tables/{name}.csv" for key, name in file_names(table_titles(sections)).items()}


def _files(sections: Sequence[Section], form: str) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Place and content of every figure's file, by its section's anchor and its title; charts as SVG or PDF."""
    names = file_names({section.anchor: [figure.title for figure in section.figures] for section in sections})
    found = {}
    for section in sections:
        for figure in section.figures:
            content, ending = _content(figure, form)
            key = section.anchor, figure.title
            found[key] = f"pictures/{names[key]}.{ending}", content
    return found


def _content(figure: SectionFigure, form: str) -> tuple[bytes, str]:
    if figure.chart is not None:
        return (figure.chart.svg, "svg") if form == "svg" else (figure.chart.pdf, "pdf")
    content = figure.png.read_bytes() if isinstance(figure.png, Path) else figure.png or b""
    return content, "jpg" if content.startswith(b"\xff\xd8") else "png"


def _environment(form: str) -> Environment:
    """Jinja2 for one of the forms; in LaTeX, whose braces mean something, with marks of its own."""
    marks = {
        "block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<",
        "variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>",
    } if form == "latex" else {}  # fmt: skip
    environment = Environment(
        loader=PackageLoader("latentlab.report"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **marks,  # type: ignore[arg-type]
    )

    def placed(table: SectionTable, name: str) -> str:
        return to_latex(table, name, placement="H")

    environment.filters |= {
        "md": markdown,
        "md_prose": markdown_prose,
        "alt": alternative,
        "md_table": to_markdown,
        "tex": latex,
        "tex_prose": latex_prose,
        "tex_table": placed,
    }
    return environment
