"""Directions as the .npy boundaries that editing scripts read: unit vectors, float32 [1, D]."""

import json
from pathlib import Path

import numpy as np

from latentlab.directions.form import Directions
from latentlab.errors import DirectionsError, OutputExistsError
from latentlab.files import LONGEST_NAME, atomic_folder, refuse_existing, unfit_names

INDEX = "boundaries.json"
_SHOWN = 60


def save_boundaries(folder: Path | str, found: Directions, *, overwrite: bool = False) -> list[str]:
    """Write ATTRIBUTE_SPACE.npy for every valid attribute, and boundaries.json with what belongs to them.

    Returns the names of the .npy files.

    Args:
        folder: A folder that is free, or, with `overwrite`, one of boundaries written earlier.
        found: The directions.
        overwrite: Replace such a folder, at once and as a whole.

    Raises:
        OutputExistsError: The folder is taken.
        DirectionsError: Two attributes would have one file, or one has a name that no file can have.
    """
    check_boundaries(folder, found.attributes, overwrite=overwrite)
    rows = [index for index, valid in enumerate(found.valid) if valid]
    files = [f"{found.attributes[index]}_{found.space}.npy" for index in rows]
    described = {
        found.attributes[index]: {
            "file": file,
            "intercept": float(found.intercepts[index]),
            "scale": float(found.scale[index]),
            "accuracy": _number(found.accuracy[index]),
            "held_out_accuracy": _number(found.held_out_accuracy[index]),
            "share_positive": _number(found.share_positive[index]),
            "num_rarer": int(found.num_rarer[index]),
            "hardly_known": bool(found.hardly_known[index]),
            "conditioned_on": list(found.conditioned_on[index]),
        }
        for index, file in zip(rows, files, strict=True)
    }
    index_file = {"space": found.space, "boundaries": described, "provenance": found.provenance}
    with atomic_folder(folder, replace=overwrite) as temporary:
        for index, file in zip(rows, files, strict=True):
            np.save(temporary / file, found.directions[index, None].astype(np.float32), allow_pickle=False)
        (temporary / INDEX).write_text(json.dumps(index_file, indent=1) + "\n", encoding="utf-8")
    return files


def check_boundaries(folder: Path | str, attributes: tuple[str, ...], *, overwrite: bool = False) -> None:
    """Raise what `save_boundaries` would raise, before there are directions."""
    folder = Path(folder)
    if not overwrite:
        refuse_existing(folder)
    elif folder.exists() and not _is_replaceable(folder):
        raise OutputExistsError(
            f"{folder} holds other things than boundaries and was left as it is: name another folder."
        )
    apart = tuple(dict.fromkeys(attributes))  # what is there twice has no directions, which is for others to say
    wrong = [*unfit_names(apart), *(name for name in apart if len(f"{name}_w.npy".encode()) > LONGEST_NAME)]
    if wrong:
        listed = ", ".join(
            name if len(name) <= _SHOWN else f"{name[:_SHOWN]}... ({len(name)} letters)" for name in wrong
        )
        raise DirectionsError(
            f"attributes that cannot each be a file's name: {listed}. Leave out the folder; the .npz file takes them."
        )


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or holds boundaries and nothing else."""
    inner = list(folder.iterdir()) if folder.is_dir() else [folder]
    known = all(path.is_file() and (path.suffix == ".npy" or path.name == INDEX) for path in inner)
    return not inner or (known and (folder / INDEX).is_file())


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
