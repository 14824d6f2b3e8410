"""The JSON texts in directions.npz: where directions come from, and to what they were made orthogonal."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

_NAMES = TypeAdapter(tuple[str, ...])


class _Named(BaseModel):
    """A network or classifiers; stores of other tools may say more of them."""

    model_config = ConfigDict(extra="allow")
    name: str
    sha256: str


class _Store(BaseModel):
    """What is read of a store's provenance; the rest is kept as it is."""

    model_config = ConfigDict(extra="allow")
    network: _Named | None = None
    classifiers: _Named | None = None
    num_samples: int | None = None
    truncation_psi: float | None = None


class _Provenance(BaseModel):
    model_config = ConfigDict(extra="allow")
    store: _Store | None = None
    num_keep: int | None = None


def provenance_of(text: str) -> dict[str, Any]:
    """Where directions come from, as it is written there.

    Raises:
        ValueError: It has another form.
    """
    try:
        _Provenance.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(f"provenance: {_first_problem(error)}") from error
    found: dict[str, Any] = json.loads(text)
    return found


def conditions_of(texts: tuple[str, ...], attributes: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each attribute, the names of those that its direction was made orthogonal to.

    Raises:
        ValueError: A text is no JSON list of names, or names what is no other attribute.
    """
    found = []
    for attribute, text in zip(attributes, texts, strict=True):
        try:
            names = _NAMES.validate_json(text, strict=True)
        except ValidationError as error:
            raise ValueError(f"conditioned_on of {attribute}: {_first_problem(error)}") from error
        strange = [name for name in names if name == attribute or name not in attributes]
        if strange:
            raise ValueError(f"conditioned_on of {attribute} names {', '.join(strange)}, which is no other attribute")
        found.append(names)
    return tuple(found)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    given = "" if problem["type"] in ("missing", "json_invalid") else f", and is {problem['input']!r:.80}"
    return f"{where}: {problem['msg']}{given}".removeprefix(": ")
