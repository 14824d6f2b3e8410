"""directions.npz: the attribute directions of one latent space, with what is known of each (docs/directions.md)."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from latentlab.directions.provenance import conditions_of, provenance_of
from latentlab.errors import DataError, DirectionsError, UsageError
from latentlab.files import atomic_file, load_arrays

SCHEMA_VERSION = 1
Space = Literal["z", "w"]
_NUMBERS = ("intercepts", "scale", "accuracy", "held_out_accuracy", "share_positive")
_COUNTS = ("num_rarer",)
_FLAGS = ("converged", "valid")
_TEXTS = ("reason", "conditioned_on")
_UNIT = 1e-6


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of A attributes in a latent space of D dimensions, in the latents' own coordinates.

    Of an attribute that is not valid the numbers may be zero or NaN.

    Attributes:
        attributes: A names.
        space: "z" or "w".
        directions: float64 [A, D] of unit length, pointing to where the attribute is present.
        normals: float64 [A, D], the same before they were made orthogonal to others.
        intercepts: float64 [A]; latent . direction + intercept is the signed distance from the separating plane.
        scale: float64 [A], the standard deviation of latent . direction over the store's samples: the unit of steps.
        accuracy: float64 [A], of the plane on the samples it was fitted on.
        held_out_accuracy: float64 [A], of a second plane on the fifth of these samples that it was not fitted on.
        share_positive: float64 [A], of the samples it was fitted on.
        num_rarer: int64 [A], how many of these samples are of the rarer of the two classes; 0 where nothing was fitted.
        converged: bool [A], whether the solver did.
        valid: bool [A].
        reason: A texts, why an attribute is not valid; empty where it is.
        conditioned_on: For each attribute, the names of those its direction was made orthogonal to.
        provenance: Where the directions come from, as JSON holds it; `store` has the network and the classifiers.
    """

    attributes: tuple[str, ...]
    space: Space
    directions: np.ndarray
    normals: np.ndarray
    intercepts: np.ndarray
    scale: np.ndarray
    accuracy: np.ndarray
    held_out_accuracy: np.ndarray
    share_positive: np.ndarray
    num_rarer: np.ndarray
    converged: np.ndarray
    valid: np.ndarray
    reason: tuple[str, ...]
    conditioned_on: tuple[tuple[str, ...], ...]
    provenance: dict[str, Any]

    @property
    def dims(self) -> int:
        """D."""
        return int(self.directions.shape[1])

    @property
    def hardly_known(self) -> np.ndarray:
        """Which valid directions rest on fewer samples of the rarer class than there are dimensions, bool [A]."""
        return self.valid & (self.num_rarer < self.dims)

    @property
    def cosines(self) -> np.ndarray:
        """Cosines between the directions, float64 [A, A]; NaN where one of the two is not valid."""
        return self._cosines(self.directions)

    @property
    def cosines_unconditioned(self) -> np.ndarray:
        """Cosines between the normals, before directions were made orthogonal to others, float64 [A, A]."""
        return self._cosines(self.normals)

    @property
    def network(self) -> dict[str, str]:
        """Name and SHA-256 of the network whose latents these are, "unknown" where nobody said."""
        unknown = {"name": "unknown", "sha256": "unknown"}
        return unknown | ((self.provenance.get("store") or {}).get("network") or {})

    def index(self, attribute: str) -> int:
        """The row of an attribute that can be used.

        Raises:
            UsageError: There is none of this name, or it is not valid.
        """
        index = position(attribute, self.attributes)
        if not self.valid[index]:
            raise UsageError(f"{attribute} has no direction in {self.space.upper()}: {self.reason[index]}.")
        return index

    def _cosines(self, vectors: np.ndarray) -> np.ndarray:
        products = np.clip(vectors @ vectors.T, -1, 1)
        return np.where(self.valid[:, None] & self.valid, products, np.nan)


def position(attribute: str, names: Sequence[str]) -> int:
    """Where a name stands among others.

    Raises:
        UsageError: Nowhere; the message suggests what was meant.
    """
    if attribute in names:
        return names.index(attribute)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(attribute.casefold(), folded, n=3, cutoff=0.6)
    meant = f"did you mean {' or '.join(folded[name] for name in near)}?" if near else f"there are {', '.join(names)}."
    raise UsageError(f"no attribute is called {attribute!r}: {meant}")


