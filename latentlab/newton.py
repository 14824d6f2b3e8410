"""Many L2-regularised linear SVMs with squared hinge loss in the primal, by Newton's method, all at once.

Minimised over w for every column p, with one more feature that is always 1 (its weight, the intercept, is regularised
like the others, as liblinear does):

    |w|^2 / 2 + C sum_i max(0, 1 - y_i w.x_i)^2       over the rows with y_i = +1 or -1 (0: left out)

The objective is convex and piecewise quadratic; its generalised Hessian is I + 2 C X_S' X_S with S the rows inside the
margin (Keerthi and DeCoste, 2005; Mangasarian, 2002). One pass over the rows serves all columns: matrix products do
the work where solvers for one column are bound by memory. The systems are solved by conjugate gradients, preconditioned
by the exact inverse for a draw of at most max(2048, 4 D) of the rows in S. The first steps see a quarter of the rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_pool
from latentlab.distributed import Team
from latentlab.errors import DataError
from latentlab.memory import memory_of_machine
from latentlab.progress import Progress, silent
from latentlab.protocols import full_precision

MAX_ITER = 100
TOLERANCE = 1e-4
"""liblinear's rule with its default: |gradient| <= tolerance * min(positives, negatives) / n * |gradient at w = 0|."""
CLOSE = 1e-5
"""And the next Newton step, the estimated distance to the optimum, at most this share of |w|."""
MOST_CG = 40
_BLOCK = {"cpu": 2048, "cuda": 32768}
_SKETCH_ROWS = 2048
_CHANGED = 0.3  # of the active rows, after which a preconditioner is made anew
_SLOW_CG = 5  # conjugate-gradient steps, after which it is made anew, too
_MOST_MEMORY = 2**28  # bytes of preconditioners, and of gathered rows
_MOST_STEPS = 12  # of a line search
_SMALL_MEAN = 0.1  # of the root mean square of every feature: then means are left on
_STILL = 0.5  # of the distance before; a column that comes no nearer than this goes on in float64
_FEW = 4  # conjugate gradients end when at most 1 / _FEW of the columns would go on
_ROUGH_SHARE, _ROUGH_STEPS, _ROUGH_ROWS = 4, 4, 16
"""Begin with steps on a share 1 / 4 of the blocks, where that has at least 16 rows per dimension for every column."""
Made = TypeVar("Made")


