"""Setting single fields of a configuration by name, from a TOML file or the command line."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from latentlab.errors import UsageError

Fields = tuple[tuple[str, Any], ...]
"""(dotted name in config.json, value), in the order in which they are set; text values are read as TOML."""

LEVELS = ("minibatch", "learning_rate")  # tables of values by resolution
SECTIONS = ("generator", "discriminator", "trainer")
Record = TypeVar("Record", bound=BaseModel)


def read_recipe(path: Path) -> Fields:
    """The fields that a TOML file sets: tables [generator], [discriminator], [trainer], [trainer.schedule], ...

    Raises:
        UsageError: The file cannot be read, or is not TOML.
    """
    return tuple(_flattened(read_toml(path)))


def read_toml(path: Path) -> dict[str, Any]:
    """A recipe file as it is.

    Raises:
        UsageError: The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--recipe {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--recipe {path}: not a TOML file ({error}).") from error


def read_assignments(texts: Iterable[str]) -> Fields:
    """The fields that `NAME=VALUE` texts set; values are TOML, and text that is no TOML value stands for itself.

    Raises:
        UsageError: A text has another form.
    """
    return tuple(field for text in texts for field in _assignment(text))


def _assignment(text: str) -> Iterator[tuple[str, Any]]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UsageError(f"--set {text}: expected NAME=VALUE, such as trainer.r1_gamma=1.")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    yield from _flattened({name.strip(): parsed})


def _flattened(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def apply_fields(config: Record, fields: Fields) -> Record:
    """A configuration with fields set, checked as a whole.

    Raises:
        UsageError: A field does not exist (the nearest one is named) or does not take the value.
    """
    if not fields:
        return config
    values = config.model_dump()
    for name, value in fields:
        _set(config, values, name, value)
    try:
        return type(config).model_validate(values, strict=False)
    except ValidationError as error:
        raise UsageError(in_words(error, "the configuration")) from error


def listed(config: BaseModel) -> Iterator[tuple[str, str]]:
    """Every field that can be set, with its value as TOML writes it."""
    values = config.model_dump(mode="json", include=set(SECTIONS))
    for name in _names(values):
        at: Any = values
        for part in name.split("."):
            at = at[part]
        yield name, _toml(at)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def _set(config: BaseModel, values: dict[str, Any], name: str, value: object) -> None:
    *path, last = name.split(".")
    if not path or path[0] not in SECTIONS:
        _refuse(config, name)
    at: Any = values
    for part in path:
        at = at.get(part) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            _refuse(config, name)
    if last in at and not (isinstance(at[last], dict) and value != {}):
        _refuse_type(name, at[last], value)
        at[last] = value
    elif path[-1] in LEVELS and last.isdigit():
        at[int(last)] = value
    else:
        _refuse(config, name)


def _refuse(config: BaseModel, name: str) -> None:
    known = list(_names(config.model_dump(include=set(SECTIONS))))
    _refuse_table(config, name)
    by_last = {field.rpartition(".")[2]: field for field in known}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [by_last[last] for last in difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1)]
    hint = f"did you mean {near[0]}?" if near else f"fields begin with {', '.join(SECTIONS)}; --dry-run lists them."
    raise UsageError(f"there is no field {name!r}: {hint}")


def _refuse_table(config: BaseModel, name: str) -> None:
    at: Any = config.model_dump(include=set(SECTIONS))
    *path, last = name.split(".")
    for part in path:
        at = at.get(part, {}) if isinstance(at, dict) else {}
    if path and path[-1] in LEVELS and not last.isdigit():
        raise UsageError(f"{name}: {last!r} is no resolution; name one in pixels, such as {'.'.join(path)}.8.")
    if isinstance(at, dict) and isinstance(at.get(last), dict):
        example = f"{name}.8" if last in LEVELS else f"{name}.{next(iter(at[last]))}"
        raise UsageError(f"{name} is a table: set its fields by name, such as {example}.")


def _refuse_type(name: str, present: object, value: object) -> None:
    """Numbers are not taken for yes and no, nor text for numbers: pydantic alone would be more lenient."""
    if isinstance(present, bool) != isinstance(value, bool) and not isinstance(present, str):
        allowed = "true or false" if isinstance(present, bool) else f"a number such as {present}"
        raise UsageError(f"{name} = {value!r}: expected {allowed}.")
    if isinstance(value, str) and isinstance(present, int | float):
        raise UsageError(f"{name} = {value!r}: expected a number such as {present}.")


def _names(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value and not all(str(inner).isdigit() for inner in value):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key)


def in_words(error: ValidationError, what: str) -> str:
    """A validation error as one sentence per field."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or what
        given = "" if isinstance(problem["input"], dict) else f" = {problem['input']!r}"
        lines.append(f"{place}{given}: {problem['msg'].removeprefix('Value error, ')}.")
    return " ".join(lines)
