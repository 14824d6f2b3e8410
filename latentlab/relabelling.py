"""Labelling the images of a store once more, by other classifiers than those that labelled them when they were made."""

from pathlib import Path

import numpy as np
import torch

from latentlab.blocks import block_rows
from latentlab.errors import DataError
from latentlab.files import refuse_existing
from latentlab.images import box_resize, resize_note, to_float
from latentlab.progress import Progress, silent
from latentlab.protocols import Labeller, full_precision
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
        progress: Told after every block of rows, which is read, and again as the new store is written.

    Raises:
        OutputExistsError: the new store exists already.
        StoreError: `run` cannot be read or has no images, or the new store cannot be written.
        DataError: the labeller made log-odds that are not finite.
    """
    run = Path(run)
    out = run.with_name(f"{run.stem}-{labeller.name}.h5") if out is None else Path(out)
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


@torch.inference_mode()
def _logits(store: LatentStore, labeller: Labeller, device: torch.device, progress: Progress) -> np.ndarray:
    logits = np.empty((len(store), len(labeller.attributes)), np.float32)
    size = block_rows(store.images.shape[1])
    with full_precision():
        done = 0
        for block in store.blocks(["images"]):
            for start in range(0, len(block["images"]), size):
                images = to_float(block["images"][start : start + size]).to(device)
                found = labeller(box_resize(images, labeller.resolution)).float().cpu().numpy()
                logits[done : done + len(found)] = found
                done += len(found)
                progress(done, len(store))
    if not np.isfinite(logits).all():
        raise DataError(f"the labeller {labeller.name} made log-odds that are not finite.")
    return logits
