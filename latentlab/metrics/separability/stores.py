"""Separability of stores: what is measured of Z and of W, side by side, as result lines."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latentlab import svm
from latentlab.errors import DataError, StoreError, UsageError
from latentlab.metrics.bootstrap import REPLICATES, interval95, interval_of_refits
from latentlab.metrics.separability.pruning import CONFIDENCE, SOLVER, Kept, Protocol, prune
from latentlab.metrics.separability.scoring import SeparabilityScore, score_of
from latentlab.progress import Progress, silent
from latentlab.results import MetricResult, NetworkName
from latentlab.store import LatentStore
from latentlab.svm import Solver

if TYPE_CHECKING:
    import torch

    from latentlab.distributed import Team

Space = Literal["z", "w"]
FEWEST_FOR_VERDICT = 50
"""Kept samples per dimension from which on intervals of fixed hyperplanes are at most a fifth too narrow."""
FEWEST_PER_DIMENSION, FEWEST = 4, 100
"""Kept samples of the smallest size on a curve: per dimension, and at all."""


@dataclass(frozen=True)
class How:
    """How stores are measured; the fields are the arguments of `linear_separability`."""

    protocol: Protocol = "latentlab"
    keep_fraction: float = 0.5
    num_keep: int | None = None
    solver: Solver | None = None
    held_out: float = 0.0
    permutations: int = 0
    refits: int = 0
    seed: int = 0
    bootstrap: int = REPLICATES
    device: "torch.device | str" = "cpu"
    team: "Team | None" = None


@dataclass(frozen=True)
class Ratio:
    """Score of one set of entropies over the score of another, over the attributes that are valid in both.

    Attributes:
        value: Above 1 where the first is the more entangled.
        ci95: 95 % interval: of refits (`interval_of_refits`) where both have them, else of the bootstrap, in which
            hyperplanes are held fixed; samples are parted, or resampled, alike in both.
        p_value: Two-sided, of a ratio of 1: by Student's t of refits, or twice the share of resamples on the rarer side
            of 1, counting one more than there are.
        num_attributes: Over how many attributes.
        refits: Groups of samples; 0 where hyperplanes were held fixed.
        samples_per_dimension: Kept ones, the fewer of both; with few, intervals of fixed hyperplanes are too narrow.
    """

    value: float
    ci95: tuple[float, float]
    p_value: float
    num_attributes: int
    refits: int
    samples_per_dimension: float

    @property
    def trusted(self) -> bool:
        """Whether its interval allows a verdict."""
        return self.refits > 0 or self.samples_per_dimension >= FEWEST_FOR_VERDICT


def separability_results(
    store: LatentStore,
    *,
    spaces: Sequence[Space] | None = None,
    protocol: Protocol = "latentlab",
    keep_fraction: float = 0.5,
    num_keep: int | None = None,
    solver: Solver | None = None,
    held_out: float = 0.0,
    permutations: int = 0,
    refits: int = 0,
    curve: bool = False,
    seed: int = 0,
    bootstrap: int = REPLICATES,
    device: "torch.device | str" = "cpu",
    team: "Team | None" = None,
    progress: Progress = silent,
) -> list[MetricResult]:
    """Measure `ls_z` and `ls_w` on a store; reads its logits, z and w.

    Where both spaces are measured, each result's details say the ratio Z/W. Latents that take more than a quarter of
    the memory are read from the store in blocks, again and again.

    Args:
        store: A complete store with logits.
        spaces: Which; left out, Z, and W too if it is stored and more than normalised Z.
        protocol: This and what else is not named here: see `linear_separability`.
        curve: Also measure with the first half of the samples, the first quarter, and so on, down to four kept samples
            per dimension and 100 in all.

    Raises:
        StoreError: the store lacks what is asked for, or holds numbers that are not finite.
        UsageError, DataError: as `linear_separability`.
    """
    how = How(protocol, keep_fraction, num_keep, solver, held_out, permutations, refits, seed, bootstrap, device, team)
    if curve and num_keep is not None:
        raise UsageError("a curve over numbers of samples keeps a share of them: leave the number to keep out.")
    chosen = spaces_of(store, spaces)
    scores = measure(store, chosen, how, progress=progress)
    curves = {space: _curve(store, space, scores[space], how) if curve else None for space in chosen}
    ratio = ratio_of(scores["z"], scores["w"]) if len(scores) == 2 else None
    return [_result(store, scores[space], how, space=space, ratio=ratio, curve=curves[space]) for space in chosen]


def spaces_of(store: LatentStore, spaces: Sequence[Space] | None) -> tuple[Space, ...]:
    """The spaces to measure.

    Raises:
        StoreError: one that was asked for is absent.
    """
    both = store.has("w") and store.settings.has_mapping
    chosen: tuple[Space, ...] = tuple(spaces) if spaces else (("z", "w") if both else ("z",))
    absent = [space for space in chosen if not store.has(space)]
    if absent:
        raise StoreError(f"{store.path} lacks {', '.join(absent)}: measure the other space, or sample again.")
    return chosen


def measure(
    store: LatentStore,
    spaces: Sequence[Space],
    how: How,
    *,
    count: int | None = None,
    stream: str = "separability",
    progress: Progress = silent,
) -> dict[Space, SeparabilityScore]:
    """The scores of some spaces of a store (of its first `count` samples), under the same labels and resamples."""
    kept = _kept(store, how, count)
    scores: dict[Space, SeparabilityScore] = {}
    for number, space in enumerate(spaces):

        def told(done: int, total: int, note: str = "", number: int = number) -> None:
            progress(number * total + done, len(spaces) * total, note)

        scores[space] = _score(kept, _latents(store, space, how, count), how, stream=stream, progress=told)
    return scores


def ratio_of(first: SeparabilityScore, second: SeparabilityScore) -> Ratio | None:
    """The first score over the second, attributes matched by name; None if none is valid in both."""
    places = [{row["name"]: n for n, row in enumerate(s.attributes) if row["valid"]} for s in (first, second)]
    common = [name for name in places[0] if name in places[1]]
    if not common:
        return None
    columns = [[place[name] for name in common] for place in places]
    bits = first.entropies[columns[0]].sum() - second.entropies[columns[1]].sum()
    refitted = _difference(first.refitted, second.refitted, columns)
    if len(refitted):
        low, high, p_value = interval_of_refits(bits, refitted)
        ci95 = (2.0**low, 2.0**high)
    else:
        resampled = _difference(first.resampled, second.resampled, columns)
        rarer = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
        ci95, p_value = interval95(2.0**resampled), min(1.0, 2 * (rarer + 1) / (len(resampled) + 1))
    fewest = min(score.num_keep / score.dims for score in (first, second))
    return Ratio(float(2.0**bits), ci95, p_value, len(common), len(refitted), fewest)


def _difference(first: np.ndarray, second: np.ndarray, columns: Sequence[Sequence[int]]) -> np.ndarray:
    """Differences of sums of bits, [replicates]; none where there are unlike numbers, or an entropy is missing."""
    if len(first) != len(second):
        return np.zeros(0)
    found = first[:, columns[0]].sum(axis=1) - second[:, columns[1]].sum(axis=1)
    return found if not np.isnan(found).any() else np.zeros(0)


def _kept(store: LatentStore, how: How, rows: int | None = None) -> Kept:
    return prune(
        store.logits[:rows],
        attributes=store.settings.attributes,
        protocol=how.protocol,
        keep_fraction=how.keep_fraction,
        num_keep=how.num_keep,
    )


def _latents(store: LatentStore, space: Space, how: How, count: int | None = None) -> Any:
    """The (first) rows, to be read by newton, which holds them itself where they fit; arrays for liblinear."""
    rows = store.rows(space)
    if _solver(how) == "newton":
        return rows if count in (None, len(store)) else _First(rows, count)
    return rows[slice(0, count)]


def _score(kept: Kept, latents: Any, how: How, *, stream: str, progress: Progress = silent) -> SeparabilityScore:
    return score_of(
        kept,
        latents,
        solver=_solver(how),
        held_out=how.held_out,
        permutations=how.permutations,
        refits=how.refits,
        seed=how.seed,
        stream=stream,
        bootstrap=how.bootstrap,
        device=how.device,
        team=how.team,
        progress=progress,
    )


def _solver(how: How) -> Solver:
    return how.solver or SOLVER[how.protocol]


class _First:
    """The first rows of others."""

    def __init__(self, rows: Any, count: int) -> None:
        self.rows, self.shape = rows, (count, rows.shape[1])

    def __getitem__(self, rows: slice) -> Any:
        return self.rows[slice(*rows.indices(self.shape[0]))]


def _curve(store: LatentStore, space: Space, whole: SeparabilityScore, how: How) -> list[dict[str, Any]]:
    """Scores with ever fewer samples, fewest first, each over the attributes that are valid at every size."""
    found, smaller = [(len(store), whole)], replace(how, permutations=0, refits=0)
    fewest = max(FEWEST_PER_DIMENSION * store.widths[space][0], FEWEST)
    count = len(store) // 2
    while int(count * how.keep_fraction * (1 - how.held_out)) >= fewest:
        kept, part = _kept(store, how, count), _latents(store, space, how, count)
        try:
            found.insert(0, (count, _score(kept, part, smaller, stream=f"first {count}")))
        except DataError:  # no attribute is valid with so few
            break
        count //= 2
    valid = np.logical_and.reduce([[row["valid"] for row in score.attributes] for _, score in found])
    return [_point(count, score, valid) for count, score in found]


def _point(count: int, score: SeparabilityScore, valid: np.ndarray) -> dict[str, Any]:
    point: dict[str, Any] = {
        "num_samples": count,
        "num_attributes": int(valid.sum()),
        "score": float(2.0 ** score.entropies[valid].sum()),
        "ci95": list(interval95(2.0 ** score.resampled[:, valid].sum(axis=1))),
    }
    if score.held_out is not None:
        total = float(2.0 ** score.held_out.entropies[valid].sum())
        point["held_out_score"] = None if np.isnan(total) else total
    return point


def _result(
    store: LatentStore,
    score: SeparabilityScore,
    how: How,
    *,
    space: Space,
    ratio: Ratio | None,
    curve: list[dict[str, Any]] | None,
) -> MetricResult:
    """Put a score and everything that decides it into a result line."""
    settings = store.settings
    scored = [row["name"] for row in score.attributes if row["valid"]]
    return MetricResult(
        metric=f"ls_{space}",
        value=score.score,
        ci95=score.ci95,
        num_samples=len(store),
        seed=how.seed,
        network=NetworkName(name=settings.network["name"], sha256=settings.network["sha256"]),
        protocol={
            "name": score.protocol,
            "space": space,
            "confidence": CONFIDENCE[score.protocol],
            "one_class": "invalid" if score.protocol == "latentlab" else "entropy 0",
            "solver": score.solver,
            "C": svm.C,
            "max_iter": svm.most_iterations(score.solver),
            "num_samples": len(store),
            "num_keep": score.num_keep,
            "num_attributes": len(score.attributes),
            "attributes_sha256": _digest(settings.attributes),
            "num_scored": len(scored),
            "scored_sha256": _digest(scored),
            "classifiers": None if settings.classifiers is None else dict(settings.classifiers),
            "truncation_psi": settings.truncation_psi,
            "noise_mode": settings.noise_mode,
        },
        details=_details(store, score, how, ratio, curve),
    )


def _details(
    store: LatentStore, score: SeparabilityScore, how: How, ratio: Ratio | None, curve: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """What a report draws, and what the score is worth."""
    details: dict[str, Any] = {
        "attributes": score.attributes,
        "num_valid": score.num_valid,
        "num_dims": score.dims,
        "samples_seed": store.settings.seed,
        "bootstrap": how.bootstrap,
        "know_nothing_score": score.know_nothing,
    }
    if score.permuted:
        details["permuted_scores"] = list(score.permuted)
    if score.held_out is not None:
        held = score.held_out
        details["held_out"] = {
            "fraction": held.fraction,
            "score": held.score,
            "ci95": None if held.ci95 is None else list(held.ci95),
            "fitted_score": held.fitted_score,
            "num_valid": held.num_valid,
        }
    if len(score.refitted):
        ends, failed = score.ci95_of_refits, int(np.isnan(score.refitted).sum())
        details["refits"] = {"groups": len(score.refitted), "failed": failed, "ci95": ends and list(ends)}
    if ratio is not None:
        details["ratio_z_over_w"] = {**ratio.__dict__, "ci95": list(ratio.ci95), "trusted": ratio.trusted}
    if curve is not None:
        details["curve"] = curve
    return details


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
