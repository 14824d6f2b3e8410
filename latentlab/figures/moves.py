"""Attribute directions as figures: images moved along the strongest of them, and the cosines between all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from latentlab.directions.drawing import DAGGER
from latentlab.directions.editing import Editor, check_network, check_truncation, edits_along, render_edits, well_known
from latentlab.directions.form import Directions, Space
from latentlab.directions.heatmaps import DPI as HEATMAP_DPI
from latentlab.directions.heatmaps import cosines_figure
from latentlab.directions.layout import DPI
from latentlab.directions.strips import strips_figure
from latentlab.errors import NoFigureError
from latentlab.figures.formats import Plot
from latentlab.figures.material import Material
from latentlab.figures.rendering import Renderer
from latentlab.progress import Progress, silent
from latentlab.protocols import has_mapping

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
ROWS = 2


def directions(
    renderer: Renderer, *, material: Material | None = None, progress: Progress = silent
) -> tuple[Plot, dict[str, Any]]:
    """Strips along the directions of the strongest attributes, in Z and in W, and what they show.

    Raises:
        DirectionsError: A file of directions that was named is of another network.
        NoFigureError: There are no directions, or only hardly known ones.
    """
    material = material or Material(renderer.network)
    found = _spaces(renderer, material)
    for one in found:
        check_network(one, renderer.generator, renderer.network, any_network=True)
        check_truncation(one, renderer.settings.truncation_psi)
    names = strongest(found, renderer.settings.num_edits)
    if not names:
        raise NoFigureError("all directions are hardly known: fewer samples of the rarer class than dimensions.")
    edits = edits_along(found, names)
    settings = renderer.settings
    editor = Editor(
        renderer.generator, renderer.device, truncation_psi=settings.truncation_psi, network=renderer.network
    )
    seeds = [settings.seed + row for row in range(ROWS)]
    images = render_edits(editor, edits, steps=STEPS, seeds=seeds, progress=progress)
    figure = strips_figure(images, edits, steps=STEPS, seeds=seeds, heading=editor.description)
    return Plot(figure, dpi=DPI), {
        "title": "Attribute directions",
        "caption": f"Samples of {renderer.network.name} moved by −3 to +3 standard deviations along the directions of "
        f"{', '.join(names)} in {' and '.join(one.space.upper() for one in found)}, {ROWS} latents each (rows); the "
        "middle column is not moved. These are the attributes whose planes tell held-out samples best.",
        "settings": {"seed": settings.seed, "truncation_psi": settings.truncation_psi, "steps": list(STEPS)},
        "attributes": names,
        "directions": [_described(one, names) for one in found],
    }


def cosines_z(
    renderer: Renderer, *, material: Material | None = None, progress: Progress = silent
) -> tuple[Plot, dict[str, Any]]:
    """The cosines between all attributes' directions in Z, and what they show."""
    return _cosines(renderer, material or Material(renderer.network), "z", progress)


def cosines_w(
    renderer: Renderer, *, material: Material | None = None, progress: Progress = silent
) -> tuple[Plot, dict[str, Any]]:
    """The same in W."""
    _check_mapping(renderer)
    return _cosines(renderer, material or Material(renderer.network), "w", progress)


def strongest(found: Sequence[Directions], count: int) -> list[str]:
    """The attributes whose planes tell held-out samples best, by the most that any space shows.

    What counts is how much of the guesses by the more frequent class a plane puts right: 1 where it errs never, 0 where
    it is no better than such guesses. Hardly known directions are left out.
    """
    known = [name for name in well_known(found[0]) if all(name in well_known(other) for other in found[1:])]
    best = {name: max(_put_right(one, name) for one in found) for name in known}
    return sorted(best, key=lambda name: -best[name])[:count]


def _put_right(found: Directions, name: str) -> float:
    row = found.attributes.index(name)
    guessed = max(found.share_positive[row], 1 - found.share_positive[row])
    accuracy = found.held_out_accuracy[row]
    if not np.isfinite(accuracy) or guessed >= 1:
        return 0.0
    return float((accuracy - guessed) / (1 - guessed))


def _cosines(renderer: Renderer, material: Material, space: Space, progress: Progress) -> tuple[Plot, dict[str, Any]]:
    found = material.directions(space, progress=progress)
    valid = np.flatnonzero(found.valid)
    names = [found.attributes[row] for row in valid]
    known = np.flatnonzero(found.valid & ~found.hardly_known)
    inner = np.abs(found.cosines[np.ix_(known, known)][np.triu_indices(len(known), 1)])
    median = float(np.median(inner)) if inner.size else None
    middle = "" if median is None else _median_in_words(median, len(known), len(names) - len(known), found.dims)
    return Plot(cosines_figure(found), dpi=HEATMAP_DPI, crop=True), {
        "title": f"Cosines between attribute directions in {space.upper()}",
        "caption": f"Cosines between the directions of {len(names)} attributes in {space.upper()} of "
        f"{renderer.network.name}: white where editing one leaves the other alone, red and blue where they go together "
        f"or against each other. Alike directions stand together.{middle}",
        "settings": {"seed": renderer.settings.seed},
        "attributes": names,
        "median_abs_cosine": median,
    }


def _median_in_words(median: float, known: int, unknown: int, dims: int) -> str:
    """A sentence on the median of the well-known directions, beside that of random ones."""
    among = f", between the {known} that are not marked {DAGGER}," if unknown else ""
    return (
        f" The median absolute cosine{among} is {median:.2f}; that of two random directions in {dims} dimensions about "
        f"{0.6745 / np.sqrt(dims):.2f}."
    )


def _spaces(renderer: Renderer, material: Material) -> list[Directions]:
    """Directions in Z and W, as far as there are any."""
    found, reasons = [], []
    spaces: list[Space] = ["z", "w"] if has_mapping(renderer.generator) else ["z"]
    for space in spaces:
        try:
            found.append(material.directions(space))
        except NoFigureError as error:
            reasons.append(str(error))
    if not found:
        raise NoFigureError(" ".join(dict.fromkeys(reasons)))
    return found


def _check_mapping(renderer: Renderer) -> None:
    if not has_mapping(renderer.generator):
        raise NoFigureError(f"{renderer.network.name} has no mapping: its W is Z.")


def _described(found: Directions, names: Sequence[str]) -> dict[str, Any]:
    rows = [found.attributes.index(name) for name in names]
    accuracy = [float(value) if np.isfinite(value) else None for value in found.held_out_accuracy[rows]]
    return {"space": found.space, "held_out_accuracy": dict(zip(names, accuracy, strict=True))}
