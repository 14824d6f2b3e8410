"""Training steps: LatentLab's trainer beside the loop that one would write first, over the same networks.

The plain loop is eager float32 in torch's default layout with torch.optim.Adam, at full resolution, with the same
minibatch, losses, style mixing, R1 interval and generator average. It is measured twice: over LatentLab's own modules
("same modules": what the trainer gains), and with their operations written out as the paper describes them, upscaling
before a convolution, a blur, torch's variance, autograd's derivatives ("plain modules": what a user gains). Both give
the same numbers, which is checked first. Every loop has a process of its own, LatentLab's with the memory settings of
its command line, and all are measured in turns within one run, so that a machine that slows down slows all of them;
ratios are medians over the turns.

Memory per image is what autograd keeps of one image in the larger of the two half steps (trainers/plan.py); it depends
on the networks alone, so it can be given for sizes that this machine could not train.

With --schedule, instead: images per second in every phase of a training, and how long the whole would take.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from latentlab import networks
from latentlab.cli.display import print_table
from latentlab.memory import keep_freed_memory
from latentlab.networks import Discriminator, Generator
from trainers.config import DatasetRecord, RunConfig
from trainers.losses import discriminator_loss, generator_loss, gradient_penalty
from trainers.plan import plan
from trainers.presets import Choice, run_config
from trainers.schedule import phase_at, phases
from trainers.trainer import Trainer, mix_styles

IMAGES = 256
FULLY_GROWN = 10**12  # images; any schedule has ended by then
TURNS = 9


@dataclass(frozen=True)
class Case:
    preset: str
    resolution: int
    r1_interval: int

    def config(self, precision: str = "float32") -> RunConfig:
        record = DatasetRecord(name="noise", fingerprint="", num_images=IMAGES, resolution=self.resolution)
        fields = (("trainer.r1_interval", self.r1_interval),)
        return run_config(Choice(preset=self.preset, precision=precision, fields=fields), dataset=record)


class Noise:
    """Images of random pixels, in memory."""

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        shape = (IMAGES, resolution, resolution, 3)
        self.pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def __len__(self) -> int:
        return IMAGES

    def images(self, indices: np.ndarray) -> np.ndarray:
        return self.pixels[indices]


class PlainLoop:
    """Training as one would first write it."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.config, self.device = config.trainer, device
        self.g, self.average = Generator(config.generator).to(device), Generator(config.generator).to(device)
        self.d = Discriminator(config.discriminator).to(device)
        rate = config.trainer.schedule.learning_rate_base
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.99), eps=1e-8) for network in (self.g, self.d)
        )
        self.data = torch.from_numpy(Noise(config.generator.resolution).pixels)
        self.batch = config.trainer.schedule.minibatch_base
        self.steps = 0

    def fakes(self) -> torch.Tensor:
        ws = self.g.mapping(torch.randn(self.batch, self.g.z_dim, device=self.device))
        if torch.rand(()) < self.config.mixing_prob:
            ws2 = self.g.mapping(torch.randn(self.batch, self.g.z_dim, device=self.device))
            ws = mix_styles(ws, ws2, int(torch.randint(1, self.g.num_ws, ())))
        self.g.track_w(ws)
        return self.g.synthesis(ws)

    def step(self) -> None:
        reals = self.data[torch.randint(len(self.data), (self.batch,))].to(self.device)
        reals = reals.permute(0, 3, 1, 2).float() / 127.5 - 1
        flip = torch.rand(self.batch, device=self.device) < 0.5
        reals = torch.where(flip[:, None, None, None], reals.flip(3), reals).requires_grad_(True)
        with torch.no_grad():
            fakes = self.fakes()
        scores = self.d(reals)
        loss = discriminator_loss(scores, self.d(fakes)).mean()
        if self.steps % self.config.r1_interval == 0:
            weight = self.config.r1_gamma / 2 * self.config.r1_interval
            loss = loss + weight * gradient_penalty(scores, reals).mean()
        self._descend(self.adam_d, loss)
        with torch.no_grad():
            for old, new in zip(self.average.parameters(), self.g.parameters(), strict=True):
                old.lerp_(new, 0.002)
        self._descend(self.adam_g, generator_loss(self.d(self.fakes())).mean())
        self.steps += 1

    @staticmethod
    def _descend(adam: torch.optim.Adam, loss: torch.Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()


def plain_conv(self: networks.Conv, x: torch.Tensor, *, add_bias: bool = False) -> torch.Tensor:
    """Upscale, then convolve; or convolve, then average."""
    weight = self.weight * self.scale
    if self.resample == "up":
        weight = weight if self.rotate else weight.flip(2, 3)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    if self.resample == "down":
        x = F.avg_pool2d(x, 2)
    return x + self.bias.reshape(1, -1, 1, 1) if add_bias else x


def plain_blur(x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    line = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    return F.conv2d(x, torch.outer(line, line).repeat(x.shape[1], 1, 1, 1), bias, padding=1, groups=x.shape[1])


def plain_layer(
    self: networks.SynthesisLayer, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None
) -> torch.Tensor:
    """One layer of a style-based generator, an operation at a time."""
    x = self.source(x)
    if self.blur:
        x = plain_blur(x)
    if self.noise_strength is not None and noise is not None:
        x = x + noise * self.noise_strength.reshape(1, -1, 1, 1)
    x = F.leaky_relu(x + self.source.bias.reshape(1, -1, 1, 1), 0.2)
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / torch.sqrt(x.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
    scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
    return x * (scale + 1) + shift


@contextmanager
def plain_modules() -> Iterator[None]:
    with (
        mock.patch.object(networks.Conv, "forward", plain_conv),
        mock.patch.object(networks.SynthesisLayer, "forward", plain_layer),
        mock.patch.object(networks, "blur", plain_blur),
        mock.patch.object(networks, "activated", lambda x: F.leaky_relu(x, 0.2)),
    ):
        yield


class PlainModules(PlainLoop):
    """The plain loop with plain modules."""

    def step(self) -> None:
        with plain_modules():
            super().step()


def check_modules_agree(case: Case) -> None:
    """Plain modules are the same networks: same images, same scores."""
    config = case.config()
    generator, discriminator = Generator(config.generator), Discriminator(config.discriminator)
    z = torch.randn(4, generator.z_dim)
    with torch.no_grad():
        ours = generator(z, noise_mode="const")
        scores = discriminator(ours)
        with plain_modules():
            torch.testing.assert_close(generator(z, noise_mode="const"), ours, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(discriminator(ours), scores, rtol=1e-3, atol=1e-4)


class Ours:
    """LatentLab's trainer, fully grown, or wherever `num_images` is in the schedule."""

    def __init__(self, config: RunConfig, device: torch.device, num_images: int = FULLY_GROWN) -> None:
        self.trainer = Trainer(config, Noise(config.generator.resolution), device)
        self.num_images = num_images
        self.batch = phase_at(config.trainer.schedule, config.generator.resolution, num_images).minibatch

    def step(self) -> None:
        self.trainer.state.num_images = self.num_images
        self.trainer.step()


def images_per_second(loop: PlainLoop | Ours, steps: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(steps):
        loop.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return steps * loop.batch / (time.perf_counter() - started)


LOOPS = ("plain modules", "same modules", "float32", "bfloat16")


def serve(connection: Connection, name: str, case: Case, device: str) -> None:
    """A process with one loop: takes numbers of steps, gives images per second."""
    place = torch.device(device)
    if name == "plain modules":
        loop: PlainLoop | Ours = PlainModules(case.config(), place)
    elif name == "same modules":
        loop = PlainLoop(case.config(), place)
    else:
        keep_freed_memory()
        loop = Ours(case.config(name), place)
    for steps in iter(connection.recv, None):
        connection.send(images_per_second(loop, steps, place))


@contextmanager
def loops(case: Case, device: torch.device) -> Iterator[dict[str, Connection]]:
    context, connections = multiprocessing.get_context("spawn"), {}
    processes = []
    for name in LOOPS:
        connections[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, name, case, str(device)), daemon=True))
        processes[-1].start()
    yield connections
    for connection, process in zip(connections.values(), processes, strict=True):
        connection.send(None)
        process.join()


def speed_of(connection: Connection, steps: int) -> float:
    connection.send(steps)
    return float(connection.recv())


def measure(case: Case, device: torch.device, seconds: float) -> list[str]:
    check_modules_agree(case)
    speeds: dict[str, list[float]] = {name: [] for name in LOOPS}
    with loops(case, device) as connections:
        for connection in connections.values():
            speed_of(connection, 2 * case.r1_interval)  # the first steps cost more
        steps = case.r1_interval
        for connection in connections.values():
            speed = speed_of(connection, steps)
        batch = case.config().trainer.schedule.minibatch_base
        steps *= max(round(seconds / TURNS * speed / (steps * batch)), 1)
        for _ in range(TURNS):
            for name, connection in connections.items():
                speeds[name].append(speed_of(connection, steps))
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    ratios = [
        statistics.median(ours / plain for ours, plain in zip(speeds[name], speeds[peer], strict=True))
        for name in LOOPS[2:]
        for peer in LOOPS[:2]
    ]
    return [
        f"{case.preset}, {case.resolution} px",
        "every step" if case.r1_interval == 1 else f"every {case.r1_interval}th",
        *(f"{middle[name]:,.0f}" for name in LOOPS),
        *(f"{ratio:.2f}" for ratio in ratios),
    ]


def schedule_rows(choice: Choice, resolution: int, device: torch.device, seconds: float) -> list[list[str]]:
    """Images per second in every phase, its share of the time, and the sum."""
    keep_freed_memory()
    record = DatasetRecord(name="noise", fingerprint="", num_images=10**6, resolution=resolution)
    config = run_config(choice, dataset=record)
    rows, total = [], 0.0
    for phase in phases(config.trainer.schedule, resolution, config.trainer.total_kimg):
        loop = Ours(config, device, round((phase.start_kimg + phase.end_kimg) * 500))
        steps = 2 * config.trainer.r1_interval
        images_per_second(loop, steps, device)
        speed = images_per_second(loop, steps, device)
        steps *= max(round(seconds * speed / (steps * loop.batch)), 1)
        speed = images_per_second(loop, steps, device)
        hours = (phase.end_kimg - phase.start_kimg) * 1000 / speed / 3600
        total += hours
        name = f"{phase.resolution}{' fading in' if phase.fading else ''}"
        kimg = f"{phase.end_kimg - phase.start_kimg:,g}"
        rows.append([name, f"{phase.minibatch}", kimg, f"{speed:,.0f}", f"{hours:,.2f}"])
    return [*rows, ["in all", "", f"{config.trainer.total_kimg:,g}", "", f"{total:,.2f}"]]


def memory_rows() -> list[list[str]]:
    rows = []
    for resolution in (256, 1024):
        record = DatasetRecord(name="noise", fingerprint="", num_images=10**6, resolution=resolution)
        for precision in ("float32", "bfloat16"):
            needs = plan(run_config(Choice(preset="paper", precision=precision), dataset=record))[-1]
            rows.append([f"paper, {resolution} px, {precision}", f"{needs.memory_per_image / 2**20:,.0f} MiB"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each loop and case")
    parser.add_argument("--schedule", action="store_true", help="measure the phases of one training")
    parser.add_argument("--config", default="F", help="with --schedule: A to F")
    parser.add_argument("--preset", default="paper", help="with --schedule: quick, small or paper")
    parser.add_argument("--resolution", type=int, default=1024, help="with --schedule")
    parser.add_argument("--precision", default="bfloat16", help="with --schedule")
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}, {os.cpu_count()} cores")
    if options.schedule:
        choice = Choice(config=options.config, preset=options.preset, precision=options.precision)
        columns = ["pixels", "minibatch", "kimg", "images/s", "hours"]
        title = f"configuration {options.config}, preset {options.preset}, {options.precision}"
        print_table(columns, schedule_rows(choice, options.resolution, device, options.seconds), title=title)
        return
    cases = [
        Case("quick", 32, 1),
        Case("quick", 64, 1),
        Case("quick", 32, 8),
        Case("quick", 64, 8),
        Case("small", 32, 1),
    ]
    if device.type == "cuda":
        cases = [Case("paper", resolution, interval) for resolution in (64, 256) for interval in (1, 8)]
    columns = ["networks", "R1", *LOOPS, "float32 / plain", "/ same", "bfloat16 / plain", "/ same"]
    title = "images per second, and their ratios"
    print_table(columns, [measure(case, device, options.seconds) for case in cases], title=title)
    print_table(["memory that one image takes in training", ""], memory_rows())


if __name__ == "__main__":
    main()
