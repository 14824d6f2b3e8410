"""Figures of the StyleGAN paper that a report sets its own beside: Karras, Laine, Aila 2019, arXiv 1812.04948.

All of them are for FFHQ at 1024x1024, PPL by LPIPS with VGG16 over 100,000 pairs cropped to the face, separability over
200,000 images with 40 classifiers trained on CelebA-HQ. They are a reference for the order of generators and spaces,
not for the size of a number measured any other way.
"""

from dataclasses import dataclass
from typing import Literal

SOURCE = "Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks, 2019"
ARXIV = "arXiv 1812.04948"
PPL_SAMPLES = 100_000
LS_SAMPLES = 200_000
FID_IMAGES = 50_000
PPL_IMAGE_SIZE = 256  # pixels; crops of 512 are box-filtered to this
PPL_PROTOCOL = {
    "name": "stylegan",
    "crop": "face",
    "distance.name": "lpips-vgg",
    "noise": "random, shared by a pair",
    "method": "finite differences",
    "precision": "float32",
    "epsilon": 1e-4,
}
"""What a path length's protocol says where it was measured as the paper's."""
PPL_WALKS = {"z": "slerp", "w": "lerp"}

Arch = Literal["style", "traditional"]
Space = Literal["z", "w"]


@dataclass(frozen=True)
class PublishedRow:
    """One generator and space with its four published numbers; lower is better for all."""

    arch: Arch
    depth: int
    space: Space
    fid: float
    ppl_full: float
    ppl_end: float
    ls: float

    @property
    def label(self) -> str:
        """The generator as the paper's tables name it."""
        return f"{'Style-based' if self.arch == 'style' else 'Traditional'} {self.depth}"


# Table 4 (FFHQ): the effect of the mapping network.
TABLE_4 = (
    PublishedRow("traditional", 0, "z", 5.25, 412.0, 415.3, 10.78),
    PublishedRow("traditional", 8, "z", 4.87, 896.2, 902.0, 170.29),
    PublishedRow("traditional", 8, "w", 4.87, 324.5, 212.2, 6.52),
    PublishedRow("style", 0, "z", 5.06, 283.5, 285.5, 9.88),
    PublishedRow("style", 1, "w", 4.60, 219.9, 209.4, 6.81),
    PublishedRow("style", 2, "w", 4.43, 217.8, 199.9, 6.25),
    PublishedRow("style", 8, "w", 4.40, 234.0, 195.9, 3.79),
)

RELEASED_NETWORK = (
    PublishedRow("style", 8, "z", 4.4159, 664.8854, 666.1057, 165.0106),
    PublishedRow("style", 8, "w", 4.4159, 233.3059, 197.2266, 3.7447),
)
RELEASED_NOTE = (
    "No table of the paper has Z of a style-based generator with a mapping: its numbers for 8 layers, and those of W "
    "that are set against them, are its authors’ own measurement of their released FFHQ network."
)
"""Where the numbers of RELEASED_NETWORK are from."""


def published_pair(
    lower: tuple[Arch, int, Space], upper: tuple[Arch, int, Space]
) -> tuple[PublishedRow, PublishedRow] | None:
    """The published numbers of two generators in their spaces, both of one source; None where there are none."""
    for source in (TABLE_4, RELEASED_NETWORK):
        rows = {(row.arch, row.depth, row.space): row for row in source}
        if lower in rows and upper in rows:
            return rows[lower], rows[upper]
    return None


@dataclass(frozen=True)
class Slot:
    """A kind of row: architecture, with or without a mapping network, and space."""

    arch: Arch
    mapped: bool
    space: Space


@dataclass(frozen=True)
class Ordering:
    """Something the paper finds: every number of `lower` lies below the same number of `upper`."""

    claim: str
    lower: Slot
    upper: Slot
    same_generator: bool = False


ORDERINGS = (
    Ordering(
        "In a style-based generator W lies below Z (by its authors’ measurement of their network, in no table)",
        Slot("style", True, "w"), Slot("style", True, "z"), True,
    ),
    Ordering(
        "In a traditional generator with a mapping W lies below Z",
        Slot("traditional", True, "w"), Slot("traditional", True, "z"), True,
    ),
    Ordering(
        "Style-based with a mapping (W) lies below traditional without one (Z)",
        Slot("style", True, "w"), Slot("traditional", False, "z"),
    ),
    Ordering(
        "Both with a mapping, style-based lies below traditional (W)",
        Slot("style", True, "w"), Slot("traditional", True, "w"),
    ),
    Ordering(
        "Both without a mapping, style-based lies below traditional (Z)",
        Slot("style", False, "z"), Slot("traditional", False, "z"),
    ),
    Ordering(
        "A traditional generator's Z gets worse when it has a mapping",
        Slot("traditional", False, "z"), Slot("traditional", True, "z"),
    ),
)  # fmt: skip
