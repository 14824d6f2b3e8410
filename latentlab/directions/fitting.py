"""Attribute directions of a store: per attribute, the normal of a linear SVM between samples with and without it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from latentlab import svm
from latentlab.directions.conditioning import check_conditions, conditioned, orthogonal_part
from latentlab.directions.form import Directions, Space, repeated
from latentlab.errors import DataError, DegenerateWarning, StoreError, UsageError
from latentlab.metrics.separability.pruning import SOLVER, most_confident
from latentlab.progress import Progress, silent
from latentlab.randomness import uniform_rows
from latentlab.store import LatentStore
from latentlab.svm import LinearSVMs, fit_linear_svms

HELD_OUT = 0.2
ONE_CLASS = "all samples kept for it are of one class"
NOT_CONVERGED = "the solver stopped before it had converged"
_NO_NORMAL = "no plane separates its samples"


@dataclass(frozen=True)
class _Problem:
    """What planes are fitted on: latents [N, D], labels [N, A], the rows kept for each attribute, and held-out [N]."""

    latents: np.ndarray
    labels: np.ndarray
    keep: Sequence[np.ndarray]
    held_out: np.ndarray

    def seen(self) -> list[np.ndarray]:
        """Of the kept rows, those that are not held out."""
        return [rows[~self.held_out[rows]] for rows in self.keep]

    def unseen(self) -> list[np.ndarray]:
        """Of the kept rows, those that are held out."""
        return [rows[self.held_out[rows]] for rows in self.keep]

    def accuracy(self, planes: LinearSVMs, rows_of: Sequence[np.ndarray]) -> np.ndarray:
        """Share of some rows that lie on the right side, [A]; NaN where there is no plane or no row."""
        found = np.full(len(rows_of), np.nan)
        for attribute, rows in enumerate(rows_of):
            if planes.fitted[attribute] and len(rows):
                right = planes.predict(self.latents[rows], attribute) == self.labels[rows, attribute]
                found[attribute] = right.mean()
        return found

    def along(self, direction: np.ndarray, attribute: int) -> "_Problem":
        """One attribute alone, told by latent . direction alone."""
        values = (self.latents @ direction.astype(np.float32))[:, None]
        return _Problem(values, self.labels[:, [attribute]], [self.keep[attribute]], self.held_out)


def attribute_directions(
    store: LatentStore,
    *,
    space: Space | None = None,
    num_keep: int | None = None,
    conditions: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Directions:
    """Fit a linear SVM per attribute to its most confidently labelled samples; reads the logits and z or w.

    The rule by which samples are kept, and the SVM, are those of linear separability (protocol "latentlab"). A
    conditioned direction gets the best plane that is orthogonal to it: an SVM on latent . direction alone.

    Args:
        store: A complete store with logits.
        space: "z" or "w"; left out, W if it is stored and more than normalised Z.
        num_keep: Samples kept per attribute; half of all if left out.
        conditions: For some attributes, those whose normals theirs shall be orthogonal to.
        seed: Decides which samples are held out: each with a probability of 0.2, the same ones for all attributes.
        progress: Told after every attribute; there are two fits of each.

    Raises:
        StoreError: The store lacks what is needed, or holds numbers that are not finite.
        DataError: Names are there twice, no latent varies, or no attribute is valid.
        UsageError: Too few samples would be kept for so many dimensions, or a condition cannot be met.
    """
    names = store.settings.attributes
    if twice := repeated(names):
        raise DataError(
            f"{store.path}: {', '.join(twice)} is there more than once: every attribute needs its own name."
        )
    conditions = dict(conditions or {})
    check_conditions(conditions, names)
    space = space or default_space(store)
    if not store.has(space):
        raise StoreError(f"{store.path} lacks {space}: take the other space, or sample again.")
    logits = store.logits
    latents = getattr(store, space)
    varying = _varying(store, space, latents)
    count = _num_keep(len(store), num_keep, dims=int(varying.sum()))
    problem = _Problem(
        latents=latents if varying.all() else latents[:, varying],
        labels=logits > 0,
        keep=[most_confident(column, count, "log-odds") for column in logits.T],
        held_out=uniform_rows(seed, "held-out", slice(0, len(store)), 1)[:, 0] < HELD_OUT,
    )
    planes, tested = _fit_twice(problem, progress)
    plain = _directions(store, space, problem, planes=planes, tested=tested, varying=varying)
    found = replace(plain, provenance=_provenance(store, num_keep=count, seed=seed))
    for attribute, others in conditions.items():
        rows = [plain.index(name) for name in (attribute, *others)]
        found = _condition(found, rows, problem, tested=tested, varying=varying)
    return found


def default_space(store: LatentStore) -> Space:
    """W if it is stored and more than normalised Z, else Z."""
    return "w" if store.has("w") and store.settings.has_mapping else "z"


def _fit_twice(problem: _Problem, progress: Progress) -> tuple[LinearSVMs, LinearSVMs]:
    """Planes of all kept rows, and of those that are not held out."""
    count = len(problem.keep)

    def first(done: int, total: int, note: str = "") -> None:
        progress(done, 2 * count, note)

    def second(done: int, total: int, note: str = "") -> None:
        progress(count + done, 2 * count, note)

    planes = fit_linear_svms(problem.latents, problem.labels, list(problem.keep), progress=first)
    return planes, fit_linear_svms(problem.latents, problem.labels, problem.seen(), progress=second)


def _directions(
    store: LatentStore,
    space: Space,
    problem: _Problem,
    *,
    planes: LinearSVMs,
    tested: LinearSVMs,
    varying: np.ndarray,
) -> Directions:
    """Planes of all attributes as directions; at least one of them valid."""
    coef = np.zeros((len(planes.coef), len(varying)))
    coef[:, varying] = planes.coef
    lengths = np.linalg.norm(coef, axis=1)
    units = coef / np.where(lengths > 0, lengths, 1)[:, None]
    scale = _spread(problem.latents, units[:, varying])
    reason = _reasons(planes, (lengths > 0) & (scale > 0))
    valid = np.array([not text for text in reason])
    if not valid.any():
        why = "; ".join(f"{text} ({reason.count(text)})" for text in sorted(set(reason)))
        raise DataError(
            f"{store.path}: none of the {len(reason)} attributes has a direction in {space.upper()}: {why}. Sample "
            "more images, or check that the classifiers fit the images."
        )
    normals = np.where(valid[:, None], units, 0)
    kept = [problem.labels[rows, attribute] for attribute, rows in enumerate(problem.keep)]
    return Directions(
        attributes=store.settings.attributes,
        space=space,
        directions=normals,
        normals=normals,
        intercepts=np.where(valid, planes.intercept / np.where(valid, lengths, 1), np.nan),
        scale=np.where(valid, scale, np.nan),
        accuracy=problem.accuracy(planes, problem.keep),
        held_out_accuracy=problem.accuracy(tested, problem.unseen()),
        share_positive=np.array([labels.mean() for labels in kept]),
        num_rarer=np.array([min(labels.sum(), (~labels).sum()) for labels in kept], np.int64),
        converged=planes.converged,
        valid=valid,
        reason=tuple(reason),
        conditioned_on=((),) * len(reason),
        provenance={},
    )


def _reasons(planes: LinearSVMs, usable: np.ndarray) -> list[str]:
    """Why attributes have no direction; empty texts for those that have one."""
    rows = zip(planes.fitted, planes.converged, usable, strict=True)
    return [
        ONE_CLASS if not fitted else NOT_CONVERGED if not converged else "" if there else _NO_NORMAL
        for fitted, converged, there in rows
    ]


def _condition(
    found: Directions, rows: Sequence[int], problem: _Problem, *, tested: LinearSVMs, varying: np.ndarray
) -> Directions:
    """Replace the direction of the first of some attributes by what is orthogonal to the normals of the others.

    For the held-out accuracy the same is done with the planes that were fitted without the held-out samples.
    """
    index, names = rows[0], [found.attributes[row] for row in rows]
    direction = conditioned(names[0], names[1:], found.normals[rows])
    alone = problem.along(direction[varying], index)
    plane = fit_linear_svms(alone.latents, alone.labels, alone.keep)
    if plane.coef[0, 0] <= 0:
        raise UsageError(
            f"{names[0]}, made orthogonal to {', '.join(names[1:])}, would point away from the samples that have it: "
            "condition on fewer attributes."
        )
    changes = {
        "directions": direction,
        "intercepts": plane.intercept[0] / plane.coef[0, 0],
        "scale": alone.latents.std(dtype=np.float64),
        "accuracy": alone.accuracy(plane, alone.keep)[0],
        "held_out_accuracy": _held_out(problem, tested.coef[rows], index),
    }
    arrays: dict[str, Any] = {name: _with_row(getattr(found, name), index, value) for name, value in changes.items()}
    others = tuple(tuple(names[1:]) if row == index else known for row, known in enumerate(found.conditioned_on))
    return replace(found, conditioned_on=others, **arrays)


def _held_out(problem: _Problem, coef: np.ndarray, attribute: int) -> float:
    """Accuracy on held-out samples of the first of some normals, orthogonal to the others; NaN if one is missing."""
    if not coef.any(axis=1).all():
        return float("nan")
    alone = problem.along(orthogonal_part(coef[0], coef[1:])[0], attribute)
    plane = fit_linear_svms(alone.latents, alone.labels, alone.seen())
    return float(alone.accuracy(plane, alone.unseen())[0])


def _with_row(array: np.ndarray, index: int, value: Any) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


def _spread(latents: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Standard deviation of latent . direction over all samples, [A]."""
    return np.asarray((latents @ directions.T.astype(np.float32)).std(axis=0, dtype=np.float64))


