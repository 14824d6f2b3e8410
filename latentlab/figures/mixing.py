"""Style mixing (the paper's figure 3): some layers take the latent of source B, the others that of source A."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentlab.errors import NoFigureError
from latentlab.figures.layer_groups import Group, layer_groups, layers_in_words
from latentlab.figures.rendering import Counted, Renderer, fitted, tile_size
from latentlab.figures.sheet import STEP, Sheet
from latentlab.progress import Progress, silent

SOURCES_B = 5
ROWS: dict[Group, int] = {"coarse": 3, "middle": 2, "fine": 1}
"""Sources A of each group, as many as in the paper."""
STREAM_A, STREAM_B = "figure-mixing-a", "figure-mixing-b"


def mixed(a: Tensor, b: Tensor, layers: range) -> Tensor:
    """ws [num_ws, w_dim] of A with some layers of each B [N, num_ws, w_dim]: [N, num_ws, w_dim]."""
    ws = a.expand_as(b).clone()
    ws[:, layers.start : layers.stop] = b[:, layers.start : layers.stop]
    return ws


def mixing(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows of sources A, columns of sources B; the picture [H, W, 3] and what it shows.

    All images of a row share its noise.

    Raises:
        NoFigureError: The synthesis takes a single latent.
    """
    generator = renderer.generator
    if generator.num_ws == 1:
        raise NoFigureError(
            f"{renderer.network.name} takes one latent for all layers (num_ws 1), so no styles can be mixed."
        )
    groups = layer_groups(generator.num_ws)
    rows = [layers for group, layers in groups.items() for _ in range(ROWS[group])]
    counted = Counted(progress, SOURCES_B + len(rows) * (SOURCES_B + 1))
    a, b = renderer.ws(len(rows), STREAM_A), renderer.ws(SOURCES_B, STREAM_B)
    ws = torch.stack([torch.cat([a[row : row + 1], mixed(a[row], b, layers)]) for row, layers in enumerate(rows)])
    sheet = Sheet(tile_size(renderer.resolution))

    def fit(images: Tensor) -> Tensor:
        return fitted(images, sheet.tile)

    heads = renderer.images(b[:, None], fit, stream=f"{STREAM_B}-noise", counted=counted)[:, 0]
    tiles = renderer.images(ws, fit, stream=f"{STREAM_A}-noise", counted=counted)
    _place(sheet, renderer, groups, heads, tiles)
    names = {group: layers_in_words(generator, layers) for group, layers in groups.items()}
    noise = "; the noise is the same along a row" * renderer.has_noise
    said = "; ".join(f"{group}: {words}" for group, words in names.items())
    return sheet.array(), {
        "title": "Style mixing",
        "caption": f"Images of {renderer.network.name} in which some layers take the latent of the column's source B "
        f"and all others that of the row's source A ({said}){noise}.",
        "settings": {
            "seed": renderer.settings.seed,
            "truncation_psi": renderer.settings.truncation_psi,
            "sources_a": len(rows),
            "sources_b": SOURCES_B,
        },
        "groups": [
            {"group": group, "first_layer": layers.start, "last_layer": layers.stop - 1, "rows": ROWS[group]}
            for group, layers in groups.items()
        ],
    }


def _place(sheet: Sheet, renderer: Renderer, groups: dict[Group, range], heads: np.ndarray, tiles: np.ndarray) -> None:
    tile, gap, line = sheet.tile, sheet.gap, sheet.line
    step, apart = tile + gap, 2 * gap + line // 2
    left = sheet.margin + round(2.6 * line)
    columns = [left, *(left + step + apart + column * step for column in range(SOURCES_B))]
    top = sheet.heading(
        sheet.margin,
        columns[-1] + tile - sheet.margin,
        "Style mixing",
        renderer.note("the same noise along a row" * renderer.has_noise),
    )
    sheet.text((columns[1] + columns[-1] + tile) / 2, top, "Source B", bold=True, align="center")
    top += STEP * line
    for x, pixels in zip(columns[1:], heads, strict=True):
        sheet.image(x, top, pixels)
    sheet.text(columns[0] + tile / 2, top + tile - STEP * line, "Source A", bold=True, align="center")
    y, row = top + step + apart, 0
    for group, layers in groups.items():
        height = ROWS[group] * step - gap
        _label(sheet, group, layers_in_words(renderer.generator, layers), y + height / 2, height)
        for number in range(row, row + ROWS[group]):
            for x, pixels in zip(columns, tiles[number], strict=True):
                sheet.image(x, y + (number - row) * step, pixels)
        y, row = y + height + apart, row + ROWS[group]


def _label(sheet: Sheet, group: Group, words: str, middle: float, room: float) -> None:
    """Beside a group's rows, read from below; short if there is little room."""
    long, first = f"{group.capitalize()} styles from source B", sheet.margin + sheet.line / 2
    sheet.upright(first, middle, long if sheet.width(long) <= room else f"{group.capitalize()} from B")
    where, _, pixels = words.partition(", ")
    line = words if sheet.width(words, size=0.7) <= room else pixels or where
    sheet.upright(first + 1.1 * sheet.line, middle, line, size=0.7, quiet=True)
