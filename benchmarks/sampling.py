"""`latentlab sample` beside a bare loop over the same forward passes, which writes nothing.

    python benchmarks/sampling.py [--resolution 64] [--rows 8192] [--device cuda]

The bare loop draws z and noise with torch.randn, runs mapping, synthesis and classifiers of the presets `quick` under
torch.inference_mode with all threads, and throws the results away; it is measured at several batch sizes, of which the
fastest counts. LatentLab's rows are functions of (seed, number) alone, and are written to a store. Every way has a
process of its own, all with the memory settings of LatentLab's command line, and all are measured in turns; ratios are
medians over the turns.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from common.turns import measured, table

from attribute_classifiers.network import AttributeClassifiers, initialise
from attribute_classifiers.presets import preset
from latentlab.cli.display import print_table
from latentlab.networks import Generator, initialised
from latentlab.results import NetworkName
from latentlab.sampling import sample
from trainers.config import DatasetRecord
from trainers.presets import Choice, run_config


class Ways:
    """Untrained networks of the quick presets; weights do not matter to speed. Each method is a way, and is timed."""

    def __init__(self, resolution: int, trunk: str, rows: int, device: str, folder: str) -> None:
        record = DatasetRecord(name="none", fingerprint="", num_images=1000, resolution=resolution)
        config = run_config(Choice(preset="quick"), dataset=record).generator
        self.rows, self.device, self.folder = rows, torch.device(device), Path(folder)
        self.generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False).to(self.device)
        classifiers = AttributeClassifiers(preset("quick", resolution=resolution, trunk=trunk))
        self.classifiers = initialise(classifiers, 0).eval().requires_grad_(False).to(self.device)
        for network in (self.generator, self.classifiers):
            network.to(memory_format=torch.channels_last)

    def bare_16(self) -> None:
        self._bare(16)

    def bare_64(self) -> None:
        self._bare(64)

    def bare_256(self) -> None:
        self._bare(256)

    def sample(self, *, images: bool = False) -> None:
        path = self.folder / f"{time.monotonic_ns()}.h5"
        sample(
            self.generator,
            path,
            network=NetworkName(name="untrained", sha256="0"),
            labeller=self.classifiers,
            num_samples=self.rows,
            with_images=images,
            device=self.device,
        )
        path.unlink()

    def sample_images(self) -> None:
        self.sample(images=True)

    @torch.inference_mode()
    def _bare(self, batch: int) -> None:
        for _ in range(0, self.rows, batch):
            z = torch.randn(batch, self.generator.z_dim, device=self.device)
            images = self.generator.synthesis(self.generator.mapping(z), noise_mode="random")
            self.classifiers(images)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


WAYS = {
    "bare loop, batches of 16": ("bare_16", True),
    "bare loop, batches of 64": ("bare_64", True),
    "bare loop, batches of 256": ("bare_256", True),
    "latentlab sample": ("sample", True),
    "latentlab sample --images": ("sample_images", True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--rows", type=int, default=12288)
    parser.add_argument("--trunk", choices=("shared", "separate"), default="shared")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options.resolution, options.trunk, options.rows, options.device, folder)
        speeds = measured(Ways, arguments, WAYS, options.rows)
    bare = [max(turn) for turn in zip(*(speeds[name] for name in WAYS if name.startswith("bare")), strict=True)]
    where = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    title = f"{options.rows:,} rows at {options.resolution} px, {options.trunk} trunk ({where})"
    print_table(["", "rows/s", "to the fastest bare loop", "range"], table(speeds, bare), title=title)


if __name__ == "__main__":
    main()
