"""What a long measurement has done so far, kept in a folder until its results are written."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentlab.distributed import Team
from latentlab.errors import LatentLabWarning
from latentlab.files import atomic_file

_MESSAGE = 1 << 22  # numbers sent to other processes at once


class Unfinished:
    """Rows of numbers in the order in which a measurement made them, one file for each time that some were kept.

    Files belong to one measurement: their folder's name is a hash of everything that decides the numbers. Process 0
    reads and writes.

    Args:
        folder: Where such folders are; None keeps nothing.
        team: The processes that share the measurement.
        told: Given a sentence where something was found, in process 0.
    """

    def __init__(
        self, folder: Path | None = None, *, team: Team | None = None, told: Callable[[str], None] | None = None
    ) -> None:
        self._parent, self._team, self._told = folder, team or Team(), told
        self._folder: Path | None = None
        self._number, self._keeps = 0, True

    def begin(self, kind: str, depends_on: dict[str, Any], *, width: int) -> np.ndarray:
        """The rows [n, width] float32 that an earlier attempt at the same measurement has kept, in all processes.

        Args:
            kind: Of measurement, the beginning of the folder's name.
            depends_on: Everything that decides the numbers, versions of software included, as plain values.
            width: Numbers in a row.
        """
        if self._parent is None:
            return np.zeros((0, width), np.float32)
        digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        self._folder = self._parent / f"{kind}-{digest[:16]}"
        found = np.zeros((0, width), np.float32)
        if self._team.leads:
            found = np.concatenate([found, *self._parts(width)])
        return self._everywhere(found)

    def keep(self, rows: np.ndarray) -> None:
        """Keep the next rows [n, width]; where that cannot be, say so once and keep nothing more."""
        if self._folder is None or not self._keeps or not self._team.leads or not len(rows):
            return
        try:
            with atomic_file(self._path(self._number)) as temporary, temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(rows, np.float32))
        except OSError as error:
            words = f"{self._folder} cannot be written ({error.strerror or error}): if this run ends, it begins anew."
            warnings.warn(words, LatentLabWarning, stacklevel=2)
            self._keeps = False
        self._number += 1

    def found(self, count: int, total: int, what: str) -> None:
        """Tell that so many of what is to be measured are there already."""
        if count and self._told is not None and self._team.leads:
            self._told(f"going on after {min(count, total):,} of {total:,} {what}, which {self._folder} has")

    def remove(self) -> None:
        """Remove what was kept: the results are written."""
        if self._folder is None or self._parent is None or not self._team.leads:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._parent.rmdir()  # if nothing else is unfinished
        except OSError:
            return

    def _parts(self, width: int) -> Iterator[np.ndarray]:
        """The files' rows up to the first that is missing or damaged, which is the one to be written next."""
        while True:
            try:
                part: np.ndarray = np.load(self._path(self._number), allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return
            if part.ndim != 2 or part.shape[1] != width or part.dtype != np.float32 or not np.isfinite(part).all():
                return
            yield part
            self._number += 1

    def _everywhere(self, found: np.ndarray) -> np.ndarray:
        """What process 0 has found, in all processes."""
        if self._team.size == 1:
            return found
        count = torch.tensor([float(len(found))], dtype=torch.float64, device=self._team.device)
        self._team.add([count])
        everywhere = np.zeros((int(count), found.shape[1]), np.float32)
        everywhere[: len(found)] = found
        flat = everywhere.reshape(-1)
        for start in range(0, len(flat), _MESSAGE):
            part = torch.from_numpy(flat[start : start + _MESSAGE]).to(self._team.device)
            self._team.add([part])
            flat[start : start + _MESSAGE] = part.cpu().numpy()
        return everywhere

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:06d}.npy"


@contextmanager
def until_written(
    results: Path, *, team: Team | None = None, told: Callable[[str], None] | None = None
) -> Iterator[Unfinished]:
    """Keep what is unfinished in the folder `unfinished` beside a results file; remove it when the block ends well.

    An error, Ctrl-C or a kill leaves it, and the same measurement goes on from there.
    """
    unfinished = Unfinished(results.parent / "unfinished", team=team, told=told)
    yield unfinished
    unfinished.remove()
