"""One run of training in single steps: generator, discriminator, average.

Every random number of step k is a function of (seed, k), and image order of (seed, epoch): a run that was killed and
resumed does what an undisturbed one does.
"""

import math

import torch
from torch import Tensor, nn

from latentlab.networks import Discriminator, Generator, initialised
from latentlab.randomness import derive_seed
from trainers.ema import decay, update_average
from trainers.losses import discriminator_loss, generator_loss, gradient_penalty
from trainers.presets import RunConfig
from trainers.reals import ImageSource, Reals
from trainers.schedule import Phase, phase_at
from trainers.snapshots import TrainingState, make_adam


def mix_styles(ws: Tensor, ws2: Tensor, cutoff: int) -> Tensor:
    """Style mixing (paper, section 3.1): layers from `cutoff` on take the second latents. [N, L, D] each."""
    return torch.cat([ws[:, :cutoff], ws2[:, cutoff:]], dim=1)


def step_if_finite(optimizer: torch.optim.Optimizer) -> bool:
    """Take the step, unless a gradient is not finite: then it is skipped as a whole (official tflib.Optimizer)."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    finite = bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())
    if finite:
        optimizer.step()
    return finite


class Trainer:
    """One run: networks, optimisers and data, and the single steps."""

    def __init__(self, config: RunConfig, source: ImageSource, device: torch.device) -> None:
        self.config, self.device = config, device
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
            optimizer_g=make_adam(generator, config.training),
            optimizer_d=make_adam(discriminator, config.training),
        )
        self.losses: dict[str, Tensor] = {}

    def _generator(self) -> Generator:
        return initialised(lambda: Generator(self.config.generator), derive_seed(self.config.seed, "generator"))

    @property
    def total_images(self) -> int:
        """Real images the run is to be trained with."""
        return round(self.config.training.total_kimg * 1000)

    def phase(self) -> Phase:
        """Where the schedule stands now."""
        return phase_at(self.config.training.schedule, self.config.generator.resolution, self.state.num_images)

    def step(self) -> None:
        """Generator, then discriminator and average, with one minibatch (official training loop, repeats of 1)."""
        phase, state, settings = self.phase(), self.state, self.config.training
        self._enter(phase)
        rng = torch.Generator(self.device).manual_seed(derive_seed(self.config.seed, "step", state.num_steps))
        self._generator_step(phase, rng)
        self._discriminator_step(phase, rng)
        update_average(state.average, state.generator, decay(phase.minibatch, settings.ema_half_life_kimg))
        state.num_images += phase.minibatch
        state.num_steps += 1

    def _enter(self, phase: Phase) -> None:
        """Set lod and learning rate; forget the moments when floor or ceil of the lod changes, as the official loop."""
        state, before = self.state, self.state.generator.synthesis.lod
        if state.num_steps and (int(before), math.ceil(before)) != (int(phase.lod), math.ceil(phase.lod)):
            for optimizer in (state.optimizer_g, state.optimizer_d):
                optimizer.state.clear()
        state.set_lod(phase.lod)
        for optimizer in (state.optimizer_g, state.optimizer_d):
            optimizer.param_groups[0]["lr"] = phase.learning_rate

    def _fakes(self, phase: Phase, rng: torch.Generator) -> Tensor:
        generator, settings = self.state.generator, self.config.training
        shape = (phase.minibatch, generator.z_dim)
        ws = generator.mapping(torch.randn(shape, generator=rng, device=self.device))
        generator.track_w(ws, settings.w_avg_beta)
        draw, place = torch.rand(2, generator=rng, device=self.device).tolist()
        layers_in_use = generator.num_ws - 2 * int(phase.lod)
        if draw < settings.mixing_prob and layers_in_use > 1 and generator.num_ws > 1:
            ws2 = generator.mapping(torch.randn(shape, generator=rng, device=self.device))
            ws = mix_styles(ws, ws2, 1 + int(place * (layers_in_use - 1)))
        noise = generator.synthesis.draw_noise(phase.minibatch, rng, self.device)
        fakes: Tensor = generator.synthesis(ws, "random", noise, full_resolution=False)
        return fakes.contiguous(memory_format=torch.channels_last)

    def _generator_step(self, phase: Phase, rng: torch.Generator) -> None:
        state = self.state
        state.discriminator.requires_grad_(False)
        loss = generator_loss(state.discriminator(self._fakes(phase, rng))).mean()
        state.optimizer_g.zero_grad()
        loss.backward()
        step_if_finite(state.optimizer_g)
        state.discriminator.requires_grad_(True)
        self.losses["loss_g"] = loss.detach()

    def _discriminator_step(self, phase: Phase, rng: torch.Generator) -> None:
        state, settings = self.state, self.config.training
        with torch.no_grad():
            fakes = self._fakes(phase, rng)
        flip = torch.rand(phase.minibatch, generator=rng, device=self.device) < 0.5 if settings.mirror else None
        reals = self.reals.batch(state.num_images, phase.minibatch, phase.lod, flip)
        penalised = settings.r1_gamma > 0 and state.num_steps % settings.r1_interval == 0
        reals.requires_grad_(penalised)
        scores_real, scores_fake = state.discriminator(reals), state.discriminator(fakes)
        loss = discriminator_loss(scores_real, scores_fake).mean()
        self.losses |= {"loss_d": loss.detach(), "scores_real": scores_real.detach().mean()}
        self.losses["scores_fake"] = scores_fake.detach().mean()
        if penalised:
            # The penalty belongs to the image at full size, where 4^level equal pixels share one pixel's gradient.
            penalty = gradient_penalty(scores_real, reals).mean() / 4 ** int(phase.lod)
            loss = loss + penalty * (settings.r1_gamma / 2 * settings.r1_interval)
            self.losses["r1"] = penalty.detach()
        state.optimizer_d.zero_grad()
        loss.backward()
        step_if_finite(state.optimizer_d)


def _place(network: nn.Module, device: torch.device) -> None:
    network.to(device)
    network.to(memory_format=torch.channels_last)  # twice as fast on CPUs as the default layout
