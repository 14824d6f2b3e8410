"""Which attribute an official classifier file is of, told by its name: `celebahq-classifier-00-male.pkl`."""

import re
from collections.abc import Sequence
from pathlib import Path

from attribute_classifiers.attributes import CELEBA_ATTRIBUTES, OFFICIAL_ORDER
from attribute_classifiers.network import is_official_file
from latentlab.errors import UsageError

EXAMPLE = "celebahq-classifier-00-male.pkl"
_BY_NAME = {name.casefold().replace("_", "-"): name for name in CELEBA_ATTRIBUTES}
_SECOND_DOWNLOAD = re.compile(r"\s*\(\d+\)$")  # what browsers add to a name that is taken


def attribute_of(path: Path) -> str | None:
    """CelebA's name of the attribute that a file's name tells by number, by name or by both; None if by neither.

    The files have an order of their own: 00 male, 01 smiling, 02 attractive, 03 wavy-hair, 04 young, then alphabetical.

    Raises:
        UsageError: Number and name contradict each other, or there is no such number or name.
    """
    stem = _SECOND_DOWNLOAD.sub("", path.stem).casefold().replace("_", "-")
    _, marker, rest = stem.rpartition("classifier-")
    if rest in _BY_NAME:  # before numbers: there is 5-o-clock-shadow
        return _BY_NAME[rest]
    found = re.fullmatch(r"(\d{1,2})(?:-(.+))?", rest)
    if found is None:
        if marker:
            raise UsageError(f"{path.name}: {rest!r} is none of CelebA's attributes; expected a name as {EXAMPLE}.")
        return None
    number, name = int(found[1]), found[2]
    if number >= len(OFFICIAL_ORDER):
        raise UsageError(f"{path.name}: the official classifiers are numbered 00 to {len(OFFICIAL_ORDER) - 1}.")
    attribute = OFFICIAL_ORDER[number]
    if name is not None and _BY_NAME.get(name) != attribute:
        raise UsageError(
            f"{path.name}: number {number:02d} is {official_name(attribute)} among the official classifiers, not "
            f"{name}: give the file its own name back."
        )
    return attribute


def official_name(attribute: str) -> str:
    """An attribute as the official files spell it: `Wavy_Hair` -> `wavy-hair`."""
    return attribute.casefold().replace("_", "-")


def files_by_attribute(given: Sequence[Path]) -> dict[str, Path]:
    """The files meant by files and folders, by attribute, in CelebA's order.

    Of a folder those .pkl files are taken whose names tell an attribute.

    Raises:
        UsageError: A path does not exist, a name tells no attribute, or two files are of the same.
    """
    found: dict[str, Path] = {}
    for path in (file for one in given for file in _files(one)):
        attribute = attribute_of(path)
        if attribute is None:
            raise UsageError(f"{path}: its name tells no attribute; expected one as {EXAMPLE}.")
        if attribute in found:
            raise UsageError(f"{found[attribute]} and {path} are both of {attribute}: give one of them.")
        found[attribute] = path
    return {name: found[name] for name in CELEBA_ATTRIBUTES if name in found}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.is_file():
            raise UsageError(f"there is no file or folder {path}.")
        return [path]
    files = [file for file in sorted(path.iterdir()) if is_official_file(file) and attribute_of(file) is not None]
    if not files:
        raise UsageError(f"{path} holds no official classifiers: no file there has a name as {EXAMPLE}.")
    return files
