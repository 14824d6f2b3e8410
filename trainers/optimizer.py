"""Adam as the official code has it: TensorFlow's form, all or nothing where a gradient is not finite, resettable."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainers.config import TrainerConfig

INITIAL_LOG_SCALE, SCALE_GROWTH = 16.0, 0.0005


class Adam:
    """Adam over a network's parameters (Kingma and Ba 2015, in the form at the end of section 2).

    TensorFlow adds epsilon to the root of the uncorrected second moment and folds the bias corrections into the
    learning rate; torch's kernel adds it after the correction. The two agree if the kernel's epsilon is divided by
    sqrt(1 - beta2^t), which is done before every step t. The kernel makes a step in one pass over memory; it is called
    directly, because torch.optim loads the compiler at its first step, which takes seconds.

    With precision "float16" losses are multiplied by a scale before going back, and gradients divided by it, so that
    small ones do not vanish. As in the official optimiser the scale's binary logarithm grows by 0.0005 with every step
    taken and falls by 1 with every step skipped; it starts at 16 (there at 64, which skips the first 50 steps).

    Attributes:
        learning_rate: Of the coming steps.
        steps: Steps taken since the moments were forgotten.
        moments: First and second moment of each parameter that has been updated, by its number.
    """

    def __init__(self, network: nn.Module, settings: TrainerConfig) -> None:
        self._betas, self._eps = settings.adam_betas, settings.adam_eps
        self._scales_losses = settings.precision == "float16"
        self._log_scale = INITIAL_LOG_SCALE
        self.parameters = list(network.parameters())
        self.learning_rate = settings.schedule.learning_rate_base
        self.steps = 0
        self.moments: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def loss_scale(self) -> float:
        """What losses are multiplied by before going back; 1 but for float16."""
        return float(2.0**self._log_scale) if self._scales_losses else 1.0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of the parameters."""
        (loss * self.loss_scale).backward()

    def gradients(self) -> list[Tensor]:
        """Gradients of the parameters that have one, in their order."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    @torch.no_grad()
    def step(self) -> bool:
        """Take a step, unless a gradient is not finite: then it is skipped as a whole (official tflib.Optimizer)."""
        gradients = self.gradients()
        if self.loss_scale != 1:
            torch._foreach_div_(gradients, self.loss_scale)
        finite = bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())
        if finite:
            self._move(gradients)
        self._log_scale += SCALE_GROWTH if finite else -1
        return finite

    def _move(self, gradients: list[Tensor]) -> None:
        self.steps += 1
        used = [(index, p) for index, p in enumerate(self.parameters) if p.grad is not None]
        for index, parameter in used:
            if index not in self.moments:  # the kernel walks memory: moments lie there as their parameters do
                self.moments[index] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        moments = [self.moments[index] for index, _ in used]
        count = torch.tensor(float(self.steps), device=gradients[0].device)
        beta1, beta2 = self._betas
        torch._fused_adam_(
            [parameter for _, parameter in used],
            gradients,
            [first for first, _ in moments],
            [second for _, second in moments],
            [],
            [count] * len(used),
            lr=self.learning_rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=self._eps / math.sqrt(1 - beta2**self.steps),
            amsgrad=False,
            maximize=False,
        )

    def reset(self) -> None:
        """Forget the moments and the number of steps."""
        self.moments.clear()
        self.steps = 0

    def position(self) -> dict[str, float]:
        """What a snapshot's description holds of it, beside the moments: numbers only."""
        return {"steps": self.steps, "log_scale": self._log_scale}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The moments, named NUMBER.exp_avg and NUMBER.exp_avg_sq."""
        for index, (first, second) in self.moments.items():
            yield f"{index}.exp_avg", first
            yield f"{index}.exp_avg_sq", second

    def restore(self, tensors: dict[str, Tensor], position: dict[str, Any]) -> None:
        """Take over what `tensors` and `position` gave."""
        self.steps, self._log_scale = position["steps"], position["log_scale"]
        self.moments = {}
        for index in sorted({int(name.partition(".")[0]) for name in tensors}):
            like = self.parameters[index]
            first, second = (
                torch.empty_like(like, requires_grad=False).copy_(tensors[f"{index}.{name}"])
                for name in ("exp_avg", "exp_avg_sq")
            )
            self.moments[index] = first, second
