"""An alias-free generator: mapping, and a synthesis network from Fourier features to images."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.protocols import NoiseMode
from latentlab.stylegan2.conditional import ConditionalGenerator
from latentlab.stylegan2.config import MappingConfig
from latentlab.stylegan3.config import GeneratorConfig
from latentlab.stylegan3.layers import SynthesisInput, SynthesisLayer
from latentlab.stylegan3.plan import layer_plans


class Synthesis(nn.Module):
    """The synthesis network g: W -> images. It has no noise.

    The styles of a layer are scaled by their root mean square over the whole batch, as in the official network, so that
    an image depends on what else is in its batch: through the epsilon of the demodulation, by no more than rounding
    unless styles of one batch differ by a factor of a hundred and more.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        plans = layer_plans(config)
        self.input = SynthesisInput(plans[0].source, w_dim=config.w_dim)
        for plan in plans:
            self.add_module(plan.name, SynthesisLayer(plan, w_dim=config.w_dim, clamp=config.conv_clamp))
        self.layer_names = [plan.name for plan in plans]

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of every noise input: there is none."""
        return []

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The layers in order, ToRGB last."""
        return [cast(SynthesisLayer, getattr(self, name)) for name in self.layer_names]

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random", noise: Sequence[Tensor] | None = None) -> Tensor:
        """ws [N, num_ws, w_dim] -> images float32 [N, img_channels, R, R], nominally in [-1, 1], not clamped.

        `noise_mode` and `noise` are without effect.

        Raises:
            UsageError: ws has another shape.
        """
        if tuple(ws.shape[1:]) != (self.config.num_ws, self.config.w_dim):
            raise UsageError(
                f"ws has the shape {list(ws.shape)}; it must be [N, {self.config.num_ws}, {self.config.w_dim}]."
            )
        first, *others = ws.to(self.input.weight.dtype).unbind(dim=1)
        x = self.input(first)
        if x.device.type != "cpu":
            x = x.contiguous()
        for layer, w in zip(self.layers, others, strict=True):
            x = layer(x, w)
        return x * self.config.output_scale


class Generator(ConditionalGenerator[GeneratorConfig]):
    """A StyleGAN3 generator, with StyleGAN2's mapping."""

    synthesis: Synthesis

    def __init__(self, config: GeneratorConfig) -> None:
        mapping = MappingConfig(**config.mapping_kwargs.model_dump())
        super().__init__(config, Synthesis(config), mapping, num_ws=config.num_ws)
