"""Files inside the page: tables as CSV and LaTeX, results as JSON, charts as SVG and PDF, works as BibTeX."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentlab.report.citations import bibliography, cited
from latentlab.report.contents import Content
from latentlab.report.inputs import ReportRun
from latentlab.report.pictures import data_uri
from latentlab.report.prose import latex_prose
from latentlab.report.sections import Section, file_names, table_titles
from latentlab.report.table_formats import to_csv, to_latex
from latentlab.report.tables import tidy


@dataclass(frozen=True)
class Download:
    """A link to a file that is a part of the page.

    Attributes:
        label: What the link says, such as `CSV`.
        name: The file's name when it is saved.
        uri: Its content.
    """

    label: str
    name: str
    uri: str


def table_downloads(sections: Sequence[Section]) -> dict[tuple[str, str], list[Download]]:
    """CSV and LaTeX of every table, by its section's anchor and its title."""
    names = file_names(table_titles(sections))
    found = {}
    for section in sections:
        for table in section.tables:
            name = names[section.anchor, table.title]
            found[section.anchor, table.title] = [
                _file("CSV", f"{name}.csv", to_csv(table), "text/csv"),
                _file("LaTeX", f"{name}.tex", to_latex(table, name), "application/x-tex"),
            ]
    return found


def whole_downloads(content: Content, sections: Sequence[Section]) -> list[Download]:
    """What is about all of the report: every result, every number, every table."""
    names = file_names(table_titles(sections))
    every = [to_latex(table, names[section.anchor, table.title]) for section in sections for table in section.tables]
    return [
        _file("All results (JSON)", "results.json", results_json(content.runs, content.cards), "application/json"),
        _file("All numbers (CSV)", "tables.csv", csv_of_all(content.runs), "text/csv"),
        _file("All tables (LaTeX, booktabs)", "tables.tex", "\n".join(every), "application/x-tex"),
    ]


def methods_downloads(content: Content) -> list[Download]:
    """The methods as LaTeX, and the works that they cite."""
    paragraphs = "\n\n".join(map(latex_prose, content.methods)) + "\n"
    works = cited(content.methods)
    return [
        _file("Methods (LaTeX)", "methods.tex", paragraphs, "application/x-tex"),
        _file("References (BibTeX)", "references.bib", bibliography(works), "application/x-bibtex"),
    ]


def results_json(runs: Sequence[ReportRun], cards: Sequence[Mapping[str, Any]]) -> str:
    """Every result of the runs, those that no table shows included, their settings, and the classifiers' cards."""
    found = [
        {
            "name": run.name,
            "config": run.config,
            "results": [json.loads(result.model_dump_json()) for result in run.results],
        }
        for run in runs
    ]
    return json.dumps({"runs": found, "classifiers": list(cards)}, ensure_ascii=False)


def csv_of_all(runs: Sequence[ReportRun]) -> str:
    """tables.csv: one line a number."""
    return tidy(runs).to_csv(index=False, lineterminator="\n")


def _file(label: str, name: str, text: str, media_type: str) -> Download:
    return Download(label, name, data_uri(text.encode("utf-8"), f"{media_type};charset=utf-8"))
