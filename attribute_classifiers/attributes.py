"""The 40 attributes of CelebA, and the order in which the official StyleGAN classifier files are numbered."""

from latentlab.data.attributes import CELEBA_ATTRIBUTES

__all__ = ["CELEBA_ATTRIBUTES", "OFFICIAL_ORDER"]

_FIRST = ("Male", "Smiling", "Attractive", "Wavy_Hair", "Young")

OFFICIAL_ORDER: tuple[str, ...] = (*_FIRST, *(name for name in CELEBA_ATTRIBUTES if name not in _FIRST))
"""Attribute k belongs to the official file `celebahq-classifier-KK-...`: five by themselves, then alphabetical."""
