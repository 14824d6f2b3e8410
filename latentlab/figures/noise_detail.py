"""What noise decides (the paper's figure 4): details under several noises, and their deviation over many draws."""

from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from latentlab.errors import NoFigureError
from latentlab.figures.rendering import LEVELS, Counted, Renderer, fitted, tile_size
from latentlab.figures.sheet import STEP, Sheet, nice_top
from latentlab.progress import Progress, silent

ROWS, CROPS = 3, 4
STREAM = "figure-noise"


def grey_levels(images: Tensor) -> Tensor:
    """Images [N, C, H, W] -> the means of their channels as they are seen, in grey levels from 0 to 255, [N, H, W]."""
    return (images.clamp(-1, 1).mean(dim=1) + 1) * LEVELS


def deviation(levels: np.ndarray) -> np.ndarray:
    """Standard deviation of every pixel over draws [N, H, W], in grey levels, float64 [H, W]."""
    return np.asarray(levels.std(axis=0, dtype=np.float64))


def busiest(values: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the square of `side` pixels, wholly inside, in which the mean of values [H, W] is largest."""
    size = values.shape[0]
    means = uniform_filter(values, side, mode="constant", origin=-(side // 2))[: size - side + 1, : size - side + 1]
    top, left = np.unravel_index(int(means.round(9).argmax()), means.shape)
    return int(top), int(left)


def noise(renderer: Renderer, *, progress: Progress = silent) -> tuple[np.ndarray, dict[str, Any]]:
    """Per latent: an image, crops of it under several noises, and the deviation over many draws; the picture [H, W, 3]
    and what it shows.

    Raises:
        NoFigureError: The synthesis has no noise.
    """
    check_noise(renderer)
    draws, size = renderer.settings.noise_draws, renderer.resolution
    counted = Counted(progress, ROWS * (draws + CROPS))
    ws = renderer.ws(ROWS, STREAM)
    sheet = Sheet(tile_size(size, least=192))
    side = max(size // 4, min(size, 4))
    rows = []
    for row in range(ROWS):
        stream = f"{STREAM}-noise-{row}"
        same = ws[row : row + 1, None].expand(draws, -1, -1, -1)
        values = deviation(renderer.images(same, grey_levels, stream=stream, counted=counted)[:, 0])
        corner = busiest(values, side)
        whole = renderer.images(same[:CROPS], lambda images: images, stream=stream, counted=counted)[:, 0]
        rows.append((whole, values, corner))
    top = max(float(values.max()) for _, values, _ in rows)
    scale = _scale(np.stack([values for _, values, _ in rows]))
    _place_detail(sheet, renderer, rows, side=side, scale=scale, clipped=top > scale, draws=draws)
    means = [float(values.mean()) for _, values, _ in rows]
    found = "Noise changes nothing here." if top == 0 else f"The deviation is {np.mean(means):.2g} on average."
    return sheet.array(), {
        "title": "Noise: detail and deviation",
        "caption": f"Images of {renderer.network.name}, the same {side} x {side} pixels of them (where noise changes "
        f"most) under {CROPS} draws of noise, and every pixel's standard deviation over {draws} draws, of the "
        f"channels' mean, in grey levels from 0 (black) to {scale:g}{' and above' * (top > scale)} (white) of 255. "
        f"{found}",
        "settings": {
            "seed": renderer.settings.seed,
            "truncation_psi": renderer.settings.truncation_psi,
            "noise_draws": draws,
            "num_samples": ROWS,
        },
        "crops": [{"top": corner[0], "left": corner[1], "side": side} for *_, corner in rows],
        "deviation_mean": means,
        "deviation_max": [float(values.max()) for _, values, _ in rows],
        "scale_top": scale,
    }


def _scale(values: np.ndarray) -> float:
    """Where white begins: above all but the largest half percent, so that a few pixels do not darken the rest."""
    top = float(np.percentile(values, 99.5)) or float(values.max())
    return nice_top(top) if top > 0 else 1.0


def check_noise(renderer: Renderer) -> None:
    """Raise NoFigureError if the synthesis has no noise."""
    if not renderer.has_noise:
        raise NoFigureError(f"{renderer.network.name} has no noise inputs, so there is no noise to show.")


def _place_detail(
    sheet: Sheet,
    renderer: Renderer,
    rows: list[tuple[np.ndarray, np.ndarray, tuple[int, int]]],
    *,
    side: int,
    scale: float,
    clipped: bool,
    draws: int,
) -> None:
    tile, gap, line = sheet.tile, sheet.gap, sheet.line
    step, apart = tile + gap, 2 * gap
    lefts = [sheet.margin, *(sheet.margin + step + apart + number * step for number in range(CROPS))]
    lefts.append(lefts[-1] + step + apart)
    top = sheet.heading(sheet.margin, lefts[-1] + tile - sheet.margin, "Noise: detail and deviation", renderer.note())
    sheet.text(lefts[0] + tile / 2, top, "Image", bold=True, align="center", room=tile)
    middle = (lefts[1] + lefts[CROPS] + tile) / 2
    sheet.text(middle, top, f"The framed part under {CROPS} draws of noise", bold=True, align="center")
    sheet.text(lefts[-1] + tile / 2, top, f"Deviation, {draws} draws", bold=True, align="center", room=tile)
    top += STEP * line
    for number, (whole, values, (above, left)) in enumerate(rows):
        y = round(top + number * step)
        crops = whole[:, :, above : above + side, left : left + side]
        grey = np.clip(values / scale, 0, 1)[None, None] * 2 - 1
        shown = [whole[:1], *crops[:, None], grey.astype(np.float32)]
        for x, images in zip(lefts, shown, strict=True):
            sheet.image(x, y, fitted(torch.from_numpy(np.ascontiguousarray(images)), tile)[0].numpy(), room=tile)
        share, thick = tile / whole.shape[-1], max(1, gap // 2)
        ends = [round(place * share) for place in (left, above, left + side, above + side)]
        sheet.frame(lefts[0] + ends[0], y + ends[1], ends[2] - ends[0], ends[3] - ends[1], thick=thick)
    _scale_bar(sheet, lefts[-1], round(top + len(rows) * step + gap), scale, clipped=clipped)


def _scale_bar(sheet: Sheet, x: int, y: int, scale: float, *, clipped: bool) -> None:
    """From black to white, with what they stand for."""
    tile, line = sheet.tile, sheet.line
    bar = np.linspace(0, 255, tile).round().astype(np.uint8)
    framed = np.pad(np.broadcast_to(bar, (max(line // 2, 6), tile)), 1, constant_values=128)[:, 1:-1]
    sheet.image(x, y, np.repeat(framed[..., None], 3, axis=2))
    below = y + line // 2 + 0.3 * line
    sheet.text(x, below, "0", size=0.75)
    sheet.text(x + tile / 2, below, "grey levels", size=0.75, quiet=True, align="center")
    sheet.text(x + tile, below, "≥ " * clipped + f"{scale:g}", size=0.75, align="right")
