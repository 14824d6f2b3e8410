"""Linear separability (paper, section 4.2): how well a hyperplane in Z or W tells whether an attribute is present.

Per attribute, the most confidently labelled samples are kept, a linear SVM is fitted from latents to labels, and
H(Y|X), the entropy of the label Y left when the SVM's answer X on the same samples is known, is computed.
Score = exp(sum over attributes of H in nats) = 2^(sum in bits); 1 is perfect, 2^A useless, lower is better.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from latentlab import svm
from latentlab.errors import DataError, StoreError, UsageError
from latentlab.metrics.bootstrap import REPLICATES, interval95, weight_blocks
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.progress import Progress, silent
from latentlab.results import MetricResult, NetworkName
from latentlab.store import LatentStore
from latentlab.svm import LinearSVMs, Solver, fit_linear_svms

Protocol = Literal["latentlab", "stylegan"]
Rule = Literal["log-odds", "stylegan"]
CONFIDENCE: dict[str, Rule] = {"latentlab": "log-odds", "stylegan": "stylegan"}
_ONE_CLASS = "all kept samples are of one class"


@dataclass(frozen=True)
class SeparabilityScore:
    """The score of one latent space.

    Attributes:
        score: exp(sum of H(Y|X) in nats) over the valid attributes.
        ci95: Bootstrap interval of the score, see `linear_separability`.
        attributes: One dict per attribute: name, valid, reason (why it is invalid or treated specially, else None),
            conditional_entropy_bits, ci95, entropy_bits (H(Y) of the kept samples), accuracy, share_positive (of
            the kept samples), converged. Numbers that do not exist are None.
        num_valid: How many attributes the score runs over.
        num_keep: Samples kept per attribute.
        protocol: "latentlab" or "stylegan".
    """

    score: float
    ci95: tuple[float, float]
    attributes: list[dict[str, Any]]
    num_valid: int
    num_keep: int
    protocol: Protocol


def most_confident(logits: np.ndarray, count: int, rule: Rule) -> np.ndarray:
    """Indices of the `count` most confidently labelled samples, most confident first; ties keep sample order.

    Args:
        logits: Log-odds of one attribute, [N].
        count: How many to keep.
        rule: "log-odds" sorts by |logit|. "stylegan" sorts, as the official code does, by the larger of the float32
            softmax([l, -l]); it saturates at 1 from |l| of about 9 on, and all such samples tie.
    """
    values = np.asarray(logits, np.float32)
    confidence = np.abs(values) if rule == "log-odds" else _official_probabilities(values).max(axis=1)
    return np.argsort(-confidence, kind="stable")[:count]


def linear_separability(
    latents: np.ndarray,
    logits: np.ndarray,
    *,
    attributes: Sequence[str] | None = None,
    protocol: Protocol = "latentlab",
    keep_fraction: float = 0.5,
    num_keep: int | None = None,
    solver: Solver = "liblinear",
    seed: int = 0,
    bootstrap: int = REPLICATES,
    progress: Progress = silent,
) -> SeparabilityScore:
    """Linear separability of one latent space (paper, section 4.2).

    The interval is a bootstrap over samples, drawn jointly for all attributes, with the kept set and the fitted
    hyperplanes held fixed: it shows how well this many samples determine the entropies, not how training or fitting
    would vary.

    Args:
        latents: [N, D], z or the last layer's w.
        logits: Log-odds [N, A].
        attributes: A names; numbered if left out.
        protocol: "latentlab" ranks by |log-odds|, and an attribute whose kept samples are of one class is invalid:
            it enters no score. "stylegan" ranks by the official saturating softmax and counts such an attribute as
            entropy 0, that is, as perfect.
        keep_fraction: Share of the samples kept per attribute; the official code keeps half.
        num_keep: The same as a number; overrides `keep_fraction`.
        solver: See `fit_linear_svms`.
        seed: Of the bootstrap and of the dual solver.
        bootstrap: Replicates.
        progress: Told after every attribute.

    Raises:
        UsageError: an argument is not allowed.
        DataError: shapes do not match, numbers are not finite, or no attribute is valid.
    """
    latents, logits = np.asarray(latents), np.asarray(logits)
    names = _names(latents, logits, attributes)
    if protocol not in get_args(Protocol):
        raise UsageError(f"protocol is {protocol!r}; it must be one of {', '.join(get_args(Protocol))}.")
    count = _num_keep(len(logits), keep_fraction, num_keep)
    keep = np.stack([most_confident(column, count, CONFIDENCE[protocol]) for column in logits.T])
    labels = _present(logits, protocol)
    svms = fit_linear_svms(latents, labels, list(keep), solver=solver, seed=seed, progress=progress)
    cells = _cells(latents, labels, keep, svms)
    valid = svms.fitted if protocol == "latentlab" else np.ones(len(names), bool)
    if not valid.any():
        raise DataError(
            f"no attribute is valid: for each of the {len(names)}, {_ONE_CLASS} ({count} of {len(logits)}). "
            "Sample more images, or check that the classifiers fit the images."
        )
    tables = joint_tables(cells)
    resampled = _resampled_entropies(cells, keep, num_samples=len(logits), replicates=bootstrap, seed=seed)
    return SeparabilityScore(
        score=float(2.0 ** conditional_entropy(tables)[valid].sum()),
        ci95=interval95(2.0 ** resampled[:, valid].sum(axis=1)),
        attributes=_attribute_rows(names, tables, svms, valid=valid, resampled=resampled),
        num_valid=int(valid.sum()),
        num_keep=count,
        protocol=protocol,
    )


def separability_results(
    store: LatentStore,
    *,
    spaces: Sequence[Literal["z", "w"]] | None = None,
    protocol: Protocol = "latentlab",
    keep_fraction: float = 0.5,
    num_keep: int | None = None,
    solver: Solver = "liblinear",
    seed: int = 0,
    bootstrap: int = REPLICATES,
    progress: Progress = silent,
) -> list[MetricResult]:
    """Measure `ls_z` and `ls_w` on a store; reads its logits, z and w.

    Args:
        store: A complete store with logits.
        spaces: Which; left out, Z, and W too if it is stored and more than normalised Z.
        protocol: This and the rest: see `linear_separability`.

    Raises:
        StoreError: the store lacks what is asked for, or holds numbers that are not finite.
        UsageError, DataError: as `linear_separability`.
    """
    logits = store.logits
    both = store.has("w") and store.settings.has_mapping
    chosen: Sequence[Literal["z", "w"]] = spaces or (("z", "w") if both else ("z",))
    absent = [space for space in chosen if not store.has(space)]
    if absent:
        raise StoreError(f"{store.path} lacks {', '.join(absent)}: measure the other space, or sample again.")
    results = []
    for space in chosen:
        score = linear_separability(
            store.z if space == "z" else store.w,
            logits,
            attributes=store.settings.attributes,
            protocol=protocol,
            keep_fraction=keep_fraction,
            num_keep=num_keep,
            solver=solver,
            seed=seed,
            bootstrap=bootstrap,
            progress=progress,
        )
        results.append(_result(store, score, space=space, solver=solver, seed=seed))
    return results


def joint_tables(cells: np.ndarray) -> np.ndarray:
    """Counts [A, 2, 2] of (SVM's answer, label), 0 = present and 1 = absent, from cell numbers [A, K] in 0..3."""
    return np.stack([np.bincount(row, minlength=4) for row in cells]).reshape(-1, 2, 2)


def _cells(latents: np.ndarray, labels: np.ndarray, keep: np.ndarray, svms: LinearSVMs) -> np.ndarray:
    """Which cell of its joint table every kept sample falls in: 2 * (SVM says absent) + (label is absent), [A, K]."""
    cells = np.empty(keep.shape, np.int8)
    for attribute, rows in enumerate(keep):
        absent = ~labels[rows, attribute]
        said_absent = ~svms.predict(latents[rows], attribute) if svms.fitted[attribute] else absent
        cells[attribute] = 2 * said_absent + absent
    return cells


def _resampled_entropies(
    cells: np.ndarray, keep: np.ndarray, *, num_samples: int, replicates: int, seed: int
) -> np.ndarray:
    """H(Y|X) in bits [replicates, A] under resampled samples: weights [B, N] @ indicators of the cells [N, 4 A]."""
    num_attributes = len(cells)
    indicators = np.zeros((num_samples, num_attributes, 4), np.float32)
    for attribute, rows in enumerate(keep):
        indicators[rows, attribute, cells[attribute]] = 1
    flat = indicators.reshape(num_samples, -1)
    blocks = weight_blocks(num_samples, replicates, seed=seed, stream="separability")
    tables = np.concatenate([weights @ flat for weights in blocks])
    return conditional_entropy(tables.reshape(-1, num_attributes, 2, 2))


def _attribute_rows(
    names: Sequence[str], tables: np.ndarray, svms: LinearSVMs, *, valid: np.ndarray, resampled: np.ndarray
) -> list[dict[str, Any]]:
    """What `details` of a result says of each attribute."""
    rows: list[dict[str, Any]] = []
    for index, (name, table) in enumerate(zip(names, tables, strict=True)):
        fitted = bool(svms.fitted[index])
        counted = "" if not valid[index] else "; counted as entropy 0 by this protocol"
        rows.append(
            {
                "name": name,
                "valid": bool(valid[index]),
                "reason": None if fitted else _ONE_CLASS + counted,
                "conditional_entropy_bits": float(conditional_entropy(table)) if valid[index] else None,
                "ci95": list(interval95(resampled[:, index])) if valid[index] else None,
                "entropy_bits": float(entropy(table.sum(axis=0))),
                "accuracy": float(np.trace(table) / table.sum()) if fitted else None,
                "share_positive": float(table[:, 0].sum() / table.sum()),
                "converged": bool(svms.converged[index]) if fitted else None,
            }
        )
    return rows


def _official_probabilities(logits: np.ndarray) -> np.ndarray:
    """softmax([l, -l]) in float32, [N] -> [N, 2] with the class "present" first, as the official classifiers give."""
    pair = np.stack([logits, -logits], axis=1).astype(np.float32)
    powers = np.exp(pair - pair.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _present(logits: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Labels bool [N, A]: log-odds > 0; the official argmax gives ties of its two probabilities to "present"."""
    if protocol == "latentlab":
        return np.asarray(logits > 0)
    return np.stack([np.argmax(_official_probabilities(column), axis=1) == 0 for column in logits.T], axis=1)


def _names(latents: np.ndarray, logits: np.ndarray, attributes: Sequence[str] | None) -> list[str]:
    """The attributes' names, after checking that the arrays can be used."""
    if latents.ndim != 2 or logits.ndim != 2 or len(latents) != len(logits) or not logits.shape[1]:
        raise DataError(
            f"latents have the shape {list(latents.shape)} and logits {list(logits.shape)}; "
            "they must be [N, D] and [N, A] of the same N."
        )
    for what, values in (("latents", latents), ("logits", logits)):
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise DataError(f"{what} are not finite (NaN or infinity), first in row {int(np.argmin(finite))}.")
    names = [f"attribute {index}" for index in range(logits.shape[1])] if attributes is None else list(attributes)
    if len(names) != logits.shape[1]:
        raise UsageError(f"{len(names)} attributes are named, but the logits have {logits.shape[1]} columns.")
    return names


def _num_keep(num_samples: int, keep_fraction: float, num_keep: int | None) -> int:
    count = int(num_samples * keep_fraction) if num_keep is None else num_keep
    if num_keep is None and not 0 < keep_fraction <= 1:
        raise UsageError(f"keep_fraction is {keep_fraction}; it must be above 0 and at most 1.")
    if not 2 <= count <= num_samples:
        raise UsageError(
            f"{count} of {num_samples} samples would be kept per attribute; at least 2 are needed, and no more than "
            "there are. Sample more or keep a larger share."
        )
    return count


def _result(store: LatentStore, score: SeparabilityScore, *, space: str, solver: str, seed: int) -> MetricResult:
    """Put a score and everything that decides it into a result line."""
    settings = store.settings
    scored = [row["name"] for row in score.attributes if row["valid"]]
    return MetricResult(
        metric=f"ls_{space}",
        value=score.score,
        ci95=score.ci95,
        num_samples=len(store),
        seed=seed,
        network=NetworkName(name=settings.network["name"], sha256=settings.network["sha256"]),
        protocol={
            "name": score.protocol,
            "space": space,
            "confidence": CONFIDENCE[score.protocol],
            "one_class": "invalid" if score.protocol == "latentlab" else "entropy 0",
            "solver": solver,
            "C": svm.C,
            "max_iter": svm.MAX_ITER,
            "num_samples": len(store),
            "num_keep": score.num_keep,
            "num_attributes": len(score.attributes),
            "attributes_sha256": hashlib.sha256("\n".join(settings.attributes).encode()).hexdigest(),
            "num_scored": len(scored),
            "scored_sha256": hashlib.sha256("\n".join(scored).encode()).hexdigest(),
            "classifiers": None if settings.classifiers is None else dict(settings.classifiers),
            "truncation_psi": settings.truncation_psi,
            "noise_mode": settings.noise_mode,
        },
        details={"attributes": score.attributes, "num_valid": score.num_valid, "samples_seed": settings.seed},
    )
