"""The score of one latent space: fit, joint tables, entropies, and what they are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentlab.errors import DataError
from latentlab.metrics.bootstrap import REPLICATES, interval95, interval_of_refits
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
        score: Over the attributes that are valid here, too: with both classes among the held-out samples unless the
            protocol is "stylegan". None if there is none.
        ci95: As of the score itself.
        fitted_score: The score itself over the same attributes, to be compared with.
        num_valid: Over how many attributes the scores run.
        entropies: H(Y|X) in bits [A], NaN where it does not exist.
        accuracies: Shares of right answers [A], NaN likewise.
    """

    fraction: float
    score: float | None
    ci95: tuple[float, float] | None
    fitted_score: float | None
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
            to 1), accuracy, share_positive and num_rarer (samples of the rarer class) of the kept samples, converged,
            iterations; with a held-out share also
            held_out_conditional_entropy_bits and held_out_accuracy. Numbers that do not exist are None.
        num_valid: How many attributes the score runs over.
        num_keep: Samples kept per attribute.
        dims: Of the latents.
        protocol: "latentlab" or "stylegan".
        solver: Which solver found the hyperplanes.
        know_nothing: The score of hyperplanes that say nothing: 2^(sum of H(Y)) over the valid attributes.
        permuted: The scores with each attribute's kept labels shuffled and hyperplanes fitted to that, one per
            permutation: what fitting alone makes of `know_nothing`.
        held_out: With a held-out share, else None.
        entropies: H(Y|X) in bits [A].
        resampled: H(Y|X) in bits under the same resampled samples whatever the space, [replicates, A].
        refitted: H(Y|X) in bits with hyperplanes fitted, and measured, without each group of samples, [groups, A]; NaN
            where such a fit failed.
    """

    score: float
    ci95: tuple[float, float]
    attributes: list[dict[str, Any]]
    num_valid: int
    num_keep: int
    dims: int
    protocol: Protocol
    solver: Solver
    know_nothing: float
    permuted: tuple[float, ...]
    held_out: HeldOut | None
    entropies: np.ndarray
    resampled: np.ndarray
    refitted: np.ndarray

    @property
    def ci95_of_refits(self) -> tuple[float, float] | None:
        """The interval of the score that counts how hyperplanes vary; None without refits, or where one failed."""
        bits = self.refitted[:, [row["valid"] for row in self.attributes]].sum(axis=1)
        if not len(bits) or np.isnan(bits).any():
            return None
        low, high, _ = interval_of_refits(float(np.log2(self.score)), bits)
        return 2.0**low, 2.0**high


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
    refits: int = 0,
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
        refits: Into how many groups to part the samples, to fit without each: for intervals that count how hyperplanes
            vary (`interval_of_refits`). 0 for none, else at least 5.
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
        refits=refits,
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
    refits: int = 0,
    seed: int = 0,
    stream: str = "separability",
    bootstrap: int = REPLICATES,
    device: "torch.device | str" = "cpu",
    team: "Team | None" = None,
    progress: Progress = silent,
) -> SeparabilityScore:
    """As `linear_separability`, of samples that have been pruned; scores of the same `stream` resample alike."""
    rows = usable_rows(latents, len(kept.labels))
    check_numbers(kept, rows.shape[1], held_out=held_out, permutations=permutations, refits=refits, bootstrap=bootstrap)
    fits = Fits(kept, held_out=held_out, permutations=permutations, refits=refits, seed=seed)
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
    if fits.tested is not None and fits.held_out is not None:
        tested = np.where(fits.tested, cells_of(kept, kept.labels, said[:, fits.held_out]), -1)
        parts.append(tested)
    resampled = resampled_entropies(parts, kept, resamples)
    entropies = conditional_entropy(tables)
    held = None
    if tested is not None and fits.held_out is not None:
        usable = valid & _usable(svms, fits.held_out, kept.protocol)
        held = _held_out(fits, tested, resampled[1], usable=usable, entropies=entropies)
    return SeparabilityScore(
        score=_total(entropies[valid]),
        ci95=interval95(_total(resampled[0][:, valid])),
        attributes=_attribute_rows(kept, tables, svms, valid=valid, resampled=resampled[0], held=held),
        num_valid=int(valid.sum()),
        num_keep=kept.rows.shape[1],
        dims=svms.coef.shape[1],
        protocol=kept.protocol,
        solver=svms.solver,
        know_nothing=_total(entropy(tables.sum(axis=1))[valid]),
        permuted=_permuted(fits, said, valid),
        held_out=held,
        entropies=entropies,
        resampled=resampled[0],
        refitted=_refitted(fits, svms, said),
    )


def _usable(svms: LinearSVMs, columns: slice, protocol: Protocol) -> np.ndarray:
    """Which of some fits count, bool [A]."""
    return svms.fitted[columns] & (svms.converged[columns] | (protocol == "stylegan"))


def _refitted(fits: Fits, svms: LinearSVMs, said: np.ndarray) -> np.ndarray:
    """H(Y|X) in bits [groups, A] of hyperplanes and samples without each group; 0 where one class is left."""
    kept, found = fits.kept, [np.zeros((0, len(fits.kept.names)))]
    for columns in fits.refits:
        there = np.stack([np.isin(rows, used) for rows, used in zip(kept.rows, fits.rows[columns], strict=True)])
        tables = joint_tables(np.where(there, cells_of(kept, kept.labels, said[:, columns]), -1))
        failed = svms.fitted[columns] & ~svms.converged[columns] & (kept.protocol == "latentlab")
        found.append(np.where(failed, np.nan, conditional_entropy(tables))[None])
    return np.concatenate(found)


def _held_out(
    fits: Fits, cells: np.ndarray, resampled: np.ndarray, *, usable: np.ndarray, entropies: np.ndarray
) -> HeldOut:
    tables = joint_tables(cells)
    counts = tables.sum(axis=(1, 2))
    both = (tables.sum(axis=1) > 0).all(axis=1)
    usable = usable & (counts > 0) & (both | (fits.kept.protocol == "stylegan"))
    found = conditional_entropy(tables)
    right = np.trace(tables, axis1=1, axis2=2) / np.maximum(counts, 1)
    return HeldOut(
        fraction=fits.fraction,
        score=_total(found[usable]) if usable.any() else None,
        ci95=interval95(_total(resampled[:, usable])) if usable.any() else None,
        fitted_score=_total(entropies[usable]) if usable.any() else None,
        num_valid=int(usable.sum()),
        entropies=np.where(usable, found, np.nan),
        accuracies=np.where(usable, right, np.nan),
    )


def _permuted(fits: Fits, said: np.ndarray, valid: np.ndarray) -> tuple[float, ...]:
    found = [joint_tables(cells_of(fits.kept, fits.labels[:, one], said[:, one])) for one in fits.permuted]
    return tuple(_total(conditional_entropy(tables)[valid]) for tables in found)


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
            "num_rarer": int(table.sum(axis=0).min()),
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