def _varying(store: LatentStore, space: Space, latents: np.ndarray) -> np.ndarray:
    """Which columns [D] of the latents are not the same number in all samples; directions lie in these alone."""
    varying = np.asarray(latents.min(axis=0) < latents.max(axis=0))
    if not varying.any():
        raise DataError(f"{store.path}: {space} is the same in all samples, so it has no directions.")
    if not varying.all():
        constant = np.flatnonzero(~varying)
        listed = ", ".join(map(str, constant[:10])) + (", ..." if len(constant) > 10 else "")
        warnings.warn(
            f"{store.path}: {len(constant)} of {len(varying)} columns of {space} are constant ({listed}): directions "
            "have no part in them.",
            DegenerateWarning,
            stacklevel=3,
        )
    return varying


def _num_keep(num_samples: int, num_keep: int | None, *, dims: int) -> int:
    """How many samples to keep; as few as there are dimensions are separable whatever their labels."""
    count = num_samples // 2 if num_keep is None else num_keep
    if count > num_samples:
        raise UsageError(f"{count} samples shall be kept per attribute, but there are only {num_samples}.")
    if count * (1 - HELD_OUT) <= dims + 1:
        least = int((dims + 1) / (1 - HELD_OUT)) + 1
        raise UsageError(
            f"{count} of {num_samples} samples would be kept per attribute, in {dims} dimensions: so few can be "
            f"separated whatever their labels are, and a direction would mean nothing. Keep at least {least}, better "
            "ten times as many; sample more where there are not enough."
        )
    return count


def _provenance(store: LatentStore, *, num_keep: int, seed: int) -> dict[str, Any]:
    return {
        "store": store.provenance,
        "num_keep": num_keep,
        "confidence": "log-odds",
        "solver": SOLVER["latentlab"],
        "C": svm.C,
        "max_iter": svm.most_iterations(SOLVER["latentlab"]),
        "held_out": HELD_OUT,
        "seed": seed,
        "latentlab_version": version("latentlab"),
    }
