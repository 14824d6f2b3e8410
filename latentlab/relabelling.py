"""Labelling the images of a store once more: by other classifiers, or by the embedded faces nearest to them."""

import json
import re
from pathlib import Path

import numpy as np
import torch

from latentlab.blocks import block_rows, mapped
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.face_factors import FACTOR_NAMES
from latentlab.data.nearest_faces import NearestFaces, nearest_faces, search_sha256
from latentlab.data.nearest_start import FaceStart, fit_start
from latentlab.errors import DataError, UsageError
from latentlab.files import atomic_file, refuse_existing
from latentlab.images import box_resize, resize_note, to_float
from latentlab.progress import Progress, silent
from latentlab.protocols import Labeller
from latentlab.store import LatentStore
from latentlab.store.labelling import write_relabelled


def label_images(
    run: Path | str,
    labeller: Labeller,
    out: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Path:
    """Write a new store with the samples of `run` and the log-odds that a labeller finds in its images.

    The images of a store have 8 bits, so log-odds differ a little from those that `sample` would have written.

    Args:
        run: A complete store with images; it stays as it is.
        labeller: On `device`; images are brought to its resolution by `box_resize`.
        out: The new store; left out, beside `run`, named RUN-LABELLER.h5.
        device: Where the labeller is.
        progress: Told after every chunk of rows that is labelled, and again as the new store is written.

    Raises:
        OutputExistsError: the new store exists already.
        StoreError: `run` cannot be read or has no images, or the new store cannot be written.
        DataError: the labeller made log-odds that are not finite.
    """
    run = Path(run)
    word = re.sub(r"[^\w.-]+", "-", labeller.name)  # names may hold slashes and colons
    out = run.with_name(f"{run.stem}-{word}.h5") if out is None else Path(out)
    refuse_existing(out)
    with LatentStore.open(run, needs=["images"]) as store:
        logits = _logits(store, labeller, torch.device(device), progress)
        write_relabelled(
            store,
            out,
            logits,
            attributes=tuple(labeller.attributes),
            classifiers={"name": labeller.name, "sha256": labeller.sha256},
            resize=resize_note(store.images.shape[1], labeller.resolution),
            progress=progress,
        )
    return out


def label_nearest_faces(
    run: Path | str,
    out: Path | str | None = None,
    *,
    factors_out: Path | str | None = None,
    start: FaceStart | None = None,
    progress: Progress = silent,
) -> tuple[Path, NearestFaces]:
    """Write a new store with the samples of `run` and, as logits, the attributes of the nearest embedded faces.

    Args:
        run: A complete store with square RGB images of a size that embedded faces have; it stays as it is.
        out: The new store; left out, beside `run`, named RUN-nearest-faces.h5.
        factors_out: An .npz file to make with the factors of these faces: `names` [F], `values` float32 [N, F] in the
            order of the store's rows, `distances` float32 [N] (see `NearestFaces`), and `provenance`, a JSON text.
        start: Where searches start; fitted to 30,000 faces if left out.
        progress: Told how many faces are drawn for the start, how many rows are labelled, how many written.

    Returns:
        The new store, and what was found.

    Raises:
        OutputExistsError: one of the files to make exists already.
        UsageError: embedded faces have no such size, or both files to make are the same.
        DataError: the images are not square or not RGB.
        StoreError: `run` cannot be read or has no images, or the new store cannot be written.
    """
    run = Path(run)
    out = run.with_name(f"{run.stem}-nearest-faces.h5") if out is None else Path(out)
    if factors_out is not None and Path(factors_out) == out:
        raise UsageError(f"{out} cannot be both the store and the file of factors: name two files.")
    for path in (out, factors_out):
        if path is not None:
            refuse_existing(path)
    with LatentStore.open(run, needs=["images"]) as store:
        height, width, channels = store.images.shape[1:]
        if height != width or channels != 3:
            raise DataError(
                f"{run}: its images have {width}x{height} pixels and {channels} channels; embedded faces are square "
                "and RGB."
            )
        start = start or fit_start(height, progress=progress)
        found = _nearest_faces(store, start, progress)
        maker = {"name": "nearest-faces", "sha256": search_sha256(start)}
        if factors_out is not None:
            _write_factors(Path(factors_out), found, {"made_by": maker, "images": store.provenance})
        write_relabelled(
            store,
            out,
            found.log_odds,
            attributes=CELEBA_ATTRIBUTES,
            classifiers=maker,
            resize=resize_note(height, start.resolution),
            progress=progress,
        )
    return out, found


def _nearest_faces(store: LatentStore, start: FaceStart, progress: Progress) -> NearestFaces:
    parts = []
    progress(0, len(store))
    for number, rows in enumerate(store.chunks):

        def tell(done: int, total: int, note: str = "", *, before: int = rows.start) -> None:
            progress(before + done, len(store), note)

        parts.append(nearest_faces(store.chunk("images", number), start, tell))
    return NearestFaces(
        factors=np.concatenate([part.factors for part in parts]),
        log_odds=np.concatenate([part.log_odds for part in parts]),
        distances=np.concatenate([part.distances for part in parts]),
    )


def _write_factors(path: Path, found: NearestFaces, provenance: dict[str, object]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            names=np.array(FACTOR_NAMES),
            values=found.factors,
            distances=found.distances,
            provenance=np.array(json.dumps(provenance)),
        )


def _logits(store: LatentStore, labeller: Labeller, device: torch.device, progress: Progress) -> np.ndarray:
    size = block_rows(store.images.shape[1])

    def read(chunk: int) -> torch.Tensor:
        return to_float(store.chunk("images", chunk)).contiguous(memory_format=torch.channels_last)

    def label(images: torch.Tensor) -> torch.Tensor:
        blocks = images.split(size)
        return torch.cat([labeller(box_resize(block, labeller.resolution)).float() for block in blocks])

    logits: list[np.ndarray] = []
    workers = None if getattr(labeller, "thread_safe", False) else 1
    for chunk, found in mapped(label, read, range(len(store.chunks)), device=device, workers=workers):
        logits.append(found.numpy())
        progress(store.chunks[chunk].stop, len(store))
    whole = np.concatenate(logits)
    if not np.isfinite(whole).all():
        raise DataError(f"the labeller {labeller.name} made log-odds that are not finite.")
    return whole
