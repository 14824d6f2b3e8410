"""The truncation trick from psi 1 to -1 (the paper's figure 8): towards the average of W, and beyond it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentlab.figures.rendering import Counted, Renderer, fitted, minus, tile_size
from latentlab.figures.sheet import STEP, Sheet
from latentlab.latents import truncate
from latentlab.progress import Progress, silent
from latentlab.protocols import has_mapping

PSIS = (1.0, 0.75, 0.5, 0.25, 0.0, -0.25, -0.5, -0.75, -1.0)
ROWS = 4
STREAM = "figure-truncation"
NOISE = f"{STREAM}-noise"


def truncation(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows of latents, columns of psi; the picture [H, W, 3] and what it shows.

    All images share one noise, so that the column of psi 0 has one image throughout: that of the average of W.
    """
    counted = Counted(progress, ROWS * len(PSIS))
    with torch.inference_mode():
        ws = renderer.generator.mapping(renderer.z(ROWS, STREAM))
        # psi 0 is the average itself, with no rounding of what is taken away from it
        views = torch.stack(
            [truncate(ws, renderer.w_avg, psi) if psi else renderer.w_avg.to(ws).expand_as(ws) for psi in PSIS], 1
        )
    sheet = Sheet(tile_size(renderer.resolution))

    def fit(images: Tensor) -> Tensor:
        return fitted(images, sheet.tile)

    flat = renderer.images(views.flatten(0, 1)[None], fit, stream=NOISE, counted=counted)[0]
    tiles = flat.reshape(ROWS, len(PSIS), *flat.shape[1:])
    step = sheet.tile + sheet.gap
    title, noise = "Truncation", "the same noise in all images" * renderer.has_noise
    note = renderer.note(noise, truncated=False)
    top = sheet.heading(sheet.margin, len(PSIS) * step - sheet.gap, title, note)
    for column, psi in enumerate(PSIS):
        middle = sheet.margin + column * step + sheet.tile / 2
        sheet.text(middle, top, f"ψ = {minus(psi)}", align="center", bold=psi == 0)
    for row in range(ROWS):
        for column in range(len(PSIS)):
            sheet.image(sheet.margin + column * step, top + STEP * sheet.line + row * step, tiles[row, column])
    plain = "" if has_mapping(renderer.generator) else " This network has no mapping: its W is Z."
    return sheet.array(), {
        "title": title,
        "caption": f"{ROWS} latents of {renderer.network.name} (rows) at w_avg + ψ (w − w_avg) in all layers for "
        f"ψ from 1 to −1; ψ = 0 is the image of the average of W, and negative ψ are opposites of the latents.{plain}",
        "settings": {"seed": renderer.settings.seed, "psi": list(PSIS), "num_samples": ROWS},
    }
