"""The missing-corner experiment (the paper's figure 6): two attributes in the training data, in Z and in W."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentlab.directions.drawing import words
from latentlab.directions.form import Space, position
from latentlab.errors import NoFigureError, UsageError
from latentlab.figures.corner_drawing import Look, Panel, View, corner_figure
from latentlab.figures.corner_planes import FOLDS, Estimate, Told, fitted, held_out_sides, label_bits, projected, tell
from latentlab.figures.formats import Plot
from latentlab.figures.material import Material, Sources
from latentlab.figures.rendering import Renderer
from latentlab.figures.training_data import Counts, TrainingData, counted, training_data
from latentlab.progress import Progress, silent
from latentlab.store import LatentStore

SHOWN = 2000
"""Samples drawn as points: the first ones of the store. All are counted."""
LEAST_PER_DIMENSION = 2


@dataclass(frozen=True)
class Pair:
    """Two attributes and the combination of them that is looked at.

    Attributes:
        names: Of the attributes.
        corner: Their values there.
        origin: "left out" of the training data, "named" by the user, or "rarest".
    """

    names: tuple[str, str]
    corner: tuple[bool, bool]
    origin: str

    @property
    def in_words(self) -> str:
        """`Male=1 Smiling=0`."""
        return " ".join(f"{name}={int(value)}" for name, value in zip(self.names, self.corner, strict=True))


def corner(
    renderer: Renderer, *, material: Material | None = None, progress: Progress = silent
) -> tuple[Plot, dict[str, Any]]:
    """Panels of the training data, of Z and of W, and what they show.

    Raises:
        StoreError: The store that was named cannot be used.
        UsageError: An attribute that was named is not in the store.
        NoFigureError: There is no labelled store, or no pair of attributes, or the samples show nothing of them.
    """
    material = material or Material(renderer.network)
    seed, sources = renderer.settings.seed, material.sources
    data = training_data(sources.trained)
    names = _names(sources, data)
    with material.store() as store:
        labels = _labels(store, names, named=bool(sources.attributes))
        counts = data.counts(names) if data else None
        pair = _pair(names, sources, data, counts or counted(labels))
        spaces = _spaces(store)
        sides: dict[str, np.ndarray] = {}
        views = {}
        for number, space in enumerate(spaces):
            latents = getattr(store, space)
            _check_enough(latents, space)
            views[space] = projected(latents, fitted(latents, labels))
            sides[space] = held_out_sides(latents, labels, seed=seed)
            progress(number + 1, len(spaces))
        provenance = store.provenance
    told, difference = tell(sides, labels, pair.corner, seed=seed)
    panel = None
    if data is not None and counts is not None:
        panel = Panel(counts, data.full_counts(names) if data.missing else None)
    bits, inside = label_bits(labels), counted(labels)
    notes = [renderer.network.name, _origin(pair, data, counts), _sampled(inside, pair, len(labels))]
    figure = corner_figure(
        Look(pair.names, pair.corner, _title(pair, data), notes, seed),
        panel,
        [View(space, views[space], told[space]) for space in spaces],
        labels=labels,
        shown=SHOWN,
        bits=bits,
    )
    return Plot(figure), {
        "title": _title(pair, data),
        "caption": _caption(renderer, pair, data, told, difference, len(labels), inside[pair.corner], bits),
        "settings": {
            "seed": seed,
            "attributes": list(names),
            "corner": pair.in_words,
            "folds": FOLDS,
            "num_samples": len(labels),
            "num_shown": min(SHOWN, len(labels)),
            "truncation_psi": provenance.get("truncation_psi"),
            "store": {"file": provenance["file"], "classifiers": provenance["classifiers"]},
        },
        "corner_is": pair.origin,
        "training_counts": None if counts is None else _keyed(counts),
        "full_counts": _keyed(panel.full) if panel and panel.full else None,
        "sample_counts": _keyed(inside),
        "label_bits": bits,
        "spaces": {space: {"cosine": views[space].cosine, **_plain(told[space])} for space in spaces},
        "bits_open_z_minus_w": None if difference is None else asdict(difference),
    }


def _names(sources: Sources, data: TrainingData | None) -> tuple[str, str]:
    """Which two attributes: those that were named, else those of the combination that training left out."""
    named = tuple(name for name, _ in sources.attributes) or tuple(data.missing if data else ())
    if len(named) == 2:
        return named[0], named[1]
    if sources.attributes:
        raise UsageError(f"{len(named)} attributes were named for the corner: name two, such as Male,Smiling.")
    what = f"{len(named)} attributes were" if named else "nothing was"
    raise NoFigureError(
        f"{what} left out of the training data, as far as the run's config.json says: name two attributes as "
        "--attributes, or train with `latentlab train --without Male=1,Smiling=0`."
    )


def _labels(store: LatentStore, names: tuple[str, str], *, named: bool) -> np.ndarray:
    """Whether each sample has the two attributes, bool [N, 2]; both classes of both are there."""
    try:
        columns = [position(name, store.settings.attributes) for name in names]
    except UsageError as error:
        if named:
            raise
        raise NoFigureError(f"{store.path}: {error}") from error
    if columns[0] == columns[1]:
        raise UsageError(f"--attributes names {names[0]} twice: name two attributes.")
    labels = np.asarray(store.logits[:, columns] > 0)
    for name, column in zip(names, labels.T, strict=True):
        if column.all() or not column.any():
            raise NoFigureError(f"{'all' if column.all() else 'none'} of the {len(labels):,} samples are {name}=1.")
    return labels


def _pair(names: tuple[str, str], sources: Sources, data: TrainingData | None, counts: Counts) -> Pair:
    """The combination that training left out, else the one that was named, else the rarest."""
    missing = data.missing if data else {}
    values = [value for _, value in sources.attributes if value is not None]
    if values and len(values) < len(names):
        raise UsageError("--attributes gives one attribute a value and the other none: give both one, or neither.")
    if values:
        named = (values[0], values[1])
        same = missing == dict(zip(names, named, strict=True))
        return Pair(names, named, "left out" if same else "named")
    if set(missing) == set(names):
        return Pair(names, (missing[names[0]], missing[names[1]]), "left out")
    return Pair(names, min(counts, key=lambda both: counts[both]), "rarest")


def _spaces(store: LatentStore) -> list[Space]:
    return ["z", "w"] if store.has("w") and store.settings.has_mapping else ["z"]


def _check_enough(latents: np.ndarray, space: str) -> None:
    count, dims = latents.shape
    if count * (1 - 1 / FOLDS) < LEAST_PER_DIMENSION * (dims + 1):
        raise NoFigureError(
            f"{count} samples in {dims} dimensions of {space.upper()} are separable whatever their labels are: sample "
            f"at least {int(LEAST_PER_DIMENSION * (dims + 1) / (1 - 1 / FOLDS)) + 1}, better 50 times the dimensions."
        )


# ---------------------------------------------------------------------------------------------------------- words


def _title(pair: Pair, data: TrainingData | None) -> str:
    both = " and ".join(map(words, pair.names))
    if pair.origin == "left out":
        return f"The missing corner: {both}"
    return f"{both}, no corner missing" if data is not None and not data.missing else both


def _origin(pair: Pair, data: TrainingData | None, counts: Counts | None) -> str:
    """What stands below the title about the combination."""
    if pair.origin == "left out":
        return f"trained without {pair.in_words}"
    known = f", {share(counts[pair.corner], sum(counts.values()))} of the training data" if counts else ""
    how = "the rarest combination here" if pair.origin == "rarest" else "the combination asked for"
    missing = " ".join(f"{name}={int(value)}" for name, value in data.missing.items()) if data else ""
    without = f"trained without {missing}" if missing else "nothing was left out of training" if data else ""
    return ", ".join(filter(None, [without, f"{pair.in_words} is {how}{known}"]))


def _sampled(inside: Counts, pair: Pair, count: int) -> str:
    part = inside[pair.corner]
    return (
        f"{part:,} of {count:,} samples ({share(part, count)}) are labelled so; points are the first "
        f"{min(SHOWN, count):,} samples, large signs the means of all"
    )


def share(part: int, whole: int) -> str:
    """A share in per cent; only none is 0 % and only all 100 %."""
    percent = 100 * part / max(whole, 1)
    if percent in (0, 100):
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent < 99 else f"{math.floor(100 * percent) / 100:g} %"


def _caption(
    renderer: Renderer,
    pair: Pair,
    data: TrainingData | None,
    told: dict[str, Told],
    difference: Estimate | None,
    count: int,
    inside: int,
    bits: float,
) -> str:
    numbers = "; ".join(
        f"in {space.upper()} {100 * found.both_right.value:.1f} % of the samples lie on the right side of both planes, "
        f"{found.bits_open.value:.3f} of {bits:.3f} bits of the labels stay open, and "
        f"{100 * found.corner_side.value:.2f} % lie on the corner's side of both"
        for space, found in told.items()
    )
    more = ""
    if difference is not None:
        low, high = difference.ci95
        more = f" Z leaves {difference.value:.3f} bits more open than W, 95 % interval {low:.3f} to {high:.3f}."
    data_words = "the training data, " if data else ""
    left_out = "left out of the training data" if pair.origin == "left out" else "not left out of the training data"
    unknown = "which may or may not have been in the training data" if data is None else left_out
    return (
        f"{pair.names[0]} and {pair.names[1]} in {data_words}{' and '.join(space.upper() for space in told)} of "
        f"{renderer.network.name}, with the combination {pair.in_words}, {unknown}. {inside:,} of {count:,} samples "
        f"are labelled so. Held out, {numbers}.{more}"
    )


def _keyed(counts: Counts) -> dict[str, int]:
    """`{"00": ..., "10": ..., ...}`: values of the first and the second attribute."""
    return {f"{int(first)}{int(second)}": count for (first, second), count in counts.items()}


def _plain(told: Told) -> dict[str, Any]:
    return {name: {"value": one["value"], "ci95": list(one["ci95"])} for name, one in asdict(told).items()}
