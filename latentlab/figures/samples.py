"""Uncurated samples: a plain grid, and one picture whose images have several sizes (the paper's figure 2)."""

import functools
import itertools
from typing import Any

import numpy as np

from latentlab.figures.rendering import Counted, Renderer, fitted, minus, tile_size
from latentlab.figures.sheet import Sheet
from latentlab.progress import Progress, silent

COLUMNS, ROWS = 8, 5
LARGEST_ROWS, HALVINGS = 3, (0, 1, 2, 2, 3, 3)
"""Rows of the largest images; how often the images of each column are halved."""
LEAST_LARGEST, MOST_LARGEST = 256, 512


def samples(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """The first samples as `latentlab sample` makes them, in a grid; the picture [H, W, 3] and what it shows."""
    sheet = Sheet(tile_size(renderer.resolution))
    step, tile = sheet.tile + sheet.gap, sheet.tile
    tiles = _made(renderer, [tile] * (ROWS * COLUMNS), progress)
    width = COLUMNS * step - sheet.gap
    top = sheet.heading(sheet.margin, width, "Uncurated samples", renderer.note())
    for number, pixels in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.image(sheet.margin + column * step, top + row * step, pixels)
    return sheet.array(), _shown(renderer, len(tiles)) | {
        "title": "Uncurated samples",
        "caption": f"The first {len(tiles)} samples of {renderer.network.name} under seed {renderer.settings.seed}, "
        f"{_truncation(renderer)}; none was picked or left out.",
    }


def scales(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """The same samples at several sizes, each column's images half as wide as those of one before, or as wide."""
    largest = _largest(renderer.resolution)
    sizes = [largest >> halved for halved in HALVINGS]
    counts = [LARGEST_ROWS << halved for halved in HALVINGS]
    sheet = Sheet(tile_size(renderer.resolution))
    per_image = [size for size, count in zip(sizes, counts, strict=True) for _ in range(count)]
    tiles = iter(_made(renderer, per_image, progress))
    left, height = sheet.margin, LARGEST_ROWS * largest
    top = sheet.heading(left, sum(sizes), "Uncurated samples at several scales", renderer.note())
    for size, count in zip(sizes, counts, strict=True):
        for row in range(count):
            sheet.image(left, top + row * height // count, next(tiles))
        left += size
    shown_sizes = list(dict.fromkeys(sizes))
    return sheet.array(), _shown(renderer, sum(counts)) | {
        "title": "Uncurated samples at several scales",
        "sizes": shown_sizes,
        "caption": f"The first {sum(counts)} samples of {renderer.network.name} under seed {renderer.settings.seed}, "
        f"{_truncation(renderer)}, drawn {', '.join(map(str, shown_sizes))} pixels wide (the network makes "
        f"{renderer.resolution}); none was picked or left out.",
    }


def _made(renderer: Renderer, widths: list[int], progress: Progress) -> list[np.ndarray]:
    """Sample i fitted into the i-th width."""
    counted = Counted(progress, len(widths))
    ws, made, start = renderer.ws(len(widths), "z"), [], 0
    for width, same in itertools.groupby(widths):
        end = start + len(list(same))
        fit = functools.partial(fitted, room=width)
        made += list(renderer.images(ws[start:end, None], fit, stream="noise", first=start, counted=counted)[:, 0])
        start = end
    return made


def _largest(resolution: int) -> int:
    """Width of the largest images: small networks' are enlarged by a power of two, so that half of it is whole."""
    width = resolution
    while width < LEAST_LARGEST:
        width *= 2
    while width > MOST_LARGEST:
        width //= 2
    return width


def _truncation(renderer: Renderer) -> str:
    psi = renderer.settings.truncation_psi
    return "without truncation" if psi == 1 else f"truncated by ψ {minus(psi)}"


def _shown(renderer: Renderer, count: int) -> dict[str, Any]:
    settings = renderer.settings
    return {
        "settings": {"seed": settings.seed, "truncation_psi": settings.truncation_psi, "num_samples": count},
    }
