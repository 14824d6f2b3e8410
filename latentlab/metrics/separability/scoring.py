"""The score of one latent space: fit, joint tables, entropies, and what they are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentlab.errors import DataError
from latentlab.metrics.bootstrap import REPLICATES, interval95
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.metrics.separability.checks import check_numbers, usable_rows
from latentlab.metrics.separability.fits import Fits
from latentlab.metrics.separability.pruning import SOLVER, Kept, Protocol, prune
from latentlab.metrics.separability.tables import cells_of, joint_tables, resampled_entropies
from latentlab.progress import Progress, silent
from latentlab.svm import LinearSVMs, Solver, fit_linear_svms

if TYPE_CHECKING:
    import torch

    from latentlab.distributed import Team
    from latentlab.newton import Rows

ONE_CLASS = "all kept samples are of one class"
NOT_CONVERGED = "the solver did not converge"


@dataclass(frozen=True)
class HeldOut:
    """Entropies on samples that the hyperplanes were not fitted to.

    Attributes:
        fraction: Share of the samples that was held out.
        score: Over the attributes that are valid here, too.
        ci95: As of the score itself.
        num_valid: Over how many attributes the score runs.
        entropies: H(Y|X) in bits [A], NaN where it does not exist.
        accuracies: Shares of right answers [A], NaN likewise.
    """

    fraction: float
    score: float
    ci95: tuple[float, float]
    num_valid: int
    entropies: np.ndarray
    accuracies: np.ndarray


@dataclass(frozen=True)
class SeparabilityScore:
    """The score of one latent space.

    Attributes:
        score: exp(sum of H(Y|X) in nats) over the valid attributes.
        ci95: Bootstrap interval of the score, see `linear_separability`.
        attributes: One dict per attribute: name, valid, reason (why it is invalid or treated specially, else None),
            conditional_entropy_bits, ci95, entropy_bits (H(Y) of the kept samples), information (I(X;Y) / H(Y), from 0
            to 1), accuracy, share_positive (of the kept samples), converged, iterations; with a held-out share also
            held_out_conditional_entropy_bits and held_out_accuracy. Numbers that do not exist are None.
        num_valid: How many attributes the score runs over.
        num_keep: Samples kept per attribute.
        protocol: "latentlab" or "stylegan".
        solver: Which solver found the hyperplanes.
        know_nothing: The score of hyperplanes that say nothing: 2^(sum of H(Y)) over the valid attributes.
        permuted: The scores with each attribute's kept labels shuffled and hyperplanes fitted to that, one per
            permutation: what fitting alone makes of `know_nothing`.
        held_out: With a held-out share, else None.
        entropies: H(Y|X) in bits [A].
        resampled: H(Y|X) in bits under the same resampled samples whatever the space, [replicates, A].
    """

    score: float
    ci95: tuple[float, float]
    attributes: list[dict[str, Any]]
    num_valid: int
    num_keep: int
    protocol: Protocol
    solver: Solver
    know_nothing: float
    permuted: tuple[float, ...]
    held_out: HeldOut | None
    entropies: np.ndarray
    resampled: np.ndarray


def linear_separability(
    latents: "np.ndarray | Rows",
    logits: np.ndarray,
    *,
    attributes: Sequence[str] | None = None,
    protocol: Protocol = "latentlab",
    keep_fraction: float = 0.5,
    num_keep: int | None = None,
    solver: Solver | None = None,
    held_out: float = 0.0,
    permutations: int = 0,
    seed: int = 0,
    bootstrap: int = REPLICATES,
    device: "torch.device | str" = "cpu",
    team: "Team | None" = None,
    progress: Progress = silent,
) -> SeparabilityScore:
    """Linear separability of one latent space (paper, section 4.2).

    The intervals are a bootstrap over samples, drawn jointly for all attributes, with the kept set and the fitted
    hyperplanes held fixed: they show how well this many samples determine the entropies, not how training or fitting
    would vary.

    Args:
        latents: [N, D], z or the last layer's w; an array, or rows that are read in slices (`LatentStore.rows`).
        logits: Log-odds [N, A].
        attributes: A names; numbered if left out.
        protocol: "latentlab" ranks by |log-odds|, and an attribute whose kept samples are of one class, or whose
            solver did not converge, is invalid: it enters no score. "stylegan" ranks by the official saturating
            softmax and counts one class as entropy 0, that is, as perfect.
        keep_fraction: Share of the samples kept per attribute; the official code keeps half.
        num_keep: The same as a number; overrides `keep_fraction`.
        solver: See `fit_linear_svms`; left out, "newton", and for the protocol "stylegan" "liblinear".
        held_out: Share of the samples, at least 0 and below 1, to measure hyperplanes on that were fitted to the rest.
        permutations: How often to fit to shuffled labels.
        seed: Of the bootstrap, the held-out share, the permutations and the dual solver.
        bootstrap: Replicates.
        device: Where "newton" computes.
        team: The processes that share the rows of "newton".
        progress: Told how many hyperplanes are done.

    Raises:
        UsageError: an argument is not allowed.
        DataError: shapes do not match, numbers are not finite, every latent is the same, there are not more samples
            than dimensions to fit to, or no attribute is valid.
    """
    kept = prune(logits, attributes=attributes, protocol=protocol, keep_fraction=keep_fraction, num_keep=num_keep)
    return score_of(
        kept,
        latents,
        solver=solver or SOLVER[protocol],
        held_out=held_out,
        permutations=permutations,
        seed=seed,
        bootstrap=bootstrap,
        device=device,
        team=team,
        progress=progress,
    )


def score_of(
    kept: Kept,
    latents: "np.ndarray | Rows",
    *,
    solver: Solver,
    held_out: float = 0.0,
    permutations: int = 0,
    seed: int = 0,
    stream: str = "separability",
    bootstrap: int = REPLICATES,
    device: "torch.device | str" = "cpu",
    team: "Team | None" = None,
    progress: Progress = silent,
) -> SeparabilityScore:
    """As `linear_separability`, of samples that have been pruned; scores of the same `stream` resample alike."""
    rows = usable_rows(latents, len(kept.labels))
    check_numbers(kept, rows.shape[1], held_out=held_out, permutations=permutations, bootstrap=bootstrap)
    fits = Fits(kept, held_out=held_out, permutations=permutations, seed=seed)
    svms = fit_linear_svms(
        rows, fits.labels, fits.rows, solver=solver, seed=seed, device=device, team=team, progress=progress
    )
    return _scored(fits, svms, svms.predict_all(rows), resamples=(bootstrap, seed, stream))


def _scored(fits: Fits, svms: LinearSVMs, said: np.ndarray, *, resamples: tuple[int, int, str]) -> SeparabilityScore:
    """Everything that follows from what the hyperplanes say of the samples, bool [N, P]."""
    kept, count = fits.kept, len(fits.kept.names)
    fitted, converged = svms.fitted[:count], svms.converged[:count]
    valid = (fitted & converged) if kept.protocol == "latentlab" else np.ones(count, bool)
    if not valid.any():
        reasons = sorted({NOT_CONVERGED if one else ONE_CLASS for one in fitted})
        raise DataError(
            f"no attribute is valid: for each of the {count}, {' or '.join(reasons)} ({kept.rows.shape[1]} of "
            f"{len(kept.labels)} samples are kept). Sample more images, or check that the classifiers fit the images."
        )
    cells = cells_of(kept, kept.labels, said[:, :count])
    tables = joint_tables(cells)
    parts, tested = [cells], None
    if fits.tested is not None:
        tested = np.where(fits.tested, cells_of(kept, kept.labels, said[:, count : 2 * count]), -1)
        parts.append(tested)
    resampled = resampled_entropies(parts, kept, resamples)
    entropies = conditional_entropy(tables)
    held = None
    if tested is not None:
        usable = valid & svms.fitted[count : 2 * count] & svms.converged[count : 2 * count]
        held = _held_out(fits.fraction, tested, resampled[1], usable)
    return SeparabilityScore(
        score=_total(entropies[valid]),
        ci95=interval95(_total(resampled[0][:, valid])),
        attributes=_attribute_rows(kept, tables, svms, valid=valid, resampled=resampled[0], held=held),
        num_valid=int(valid.sum()),
        num_keep=kept.rows.shape[1],
        protocol=kept.protocol,
        solver=svms.solver,
        know_nothing=_total(entropy(tables.sum(axis=1))[valid]),
        permuted=_permuted(fits, said, valid),
        held_out=held,
        entropies=entropies,
        resampled=resampled[0],
    )


def _held_out(fraction: float, cells: np.ndarray, resampled: np.ndarray, usable: np.ndarray) -> HeldOut:
    tables = joint_tables(cells)
    usable = usable & (tables.sum(axis=(1, 2)) > 0)
    found = conditional_entropy(tables)
    right = np.trace(tables, axis1=1, axis2=2) / np.maximum(tables.sum(axis=(1, 2)), 1)
    return HeldOut(
        fraction=fraction,
        score=_total(found[usable]),
        ci95=interval95(_total(resampled[:, usable])),
        num_valid=int(usable.sum()),
        entropies=np.where(usable, found, np.nan),
        accuracies=np.where(usable, right, np.nan),
    )


def _permuted(fits: Fits, said: np.ndarray, valid: np.ndarray) -> tuple[float, ...]:
    count = len(fits.kept.names)
    scores = []
    for number in range(fits.permutations):
        columns = slice(fits.labels.shape[1] - count * (fits.permutations - number), None)
        labels, answers = fits.labels[:, columns][:, :count], said[:, columns][:, :count]
        scores.append(_total(conditional_entropy(joint_tables(cells_of(fits.kept, labels, answers)))[valid]))
    return tuple(scores)


def _attribute_rows(
    kept: Kept, tables: np.ndarray, svms: LinearSVMs, *, valid: np.ndarray, resampled: np.ndarray, held: HeldOut | None
) -> list[dict[str, Any]]:
    """What `details` of a result says of each attribute."""
    rows: list[dict[str, Any]] = []
    for index, (name, table) in enumerate(zip(kept.names, tables, strict=True)):
        fitted, before = bool(svms.fitted[index]), float(entropy(table.sum(axis=0)))
        left = float(conditional_entropy(table))
        row = {
            "name": name,
            "valid": bool(valid[index]),
            "reason": _reason(fitted, bool(svms.converged[index]), counted=bool(valid[index])),
            "conditional_entropy_bits": left if valid[index] else None,
            "ci95": list(interval95(resampled[:, index])) if valid[index] else None,
            "entropy_bits": before,
            "information": (before - left) / before if fitted and valid[index] else None,
            "accuracy": float(np.trace(table) / table.sum()) if fitted else None,
            "share_positive": float(table[:, 0].sum() / table.sum()),
            "converged": bool(svms.converged[index]) if fitted else None,
            "iterations": int(svms.iterations[index]) if fitted else None,
        }
        if held is not None:
            row["held_out_conditional_entropy_bits"] = _number(held.entropies[index])
            row["held_out_accuracy"] = _number(held.accuracies[index])
        rows.append(row)
    return rows


def _reason(fitted: bool, converged: bool, *, counted: bool) -> str | None:
    if not fitted:
        return ONE_CLASS + ("; counted as entropy 0 by this protocol" if counted else "")
    if not converged:
        return NOT_CONVERGED + ("; counted all the same by this protocol" if counted else "")
    return None


def _total(entropies: np.ndarray) -> Any:
    """2^(sum over the last axis): the score."""
    total = 2.0 ** entropies.sum(axis=-1)
    return float(total) if entropies.ndim == 1 else total


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
