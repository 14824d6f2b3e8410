"""What each job of a study does: the library's own training, sampling and measuring, each going on where it was."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import torch

from attribute_classifiers.network import AttributeClassifiers, load_classifiers
from attribute_classifiers.presets import ClassifierConfig
from attribute_classifiers.presets import preset as classifier_preset
from attribute_classifiers.training import train_classifiers
from latentlab.checkpoint import AnyGenerator, load_generator, snapshots
from latentlab.data import Dataset, open_dataset
from latentlab.distributed import Team
from latentlab.errors import DataError, LatentLabError
from latentlab.features import ClassifierFeatures, ImageFeatures, inception_features
from latentlab.figures import Sources, save_figures
from latentlab.metrics.fid import distance_results
from latentlab.metrics.path_length import PathSettings, Sampling, perceptual_path_lengths
from latentlab.metrics.separability import separability_results
from latentlab.metrics.sliced_wasserstein import snapshot_metric
from latentlab.perceptual import Distance, classifier_distance, lpips_distance
from latentlab.previews import refresh_previews
from latentlab.progress import Progress, silent
from latentlab.results import MetricResult, NetworkName, append_results
from latentlab.sampling import sample
from latentlab.store import LatentStore
from latentlab.study.checking import Checker
from latentlab.study.folder import Job, StudyFolder, spaces_of
from latentlab.study.protocols import REAL_FIELDS, mixed_latents, path_setting, run_choice
from latentlab.study.recipe import INCEPTION, LPIPS, Recipe
from latentlab.study.tables import Variant
from latentlab.unfinished import until_written
from trainers.config import DatasetRecord, RunConfig
from trainers.folder import read_config, write_config
from trainers.loop import train
from trainers.presets import run_config

BATCH = 32
SAMPLINGS: tuple[Sampling, ...] = ("full", "end")
Say = Callable[[str], None]


def path_settings(variant: Variant, seed: int) -> list[PathSettings]:
    """The path lengths of a generator, which share their pairs."""
    return [path_setting(space, sampling, seed) for space in spaces_of(variant) for sampling in SAMPLINGS]


def classifier_config(recipe: Recipe) -> ClassifierConfig:
    """How the study's own classifiers are made; none looks at larger images than there are."""
    chosen = recipe.classifiers
    base = classifier_preset(chosen.preset, images_shown=chosen.images_shown)
    resolution = min(base.network.resolution, recipe.data.resolution)
    return classifier_preset(chosen.preset, images_shown=chosen.images_shown, resolution=resolution)


