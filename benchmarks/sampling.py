"""`latentlab sample` beside a bare loop over the same forward passes, which writes nothing.

    python benchmarks/sampling.py [--resolution 64] [--rows 8192] [--device cuda]

The bare loop draws z and noise with torch.randn, runs mapping, synthesis and classifiers of the presets `quick` under
torch.inference_mode with all threads, and throws the results away; it is measured at several batch sizes, of which the
fastest counts. LatentLab's rows are functions of (seed, number) alone, and are written to a store. All are measured in
turns within one process, with the memory settings of the command line for all; ratios are medians over the turns.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common.turns import measured, table

from attribute_classifiers.network import AttributeClassifiers, initialise
from attribute_classifiers.presets import preset
from latentlab.cli.display import print_table
from latentlab.memory import keep_freed_memory
from latentlab.networks import Generator, initialised
from latentlab.results import NetworkName
from latentlab.sampling import sample
from trainers.config import DatasetRecord
from trainers.presets import Choice, run_config

BATCHES = (16, 64, 256)


class Networks:
    """Untrained networks of the quick presets; weights do not matter to speed."""

    def __init__(self, resolution: int, trunk: str, device: torch.device) -> None:
        record = DatasetRecord(name="none", fingerprint="", num_images=1000, resolution=resolution)
        config = run_config(Choice(preset="quick"), dataset=record).generator
        self.generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False).to(device)
        classifiers = AttributeClassifiers(preset("quick", resolution=resolution, trunk=trunk))
        self.classifiers = initialise(classifiers, 0).eval().requires_grad_(False).to(device)
        for network in (self.generator, self.classifiers):
            network.to(memory_format=torch.channels_last)
        self.device = device

    @torch.inference_mode()
    def bare(self, rows: int, batch: int) -> None:
        for _ in range(0, rows, batch):
            z = torch.randn(batch, self.generator.z_dim, device=self.device)
            images = self.generator.synthesis(self.generator.mapping(z), noise_mode="random")
            self.classifiers(images)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def sample(self, rows: int, folder: Path, *, images: bool) -> None:
        sample(
            self.generator,
            folder / f"{time.monotonic_ns()}.h5",
            network=NetworkName(name="untrained", sha256="0"),
            labeller=self.classifiers,
            num_samples=rows,
            with_images=images,
            device=self.device,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--trunk", choices=("shared", "separate"), default="shared")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    networks = Networks(options.resolution, options.trunk, torch.device(options.device))
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], None]] = {
            f"bare loop, batches of {batch}": lambda batch=batch: networks.bare(options.rows, batch)
            for batch in BATCHES
        }
        for images in (False, True):
            name = f"latentlab sample{' --images' * images}"
            ways[name] = lambda images=images: networks.sample(options.rows, Path(folder), images=images)
        speeds = measured(ways, options.rows)
    bare = [max(turn) for turn in zip(*(speeds[name] for name in ways if name.startswith("bare")), strict=True)]
    where = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    title = f"{options.rows:,} rows at {options.resolution} px, {options.trunk} trunk ({where})"
    print_table(["", "rows/s", "to the fastest bare loop", "range"], table(speeds, bare), title=title)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
