"""The report's own sections as records, which Markdown, LaTeX and the page's downloads are made from."""

from collections.abc import Callable

import numpy as np

from latentlab.report import tables
from latentlab.report.blocks import Block
from latentlab.report.charts import Chart
from latentlab.report.contents import Content
from latentlab.report.formatting import plain
from latentlab.report.pictures import picture, strip
from latentlab.report.published import ARXIV, RELEASED_NETWORK, RELEASED_NOTE
from latentlab.report.rows import ProtocolWarning
from latentlab.report.sections import Section, SectionFigure, SectionTable
from latentlab.report.sentences import source_sentence, trunk_sentence, unmeasured, weak_sentence

MAIN_TABLE, FURTHER, TABLE_4, ORDERINGS = "Main table", "Further measurements", "Table 4 of the paper", "Orderings"
REALISM = "Distances to real images"
"""Titles of the tables that there is one of; the others have the run's name in theirs."""

PAPER_PAIR = f"The paper’s pair is of mappings as deep as those here, a dash where it has none. {RELEASED_NOTE}"
"""What the column of the paper's numbers beside orderings has."""
ATTRIBUTE_COLUMNS = (
    "H: bits that are open about the attribute without the latent, which a plane that tells nothing leaves. H Z, H W: "
    "those left open by a plane in the space, 95 % intervals in brackets. Told: the share of H that the plane tells. "
    "Those that W helps most first."
)
FEW_SAMPLES = (
    "Attributes with a note on the rarer class have no more samples of it than the space has dimensions: planes part "
    "so few from the others by chance, and what they tell of them says nothing about the space."
)


def all_sections(content: Content, *, pictures: bool = True) -> list[Section]:
    """Every section in the order of the page, given ones after the main numbers; empty ones are left out.

    Args:
        content: What the report says.
        pictures: Those two, too, that have nothing but pictures, which take a while to make.
    """
    before: tuple[Callable[[Content], Section], ...] = (_answer, _numbers)
    shown = (_pictures, _figures) if pictures else ()
    after = (_realism, _attributes, _disentanglement, _distances, *shown, _classifiers, _training)
    last = (_methods, _paper, _settings)
    found = [make(content) for make in before] + [*content.extra] + [make(content) for make in (*after, *last)]
    return [one for one in found if one.paragraphs or one.tables or one.figures or one.notes]


def _answer(content: Content) -> Section:
    return Section("Answer", "answer", [block.headline for block in content.blocks], notes=content.notes)


def _numbers(content: Content) -> Section:
    paper = any(row.published for row in content.rows)
    notes = ["Lower is better. 95 % intervals in brackets."]
    if paper:
        notes.append(
            f"Columns called paper: {ARXIV}, FFHQ at 1024×1024, other data, distance and classifiers, for the order of "
            "generators and spaces only, not to be compared with the numbers beside them."
        )
    if shows_released(content):
        notes.append(RELEASED_NOTE)
    found = [SectionTable(MAIN_TABLE, tables.main_table(content.runs), notes)]
    if content.further:
        found.append(
            SectionTable(FURTHER, tables.further_table(content.further), ["By other settings than those above."])
        )
    cautions = [
        *(f"Not measured as in the paper: {line}" for line in content.substitutes),
        *map(_warning, content.warnings),
        *content.cautions,
        *(block.caution for block in content.blocks if block.caution),
        *(f"Missing for {block.run.name}: {line}" for block in content.blocks for line in block.missing),
    ]
    return Section("Numbers", "numbers", tables=found, notes=cautions)


def shows_released(content: Content) -> bool:
    """Whether numbers beside those of the report are of the network that the paper's authors released."""
    return any(row.published in RELEASED_NETWORK for row in content.rows)


def _warning(warning: ProtocolWarning, what: str = "rows") -> str:
    """A warning of unlike measurements in one paragraph."""
    fields = [
        f"{field}: " + "; ".join(f"{value} ({'; '.join(labels)})" for value, labels in values.items())
        for field, values in warning.fields.items()
    ]
    return " ".join([*warning.head(what), f"{'. '.join(fields)}."])


def _realism(content: Content) -> Section:
    section = content.realism
    if section is None:
        return Section("Distance to real images", "realism")
    table = SectionTable(REALISM, tables.realism_table(section), ["Lower is better. 95 % intervals in brackets."])
    return Section(
        "Distance to real images", "realism", section.against, [table], notes=[*map(_warning, section.warnings)]
    )


def _attributes(content: Content) -> Section:
    paragraphs, found, figures = [], [], []
    for block in content.blocks:
        if not block.attributes:
            continue
        name = block.run.name
        paragraphs.append(" ".join([f"{name}: {block.attribute_sentence}", *block.worth]))
        notes = [ATTRIBUTE_COLUMNS, FEW_SAMPLES] if any(row.few for row in block.attributes) else [ATTRIBUTE_COLUMNS]
        found.append(SectionTable(f"Attributes of {name}", tables.attribute_table(block.attributes), notes))
        figures += _drawn(f"Conditional entropies of {name}", block.scatter)
        figures += _drawn(f"Separability of {name} by the number of samples", block.sample_curve)
    return Section("Attributes", "attributes", paragraphs, found, figures)


