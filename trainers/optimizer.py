"""Adam as the official code has it: TensorFlow's form, all or nothing where a gradient is not finite, resettable."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainers.config import TrainerConfig

INITIAL_LOG_SCALE, SCALE_GROWTH = 16.0, 0.0005


class Adam:
    """Adam over a network's parameters (Kingma and Ba 2015, in the form at the end of section 2).

    TensorFlow adds epsilon to the root of the uncorrected second moment and folds the bias corrections into the
    learning rate; torch adds it after the correction. The two agree if torch's epsilon is divided by
    sqrt(1 - beta2^t), which is done before every step t. Steps are fused into one pass over memory.

    With precision "float16" losses are multiplied by a scale before going back, and gradients divided by it, so that
    small ones do not vanish. As in the official optimiser the scale's binary logarithm grows by 0.0005 with every step
    taken and falls by 1 with every step skipped; it starts at 16 (there at 64, which skips the first 50 steps).
    """

    def __init__(self, network: nn.Module, settings: TrainerConfig) -> None:
        self._betas, self._eps = settings.adam_betas, settings.adam_eps
        self.parameters = list(network.parameters())
        self.scales_losses = settings.precision == "float16"
        self.torch_adam = torch.optim.Adam(
            self.parameters,
            lr=settings.schedule.learning_rate_base,
            betas=settings.adam_betas,
            eps=settings.adam_eps,
            fused=True,
        )
        self.steps = 0
        self.log_scale = INITIAL_LOG_SCALE

    @property
    def learning_rate(self) -> float:
        """Learning rate of the coming steps."""
        return float(self.torch_adam.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.torch_adam.param_groups[0]["lr"] = value

    @property
    def loss_scale(self) -> float:
        """What losses are multiplied by before going back; 1 but for float16."""
        return float(2.0**self.log_scale) if self.scales_losses else 1.0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.torch_adam.zero_grad()

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of the parameters."""
        (loss * self.loss_scale).backward()

    def gradients(self) -> list[Tensor]:
        """Gradients of the parameters that have one, in their order."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    def step(self) -> bool:
        """Take a step, unless a gradient is not finite: then it is skipped as a whole (official tflib.Optimizer)."""
        gradients = self.gradients()
        scale = self.loss_scale
        if scale != 1:
            torch._foreach_div_(gradients, scale)
        finite = bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())
        if finite:
            self.steps += 1
            self.torch_adam.param_groups[0]["eps"] = self._eps / (1 - self._betas[1] ** self.steps) ** 0.5
            self.torch_adam.step()
        self.log_scale += SCALE_GROWTH if finite else -1
        return finite

    def reset(self) -> None:
        """Forget the moments and the number of steps."""
        self.torch_adam.state.clear()
        self.steps = 0

    def position(self) -> dict[str, float]:
        """What a snapshot's description holds of it, beside the moments: numbers only."""
        return {"steps": self.steps, "log_scale": self.log_scale}

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """Both moments of every parameter that has been updated, named NUMBER.exp_avg and NUMBER.exp_avg_sq."""
        for index, moments in self.torch_adam.state_dict()["state"].items():
            yield from ((f"{index}.{name}", tensor) for name, tensor in moments.items())

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Take over what `moments` and `position` gave."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            index, _, what = name.partition(".")
            moments.setdefault(int(index), {})[what] = tensor
        groups = self.torch_adam.state_dict()["param_groups"]
        self.torch_adam.load_state_dict({"state": moments, "param_groups": groups})
        for parameter, state in self.torch_adam.state.items():  # fused steps walk memory: same layout as parameters
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.empty_like(parameter).copy_(state[name])
        self.steps, self.log_scale = position["steps"], position["log_scale"]
