"""Labelling the images of a store once more, by other classifiers than those that labelled them when they were made."""

import re
from pathlib import Path

import numpy as np
import torch

from latentlab.blocks import block_rows, mapped
from latentlab.errors import DataError
from latentlab.files import refuse_existing
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
