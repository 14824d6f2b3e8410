"""How long the jobs of a study will take on this machine, from moments of each kind of work on untrained networks."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from attribute_classifiers.network import AttributeClassifiers, load_classifiers
from latentlab.metrics.path_length import path_lengths
from latentlab.networks import Generator
from latentlab.perceptual import Distance, classifier_distance, lpips_distance
from latentlab.progress import Progress, silent
from latentlab.protocols import synthesize
from latentlab.study.doing import classifier_config, path_settings
from latentlab.study.folder import Job, Kind, spaces_of
from latentlab.study.protocols import run_choice
from latentlab.study.recipe import LPIPS, Recipe
from latentlab.study.tables import TRADITIONAL, Variant
from latentlab.svm import fit_linear_svms
from trainers.config import DatasetRecord
from trainers.presets import run_config
from trainers.speed import TrainingEstimate, estimate_training

TRIAL, SVM_ROWS = 8, 500
FIGURE_IMAGES = 1500
INCEPTION_SHARE = 4.0
"""A guess at what FID's network takes, in passes of the generator; only the display of what is left hangs on it."""


@dataclass
class Estimates:
    """Seconds by job.

    Attributes:
        trainings: By variant, with the arithmetic counted.
        extrapolated: Whether something was too large to be tried.
        took: Seconds that the trials took.
    """

    recipe: Recipe
    trainings: dict[str, TrainingEstimate] = field(default_factory=dict)
    units: dict[tuple[Kind, bool], float] = field(default_factory=dict)
    classifiers: float = 0.0
    took: float = 0.0

    @property
    def extrapolated(self) -> bool:
        """Whether a resolution was too large to be tried."""
        return any(training.extrapolated for training in self.trainings.values())

    def seconds(self, job: Job) -> float:
        """What a job will take from its beginning; 0 for one whose kind of work was not tried."""
        if job.variant is not None and job.variant.name not in self.trainings:
            return 0.0
        if job.variant is None:
            return self.classifiers
        if job.kind == "train":
            return self.trainings[job.variant.name].seconds
        by, measures = self.recipe.measuring, self.recipe.measures(job.variant)
        spaces = len(spaces_of(job.variant))
        units: Mapping[Kind, float] = {
            "sample": by.samples,
            "separability": by.samples * spaces,
            "ppl": by.pairs * spaces,
            "fid": by.images * sum(measure.startswith("fid") for measure in measures),
            "figures": FIGURE_IMAGES,
        }
        return 1.0 + units[job.kind] * self.units[job.kind, job.variant.config in TRADITIONAL] / self.recipe.processes


def estimate(recipe: Recipe, jobs: Iterable[Job], *, device: torch.device, progress: Progress = silent) -> Estimates:
    """Try what the jobs will do; 5 to 50 s at 32 pixels, by what else the machine does.

    Args:
        recipe, jobs: What is to be done.
        device: Where.
        progress: Told how many trials are done.

    Raises:
        UsageError: A generator cannot be trained as the recipe says.
    """
    started, found = time.perf_counter(), Estimates(recipe)
    jobs = list(jobs)
    if not jobs:
        return found
    variants = {job.variant.name: job.variant for job in jobs if job.variant is not None}
    torch.set_num_threads(recipe.threads)
    labeller = _labeller(recipe, device)
    tried = dict[tuple[bool, bool], TrainingEstimate]()  # mapping networks, noise and mixing cost next to nothing
    for number, variant in enumerate(variants.values()):
        kind = variant.config == "A", variant.config in TRADITIONAL
        if kind not in tried:
            config = run_config(run_choice(recipe, variant), dataset=_record(recipe))
            tried[kind] = estimate_training(config, device)
        found.trainings[variant.name] = tried[kind]
        progress(number + 1, len(variants) + 2)
    for traditional in {variant.config in TRADITIONAL for variant in variants.values()}:
        variant = next(one for one in variants.values() if (one.config in TRADITIONAL) == traditional)
        _measure(found, variant, labeller, device, paths=any(job.kind == "ppl" for job in jobs))
        progress(len(variants) + 1, len(variants) + 2)
    if any(job.kind == "classifiers" for job in jobs) and recipe.classifiers.path is None:
        found.classifiers = _classifier_training(recipe, labeller, device)
    found.took = time.perf_counter() - started
    progress(1, 1)
    return found


def _record(recipe: Recipe) -> DatasetRecord:
    data = recipe.data
    return DatasetRecord(
        name=data.source, fingerprint="", num_images=data.num_images or 10**9, resolution=data.resolution
    )


def _labeller(recipe: Recipe, device: torch.device) -> AttributeClassifiers:
    if recipe.classifiers.path is not None:
        return load_classifiers(recipe.classifiers.path, device=device)
    return AttributeClassifiers(classifier_config(recipe)).to(device).eval()


def _measure(
    found: Estimates, variant: Variant, labeller: AttributeClassifiers, device: torch.device, *, paths: bool
) -> None:
    recipe, traditional = found.recipe, variant.config in TRADITIONAL
    config = run_config(run_choice(recipe, variant), dataset=_record(recipe)).generator
    generator = Generator(config).to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    weights = None if recipe.measuring.weights is None else Path(recipe.measuring.weights)
    distance: Distance
    if recipe.measuring.distance == LPIPS and paths:
        distance = lpips_distance("vgg", weights_dir=weights, device=device)
    else:
        distance = classifier_distance(labeller)
    count = TRIAL if config.resolution >= 256 else 8 * TRIAL

    @torch.inference_mode()
    def images() -> torch.Tensor:
        z = torch.randn(count, config.z_dim, device=device)
        return synthesize(generator, [generator.mapping(z)], rows=slice(0, count), seed=0)[0]

    @torch.inference_mode()
    def labelled() -> None:
        labeller(images())

    settings = path_settings(variant, 0)[0]
    made = _timed(images, count, device)
    one_end = 0.0
    if paths:
        one_end = _timed(
            lambda: path_lengths(generator, distance, settings, num_samples=count, device=device), count, device
        )
    units = found.units
    units["sample", traditional] = _timed(labelled, count, device)
    units["ppl", traditional] = 2 * one_end
    units["fid", traditional] = units["sample", traditional] + INCEPTION_SHARE * made
    units["figures", traditional] = made
    units["separability", traditional] = _separability(config.z_dim, len(labeller.attributes))


def _separability(dims: int, attributes: int) -> float:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((SVM_ROWS, dims)).astype(np.float32)
    labels = rng.standard_normal((SVM_ROWS, attributes)) > 0
    started = time.perf_counter()
    fit_linear_svms(latents, labels, [np.arange(SVM_ROWS)] * attributes)
    return (time.perf_counter() - started) / SVM_ROWS


def _classifier_training(recipe: Recipe, labeller: AttributeClassifiers, device: torch.device) -> float:
    config = classifier_config(recipe)
    size, networks = config.network.resolution, list(labeller)
    batch = min(config.training.batch_size, TRIAL)

    def step() -> None:
        scores = networks[0](torch.rand(batch, 3, size, size, device=device))
        scores.square().mean().backward()

    for network in networks:
        network.requires_grad_(True)
    seconds = _timed(step, batch, device) * config.training.num_images * len(networks)
    return seconds / min(recipe.processes, len(networks))


def _timed(work: Callable[[], object], units: int, device: torch.device) -> float:
    """Seconds per unit, of the second time."""
    for _ in range(2):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / units
