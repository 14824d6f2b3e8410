"""How pictures of directions are drawn: fonts and the formats of files."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from latentlab.errors import OutputExistsError, UsageError
from latentlab.files import atomic_file, refuse_existing

FORMATS = (".png", ".svg", ".pdf")
INK, QUIET = "#1a1a1a", "#666666"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "latentlab",
    "pdf.fonttype": 42,
}


def check_picture(path: Path | str) -> None:
    """The file's ending must be that of a format.

    Raises:
        UsageError: It is not.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: pictures end in {', '.join(FORMATS)}.")


def check_free(path: Path | str, *, overwrite: bool = False) -> None:
    """A file's place must be free, or with `overwrite` that of a file.

    Raises:
        OutputExistsError: It is not.
    """
    if not overwrite:
        refuse_existing(path)
    if Path(path).is_dir():
        raise OutputExistsError(f"{path} is a folder: name a file.")


def save_figure(path: Path | str, figure: Figure, *, dpi: int, crop: bool = False) -> None:
    """Write a figure in the format of the file's ending, at once, undated; `crop` cuts margins off."""
    path = Path(path)
    form = path.suffix.lower().removeprefix(".")
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    with mpl.rc_context(STYLE), atomic_file(path) as temporary:
        margins: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12} if crop else {}
        figure.savefig(temporary, format=form, dpi=dpi, metadata=undated, **margins)


def words(attribute: str) -> str:
    """An attribute's name as a picture writes it."""
    return attribute.replace("_", " ")
