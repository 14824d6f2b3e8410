"""Networks that learn at the same time, each by itself: what a network learns does not depend on its company.

On a CPU a network is a `Learner` that computes with one thread, and as many of them step at once as there are cores:
small networks gain little from threads within an operation. On a GPU, where small networks are bound by the time it
takes to start a kernel, several become a `Stack` whose kernels serve all of them.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attribute_classifiers.network import new_network
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab.blocks import block_pool
from latentlab.distributed import Team
from latentlab.networks import Discriminator, DiscriminatorConfig

MOMENTS = ("exp_avg", "exp_avg_sq")  # as torch.optim.Adam calls them
GPU_SHARE = 0.6  # of the free memory, for the activations of a stack
BYTES_PER_ACTIVATION = 4 * 6  # float32; on the way forward, padded or filtered, and on the way back


class Steps(Protocol):
    """What takes optimiser steps for one or more networks."""

    networks: tuple[int, ...]

    def step(self, images: Tensor, targets: Tensor, rate: float) -> Tensor:
        """One Adam step on images [B, 3, R, R] and the targets [B, A] of all attributes -> losses [len(networks)]."""

    def live(self, network: int) -> dict[str, Tensor]:
        """The weights and Adam's moments of one network, by name; writing into them changes the network."""

    def resume_at(self, steps_done: int) -> None:
        """Tell Adam how many steps its moments have behind them."""


class Learner:
    """One network, its targets' columns, and Adam.

    Args:
        network: On the device where it learns.
        number: Which of the networks it is.
        columns: Its attributes among the targets'.
        training: The settings.
        team: Processes that share every minibatch; each takes every size-th image, and gradients are added up.
    """

    def __init__(
        self, network: Discriminator, number: int, *, columns: slice, training: TrainingConfig, team: Team
    ) -> None:
        self.networks: tuple[int, ...] = (number,)
        self.network, self.columns = network, columns
        self.training, self.team = training, team
        self._parameters = dict(network.named_parameters())
        self._adam = _adam(self._parameters, training)

    def step(self, images: Tensor, targets: Tensor, rate: float) -> Tensor:
        """One Adam step on images [B, 3, R, R] and the targets [B, A] of all attributes -> loss [1]."""
        mine = slice(self.team.rank, None, self.team.size)
        wanted = targets[:, self.columns]
        self._adam.zero_grad()
        with _arithmetic(images.device, self.training):
            logits = self.network(images[mine])
        loss = F.binary_cross_entropy_with_logits(logits, wanted[mine], reduction="sum") / wanted.numel()
        loss.backward()
        gradients = [parameter.grad for parameter in self._parameters.values()]  # None for coarser levels' FromRGB
        self.team.add([loss, *(gradient for gradient in gradients if gradient is not None)])
        _update(self._adam, rate)
        return loss.detach().reshape(1)

    def live(self, network: int) -> dict[str, Tensor]:
        """The weights and Adam's moments, by name; writing into them changes the network."""
        return _live(self._parameters, self._adam)

    def resume_at(self, steps_done: int) -> None:
        """Tell Adam how many steps its moments have behind them."""
        _resume_at(self._adam, steps_done)


