"""What a report is made of, whatever its format: sections of paragraphs, tables and figures.

`render_report(..., sections=[...])` takes more of them than a report has by itself:

    spread = pd.DataFrame({"generator": ["style-8"], "PPL full": [Measured(196.4, (188.4, 204.4), 5)]})
    section = Section(
        "Over seeds", "over-seeds", ["Each generator was trained five times."],
        tables=[SectionTable("Means over seeds", spread, notes=["W is straighter in every seed."])],
        figures=[SectionFigure("Samples of seed 3", alt="36 faces", png=Path("samples.png"))],
    )

They stand in the table of contents and can be sorted and downloaded like any other, in every format.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from latentlab.errors import UsageError
from latentlab.report.charts import Chart
from latentlab.report.citations import WORKS, unknown_keys
from latentlab.report.formatting import count, interval, number, percent, percent_interval

STANDARD_ANCHORS = (
    "answer", "numbers", "realism", "attributes", "disentanglement", "distances", "pictures", "figures", "classifiers",
    "training", "methods", "paper", "settings", "downloads", "main", "large",
)  # fmt: skip
"""Anchors that the report's own sections have."""


@dataclass(frozen=True)
class Measured:
    """A number as a table's cell: sorted by its value, written with what belongs to it, several columns of a CSV.

    Attributes:
        value: None where it is not known.
        ci95: Ends of the 95 % interval, each None where it is not known.
        num_samples: Of how many samples, pairs or seeds; left out where None.
        note: What must be said of it, such as `over 26 of 40 valid attributes`.
        share: Value and interval are fractions, to be written in per cent.
    """

    value: float | None
    ci95: tuple[float | None, float | None] | None = None
    num_samples: int | None = None
    note: str = ""
    share: bool = False

    @property
    def shown(self) -> str:
        """The value alone, rounded."""
        return percent(self.value) if self.share else number(self.value)

    @property
    def interval(self) -> str:
        """`[low, high]`, rounded like the value; an empty text where an end is not known."""
        return percent_interval(self.ci95) if self.share else interval(self.ci95, like=self.value)

    def __str__(self) -> str:
        samples = "" if self.num_samples is None else f"n = {count(self.num_samples)}"
        return " ".join(part for part in (self.shown, self.interval, samples, self.note) if part)

    def columns(self) -> dict[str, float | int | str | None]:
        """What a CSV has of it, by the endings of the columns' names."""
        low, high = self.ci95 or (None, None)
        return {"": self.value, " low": low, " high": high, " samples": self.num_samples, " note": self.note or None}


@dataclass(frozen=True)
class SectionTable:
    """A table of a section.

    Attributes:
        title: Its caption; unlike the titles of other tables in the section.
        content: Cells are texts, numbers, `Measured` or None; the first column names the rows.
        notes: Statements under it.
    """

    title: str
    content: pd.DataFrame
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class SectionFigure:
    """A figure of a section: a PNG, or a chart drawn by `latentlab.report.charts.chart`, which follows the theme.

    Attributes:
        title: Its heading.
        alt: What it shows, in words, for those who do not see it.
        png: The bytes of a PNG file, or its path.
        chart: In place of `png`.
        caption: What stands under it.
    """

    title: str
    alt: str
    png: bytes | Path | None = None
    chart: Chart | None = None
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A section of a report, as all formats have it.

    Attributes:
        title: Its heading.
        anchor: Where links lead: small letters, digits and hyphens.
        paragraphs: Text before the tables. What stands between backticks is code; `[@karras2019]` cites a work
            (`latentlab.report.citations`).
        tables: One below the other.
        figures: After the tables.
        notes: Cautions, set apart, before everything else.
    """

    title: str
    anchor: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[SectionTable] = ()
    figures: Sequence[SectionFigure] = ()
    notes: Sequence[str] = field(default=())


def check_sections(sections: Sequence[Section]) -> None:
    """Refuse sections that a report cannot show.

    Raises:
        UsageError: An anchor is malformed or taken, a work that is cited is not known, two tables, figures or columns
            have one title, or a figure has no picture or no alternative text.
    """
    taken = set(STANDARD_ANCHORS)
    for section in sections:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", section.anchor):
            raise UsageError(
                f"the anchor {section.anchor!r} of the section {section.title!r} has another form than small letters, "
                "digits and hyphens, such as `over-seeds`."
            )
        if section.anchor in taken or section.anchor.startswith("ref-"):
            raise UsageError(
                f"the anchor {section.anchor!r} of the section {section.title!r} is taken: choose another."
            )
        taken.add(section.anchor)
        if unknown := unknown_keys(texts([section])):
            raise UsageError(
                f"the section {section.title!r} cites {unknown[0]!r}, which is none of {', '.join(WORKS)}."
            )
        _check_parts(section)


def _check_parts(section: Section) -> None:
    for parts in (section.tables, section.figures):
        titles = [part.title for part in parts]
        if len(set(titles)) < len(titles):
            raise UsageError(f"two tables or figures of the section {section.title!r} have one title: tell them apart.")
    for table in section.tables:
        if not table.content.columns.is_unique:
            raise UsageError(f"two columns of the table {table.title!r} have the same name: tell them apart.")
    for figure in section.figures:
        if (figure.png is None) == (figure.chart is None) or not figure.alt:
            raise UsageError(f"the figure {figure.title!r} must have an alternative text, and either png or chart.")


def texts(sections: Sequence[Section]) -> list[str]:
    """Every text of sections that may cite."""
    found = []
    for section in sections:
        found += [*section.notes, *section.paragraphs]
        found += [note for table in section.tables for note in table.notes]
        found += [figure.caption for figure in section.figures]
    return found


def table_titles(sections: Sequence[Section]) -> dict[str, list[str]]:
    """Titles of the tables of every section, by its anchor."""
    return {section.anchor: [table.title for table in section.tables] for section in sections}


def slug(text: str) -> str:
    """A text as part of a file's name: small Latin letters, digits and hyphens; `x` where none are left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:80].rstrip("-") or "x"


def file_names(titles: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """A stem of a file's name for every title of every section, by (anchor, title); no two are alike."""
    names: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for anchor, inner in titles.items():
        for title in inner:
            stem = name = slug(title) if slug(title).startswith(anchor) else f"{anchor}-{slug(title)}"
            number = 1
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name)
            names[anchor, title] = name
    return names