def save_directions(path: Path | str, found: Directions) -> None:
    """Write directions.npz, at once and without pickles."""
    arrays: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "space": found.space}
    arrays |= {"attributes": np.array(found.attributes, np.str_)}
    arrays |= {name: getattr(found, name) for name in ("directions", "normals", *_NUMBERS, *_COUNTS, *_FLAGS)}
    arrays |= {"reason": np.array(found.reason, np.str_)}
    arrays |= {"conditioned_on": np.array([json.dumps(names) for names in found.conditioned_on], np.str_)}
    arrays |= {"cosines": found.cosines, "cosines_unconditioned": found.cosines_unconditioned}
    arrays |= {"provenance": json.dumps(found.provenance)}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_directions(path: Path | str) -> Directions:
    """Read and check directions.npz; `cosines` are computed anew.

    Raises:
        DirectionsError: There is no such file, it is damaged, it is no file of directions, or it is of a later schema.
    """
    path = Path(path)
    arrays = _read(path)
    _check_known(path, arrays)
    try:
        if arrays["directions"].ndim != 2:
            raise ValueError(f"directions have the shape {list(arrays['directions'].shape)} instead of [A, D]")
        count, dims = arrays["directions"].shape
        attributes = _texts(arrays["attributes"], count)
        found = Directions(
            attributes=attributes,
            space=_text(arrays["space"]),  # type: ignore[arg-type]
            directions=_array(arrays["directions"], (count, dims), "f"),
            normals=_array(arrays["normals"], (count, dims), "f"),
            **{name: _array(arrays[name], (count,), "f") for name in _NUMBERS},
            **{name: _array(arrays[name], (count,), "i") for name in _COUNTS},
            **{name: _array(arrays[name], (count,), "b") for name in _FLAGS},
            reason=_texts(arrays["reason"], count),
            conditioned_on=conditions_of(_texts(arrays["conditioned_on"], count), attributes),
            provenance=provenance_of(_text(arrays["provenance"])),
        )
        _check_numbers(found)
    except ValueError as error:
        raise DirectionsError(f"{path} is damaged ({error}): make it again with `latentlab directions`.") from error
    return found


def _read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file."""
    if not path.is_file():
        raise DirectionsError(f"{path}: no such file of directions; `latentlab directions` writes one.")
    try:
        return load_arrays(path)
    except DataError as error:
        raise DirectionsError(f"{error} Name a file that `latentlab directions` wrote.") from error


def _check_known(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse what is no file of directions, or one that this version does not know."""
    if "schema_version" not in arrays or "directions" not in arrays:
        there = ", ".join(sorted(arrays)) or "nothing"
        raise DirectionsError(
            f"{path} is no file of directions; it holds {there}. `latentlab directions` writes such files."
        )
    if arrays["schema_version"].shape != () or arrays["schema_version"] != SCHEMA_VERSION:
        raise DirectionsError(
            f"{path} has schema version {arrays['schema_version']}, and this LatentLab reads version {SCHEMA_VERSION}: "
            "use the version of LatentLab that wrote it, or make it again."
        )
    needed = ("attributes", "space", "normals", *_NUMBERS, *_COUNTS, *_FLAGS, *_TEXTS, "provenance")
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DirectionsError(f"{path} lacks {', '.join(missing)}: make it again with `latentlab directions`.")


def _check_numbers(found: Directions) -> None:
    if found.space not in get_args(Space):
        raise ValueError(f"its space is {found.space!r}, neither z nor w")
    twice = repeated(found.attributes)
    if twice:
        raise ValueError(f"it names {', '.join(twice)} more than once")
    for vectors in (found.directions, found.normals):
        lengths = np.linalg.norm(vectors[found.valid], axis=1)
        if not np.allclose(lengths, 1, rtol=0, atol=_UNIT):
            raise ValueError("directions are not of unit length")
    if (found.num_rarer < 0).any():
        raise ValueError("num_rarer is below 0")
    usable = np.isfinite(found.scale) & (found.scale > 0) & np.isfinite(found.intercepts)
    if not usable[found.valid].all():
        raise ValueError("scale or intercepts are not finite numbers, or a scale is not above 0")


def repeated(names: Sequence[str]) -> list[str]:
    """Names that stand there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _array(values: np.ndarray, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if values.shape != shape or values.dtype.kind != kind:
        raise ValueError(f"an array is {values.dtype} {list(values.shape)} where {list(shape)} was expected")
    return values.astype(np.float64) if kind == "f" else values


def _text(value: np.ndarray) -> str:
    if value.shape != () or value.dtype.kind != "U":
        raise ValueError(f"an array is {value.dtype} {list(value.shape)} where a text was expected")
    return str(value)


def _texts(values: np.ndarray, count: int) -> tuple[str, ...]:
    if values.shape != (count,) or values.dtype.kind != "U":
        raise ValueError(f"an array is {values.dtype} {list(values.shape)} where {count} texts were expected")
    return tuple(map(str, values))
