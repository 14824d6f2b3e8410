"""Checkpoints of torch.save that other implementations wrote: whose one is, and its generator in our class."""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from latentlab.checkpoint import AnyGenerator
from latentlab.errors import CheckpointError, UsageError
from latentlab.interop.pickles.cursor import shown
from latentlab.interop.pickles.sniffing import TORCH_OLD
from latentlab.interop.rosinality import AVERAGED, generator_from_checkpoint, is_rosinality
from latentlab.interop.rosinality_stylegan import is_rosinality_stylegan, stylegan_from_checkpoint

STYLEGAN, STYLEGAN2 = "StyleGAN checkpoint of Rosinality's port", "StyleGAN2 checkpoint of Rosinality's port"
LUCIDRAINS = (
    "is a checkpoint of lucidrains' stylegan2-pytorch, another network than StyleGAN2 (bilinear growing, no scales in "
    "its weights), which is not converted: measure it by a factory in Python, of which docs/own-networks.md has one."
)
_LUCIDRAINS = ("blocks.0.to_style1.weight", "blocks.0.to_noise1.weight", "blocks.0.to_rgb.to_style.weight")


@dataclass(frozen=True)
class Checkpoint:
    """A generator out of a checkpoint.

    Attributes:
        generator: In eval mode, on the CPU, without gradients.
        which: Its name in the file.
        kind: Whose checkpoint it is.
        notes: What was chosen or drawn where the file does not say it.
    """

    generator: AnyGenerator
    which: str
    kind: str
    notes: tuple[str, ...] = ()


def is_torch_archive(path: Path) -> bool:
    """Whether a file was written by torch.save, as a zip archive or in the form before that."""
    try:
        with path.open("rb") as file:
            return file.read(16).startswith((b"PK", TORCH_OLD))
    except OSError:
        return False


def described_checkpoint(path: Path) -> str | None:
    """What there is to say of a checkpoint whose kind is known, in one sentence that begins with its path."""
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError:
        return None
    if is_lucidrains(checkpoint):
        return f"{path} {LUCIDRAINS}"
    if is_rosinality(checkpoint) or is_rosinality_stylegan(checkpoint):
        kind = _kind(path, checkpoint)
        return f"{path} is a {kind}, not an official network file: `latentlab networks convert` takes it."
    return None


def convert_checkpoint(path: Path, *, which: str | None = None, resolution: int | None = None) -> Checkpoint:
    """The generator of a checkpoint; nothing in it is executed.

    Args:
        path: A file of torch.save.
        which: The generator's name in it; the averaged one if left out.
        resolution: Of the images, where a file has layers for several.

    Raises:
        CheckpointError: It is of another kind, damaged, or tensors do not fit.
        UsageError: There is no such generator, or no such resolution.
    """
    checkpoint = open_checkpoint(path)
    kind = _kind(path, checkpoint)
    try:
        if kind == STYLEGAN:
            found = stylegan_from_checkpoint(checkpoint, which=which, resolution=resolution)
            return Checkpoint(found.generator, found.which, kind, found.notes)
        if which not in (None, AVERAGED):
            raise UsageError(f"--which {which}: of this port only the averaged generator, {AVERAGED}, is converted.")
        if resolution is not None:
            raise UsageError("--resolution: a StyleGAN2 network has one; leave it out.")
        return Checkpoint(generator_from_checkpoint(checkpoint), AVERAGED, kind)
    except (CheckpointError, UsageError) as error:
        raise type(error)(f"{path}: {shown(str(error), 4000)}") from error


def open_checkpoint(path: Path) -> Any:
    """What a file of torch.save holds, read without executing anything.

    Raises:
        CheckpointError: It holds more than tensors and plain values, is compressed, cut short or damaged.
    """
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused later
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for files that are no checkpoints
        raise CheckpointError(
            f"{path} is no checkpoint of tensors alone, or it is cut short or damaged ({type(error).__name__}). What "
            "would have to be executed is not read."
        ) from error


def _kind(path: Path, checkpoint: Any) -> str:
    if is_rosinality(checkpoint):
        return STYLEGAN2
    if is_rosinality_stylegan(checkpoint):
        return STYLEGAN
    if is_lucidrains(checkpoint):
        raise CheckpointError(f"{path} {LUCIDRAINS}")
    keys = ", ".join(map(str, list(checkpoint)[:6])) if isinstance(checkpoint, dict) else type(checkpoint).__name__
    raise CheckpointError(
        f"{path} is a PyTorch checkpoint of a kind that is not known ({shown(keys)}); those of Rosinality's StyleGAN "
        "and StyleGAN2 are. Measure other networks by a factory in Python (docs/own-networks.md)."
    )


def is_lucidrains(checkpoint: Any) -> bool:
    """Whether an object from a file has the names of lucidrains' generator, whole models' (`GAN`) or its own."""
    if not isinstance(checkpoint, Mapping):
        return False
    state = checkpoint.get("GAN", checkpoint)
    return isinstance(state, Mapping) and any(
        all(f"{prefix}{name}" in state for name in _LUCIDRAINS) for prefix in ("GE.", "G.", "")
    )


def _check_archive(path: Path) -> None:
    """Refuse a zip archive whose parts are compressed: torch.save stores them as they are, and a bomb does not.

    Raises:
        CheckpointError: saying so.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        inside = sum(entry.file_size for entry in archive.infolist())
    if inside > path.stat().st_size:
        raise CheckpointError(f"{path} would unpack to {inside:,} bytes; torch.save compresses nothing.")
