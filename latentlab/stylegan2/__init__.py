"""StyleGAN2's networks ("Analyzing and Improving the Image Quality of StyleGAN", Karras et al. 2020), with the
additions of "Training Generative Adversarial Networks with Limited Data" (2020): settings, generator, discriminator.
"""

from latentlab.stylegan2.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    MappingConfig,
    SynthesisConfig,
    official_discriminator_config,
    official_generator_config,
)
from latentlab.stylegan2.discriminator import Discriminator
from latentlab.stylegan2.generator import Generator
from latentlab.stylegan2.mapping import Mapping
from latentlab.stylegan2.synthesis import Synthesis

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "Mapping",
    "MappingConfig",
    "Synthesis",
    "SynthesisConfig",
    "official_discriminator_config",
    "official_generator_config",
]
