"""Re-scoring: how far an edit moves the attribute it is meant for, and how far all others move along."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch

from latentlab.blocks import block_rows, spread
from latentlab.directions.editing import Edit, Editor
from latentlab.directions.form import position
from latentlab.directions.steps import check_steps, warn_of_far
from latentlab.errors import DataError, UsageError
from latentlab.images import box_resize
from latentlab.latents import sample_z
from latentlab.metrics.bootstrap import REPLICATES, draw_counts
from latentlab.progress import Progress, silent
from latentlab.protocols import Labeller

STREAM, NOISE_STREAM = "rescoring", "rescoring-noise"


@dataclass(frozen=True, eq=False)
class Rescoring:
    """What E edits did to M measured attributes.

    Attributes:
        edits: The E edits.
        attributes: The M names.
        moves: float64 [E, M], mean change of log-odds per step: (log-odds at +reach - at -reach) / (2 reach).
        ci95: float64 [E, M, 2], its bootstrap interval over samples.
        spread: float64 [M], standard deviation of the log-odds of the unedited samples.
        targets: For each edit, the column of the attribute that it is meant for.
        flips: float64 [E], the share of samples whose target label an edit of `reach` steps towards the other label
            turns over.
        selectivity: float64 [E], move of the target over the mean absolute move of the others, all in units of
            `spread`; NaN where there is nothing to divide by.
        selectivity_ci95: float64 [E, 2].
        num_samples: How many latents.
        reach: Steps to either side.
        settings: What else decides the numbers, as JSON holds it: network, seed, classifiers, truncation, noise,
            layers.
        description: What of it is not as it is by default, with the network's name, in words.
    """

    edits: tuple[Edit, ...]
    attributes: tuple[str, ...]
    moves: np.ndarray
    ci95: np.ndarray
    spread: np.ndarray
    targets: np.ndarray
    flips: np.ndarray
    selectivity: np.ndarray
    selectivity_ci95: np.ndarray
    num_samples: int
    reach: float
    settings: dict[str, Any]
    description: str = ""

    @property
    def standardised(self) -> np.ndarray:
        """Moves in standard deviations of each attribute's log-odds, [E, M]; NaN for log-odds that never vary."""
        return _standardised(self.moves, self.spread)


def rescore_edits(
    editor: Editor,
    labeller: Labeller,
    edits: Sequence[Edit],
    *,
    num_samples: int = 256,
    reach: float = 1.0,
    seed: int = 0,
    bootstrap: int = REPLICATES,
    progress: Progress = silent,
) -> Rescoring:
    """Edit fresh samples by `reach` steps to either side, label their images, and compare.

    The samples come from a stream of their own: none of them is one that directions were fitted on.

    Args:
        editor: Of the network.
        labeller: On the editor's device; all of its attributes are measured.
        edits: See `edits_along`.
        num_samples: How many latents.
        reach: Steps to either side, in standard deviations along the direction.
        seed: Of latents, noise and bootstrap.
        bootstrap: Replicates.
        progress: Told after every block of samples; the unit is images.

    Raises:
        UsageError: An argument is not allowed, or the labeller does not know an edited attribute.
        DataError: Images or log-odds are not finite.
    """
    if num_samples < 2 or not 0 < reach < np.inf:
        raise UsageError(f"num_samples is {num_samples} and reach {reach}: at least 2, and a finite number above 0.")
    check_steps([reach], "reach")
    warn_of_far([reach], "reach")
    measured = tuple(labeller.attributes)
    targets = np.array([_target(edit, labeller) for edit in edits])
    base, low, high = _collect(editor, labeller, edits, (num_samples, reach, seed), progress)
    moves = (high - low) / (2 * reach)
    spread = base.std(axis=0)
    replicates, spreads = _resampled(moves, bootstrap, seed), _resampled_spread(base, bootstrap, seed)
    ends = np.percentile(replicates, [2.5, 97.5], axis=0)
    pairs = zip(replicates, spreads, strict=True)
    selectivities = np.stack([_selectivity(_standardised(means, there), targets) for means, there in pairs])
    return Rescoring(
        edits=tuple(edits),
        attributes=measured,
        moves=moves.mean(axis=1),
        ci95=np.moveaxis(ends, 0, -1),
        spread=spread,
        targets=targets,
        flips=np.array([_flips(base[:, t], low[e, :, t], high[e, :, t]) for e, t in enumerate(targets)]),
        selectivity=_selectivity(_standardised(moves.mean(axis=1), spread), targets),
        selectivity_ci95=_known_ends(selectivities),
        num_samples=num_samples,
        reach=reach,
        settings={
            "network": None if editor.network is None else editor.network.model_dump(),
            "seed": seed,
            "classifiers": {"name": labeller.name, "sha256": labeller.sha256},
            "truncation_psi": editor.truncation_psi,
            "noise_mode": editor.noise_mode,
            "layers": None if editor.layers is None else list(editor.layers),
        },
        description=editor.description,
    )


