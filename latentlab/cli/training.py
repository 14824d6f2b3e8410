"""What `latentlab train` does between its options and the library: choosing, planning, training, printing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from attribute_classifiers.network import load_classifiers
from latentlab.cli.display import print_table, progress_bar, say, say_skipped
from latentlab.data import Dataset
from latentlab.distributed import team
from latentlab.errors import UsageError
from latentlab.metrics.at_snapshot import Means
from latentlab.metrics.at_snapshot import snapshot_metrics as measures
from latentlab.progress import Progress
from trainers.config import DatasetRecord, Letter, RunConfig
from trainers.folder import refuse_taken
from trainers.loop import SnapshotMetrics, train
from trainers.plan import PhaseNeeds, plan
from trainers.presets import CONFIGS, Choice, run_config
from trainers.recipes import Fields, listed, read_assignments, read_recipe
from trainers.snapshots import TrainingState

MIB, GIB = 2**20, 2**30
MANY = 10**9  # images of a data set that has not been opened yet


class Reader(Protocol):
    """Opens the data set that was asked for."""

    def __call__(self, *, progress: Progress) -> Dataset:
        """Read, telling how far it has come."""


@dataclass(frozen=True)
class DataChoice:
    """Which images to train on, and how to open them."""

    name: str
    resolution: int
    num_images: int | None
    read: Reader

    def expected(self) -> DatasetRecord:
        """What can be said of the data before it is opened."""
        return DatasetRecord(
            name=self.name, fingerprint="", num_images=self.num_images or MANY, resolution=self.resolution
        )


@dataclass(frozen=True)
class MetricChoice:
    """What to measure at snapshots."""

    names: str
    samples: int | None
    classifiers: Path | None
    inception_weights: Path | None
    lpips_weights: Path | None


@dataclass(frozen=True)
class Place:
    """Where a run is, and on which device it is trained."""

    out: Path | None
    resume: bool
    force: bool
    device: torch.device

    def run(self, config: RunConfig) -> Path:
        """The run folder: `out`, or one named by configuration and depth."""
        name = {"F": "style", "B": "traditional"}.get(config.config, config.config)
        return self.out or Path("runs") / f"{name}-{config.generator.mapping_layers}"


def letter_for(config: Letter | None, arch: str | None) -> Letter:
    """The configuration that `--config` and `--arch` ask for.

    Raises:
        UsageError: They contradict each other.
    """
    if config is None:
        return "B" if arch == "traditional" else "F"
    is_traditional = CONFIGS[config].traditional
    if arch is not None and is_traditional != (arch == "traditional"):
        actual = "traditional" if is_traditional else "style"
        raise UsageError(f"--arch {arch}: configuration {config} is {actual}; leave one of the two options out.")
    return config


def read_fields(recipe: Path | None, assignments: list[str]) -> Fields:
    """Fields of a recipe file, then those of the command line."""
    return (read_recipe(recipe) if recipe else ()) + read_assignments(assignments)


def show_plan(choice: Choice, data: DataChoice, seed: int, *, as_json: bool) -> None:
    """Print every phase of a training and every setting."""
    config = run_config(choice, dataset=data.expected(), seed=seed)
    phases = plan(config)
    if as_json:
        import json
        from dataclasses import asdict

        settings = config.model_dump(mode="json", exclude={"dataset"})
        print(json.dumps({"config": settings, "phases": [asdict(phase) for phase in phases]}))
        return
    print_table(PLAN_COLUMNS, [_row(phase, config) for phase in phases], title=title(config))
    shards = config.trainer.shards
    devices = f", if each of the {shards} shards has a device" if shards > 1 else ""
    print("kimg are thousands of real images. Memory is an estimate of weights, gradients, moments and what autograd")
    print(f"keeps{devices}; work space of the kernels comes on top.\n")
    for name, value in listed(config):
        print(f"{name} = {value}")


PLAN_COLUMNS = (
    "pixels",
    "kimg",
    "images",
    "minibatch",
    "learning rate",
    "parameters G",
    "parameters D",
    "memory",
    "per image",
)


def _row(needs: PhaseNeeds, config: RunConfig) -> list[str]:
    phase = needs.phase
    return [
        f"{phase.resolution}{' fading in' if phase.fading else ''}",
        f"{phase.start_kimg:g}-{phase.end_kimg:g}",
        f"{(phase.end_kimg - phase.start_kimg) * 1000:,.0f}",
        f"{phase.minibatch}" + (f" / {config.trainer.shards}" if config.trainer.shards > 1 else ""),
        f"{phase.learning_rate:g}",
        f"{needs.parameters_g:,}",
        f"{needs.parameters_d:,}",
        f"{needs.memory / GIB:.2f} GiB",
        f"{needs.memory_per_image / MIB:,.1f} MiB",
    ]


def title(config: RunConfig) -> str:
    """A run in a few words."""
    generator = config.generator
    layers = f"{generator.mapping_layers} mapping layer{'s' * (generator.mapping_layers != 1)}"
    row = CONFIGS[config.config].title
    return (
        f"configuration {config.config} ({row}), preset {config.preset}, {generator.arch} generator, {layers}, "
        f"{generator.resolution} px, {config.trainer.total_kimg:g} kimg"
    )


def train_run(choice: Choice, data: DataChoice, metrics: MetricChoice, place: Place, *, seed: int) -> None:
    """Train, alone or as one of torchrun's processes; process 0 speaks for all."""
    with team(place.device) as crew:
        choice = choice.model_copy(update={"shards": crew.size if choice.shards is None else choice.shards})
        expected = run_config(choice, dataset=data.expected(), seed=seed)  # complain before images are read
        run = place.run(expected)
        if crew.leads:
            refuse_taken(run, resume=place.resume)
            say(f"{title(expected)}: {run}")
        with crew.first(), progress_bar("Reading images", shown=crew.leads) as progress:
            dataset = data.read(progress=progress)
        if crew.leads:
            say_skipped(dataset)
        config = run_config(choice, dataset=DatasetRecord.model_validate(dataset.describe()), seed=seed)
        callback, score = _metrics(metrics, dataset, config, place.device) if crew.leads else (None, None)
        with progress_bar("Training", shown=crew.leads) as progress:
            state = train(
                config,
                dataset,
                run,
                resume=place.resume,
                force=place.force,
                device=place.device,
                team=crew,
                snapshot_metrics=callback,
                score=score,
                progress=progress,
                say=say if crew.leads else lambda words: None,
            )
        if crew.leads:
            _print_end(run, state)


