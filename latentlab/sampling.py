"""Sampling: a generator (and attribute classifiers) -> a store of z, w and logits.

Row i is a function of the seed and i alone, whatever the batch size and wherever a killed run was resumed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

from latentlab.errors import DataError, OutputExistsError, StoreError, UsageError
from latentlab.images import to_uint8
from latentlab.latents import sample_z, truncate
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike, Labeller, NoiseMode, full_precision, has_mapping, synthesize
from latentlab.results import NetworkName
from latentlab.store import StoreSettings, StoreWriter, create_store, peek, resume_store, writer_lock


def sample(
    generator: GeneratorLike,
    out: Path | str,
    *,
    network: NetworkName,
    labeller: Labeller | None,
    num_samples: int,
    seed: int = 0,
    batch_size: int = 32,
    noise_mode: NoiseMode = "random",
    truncation_psi: float = 1.0,
    with_images: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Path:
    """Draw z ~ N(0, I), map it, synthesise, label, and write everything to a store in chunks of constant memory.

    Run again with the same arguments, it continues where it was stopped. Sets the datasets z, w (the last layer's,
    as synthesis used it: truncated if psi is not 1), logits if there is a labeller, images if asked for.

    Args:
        generator: In eval mode, on `device`.
        out: The store; the folder is made if needed.
        network: Who the generator is, for the store's provenance.
        labeller: Attribute classifiers on `device`, or None for a store without logits. Images are brought to
            their resolution by box filtering.
        num_samples: How many.
        seed: Any integer.
        batch_size: Images at a time; changes the speed only.
        noise_mode: "random" (as every published measurement), "const" or "none".
        truncation_psi: 1 for no truncation (as every published measurement).
        with_images: Keep the images, uint8 at full resolution.
        device: Where the generator and the labeller are.
        progress: Told after every batch.

    Raises:
        OutputExistsError: `out` is complete already, or is no store.
        UsageError: `out` was begun with other settings, or images are smaller than the labeller takes.
        StoreError: `out` cannot be written or is being written by another process.
        DataError: the generator or the labeller made numbers that are not finite.
    """
    out = Path(out)
    if num_samples < 1 or batch_size < 1:
        raise UsageError(f"num_samples is {num_samples} and batch_size {batch_size}; both must be at least 1.")
    if noise_mode not in get_args(NoiseMode):
        raise UsageError(f"noise_mode is {noise_mode!r}; it must be one of {', '.join(get_args(NoiseMode))}.")
    if labeller is not None:
        _shrink_factor(generator.img_resolution, labeller.resolution)
    settings = StoreSettings(
        num_samples=num_samples,
        seed=seed,
        network={"name": network.name, "sha256": network.sha256},
        classifiers=None if labeller is None else {"name": labeller.name, "sha256": labeller.sha256},
        attributes=() if labeller is None else tuple(labeller.attributes),
        truncation_psi=float(truncation_psi),
        noise_mode=noise_mode,
        has_mapping=has_mapping(generator),
        datasets=("z", "w") + ("logits",) * (labeller is not None) + ("images",) * with_images,
        resize=_resize(generator, labeller),
    )
    sampler = _Sampler(generator, labeller, settings=settings, device=torch.device(device), with_images=with_images)
    with writer_lock(out):
        _create_or_check(out, settings, sampler.widths())
        with resume_store(out) as writer, torch.inference_mode(), full_precision():
            _fill(writer, sampler, batch_size, progress)
            writer.finish()
    return out


def box_resize(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Bring square images [N, C, H, H] down to `resolution` by averaging boxes of H / resolution pixels a side.

    Raises:
        UsageError: H is smaller than `resolution`, or no multiple of it.
    """
    factor = _shrink_factor(images.shape[-1], resolution)
    return images if factor == 1 else torch.nn.functional.avg_pool2d(images, factor)