class Stack:
    """Several networks of one architecture and one output each, computed as one by torch.func.vmap.

    Every parameter has an axis more, [K, ...]; the sum of the losses has the gradients of each.
    """

    def __init__(self, networks: Mapping[int, Discriminator], training: TrainingConfig) -> None:
        self.networks, self.training = tuple(networks), training
        self._parameters, _ = torch.func.stack_module_state(list[nn.Module](networks.values()))
        self._form = copy.deepcopy(next(iter(networks.values()))).to("meta")
        self._adam = _adam(self._parameters, training)

    def step(self, images: Tensor, targets: Tensor, rate: float) -> Tensor:
        """One Adam step on images [B, 3, R, R] and the targets [B, A] of all attributes -> losses [K]."""
        self._adam.zero_grad()
        with _arithmetic(images.device, self.training):
            logits = torch.vmap(self._one, in_dims=(0, None))(self._parameters, images)[:, :, 0]  # [K, B]
        wanted = targets[:, list(self.networks)].t()
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1)
        losses.sum().backward()
        _update(self._adam, rate)
        return losses.detach()

    def live(self, network: int) -> dict[str, Tensor]:
        """The weights and Adam's moments of one network, by name; writing into them changes the network."""
        place = self.networks.index(network)
        return {name: tensor[place] for name, tensor in _live(self._parameters, self._adam).items()}

    def resume_at(self, steps_done: int) -> None:
        """Tell Adam how many steps its moments have behind them."""
        _resume_at(self._adam, steps_done)

    def _one(self, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        scores: Tensor = torch.func.functional_call(self._form, parameters, (images,))
        return scores


def make_learners(
    config: ClassifierConfig, *, seed: int, device: torch.device, team: Team, stack: int | None = None
) -> list[Steps]:
    """The networks that this process trains: its share of separate ones, or the shared one together with the others.

    Args:
        config: What is trained.
        seed: Of the initial weights.
        device: Where.
        team: The processes of the job.
        stack: Networks computed as one; 1 on a CPU and what fits into memory on a GPU if None.
    """
    if config.trunk == "shared":
        network = new_network(config, seed, 0).to(device).to(memory_format=torch.channels_last)
        return [Learner(network, 0, columns=slice(None), training=config.training, team=team)]
    mine = {number: new_network(config, seed, number) for number in team.shards(config.num_networks)}
    size = stack or networks_at_once(config, device)
    if size == 1:
        return [
            Learner(
                network.to(device).to(memory_format=torch.channels_last),
                number,
                columns=slice(number, number + 1),
                training=config.training,
                team=Team(device=device),
            )
            for number, network in mine.items()
        ]
    numbers = list(mine)
    parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return [Stack({number: mine[number].to(device) for number in part}, config.training) for part in parts]


def networks_at_once(config: ClassifierConfig, device: torch.device) -> int:
    """How many separate networks become one stack: one on a CPU, on a GPU as many as its free memory holds."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    needed = activations(config.network) * config.training.batch_size * BYTES_PER_ACTIVATION
    return max(min(int(GPU_SHARE * free / needed), config.num_networks), 1)


def activations(network: DiscriminatorConfig) -> int:
    """Numbers that the convolutions of one network make of one image."""
    stages = range(network.num_stages, 0, -1)
    return sum((2 * network.fmaps(s) + network.fmaps(s - 1)) * 4 ** (s + 1) for s in stages)


@contextmanager
def together(learners: Sequence[Steps], device: torch.device) -> Iterator["Together"]:
    """Let learners step at the same time: on the cores of a CPU, or one after the other on a GPU's queue."""
    workers = torch.get_num_threads() if device.type == "cpu" and len(learners) > 1 else 0
    if not workers:
        yield Together(learners, None)
        return
    with block_pool(workers) as pool:
        yield Together(learners, pool)


class Together:
    """Learners that take the same minibatch."""

    def __init__(self, learners: Sequence[Steps], pool: Executor | None) -> None:
        self._learners, self._pool = learners, pool

    def step(self, images: Tensor, targets: Tensor, rate: float) -> Tensor:
        """One step for every network -> their losses, in no particular order."""
        if self._pool is None:
            return torch.cat([learner.step(images, targets, rate) for learner in self._learners])
        waiting = [self._pool.submit(learner.step, images, targets, rate) for learner in self._learners]
        return torch.cat([one.result() for one in waiting])


def _arithmetic(device: torch.device, training: TrainingConfig) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16")


def _adam(parameters: Mapping[str, Tensor], training: TrainingConfig) -> torch.optim.Adam:
    """Adam whose moments are there before its first step, in the parameters' own memory format."""
    adam = torch.optim.Adam(parameters.values(), betas=training.betas, fused=True)
    for parameter in parameters.values():
        zeros = {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in MOMENTS}
        adam.state[parameter] = {"step": torch.zeros((), device=parameter.device), **zeros}
    return adam


def _update(adam: torch.optim.Adam, rate: float) -> None:
    for group in adam.param_groups:
        group["lr"] = rate
    adam.step()


def _live(parameters: Mapping[str, Tensor], adam: torch.optim.Adam) -> dict[str, Tensor]:
    found = {f"model.{name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        found |= {f"{moment}.{name}": adam.state[parameter][moment] for moment in MOMENTS}
    return found


def _resume_at(adam: torch.optim.Adam, steps_done: int) -> None:
    for state in adam.state.values():
        state["step"].fill_(steps_done)
