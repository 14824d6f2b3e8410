"""The generator average Gs that every image and every metric is made with."""

import torch
from torch import nn


def decay(minibatch: int, half_life_kimg: float) -> float:
    """Factor by which the average keeps its old value: 0.5^(minibatch / (1000 half_life_kimg)) (official Gs_beta)."""
    return 0.5 ** (minibatch / (half_life_kimg * 1000)) if half_life_kimg > 0 else 0.0


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, beta: float) -> None:
    """Move the average towards the network: new = net + (old - net) * beta; buffers (w_avg, noise) are copied."""
    old: list[torch.Tensor] = [*average.parameters()]
    new: list[torch.Tensor] = [*network.parameters()]
    torch._foreach_lerp_(old, new, 1 - beta)
    for target, source in zip(average.buffers(), network.buffers(), strict=True):
        target.copy_(source)
