"""The score of one latent space: fit, joint tables, entropies, and what they are worth."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentlab.errors import DataError, DegenerateWarning, UsageError
from latentlab.metrics.bootstrap import REPLICATES, interval95, weight_blocks
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.metrics.separability.pruning import SOLVER, Kept, Protocol, prune
from latentlab.progress import Progress, silent
from latentlab.randomness import derive_seed
from latentlab.svm import LinearSVMs, Solver, fit_linear_svms

if TYPE_CHECKING:
    import torch

    from latentlab.distributed import Team
    from latentlab.newton import Rows

ONE_CLASS = "all kept samples are of one class"
NOT_CONVERGED = "the solver did not converge"
_ROWS_AT_A_TIME = 16384


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
    rows = _rows(latents, len(kept.labels))
    _check(kept, rows.shape[1], held_out=held_out, permutations=permutations, bootstrap=bootstrap)
    fits = _Fits(kept, held_out=held_out, permutations=permutations, seed=seed)
    svms = fit_linear_svms(
        rows, fits.labels, fits.rows, solver=solver, seed=seed, device=device, team=team, progress=progress
    )
    return _scored(fits, svms, svms.predict_all(rows), resamples=(bootstrap, seed, stream))


class _Fits:
    """The columns that are fitted: the attributes, then the same without the held-out samples, then shuffled ones.

    Attributes:
        labels: bool [N, P].
        rows: Per column, the samples to fit to.
        tested: int [A, K], which kept samples are held out as a mask, or None.
    """

    def __init__(self, kept: Kept, *, held_out: float, permutations: int, seed: int) -> None:
        self.kept, self.fraction, self.permutations = kept, held_out, permutations
        labels, self.rows = [kept.labels], list(kept.rows)
        self.tested: np.ndarray | None = None
        if held_out:
            chance = _generator(seed, "held out").random(len(kept.labels)) < held_out
            self.tested = chance[kept.rows]
            labels.append(kept.labels)
            self.rows += [rows[~out] for rows, out in zip(kept.rows, self.tested, strict=True)]
        for number in range(permutations):
            labels.append(_shuffled(kept, _generator(seed, "permutation", number)))
            self.rows += list(kept.rows)
        self.labels = np.concatenate(labels, axis=1)


def _scored(fits: _Fits, svms: LinearSVMs, said: np.ndarray, *, resamples: tuple[int, int, str]) -> SeparabilityScore:
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
    cells = _cells(kept, kept.labels, said[:, :count])
    tables = joint_tables(cells)
    parts, tested = [cells], None
    if fits.tested is not None:
        tested = np.where(fits.tested, _cells(kept, kept.labels, said[:, count : 2 * count]), -1)
        parts.append(tested)
    resampled = _resampled(parts, kept, resamples)
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


def joint_tables(cells: np.ndarray) -> np.ndarray:
    """Counts [A, 2, 2] of (SVM's answer, label), 0 = present and 1 = absent, from cell numbers [A, K]; -1: left out."""
    return np.stack([np.bincount(row[row >= 0], minlength=4) for row in cells]).reshape(-1, 2, 2)


def _cells(kept: Kept, labels: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Which cell of its joint table every kept sample falls in: 2 * (SVM says absent) + (label is absent), [A, K]."""
    columns = np.arange(len(kept.names))[:, None]
    absent, said_absent = ~labels[kept.rows, columns], ~said[kept.rows, columns]
    one_class = absent.all(axis=1) | ~absent.any(axis=1)
    said_absent[one_class] = absent[one_class]
    return (2 * said_absent + absent).astype(np.int8)


def _resampled(parts: Sequence[np.ndarray], kept: Kept, resamples: tuple[int, int, str]) -> list[np.ndarray]:
    """H(Y|X) in bits [replicates, A] of each set of cells: weights [B, N] @ indicators of the cells [N, 4 A]."""
    count, num_samples, (replicates, seed, stream) = len(kept.rows), len(kept.labels), resamples
    indicators = np.zeros((num_samples, len(parts), count, 4), np.float32)
    for part, cells in enumerate(parts):
        for attribute, found in enumerate(cells):
            there = found >= 0
            indicators[kept.rows[attribute, there], part, attribute, found[there]] = 1
    flat = indicators.reshape(num_samples, -1)
    blocks = weight_blocks(num_samples, replicates, seed=seed, stream=stream)
    tables = np.concatenate([weights @ flat for weights in blocks]).reshape(-1, len(parts), count, 2, 2)
    return list(conditional_entropy(tables).swapaxes(0, 1))


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


def _permuted(fits: _Fits, said: np.ndarray, valid: np.ndarray) -> tuple[float, ...]:
    count = len(fits.kept.names)
    scores = []
    for number in range(fits.permutations):
        columns = slice(fits.labels.shape[1] - count * (fits.permutations - number), None)
        labels, answers = fits.labels[:, columns][:, :count], said[:, columns][:, :count]
        scores.append(_total(conditional_entropy(joint_tables(_cells(fits.kept, labels, answers)))[valid]))
    return tuple(scores)


def _shuffled(kept: Kept, generator: np.random.Generator) -> np.ndarray:
    """Labels with those of each attribute's kept samples shuffled among them."""
    labels = kept.labels.copy()
    for attribute, rows in enumerate(kept.rows):
        labels[rows, attribute] = generator.permutation(kept.labels[rows, attribute])
    return labels


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


def _generator(seed: int, *what: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(derive_seed(seed, "separability", *what)))


def _rows(latents: "np.ndarray | Rows", expected: int) -> "np.ndarray | Rows":
    """The latents, after checking that they can be used."""
    if len(latents.shape) != 2 or latents.shape[0] != expected:
        raise DataError(
            f"latents have the shape {list(latents.shape)} and there are logits of {expected} samples; "
            "they must be [N, D] and [N, A] of the same N."
        )
    low, high = np.full(latents.shape[1], np.inf), np.full(latents.shape[1], -np.inf)
    for start in range(0, expected, _ROWS_AT_A_TIME):
        block = np.asarray(latents[slice(start, start + _ROWS_AT_A_TIME)])
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise DataError(f"latents are not finite (NaN or infinity), first in row {start + int(np.argmin(finite))}.")
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    _warn_of_constants(np.flatnonzero(low == high), latents.shape[1])
    return latents


def _warn_of_constants(constant: np.ndarray, dims: int) -> None:
    if len(constant) == dims:
        raise DataError("all latents are the same, so nothing can be told from them: check how they were sampled.")
    if len(constant):
        some = ", ".join(map(str, constant[:10])) + (", ..." if len(constant) > 10 else "")
        warnings.warn(
            f"{len(constant)} of the latents' {dims} columns are constant and say nothing: {some}.",
            DegenerateWarning,
            stacklevel=4,
        )


def _check(kept: Kept, dims: int, *, held_out: float, permutations: int, bootstrap: int) -> None:
    if not 0 <= held_out < 1:
        raise UsageError(f"held_out is {held_out}; it must be at least 0 (no samples) and below 1, such as 0.2.")
    if permutations < 0 or bootstrap < 1:
        raise UsageError(f"permutations is {permutations} (at least 0) and bootstrap {bootstrap} (at least 1).")
    count = int(kept.rows.shape[1] * (1 - held_out))
    if count <= dims:
        fitted = " are left to fit to" if held_out else " are kept per attribute"
        raise DataError(
            f"{count} of {len(kept.labels)} samples{fitted}, and the latents have {dims} dimensions: a hyperplane can "
            f"tell any labels of so few apart, and the score would be 1 whatever they mean. Sample more than "
            f"{2 * dims} (published numbers: 200,000), or keep a larger share."
        )
