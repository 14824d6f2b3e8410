"""Images into one file of prepared images: decoded block by block, in constant memory, whole or not at all."""

import datetime
import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from latentlab.data.dataset import EMBEDDED, check_resolution
from latentlab.data.decoding import Preparation
from latentlab.data.layouts import ImageSet, find_image_set
from latentlab.data.loading import ImageFiles, all_bad, block_rows, refuse_bad, survey
from latentlab.data.prepared import SUFFIX, Prepared, allocate, is_prepared, read_prepared, write_rest
from latentlab.errors import DataError, OutputExistsError, UsageError
from latentlab.files import atomic_file
from latentlab.progress import Progress, silent


def prepare(
    source: Path | str,
    out: Path | str,
    preparation: Preparation,
    *,
    labels: Path | str | None = None,
    num_images: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Decode, crop and resize images, and write them to one file that `open_dataset` opens at once.

    Args:
        source: A folder (CelebA's layout gives labels) or a zip file of images.
        out: The file, ending in .h5.
        preparation: Crop, filter and resolution.
        labels: A CSV, TSV or Parquet file with labels, as `open_dataset` takes it; they are written to `out`.
        num_images: Take only the first ones; None for all.
        skip_bad: Leave out what cannot be read, and record it.
        overwrite: Replace `out`.
        progress: Told how many images are ready.

    Raises:
        UsageError: `out` exists or has another suffix, or `source` needs no preparing or has labels already.
        DataError: the images or labels cannot be used, or the file cannot be written.
    """
    source, out = Path(source), Path(out)
    check_resolution(preparation.resolution)
    _check_out(out, overwrite=overwrite)
    _check_source(source)
    images = find_image_set(source, None if labels is None else Path(labels)).first(num_images)
    found = survey(images.entries, preparation, aligned=images.aligned, progress=progress)
    total = len(images.entries)
    if found.bad and not skip_bad:  # nothing will be written: look for all that is wrong
        bad = dict[int, DataError]()
        for _ in found.files.blocks(bad, progress):
            pass
        refuse_bad(list(all_bad(found, bad).values()), total, skip_bad=False)
    try:
        with atomic_file(out) as temporary:
            bad = {}
            offset = allocate(temporary, len(found.files), preparation.resolution)
            digest = _write_pixels(temporary, offset, found.files, bad, progress)
            errors = all_bad(found, bad)
            refuse_bad(list(errors.values()), total, skip_bad=skip_bad)
            if bad:
                _shorten(temporary, offset, len(found.files) - len(bad), preparation.resolution)
            write_rest(temporary, _description(out, images, found.files, set(errors), digest))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        size = len(found.files) * preparation.resolution**2 * 3
        raise DataError(
            f"{out} could not be written ({reason}): its {size:,} bytes of pixels and a little more are needed. Make "
            "room, or name another --out."
        ) from error
    return read_prepared(out)


def _check_source(source: Path) -> None:
    if str(source) == EMBEDDED and not source.exists():
        raise UsageError(f"'{EMBEDDED}' needs no preparing: drawn faces are kept anyway. Name a folder or a zip file.")
    if is_prepared(source):
        raise UsageError(f"{source} holds prepared images already: name the folder or zip file they were made from.")


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.suffix != SUFFIX:
        raise UsageError(f"{out}: the file of prepared images must end in {SUFFIX}, such as {out.with_suffix(SUFFIX)}.")
    if out.exists() and (out.is_dir() or not overwrite):
        raise OutputExistsError(
            f"{out} exists already and was left as it is: name another --out, or replace a file with --overwrite."
        )


def _write_pixels(path: Path, offset: int, files: ImageFiles, bad: dict[int, DataError], progress: Progress) -> str:
    """Write what can be decoded, one image after the other, and return its SHA-256; errors go to `bad`."""
    digest = hashlib.sha256()
    with path.open("r+b") as raw:
        _reserve(raw.fileno(), path.stat().st_size)
        raw.seek(offset)
        for block in files.blocks(bad, progress):
            for image in block.pixels:
                raw.write(image.data)
                digest.update(image.data)
    return digest.hexdigest()


def _reserve(handle: int, size: int) -> None:
    """Take the room on the disk now, so that a full disk is found before hours of work and not after."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)


def _shorten(path: Path, offset: int, count: int, resolution: int) -> None:
    """Rewrite a file with room for its first `count` images only: HDF5 cannot shorten what lies in one piece."""
    pixels = np.memmap(path, np.uint8, "r", offset=offset, shape=(count, resolution, resolution, 3))
    with atomic_file(path) as shorter:
        target = allocate(shorter, count, resolution)
        with shorter.open("r+b") as raw:
            _reserve(raw.fileno(), shorter.stat().st_size)
            raw.seek(target)
            for start in range(0, count, block_rows(resolution)):
                raw.write(pixels[start : start + block_rows(resolution)].data)


def _description(out: Path, images: ImageSet, files: ImageFiles, left_out: set[int], digest: str) -> Prepared:
    kept = [number for number in range(len(images.entries)) if number not in left_out]
    return Prepared(
        path=out,
        source=images.name,
        resolution=files.preparation.resolution,
        crop=files.crop,
        filter=files.preparation.filter,
        num_images=len(kept),
        fingerprint=digest,
        latentlab_version=_version(),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        offset=0,
        names=tuple(_as_utf8(images.entries[number].name) for number in kept),
        skipped=tuple(_as_utf8(images.entries[number].name) for number in sorted(left_out)),
        attributes=images.attributes,
        labels=None if images.labels is None else images.labels[kept],
    )


def _as_utf8(name: str) -> str:
    """A file's name as HDF5 can store it: bytes that are not UTF-8 appear as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _version() -> str:
    try:
        return version("latentlab")
    except PackageNotFoundError:
        return "unknown"
