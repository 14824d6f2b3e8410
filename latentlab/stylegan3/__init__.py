"""The generators of "Alias-Free Generative Adversarial Networks" (Karras et al. 2021), configurations T and R."""

from latentlab.stylegan3.config import GeneratorConfig, MappingConfig, official_generator_config
from latentlab.stylegan3.networks import Generator, Synthesis

__all__ = ["Generator", "GeneratorConfig", "MappingConfig", "Synthesis", "official_generator_config"]
