"""Sampling: a generator (and attribute classifiers) -> a store of z, w, logits and more.

Row i is a function of the seed and i alone, bit by bit on the same device: whatever the batch size, the number of
processes and threads, and wherever a killed run was resumed. So networks always run on the same blocks of rows (other
batch sizes round differently), and on a CPU each block with one thread, on as many blocks at once as there are cores.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import cast, get_args

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_pool, block_rows, in_order
from latentlab.distributed import Team
from latentlab.errors import DataError, OutputExistsError, StoreError, UsageError
from latentlab.features import ImageFeatures
from latentlab.images import box_resize, quantized, resize_note
from latentlab.latents import sample_z, truncate
from latentlab.progress import Progress, silent
from latentlab.protocols import (
    GeneratorLike,
    Labeller,
    NoiseMode,
    draw_noise,
    full_precision,
    has_mapping,
    synthesize,
    threads_may_share,
)
from latentlab.results import NetworkName
from latentlab.store import CHUNK_ROWS, StoreSettings, StoreWriter, create_store, peek, resume_store, writer_lock

DRAWING_THREADS = 4


def sample(
    generator: GeneratorLike,
    out: Path | str,
    *,
    network: NetworkName,
    labeller: Labeller | None,
    num_samples: int,
    seed: int = 0,
    batch_size: int = 64,
    noise_mode: NoiseMode = "random",
    truncation_psi: float = 1.0,
    with_images: bool = False,
    with_all_layers: bool = False,
    features: ImageFeatures | None = None,
    shard: tuple[int, int] = (1, 1),
    device: torch.device | str = "cpu",
    team: Team | None = None,
    progress: Progress = silent,
) -> Path:
    """Draw z ~ N(0, I), map it, synthesise, label, and write everything to a store in chunks of constant memory.

    Run again with the same arguments, it continues where it was stopped, or finds that nothing is left to do. Sets the
    datasets z, w (the last layer's, as synthesis used it: truncated if psi is not 1), logits if there is a labeller,
    and what else is asked for.

    Args:
        generator: In eval mode, on `device`.
        out: The store; the folder is made if needed.
        network: Who the generator is, for the store's provenance.
        labeller: Attribute classifiers on `device`, or None for a store without logits. Images are brought to
            their resolution by box filtering; smaller ones are enlarged, with a warning.
        num_samples: How many, of all shards together.
        seed: An integer of 64 bits.
        batch_size: Rows that are handed over together, rounded up to whole blocks; changes nothing but speed.
        noise_mode: "random" (as every published measurement), "const" or "none".
        truncation_psi: 1 for no truncation (as every published measurement).
        with_images: Keep the images, uint8 at full resolution.
        with_all_layers: Keep w of all layers [num_ws, w_dim], too.
        features: Keep feature vectors of the (uint8) images, too.
        shard: (k, n): make only the k-th of n parts, 1 <= k <= n, to be joined by `latentlab store merge`.
        device: Where the generator and the labeller are.
        team: The processes that share the work; this one alone if None. They see one file system.
        progress: Told after every batch of this process.

    Raises:
        OutputExistsError: `out` is no store.
        UsageError: `out` was begun with other settings, or an argument is not allowed.
        StoreError: `out` cannot be written or is being written by another process.
        DataError: the generator or the labeller made numbers that are not finite.
    """
    out, team = Path(out), team or Team()
    _check(num_samples, batch_size, noise_mode, seed=seed, truncation_psi=truncation_psi)
    rows = shard_rows(num_samples, shard)
    settings = StoreSettings(
        num_samples=rows.stop - rows.start,
        seed=seed,
        network={"name": network.name, "sha256": network.sha256},
        classifiers=None if labeller is None else {"name": labeller.name, "sha256": labeller.sha256},
        attributes=() if labeller is None else tuple(labeller.attributes),
        truncation_psi=float(truncation_psi),
        noise_mode=noise_mode,
        has_mapping=has_mapping(generator),
        datasets=_datasets(labeller, with_all_layers, features, with_images),
        first_row=rows.start,
        features=None if features is None else {"name": features.name, "sha256": features.sha256},
        resize="none" if labeller is None else resize_note(generator.img_resolution, labeller.resolution),
    )
    sampler = Sampler(generator, labeller, features, settings, torch.device(device))
    if team.leads:
        with writer_lock(out):
            _create_or_check(out, settings, sampler.widths(), generator.img_resolution)
            team.wait()
            _fill(out, sampler, batch_size, team=team, progress=progress)
    else:
        team.wait()
        _fill(out, sampler, batch_size, team=team, progress=progress)
    team.wait()
    return out


def shard_rows(num_samples: int, shard: tuple[int, int]) -> slice:
    """The sample numbers of the k-th of n shards: whole chunks, so that joined shards equal an undivided store.

    Raises:
        UsageError: k is not in 1..n, or there are fewer chunks than shards.
    """
    number, count = shard
    chunks = -(-num_samples // CHUNK_ROWS)
    if not 1 <= number <= count:
        raise UsageError(f"shard {number}/{count}: the first must be at least 1 and at most the second, such as 2/3.")
    if count > chunks:
        raise UsageError(
            f"{num_samples} samples are {chunks} chunks of {CHUNK_ROWS}: at most {chunks} shards, not {count}."
        )
    start, stop = (chunks * edge // count * CHUNK_ROWS for edge in (number - 1, number))
    return slice(start, min(stop, num_samples))


@dataclass(frozen=True)
class Sampler:
    """Computes the rows of a store, a block at a time."""

    generator: GeneratorLike
    labeller: Labeller | None
    features: ImageFeatures | None
    settings: StoreSettings
    device: torch.device
    taking_turns: Lock = field(default_factory=Lock)

    def widths(self) -> dict[str, int | tuple[int, ...]]:
        """Values per row of each dataset."""
        size, channels = self.generator.img_resolution, self.generator.img_channels
        known: dict[str, int | tuple[int, ...]] = {"z": self.generator.z_dim, "w": self.generator.w_dim}
        known |= {"ws": (self.generator.num_ws, self.generator.w_dim), "logits": len(self.settings.attributes)}
        known |= {"images": (size, size, channels)}
        if self.features is not None:
            known["features"] = self.features(np.zeros((1, size, size, channels), np.uint8)).shape[1]
        return {name: known[name] for name in self.settings.datasets}

    def inputs(self, rows: slice) -> tuple[Tensor, list[Tensor]]:
        """z [N, z_dim] and the noise of some rows, on the CPU."""
        z = sample_z(self.seed, rows, self.generator.z_dim)
        seen = self.settings.noise_mode == "random" and self._looks()
        return z, draw_noise(self.generator, rows, seed=self.seed) if seen else []

    def compute(self, rows: slice) -> dict[str, Tensor]:
        """Everything of some rows."""
        return self.outputs(rows, self.inputs(rows))

    @torch.inference_mode()
    def outputs(self, rows: slice, inputs: tuple[Tensor, list[Tensor]]) -> dict[str, Tensor]:
        """What is computed of some rows, by dataset, where it was computed."""
        z, noise = inputs
        ws = self.generator.mapping(z.to(self.device, non_blocking=True))
        w_avg = torch.as_tensor(self.generator.w_avg, device=self.device)
        ws = truncate(ws, w_avg, cast(float, self.settings.truncation_psi))
        found = {"z": z, "w": ws[:, -1].float(), "ws": ws.float()}
        if self._looks():
            mode = cast(NoiseMode, self.settings.noise_mode)
            images = synthesize(self.generator, [ws], rows=rows, seed=self.seed, noise_mode=mode, noise=noise)[0]
            found |= self._seen(images)
        return {name: found[name] for name in self.settings.datasets}

    @property
    def seed(self) -> int:
        """Of z and noise."""
        return cast(int, self.settings.seed)

    def _looks(self) -> bool:
        """Whether images are needed."""
        return bool({"logits", "features", "images"} & set(self.settings.datasets))

    def _seen(self, images: Tensor) -> dict[str, Tensor]:
        found = {}
        if self.labeller is not None:
            found["logits"] = self._labels(box_resize(images, self.labeller.resolution)).float()
        if "images" in self.settings.datasets or self.features is not None:
            if self.labeller is None and not torch.isfinite(images).all():  # else the logits would tell
                raise DataError("the generator made images that are not finite.")
            found["images"] = quantized(images)
        if self.features is not None:
            found["features"] = torch.from_numpy(self.features(found["images"].cpu().numpy()))
        return found

    def _labels(self, images: Tensor) -> Tensor:
        """Log-odds; a labeller that does not say that threads may share it is called by one at a time."""
        assert self.labeller is not None
        with nullcontext() if getattr(self.labeller, "thread_safe", False) else self.taking_turns:
            return self.labeller(images)


def _fill(out: Path, sampler: Sampler, batch_size: int, *, team: Team, progress: Progress) -> None:
    """Write this process's chunks; when all processes are done, the leading one finishes the store."""
    with resume_store(out, share=(team.rank, team.size)) as writer:
        own = sum(_length(writer.rows(chunk)) for chunk in range(team.rank, writer.num_chunks, team.size))
        done = own - sum(_length(writer.rows(chunk)) for chunk in writer.pending)
        with _writing(writer, sampler.settings.first_row) as write, _computing(sampler, writer, batch_size) as computed:
            for chunk in writer.pending:
                rows, blocks = _numbers(writer, chunk, sampler.settings.first_row), []
                for block, values in computed:
                    blocks.append(values)
                    progress(done + min(block.stop, rows.stop) - rows.start, own)
                    if block.stop >= rows.stop:
                        break
                write(chunk, blocks)
                done += _length(rows)
        team.wait()
        if team.leads:
            writer.finish()


@contextmanager
def _computing(
    sampler: Sampler, writer: StoreWriter, batch_size: int
) -> Iterator[Iterator[tuple[slice, dict[str, Tensor]]]]:
    """The blocks of all pending chunks with what is computed of them, in order.

    On a CPU each block is a thread's, if threads may share the generator; on a GPU threads draw z and noise ahead, and
    this one keeps the GPU's queue filled.
    """
    size = block_rows(sampler.generator.img_resolution)
    numbers = (_numbers(writer, chunk, sampler.settings.first_row) for chunk in writer.pending)
    blocks = [slice(start, start + size) for rows in numbers for start in range(rows.start, rows.stop, size)]
    on_cpu = sampler.device.type == "cpu"
    workers = DRAWING_THREADS if not on_cpu else torch.get_num_threads() if threads_may_share(sampler.generator) else 1
    ahead = workers + -(-batch_size // size)
    with block_pool(workers) as pool, full_precision():
        if on_cpu:
            yield in_order(pool, sampler.compute, blocks, ahead=ahead)
        else:
            drawn = in_order(pool, sampler.inputs, blocks, ahead=ahead)
            yield ((block, sampler.outputs(block, inputs)) for block, inputs in drawn)


@contextmanager
def _writing(writer: StoreWriter, first_row: int) -> Iterator[Callable[[int, list[dict[str, Tensor]]], None]]:
    """A function that takes the blocks of a chunk and has them written by a thread, at most two chunks behind."""
    behind: deque[Future[None]] = deque()

    def write(chunk: int, blocks: list[dict[str, Tensor]]) -> None:
        rows = _numbers(writer, chunk, first_row)
        arrays = {name: torch.cat([b[name] for b in blocks])[: _length(rows)].cpu().numpy() for name in blocks[0]}
        _check_finite(arrays, rows.start)
        writer.write_chunk(chunk, arrays)

    def submit(chunk: int, blocks: list[dict[str, Tensor]]) -> None:
        behind.append(pool.submit(write, chunk, blocks))
        while len(behind) > 2:
            behind.popleft().result()

    with ThreadPoolExecutor(1) as pool:
        yield submit
        for written in behind:
            written.result()


def _numbers(writer: StoreWriter, chunk: int, first_row: int) -> slice:
    """The sample numbers of a chunk."""
    rows = writer.rows(chunk)
    return slice(first_row + rows.start, first_row + rows.stop)


def _length(rows: slice) -> int:
    return int(rows.stop - rows.start)


def _datasets(
    labeller: Labeller | None, with_all_layers: bool, features: ImageFeatures | None, with_images: bool
) -> tuple[str, ...]:
    asked = {"ws": with_all_layers, "logits": labeller, "features": features, "images": with_images}
    return ("z", "w", *(name for name, value in asked.items() if value not in (None, False)))


def _check(num_samples: int, batch_size: int, noise_mode: str, *, seed: int, truncation_psi: float) -> None:
    if num_samples < 1 or batch_size < 1:
        raise UsageError(f"num_samples is {num_samples} and batch_size {batch_size}; both must be at least 1.")
    if noise_mode not in get_args(NoiseMode):
        raise UsageError(f"noise_mode is {noise_mode!r}; it must be one of {', '.join(get_args(NoiseMode))}.")
    if not -(2**63) <= seed < 2**63:
        raise UsageError(f"seed is {seed}; it must be between -2^63 and 2^63 - 1, so that a store can hold it.")
    if not math.isfinite(truncation_psi):
        raise UsageError(f"truncation psi is {truncation_psi}; it must be a finite number, 1 for no truncation.")


def _check_finite(arrays: Mapping[str, np.ndarray], first: int) -> None:
    for name, values in arrays.items():
        wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if len(wrong):
            makers = {"logits": "generator or the classifiers", "features": "generator or the features' network"}
            raise DataError(
                f"the {makers.get(name, 'generator')} made values of {name} that are not finite, first in "
                f"sample {first + wrong[0]}."
            )


def chunk_rows(resolution: int) -> int:
    """Rows that are written together, which is what a kill costs: fewer where images are large and slow to make."""
    return max(CHUNK_ROWS // 8, min(CHUNK_ROWS, CHUNK_ROWS * 128 // resolution))


def _create_or_check(
    out: Path, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], resolution: int
) -> None:
    """Leave a store of exactly these settings at `out`, or raise."""
    if out.is_dir():
        raise OutputExistsError(f"{out} is a folder: name a file in it, such as {out / 'run.h5'}.")
    if not out.exists():
        create_store(out, settings, widths, chunk_rows=chunk_rows(resolution))
        return
    try:
        found, done, complete = peek(out)
    except StoreError as error:
        raise OutputExistsError(f"{error} Nothing was changed.") from error
    differences = settings.differences(found)
    if differences:
        state = "is complete" if complete else f"was begun ({done} of {found.num_samples} samples)"
        raise UsageError(
            f"{out} {state} with other settings: {'; '.join(differences)}. "
            "Use the same settings, name another --out, or remove the file."
        )
