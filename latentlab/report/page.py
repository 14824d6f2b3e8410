"""Puts numbers, charts and pictures into the page template."""

import datetime
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from latentlab.report import disentanglement, formatting, orderings, published, rows, sentences, standard, tables
from latentlab.report.citations import Work, bibliography, cited, with_citations
from latentlab.report.contents import Content
from latentlab.report.documents import MARK
from latentlab.report.downloads import methods_downloads, table_downloads, whole_downloads
from latentlab.report.inputs import ReportRun
from latentlab.report.pictures import Picture, data_uri, fitted, picture_file
from latentlab.report.realism import few_images
from latentlab.report.sections import Measured, Section, SectionFigure, slug, texts
from latentlab.report.table_formats import cell_text, is_numeric
from latentlab.results import METRICS, MetricResult


def page(content: Content, sections: Sequence[Section]) -> str:
    """The whole of index.html.

    Args:
        content: What the report says.
        sections: The same as records (`standard.all_sections`), for downloads.
    """
    works = cited(texts(sections))
    return _environment(content).get_template("page.html.j2").render(
        content=content,
        title=content.title,
        generator=MARK,
        notes=content.notes,
        facts=_facts(content.runs),
        substitutes=content.substitutes,
        rows=content.rows,
        paper=any(row.published for row in content.rows),
        released=standard.shows_released(content),
        scales={name: rows.column_scale(row.cells[name] for row in content.rows) for name in rows.COLUMNS},
        warnings=content.warnings,
        blocks=content.blocks,
        quantile_heads=tables.QUANTILES,
        cards=[(card, sentences.trunk_sentence(card), _known(card)) for card in content.cards],
        published=published,
        orderings=orderings.by_claim(content.orderings),
        cautions=content.cautions,
        further=content.further,
        realism=content.realism,
        titles=METRICS,
        disentanglement=content.disentanglement,
        disentanglement_warnings=content.disentanglement_warnings,
        standard=standard,
        downloads=table_downloads(sections),
        whole=whole_downloads(content, sections),
        methods=content.methods,
        methods_files=methods_downloads(content),
        works=works,
        bibtex=bibliography(works),
    )  # fmt: skip


def _known(card: Mapping[str, Any]) -> str:
    """What is known of how good classifiers are."""
    return sentences.source_sentence(card) if sentences.unmeasured(card) else sentences.weak_sentence(card)


def _environment(content: Content) -> Environment:
    environment = Environment(
        loader=PackageLoader("latentlab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": formatting.number,
        "interval": formatting.interval,
        "kind": sentences.kind,
        "count": formatting.count,
        "percent": formatting.percent,
        "percent_interval": formatting.percent_interval,
        "card_images": sentences.card_images,
        "unmeasured": sentences.unmeasured,
        "plain": formatting.plain,
        "with_code": _with_code,
        "prose": _prose,
        "quantiles": _quantile_lines,
        "published_value": orderings.published_value,
        "slug": slug,
        "uri": data_uri,
        "picture_of": lambda figure: _picture_of(figure, content.picture_bytes),
        "is_numeric": is_numeric,
        "cell_text": cell_text,
        "sort_key": _sort_key,
        "attribute": formatting.attribute,
        "entropy": rows.entropy,
        "few_images": few_images,
        "spaces": rows.attribute_spaces,
        "baseline": disentanglement.baseline,
    }
    environment.tests["measured"] = lambda cell: isinstance(cell, Measured)
    return environment


def _with_code(text: str) -> Markup:
    """Escape a sentence and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _prose(text: str) -> Markup:
    """A paragraph: code between backticks, and works as links to the references."""
    return Markup(with_citations(text, _cite, _with_code))


def _cite(works: Sequence[Work]) -> str:
    links = Markup("; ").join(Markup('<a href="#ref-{}">{}</a>').format(work.key, work.short) for work in works)
    return Markup(" ({})").format(links)


def _quantile_lines(run: ReportRun) -> list[list[Any]]:
    """Cells of the table of percentiles."""
    return tables.quantile_table(run).to_numpy().tolist()


def _picture_of(figure: SectionFigure, max_bytes: int) -> Picture:
    assert figure.png is not None
    return fitted(picture_file(figure.png, figure.alt), max_bytes)


def _sort_key(cell: Any) -> str:
    """By what a cell is sorted: a number at full precision, or its text."""
    value = cell.value if isinstance(cell, Measured) else cell
    if value is None or isinstance(value, bool | str):
        return "" if value is None else str(value)
    return "" if value != value else repr(float(value)) if isinstance(value, float) else str(value)


def _facts(runs: Sequence[ReportRun]) -> dict[str, str]:
    """What was measured, when and with what, for the head of the page."""
    results = [result for run in runs for result in run.shown.values()]
    seeds = sorted({result.seed for result in results})
    facts = {
        "Made": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "LatentLab": _own_version(),
        "Generators": ", ".join(run.name for run in runs),
        "Training images": "; ".join(dict.fromkeys(run.dataset for run in runs if run.dataset)),
        "Images seen": "; ".join(f"{run.name}: {formatting.count(run.images_seen)}" for run in runs if run.images_seen),
        "Distance between images": "; ".join(dict.fromkeys(filter(None, map(sentences.distance, results)))),
        "Seeds": ", ".join(map(str, seeds)),
        "Measured with": "; ".join(_software(results)),
    }
    return {name: value for name, value in facts.items() if value}


def _own_version() -> str:
    try:
        return version("latentlab")
    except PackageNotFoundError:
        return "not installed as a package"


def _software(results: Sequence[MetricResult]) -> list[str]:
    found: dict[str, list[str]] = {}
    for result in results:
        for name, number in result.software.items():
            if number not in found.setdefault(name, []):
                found[name].append(number)
    return [f"{name} {' and '.join(numbers)}" for name, numbers in sorted(found.items())]
