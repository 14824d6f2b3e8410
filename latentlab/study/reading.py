"""A study's recipe from a preset, a TOML file and the command line; what does not exist or contradicts is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from latentlab.errors import UsageError
from latentlab.study.recipe import MOST_SEEDS, SECTIONS, Recipe, in_words
from latentlab.study.tables import TABLES, VARIANTS, Table, Variant
from trainers.recipes import read_toml

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Minutes per generator on a laptop, on the embedded faces.
        "quick": {"preset": "quick"},
        # 3e15 floating-point operations for each generator, at 32x32 pixels; not run yet.
        "small": {
            "preset": "small",
            "training": {"preset": "small"},
            "classifiers": {"preset": "small"},
            "measuring": {"samples": 50_000, "pairs": 10_000, "images": 10_000},
        },
        # The paper's: days of eight GPUs for every generator. It needs --data.
        "paper": {
            "preset": "paper",
            "data": {"resolution": 1024},
            "training": {"preset": "paper"},
            "classifiers": {"preset": "paper"},
            "measuring": {
                "samples": 200_000,
                "pairs": 100_000,
                "images": 50_000,
                "distance": "lpips-vgg",
                "features": "inception",
                "separability": "stylegan",
            },
        },
    }
)


def read_recipe(path: Path) -> dict[str, Any]:
    """A study's TOML file as it is.

    Raises:
        UsageError: It cannot be read, is no TOML, or has something else at its top.
    """
    table = read_toml(path)
    allowed = (*SECTIONS, "generator", "table", "preset", "seeds", "threads", "processes")
    for name in table:
        if name not in allowed:
            raise UsageError(f"--recipe {path}: there is no {name!r}; allowed are {', '.join(allowed)}.")
    return table


def make_recipe(
    tables: Sequence[str],
    *,
    given: Mapping[str, Any] | None = None,
    preset: str | None = None,
    seeds: int | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    threads: int,
    processes: int | None = None,
) -> Recipe:
    """A study's complete settings: the preset's, then those of the file, then single ones.

    Args:
        tables: Names of the paper's tables, or of tables in the file; none for all that the file has, or the paper's
            all where it has none.
        given: A recipe file's content, from `read_recipe`.
        preset: quick, small or paper; the file's, or quick, if None.
        seeds: How many, from 0; the file's, or 1, if None.
        settings: Fields by section that come last, from the command line; None values are left out.
        threads: Of a job, if the file does not say.
        processes: Of a job.

    Raises:
        UsageError: Something does not exist, is out of range, or contradicts something else; named by its place.
    """
    given = dict(given or {})
    preset = preset or str(given.get("preset", "quick"))
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}.")
    values: dict[str, Any] = {**PRESETS[preset], "threads": given.get("threads", threads)}
    values["processes"] = processes or given.get("processes", 1)
    for section in SECTIONS:
        own = given.get(section, {})
        if not isinstance(own, dict):
            raise UsageError(f"[{section}] of the recipe must be a table of settings, not {own!r}.")
        last = {name: value for name, value in (settings or {}).get(section, {}).items() if value is not None}
        values[section] = {**values.get(section, {}), **own, **last}
    values["seeds"] = _seeds(given, seeds)
    try:
        return Recipe.model_validate(values | _chosen(tables, given))
    except ValidationError as error:
        raise UsageError(f"this study cannot be: {in_words(error)}") from error


def _seeds(given: Mapping[str, Any], asked: int | None) -> list[Any]:
    seeds = given.get("seeds", 1) if asked is None else asked
    if isinstance(seeds, list):
        return seeds
    if isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"seeds {seeds!r}: expected how many there shall be, 1 to {MOST_SEEDS}, or a list of them.")
    return list(range(seeds))


def _chosen(names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The tables asked for, and the generators they name: the paper's, those of the file in their place."""
    own_tables = _by_name("table", _listed(given, "table"))
    own_variants = _listed(given, "generator")
    _agree(own_variants)
    _check_all(own_variants)
    known: dict[str, Any] = {**TABLES, **own_tables}
    wanted = list(names) or list(own_tables) or list(TABLES)
    for name in wanted:
        if name not in known:
            raise UsageError(f"--table {name}: expected some of {', '.join(known)}, or all.")
    tables = [known[name] for name in wanted]
    variants = {**VARIANTS, **_by_name("generator", own_variants)}
    used = [name for table in tables for name in _generators(table)]
    return {"tables": tables, "generators": [variants[name] for name in dict.fromkeys(used) if name in variants]}


def _generators(table: Mapping[str, Any] | Table) -> list[str]:
    """What the rows of a table name; rows of another form are for the record to refuse."""
    if isinstance(table, Table):
        return [row.generator for row in table.rows]
    rows = table.get("rows")
    return [str(row.get("generator")) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def given_by(recipe: Recipe) -> dict[str, Any]:
    """A recipe as its file would give it: for a study that is there, of which only some is to be changed."""
    record = recipe.model_dump(mode="json", exclude={"schema_version"})
    return {**record, "generator": record.pop("generators"), "table": record.pop("tables")}


def _listed(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = given.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"{name} in the recipe: expected entries under [[{name}]].")
    return found


def _by_name(what: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Entries of a file by their names.

    Raises:
        UsageError: Two have the same.
    """
    seen: dict[str, Mapping[str, Any]] = {}
    for one in entries:
        name = str(one.get("name"))
        if name in seen:
            raise UsageError(f"[[{what}]] {name} stands there twice, as {dict(seen[name])} and as {dict(one)}.")
        seen[name] = one
    return seen


def _check_all(variants: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a malformed generator, though no table may name it.

    Raises:
        UsageError: Naming it and what is wrong.
    """
    for one in variants:
        try:
            Variant.model_validate(one)
        except ValidationError as error:
            raise UsageError(f"[[generator]] {one.get('name')}: {in_words(error)}") from error


def _agree(variants: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a generator that has the name of one of the paper's but other settings."""
    for name, one in _by_name("generator", variants).items():
        paper = VARIANTS.get(name)
        if paper is not None and any(getattr(paper, key, value) != value for key, value in one.items()):
            own = paper.model_dump(exclude={"name"}, exclude_none=True)
            raise UsageError(f"[[generator]] {name} is one of the paper's, with {own}: give yours another name.")
