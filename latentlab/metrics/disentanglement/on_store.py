"""Disentanglement of the latents in a store, as result lines."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from latentlab.errors import DataError, StoreError
from latentlab.files import file_sha256
from latentlab.metrics.bootstrap import REPLICATES
from latentlab.metrics.disentanglement.factor_files import read_factors
from latentlab.metrics.disentanglement.measuring import (
    METRICS,
    DisentanglementScore,
    checked_metrics,
    disentanglement_scores,
)
from latentlab.metrics.disentanglement.mutual_information import Binning
from latentlab.progress import Progress, silent
from latentlab.results import MetricResult, NetworkName
from latentlab.store import LatentStore

Space = Literal["z", "w"]


def disentanglement_results(
    store: LatentStore,
    *,
    spaces: Sequence[Space] | None = None,
    metrics: Sequence[str] = METRICS,
    factors: Path | str | None = None,
    num_samples: int | None = None,
    binning: Binning = "equal-count",
    seed: int = 0,
    bootstrap: int = REPLICATES,
    progress: Progress = silent,
) -> list[MetricResult]:
    """Measure z and w of a store against its labels (log-odds > 0), or against the factors in a file.

    Z and W share their split of rows and their shuffle.

    Args:
        store: A complete store, with logits unless `factors` is given.
        spaces: Which; left out, those of `measurable_spaces`.
        factors: See `read_factors`; left out, the store's labels.
        metrics: This and the rest: see `disentanglement_scores`.

    Raises:
        StoreError: the store lacks what is asked for, or holds numbers that are not finite.
        DataError: all samples have the same latents.
        UsageError, DataError: as `disentanglement_scores` and `read_factors`.
    """
    metrics = checked_metrics(metrics)
    found = measurable_spaces(store)
    chosen = spaces or found
    absent = [space for space in chosen if not store.has(space)]
    if absent:
        raise StoreError(f"{store.path} lacks {', '.join(absent)}: measure the other space, or sample again.")
    names, values = _labels(store) if factors is None else read_factors(factors, store.sample_numbers, store.settings)
    origin = _labelled_by(store) if factors is None else {"source": "file", "classifiers": None}
    more = {} if factors is None else {"file": Path(factors).name, "sha256": file_sha256(factors)}
    for space in chosen:  # before minutes are spent on the other one
        if not np.ptp(_latents(store, space), axis=0).any():
            raise DataError(
                f"{store.path}: {space} is the same in all samples, so nothing can be told from it: check how it was "
                "sampled, or measure the other space."
            )
    results = []
    for number, space in enumerate(chosen):
        scores = disentanglement_scores(
            _latents(store, space),
            values,
            names,
            metrics=metrics,
            num_samples=num_samples,
            binning=binning,
            seed=seed,
            bootstrap=bootstrap,
            progress=_part(progress, number, len(chosen)),
        )
        results += [_result(store, score, space=space, seed=seed, origin=origin, more=more) for score in scores]
    return results


def measurable_spaces(store: LatentStore) -> tuple[Space, ...]:
    """Z and W as far as they are stored, W only if it is more than normalised Z or stands alone.

    Raises:
        StoreError: there is neither.
    """
    found: tuple[Space, ...] = tuple(space for space in ("z", "w") if store.has(space))
    if not found:
        held = ", ".join(store.settings.datasets)
        raise StoreError(
            f"{store.path} holds neither z nor w, only {held}: sample again, with z and w among --datasets."
        )
    return found if store.settings.has_mapping else found[:1]


def _latents(store: LatentStore, space: Space) -> np.ndarray:
    return store.z if space == "z" else store.w


def _labels(store: LatentStore) -> tuple[tuple[str, ...], np.ndarray]:
    logits = store.logits
    names = store.settings.attributes or tuple(f"attribute {index}" for index in range(logits.shape[1]))
    return names, logits > 0


def _labelled_by(store: LatentStore) -> dict[str, Any]:
    made_by = store.settings.classifiers
    return {"source": "labels", "classifiers": None if made_by is None else dict(made_by)}


def _part(progress: Progress, number: int, parts: int) -> Progress:
    """One of several equal parts of the work, as a progress of its own."""

    def tell(done: int, total: int, note: str = "") -> None:
        progress(number * total + done, parts * total, note)

    return tell


def _result(
    store: LatentStore,
    score: DisentanglementScore,
    *,
    space: Space,
    seed: int,
    origin: dict[str, Any],
    more: dict[str, str],
) -> MetricResult:
    """Put a number and everything that decides it into a result line."""
    settings = store.settings
    valid = [row["name"] for row in score.factors if row["valid"]]
    return MetricResult(
        metric=f"{score.metric}_{space}",
        value=score.value,
        ci95=score.ci95,
        num_samples=score.num_samples,
        seed=seed,
        network=NetworkName(name=settings.network["name"], sha256=settings.network["sha256"]),
        protocol={
            "space": space,
            "direction": "higher is better",
            "factors": origin,
            "num_factors": len(score.factors),
            "factors_sha256": _digest([row["name"] for row in score.factors]),
            "num_scored": len(valid),
            "scored_sha256": _digest(valid),
            "kinds": sorted({row["kind"] for row in score.factors if row["valid"]}),
            "num_samples": score.num_samples,
            **score.settings,
            "truncation_psi": settings.truncation_psi,
            "noise_mode": settings.noise_mode,
        },
        details={
            "baseline": score.baseline,
            "factors": score.factors,
            "num_valid": len(valid),
            "samples_seed": settings.seed,
            **score.details,
            **more,
        },
    )


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
