"""Pictures as files: PNG with what they say in it, and the same as SVG and PDF."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from latentlab.directions.drawing import STYLE
from latentlab.directions.layout import DPI
from latentlab.errors import UsageError
from latentlab.results import NetworkName

FORMATS = ("png", "svg", "pdf")
"""PNG is always written, and first."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawing that matplotlib keeps as curves, points and letters.

    Attributes:
        figure: The drawing.
        dpi: Pixels per inch of its PNG file.
        crop: Whether margins are cut off.
    """

    figure: Figure
    dpi: int = 150
    crop: bool = False

    def pixels(self) -> np.ndarray:
        """As a PNG file shows it, uint8 [height, width, 3]."""
        written = io.BytesIO()
        self.save(written, "png")
        with Image.open(written) as image:
            return np.asarray(image.convert("RGB"))

    def save(self, file: Any, form: str) -> None:
        """Write it in one of `FORMATS`, undated."""
        undated: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
        margins: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12} if self.crop else {}
        with mpl.rc_context(STYLE):
            self.figure.savefig(file, format=form, dpi=self.dpi, metadata=undated[form], **margins)


Drawing = np.ndarray | Plot
"""Pixels, uint8 [height, width, 3], or what becomes some."""


def formats_of(text: str | None) -> tuple[str, ...]:
    """`svg,pdf` -> ("png", "svg", "pdf"); PNG alone for None.

    Raises:
        UsageError: There is no such format.
    """
    named = [part.strip().lower().removeprefix(".") for part in (text or "png").split(",")]
    unknown = [name for name in named if name not in FORMATS]
    if unknown:
        raise UsageError(f"--format {text}: there is no format {unknown[0]!r}; there are {', '.join(FORMATS)}.")
    return tuple(form for form in FORMATS if form == "png" or form in named)


def pixels_of(drawing: Drawing) -> np.ndarray:
    """uint8 [height, width, 3]."""
    return drawing.pixels() if isinstance(drawing, Plot) else drawing


def save_drawing(
    folder: Path,
    name: str,
    drawing: Drawing,
    pixels: np.ndarray,
    *,
    says: dict[str, Any],
    network: NetworkName,
    formats: Sequence[str] = FORMATS[:1],
) -> None:
    """Write NAME.png, and NAME.svg and NAME.pdf if they are among the formats.

    Pixels become a picture in the SVG or PDF file, unchanged.
    """
    _save_png(folder / f"{name}.png", pixels, says, network)
    for form in formats[1:]:
        plot = drawing if isinstance(drawing, Plot) else _of_pixels(drawing)
        with (folder / f"{name}.{form}").open("wb") as file:
            plot.save(file, form)


def _of_pixels(pixels: np.ndarray) -> Plot:
    """A figure of the size of some pixels, with nothing but them."""
    height, width, _ = pixels.shape
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        figure.figimage(pixels)
    return Plot(figure, dpi=DPI)


def _save_png(path: Path, pixels: np.ndarray, says: dict[str, Any], network: NetworkName) -> None:
    """Pixels with title, caption, settings and network as the file's text."""
    info = PngInfo()
    info.add_itxt("Title", says["title"])
    info.add_itxt("Description", says["caption"])
    said = {"network": network.model_dump(), "figure": says["name"], "settings": says["settings"]}
    info.add_itxt("latentlab", json.dumps(said, ensure_ascii=False))
    Image.fromarray(pixels).save(path, pnginfo=info, optimize=True)
