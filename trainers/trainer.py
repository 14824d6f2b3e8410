"""One run of training in single steps: discriminator, average, generator.

Every random number of step k is a function of (seed, k, shard), and image order of (seed, epoch): a run that was killed
and resumed does what an undisturbed one does, and several processes do what one does.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latentlab.distributed import Team
from latentlab.networks import Discriminator, Generator, initialised
from latentlab.protocols import cuda_arithmetic
from latentlab.randomness import derive_seed
from trainers.config import RunConfig
from trainers.ema import decay, update_average
from trainers.losses import Batch, discriminator_objective, generator_objective
from trainers.optimizer import Adam
from trainers.reals import ImageSource, Reals
from trainers.schedule import Phase, phase_at
from trainers.snapshots import TrainingState

PENALTIES = ("r1", "r2", "gp")  # statistics of steps that may all have been skipped
LOW_PRECISION = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def mix_styles(ws: Tensor, ws2: Tensor, cutoff: int) -> Tensor:
    """Style mixing (paper, section 3.1): layers from `cutoff` on take the second latents. [N, L, D] each."""
    return torch.cat([ws[:, :cutoff], ws2[:, cutoff:]], dim=1)


@dataclass(frozen=True)
class Randoms:
    """Random numbers of one shard in one step; on CPUs both are the same generator.

    Attributes:
        device: For tensors.
        host: For decisions, so that a GPU need not be waited for.
    """

    device: torch.Generator
    host: torch.Generator


class Trainer:
    """One run: networks, optimisers and data, and the single steps.

    Attributes:
        state: Networks, optimisers and position; what snapshots hold.
        losses: What the last steps' losses were, as [sum, count] on the device; `averages` reads and forgets them.
    """

    def __init__(self, config: RunConfig, source: ImageSource, device: torch.device, team: Team | None = None) -> None:
        self.config, self.device, self.team = config, device, team or Team()
        self.reals = Reals(source, config.seed, device)
        generator, average = self._generator(), self._generator()
        seed = derive_seed(config.seed, "discriminator")
        discriminator = initialised(lambda: Discriminator(config.discriminator), seed)
        for network in (generator, average, discriminator):
            _place(network, device)
        self.state = TrainingState(
            generator,
            average.requires_grad_(False),
            discriminator,
            optimizer_g=Adam(generator, config.trainer),
            optimizer_d=Adam(discriminator, config.trainer),
        )
        self.losses: dict[str, Tensor] = {}

    def _generator(self) -> Generator:
        return initialised(lambda: Generator(self.config.generator), derive_seed(self.config.seed, "generator"))

    @property
    def total_images(self) -> int:
        """Real images the run is to be trained with."""
        return round(self.config.trainer.total_kimg * 1000)

    def phase(self) -> Phase:
        """What the schedule said when it was looked at last: every `minibatch_repeats` steps (official loop)."""
        return phase_at(self.config.trainer.schedule, self.config.generator.resolution, self.state.phase_images)

    def step(self) -> None:
        """Discriminator and average, then generator, with one minibatch each (official training loop)."""
        with cuda_arithmetic(tf32=self.config.trainer.precision == "tf32", benchmark=True):
            self._step()

    def _step(self) -> None:
        state, settings = self.state, self.config.trainer
        if state.num_steps % settings.minibatch_repeats == 0:
            state.phase_images = state.num_images
            self._enter(self.phase())
        phase, shards = self.phase(), self.team.shards(settings.shards)
        randoms = [self._randoms(shard) for shard in shards]
        self._discriminator_step(phase, list(zip(shards, randoms, strict=True)))
        update_average(state.average, state.generator, decay(phase.minibatch, settings.ema_half_life_kimg))
        self._generator_step(phase, randoms)
        state.num_images += phase.minibatch
        state.num_steps += 1

    def averages(self) -> dict[str, float]:
        """Means of the statistics over all images since they were asked for last, over all processes.

        Each is over the steps that had it: lazy penalties come in some steps only, and with float16 what overflowed
        is left out, because such a step is skipped. Where nothing is left, it is NaN; penalties are missing then.
        """
        names, values = list(self.losses), [value.clone() for value in self.losses.values()]
        self.team.add(values)
        self.losses = {}
        found = zip(names, values, strict=True)
        return {name: (total / count).item() for name, (total, count) in found if count > 0 or name not in PENALTIES}

    def _randoms(self, shard: int) -> Randoms:
        address = f"{self.state.num_steps}/{shard}" if shard else self.state.num_steps
        seed = derive_seed(self.config.seed, "step", address)
        device = torch.Generator(self.device).manual_seed(seed)
        return Randoms(device, device if self.device.type == "cpu" else torch.Generator().manual_seed(seed))

    def _enter(self, phase: Phase) -> None:
        """Set lod and learning rate; forget the moments when floor or ceil of the lod changes, as the official loop."""
        state, before = self.state, self.state.generator.synthesis.lod
        changed = (int(before), math.ceil(before)) != (int(phase.lod), math.ceil(phase.lod))
        for optimizer in (state.optimizer_d, state.optimizer_g):
            if state.num_steps and changed:
                optimizer.reset()
            optimizer.learning_rate = phase.learning_rate
        state.set_lod(phase.lod)

    def _fakes(self, phase: Phase, randoms: Randoms, w_mean: Tensor) -> Tensor:
        """Generated images of one shard at the present level; its share of the mean of w is added to `w_mean`."""
        generator, settings = self.state.generator, self.config.trainer
        count = phase.minibatch // settings.shards
        ws = self._map(count, randoms.device)
        w = ws[:, 0].detach().float()
        w_mean += w.mean(dim=0) / settings.shards
        if count > 1:
            self._note({"w_std": w.var(dim=0, correction=0).mean().sqrt()})
        draw, place = torch.rand(2, generator=randoms.host).tolist()
        layers_in_use = generator.num_ws - 2 * int(phase.lod)
        if draw < settings.mixing_prob and layers_in_use > 1 and generator.num_ws > 1:
            ws = mix_styles(ws, self._map(count, randoms.device), 1 + int(place * (layers_in_use - 1)))
        noise = generator.synthesis.draw_noise(count, randoms.device, self.device)
        fakes: Tensor = generator.synthesis(ws, "random", noise, full_resolution=False)
        return fakes.contiguous(memory_format=torch.channels_last)

    def _map(self, count: int, rng: torch.Generator) -> Tensor:
        z = torch.randn(count, self.state.generator.z_dim, generator=rng, device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            ws: Tensor = self.state.generator.mapping(z)
        return ws

    def _generator_step(self, phase: Phase, shards: list[Randoms]) -> None:
        state, settings = self.state, self.config.trainer
        w_mean = torch.zeros_like(state.generator.w_avg)
        state.discriminator.requires_grad_(False)
        state.optimizer_g.zero_grad()
        for randoms in shards:
            with self._mixed():
                scores = state.discriminator(self._fakes(phase, randoms, w_mean))
            loss = generator_objective(settings, scores).mean()
            state.optimizer_g.backward(loss / settings.shards)
            self._note({"loss_g": loss.detach()})
        state.discriminator.requires_grad_(True)
        self._update(state.optimizer_g, w_mean)

    def _discriminator_step(self, phase: Phase, shards: list[tuple[int, Randoms]]) -> None:
        state, settings = self.state, self.config.trainer
        w_mean = torch.zeros_like(state.generator.w_avg)
        penalised = state.num_steps % settings.r1_interval == 0
        state.optimizer_d.zero_grad()
        for shard, randoms in shards:
            with torch.no_grad(), self._mixed():
                fakes = self._fakes(phase, randoms, w_mean)
            with self._mixed():
                loss, shown = discriminator_objective(
                    settings,
                    state.discriminator,
                    self._batch(phase, shard, randoms.device, fakes),
                    weight=settings.r1_interval if penalised else 0,
                    scale=state.optimizer_d.loss_scale,
                )
            state.optimizer_d.backward(loss.mean() / settings.shards)
            self._note(shown)
        self._update(state.optimizer_d, w_mean)

    def _batch(self, phase: Phase, shard: int, rng: torch.Generator, fakes: Tensor) -> Batch:
        settings, count = self.config.trainer, len(fakes)
        flip = torch.rand(count, generator=rng, device=self.device) < 0.5 if settings.mirror else None
        part = slice(shard, phase.minibatch, settings.shards)
        reals = self.reals.batch(self.state.num_images, phase.minibatch, phase.lod, flip, part=part)
        mixing = fakes.new_empty(0)
        if settings.loss == "wgan-gp":
            mixing = torch.rand(count, 1, 1, 1, generator=rng, device=self.device)
        return Batch(reals, fakes.float(), mixing, level=int(phase.lod))

    def _update(self, optimizer: Adam, w_mean: Tensor) -> None:
        """Add up gradients and means of w over processes, then take the step and move w_avg."""
        self.team.add([*optimizer.gradients(), w_mean])
        optimizer.step()
        self.state.generator.track_mean_w(w_mean, self.config.trainer.w_avg_beta)

    def _note(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            noted = torch.stack([value, torch.ones_like(value)])
            if self.config.trainer.precision == "float16":
                noted = torch.where(value.isfinite(), noted, 0)
            self.losses[name] = self.losses[name] + noted if name in self.losses else noted

    def _mixed(self) -> torch.autocast:
        """Convolutions in half precision where the configuration asks for it."""
        dtype = LOW_PRECISION.get(self.config.trainer.precision)
        return torch.autocast(self.device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def _place(network: nn.Module, device: torch.device) -> None:
    network.to(device)
    network.to(memory_format=torch.channels_last)  # twice as fast on CPUs as the default layout
