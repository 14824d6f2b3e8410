"""The bundled networks: six generators at 32x32 on the embedded faces, and the 40 classifiers that label their images.

networks/NAME/       network.safetensors, network.json, config.json, stats.jsonl: weights and the whole training record
classifiers/NAME/    as `latentlab classifiers train` writes them
recipe.toml          the study whose first seed they are; `make zoo` makes them again

Reads names and JSON alone; `latentlab.checkpoint` and `attribute_classifiers.network` load them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
NETWORKS, CLASSIFIERS, RECIPE = ROOT / "networks", ROOT / "classifiers", ROOT / "recipe.toml"
PREFIX = "faces32-"
DEFAULT_NETWORK, DEFAULT_CLASSIFIERS = "faces32-style-8", "faces32"
"""What commands take where none is named and the folder has none of its own."""
ORIGIN = "bundled with LatentLab"
NETWORK_MARKS = ("config.json", "network.json", "snapshots")
"""By these a folder is known as a run or a network itself."""


@dataclass(frozen=True)
class Bundled:
    """A bundled network in a few facts.

    Attributes:
        name: What commands take.
        folder: Where it is.
        config: Its run's config.json.
        num_images: With how many images it was trained.
        num_bytes: Of its weights.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    num_images: int
    num_bytes: int

    @property
    def arch(self) -> str:
        """style or traditional."""
        return "style" if self.config["generator"]["use_styles"] else "traditional"


def network_names() -> list[str]:
    """All bundled networks by name."""
    return sorted(path.parent.name for path in NETWORKS.glob("*/network.json"))


def bundled_network(name: str | Path) -> Path | None:
    """The folder of a bundled network, or None where there is none of this name."""
    return NETWORKS / str(name) if str(name) in network_names() else None


def bundled_record(folder: Path) -> Path | None:
    """The bundled network that a folder such as runs/NAME is of by its name, with the record of its training.

    None where no bundled network has the name, or the folder is a run or a network itself; it need not exist.
    """
    own = any((folder / mark).exists() for mark in NETWORK_MARKS)
    return None if own else bundled_network(folder.resolve().name)


def is_bundled(folder: Path) -> bool:
    """Whether a folder belongs to what is bundled, and so must not be written to."""
    return folder.resolve().is_relative_to(ROOT.resolve())


def classifier_names() -> list[str]:
    """All bundled sets of classifiers by name."""
    return sorted(path.parent.name for path in CLASSIFIERS.glob("*/config.json"))


def bundled_classifiers(name: str | Path) -> Path | None:
    """The folder of bundled classifiers, or None where there are none of this name."""
    return CLASSIFIERS / str(name) if str(name) in classifier_names() else None


def bundled() -> list[Bundled]:
    """What there is: traditional ones first, then by depth."""
    found = []
    for name in network_names():
        folder = NETWORKS / name
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        size = (folder / "network.safetensors").stat().st_size
        found.append(Bundled(name, folder, config, int(text["training"]["num_images"]), size))
    return sorted(found, key=lambda one: (one.arch != "traditional", one.config["generator"]["mapping_layers"]))
