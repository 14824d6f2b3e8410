"""The mapping network of StyleGAN2 and StyleGAN3: latents and labels to intermediate latents."""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.fused import pixel_norm
from latentlab.stylegan2.config import MappingConfig
from latentlab.stylegan2.layers import Dense


class Mapping(nn.Module):
    """f: Z -> W, after labels, if there are any, were embedded and joined to z, both scaled to unit mean square.

    Args:
        config: Layers and their widths.
        z_dim: Numbers in a latent; 0 for a mapping of labels alone, as discriminators have.
        c_dim: Numbers in a label; 0 without labels.
        w_dim: Numbers in an intermediate latent.
        num_ws: How often w is repeated; None for once, without an axis of its own.
        track_w: Whether there is an average of w.

    Attributes:
        label: What labels are where none are given: c_dim numbers.
        w_avg: [w_dim], if there is one.
    """

    w_avg: Tensor

    def __init__(
        self,
        config: MappingConfig,
        *,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        track_w: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = z_dim, c_dim, num_ws
        self.label: Sequence[float] | None = None
        embedded = (config.embed_features or w_dim) if c_dim else 0
        hidden = config.layer_features or w_dim
        widths = [z_dim + embedded, *[hidden] * (config.num_layers - 1), w_dim]
        if c_dim:
            self.embed = Dense(c_dim, embedded)
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
            layer = Dense(fan_in, fan_out, activation=config.activation, lr_multiplier=config.lr_multiplier)
            self.add_module(f"fc{index}", layer)
        self.num_layers = config.num_layers
        if track_w:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """z [N, z_dim], labels [N, c_dim] -> [N, num_ws, w_dim], the same w for every layer, or [N, w_dim].

        Raises:
            UsageError: labels are needed and neither given nor set, or have another shape.
        """
        kind = self.layers[0].weight.dtype
        parts = [] if z is None else [pixel_norm(z.to(kind))]
        if self.c_dim:
            parts.append(pixel_norm(self.embed(self._labels(z, labels).to(kind))))
        elif labels is not None and labels.shape[-1]:
            raise UsageError(
                f"labels of shape {list(labels.shape)} were given, and this network takes none: leave them out."
            )
        x = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        for layer in self.layers:
            x = layer(x)
        return x if self.num_ws is None else x.unsqueeze(1).expand(-1, self.num_ws, -1)

    @property
    def layers(self) -> list[Dense]:
        """The dense layers from latents and labels to w, in order of use."""
        return [cast(Dense, getattr(self, f"fc{index}")) for index in range(self.num_layers)]

    def _labels(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        """Those given, or the one that is set for every row of z."""
        if labels is None:
            if self.label is None or z is None:
                raise UsageError(
                    f"labels are missing, and this network is conditional: give a tensor [N, {self.c_dim}] (of "
                    f"classes: a 1 among zeros), or set the generator's label to {self.c_dim} numbers."
                )
            return torch.tensor(self.label, dtype=torch.float32, device=z.device).expand(len(z), -1)
        rows = len(labels) if z is None else len(z)
        if tuple(labels.shape) != (rows, self.c_dim):
            raise UsageError(f"labels have the shape {list(labels.shape)}; it must be [{rows}, {self.c_dim}].")
        return labels
