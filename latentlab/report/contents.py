"""Everything that a report says, gathered once and the same for every format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentlab.errors import DataError
from latentlab.report.blocks import Block, blocks
from latentlab.report.choice import Further, further_measurements
from latentlab.report.departures import substitutes
from latentlab.report.disentanglement import Table, disentanglement_tables, disentanglement_warnings
from latentlab.report.inputs import ReportRun
from latentlab.report.methods import methods
from latentlab.report.orderings import OrderingCheck, ordering_checks
from latentlab.report.pictures import limit
from latentlab.report.realism import Realism, realism
from latentlab.report.rows import ProtocolWarning, Row, main_rows, protocol_warnings
from latentlab.report.sections import Section, check_sections
from latentlab.report.sentences import unequal_training

PICTURE_BYTES = 7_000_000
"""What all pictures may take in a page together, before they are written as text, which adds a third."""


@dataclass(frozen=True)
class Content:
    """What a report says; the parts are those of the page's sections.

    Attributes:
        title: Heading of the report.
        runs: In the order to be shown, no two of one name.
        cards: Of the classifiers.
        notes: Cautions at the top.
        extra: Sections that were given, after the main numbers.
        picture_bytes: That one picture may take in the page.
    """

    title: str
    runs: Sequence[ReportRun]
    cards: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    extra: Sequence[Section]
    picture_bytes: int
    blocks: Sequence[Block]
    rows: Sequence[Row]
    warnings: Sequence[ProtocolWarning]
    substitutes: Sequence[str]
    cautions: Sequence[str]
    further: Sequence[Further]
    realism: Realism | None
    disentanglement: Sequence[Table]
    disentanglement_warnings: Sequence[ProtocolWarning]
    orderings: Sequence[OrderingCheck]
    methods: Sequence[str]


def gather(
    title: str,
    runs: Sequence[ReportRun],
    *,
    cards: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
) -> Content:
    """All that a report on these runs says.

    Raises:
        UsageError: A section cannot be shown (`sections.check_sections`).
        DataError: A picture cannot be read.
    """
    check_sections(sections)
    table = main_rows(runs)
    tables = disentanglement_tables(runs)
    made = blocks(runs)
    given = [_size(figure.png) for section in sections for figure in section.figures if figure.png is not None]
    picture_bytes = limit([*given, *(len(one.content) for block in made for one in block.pictures)], PICTURE_BYTES)
    return Content(
        title=title,
        runs=runs,
        cards=cards,
        notes=notes,
        extra=sections,
        picture_bytes=picture_bytes,
        blocks=[block.fitted(picture_bytes) for block in made],
        rows=table,
        warnings=protocol_warnings(table),
        substitutes=substitutes(runs, cards),
        cautions=unequal_training(runs),
        further=further_measurements(runs),
        realism=realism(runs),
        disentanglement=tables,
        disentanglement_warnings=disentanglement_warnings(tables),
        orderings=ordering_checks(runs),
        methods=methods(runs, cards, alone=not sections),
    )


def _size(png: bytes | Path) -> int:
    if isinstance(png, bytes):
        return len(png)
    try:
        return png.stat().st_size
    except OSError as error:
        raise DataError(f"{png} cannot be read ({error.strerror}): it is a figure of a section.") from error
