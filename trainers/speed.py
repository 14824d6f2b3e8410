"""How much arithmetic a training step takes, counted, and how fast this machine does it, measured in moments."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from latentlab.networks import Discriminator, Generator
from latentlab.protocols import cuda_arithmetic
from trainers.config import RunConfig
from trainers.losses import Batch, discriminator_objective, generator_objective
from trainers.schedule import PlannedPhase, phases

LEAST = 4  # images; minibatch stddev groups so many
AFFORDABLE = 4e10  # floating-point operations of a timed step
ROUNDS = 2


class _Counter(TorchDispatchMode):
    """Adds up what torch's own registry says of every operation; FlopCounterMode cannot see through gradients' ones."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class _Step:
    """One step of both networks at a level of detail, without data, average and optimiser."""

    def __init__(self, config: RunConfig, phase: PlannedPhase, device: str | torch.device) -> None:
        with torch.device(device):
            self.generator, self.discriminator = Generator(config.generator), Discriminator(config.discriminator)
        for network in (self.generator, self.discriminator):
            network.to(memory_format=torch.channels_last)
        level = (config.generator.resolution // phase.resolution).bit_length() - 1
        self.generator.synthesis.lod = self.discriminator.lod = level + (0.5 if phase.fading else 0.0)
        self.settings, self.resolution, self.device = config.trainer, phase.resolution, device

    def __call__(self, count: int, *, penalty: bool) -> None:
        """Forward and backward of generator and discriminator on `count` images."""
        ws = self.generator.mapping(torch.randn(count, self.generator.z_dim, device=self.device))
        fakes = self.generator.synthesis(ws, "random", full_resolution=False)
        generator_objective(self.settings, self.discriminator(fakes)).mean().backward()
        reals = torch.rand_like(fakes).requires_grad_(False)
        batch = Batch(reals, fakes.detach(), torch.rand(count, 1, 1, 1, device=self.device))
        loss = discriminator_objective(self.settings, self.discriminator, batch, weight=float(penalty))[0]
        loss.mean().backward()


def flops_per_image(config: RunConfig, phase: PlannedPhase) -> float:
    """Floating-point operations per image of training in a phase (a multiply-add is two), the lazy penalty averaged."""
    step = _Step(config, phase, "meta")
    counts = []
    for penalty in (False, True):
        with _Counter() as counter:
            step(LEAST, penalty=penalty)
        counts.append(counter.total / LEAST)
    return _averaged(counts[0], counts[1], config.trainer.r1_interval)


def _averaged(without: float, with_penalty: float, interval: int) -> float:
    return without + (with_penalty - without) / interval


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training will take.

    Attributes:
        flops: Floating-point operations in all.
        seconds: On this machine.
        extrapolated: Whether some resolution was too large to be tried and was reckoned from the one below.
    """

    flops: float
    seconds: float
    extrapolated: bool


def estimate_training(config: RunConfig, device: torch.device) -> TrainingEstimate:
    """Try a step of every resolution that costs little, and reckon the rest from its arithmetic."""
    all_flops = all_seconds = 0.0
    rates = dict[int, float]()  # operations per second by resolution
    extrapolated, rate = False, 1e10  # until the first is measured
    for phase in phases(config.trainer.schedule, config.generator.resolution, config.trainer.total_kimg):
        flops = flops_per_image(config, phase)
        count = min(phase.minibatch // config.trainer.shards, max(LEAST, int(AFFORDABLE // flops)))
        count = max(LEAST, count // LEAST * LEAST)
        if phase.resolution not in rates and count * flops <= 4 * AFFORDABLE:
            rates[phase.resolution] = flops / _seconds_per_image(config, phase, count, device)
        extrapolated |= phase.resolution not in rates
        rate = rates.get(phase.resolution, rate)
        images = 1000 * (phase.end_kimg - phase.start_kimg)
        all_flops += flops * images
        all_seconds += flops * images / rate
    return TrainingEstimate(all_flops, all_seconds / config.trainer.shards, extrapolated)


def _seconds_per_image(config: RunConfig, phase: PlannedPhase, count: int, device: torch.device) -> float:
    step, half = _Step(config, phase, device), config.trainer.precision in ("bfloat16", "float16")
    dtype = torch.float16 if config.trainer.precision == "float16" else torch.bfloat16
    times = []
    for penalty in (False, True):
        with (
            torch.autocast(device.type, dtype, enabled=half),
            cuda_arithmetic(tf32=config.trainer.precision == "tf32", benchmark=True),
        ):
            step(count, penalty=penalty)
            started = time.perf_counter()
            for _ in range(ROUNDS):
                step(count, penalty=penalty)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        times.append((time.perf_counter() - started) / ROUNDS / count)
    return _averaged(times[0], times[1], config.trainer.r1_interval)