class Rows(Protocol):
    """Features [N, D] that are read in slices: an array, a memory map, an HDF5 dataset, or `LatentStore.rows`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    def __getitem__(self, rows: slice, /) -> Any:
        """Some rows, [n, D]."""


@dataclass(frozen=True)
class Solution:
    """What `solve` found.

    Attributes:
        weights: float64 [P, D + 1], the intercept last; zeros for columns of one class.
        converged: bool [P]; liblinear's rule holds and the next step is at most `CLOSE` of the weights.
        iterations: int [P], Newton steps.
        gradient: float64 [P], |gradient| as a share of the gradient at w = 0.
    """

    weights: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray
    gradient: np.ndarray


def solve(
    x: Rows,
    signs: np.ndarray,
    *,
    c: float = 1.0,
    device: torch.device | str = "cpu",
    team: Team | None = None,
    progress: Progress = silent,
) -> Solution:
    """Solve for all columns to convergence.

    Rows are kept in float32 and read in blocks, sums over blocks are float64. In the memory, on the disk, or shared by
    processes (process r of n works on the blocks r, r + n, ...), the solution is the same up to the rounding of sums.

    Args:
        x: Features [N, D]. Arrays are used in place; other rows are kept in memory if this process's take at most a
            quarter of it, else read again in every pass. On a GPU they are kept if they take at most half of what is
            free there.
        signs: int8 [N, P]: 1 and -1 for the classes, 0 for rows that are left out.
        c: The weight of the losses.
        device: Where to compute.
        team: The processes that share the rows; each has `x` and `signs` whole.
        progress: Told how many columns are done.

    Raises:
        DataError: values or their squares exceed float32.
    """
    dims, columns = x.shape[1], signs.shape[1]
    together = max(1, min(256, _MOST_MEMORY // (8 * (dims + 1) ** 2)))
    parts = []
    with full_precision(), torch.inference_mode():
        for start in range(0, columns, together):

            def told(done: int, start: int = start) -> None:
                progress(start + done, columns)

            problem = _Problem(x, signs[:, start : start + together], device=torch.device(device), team=team or Team())
            parts.append(_newton(problem, c, told))
    fields = zip(*((p.weights, p.converged, p.iterations, p.gradient) for p in parts), strict=True)
    return Solution(*(np.concatenate(field) for field in fields))


class _Problem:
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
        _check_finite(sums)
        if bool((sums[0] ** 2 > _SMALL_MEAN**2 * sums[1]).any()):
            mean = sums[0].float()
            for start in self.held:
                self.held[start] = self.held[start] - mean
            self.mean = mean

    @contextmanager
    def thinned(self) -> Iterator[None]:
        """For a while, take a share of the blocks for all; the same ones whatever the number of processes."""
        everything = self.blocks
        size = _BLOCK[self.device.type]
        self.blocks = [rows for rows in everything if rows.start // size % _ROUGH_SHARE == 0]
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

    def inverses(self, columns: Tensor, counts: Tensor, c: float, *, kind: torch.dtype) -> Tensor:
        """(R + 2 C X_S' X_S)^-1, float64 [p, D + 1, D + 1], estimated from a draw of the active rows S.

        R is the penalty's part; products are in float32 or float64.
        """
        most = max(_SKETCH_ROWS, 4 * self.dims)
        at_once = max(1, _MOST_MEMORY // (4 * most * self.dims))
        parts = []
        for start in range(0, len(columns), at_once):
            some = columns[start : start + at_once]
            drawn = self._drawn(some, most / counts[start : start + at_once])
            grams = torch.stack(self.mapped(lambda parts: _gram(parts, kind), drawn))
            self.team.add([grams])
            _check_finite(grams)
            scales = 2 * c * counts[start : start + at_once] / grams[:, -1, -1].clamp(min=1)
            hessians = grams * scales[:, None, None] + self.penalty(torch.eye(self.dims + 1).to(grams))
            parts += self.mapped(lambda hessian: _inverse(hessian, kind), list(hessians))
        return torch.stack(parts)

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


def _newton(problem: _Problem, c: float, told: Callable[[int], None]) -> Solution:
    """Newton's method with line search, for all columns in step; a column leaves when it has converged."""
    state = _State(problem, c)
    if state.fewest >= _ROUGH_SHARE * _ROUGH_ROWS * problem.dims:
        with problem.thinned():
            rough = _State(problem, c * _ROUGH_SHARE)
            for _ in range(_ROUGH_STEPS):
                rough.advance()
        state.look(rough.weights[state.live], state.live)
    while len(state.live):
        state.advance()
        told(state.columns - len(state.live))
    return state.solution()


class _State:
    """Where every column stands."""

    def __init__(self, problem: _Problem, c: float) -> None:
        self.problem, self.c, columns = problem, c, problem.signs.shape[1]
        self.columns, device = columns, problem.device
        positives, kept = (problem.signs > 0).sum(0), (problem.signs != 0).sum(0)
        rarer = torch.minimum(positives, kept - positives)
        everyone = torch.arange(columns, device=device)
        self.live = everyone[rarer > 0]
        self.fewest = int(kept[self.live].min()) if len(self.live) else 0
        self.weights = torch.zeros(columns, problem.dims + 1, dtype=torch.float64, device=device)
        self.gradients, self.counts = torch.zeros_like(self.weights), torch.zeros_like(self.weights[:, 0])
        self.exact = torch.zeros(columns, dtype=torch.bool, device=device)
        self.look(self.weights[self.live], self.live)
        self.start = problem.length(self.gradients)
        self.goal = TOLERANCE * rarer / kept.clamp(min=1) * self.start
        self.inverses: dict[int, Tensor] = {}
        self.counts_then = torch.zeros_like(self.counts)
        self.cg = torch.full((columns,), MOST_CG, device=device)
        self.forcing = torch.full_like(self.counts, 0.3)
        self.iterations = torch.zeros(columns, dtype=torch.long, device=device)
        self.converged = (rarer > 0) & (self.start == 0)  # the optimum is 0
        self.live = everyone[(rarer > 0) & ~self.converged]
        self.distance = torch.full_like(self.counts, math.inf)

    def look(self, weights: Tensor, columns: Tensor) -> None:
        """Put columns at these weights: their gradients and active rows."""
        self.weights[columns] = weights
        for some, kind in self._by_kind(columns):
            sums, self.counts[some] = self.problem.gradient(self.weights[some], some, kind=kind)
            self.gradients[some] = self.problem.penalty(self.weights[some]) - 2 * self.c * sums
        _check_finite(self.gradients[columns])

    def _by_kind(self, columns: Tensor) -> Iterator[tuple[Tensor, torch.dtype]]:
        """The columns that float32 does for, and those that need float64."""
        for exact, kind in ((False, torch.float32), (True, torch.float64)):
            some = columns[self.exact[columns] == exact]
            if len(some):
                yield some, kind

    def advance(self) -> None:
        """One Newton step of all live columns."""
        if len(self.live):
            self.renew_inverses()
            self.walk(self.steps())
            self.leave()

    def renew_inverses(self) -> None:
        """Make the preconditioners anew that are out of date or did not help."""
        live = self.live
        changed = (self.counts[live] - self.counts_then[live]).abs() > _CHANGED * self.counts_then[live]
        old = live[changed | (self.cg[live] > _SLOW_CG)]
        for some, kind in self._by_kind(old):
            found = self.problem.inverses(some, self.counts[some].clamp(min=1), self.c, kind=kind)
            self.inverses |= dict(zip(some.tolist(), found, strict=True))
            self.counts_then[some] = self.counts[some]

    def _preconditioned(self, vectors: Tensor, columns: Tensor) -> Tensor:
        rows = [self.inverses[column] @ vector for column, vector in zip(columns.tolist(), vectors, strict=True)]
        return torch.stack(rows)

    def steps(self) -> Tensor:
        """Newton steps of the live columns by conjugate gradients, each to its own accuracy."""
        live, limit = self.live, self.forcing[self.live] ** 2
        step, residual = torch.zeros_like(self.gradients[live]), -self.gradients[live]
        direction = self._preconditioned(residual, live)
        size = (residual * direction).sum(1)
        first, left = size.clone(), torch.arange(len(live), device=live.device)
        self.cg[live] = 0
        for _ in range(MOST_CG):
            d = direction[left]
            product = self.problem.penalty(d) + 2 * self.c * self.problem.curvature(d, live[left])
            along = size[left] / (d * product).sum(1)
            step[left] += along[:, None] * d
            residual[left] -= along[:, None] * product
            better = self._preconditioned(residual[left], live[left])
            new = (residual[left] * better).sum(1)
            direction[left] = better + (new / size[left])[:, None] * d
            size[left] = new
            self.cg[live[left]] += 1
            left = left[new > limit[left] * first[left]]
            if len(left) <= len(live) // _FEW:
                break
        return step

    def walk(self, steps: Tensor) -> None:
        """Go along the steps until the slope is at most half of what it was, by bisecting with the secant."""
        live = self.live
        origin, slope = self.weights[live], (self.gradients[live] * steps).sum(1)
        before = (self.gradients[live] * self._preconditioned(self.gradients[live], live)).sum(1)
        low, high = torch.zeros_like(slope), torch.full_like(slope, math.inf)
        slope_low, slope_high, t = slope.clone(), high.clone(), torch.ones_like(slope)
        left = torch.arange(len(live), device=live.device)
        for _ in range(_MOST_STEPS):
            self.look(origin[left] + t[left, None] * steps[left], live[left])
            found = (self.gradients[live[left]] * steps[left]).sum(1)
            short, long = left[found < 0], left[found >= 0]
            low[short], slope_low[short] = t[short], found[found < 0]
            high[long], slope_high[long] = t[long], found[found >= 0]
            left = left[found.abs() > 0.5 * slope[left].abs()]
            if not len(left):
                break
            t[left] = _next(low[left], high[left], slope_low[left], slope_high[left])
        self.iterations[live] += 1
        after = (self.gradients[live] * self._preconditioned(self.gradients[live], live)).sum(1)
        self.forcing[live] = (after / before).clamp(min=0).sqrt().clamp(0.1, 0.3)

    def leave(self) -> None:
        """Let the columns go that have converged or will not; those that stand still go on in float64."""
        live = self.live
        distance = self._preconditioned(self.gradients[live], live).norm(dim=1)
        still = distance > _STILL * self.distance[live]
        self.distance[live] = distance
        close = distance <= CLOSE * self.weights[live].norm(dim=1)
        fulfilled = self.problem.length(self.gradients[live]) <= self.goal[live]
        self.converged[live] = close & fulfilled
        anew = live[still & fulfilled & ~close & ~self.exact[live]]
        if len(anew):
            self.exact[anew], self.counts_then[anew] = True, 0
            self.look(self.weights[anew], anew)
        gone = self.converged[live] | (self.iterations[live] >= MAX_ITER)
        for column in live[gone].tolist():
            del self.inverses[column]
        self.live = live[~gone]

    def solution(self) -> Solution:
        """As arrays."""
        share = self.problem.length(self.gradients) / self.start.clamp(min=torch.finfo(torch.float64).tiny)
        weights = torch.cat([self.weights[:, :-1], self.problem.intercepts(self.weights)[:, None]], 1)
        found = (weights, self.converged, self.iterations, share)
        return Solution(*(tensor.cpu().numpy() for tensor in found))


def _next(low: Tensor, high: Tensor, slope_low: Tensor, slope_high: Tensor) -> Tensor:
    """Where to look next: twice as far, or where the secant crosses zero, away from both ends."""
    inside = low - slope_low * (high - low) / (slope_high - slope_low)
    margin = 0.05 * (high - low)
    inside = torch.maximum(torch.minimum(inside, high - margin), low + margin)
    return torch.where(high.isinf(), 2 * low, inside)


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


def _check_finite(sums: Tensor) -> None:
    if not sums.isfinite().all():
        raise DataError(
            "the sums of an SVM exceed what float32 holds: the features are too large (scale them) or not finite."
        )


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of features are to be kept: a quarter of the memory, half of what a GPU has left."""
    return size <= (memory_of_machine() // 4 if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 2)
