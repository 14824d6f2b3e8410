"""All metrics of one latent space, each with its interval and beside what a useless representation scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from latentlab.errors import DataError, UsageError
from latentlab.metrics.bootstrap import REPLICATES, interval95
from latentlab.metrics.disentanglement.dci import dci_metrics
from latentlab.metrics.disentanglement.explicitness import explicitness_metric
from latentlab.metrics.disentanglement.mutual_information import Binning, bin_codes, information_metrics
from latentlab.metrics.disentanglement.problem import Outcome, Problem, Step, prepare
from latentlab.metrics.disentanglement.sap import sap_metric
from latentlab.progress import Progress, silent

METRICS = ("mig", "modularity", "sap", "dci-linear", "dci-boosting", "explicitness")
"""What can be asked for; a `dci-` gives four numbers."""

INFORMATION = ("mig", "modularity")
"""Those that are computed from mutual information, together."""

FITTED = ("dci-linear", "dci-boosting", "explicitness")
"""Those that fit a model of all latents for every factor."""


@dataclass(frozen=True)
class DisentanglementScore:
    """One number of one latent space. Higher is better.

    Attributes:
        metric: `mig`, `modularity`, `sap`, `explicitness`, or `dci_PART_MODEL` with the parts disentanglement,
            completeness, informativeness and informativeness_above_chance, and the models linear and boosting.
        value: The number.
        ci95: Bootstrap interval; what is drawn and what held fixed, the metric's own function says.
        baseline: What the same latents score against other samples' factors.
        num_samples: Rows it was computed from.
        settings: What decides the number besides the data.
        factors: One dict per factor that was given: name, kind ("binary" or "continuous"; None where invalid), valid,
            reason (why it is invalid, else None) and the metric's numbers for this factor.
        details: Other things worth knowing.
    """

    metric: str
    value: float
    ci95: tuple[float, float]
    baseline: float
    num_samples: int
    settings: dict[str, Any]
    factors: list[dict[str, Any]]
    details: dict[str, Any]


def disentanglement_scores(
    latents: np.ndarray,
    factors: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] = METRICS,
    num_samples: int | None = None,
    binning: Binning = "equal-count",
    seed: int = 0,
    bootstrap: int = REPLICATES,
    progress: Progress = silent,
) -> list[DisentanglementScore]:
    """Measure how single latents and factors belong together. Higher is better for every number.

    Args:
        latents: [N, D], z or w; dimensions may be constant.
        factors: [N, K], labels (bool, or two values each) or numbers on a scale.
        names: K names; numbered if left out.
        metrics: Of METRICS; all if left out.
        num_samples: Rows that models are fitted to and tested on, two to one; left out, 15,000 or all. MIG and
            modularity take all rows.
        binning: How latents are cut into 20 bins for MIG and modularity; see `bin_codes`.
        seed: Of the split, the shuffle, the models and the bootstrap.
        bootstrap: Replicates.
        progress: Told after every piece of work.

    Raises:
        UsageError: a metric is unknown, or an argument not allowed.
        DataError: arrays cannot be used (see `prepare`), or there are fewer training rows than latents.
    """
    asked = checked_metrics(metrics)
    if binning not in get_args(Binning):
        raise UsageError(f"binning is {binning!r}; it must be one of {', '.join(get_args(Binning))}.")
    problem = prepare(latents, factors, names, num_samples=num_samples, seed=seed)
    _refuse_few_rows(problem, asked)
    step = _counter(progress, 2 * _pieces_of_work(asked, len(problem.names)))
    informations = [name for name in asked if name in INFORMATION]
    codes = bin_codes(problem.latents, binning=binning) if informations else None

    def measure(one: Problem, replicates: int) -> list[Outcome]:
        found: list[Outcome] = []
        if codes is not None:
            found += information_metrics(one, codes, informations, binning=binning, seed=seed, bootstrap=replicates)
            step()
        return found + _measure(one, asked, seed=seed, bootstrap=replicates, step=step)

    measured, useless = measure(problem, bootstrap), measure(problem.shuffled(seed), 0)
    return [_score(problem, found, base) for found, base in zip(measured, useless, strict=True)]


def checked_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that are asked for, in METRICS' order.

    Raises:
        UsageError: one is unknown, or there is none.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise UsageError(f"metrics {', '.join(unknown) or 'are missing'}: they must be of {', '.join(METRICS)}.")
    return tuple(name for name in METRICS if name in metrics)


def _pieces_of_work(metrics: Sequence[str], num_factors: int) -> int:
    """Steps of one measurement: one for each fit, for MIG and modularity together, and for SAP."""
    fits = sum(num_factors for name in metrics if name in FITTED)
    return fits + any(name in INFORMATION for name in metrics) + ("sap" in metrics)


def _refuse_few_rows(problem: Problem, metrics: Sequence[str]) -> None:
    fitted, dims = [name for name in metrics if name in FITTED], problem.latents.shape[1]
    if fitted and len(problem.train) <= dims:
        raise DataError(
            f"{len(problem.train):,} training samples are too few for {dims} latent dimensions: models of all latents "
            f"({', '.join(fitted)}) would fit any labels. Sample more (two of three are trained on), or take the "
            f"metrics {', '.join(name for name in METRICS if name not in FITTED)} alone."
        )


def _measure(problem: Problem, metrics: Sequence[str], *, seed: int, bootstrap: int, step: Step) -> list[Outcome]:
    """Every number that was asked for and does not come from mutual information, in METRICS' order."""
    found: list[Outcome] = []
    if "sap" in metrics:
        found.append(sap_metric(problem, seed=seed, bootstrap=bootstrap))
        step()
    if "dci-linear" in metrics:
        found += dci_metrics(problem, "linear", step=step, seed=seed, bootstrap=bootstrap)
    if "dci-boosting" in metrics:
        found += dci_metrics(problem, "boosting", step=step, seed=seed, bootstrap=bootstrap)
    if "explicitness" in metrics:
        found.append(explicitness_metric(problem, step=step, seed=seed, bootstrap=bootstrap))
    return found


def _score(problem: Problem, found: Outcome, baseline: Outcome) -> DisentanglementScore:
    numbers = {name: iter(values.tolist()) for name, values in found.per_factor.items()}
    kinds = dict(zip(problem.names, problem.binary, strict=True))
    factors: list[dict[str, Any]] = []
    for name, reason in problem.reasons.items():
        valid = reason is None
        kind = ("binary" if kinds[name] else "continuous") if valid else None
        row = {"name": name, "kind": kind, "valid": valid, "reason": reason}
        factors.append(row | {what: next(values) if valid else None for what, values in numbers.items()})
    return DisentanglementScore(
        metric=found.metric,
        value=found.value,
        ci95=interval95(found.replicates) if len(found.replicates) else (np.nan, np.nan),
        baseline=baseline.value,
        num_samples=found.num_samples,
        settings=found.settings,
        factors=factors,
        details=found.details,
    )


def _counter(progress: Progress, total: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return step
