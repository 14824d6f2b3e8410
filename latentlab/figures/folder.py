"""A folder of figures: pictures that say what they show, and `figures.json` (docs/figures.md)."""

import contextlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from latentlab.errors import NoFigureError, UsageError
from latentlab.figures.corner import corner
from latentlab.figures.curves import curves
from latentlab.figures.formats import FORMATS, Drawing, pixels_of, save_drawing
from latentlab.figures.interpolation import interpolation
from latentlab.figures.material import Material, Sources
from latentlab.figures.mixing import mixing
from latentlab.figures.moves import cosines_w, cosines_z, directions
from latentlab.figures.noise_detail import noise
from latentlab.figures.noise_layers import layers
from latentlab.figures.rendering import FigureSettings, Renderer
from latentlab.figures.samples import samples, scales
from latentlab.figures.truncation import truncation
from latentlab.files import atomic_folder
from latentlab.perceptual import Distance
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike
from latentlab.results import NetworkName, software_versions

FIGURES: dict[str, Callable[..., tuple[Drawing, dict[str, Any]]]] = {
    "samples": samples,
    "scales": scales,
    "mixing": mixing,
    "noise": noise,
    "layers": layers,
    "truncation": truncation,
    "interpolation": interpolation,
    "corner": corner,
    "directions": directions,
    "cosines_z": cosines_z,
    "cosines_w": cosines_w,
    "curves": curves,
}
"""What makes each figure, in the order of docs/figures.md."""
OF_STORE = ("corner", "directions", "cosines_z", "cosines_w")
OF_DIRECTIONS = ("directions", "cosines_z", "cosines_w")
OF_MATERIAL = (*OF_STORE, "curves")
"""Figures that take a labelled store, directions, or anything beside the network (`Material`)."""
SCHEMA_VERSION = 1


def figure_names(text: str | None) -> list[str]:
    """`mixing,noise` as names of figures, in the order of `FIGURES`; all for None.

    Raises:
        UsageError: There is no such figure.
    """
    if text is None:
        return list(FIGURES)
    named = [part.strip() for part in text.split(",")]
    unknown = [name for name in named if name not in FIGURES]
    if unknown:
        raise UsageError(f"--only {text}: there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}.")
    return [name for name in FIGURES if name in named]


def save_figures(
    folder: Path | str,
    generator: GeneratorLike,
    network: NetworkName,
    *,
    names: Sequence[str] = tuple(FIGURES),
    settings: FigureSettings | None = None,
    distance: Distance | None = None,
    sources: Sources | None = None,
    formats: Sequence[str] = FORMATS[:1],
    device: Any = "cpu",
    progress: Callable[[str], AbstractContextManager[Progress]] | None = None,
) -> dict[str, Any]:
    """Make figures of a generator in eval mode; the folder appears at once, with all of them, or not at all.

    Args:
        folder: Must not exist.
        generator: On `device`.
        network: Who it is.
        names: Of `FIGURES`.
        settings: What decides the pictures.
        distance: Of the speeds of interpolation; mean squared pixel difference if left out.
        sources: Where stores, directions and statistics of training come from; nowhere if left out.
        formats: As of `formats_of`: PNG, and others of which each figure is written, too.
        device: Where the generator is.
        progress: A figure's name -> what is told of its images while it is made.

    Returns:
        What `figures.json` says.

    Raises:
        OutputExistsError: The folder exists.
        UsageError: The network has nothing that any of the figures would show.
        LatentLabError: A source that was named cannot be used.
    """
    renderer = Renderer(generator, network, settings or FigureSettings(), device)
    material = Material(network, sources or Sources(), renderer.settings.seed)
    told = progress or (lambda _: contextlib.nullcontext(silent))
    made: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    with atomic_folder(folder) as temporary:
        for name in names:
            extra: dict[str, Any] = {"distance": distance} if name == "interpolation" else {}
            extra |= {"material": material} if name in OF_MATERIAL else {}
            try:
                with told(name) as shown:
                    drawing, says = FIGURES[name](renderer, progress=shown, **extra)
            except NoFigureError as error:
                left_out.append({"name": name, "reason": str(error)})
                continue
            pixels = pixels_of(drawing)
            made.append(_record(name, pixels, says, formats))
            save_drawing(temporary, name, drawing, pixels, says=made[-1], network=network, formats=formats)
        if not made:
            raise UsageError(
                "no figure can be made: " + " ".join(f"{one['name']}: {one['reason']}" for one in left_out)
            )
        record = {
            "schema_version": SCHEMA_VERSION,
            "network": network.model_dump() | {"resolution": generator.img_resolution, "num_ws": generator.num_ws},
            "seed": renderer.settings.seed,
            "figures": made,
            "left_out": left_out,
            "software": software_versions(),
        }
        (temporary / "figures.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return record


def _record(name: str, pixels: np.ndarray, says: dict[str, Any], formats: Sequence[str]) -> dict[str, Any]:
    height, width, _ = pixels.shape
    first = {key: says[key] for key in ("title", "caption", "settings")}
    files = {"file": f"{name}.png", "files": [f"{name}.{form}" for form in formats]}
    return {"name": name, **files, "width": width, "height": height} | first | says
