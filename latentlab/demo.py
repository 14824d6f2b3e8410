"""The demonstration: from the embedded faces to a report on Z and W, for two generators trained on the way.

Every stage is the library's own, with the quick presets; a stage whose artefact is there already is not repeated.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch

from attribute_classifiers.network import AttributeClassifiers, load_classifiers, read_card
from attribute_classifiers.presets import preset as classifier_preset
from attribute_classifiers.training import train_classifiers
from latentlab import zoo
from latentlab.checkpoint import AnyGenerator, load_generator, snapshots
from latentlab.data import Dataset, open_dataset
from latentlab.errors import UsageError
from latentlab.files import atomic_file
from latentlab.interop.generators import save_bundled_description
from latentlab.metrics.path_length import PathSettings, perceptual_path_length
from latentlab.metrics.separability import separability_results
from latentlab.metrics.sliced_wasserstein import snapshot_metric
from latentlab.perceptual import classifier_distance
from latentlab.previews import previews_show, refresh_previews, save_previews
from latentlab.progress import Progress
from latentlab.report import read_run, render_report
from latentlab.report.formatting import listing
from latentlab.results import MetricResult, NetworkName, append_results, newest, read_results
from latentlab.sampling import sample
from latentlab.store import LatentStore, peek
from latentlab.zoo import bundled
from trainers.config import DatasetRecord, Letter
from trainers.loop import train
from trainers.presets import PRESETS, Choice, run_config

RESOLUTION, PRESET = 32, "quick"
NUM_SAMPLES, NUM_PAIRS = 10_000, 1_000
MARKER = ".latentlab-demo"


@dataclass(frozen=True)
class Subject:
    """A generator that the demo measures, and trains unless it is bundled."""

    name: str
    config: Letter
    depth: int
    bundled: bool = False

    @property
    def spaces(self) -> tuple[Literal["z", "w"], ...]:
        """Where it can be measured: in W only if a mapping makes it differ from Z."""
        return ("z", "w") if self.depth else ("z",)


SUBJECTS = (Subject("traditional-0", "B", 0), Subject("style-8", "F", 8))


def subjects() -> tuple[Subject, ...]:
    """The two that are trained, and the bundled networks."""
    others = [
        Subject(one.name, one.config["config"], one.config["generator"]["mapping_layers"], bundled=True)
        for one in bundled()
    ]
    return (*SUBJECTS, *others)


@dataclass(frozen=True)
class Stage:
    """One step: what it is called, the seconds it is expected to take on two cores, and how it is done."""

    title: str
    seconds: float
    unit: str
    work: Callable[[Progress], None]


class Display(Protocol):
    """What shows the progress of all stages."""

    def plan(self, seconds: float) -> None:
        """Everything together is expected to take this long."""

    def stage(self, title: str, seconds: float, unit: str = "images") -> AbstractContextManager[Progress]:
        """Show one stage."""


class Demo:
    """The demo in one folder: `classifiers/quick`, `runs/NAME` and `report`."""

    def __init__(self, root: Path, *, seed: int, device: torch.device) -> None:
        self.root, self.seed, self.device = root, seed, device
        self.classifiers = root / "classifiers" / PRESET
        self._dataset: Dataset | None = None

    def clear(self) -> None:
        """Remove what an earlier demo left.

        Raises:
            UsageError: The folder was not made by the demo; it is left as it is.
        """
        self._refuse_foreign_folder()
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, display: Display) -> Path:
        """Do what is missing; returns the report's page.

        Raises:
            UsageError: The folder holds something else, or a demo of another seed.
        """
        self._refuse_foreign_folder()
        self._refuse_another_seed()
        with atomic_file(self.root / MARKER) as temporary:
            temporary.write_text(f"{self.seed}\n", encoding="utf-8")
        plan = list(self._stages())
        display.plan(sum(stage.seconds for stage in plan))
        for stage in plan:
            with display.stage(stage.title, stage.seconds, stage.unit) as progress:
                stage.work(progress)
        return self.root / "report" / "index.html"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The main table: columns and rows of text, 95 % intervals in brackets."""
        rows = []
        for subject in subjects():
            results = newest(read_results(self._run(subject) / "results.jsonl"))
            for space in subject.spaces:
                names = (f"ppl_{space}full", f"ppl_{space}end", f"ls_{space}")
                cells = [_cell(results[name]) for name in names]
                rows.append([subject.name, space.upper(), *cells, _valid(results[names[-1]])])
        return ["generator", "space", "path length, full", "path length, end", "separability", "attributes"], rows

    def report(self, progress: Progress) -> None:
        """Render the report on what is there."""
        kimg = PRESETS[PRESET].trainer.total_kimg
        notes = [
            f"{listing([subject.name for subject in SUBJECTS])} were trained just now, for only {kimg:,.0f},000 images "
            f"({kimg / 25_000:.2%} of the paper's 25 million) at {RESOLUTION}x{RESOLUTION} on drawn faces: their "
            "images lack detail, and the numbers describe small networks, not the methods at their best.",
            *self._of_bundled(),
            "A generator with little variety has short paths in any space: look at the samples below before comparing "
            "one generator with the other. Z and W of the same generator show the same images.",
            f"Separability rests on {NUM_SAMPLES:,} samples (paper: 200,000), path length on {NUM_PAIRS:,} pairs "
            "(paper: 100,000) and on a distance over the features of attribute classifiers instead of LPIPS.",
        ]
        render_report(
            [read_run(self._run(subject)) for subject in subjects()],
            self.root / "report",
            cards=[read_card(self.classifiers)],
            notes=notes,
            overwrite=True,
        )
        progress(1, 1)

    def _of_bundled(self) -> list[str]:
        there = bundled()
        if not there:
            return []
        return [
            f"The others come with LatentLab, trained with {there[0].num_images:,} images each by one recipe "
            "(`latentlab networks list`): they are the rows of the paper's table 4."
        ]

    def _refuse_foreign_folder(self) -> None:
        marker = self.root / MARKER
        if self.root.exists() and any(self.root.iterdir()) and not marker.is_file():
            raise UsageError(f"{self.root} holds something that the demo did not make: name another --out.")

    def _refuse_another_seed(self) -> None:
        marker = self.root / MARKER
        if marker.is_file() and marker.read_text(encoding="utf-8").strip() not in ("", str(self.seed)):
            raise UsageError(
                f"{self.root} holds a demo of another seed: add --fresh to start over, or name another --out."
            )

    def _run(self, subject: Subject) -> Path:
        return self.root / "runs" / subject.name

    def _stages(self) -> Iterator[Stage]:
        yield Stage("Embedded faces", 15, "faces", self._read)
        yield Stage("Attribute classifiers", 75, "images", self._train_classifiers)
        for subject in subjects():
            if not subject.bundled:
                seconds = 200 if subject.depth else 150
                yield Stage(f"Training {subject.name}", seconds, "images", partial(self._train, subject))
            yield Stage(f"Sampling {subject.name}", 25, "images", partial(self._sample, subject))
            yield Stage(f"Separability of {subject.name}", 10, "attributes", partial(self._separate, subject))
            for space in subject.spaces:
                for sampling in ("full", "end"):
                    settings = PathSettings(space=space, sampling=sampling, seed=self.seed)
                    yield Stage(
                        f"Path length of {subject.name}, {space.upper()}, {sampling}",
                        6,
                        "pairs",
                        partial(self._measure_path, subject, settings),
                    )
            yield Stage(f"Pictures of {subject.name}", 2, "networks", partial(self._preview, subject))
        yield Stage("Report", 15, "pages", self.report)

    def _read(self, progress: Progress) -> None:
        self._dataset = open_dataset("faces", resolution=RESOLUTION, progress=progress)

    @property
    def dataset(self) -> Dataset:
        """The embedded faces; `_read` comes first."""
        assert self._dataset is not None
        return self._dataset

    def _train_classifiers(self, progress: Progress) -> None:
        config = classifier_preset(PRESET, resolution=RESOLUTION)
        train_classifiers(
            self.dataset, config, self.classifiers, seed=self.seed, device=self.device, resume=True, progress=progress
        )

    def _train(self, subject: Subject, progress: Progress) -> None:
        record = DatasetRecord.model_validate(self.dataset.describe())
        choice = Choice(config=subject.config, mapping_layers=subject.depth, preset=PRESET)
        config = run_config(choice, dataset=record, seed=self.seed)
        run = self._run(subject)
        train(
            config,
            self.dataset,
            run,
            resume=(run / "config.json").is_file(),
            device=self.device,
            snapshot_metrics=snapshot_metric(self.dataset, seed=self.seed),
            score="swd",
            progress=progress,
        )

    def _labeller(self) -> AttributeClassifiers:
        return load_classifiers(self.classifiers, device=self.device)

    def _sample(self, subject: Subject, progress: Progress) -> None:
        out = self._run(subject) / "run.h5"
        generator, network = self._network(subject)
        if out.exists():
            settings, _, complete = peek(out)
            if complete and settings.network == network.model_dump():
                return
        sample(
            generator.to(self.device),
            out,
            network=network,
            labeller=self._labeller(),
            num_samples=NUM_SAMPLES,
            seed=self.seed,
            batch_size=64,
            device=self.device,
            progress=progress,
        )

    def _separate(self, subject: Subject, progress: Progress) -> None:
        run = self._run(subject)
        if all(self._measured(subject, f"ls_{space}") for space in subject.spaces):
            return
        with LatentStore.open(run / "run.h5", needs=("logits",)) as store:
            results = separability_results(store, spaces=subject.spaces, seed=self.seed, progress=progress)
        append_results(run / "results.jsonl", results)

    def _measure_path(self, subject: Subject, settings: PathSettings, progress: Progress) -> None:
        if self._measured(subject, f"ppl_{settings.space}{settings.sampling}"):
            return
        generator, network = self._network(subject)
        result = perceptual_path_length(
            generator.to(self.device),
            classifier_distance(self._labeller()),
            settings,
            network=network,
            num_samples=NUM_PAIRS,
            batch_size=32,
            device=self.device,
            progress=progress,
        )
        append_results(self._run(subject) / "results.jsonl", [result])

    def _measured(self, subject: Subject, metric: str) -> bool:
        """Whether this metric of the run's present network is among its results."""
        path = self._run(subject) / "results.jsonl"
        found = newest(read_results(path)).get(metric) if path.is_file() else None
        if found is None or (found.seed, found.num_samples) != (
            self.seed,
            NUM_SAMPLES if "ls" in metric else NUM_PAIRS,
        ):
            return False
        return found.network == self._network(subject)[1]

    def _network(self, subject: Subject) -> tuple[AnyGenerator, NetworkName]:
        """A bundled network, or the run's last one."""
        return load_generator(zoo.NETWORKS / subject.name if subject.bundled else snapshots(self._run(subject))[-1])

    def _preview(self, subject: Subject, progress: Progress) -> None:
        run = self._run(subject)
        if not subject.bundled:
            refresh_previews(run, seed=self.seed)
        else:
            generator, network = self._network(subject)
            save_bundled_description(run, generator, network)
            if not previews_show(run / "previews.npz", network.sha256):
                save_previews(run / "previews.npz", generator, sha256=network.sha256, device=self.device)
        progress(1, 1)


def _cell(result: MetricResult) -> str:
    low, high = result.ci95
    if result.value is None or low is None or high is None:
        return "–"
    digits = ".0f" if result.value >= 100 else ".2f"
    return f"{result.value:{digits}} [{low:{digits}}, {high:{digits}}]"


def _valid(result: MetricResult) -> str:
    return f"{result.details['num_valid']} of {len(result.details['attributes'])}"
