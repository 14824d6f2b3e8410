"""A run's folder as training sees it: whose it is, what it was started with, its statistics."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from latentlab.errors import CheckpointError, UsageError
from latentlab.files import atomic_file, refuse_existing
from trainers.config import RunConfig

IGNORED = ("created_at", "latentlab_version")
SHOWN = 8


def refuse_taken(run: Path, *, resume: bool) -> None:
    """Raise unless a run can be trained in this folder: a free one, or with `resume` one that holds a run.

    Raises:
        UsageError: `run` holds a run already and `resume` is off.
        OutputExistsError: `run` holds something else.
    """
    if not (run / "config.json").is_file():
        ours = run.is_dir() and all(path.name == ".lock" or path.suffix == ".partial" for path in run.iterdir())
        if not ours:  # a process that was killed before it wrote config.json leaves its lock
            refuse_existing(run)
    elif not resume:
        raise UsageError(f"{run} holds a run already: add --resume to go on with it, or name another --out.")


def differences(run: Path, config: RunConfig) -> list[str]:
    """In which settings a run that is there differs from `config`, in words; nothing for a folder without a run.

    Raises:
        CheckpointError: config.json cannot be read.
    """
    path = run / "config.json"
    if not path.is_file():
        return []
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not readable JSON ({error}): the run cannot be resumed.") from error
    return list(_differences(old, json.loads(config.model_dump_json())))


def differing_settings(old: RunConfig, new: RunConfig) -> list[str]:
    """In which settings two runs differ, in words."""
    return list(_differences(json.loads(old.model_dump_json()), json.loads(new.model_dump_json())))


def refuse_differences(run: Path, differing: list[str]) -> None:
    """Raise UsageError that names in which settings a run was started differently."""
    if differing:
        more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise UsageError(
            f"{run} was started with other settings: {'; '.join(differing[:SHOWN])}{more}. Resume with the same ones, "
            "name another --out, or add --force to go on with the new ones."
        )


def refuse_other_networks(run: Path, config: RunConfig) -> None:
    """Raise UsageError if a run's snapshots hold networks of other settings than these."""
    changed = [words for words in differences(run, config) if words.startswith(("generator.", "discriminator."))]
    if changed:
        raise UsageError(
            f"{run}: networks of another form cannot go on from its snapshots ({'; '.join(changed)}): resume with "
            "these settings as they were, or name another --out."
        )


def write_config(run: Path, config: RunConfig) -> None:
    """Write config.json unless its settings are there already; other settings are kept as config-N.json."""
    path = run / "config.json"
    if path.is_file():
        if not differences(run, config):
            return
        _keep_aside(path)
    with atomic_file(path) as temporary:
        temporary.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_config(run: Path) -> RunConfig:
    """The settings of a run.

    Raises:
        CheckpointError: config.json is missing, no JSON, or of another version of LatentLab.
    """
    path = run / "config.json"
    try:
        return RunConfig.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: {run} is no run.") from error
    except ValidationError as error:
        raise CheckpointError(f"{path} cannot be used: {error.errors()[0]['msg']}.") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} cannot be used: it is no text ({error}).") from error


def truncate_stats(run: Path, kimg: float) -> None:
    """Drop what stats.jsonl says beyond `kimg`, and a line that a kill cut short."""
    path = run / "stats.jsonl"
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    with atomic_file(path) as temporary:
        kept = [line for line in lines if _kimg(line) <= kimg]
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def read_stats(run: Path) -> list[dict[str, float]]:
    """The ticks of a run so far; lines that cannot be read are left out."""
    path = run / "stats.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if _kimg(line) < math.inf]


def append_stats(run: Path, line: dict[str, float]) -> None:
    """Add a tick to stats.jsonl."""
    with (run / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def replace_last(run: Path, line: dict[str, float]) -> None:
    """Put a tick in the place of the last one in stats.jsonl."""
    path = run / "stats.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()[:-1]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(text + "\n" for text in [*lines, json.dumps(line)]), encoding="utf-8")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in IGNORED:
                yield from _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif old != new:
        yield f"{name} was {old!r} and is now {new!r}"


def _keep_aside(path: Path) -> None:
    """Keep the settings that a run had before as config-1.json, config-2.json, ..."""
    number = 1 + sum(1 for _ in path.parent.glob("config-*.json"))
    with atomic_file(path.with_name(f"config-{number}.json")) as temporary:
        temporary.write_bytes(path.read_bytes())


def _kimg(line: str) -> float:
    try:
        return float(json.loads(line)["kimg"])
    except (ValueError, KeyError, TypeError):
        return math.inf
