"""A StyleGAN2 generator: mapping and synthesis."""

from latentlab.stylegan2.conditional import ConditionalGenerator
from latentlab.stylegan2.config import GeneratorConfig
from latentlab.stylegan2.synthesis import Synthesis


class Generator(ConditionalGenerator[GeneratorConfig]):
    """A StyleGAN2 generator; its synthesis has noise."""

    synthesis: Synthesis

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config, Synthesis(config), config.mapping_kwargs, num_ws=config.num_ws)
