"""Results as a report: one self-contained page, or Markdown, LaTeX and PDF. Never reaches torch.

runs = [read_run("runs/style-8"), read_run("runs/traditional-0")]
render_report(runs, Path("report"), formats=["html", "pdf"])
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentlab.errors import UsageError
from latentlab.report.browser import print_pdf, require_browser
from latentlab.report.contents import gather
from latentlab.report.documents import latex_report, markdown_report, markdown_tables
from latentlab.report.downloads import csv_of_all
from latentlab.report.inputs import ReportRun, read_card, read_run
from latentlab.report.page import page
from latentlab.report.sections import Measured, Section, SectionFigure, SectionTable
from latentlab.report.standard import all_sections
from latentlab.report.writing import check_place, write_folder

__all__ = [
    "DOCUMENTS",
    "Measured",
    "ReportRun",
    "Section",
    "SectionFigure",
    "SectionTable",
    "check_formats",
    "read_card",
    "read_run",
    "render_report",
]

DOCUMENTS = {"html": "index.html", "md": "report.md", "tex": "report.tex", "pdf": "report.pdf"}
"""Formats of a report, and the file that is its document."""

TITLE = "How much does the mapping straighten the latent space?"


def render_report(
    runs: Sequence[ReportRun],
    out: Path | str,
    *,
    title: str = TITLE,
    cards: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
    formats: Sequence[str] = ("html",),
    overwrite: bool = False,
) -> Path:
    """Write a report into the folder `out`, which appears at once, and return the path of its first document.

    `html` is index.html, complete in itself, and tables.md; `md` is report.md with the folders `pictures` and `tables`;
    `tex` is report.tex with references.bib and `pictures`; `pdf` is report.pdf, the page as a browser prints it. All
    have tables.csv.

    Args:
        runs: From `read_run`, in the order to be shown.
        out: A folder that is free, or with `overwrite` a report written earlier.
        title: Heading of the report.
        cards: From `read_card`, of the classifiers behind the separability scores.
        notes: Sentences shown prominently at the top, such as how short the training was.
        sections: More of them, shown after the main numbers and in the table of contents, their tables sorted and
            downloaded like the report's own, in every format; see `latentlab.report.sections`.
        formats: Of `DOCUMENTS`.
        overwrite: Replace an earlier report, at once and as a whole.

    Raises:
        UsageError: no runs were given, there is no such format, no browser prints the PDF, or a section cannot be shown
            (`sections.check_sections`).
        OutputExistsError: `out` is taken and is not a report to be replaced; nothing was touched.
        DataError: a picture cannot be read.
    """
    if not runs:
        raise UsageError("no runs were given: a report needs at least one run folder, such as runs/NAME.")
    check_formats(formats)
    out = Path(out).resolve()
    replace = check_place(out, overwrite=overwrite)
    content = gather(title, _distinct_names(runs), cards=cards, notes=notes, sections=sections)
    every = all_sections(content, pictures=bool({"md", "tex"} & set(formats)))
    files = {"tables.csv": csv_of_all(content.runs).encode("utf-8")}
    html = page(content, every) if {"html", "pdf"} & set(formats) else ""
    if "html" in formats:
        files |= {"index.html": html.encode("utf-8"), "tables.md": markdown_tables(title, every).encode("utf-8")}
    if "md" in formats:
        files |= markdown_report(title, every)
    if "tex" in formats:
        files |= latex_report(title, every)
    if "pdf" in formats:
        files["report.pdf"] = print_pdf(html)
    write_folder(out, files, replace=replace)
    return out / DOCUMENTS[formats[0]]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that cannot be made, before anything is read.

    Raises:
        UsageError: There is no such format, none is named, or `pdf` is and no browser can be found.
    """
    unknown = [name for name in formats if name not in DOCUMENTS]
    if unknown or not formats:
        given = repr(unknown[0]) if unknown else "nothing"
        raise UsageError(f"--format: {given} is no format of a report; there are {', '.join(DOCUMENTS)}.")
    if "pdf" in formats:
        require_browser()


def _distinct_names(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """Runs whose folders have the same name go by their whole path."""
    names = Counter(run.name for run in runs)
    return [dataclasses.replace(run, name=str(run.folder)) if names[run.name] > 1 else run for run in runs]
