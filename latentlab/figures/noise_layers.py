"""Noise on all layers, on none, on the fine and on the coarse ones (the paper's figure 5)."""

from typing import Any

import numpy as np
import torch

from latentlab.errors import NoFigureError
from latentlab.figures.layer_groups import noise_groups, span
from latentlab.figures.noise_detail import check_noise
from latentlab.figures.rendering import LEVELS, Counted, Renderer, fitted, tile_size
from latentlab.figures.sheet import Sheet
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike, NoiseMode

ROWS = 3
STREAM = "figure-layers"
TITLE = "Noise on some layers"


def layers(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """Per latent: noise on all layers, none, the fine, the coarse ones; the picture [H, W, 3] and what it shows.

    Generators that draw their own noise, and those with one resolution of it, have the first two alone.

    Raises:
        NoFigureError: The synthesis has no noise, or cannot leave it out.
    """
    check_noise(renderer)
    _check_noise_modes(renderer)
    columns = _columns(renderer.generator)
    counted = Counted(progress, ROWS * len(columns))
    ws = renderer.ws(ROWS, STREAM)[:, None]
    made = {}
    for name, noisy in columns.items():
        mode: NoiseMode = "none" if name == "none" else "random"
        made[name] = renderer.images(
            ws, lambda images: images, stream=f"{STREAM}-noise", noise_mode=mode, noisy=noisy, counted=counted
        )[:, 0]
    seen = {name: images.clip(-1, 1) for name, images in made.items()}
    differences = {name: float(np.abs(images - seen["none"]).mean()) * LEVELS for name, images in seen.items()}
    labels = _labels(renderer.generator, list(columns))
    sheet = Sheet(tile_size(renderer.resolution, least=192))
    _place(sheet, renderer, made, labels, differences)
    return sheet.array(), {
        "title": TITLE,
        "caption": f"{ROWS} latents of {renderer.network.name} (rows) with {_listed(labels)}; how far images are from "
        "those without noise is the mean absolute difference in grey levels of 255.",
        "settings": {
            "seed": renderer.settings.seed,
            "truncation_psi": renderer.settings.truncation_psi,
            "num_samples": ROWS,
        },
        "columns": [{"noise": name, "difference_from_none": found} for name, found in differences.items()],
    }


def _place(
    sheet: Sheet, renderer: Renderer, made: dict[str, np.ndarray], labels: list[str], differences: dict[str, float]
) -> None:
    step, line = sheet.tile + sheet.gap, sheet.line
    note = renderer.note("the same noise along a row")
    top = sheet.heading(sheet.margin, len(made) * step - sheet.gap, TITLE, note) + 0.2 * line
    for column, ((name, images), label) in enumerate(zip(made.items(), labels, strict=True)):
        x = sheet.margin + column * step
        middle, room = x + sheet.tile / 2, sheet.tile
        sheet.text(middle, top, label, align="center", bold=True, room=room)
        words = "" if name == "none" else f"{_short(differences[name])} levels from no noise"
        sheet.text(middle, top + 1.1 * line, words, size=0.75, quiet=True, align="center", room=room)
        for row, pixels in enumerate(fitted(torch.from_numpy(images), sheet.tile).numpy()):
            sheet.image(x, top + 2.3 * line + row * step, pixels)


def _check_noise_modes(renderer: Renderer) -> None:
    if not getattr(renderer.generator.synthesis, "takes_noise_mode", True):
        raise NoFigureError(
            f"the synthesis of {renderer.network.name} draws noise and has no parameter noise_mode, so it cannot leave "
            "it out."
        )


def _columns(generator: GeneratorLike) -> dict[str, list[bool] | None]:
    """What each column is called, and which layers have noise in it."""
    columns: dict[str, list[bool] | None] = {"all": None, "none": None}
    heights = [height for height, _ in getattr(generator.synthesis, "noise_shapes", [])]
    coarse, fine = noise_groups(heights)
    if fine:
        columns |= {
            name: [height in group for height in heights] for name, group in (("fine", fine), ("coarse", coarse))
        }
    return columns


def _labels(generator: GeneratorLike, names: list[str]) -> list[str]:
    heights = [height for height, _ in getattr(generator.synthesis, "noise_shapes", [])]
    words = {"all": "Noise on all layers", "none": "No noise"}
    if heights:
        coarse, fine = noise_groups(heights)
        words |= {
            name: f"{name.capitalize()} only ({span(group)})"
            for name, group in (("coarse", coarse), ("fine", fine))
            if group
        }
    return [words[name] for name in names]


def _listed(labels: list[str]) -> str:
    lowered = [label[0].lower() + label[1:] for label in labels]
    return f"{', '.join(lowered[:-1])} and {lowered[-1]}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
