"""The embedded faces, drawn once and kept in the user's cache folder."""

import hashlib
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from latentlab.data.face_factors import face_factors
from latentlab.data.face_rules import face_labels
from latentlab.data.faces import Faces, render_faces, rows_without
from latentlab.errors import DataError
from latentlab.files import atomic_file
from latentlab.progress import Progress, silent

DEFAULT_COUNT = 30_000
CHUNK = 512
_ROWS_AT_A_TIME = 8192
CACHE_VARIABLE = "LATENTLAB_CACHE"
_NAME = re.compile(r"faces(?: without (?P<missing>\S+=[01](?: \S+=[01])*))?")


@dataclass(frozen=True)
class Selection:
    """Which faces: the first `count` rows of `seed`, without those that combine all values of `missing`."""

    seed: int = 0
    count: int = DEFAULT_COUNT
    missing: tuple[tuple[str, bool], ...] = ()

    @property
    def name(self) -> str:
        """Such as "faces", or "faces without Male=1 Young=0"."""
        combination = " ".join(f"{name}={int(value)}" for name, value in self.missing)
        return f"faces without {combination}" if combination else "faces"

    @classmethod
    def of_name(cls, name: str, count: int, *, seed: int = 0) -> "Selection | None":
        """The selection that `name` writes so; None where it is no name of one."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        pairs = (part.rpartition("=") for part in (found["missing"] or "").split())
        return cls(seed, count, tuple((attribute, value == "1") for attribute, _, value in pairs))

    def labels(self) -> np.ndarray:
        """int8 [count, 40], 1 where an attribute is present and -1 where it is not; no face is drawn for them."""
        rows = self.rows()
        blocks = [rows[start : start + _ROWS_AT_A_TIME] for start in range(0, len(rows), _ROWS_AT_A_TIME)]
        return np.concatenate([face_labels(face_factors(self.seed, block)) for block in blocks])

    def rows(self) -> np.ndarray:
        """Row numbers of the faces, int64 [count]."""
        if not self.missing:
            return np.arange(self.count)
        return np.asarray(rows_without(self.seed, 0, self.count, dict(self.missing)))


@dataclass(frozen=True)
class CachedFaces:
    """images uint8 [N, R, R, 3] (a memory map), labels int8 [N, 40], SHA-256 of the pixels."""

    images: np.ndarray
    labels: np.ndarray
    fingerprint: str


def cache_folder() -> Path:
    """Where drawn faces are kept: $LATENTLAB_CACHE, else the platform's cache folder for this user."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("latentlab"))


def cached_faces(selection: Selection, resolution: int, progress: Progress = silent) -> CachedFaces:
    """The selected faces at `resolution`, from the cache where it holds them undamaged, else drawn and kept.

    Raises:
        DataError: the cache folder cannot be written.
    """
    key = hashlib.sha256(f"{drawing_version()} {selection} {resolution}".encode()).hexdigest()[:16]
    stem = cache_folder() / f"faces-{resolution}-{key}"
    images, labels = stem.with_suffix(".npy"), stem.with_suffix(".npz")
    found = _read(images, labels)
    if found is None:
        try:
            _draw(selection, resolution, (images, labels), progress)
        except OSError as error:
            raise DataError(
                f"{cache_folder()} cannot be written ({error}): the drawn faces are kept there. Make room, or set "
                f"{CACHE_VARIABLE} to another folder."
            ) from error
        found = _read(images, labels)
    assert found is not None, "what was just written is whole"
    return found


def draw_in_chunks(selection: Selection, resolution: int, progress: Progress = silent) -> Iterator[Faces]:
    """Render the selected faces a few hundred at a time, in order."""
    rows = selection.rows()
    for start in range(0, len(rows), CHUNK):
        yield render_faces(selection.seed, rows[start : start + CHUNK], resolution)
        progress(min(start + CHUNK, len(rows)), len(rows), "faces drawn")


def drawing_version() -> str:
    """SHA-256 of the source code that draws the faces, so that a changed drawing never meets an older cache."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for file in [*sorted(here.glob("face*.py")), here / "attributes.py", here.parent / "randomness.py"]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def pixel_digest(images: np.ndarray) -> str:
    """SHA-256 of the pixels, read a few images at a time."""
    digest = hashlib.sha256()
    for start in range(0, len(images), CHUNK):
        digest.update(images[start : start + CHUNK].tobytes())
    return digest.hexdigest()


def _draw(selection: Selection, resolution: int, paths: tuple[Path, Path], progress: Progress) -> None:
    labels: list[np.ndarray] = []
    with atomic_file(paths[0]) as temporary:
        shape = (selection.count, resolution, resolution, 3)
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for faces in draw_in_chunks(selection, resolution, progress):
            start = sum(map(len, labels))
            pixels[start : start + len(faces.images)] = faces.images
            labels.append(faces.labels)
        pixels.flush()
        digest = pixel_digest(pixels)
    with atomic_file(paths[1]) as temporary, temporary.open("wb") as file:
        np.savez(file, labels=np.concatenate(labels), fingerprint=np.array(digest))


def _read(images_path: Path, labels_path: Path) -> CachedFaces | None:
    """What the cache holds, or None where it is missing or damaged."""
    try:
        images = np.load(images_path, mmap_mode="r")
        with labels_path.open("rb") as file, np.load(file) as rest:
            found = CachedFaces(images, rest["labels"], str(rest["fingerprint"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if pixel_digest(images) == found.fingerprint else None
