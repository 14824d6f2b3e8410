"""Sums over rows that Newton's method needs, in blocks, threads and processes; and which rows are in the margin."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_pool
from latentlab.distributed import Team
from latentlab.errors import DataError
from latentlab.memory import memory_of_machine

MOST_MEMORY = 2**28
"""Bytes that all preconditioners, and the rows gathered for them, may take."""
_BLOCK = {"cpu": 2048, "cuda": 32768}
_SKETCH_ROWS = 2048
_SMALL_MEAN = 0.1  # of the root mean square of every feature: then means are left on
Made = TypeVar("Made")


class Rows(Protocol):
    """Features [N, D] that are read in slices: an array, a memory map, an HDF5 dataset, or `LatentStore.rows`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Some rows, [n, D]."""


class Problem:
    """The rows, their signs, and which of them are inside the margin: the sums over rows that Newton's method needs."""

    def __init__(self, x: Rows, signs: np.ndarray, *, device: torch.device, team: Team) -> None:
        self.dims, self.device, self.team, self.x = x.shape[1], device, team, x
        size = _BLOCK[device.type]
        starts = range(0, x.shape[0], size)
        self.blocks = [slice(start, min(start + size, x.shape[0])) for start in starts][team.rank :: team.size]
        self.held: dict[int, Tensor] = {}
        self.mean = torch.zeros(self.dims, device=device)
        if _fits(sum(rows.stop - rows.start for rows in self.blocks) * self.dims * 4, device):
            self.held = {rows.start: self.block(rows) for rows in self.blocks}
        self._centre(x.shape[0])
        self.signs = torch.from_numpy(np.ascontiguousarray(signs, np.int8)).to(device)
        self.active = self.signs != 0
        draws = np.random.Generator(np.random.Philox(0)).random(x.shape[0], np.float32)
        self.priority = torch.from_numpy(draws).to(device)
        self.workers = torch.get_num_threads() if device.type == "cpu" else 1

    def block(self, rows: slice) -> Tensor:
        """Features less their means, float32 [n, D], on the device."""
        if rows.start in self.held:
            return self.held[rows.start]
        found = torch.from_numpy(np.ascontiguousarray(self.x[rows], np.float32)).to(self.device)
        return found - self.mean if self.mean.any() else found

    def _centre(self, num_rows: int) -> None:
        """Take the means off, unless they are small beside the spread; else they would eat up float32's digits."""

        def of(rows: slice) -> Tensor:
            x = self.block(rows)
            return torch.stack([x.sum(0, dtype=torch.float64), x.square().sum(0, dtype=torch.float64)])

        sums = self.total([of(rows) for rows in self.blocks], (2, self.dims)) / num_rows
        check_finite(sums)
        if bool((sums[0] ** 2 > _SMALL_MEAN**2 * sums[1]).any()):
            mean = sums[0].float()
            for start in self.held:
                self.held[start] = self.held[start] - mean
            self.mean = mean

    @contextmanager
    def thinned(self, share: int) -> Iterator[None]:
        """For a while, take one in `share` blocks for all; the same ones whatever the number of processes."""
        everything = self.blocks
        size = _BLOCK[self.device.type]
        self.blocks = [rows for rows in everything if rows.start // size % share == 0]
        try:
            yield
        finally:
            self.blocks = everything

    def mapped(self, function: Callable[[Any], Made], items: Sequence[Any]) -> list[Made]:
        """The function of all items, in order; on a CPU one thread each."""
        if self.workers == 1:
            return [function(item) for item in items]
        with block_pool(self.workers) as pool:
            return list(pool.map(torch.inference_mode()(function), items))

    def total(self, parts: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
        """Sum in float64, over blocks and processes."""
        whole = torch.zeros(shape, dtype=torch.float64, device=self.device)
        for part in parts:
            whole += part
        self.team.add([whole])
        return whole

    def gradient(self, weights: Tensor, columns: Tensor, *, kind: torch.dtype) -> tuple[Tensor, Tensor]:
        """sum_i r_i y_i x_i with r_i = max(0, 1 - y_i w.x_i), [p, D + 1], and how many rows are active (r_i > 0), [p].

        Computes in float32 or float64, and remembers which rows are active.
        """
        normals, offsets = _parts(weights, kind)

        def of(rows: slice) -> Tensor:
            x, y = self.block(rows).to(kind), self.signs[rows][:, columns].to(kind)
            residuals = torch.addmm(offsets, x, normals).mul_(y)
            residuals = torch.sub(y.abs(), residuals).clamp_(min=0)  # 0 where y is 0
            active = residuals > 0
            self.active[rows].index_copy_(1, columns, active)
            residuals *= y
            return torch.cat([residuals.t() @ x, residuals.sum(0)[:, None], active.sum(0)[:, None].to(kind)], 1)

        found = self.total(self.mapped(of, self.blocks), (len(columns), self.dims + 2))
        return found[:, :-1], found[:, -1]

    def curvature(self, directions: Tensor, columns: Tensor) -> Tensor:
        """X_S' X_S d for the active rows S of each column, [p, D + 1]."""
        normals, offsets = _parts(directions, torch.float32)

        def of(rows: slice) -> Tensor:
            x = self.block(rows)
            products = torch.addmm(offsets, x, normals).mul_(self.active[rows][:, columns])
            return torch.cat([products.t() @ x, products.sum(0)[:, None]], 1)

        return self.total(self.mapped(of, self.blocks), (len(columns), self.dims + 1))

    def inverses(self, columns: Tensor, counts: Tensor, c: float, *, kind: torch.dtype) -> list[Tensor]:
        """(R + 2 C X_S' X_S)^-1 of each column, float64 [D + 1, D + 1], estimated from a draw of the active rows S.

        R is the penalty's part; products are in float32 or float64.
        """
        most = max(_SKETCH_ROWS, 4 * self.dims)
        at_once = max(1, MOST_MEMORY // (4 * most * self.dims))
        found: list[Tensor] = []
        for start in range(0, len(columns), at_once):
            some = columns[start : start + at_once]
            drawn = self._drawn(some, most / counts[start : start + at_once])
            grams = torch.stack(self.mapped(lambda parts: _gram(parts, kind), drawn))
            self.team.add([grams])
            check_finite(grams)
            scales = 2 * c * counts[start : start + at_once] / grams[:, -1, -1].clamp(min=1)
            grams.mul_(scales[:, None, None]).add_(self.penalty(torch.eye(self.dims + 1).to(grams)))
            found += self.mapped(lambda hessian: hessian.copy_(_inverse(hessian, kind)), list(grams))
        return found

    def penalty(self, weights: Tensor) -> Tensor:
        """Derivative of |w|^2 / 2 + b^2 / 2, [..., D + 1]; the offset here is b + mean . w."""
        mean = self.mean.double()
        offset = weights[..., -1] - weights[..., :-1] @ mean
        return torch.cat([weights[..., :-1] - offset[..., None] * mean, offset[..., None]], -1)

    def length(self, gradients: Tensor) -> Tensor:
        """|gradient| by weights and intercept of features with their means, [p]."""
        by_weights = gradients[:, :-1] + gradients[:, -1:] * self.mean.double()
        return torch.cat([by_weights, gradients[:, -1:]], 1).norm(dim=1)

    def intercepts(self, weights: Tensor) -> Tensor:
        """b for features with their means, [p]."""
        return weights[:, -1] - weights[:, :-1] @ self.mean.double()

    def _drawn(self, columns: Tensor, shares: Tensor) -> list[list[Tensor]]:
        """For each column a share of its active rows (of this process), block by block, [n, D] each."""

        def of(rows: slice) -> tuple[Tensor, ...]:
            chosen = (self.active[rows][:, columns] & (self.priority[rows][:, None] < shares)).t().contiguous()
            return self.block(rows)[chosen.nonzero()[:, 1]].split(chosen.sum(1).tolist())

        found = self.mapped(of, self.blocks) or [(torch.empty(0, self.dims, device=self.device),) * len(columns)]
        return [list(parts) for parts in zip(*found, strict=True)]


def _gram(parts: Sequence[Tensor], kind: torch.dtype) -> Tensor:
    """X' X of rows with a last feature of 1, float64 [D + 1, D + 1]."""
    rows = torch.cat(list(parts)).to(kind)
    sums = torch.cat([rows.sum(0), rows.new_full((1,), len(rows))])
    products = torch.cat([rows.t() @ rows, sums[None, :-1]])
    return torch.cat([products, sums[:, None]], 1).double()


def _inverse(hessian: Tensor, kind: torch.dtype) -> Tensor:
    """The inverse; the diagonal is scaled to 1 first, and raised by what rounding could make indefinite."""
    scale = hessian.diagonal().rsqrt()
    scaled = hessian * scale * scale[:, None]
    scaled.diagonal().add_(1e-6 if kind == torch.float32 else 1e-13)
    return torch.cholesky_inverse(torch.linalg.cholesky(scaled)) * scale * scale[:, None]


def _parts(weights: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Normals [D, p] and offsets [p]."""
    cast = weights.to(kind)
    return cast[:, :-1].t().contiguous(), cast[:, -1].contiguous()


def check_finite(sums: Tensor) -> None:
    """Raise `DataError` for sums that float32 does not hold."""
    if not sums.isfinite().all():
        raise DataError(
            "the sums of an SVM exceed what float32 holds: the features are too large (scale them) or not finite."
        )


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of features are to be kept: a quarter of the memory, half of what a GPU has left."""
    return size <= (memory_of_machine() // 4 if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 2)
