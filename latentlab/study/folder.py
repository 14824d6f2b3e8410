"""A study's folder: study.json, classifiers/, runs/GENERATOR-seedN/, report/, and the jobs that fill it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from latentlab.errors import DataError, OutputExistsError, UsageError
from latentlab.files import atomic_file
from latentlab.study.recipe import CLASSIFIERS, Recipe, difference, in_words, joined
from latentlab.study.tables import Space, Variant

Kind = Literal["classifiers", "train", "sample", "separability", "ppl", "fid", "figures"]
NAME = "study.json"
OWN_CLASSIFIERS = Path("classifiers") / "study"
OWN_FOLDERS = ("runs", "classifiers", "report", "damaged")

TITLES: dict[Kind, tuple[str, str]] = {
    "classifiers": ("Attribute classifiers", "images"),
    "train": ("Training", "images"),
    "sample": ("Sampling", "rows"),
    "separability": ("Separability", "attributes"),
    "ppl": ("Path lengths", "pairs"),
    "fid": ("Distance to real images", "images"),
    "figures": ("Figures", "figures"),
}
"""What each kind of job is called, and what its progress counts."""


@dataclass(frozen=True)
class Job:
    """One piece of a study; a function of the folder and of this record.

    Attributes:
        name: Unique, such as `train/style-8-seed0`.
        kind: What is done.
        needs: Jobs without which it cannot be done, by name.
        after: Jobs that come first, however they end: those of a run follow each other, for they write to one file.
        variant, seed: Of the run; None for the classifiers.
    """

    name: str
    kind: Kind
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    variant: Variant | None = None
    seed: int = 0

    @property
    def run(self) -> str:
        """Name of the run's folder under runs/."""
        assert self.variant is not None
        return run_name(self.variant, self.seed)

    @property
    def title(self) -> str:
        """For displays."""
        title = TITLES[self.kind][0]
        return title if self.variant is None else f"{title}: {self.run}"


def run_name(variant: Variant, seed: int) -> str:
    """What the run of a generator and a seed is called."""
    return f"{variant.name}-seed{seed}"


def spaces_of(variant: Variant) -> tuple[Space, ...]:
    """Where a generator is measured: in Z, and in W where a mapping makes it another space."""
    return ("z", "w") if variant.mapping_depth else ("z",)


def jobs_of(recipe: Recipe) -> list[Job]:
    """All jobs of a study, each after those it needs; one seed after the other, so that early tables come early."""
    asked = {kind for variant in recipe.generators for kind in _kinds(recipe, variant, recipe.seeds[0])}
    jobs = [Job("classifiers", "classifiers")] if any(_needs_classifiers(recipe, kind) for kind in asked) else []
    for seed in recipe.seeds:
        for variant in recipe.generators:
            run, before = run_name(variant, seed), tuple[str, ...]()
            for kind in _kinds(recipe, variant, seed):
                job = Job(f"{kind}/{run}", kind, _needs(recipe, kind, run), before, variant, seed)
                jobs.append(job)
                before = (job.name,)
    return jobs


def _needs(recipe: Recipe, kind: Kind, run: str) -> tuple[str, ...]:
    if kind == "train":
        return ()
    if kind == "separability":
        return (f"sample/{run}",)
    return (*(("classifiers",) if _needs_classifiers(recipe, kind) else ()), f"train/{run}")


def _needs_classifiers(recipe: Recipe, kind: Kind) -> bool:
    """Whether a kind of job works with the attribute classifiers."""
    by = recipe.measuring
    if kind in ("ppl", "fid"):
        return (by.distance if kind == "ppl" else by.features) == CLASSIFIERS
    return kind in ("sample", "separability")


def _kinds(recipe: Recipe, variant: Variant, seed: int) -> Iterator[Kind]:
    measures = recipe.measures(variant)
    yield "train"
    if "separability" in measures:
        yield "sample"
        yield "separability"
    if measures & {"full", "end"}:
        yield "ppl"
    if any(measure.startswith("fid") for measure in measures):
        yield "fid"
    if seed == recipe.seeds[0]:
        yield "figures"


@dataclass(frozen=True)
class StudyFolder:
    """Where everything of a study is."""

    root: Path

    @property
    def lock(self) -> Path:
        """What the lock file beside it locks: `.study.json.lock`."""
        return self.root / NAME

    def run(self, name: str) -> Path:
        """A run's folder."""
        return self.root / "runs" / name

    def results(self, name: str) -> Path:
        """A run's results."""
        return self.run(name) / "results.jsonl"

    def classifiers(self, recipe: Recipe) -> Path:
        """Those that label the samples."""
        return self.root / OWN_CLASSIFIERS if recipe.classifiers.path is None else Path(recipe.classifiers.path)

    @property
    def report(self) -> Path:
        """The report's folder."""
        return self.root / "report"

    def read(self) -> Recipe | None:
        """The recipe in study.json, or None where there is no study yet.

        Raises:
            DataError: study.json is damaged.
        """
        path = self.root / NAME
        if not path.is_file():
            return None
        try:
            return Recipe.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            words = in_words(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(
                f"{path} is damaged or of another version ({words}): put it back, or remove it and give the command "
                "that began the study; what is finished stays and is found."
            ) from error

    def begin(self, recipe: Recipe) -> Recipe:
        """Make the folder this study's, or add tables and seeds to the study that is there; returns all of it.

        Raises:
            OutputExistsError, UsageError, DataError: as `fitted`.
        """
        recipe = self.fitted(recipe)
        with atomic_file(self.root / NAME) as temporary:
            temporary.write_text(json.dumps(recipe.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
        return recipe

    def fitted(self, recipe: Recipe) -> Recipe:
        """The study that is there with what a recipe adds to it, or the recipe where there is none; writes nothing.

        Raises:
            OutputExistsError: The folder holds something that is no study.
            UsageError: It holds a study with other settings; the first is named.
        """
        earlier = self.read()
        if earlier is None:
            strangers = [path.name for path in self._entries() if path.name not in OWN_FOLDERS]
            if strangers or (self.root.exists() and not self.root.is_dir()):
                raise OutputExistsError(
                    f"{self.root} holds {', '.join(strangers[:3]) or 'a file'}, which no study wrote, and was left as "
                    "it is: name another --out."
                )
        else:
            differing = difference(earlier, recipe)
            if differing and not any(self._made()):
                return recipe  # nothing was done by the earlier one
            if differing:
                raise UsageError(
                    f"{self.root} holds a study by another recipe: {differing}. Give the same settings (only tables, "
                    "generators and seeds can be added), or name another --out."
                )
            recipe = joined(earlier, recipe)
        return recipe

    def _made(self) -> Iterator[Path]:
        """What jobs have written."""
        for name in ("runs", "classifiers"):
            if (self.root / name).is_dir():
                yield from (path for path in (self.root / name).iterdir() if not path.name.startswith("."))

    def _entries(self) -> Sequence[Path]:
        if not self.root.is_dir():
            return []
        return [path for path in self.root.iterdir() if not path.name.startswith(".")]

    def set_aside(self, path: Path) -> Path:
        """Move something damaged to damaged/, under a name that is free; returns where it is."""
        target = self.root / "damaged" / path.name
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{path.name}-{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        return target