def _drawn(title: str, chart: Chart | None) -> list[SectionFigure]:
    return [] if chart is None else [SectionFigure(title, chart.alt, chart=chart)]


def _disentanglement(content: Content) -> Section:
    found = [
        SectionTable(
            f"Disentanglement of {table.run.name} against {table.against}",
            tables.disentanglement_table(table),
            [f"Higher is better; not in the paper; {table.over}. Useless: against the factors of other samples."],
        )
        for table in content.disentanglement
    ]
    warnings = [_warning(warning, "numbers") for warning in content.disentanglement_warnings]
    return Section("Disentanglement metrics", "disentanglement", tables=found, notes=warnings)


def _distances(content: Content) -> Section:
    found, figures = [], []
    for block in content.blocks:
        name = block.run.name
        if not (quantiles := tables.quantile_table(block.run)).empty:
            note = "Of the distances, before trimming."
            found.append(SectionTable(f"Percentiles of path lengths of {name}", quantiles, [note]))
        for title, chart in block.histograms:
            figures += _drawn(f"Path lengths of {name}: {title}", chart)
        figures += [
            SectionFigure(f"Where the latent space of {name} tears: {title}", image.alt, image.content)
            for title, image in block.tears
        ]
    return Section("Path lengths", "distances", tables=found, figures=figures)


def _pictures(content: Content) -> Section:
    figures = []
    for block in content.blocks:
        figures += _interpolations(block)
        if block.samples is not None:
            figures.append(SectionFigure(f"Samples of {block.run.name}", block.samples.alt, block.samples.content))
    return Section("Pictures", "pictures", figures=figures)


def _interpolations(block: Block) -> list[SectionFigure]:
    """All strips of a run in one picture, those of a pair below each other."""
    found = [block.run.previews.get(f"interpolation_{space}") for space in "zw"]
    walks = [images for images in found if images is not None]
    if not walks:
        return []
    strips = [strip(images[pair]) for pair in range(min(map(len, walks))) for images in walks]
    names = "spherically in Z" + (", then linearly in W, pair by pair" if len(walks) > 1 else "")
    alt = f"{block.run.name}: {len(strips)} interpolations between pairs of latents, {names}"
    image = picture(np.concatenate(strips), alt)
    return [SectionFigure(f"Interpolations of {block.run.name}", alt, image.content, caption=f"{alt}.")]


def _figures(content: Content) -> Section:
    figures = [
        SectionFigure(f"{block.run.name}: {drawing.title}", drawing.caption, drawing.path, caption=drawing.caption)
        for block in content.blocks
        for drawing, _ in block.drawings
    ]
    cautions = [block.drawings_caution for block in content.blocks if block.drawings_caution]
    return Section("Figures", "figures", figures=figures, notes=cautions)


def _classifiers(content: Content) -> Section:
    paragraphs, found = [], []
    for card in content.cards:
        name = plain(card.get("name"))
        told = source_sentence(card) if unmeasured(card) else weak_sentence(card)
        paragraphs.append(" ".join(part for part in (f"{name}:", trunk_sentence(card), told) if part))
        if not unmeasured(card):
            note = "On held-out images; 95 % intervals in brackets."
            found.append(SectionTable(f"Classifiers {name}", tables.card_table(card), [note]))
    return Section("Classifiers", "classifiers", paragraphs, found)


def _training(content: Content) -> Section:
    figures: list[SectionFigure] = []
    for block in content.blocks:
        for title, chart in block.training:
            figures += _drawn(f"Training of {block.run.name}: {title}", chart)
    return Section("Training", "training", figures=figures)


def _methods(content: Content) -> Section:
    return Section("Methods", "methods", content.methods)


def _paper(content: Content) -> Section:
    words = (
        f"Not comparable with the numbers of this report ({ARXIV}, table 4): FFHQ at 1024×1024, LPIPS with VGG16, "
        "classifiers trained on CelebA-HQ. What can carry over is the order of generators and spaces."
    )
    found = [SectionTable(TABLE_4, tables.published_table(), ["Lower is better."])]
    if content.orderings:
        note = "An ordering holds, or does not, only where the 95 % intervals of the two numbers do not overlap."
        found.append(SectionTable(ORDERINGS, tables.ordering_table(content.orderings), [note, PAPER_PAIR]))
    return Section("The paper’s numbers, for reference", "paper", [words], found)


def _settings(content: Content) -> Section:
    found = []
    for block in content.blocks:
        if block.config:
            title = f"{block.run.name}: training and networks"
            found.append(SectionTable(title, tables.settings_table(block.run)))
        found += [
            SectionTable(f"{block.run.name}: {protocol.title}", tables.protocol_table(protocol))
            for protocol in block.protocols
        ]
    return Section("Settings", "settings", tables=found)
