"""Puts numbers, charts and pictures into the page template."""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from latentlab.report import disentanglement, formatting, orderings, published, rows, sentences, separability
from latentlab.report.choice import further_measurements
from latentlab.report.figures import distance_histogram, distance_limits, entropy_scatter, training_charts
from latentlab.report.inputs import ReportRun
from latentlab.report.pictures import Picture, picture, picture_file, strip, tile
from latentlab.report.protocol_tables import ProtocolTable, protocol_tables
from latentlab.report.realism import few_images, realism
from latentlab.results import METRICS, MetricResult

GENERATOR = "LatentLab report"
"""Content of the page's generator meta element, by which a report folder is known."""

QUANTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Block:
    """Everything the page shows about one run."""

    run: ReportRun
    headline: str
    caution: str
    missing: list[str]
    attributes: list[rows.AttributeRow]
    attribute_scale: rows.Scale
    attribute_sentence: str
    worth: list[str]
    scatter: Markup | None
    sample_curve: Markup | None
    histograms: list[tuple[str, Markup]]
    quantiles: list[tuple[str, list[str]]]
    tears: list[tuple[str, Picture]]
    samples: Picture | None
    pairs: list[dict[str, Picture]]
    training: list[tuple[str, Markup]]
    config: dict[str, Any]
    protocols: list[ProtocolTable]


def page(title: str, runs: Sequence[ReportRun], *, cards: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """The whole of index.html."""
    table = rows.main_rows(runs)
    tables = disentanglement.disentanglement_tables(runs)
    limits = distance_limits(result for run in runs for result in run.shown.values())
    return _environment().get_template("page.html.j2").render(
        title=title,
        generator=GENERATOR,
        notes=notes,
        facts=_facts(runs),
        substitutes=sentences.substitutes(runs, cards),
        rows=table,
        scales={name: rows.column_scale(row.cells[name] for row in table) for name in rows.COLUMNS},
        warnings=rows.protocol_warnings(table),
        blocks=[_block(run, limits) for run in runs],
        quantile_heads=QUANTILES,
        cards=[(card, sentences.trunk_sentence(card), _known(card)) for card in cards],
        published=published,
        orderings=orderings.by_claim(orderings.ordering_checks(runs)),
        cautions=sentences.unequal_training(runs),
        further=further_measurements(runs),
        realism=realism(runs),
        titles=METRICS,
        disentanglement=tables,
        disentanglement_warnings=disentanglement.disentanglement_warnings(tables),
    )  # fmt: skip


def _known(card: Mapping[str, Any]) -> str:
    """What is known of how good classifiers are."""
    return sentences.source_sentence(card) if sentences.unmeasured(card) else sentences.weak_sentence(card)


def _environment() -> Environment:
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
        "attribute": formatting.attribute,
        "entropy": rows.entropy,
        "partial": rows.partial_score,
        "few_images": few_images,
        "spaces": rows.attribute_spaces,
        "baseline": disentanglement.baseline,
    }
    return environment


def _with_code(text: str) -> Markup:
    """Escape a sentence and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


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


def _block(run: ReportRun, limits: tuple[float, float] | None) -> Block:
    attributes = rows.attribute_rows(run)
    return Block(
        run=run,
        headline=sentences.headline(run),
        caution=sentences.mixed_networks(run),
        missing=sentences.missing_parts(run),
        attributes=attributes,
        attribute_scale=rows.attribute_scale(attributes),
        attribute_sentence=sentences.attribute_sentence(attributes),
        worth=separability.worth(run),
        scatter=entropy_scatter(attributes, run.name),
        sample_curve=separability.sample_curve(run),
        histograms=_histograms(run, limits),
        quantiles=_quantiles(run),
        samples=_samples(run),
        pairs=_pairs(run),
        tears=_tears(run),
        training=training_charts(run.stats, run.name),
        config=formatting.flatten(run.config),
        protocols=protocol_tables(run),
    )


def _histograms(run: ReportRun, limits: tuple[float, float] | None) -> list[tuple[str, Markup]]:
    charts = []
    for title, end in (("Full paths, t anywhere between the ends", "full"), ("Path ends, t = 0", "end")):
        z, w = (run.shown.get(f"ppl_{space}{end}") for space in "zw")
        svg = distance_histogram(z, w, name=f"{run.name}, {title}", limits=limits)
        if svg is not None:
            charts.append((title, svg))
    return charts


def _quantiles(run: ReportRun) -> list[tuple[str, list[str]]]:
    """Selected percentiles of the distances before trimming, as texts, per metric that has them."""
    lines = []
    for metric, title in METRICS.items():
        found = run.shown[metric].details.get("percentiles") if metric in run.shown else None
        if isinstance(found, list) and len(found) == 101:
            lines.append((title, [formatting.number(found[q]) for q in QUANTILES]))
    return lines


def _tears(run: ReportRun) -> list[tuple[str, Picture]]:
    """The largest path lengths of each metric: a title, and strips of images around them, one above the other."""
    found = []
    for tear in run.tears:
        times = [float(length) / tear.value for length in tear.lengths if tear.value]
        words = f", {formatting.number(min(times))} to {formatting.number(max(times))} times the mean" if times else ""
        title = METRICS.get(tear.metric, tear.metric)
        alt = f"{run.name}, {title}: images around the {len(tear.lengths)} largest of all lengths{words}"
        rows_of_images = np.concatenate([strip(images) for images in tear.images])
        found.append((f"{title}{words}", picture(rows_of_images, alt)))
    return found


def _samples(run: ReportRun) -> Picture | None:
    if "samples" in run.previews:
        images = run.previews["samples"]
        return picture(tile(images), f"{len(images)} images of {run.name}")
    if run.grid is not None:
        return picture_file(run.grid, f"Sample grid of {run.name} after {run.grid.stem} thousand images")
    return None


def _pairs(run: ReportRun) -> list[dict[str, Picture]]:
    """For every pair of latents, the strips through the spaces that there are."""
    spaces = {"z": "slerp in Z", "w": "lerp in W"}
    found = {
        space: run.previews[f"interpolation_{space}"] for space in spaces if f"interpolation_{space}" in run.previews
    }
    number = min((len(images) for images in found.values()), default=0)
    return [
        {
            space: picture(
                strip(images[pair]), f"{run.name}, pair {pair + 1}, {spaces[space]}: {len(images[pair])} steps"
            )
            for space, images in found.items()
        }
        for pair in range(number)
    ]
