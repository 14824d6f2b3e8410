"""Which layers are coarse, middle and fine: the paper's rule, and how it shrinks with the network.

The paper (figure 3) calls 4-8 pixels coarse, 16-32 middle and 64-1024 fine: two resolutions, two, and the rest.
Networks below 64 pixels have too few resolutions for that; theirs are one, one, and the rest.
"""

from collections.abc import Sequence
from typing import Literal

from latentlab.networks import Synthesis
from latentlab.protocols import GeneratorLike

Group = Literal["coarse", "middle", "fine"]
GROUPS: tuple[Group, ...] = ("coarse", "middle", "fine")
_WIDE, _NARROW = 10, 6
"""Layers from which coarse and middle have four each (64 pixels), and two (16 pixels); below, one."""
_RESOLUTIONS = (5, 3)
"""The same in resolutions."""


def layer_groups(num_ws: int) -> dict[Group, range]:
    """Layers of each group: four coarse, four middle and the rest from 10 layers on (64 pixels; the paper's 18 are
    1024), two and two from 6 (16 pixels), one and one below; groups without layers are left out."""
    width = 4 if num_ws >= _WIDE else 2 if num_ws >= _NARROW else 1
    if num_ws == 2:
        return {"coarse": range(1), "fine": range(1, 2)}
    bounds = (0, width, 2 * width, num_ws)
    found = {group: range(*bounds[place : place + 2]) for place, group in enumerate(GROUPS)}
    return {group: layers for group, layers in found.items() if layers}


def layers_in_words(generator: GeneratorLike, layers: Sequence[int]) -> str:
    """`layers 0–3, 4–8 pixels`; pixels where a layer has one resolution, as in LatentLab's and StyleGAN's networks."""
    words = f"layers {layers[0]}–{layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}"
    if not isinstance(generator.synthesis, Synthesis):
        return words
    return f"{words}, {span([2 ** (layer // 2 + 2) for layer in (layers[0], layers[-1])])} pixels"


def span(sizes: Sequence[int]) -> str:
    """`4–8`, or `4` where both ends are the same."""
    return f"{sizes[0]}–{sizes[-1]}" if sizes[0] != sizes[-1] else f"{sizes[0]}"


def noise_groups(heights: Sequence[int]) -> tuple[list[int], list[int]]:
    """The resolutions of noise inputs that are coarse, and those that are fine (figure 5: 4-32 and 64-1024).

    Coarse are the coarse and middle resolutions of style mixing; of two resolutions, the smaller. One alone is coarse.
    """
    sizes = sorted(set(heights))
    wide, narrow = _RESOLUTIONS
    coarse = 4 if len(sizes) >= wide else 2 if len(sizes) >= narrow else 1
    return sizes[:coarse], sizes[coarse:]
