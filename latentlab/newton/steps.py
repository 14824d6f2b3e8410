"""Newton's method for many columns in step: conjugate gradients, line search, and when a column has converged."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentlab.distributed import Team
from latentlab.newton.sums import MOST_MEMORY, Problem, Rows, check_finite
from latentlab.progress import Progress, silent
from latentlab.protocols import full_precision

MAX_ITER = 100
TOLERANCE = 1e-4
"""liblinear's rule with its default: |gradient| <= tolerance * min(positives, negatives) / n * |gradient at w = 0|."""
CLOSE = 1e-5
"""And the next Newton step, the estimated distance to the optimum, at most this share of |w|."""
MOST_CG = 40
_CHANGED = 0.3  # of the active rows, after which a preconditioner is made anew
_SLOW_CG = 5  # conjugate-gradient steps, after which it is made anew, too
_MOST_STEPS = 12  # of a line search
_STILL = 0.5  # of the distance before; a column that comes no nearer than this goes on in float64
_FEW = 4  # conjugate gradients end when at most 1 / _FEW of the columns would go on
_ROUGH_SHARE, _ROUGH_STEPS, _ROUGH_ROWS = 4, 4, 16
"""Begin with steps on a share 1 / 4 of the blocks, where that has at least 16 rows per dimension for every column."""


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
    together = max(1, min(256, MOST_MEMORY // (8 * (dims + 1) ** 2)))
    parts = []
    with full_precision(), torch.inference_mode():
        for start in range(0, columns, together):

            def told(done: int, start: int = start) -> None:
                progress(start + done, columns)

            problem = Problem(x, signs[:, start : start + together], device=torch.device(device), team=team or Team())
            parts.append(_newton(problem, c, told))
    fields = zip(*((p.weights, p.converged, p.iterations, p.gradient) for p in parts), strict=True)
    return Solution(*(np.concatenate(field) for field in fields))


def _newton(problem: Problem, c: float, told: Callable[[int], None]) -> Solution:
    """Newton's method with line search, for all columns in step; a column leaves when it has converged."""
    state = _State(problem, c)
    if state.fewest >= _ROUGH_SHARE * _ROUGH_ROWS * problem.dims:
        with problem.thinned(_ROUGH_SHARE):
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

    def __init__(self, problem: Problem, c: float) -> None:
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
        check_finite(self.gradients[columns])

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
