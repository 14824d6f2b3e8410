"""What LatentLab asks of a generator and of a labeller, and the one place that calls a generator's synthesis.

Any object with these attributes will do: LatentLab's own networks, StyleGAN2-ADA and StyleGAN3 modules (their
spelling is used), or a user's wrapper around something else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol

import torch

from latentlab.errors import UsageError
from latentlab.latents import sample_noise, slerp, slerp_with_lengths
from latentlab.randomness import derive_seed

NoiseMode = Literal["random", "const", "none"]
TO_FLOAT = "return float32 in [-1, 1] (0 to 255 becomes that when divided by 127.5, less 1)"
"""What to do about images of integers."""
FOREIGN_BLOCK = 8
"""Rows per synthesis call for generators that draw their own noise: the draw depends on the call's batch."""


class GeneratorLike(Protocol):
    """A generator, in eval mode and on the device the caller names.

    `synthesis` also takes `noise=[one tensor [N, 1, H, W] per layer]` if it has the attribute `noise_shapes`, a list
    of (H, W), empty for a network without noise inputs. Without that attribute it is taken to draw its own noise
    from torch's global generator.

    Three more attributes may be left out: `has_mapping` (True), False where W is Z; `normalizes_z` (True), False where
    the length of z matters; and `thread_safe` (False), True where several threads may call it at once.
    """

    z_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int
    w_avg: Any  # [w_dim]

    @property
    def mapping(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Maps z [N, z_dim] to ws [N, num_ws, w_dim]."""

    @property
    def synthesis(self) -> Callable[..., torch.Tensor]:
        """Maps ws [N, num_ws, w_dim] to float32 images [N, C, H, W], nominally in [-1, 1]."""


class Labeller(Protocol):
    """Attribute classifiers: square images [N, C, R, R], nominally in [-1, 1] -> log-odds [N, A] (> 0 = present).

    One that has the attribute `thread_safe` and there True may be called by several threads at once.
    """

    name: str
    sha256: str

    @property
    def attributes(self) -> tuple[str, ...]:
        """A names, in the order of the logits."""

    @property
    def resolution(self) -> int | None:
        """R, height and width of the images it takes; None if it takes any size."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Label a batch."""


def has_mapping(generator: GeneratorLike) -> bool:
    """Whether W differs from Z; a mapping of zero layers only normalises z."""
    return bool(getattr(generator, "has_mapping", True))


def normalizes_z(generator: GeneratorLike) -> bool:
    """Whether only the direction of z matters, as in StyleGAN, whose mapping normalises z; assumed if not denied."""
    return bool(getattr(generator, "normalizes_z", True))


def walk_z(generator: GeneratorLike, z0: torch.Tensor, z1: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """Points of Z [N, z_dim] at `t` on the way from z0 to z1: by slerp, of unit length as in the official code.

    A generator that does not normalise z has never seen points of unit length; there lengths are interpolated, too.
    """
    return (slerp if normalizes_z(generator) else slerp_with_lengths)(z0, z1, t)


def synthesize(
    generator: GeneratorLike,
    views: Sequence[torch.Tensor],
    *,
    rows: slice,
    seed: int,
    stream: str = "noise",
    noise_mode: NoiseMode = "random",
    noise: list[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Images of one or more views [len(rows), num_ws, w_dim] per row; all views of a row share its noise.

    The noise of row i is a function of (seed, stream, i) alone. Generators that draw their own noise are run on
    whole blocks of eight rows under a seed of the block, so that this holds for them, too. `noise` is what `draw_noise`
    gave, for callers that draw it ahead of time.

    Raises:
        UsageError: the images have another shape than the generator's attributes say, or are integers.
    """
    if noise_mode != "random":
        images = _at_once(generator, views, noise_mode, None)
    elif takes_noise(generator):
        drawn = noise or draw_noise(generator, rows, seed=seed, stream=stream)
        layers = [layer.to(views[0].device, non_blocking=True) for layer in drawn]
        images = _at_once(generator, views, noise_mode, layers or None)
    else:
        images = _foreign(generator, views, rows=rows, address=(seed, stream))
    _check_shape(generator, images[0])
    return images


def takes_noise(generator: GeneratorLike) -> bool:
    """Whether noise can be handed to the synthesis, so that it draws nothing from torch's global generator."""
    return hasattr(generator.synthesis, "noise_shapes")


def threads_may_share(generator: GeneratorLike) -> bool:
    """Whether several threads may call the generator at once: it says so, and draws from no global generator."""
    return takes_noise(generator) and bool(getattr(generator, "thread_safe", False))


def draw_noise(generator: GeneratorLike, rows: slice, *, seed: int, stream: str = "noise") -> list[torch.Tensor]:
    """The noise [len(rows), 1, H, W] of every layer, on the CPU; none for a generator that has or takes none."""
    shapes: list[tuple[int, int]] = getattr(generator.synthesis, "noise_shapes", [])
    return sample_noise(seed, rows, shapes, stream=stream) if shapes else []


@contextmanager
def cuda_arithmetic(*, tf32: bool, benchmark: bool | None = None) -> Iterator[None]:
    """How CUDA computes convolutions and products of matrices; the caller's settings are restored, CPUs untouched.

    Args:
        tf32: Whether the factors of float32 products may be rounded to TF32 (10 bits after the point).
        benchmark: Whether cuDNN tries its algorithms when a shape is met first, and keeps the fastest; for loops over
            the same shapes. None leaves this as it is.
    """
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        with cudnn.flags(
            enabled=cudnn.enabled,  # off if left out
            benchmark=cudnn.benchmark if benchmark is None else benchmark,
            deterministic=cudnn.deterministic,
            allow_tf32=tf32,
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


def full_precision() -> AbstractContextManager[None]:
    """Exact float32 arithmetic: TF32 off for convolutions and matrix products, the caller's settings restored."""
    return cuda_arithmetic(tf32=False)


def _at_once(
    generator: GeneratorLike, views: Sequence[torch.Tensor], noise_mode: NoiseMode, noise: list[torch.Tensor] | None
) -> list[torch.Tensor]:
    """One synthesis call for all views, so that equal views give bitwise equal images."""
    ws = torch.cat(list(views))
    if noise is None:
        images = generator.synthesis(ws, noise_mode=noise_mode)
    else:
        shared = [layer if len(layer) == 1 else layer.repeat(len(views), 1, 1, 1) for layer in noise]
        images = generator.synthesis(ws, noise_mode=noise_mode, noise=shared)
    return list(_float32(images).chunk(len(views)))


def _foreign(
    generator: GeneratorLike, views: Sequence[torch.Tensor], *, rows: slice, address: tuple[int, str]
) -> list[torch.Tensor]:
    """Run whole blocks of rows under a seed of their own; rows of a block that were not asked for are dropped."""
    first_block, end_block = rows.start // FOREIGN_BLOCK, -(-rows.stop // FOREIGN_BLOCK)
    offset = rows.start - first_block * FOREIGN_BLOCK
    missing = end_block * FOREIGN_BLOCK - rows.stop
    images = []
    for ws in views:
        padded = torch.cat([ws[:1].expand(offset, -1, -1), ws, ws[-1:].expand(missing, -1, -1)])
        blocks = padded.split(FOREIGN_BLOCK)
        drawn = [_seeded(generator, block, derive_seed(*address, first_block + i)) for i, block in enumerate(blocks)]
        images.append(torch.cat(drawn)[offset : offset + len(ws)])
    return images


def _seeded(generator: GeneratorLike, ws: torch.Tensor, seed: int) -> torch.Tensor:
    """One synthesis call under a seed; torch's global generators are put back afterwards."""
    with torch.random.fork_rng(devices=[ws.device] if ws.device.type == "cuda" else []):
        torch.manual_seed(seed)
        return _float32(generator.synthesis(ws, noise_mode="random"))


def _float32(images: torch.Tensor) -> torch.Tensor:
    if not images.is_floating_point():
        raise UsageError(f"the generator's images are {str(images.dtype).removeprefix('torch.')}: {TO_FLOAT}.")
    return images.float()


def _check_shape(generator: GeneratorLike, images: torch.Tensor) -> None:
    expected = (generator.img_channels, generator.img_resolution, generator.img_resolution)
    if tuple(images.shape[1:]) != expected:
        raise UsageError(
            f"the generator's images have the shape {list(images.shape)}, but its img_channels and img_resolution "
            f"say [N, {', '.join(map(str, expected))}]: correct these attributes."
        )
