"""What a shell offers for values that name networks and classifiers: what lies in this folder, found without torch.

Where nothing here fits what was typed, bash and zsh go on with names of files.
"""

from collections.abc import Callable
from pathlib import Path

from latentlab.zoo import classifier_names, network_names

MARKS = ("config.json", "network.json", "generator.json", "snapshots")


def networks(incomplete: str) -> list[str]:
    """Names of runs under runs/ (once a slash was typed, their folders), converted networks, bundled ones."""
    runs = _network_folders("runs")
    found = [*_names_or_paths(runs, incomplete), *_paths(_network_folders("networks")), *network_names()]
    return _fitting(list(dict.fromkeys(found)), incomplete)


def stores(incomplete: str) -> list[str]:
    """Names of runs with samples (once a slash was typed, the files), bundled networks."""
    found = [store for folder in _folders("runs") if (store := folder / "run.h5").is_file()]
    names = _paths(found) if "/" in incomplete else [store.parent.name for store in found]
    return _fitting(list(dict.fromkeys([*names, *network_names()])), incomplete)


def run_folders(incomplete: str) -> list[str]:
    """Folders of runs and of converted networks, and bundled networks, as `report` takes them."""
    return _fitting([*_paths([*_network_folders("runs"), *_network_folders("networks")]), *network_names()], incomplete)


def classifiers(incomplete: str) -> list[str]:
    """Names under classifiers/, or, once a slash was typed, the folders; and bundled ones."""
    found = [*_names_or_paths(_classifier_folders(), incomplete), *classifier_names()]
    return _fitting(list(dict.fromkeys(found)), incomplete)


def labellers(incomplete: str) -> list[str]:
    """Classifiers, or `none`."""
    return [*classifiers(incomplete), *_fitting(["none"], incomplete)]


def features_or(*others: str) -> Callable[[str], list[str]]:
    """A completion for `classifier:NAME`, or one of some words."""

    def complete(incomplete: str) -> list[str]:
        names = dict.fromkeys([*(folder.name for folder in _classifier_folders()), *classifier_names()])
        named = [f"classifier:{name}" for name in names]
        return _fitting([*others, *named], incomplete)

    return complete


def _network_folders(root: str) -> list[Path]:
    return [folder for folder in _folders(root) if any((folder / mark).exists() for mark in MARKS)]


def _classifier_folders() -> list[Path]:
    return [folder for folder in _folders("classifiers") if (folder / "config.json").is_file()]


def _folders(root: str) -> list[Path]:
    try:
        return sorted(path for path in Path(root).iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError:
        return []


def _paths(folders: list[Path]) -> list[str]:
    return [folder.as_posix() for folder in folders]


def _names_or_paths(folders: list[Path], incomplete: str) -> list[str]:
    return _paths(folders) if "/" in incomplete else [folder.name for folder in folders]


def _fitting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
