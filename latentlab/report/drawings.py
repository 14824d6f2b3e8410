"""The pictures that `latentlab figures` left in a run folder (docs/figures.md), as a report shows them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentlab.errors import DataError

LISTING = "figures.json"


@dataclass(frozen=True)
class Drawing:
    """One picture of a network.

    Attributes:
        name: `mixing`, `noise` and so on.
        title: Its heading.
        caption: What it shows, in words; its alternative text, too.
        path: The PNG file.
        network_sha256: Of which network it is; an empty text where the listing does not say.
    """

    name: str
    title: str
    caption: str
    path: Path
    network_sha256: str


def read_drawings(folder: Path) -> list[Drawing]:
    """The pictures that a folder's figures.json lists; none where there is no such file.

    Raises:
        DataError: The listing does not have the documented form, or a file that it names is missing.
    """
    path = folder / LISTING
    if not path.is_file():
        return []
    try:
        listing = json.loads(path.read_text(encoding="utf-8"))
        network = str(listing.get("network", {}).get("sha256", ""))
        found = [_drawing(folder, one, network) for one in listing["figures"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} does not have the form that `latentlab figures` writes ({type(error).__name__}: {error}): remove "
            f"{folder} or make it again."
        ) from error
    missing = [drawing.path.name for drawing in found if not drawing.path.is_file()]
    if missing:
        raise DataError(f"{path} names {missing[0]}, which is not there: remove {folder} or make it again.")
    return found


def _drawing(folder: Path, one: dict[str, Any], network: str) -> Drawing:
    name = Path(one["file"]).name  # never outside the folder
    return Drawing(str(one["name"]), str(one["title"]), str(one["caption"]), folder / name, network)
