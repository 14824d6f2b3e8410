"""An alias-free generator: mapping, and a synthesis network from Fourier features to images."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.latents import truncate
from latentlab.protocols import NoiseMode
from latentlab.stylegan2.config import MappingConfig
from latentlab.stylegan2.mapping import Mapping
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


class Generator(nn.Module):
    """Mapping and synthesis under the official names, so that an official state dictionary loads as it is.

    Attributes: `z_dim, c_dim, w_dim, num_ws, img_resolution, img_channels`, `mapping`, `synthesis`, `w_avg` [w_dim].
    """

    has_mapping = True
    normalizes_z = True
    thread_safe = True  # several threads may call it at once

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = config.z_dim, config.c_dim, config.w_dim, config.num_ws
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis = Synthesis(config)
        layers = MappingConfig(**config.mapping_kwargs.model_dump())
        self.mapping = Mapping(layers, z_dim=self.z_dim, c_dim=self.c_dim, w_dim=self.w_dim, num_ws=self.num_ws)
        self.mapping.label = config.label

    @property
    def w_avg(self) -> Tensor:
        """The average of w, [w_dim]."""
        return self.mapping.w_avg

    @w_avg.setter
    def w_avg(self, value: Tensor) -> None:
        self.mapping.w_avg.copy_(value)

    @property
    def label(self) -> tuple[float, ...] | None:
        """What labels are where the mapping is given none, c_dim numbers; part of the settings.

        Raises:
            UsageError: when set to another number of them.
        """
        return self.config.label

    @label.setter
    def label(self, value: Sequence[float] | None) -> None:
        label = None if value is None else tuple(float(number) for number in value)
        if label is not None and len(label) != self.c_dim:
            raise UsageError(
                f"label has {len(label)} numbers; this generator's labels have {self.c_dim}"
                + ("." if self.c_dim else ", for it is not conditional: leave it None.")
            )
        self.config = self.config.model_copy(update={"label": label})
        self.mapping.label = label

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "random",
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """z [N, z_dim], labels [N, c_dim] -> images float32 [N, C, R, R]; psi 1 (the default) means no truncation."""
        ws = truncate(self.mapping(z, labels), self.w_avg, truncation_psi, truncation_cutoff)
        images: Tensor = self.synthesis(ws, noise_mode, noise)
        return images
