"""How pictures of directions are drawn: fonts and the formats of files."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from latentlab.errors import UsageError
from latentlab.files import atomic_file

FORMATS = (".png", ".svg", ".pdf")
STAR, DAGGER = "*", "†"
"""What pictures and tables put behind names: conditioned on others; hardly known."""
INK, QUIET = "#1a1a1a", "#666666"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": INK,
    "text.parse_math": False,  # names may hold dollar signs
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
    return printable(attribute.replace("_", " "))


def printable(text: str) -> str:
    """A text with blanks for what cannot be printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def marked(name: str, *, conditioned: bool = False, hardly_known: bool = False) -> str:
    """A name with its signs."""
    return " ".join([name, *[STAR] * conditioned, *[DAGGER] * hardly_known])


def dagger_in_words(dims: int | None = None) -> str:
    """What the sign of hardly known directions means."""
    number = f" ({dims})" if dims else ""
    return f"{DAGGER} hardly known: fewer samples of the rarer class than dimensions{number}"
