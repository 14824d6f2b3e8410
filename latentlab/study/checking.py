"""What of a study is finished, from the artefacts themselves: nothing is believed that cannot be read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Never

from attribute_classifiers.network import load_classifiers
from attribute_classifiers.network import read_config as read_classifiers
from latentlab.checkpoint import load_network_folder, snapshots
from latentlab.errors import CheckpointError, DataError, LatentLabError, StoreError, UsageError
from latentlab.networks import GeneratorConfig
from latentlab.results import MetricResult, read_results
from latentlab.store import peek
from latentlab.store.checking import check_store
from latentlab.study.folder import Job, StudyFolder, spaces_of
from latentlab.study.protocols import asked, run_choice, says
from latentlab.study.recipe import Recipe
from latentlab.study.tables import Measure, Space
from trainers.config import DatasetRecord, RunConfig
from trainers.folder import differing_settings, read_config, read_stats
from trainers.presets import run_config

State = Literal["finished", "unfinished", "damaged"]


@dataclass(frozen=True)
class Finding:
    """How far a job has come.

    Attributes:
        state: Damaged artefacts must be set aside before the job is done again.
        path: What is damaged.
        reason: Why, in words.
    """

    state: State
    path: Path | None = None
    reason: str = ""


FINISHED, UNFINISHED = Finding("finished"), Finding("unfinished")


class Checker:
    """Looks at the artefacts of a study's jobs."""

    def __init__(self, folder: StudyFolder, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe

    def look(self, job: Job) -> Finding:
        """How far a job has come; reads everything that it has written.

        Raises:
            UsageError: Its run was trained by other settings.
            CheckpointError: Classifiers that are not the study's own are damaged.
        """
        found: Finding = getattr(self, f"_{job.kind}")(job)
        return found

    def results(self, run: str) -> list[MetricResult]:
        """The results of a run; none where there is no file.

        Raises:
            DataError: The file is damaged.
        """
        path = self.folder.results(run)
        return read_results(path) if path.is_file() else []

    def result(self, job: Job, measure: Measure, space: Space | None) -> MetricResult | None:
        """The newest result of the run's last network that fills a cell of a table."""
        network = self.network(job.run)
        if network is None:
            return None
        for result in reversed(self.results(job.run)):
            same = (result.network.sha256, result.seed) == (network, job.seed)
            if same and self._fills(result, job, measure, space):
                return result
        return None

    def network(self, run: str) -> str | None:
        """The hash of a run's last network, as its description says it."""
        found = snapshots(self.folder.run(run))
        try:
            text = json.loads((found[-1] / "network.json").read_text(encoding="utf-8")) if found else {}
        except (OSError, ValueError):
            return None
        sha256 = text.get("weights_sha256") if isinstance(text, dict) else None
        return sha256 if isinstance(sha256, str) else None

    def _fills(self, result: MetricResult, job: Job, measure: Measure, space: Space | None) -> bool:
        by = self.recipe.measuring
        if measure == "separability":
            named, taken = result.metric == f"ls_{space}", by.samples
        elif measure in ("full", "end"):
            named, taken = result.metric == f"ppl_{space}{measure}", by.pairs
        else:
            named, taken = result.metric.startswith(("fid", "fd_")), by.images
        rows = result.details.get("attributes") if measure == "separability" else []
        if not named or result.num_samples != taken or not isinstance(rows, list):
            return False
        classifiers, images = self._classifiers_sha256, self._trained_on(job)
        return says(result.protocol, asked(self.recipe, measure, space, classifiers=classifiers, trained_on=images))

    def _trained_on(self, job: Job) -> dict[str, Any]:
        """The images of a run, as its config.json describes them."""
        try:
            return read_config(self.folder.run(job.run)).dataset.model_dump()
        except CheckpointError:
            return {}

    @property
    def _classifiers_sha256(self) -> str | None:
        try:
            return read_classifiers(self.folder.classifiers(self.recipe))[1]
        except LatentLabError:
            return None

    def _classifiers(self, job: Job) -> Finding:
        path = self.folder.classifiers(self.recipe)
        if not path.exists():
            return UNFINISHED
        try:
            load_classifiers(path)
        except CheckpointError as error:
            if self.recipe.classifiers.path is not None:
                raise  # not the study's own: nothing to be made again
            return Finding("damaged", path, str(error))
        return FINISHED

    def _train(self, job: Job) -> Finding:
        run, found = self.folder.run(job.run), snapshots(self.folder.run(job.run))
        try:
            config = read_config(run)
        except CheckpointError as error:
            return self._without_config(job, error)
        if config.dataset.resolution != self.recipe.data.resolution:
            self._refuse(run, f"its images have {config.dataset.resolution} pixels")
        if differing := differing_settings(config, self._wanted(job, config.dataset)):
            self._refuse(run, "; ".join(differing[:3]))
        if not found or int(found[-1].name) < round(config.trainer.total_kimg * 1000):
            return UNFINISHED
        try:
            load_network_folder(found[-1])
        except CheckpointError as error:
            return Finding("damaged", found[-1], str(error))
        if bad := _unreadable_lines(run):
            return Finding("unfinished", run / "stats.jsonl", f"{bad} of its lines cannot be read, and are dropped")
        return FINISHED

    def _without_config(self, job: Job, error: CheckpointError) -> Finding:
        """A run whose config.json is missing or damaged: it is written again if the networks are the recipe's."""
        run = self.folder.run(job.run)
        path = run / "config.json"
        if not snapshots(run):
            begun = run.is_dir() and any(one.name != ".lock" and one.suffix != ".partial" for one in run.iterdir())
            return Finding("damaged", run, str(error)) if begun else UNFINISHED
        for snapshot in reversed(snapshots(run)):
            try:
                text = json.loads((snapshot / "network.json").read_text(encoding="utf-8"))
                made = text["training"]
                wanted = self._wanted(job, DatasetRecord.model_validate(made["dataset"]))
                told = (made["preset"], made["config"], made["seed"], GeneratorConfig.model_validate(text["config"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if told != (wanted.preset, wanted.config, wanted.seed, wanted.generator):
                self._refuse(run, f"so says {snapshot / 'network.json'}")
            if path.is_file():
                return Finding("damaged", path, str(error))
            return Finding("unfinished", path, "it is missing, and is written again")
        return Finding("damaged", run, str(error))

    def _wanted(self, job: Job, images: DatasetRecord) -> RunConfig:
        """How the recipe has a run trained on some images."""
        assert job.variant is not None
        return run_config(run_choice(self.recipe, job.variant), dataset=images, seed=job.seed)

    def _refuse(self, run: Path, differing: str) -> Never:
        raise UsageError(
            f"{run} was trained by other settings than those of the study: {differing}. Give the recipe that it was "
            "trained by, or move the run away to train it anew."
        )

    def share_left(self, job: Job) -> float:
        """How much of an unfinished job there is still to do, from 0 to 1, as far as its files tell."""
        if job.kind != "train":
            return 1.0
        found = snapshots(self.folder.run(job.run))
        try:
            total = read_config(self.folder.run(job.run)).trainer.total_kimg * 1000
        except CheckpointError:
            return 1.0
        return max(0.0, 1 - int(found[-1].name) / total) if found else 1.0

    def _sample(self, job: Job) -> Finding:
        path = self.folder.run(job.run) / "run.h5"
        if not path.exists():
            return UNFINISHED
        try:
            settings, _, complete = peek(path)
            if not complete:
                return UNFINISHED
            by = (settings.network or {}).get("sha256"), (settings.classifiers or {}).get("sha256")
            if by != (self.network(job.run), self._classifiers_sha256):
                return Finding("damaged", path, "it is of another network or of other classifiers")
            how = settings.num_samples, settings.seed, settings.truncation_psi, settings.noise_mode
            if how != (self.recipe.measuring.samples, job.seed, 1.0, "random"):
                return Finding("damaged", path, "it was sampled by other settings than those of the study")
            findings = check_store(path).findings
        except StoreError as error:
            return Finding("damaged", path, str(error))
        return Finding("damaged", path, findings[0]) if findings else FINISHED

    def _separability(self, job: Job) -> Finding:
        return self._measured(job, [("separability", space) for space in _spaces(job)])

    def _ppl(self, job: Job) -> Finding:
        return self._measured(job, [(end, space) for space in _spaces(job) for end in ("full", "end")])

    def _fid(self, job: Job) -> Finding:
        return self._measured(job, [(measure, None) for measure in self.distances(job)])

    def distances(self, job: Job) -> Iterator[Measure]:
        """The distances to real images that tables ask of a run."""
        assert job.variant is not None
        return (measure for measure in sorted(self.recipe.measures(job.variant)) if measure.startswith("fid"))

    def _figures(self, job: Job) -> Finding:
        folder = self.folder.run(job.run) / "figures"
        if not folder.exists():
            return UNFINISHED
        try:
            record = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
            missing = [one["file"] for one in record["figures"] if not (folder / one["file"]).is_file()]
            other = record["network"]["sha256"] != self.network(job.run)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Finding("damaged", folder, str(error))
        if missing or other:
            reason = f"{missing[0]} is missing" if missing else "they are of another network"
            return Finding("damaged", folder, reason)
        return FINISHED

    def _measured(self, job: Job, wanted: list[tuple[Measure, Space | None]]) -> Finding:
        try:
            found = all(self.result(job, measure, space) is not None for measure, space in wanted)
        except DataError as error:
            return Finding("damaged", self.folder.results(job.run), str(error))
        return FINISHED if found else UNFINISHED


def _spaces(job: Job) -> tuple[Space, ...]:
    assert job.variant is not None
    return spaces_of(job.variant)


def _unreadable_lines(run: Path) -> int:
    """How many lines of a run's statistics going on with it would drop."""
    path = run / "stats.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return len(lines) - len(read_stats(run))
