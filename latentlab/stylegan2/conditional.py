"""What generators with labels have in common: mapping, synthesis, and the label that stands for those not given."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.latents import truncate
from latentlab.protocols import NoiseMode
from latentlab.stylegan2.config import ConditionalConfig, MappingConfig
from latentlab.stylegan2.mapping import Mapping

Config = TypeVar("Config", bound=ConditionalConfig)


class ConditionalGenerator(nn.Module, Generic[Config]):
    """Mapping and synthesis under the official names, so that an official state dictionary loads as it is.

    Attributes: `z_dim, c_dim, w_dim, num_ws, img_resolution, img_channels`, `mapping`, `synthesis`, `w_avg` [w_dim].
    """

    has_mapping = True
    normalizes_z = True
    thread_safe = True  # several threads may call it at once

    def __init__(self, config: Config, synthesis: nn.Module, mapping: MappingConfig, *, num_ws: int) -> None:
        super().__init__()
        self.config, self.num_ws = config, num_ws
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.synthesis = synthesis  # before the mapping, as in official states
        self.mapping = Mapping(mapping, z_dim=self.z_dim, c_dim=self.c_dim, w_dim=self.w_dim, num_ws=num_ws)
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
