"""Which architecture a record is of, told by class names, the tree of modules and the functions that built it."""

import re

from latentlab.interop.pickles.records import Module, TensorFlowNetwork

UNKNOWN = "unknown"
_BY_FUNCTION = {
    "G_style": "StyleGAN generator",
    "G_mapping": "StyleGAN mapping network",
    "G_synthesis": "StyleGAN synthesis network",
    "D_basic": "StyleGAN discriminator",
    "G_main": "StyleGAN2 generator",
    "D_stylegan": "StyleGAN2 discriminator",
    "D_stylegan2": "StyleGAN2 discriminator",
    "D_main": "StyleGAN2 discriminator",
    "G_paper": "progressive GAN generator",
    "D_paper": "progressive GAN discriminator",
}
_NOT_TRAINED = re.compile(r"(?:.*/)?(?:lod|dlatent_avg|noise\d+|pl_mean|aug_strength)")
"""Variables of official TensorFlow networks that gradients do not change; the files do not tell."""


def architecture_of(record: Module | TensorFlowNetwork) -> str:
    """What a network is, in words; `unknown` where nothing tells.

    StyleGAN3's repository has a StyleGAN2 class too, and both are called Generator: the tree of modules tells.
    """
    if isinstance(record, TensorFlowNetwork):
        return _BY_FUNCTION.get(record.build_func_name, UNKNOWN)
    if record.class_name == "AugmentPipe":
        return "augmentation"
    if record.class_name == "Discriminator":
        return "StyleGAN2 discriminator" if "b4" in record.modules else UNKNOWN
    synthesis = record.modules.get("synthesis")
    if record.class_name != "Generator" or synthesis is None:
        return UNKNOWN
    if "input" in synthesis.modules and any(name.startswith("L0_") for name in synthesis.modules):
        return "StyleGAN3 generator"
    return "StyleGAN2 generator" if "b4" in synthesis.modules else UNKNOWN


def is_parameter(name: str) -> bool:
    """Whether a variable of a TensorFlow network, by its full name, is one that gradients change."""
    return _NOT_TRAINED.fullmatch(name) is None