def _print_end(run: Path, state: TrainingState) -> None:
    parts = [f"{run}: {state.num_images / 1000:.1f} kimg in {state.seconds:,.0f} s"]
    if state.metrics:
        parts.append(", ".join(f"{name} {value:.4g}" for name, value in state.metrics.items()))
    if best := state.best:
        parts.append(f"best {best['metric']} {best['value']:.4g} at {best['num_images'] / 1000:g} kimg")
    print("; ".join([*parts, f"images in {run / 'grids'}"]))


def _metrics(
    choice: MetricChoice, dataset: Dataset, config: RunConfig, device: torch.device
) -> tuple[SnapshotMetrics | None, str | None]:
    """The callback that measures snapshots, and the number that decides which is the best: the first one named."""
    names = [name.strip() for name in choice.names.split(",") if name.strip()]
    if names in ([], ["none"]):
        return None, None
    means = Means(
        classifiers=load_classifiers(choice.classifiers, device=device) if choice.classifiers else None,
        inception_weights=choice.inception_weights,
        lpips_weights=choice.lpips_weights,
        num_samples=choice.samples,
    )
    with progress_bar("Preparing metrics") as progress:
        callback = measures(
            names,
            dataset,
            seed=config.seed,
            means=means,
            has_mapping=config.generator.mapping_layers > 0,
            device=device,
            progress=progress,
            say=say,
        )
    for words in callback.warnings:
        say(f"warning: {words}")
    return callback, callback.keys[0]