class Workshop:
    """What jobs share in a process: the images and the classifiers, each opened when first needed.

    Args:
        folder, recipe: The study.
        device: Where to compute.
        team: The processes of a job.
        say: Takes sentences for the user.
    """

    def __init__(
        self,
        folder: StudyFolder,
        recipe: Recipe,
        *,
        device: torch.device,
        team: Team | None = None,
        say: Say = lambda words: None,
    ) -> None:
        self.folder, self.recipe, self.device, self.say = folder, recipe, device, say
        self.team = team or Team()

    def do(self, job: Job, progress: Progress = silent) -> None:
        """Do a job; what is finished already is found, and what was killed goes on.

        Raises:
            LatentLabError: It cannot be done.
        """
        torch.set_num_threads(self.recipe.threads)
        getattr(self, f"_{job.kind}")(job, progress)

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
        data = self.recipe.data
        with self.team.first():
            return open_dataset(
                data.source,
                resolution=data.resolution,
                num_images=data.num_images,
                crop=data.crop,
                filter=data.filter,
            )

    @cached_property
    def labeller(self) -> AttributeClassifiers:
        """The classifiers, which a job before has made."""
        return load_classifiers(self.folder.classifiers(self.recipe), device=self.device)

    def distance(self) -> Distance:
        """Between the images of a path."""
        if self.recipe.measuring.distance == LPIPS:
            return lpips_distance("vgg", weights_dir=self._weights, device=self.device)
        return classifier_distance(self.labeller)

    def features(self) -> ImageFeatures:
        """Of images, for distances between sets of them."""
        if self.recipe.measuring.features == INCEPTION:
            return inception_features(self._weights, device=self.device)
        return ClassifierFeatures(self.labeller, device=self.device)

    @property
    def _weights(self) -> Path | None:
        return None if self.recipe.measuring.weights is None else Path(self.recipe.measuring.weights)

    def config(self, variant: Variant, seed: int) -> RunConfig:
        """A run's complete settings."""
        record = DatasetRecord.model_validate(self.dataset.describe())
        return run_config(run_choice(self.recipe, variant), dataset=record, seed=seed)

    def generator(self, job: Job) -> tuple[AnyGenerator, NetworkName]:
        """The run's network at the end of training, on the device."""
        generator, network = load_generator(self.folder.run(job.run))
        return generator.to(self.device), network

    def _classifiers(self, job: Job, progress: Progress) -> None:
        if self.recipe.classifiers.path is not None:
            load_classifiers(self.recipe.classifiers.path, device=self.device)
            return
        dataset, wanted = self.dataset, classifier_config(self.recipe)
        if dataset.labels is None:
            raise DataError(
                f"{self.recipe.data.source} has no labels to train attribute classifiers with: name finished ones with "
                "--classifiers, or labelled images with --data."
            )
        if wanted.network.resolution != dataset.resolution:
            dataset = open_dataset(
                self.recipe.data.source,
                resolution=wanted.network.resolution,
                num_images=self.recipe.data.num_images,
                crop=self.recipe.data.crop,
                filter=self.recipe.data.filter,
            )
        train_classifiers(
            dataset,
            wanted,
            self.folder.classifiers(self.recipe),
            seed=self.recipe.seeds[0],
            device=self.device,
            resume=True,
            team=self.team,
            progress=progress,
        )

    def _train(self, job: Job, progress: Progress) -> None:
        assert job.variant is not None
        run, config = self.folder.run(job.run), self.config(job.variant, job.seed)
        if self.team.leads and snapshots(run):
            write_config(run, config)  # it was lost or damaged; another one has been set aside
        self.team.wait()
        measured = snapshot_metric(self.dataset, seed=job.seed) if self.team.leads else None
        train(
            config,
            self.dataset,
            run,
            resume=(run / "config.json").is_file(),
            device=self.device,
            team=self.team,
            snapshot_metrics=measured,
            score="swd",
            progress=progress,
            say=self.say,
        )
        if self.team.leads:
            refresh_previews(run, seed=job.seed)

    def _sample(self, job: Job, progress: Progress) -> None:
        generator, network = self.generator(job)
        sample(
            generator,
            self.folder.run(job.run) / "run.h5",
            network=network,
            labeller=self.labeller,
            num_samples=self.recipe.measuring.samples,
            seed=job.seed,
            device=self.device,
            team=self.team,
            progress=progress,
        )

    def _separability(self, job: Job, progress: Progress) -> None:
        assert job.variant is not None
        with LatentStore.open(self.folder.run(job.run) / "run.h5", needs=("logits",)) as store:
            results = separability_results(
                store,
                spaces=spaces_of(job.variant),
                protocol=self.recipe.measuring.separability,
                seed=job.seed,
                device=self.device,
                team=self.team,
                progress=progress,
            )
        self._keep(job, results)

    def _ppl(self, job: Job, progress: Progress) -> None:
        assert job.variant is not None
        generator, network = self.generator(job)
        with until_written(self.folder.results(job.run), team=self.team, told=self.say) as unfinished:
            results = perceptual_path_lengths(
                generator,
                self.distance(),
                path_settings(job.variant, job.seed),
                network=network,
                num_samples=self.recipe.measuring.pairs,
                batch_size=BATCH,
                device=self.device,
                team=self.team,
                unfinished=unfinished,
                progress=progress,
            )
            self._keep(job, results)

    def _fid(self, job: Job, progress: Progress) -> None:
        generator, network = self.generator(job)
        features, checker = self.features(), Checker(self.folder, self.recipe)
        wanted = [measure for measure in checker.distances(job) if checker.result(job, measure, None) is None]
        self.team.wait()  # all have looked before process 0 writes
        self._same_images(job)
        for place, measure in enumerate(wanted):

            def told(done: int, total: int, note: str = "", *, before: int = place) -> None:
                progress(before * total + done, len(wanted) * total, note)

            with until_written(self.folder.results(job.run), team=self.team, told=self.say) as unfinished:
                results, words = distance_results(
                    generator,
                    self.dataset,
                    features,
                    network=network,
                    num_generated=self.recipe.measuring.images,
                    num_real=self.recipe.measuring.images,
                    mixed=mixed_latents(measure),
                    seed=job.seed,
                    batch_size=BATCH,
                    device=self.device,
                    team=self.team,
                    unfinished=unfinished,
                    progress=told,
                )
                for sentence in words:
                    self.say(f"{job.run}: {sentence}")
                self._keep(job, results)

    def _figures(self, job: Job, progress: Progress) -> None:
        if not self.team.leads:
            return
        generator, network = self.generator(job)
        save_figures(
            self.folder.run(job.run) / "figures",
            generator,
            network,
            distance=self._distance_of_figures(job),
            sources=Sources(run=self.folder.run(job.run)),
            device=self.device,
            progress=lambda name: nullcontext(progress),
        )

    def _same_images(self, job: Job) -> None:
        """Distances are to the images that a generator was trained on.

        Raises:
            DataError: They have changed since.
        """
        trained, now = read_config(self.folder.run(job.run)).dataset.model_dump(), self.dataset.describe()
        other = [name for name in REAL_FIELDS if trained.get(name) != now.get(name)]
        if other:
            raise DataError(
                f"{self.recipe.data.source} has changed since {job.run} was trained on it ({', '.join(other)}): put "
                "the images back. A file made by `latentlab data prepare` is the same wherever it is copied."
            )

    def _distance_of_figures(self, job: Job) -> Distance | None:
        """The one of the run's path lengths, if it has any, and images are large enough: figures wait for nothing."""
        assert job.variant is not None
        if not self.recipe.measures(job.variant) & {"full", "end"}:
            return None
        try:
            distance = self.distance()
        except LatentLabError:
            return None
        return distance if distance.min_size <= self.recipe.data.resolution else None

    def _keep(self, job: Job, results: list[MetricResult]) -> None:
        if self.team.leads:
            append_results(self.folder.results(job.run), results)
        self.team.wait()