class _Sampler:
    """Computes rows of the store."""

    def __init__(
        self,
        generator: GeneratorLike,
        labeller: Labeller | None,
        *,
        settings: StoreSettings,
        device: torch.device,
        with_images: bool,
    ) -> None:
        self.generator, self.labeller, self.settings = generator, labeller, settings
        self.device, self.with_images = device, with_images

    def widths(self) -> dict[str, int | tuple[int, ...]]:
        """Values per row of each dataset."""
        size, channels = self.generator.img_resolution, self.generator.img_channels
        widths: dict[str, int | tuple[int, ...]] = {"z": self.generator.z_dim, "w": self.generator.w_dim}
        if self.labeller is not None:
            widths["logits"] = len(self.labeller.attributes)
        return widths | ({"images": (size, size, channels)} if self.with_images else {})

    def rows(self, rows: slice) -> dict[str, np.ndarray]:
        """The arrays of some rows."""
        assert self.settings.seed is not None
        assert self.settings.truncation_psi is not None
        z = sample_z(self.settings.seed, rows, self.generator.z_dim)
        ws = self.generator.mapping(z.to(self.device))
        ws = truncate(ws, torch.as_tensor(self.generator.w_avg, device=self.device), self.settings.truncation_psi)
        found = {"z": z.numpy(), "w": ws[:, -1].float().cpu().numpy()}
        if self.labeller is not None or self.with_images:
            found |= self._seen(ws, rows, self.settings.seed)
        for name, values in found.items():
            if not np.isfinite(values).all():
                maker = "classifiers" if name == "logits" else "generator"
                raise DataError(f"the {maker} made values of {name} that are not finite, in rows from {rows.start} on.")
        return found

    def _seen(self, ws: torch.Tensor, rows: slice, seed: int) -> dict[str, np.ndarray]:
        mode = cast(NoiseMode, self.settings.noise_mode)
        images = synthesize(self.generator, [ws], rows=rows, seed=seed, noise_mode=mode)[0]
        found = {"images": to_uint8(images)} if self.with_images else {}
        if self.labeller is not None:
            logits = self.labeller(box_resize(images, self.labeller.resolution))
            found["logits"] = logits.float().cpu().numpy()
        return found


def _fill(writer: StoreWriter, sampler: _Sampler, batch_size: int, progress: Progress) -> None:
    for chunk in writer.pending:
        rows = writer.rows(chunk)
        batches = []
        for start in range(rows.start, rows.stop, batch_size):
            stop = min(start + batch_size, rows.stop)
            batches.append(sampler.rows(slice(start, stop)))
            progress(stop, writer.num_samples)
        writer.write_chunk(chunk, {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]})


def _create_or_check(out: Path, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]]) -> None:
    """Leave an incomplete store of exactly these settings at `out`, or raise."""
    if not out.exists():
        create_store(out, settings, widths)
        return
    try:
        found, done, complete = peek(out)
    except StoreError as error:
        raise OutputExistsError(f"{error} Nothing was changed.") from error
    differences = settings.differences(found)
    if complete and not differences:
        raise OutputExistsError(f"{out} is complete already ({found.num_samples} samples): name another --out.")
    if differences:
        state = "is complete" if complete else f"was begun ({done} of {found.num_samples} samples)"
        raise UsageError(
            f"{out} {state} with other settings: {'; '.join(differences)}. "
            "Use the same settings, name another --out, or remove the file."
        )


def _resize(generator: GeneratorLike, labeller: Labeller | None) -> str:
    """How images are brought to the labeller's resolution, in words."""
    if labeller is None or labeller.resolution == generator.img_resolution:
        return "none"
    return f"box {generator.img_resolution} -> {labeller.resolution}"


def _shrink_factor(size: int, resolution: int) -> int:
    if size < resolution or size % resolution:
        raise UsageError(
            f"the generator's images are {size} pixels wide, and the classifiers take {resolution}: images are only "
            f"made smaller, by a whole factor. Train classifiers at {size} pixels or at {size} divided by a whole "
            "number."
        )
    return size // resolution
