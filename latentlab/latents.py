"""Points of Z and W: sampling them by address, walking between them, truncating them."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from latentlab.randomness import normal_rows, random_bits


def sample_z(seed: int, rows: slice | np.ndarray, z_dim: int, *, stream: str = "z") -> torch.Tensor:
    """Rows of Z, standard normal float32 [len(rows), z_dim]; row i is a function of (seed, stream, i) alone."""
    return torch.from_numpy(normal_rows(seed, stream, rows, z_dim))


def sample_noise(
    seed: int, rows: slice | np.ndarray, shapes: Sequence[tuple[int, int]], *, stream: str = "noise"
) -> list[torch.Tensor]:
    """Noise inputs of a style generator for the given rows: one float32 [len(rows), 1, H, W] per layer.

    Standard normal by the inverse error function in float32, from 24 bits each, so that it costs little beside the
    network that takes it: the 2,720 numbers of a 32x32 generator 13 us, where `normal_rows` takes 75.
    """
    sizes = [height * width for height, width in shapes]
    bits = torch.from_numpy(random_bits(seed, stream, rows, sum(sizes)).view(np.int32))
    symmetric = (bits >> 8).float().add_(0.5).mul_(2.0**-23)  # in (-1, 1), exact
    flat = torch.erfinv(symmetric).mul_(math.sqrt(2))
    return [part.reshape(-1, 1, *shape) for part, shape in zip(flat.split(sizes, dim=1), shapes, strict=True)]


def normalize(x: torch.Tensor) -> torch.Tensor:
    """Scale the last axis to unit length (official metrics/perceptual_path_length.py); zeros stay zeros."""
    squares = x.square().sum(dim=-1, keepdim=True)
    return x / squares.clamp_min(torch.finfo(x.dtype).tiny).sqrt()


def lerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """Linear interpolation a + (b - a) * t."""
    return a + (b - a) * t


def slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """Spherical interpolation of the directions of `a` and `b` [..., D]; the result has unit length.

    `t` broadcasts against [..., 1]. Follows the official implementation: both ends are normalised first, and the
    result is normalised again. Between equal directions the walk stands still; between exactly opposite ones,
    where no shortest way exists, it stays on the line of `a`.
    """
    a, b = normalize(a), normalize(b)
    cosine = (a * b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = t * torch.acos(cosine)
    orthogonal = normalize(b - cosine * a)
    return normalize(a * torch.cos(angle) + orthogonal * torch.sin(angle))


def slerp_with_lengths(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """`slerp`, times the interpolated lengths of `a` and `b`, for networks in which the length of z matters."""
    return slerp(a, b, t) * lerp(a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True), t)


def truncate(ws: torch.Tensor, w_avg: torch.Tensor, psi: float, cutoff: int | None = None) -> torch.Tensor:
    """The truncation trick (paper, appendix B): w' = w_avg + psi * (w - w_avg) on the first `cutoff` layers.

    Args:
        ws: [N, num_ws, w_dim].
        w_avg: [w_dim], the average of W.
        psi: 1 leaves ws as they are, 0 gives the average.
        cutoff: How many layers are truncated; None for all of them. The paper's figures use 8.
    """
    if psi == 1:
        return ws
    layers = ws.shape[1] if cutoff is None else cutoff
    truncated = lerp(w_avg.to(ws.dtype), ws[:, :layers], psi)
    return torch.cat([truncated, ws[:, layers:]], dim=1)
