"""What a study is: sizes of everything as one frozen record, checked for contradictions."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latentlab.study.tables import Measure, Table, Variant

SETTINGS = ConfigDict(frozen=True, extra="forbid")
LPIPS, CLASSIFIERS, INCEPTION = "lpips-vgg", "classifiers", "inception"
SECTIONS = ("data", "training", "classifiers", "measuring")
"""Tables of a recipe file that hold settings; [[generator]] and [[table]] add or replace generators and tables."""


MOST_SEEDS = 1000
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class Data(BaseModel):
    """Which images: see `latentlab.data.open_dataset`."""

    model_config = SETTINGS
    source: str = "faces"
    resolution: int = Field(32, ge=8, le=1024)
    num_images: int | None = Field(None, ge=1)
    crop: Literal["auto", "center", "celeba"] = "auto"
    filter: Literal["box", "lanczos"] = "box"


class Training(BaseModel):
    """How all generators are trained: a preset of `latentlab train`, its length, and fields of config.json to set."""

    model_config = SETTINGS
    preset: Literal["quick", "small", "paper"] = "quick"
    kimg: float | None = Field(None, gt=0, allow_inf_nan=False, strict=True)
    fields: dict[str, Any] = Field(default_factory=dict)


class Classifiers(BaseModel):
    """Those that label the samples: trained by a preset on the study's own labelled images, or a finished folder."""

    model_config = SETTINGS
    preset: Literal["quick", "small", "paper"] = "quick"
    images_shown: int | None = Field(None, ge=1)
    path: str | None = None


class Measuring(BaseModel):
    """How much is measured, and by which networks.

    Attributes:
        samples: Labelled latents for separability.
        pairs: For each path length.
        images: Generated images for FID, and real ones at most.
        distance: `lpips-vgg`, the published one, or `classifiers`: a distance on the features of the study's own.
        separability: By LatentLab's rules or the official ones (`stylegan`: docs/separability.md); a preset of the
            paper's size takes the official ones.
        features: `inception`, the published ones, or `classifiers`; the result is no FID then and is named so.
        weights: A folder with pretrained weights, where they are not in the cache.
    """

    model_config = SETTINGS
    samples: int = Field(10_000, ge=4)
    pairs: int = Field(1_000, ge=2)
    images: int = Field(5_000, ge=2)
    distance: Literal["lpips-vgg", "classifiers"] = "classifiers"
    features: Literal["inception", "classifiers"] = "classifiers"
    separability: Literal["latentlab", "stylegan"] = "latentlab"
    weights: str | None = None


class Recipe(BaseModel):
    """Everything that decides a study's numbers; study.json holds it.

    Attributes:
        preset: The sizes that it began with.
        seeds: Of trainings and measurements: each generator is trained once for every seed.
        threads: CPU threads of a job. More or fewer change the last digits of what a CPU computes.
        processes: Processes of a job, through torchrun where there are several; one GPU each.
        generators: Those that the tables name.
        tables: In the order of the report.
    """

    model_config = SETTINGS
    schema_version: Literal[1] = 1
    preset: Literal["quick", "small", "paper"]
    seeds: tuple[Seed, ...] = Field(min_length=1, max_length=MOST_SEEDS)
    threads: int = Field(ge=1, strict=True)
    processes: int = Field(1, ge=1, strict=True)
    data: Data = Data()
    training: Training = Training()
    classifiers: Classifiers = Classifiers()
    measuring: Measuring = Measuring()
    generators: tuple[Variant, ...]
    tables: tuple[Table, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(table.name == "all" for table in self.tables):
            raise ValueError("a table cannot be called all, which stands for all of them: name it otherwise")
        _once("generator", [variant.name for variant in self.generators])
        _once("table", [table.name for table in self.tables])
        _once("seed", [str(seed) for seed in self.seeds])
        known = {variant.name: variant for variant in self.generators}
        for table in self.tables:
            for row in table.rows:
                if row.generator not in known:
                    raise ValueError(f"table {table.name}: no generator is called {row.generator}")
                _check_row(known[row.generator], row.space, table)
        return self

    def variant(self, name: str) -> Variant:
        """The generator of this name."""
        return next(variant for variant in self.generators if variant.name == name)

    def measures(self, variant: Variant) -> frozenset[Measure]:
        """All that some table asks of a generator."""
        return frozenset(
            measure
            for table in self.tables
            if any(row.generator == variant.name for row in table.rows)
            for measure in table.measures
        )


def _once(what: str, names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name} stands there twice")
        seen.add(name)


def _check_row(variant: Variant, space: str | None, table: Table) -> None:
    place = f"table {table.name}, {variant.name}"
    if space == "w" and variant.mapping_depth == 0:
        raise ValueError(f"{place}: it has no mapping network, so it cannot be measured in W: its space is z")
    mixed = [measure for measure in table.measures if measure.startswith("fid_mixed")]
    if mixed and variant.config in ("A", "B"):
        raise ValueError(f"{place}: configuration {variant.config} has no styles, so latents cannot be mixed")


def in_words(error: ValidationError) -> str:
    """A validation error as one sentence for every problem, each with its place."""
    sentences = []
    problems = error.errors()
    own = [problem for problem in problems if problem["type"] != "too_short"] or problems  # follows from the others
    for problem in own:
        place = ".".join(str(part) for part in problem["loc"])
        value = problem["input"]
        said = f" = {value!r}" if isinstance(value, str | int | float) else ""
        words = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            words = f"there is no such setting{_allowed(problem['loc'])}"
        sentences.append(f"{place}{said}: {words}." if place else f"{words}.")
    return " ".join(sentences)


def _allowed(place: tuple[int | str, ...]) -> str:
    """Which settings there are where an unknown one stands."""
    model: type[BaseModel] | None = Recipe
    if len(place) > 1:
        annotation = Recipe.model_fields[str(place[0])].annotation if place[0] in Recipe.model_fields else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        models: dict[str, type[BaseModel]] = {"generators": Variant, "tables": Table}
        model = models.get(str(place[0])) or model
    return "" if model is None or len(place) > 3 else f"; allowed are {', '.join(model.model_fields)}"


def difference(before: Recipe, now: Recipe) -> str | None:
    """The first setting in which two recipes differ beyond tables, generators and seeds, which may be added; or None.

    A table or generator of the same name must be the same.
    """
    for name in ("preset", "threads", "processes", *SECTIONS):
        old, new = getattr(before, name), getattr(now, name)
        if isinstance(old, BaseModel):
            fields = type(old).model_fields
            place = next((field for field in fields if getattr(old, field) != getattr(new, field)), None)
            if place is not None:
                return f"{name}.{place} is {getattr(old, place)!r} there and {getattr(new, place)!r} here"
        elif old != new:
            return f"{name} is {old!r} there and {new!r} here"
    for kind in ("generators", "tables"):
        known = {one.name: one for one in getattr(before, kind)}
        for one in getattr(now, kind):
            if one.name in known and known[one.name] != one:
                return f"the {kind[:-1]} {one.name} has other settings there"
    return None


def joined(before: Recipe, now: Recipe) -> Recipe:
    """A study with the tables, generators and seeds of both."""

    def both(kind: str) -> tuple[Any, ...]:
        old = getattr(before, kind)
        names = {getattr(one, "name", one) for one in old}
        return (*old, *(one for one in getattr(now, kind) if getattr(one, "name", one) not in names))

    return before.model_copy(update={kind: both(kind) for kind in ("tables", "generators", "seeds")})
