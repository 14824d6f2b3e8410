"""Everything a report shows about one run: sentences, charts and pictures, for all formats alike."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latentlab.report import formatting, rows, sentences, separability
from latentlab.report.charts import Chart
from latentlab.report.drawings import Drawing
from latentlab.report.figures import distance_histogram, distance_limits, entropy_scatter, training_charts
from latentlab.report.inputs import ReportRun
from latentlab.report.pictures import Picture, fitted, picture, picture_file, strip, tile
from latentlab.report.protocol_tables import ProtocolTable, protocol_tables
from latentlab.results import METRICS


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
    scatter: Chart | None
    sample_curve: Chart | None
    histograms: list[tuple[str, Chart]]
    tears: list[tuple[str, Picture]]
    drawings: list[tuple[Drawing, Picture]]
    drawings_caution: str
    samples: Picture | None
    pairs: list[dict[str, Picture]]
    training: list[tuple[str, Chart]]
    config: dict[str, Any]
    protocols: list[ProtocolTable]

    @property
    def pictures(self) -> list[Picture]:
        """All of them."""
        shown = [image for _, image in (*self.tears, *self.drawings)]
        strips = [image for pair in self.pairs for image in pair.values()]
        return [*shown, *strips, *([] if self.samples is None else [self.samples])]

    def fitted(self, max_bytes: int) -> "Block":
        """The same with no picture larger than that."""
        return dataclasses.replace(
            self,
            tears=[(title, fitted(image, max_bytes)) for title, image in self.tears],
            drawings=[(drawing, fitted(image, max_bytes)) for drawing, image in self.drawings],
            samples=None if self.samples is None else fitted(self.samples, max_bytes),
            pairs=[{space: fitted(image, max_bytes) for space, image in pair.items()} for pair in self.pairs],
        )


def blocks(runs: Sequence[ReportRun]) -> list[Block]:
    """Charts, pictures and sentences of every run; their histograms share one axis."""
    limits = distance_limits(result for run in runs for result in run.shown.values())
    return [_block(run, limits) for run in runs]


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
        samples=_samples(run),
        pairs=_pairs(run),
        tears=_tears(run),
        drawings=[(drawing, picture_file(drawing.path, drawing.caption)) for drawing in run.drawings],
        drawings_caution=_drawings_caution(run),
        training=training_charts(run.stats, run.name),
        config=formatting.flatten(run.config),
        protocols=protocol_tables(run),
    )


def _histograms(run: ReportRun, limits: tuple[float, float] | None) -> list[tuple[str, Chart]]:
    charts = []
    for title, end in (("Full paths, t anywhere between the ends", "full"), ("Path ends, t = 0", "end")):
        z, w = (run.shown.get(f"ppl_{space}{end}") for space in "zw")
        svg = distance_histogram(z, w, name=f"{run.name}, {title}", limits=limits)
        if svg is not None:
            charts.append((title, svg))
    return charts


def _drawings_caution(run: ReportRun) -> str:
    measured = {result.network.sha256 for result in run.shown.values()}
    drawn = {drawing.network_sha256 for drawing in run.drawings if drawing.network_sha256}
    if not measured or drawn <= measured:
        return ""
    return (
        f"The figures of {run.name} show another network ({min(drawn - measured)[:12]}) than the numbers "
        "belong to: draw them again with `latentlab figures`."
    )


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
