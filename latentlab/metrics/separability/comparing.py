"""Whether two stores differ in separability by more than chance."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import wilcoxon

from latentlab.errors import DataError
from latentlab.metrics.bootstrap import REPLICATES, interval95
from latentlab.metrics.separability.pruning import Protocol
from latentlab.metrics.separability.scoring import SeparabilityScore
from latentlab.metrics.separability.stores import How, Space, measure, ratio_of, spaces_of
from latentlab.progress import Progress, silent
from latentlab.results import NetworkName
from latentlab.store import LatentStore
from latentlab.svm import Solver

if TYPE_CHECKING:
    import torch

FEWEST_FOR_RANKS = 6  # attributes; with fewer the signed-rank test can hardly find anything


class AttributeDifference(BaseModel):
    """H(Y|X) of one attribute in both stores, in bits, and the first's minus the second's with its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    first: float
    second: float
    difference: float
    ci95: tuple[float, float]


class Comparison(BaseModel):
    """One latent space of two stores, over the attributes that are valid in both.

    Attributes:
        space: "z" or "w".
        networks: Of the first and the second store.
        scores: Of both, over the attributes compared.
        ratio: First over second; above 1 where the first is the more entangled.
        ci95: Its 95 % interval over samples.
        p_value: Two-sided, of a ratio of 1.
        larger_than_chance: Whether the interval excludes 1; None if hyperplanes were held fixed with too few samples
            for a verdict (`Ratio.trusted`).
        paired: Whether both stores hold the same z row by row, so that the same resamples were taken.
        same_classifiers: Whether both were labelled by the same classifiers; if not, they measure other things. None if
            the stores do not say by which.
        attributes_p_value: Wilcoxon's signed-rank test over the attributes' differences, two-sided: whether the
            difference runs through the attributes; None with fewer than 6.
        attributes: Per attribute.
        left_out: Attributes that are missing or invalid in one of the two.
        protocol: The settings of the measurement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    space: Space
    networks: tuple[NetworkName, NetworkName]
    scores: tuple[float, float]
    ratio: float
    ci95: tuple[float, float]
    p_value: float
    larger_than_chance: bool | None
    paired: bool
    same_classifiers: bool | None
    attributes_p_value: float | None
    attributes: list[AttributeDifference]
    left_out: list[str]
    protocol: dict[str, Any]


def compare_stores(
    first: LatentStore,
    second: LatentStore,
    *,
    spaces: Sequence[Space] | None = None,
    protocol: Protocol = "latentlab",
    num_keep: int | None = None,
    solver: Solver | None = None,
    refits: int = 10,
    seed: int = 0,
    bootstrap: int = REPLICATES,
    device: "torch.device | str" = "cpu",
    progress: Progress = silent,
) -> list[Comparison]:
    """Compare two stores space by space.

    A difference larger than chance is one that other samples of the same networks would show again; hyperplanes are
    fitted anew for that, without each of some groups of samples. It does not say that networks trained anew, or
    classifiers trained anew, would. Intervals of single attributes are a bootstrap with the hyperplanes held fixed.

    Args:
        first: A complete store with logits.
        second: Another; of the larger one the first samples are taken, as many as the smaller has.
        spaces: Which; left out, those that both have.
        protocol: This and the rest: see `linear_separability`.

    Raises:
        StoreError, UsageError, DataError: as `separability_results`; also if no attribute is valid in both.
    """
    how = How(
        protocol=protocol,
        num_keep=num_keep,
        solver=solver,
        refits=refits,
        seed=seed,
        bootstrap=bootstrap,
        device=device,
    )
    chosen = tuple(space for space in spaces_of(first, spaces) if space in spaces_of(second, spaces))
    count, paired = min(len(first), len(second)), _same_samples(first, second)
    streams = ("separability", "separability" if paired else "separability of the second store")
    measured = []
    for number, (store, stream) in enumerate(zip((first, second), streams, strict=True)):

        def told(done: int, total: int, note: str = "", number: int = number) -> None:
            progress(number * total + done, 2 * total, note)

        try:
            measured.append(measure(store, chosen, how, count=count, stream=stream, progress=told))
        except DataError as error:
            raise DataError(f"{store.path}: {error}") from error
    return [_compared((first, second), [scores[space] for scores in measured], space, paired) for space in chosen]


def _compared(
    stores: tuple[LatentStore, LatentStore], scores: Sequence[SeparabilityScore], space: Space, paired: bool
) -> Comparison:
    ratio = ratio_of(scores[0], scores[1])
    if ratio is None:
        raise DataError(
            f"no attribute is valid in both {stores[0].path} and {stores[1].path}, so they cannot be compared: label "
            "both with the same classifiers, and sample more."
        )
    differences, left_out = _differences(scores)
    first, second = (np.array([getattr(one, side) for one in differences]) for side in ("first", "second"))
    hashes = [(store.settings.classifiers or {"sha256": "unknown"})["sha256"] for store in stores]
    return Comparison(
        space=space,
        networks=tuple(NetworkName(**_named(store.settings.network)) for store in stores),
        scores=(float(2 ** first.sum()), float(2 ** second.sum())),
        ratio=ratio.value,
        ci95=ratio.ci95,
        p_value=ratio.p_value,
        larger_than_chance=not ratio.ci95[0] <= 1 <= ratio.ci95[1] if ratio.trusted else None,
        paired=paired,
        same_classifiers=None if "unknown" in hashes else hashes[0] == hashes[1],
        attributes_p_value=_signed_rank(first - second),
        attributes=differences,
        left_out=left_out,
        protocol={
            "name": scores[0].protocol,
            "solver": scores[0].solver,
            "num_samples": min(len(store) for store in stores),
            "num_keep": scores[0].num_keep,
            "bootstrap": len(scores[0].resampled),
            "refits": ratio.refits,
        },
    )


def _differences(scores: Sequence[SeparabilityScore]) -> tuple[list[AttributeDifference], list[str]]:
    """The attributes that are valid in both, most different first, and the names of the others."""
    places = [{row["name"]: n for n, row in enumerate(score.attributes) if row["valid"]} for score in scores]
    found = []
    for name in (name for name in places[0] if name in places[1]):
        (a, b), (x, y) = (places[0][name], places[1][name]), scores
        found.append(
            AttributeDifference(
                name=name,
                first=float(x.entropies[a]),
                second=float(y.entropies[b]),
                difference=float(x.entropies[a] - y.entropies[b]),
                ci95=interval95(x.resampled[:, a] - y.resampled[:, b]),
            )
        )
    everyone = dict.fromkeys(row["name"] for score in scores for row in score.attributes)
    left_out = [name for name in everyone if name not in places[0] or name not in places[1]]
    return sorted(found, key=lambda one: -abs(one.difference)), left_out


def _signed_rank(differences: np.ndarray) -> float | None:
    """Wilcoxon's signed-rank test against a median of 0."""
    differences = differences[differences != 0]
    return float(wilcoxon(differences).pvalue) if len(differences) >= FEWEST_FOR_RANKS else None


def _same_samples(first: LatentStore, second: LatentStore) -> bool:
    """Whether the rows of the stores (as far as both go) were made from the same z."""
    if not (first.has("z") and second.has("z")) or first.widths["z"] != second.widths["z"]:
        return False
    a, b, count = first.rows("z"), second.rows("z"), min(len(first), len(second))
    steps = range(0, count, first.chunk_rows)
    pieces = (slice(start, min(start + first.chunk_rows, count)) for start in steps)
    return all(np.array_equal(a[rows], b[rows]) for rows in pieces)


def _named(network: Mapping[str, str]) -> dict[str, str]:
    return {"name": network["name"], "sha256": network["sha256"]}