def _target(edit: Edit, labeller: Labeller) -> int:
    try:
        return position(edit.attribute, tuple(labeller.attributes))
    except UsageError as error:
        raise UsageError(f"the classifiers {labeller.name} cannot measure {edit.attribute}: {error}") from error


def _collect(
    editor: Editor, labeller: Labeller, edits: Sequence[Edit], how: tuple[int, float, int], progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds of the unedited samples [N, M], and of the edited ones [E, N, M] at -reach and at +reach.

    Networks run on whole blocks of rows, so that a sample's numbers do not depend on how many there are.
    """
    num_samples, reach, seed = how
    size = block_rows(editor.generator.img_resolution)
    blocks = [slice(start, start + size) for start in range(0, num_samples, size)]
    taking_turns = nullcontext() if getattr(labeller, "thread_safe", False) else Lock()

    def label(images: torch.Tensor) -> np.ndarray:
        with taking_turns:
            logits = labeller(box_resize(images, labeller.resolution))
        if not torch.isfinite(logits).all():
            raise DataError(f"the classifiers {labeller.name} made log-odds that are not finite.")
        return logits.cpu().double().numpy()

    @torch.inference_mode()
    def block(item: tuple[slice, Edit | None]) -> list[np.ndarray]:
        rows, edit = item
        z = sample_z(seed, rows, editor.generator.z_dim, stream=STREAM)
        views = [editor.latents(z, edit, step) for step in ((-reach, reach) if edit else (0.0,))]
        return [label(images) for images in editor.images(views, rows, seed=seed, stream=NOISE_STREAM)]

    items = [(rows, edit) for edit in (None, *edits) for rows in blocks]
    total, found = size * len(blocks) * (1 + 2 * len(edits)), []
    for (rows, _), logits in spread(block, items, editor.generator, editor.device):
        found.append([values[: num_samples - rows.start] for values in logits])
        progress(sum(len(logits) for logits in found) * size, total)
    base = np.concatenate([logits[0] for logits in found[: len(blocks)]])
    ends = [np.concatenate([logits[end] for logits in found[len(blocks) :]]) for end in (0, 1)]
    low, high = (values.reshape(len(edits), num_samples, -1) for values in ends)
    return base, low, high


def _resampled(moves: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Mean moves [B, E, M] over samples drawn anew, the same ones for all edits and attributes."""
    edits, samples, measured = moves.shape
    flat = np.moveaxis(moves, 1, 0).reshape(samples, -1)
    counts = draw_counts(samples, replicates, seed=seed, stream="rescoring")
    return np.stack([drawn @ flat / samples for drawn in counts]).reshape(-1, edits, measured)


def _resampled_spread(base: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Standard deviations [B, M] of the unedited log-odds [N, M] of the samples that `_resampled` draws."""
    samples, found = len(base), []
    base = base - base[0]  # what never varies becomes exact zeros
    for drawn in draw_counts(samples, replicates, seed=seed, stream="rescoring"):
        mean = drawn @ base / samples
        found.append(np.sqrt(drawn @ (base - mean) ** 2 / samples))
    return np.stack(found)


def _known_ends(replicates: np.ndarray) -> np.ndarray:
    """The 2.5th and 97.5th percentiles [E, 2] of replicates [B, E]; those that do not exist are left out."""
    known = [column[np.isfinite(column)] for column in replicates.T]
    return np.array([np.percentile(column, [2.5, 97.5]) if len(column) else [np.nan, np.nan] for column in known])


def _flips(base: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of samples whose label the edit towards the other label turns over, both ways together."""
    return float(np.where(base > 0, low <= 0, high > 0).mean())


def _standardised(moves: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.asarray(moves / np.where(spread > 0, spread, np.nan))


def _selectivity(standardised: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Move of the target over the mean absolute move of the others, [E, M] -> [E]; NaN if these are none or still."""
    others = np.abs(standardised)
    rows = np.arange(len(targets))
    others[rows, targets] = np.nan
    known = np.isfinite(others).sum(axis=1)
    mean = np.where(known > 0, np.nansum(others, axis=1) / np.maximum(known, 1), 0)
    return np.asarray(standardised[rows, targets] / np.where(mean > 0, mean, np.nan))
