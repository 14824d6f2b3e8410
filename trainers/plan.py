"""What a training will do and need, without doing it: for `--dry-run`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentlab.networks import Discriminator, Generator, count_parameters
from trainers.config import RunConfig
from trainers.losses import Batch, discriminator_objective, generator_objective
from trainers.schedule import PlannedPhase, phases

PROBE = 4  # images; the least that minibatch stddev groups
FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class PhaseNeeds:
    """A phase of the plan with what it needs.

    Attributes:
        phase: When, at which resolution, with which minibatch and learning rate.
        parameters_g, parameters_d: Trainable parameters in use at this level.
        memory: Estimated bytes on each device: weights, gradients and moments of everything, and what autograd keeps
            of one shard's images at the larger of the two steps. Work space of the kernels comes on top.
        memory_per_image: The part of it that one image takes.
    """

    phase: PlannedPhase
    parameters_g: int
    parameters_d: int
    memory: int
    memory_per_image: int


def plan(config: RunConfig) -> list[PhaseNeeds]:
    """Every phase of a training, by running the two steps on tensors that have shapes but no data."""
    with torch.device("meta"):
        generator, discriminator = Generator(config.generator), Discriminator(config.discriminator)
    fixed = _fixed_bytes(generator, discriminator)
    return [
        _needs(config, (generator, discriminator), phase, fixed)
        for phase in phases(config.trainer.schedule, config.generator.resolution, config.trainer.total_kimg)
    ]


def _fixed_bytes(generator: Generator, discriminator: Discriminator) -> int:
    """Weights, gradients and two moments of both networks, and the average."""
    return FLOAT32 * (5 * count_parameters(generator) + 4 * count_parameters(discriminator))


def _needs(config: RunConfig, networks: tuple[Generator, Discriminator], phase: PlannedPhase, fixed: int) -> PhaseNeeds:
    generator, discriminator = networks
    level = (config.generator.resolution // phase.resolution).bit_length() - 1
    generator.synthesis.lod = discriminator.lod = level + (0.5 if phase.fading else 0.0)
    steps = _Steps(config, networks, phase.resolution)
    kept = [[_kept_bytes(step, count) for step in steps.both] for count in (PROBE, 2 * PROBE)]
    one, two = (max(size for size, _ in halves) for halves in kept)
    half = 2 if config.trainer.precision in ("bfloat16", "float16") else 1
    per_image = (two - one) // PROBE // half
    count = phase.minibatch // config.trainer.shards
    return PhaseNeeds(
        phase,
        parameters_g=_in_use(generator, kept[0][0][1]),
        parameters_d=_in_use(discriminator, kept[0][1][1]),
        memory=fixed + (one - PROBE * per_image * half) // half + per_image * count,
        memory_per_image=per_image,
    )


class _Steps:
    """The two halves of a training step, on tensors without data."""

    def __init__(self, config: RunConfig, networks: tuple[Generator, Discriminator], resolution: int) -> None:
        self.settings = config.trainer.model_copy(update={"precision": "float32"})
        self.generator, self.discriminator = networks
        self.resolution = resolution
        self.both = (self.generator_step, self.discriminator_step)

    def generator_step(self, count: int) -> Tensor:
        ws = self.generator.mapping(torch.empty(count, self.generator.z_dim, device="meta"))
        fakes = self.generator.synthesis(ws, "random", full_resolution=False)
        return generator_objective(self.settings, self.discriminator(fakes)).mean()

    def discriminator_step(self, count: int) -> Tensor:
        images = torch.empty(count, self.generator.img_channels, self.resolution, self.resolution, device="meta")
        batch = Batch(images, images, torch.empty(count, 1, 1, 1, device="meta"))
        return discriminator_objective(self.settings, self.discriminator, batch)[0].mean()


def _kept_bytes(step: Callable[[int], Tensor], count: int) -> tuple[int, Tensor]:
    """Bytes of all tensors that autograd keeps for the way back, parameters left out, and the loss."""
    sizes: dict[int, tuple[int, object]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in sizes and not isinstance(tensor, nn.Parameter):
            sizes[storage._cdata] = (storage.nbytes(), storage)  # held, so that its address stays its own
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step(count)
    return sum(size for size, _ in sizes.values()), loss


def _in_use(network: nn.Module, loss: Tensor) -> int:
    """Parameters that a loss depends on: the ends of its graph."""
    seen, found, ahead = set[object](), set[int](), [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found.add(id(getattr(node, "variable", None)))
        ahead.extend(following for following, _ in node.next_functions)
    return sum(parameter.numel() for parameter in network.parameters() if id(parameter) in found)
