"""Path lengths by LatentLab beside torchmetrics, torch-fidelity and a plain loop of the published algorithm.

    python benchmarks/ppl.py [--pairs 128] [--resolution 64] [--device cuda]

The same style-based generator (that of the preset `small`, at random weights, constant noise), the same distance (LPIPS
with VGG16, at random weights; torch-fidelity and torchmetrics read them from files of their own form) and the same
number of pairs, under the two peers' protocol: Z at its start, straight steps of 1e-4, images of 64 pixels.
Networks are made before. Every way has a process of its own, LatentLab's with the memory settings of its command line,
and all are measured in turns. Ratios are medians over the turns, to the plain loop and to the faster of the two peers.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path

import lpips
import numpy as np
import torch
import torch_fidelity
import torchvision
from common.turns import measured, table
from torch import nn
from torch_fidelity.sample_similarity_base import SampleSimilarityBase
from torch_fidelity.sample_similarity_lpips import URL_VGG16_LPIPS, SampleSimilarityLPIPS
from torchmetrics.functional.image import perceptual_path_length as torchmetrics_ppl
from torchmetrics.functional.image.lpips import _LPIPS

from latentlab.cli.display import print_table
from latentlab.metrics.path_length import PathSettings, path_lengths
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.perceptual import lpips_distance
from latentlab.protocols import full_precision

EPSILON = 1e-4
VGG = "vgg16-397923af.pth"


def make_weights(folder: Path) -> None:
    """VGG16 at random weights, and LPIPS's heads, under the names that all three look for."""
    weights = folder / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.vgg16(weights=None).state_dict(), weights / VGG)
    heads = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth", map_location="cpu", weights_only=True
    )
    torch.save(heads, weights / URL_VGG16_LPIPS.rsplit("/", 1)[1])


class OnZ(nn.Module):
    """The generator as the two peers want it: z -> images from 0 to 255."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def sample(self, count: int) -> torch.Tensor:
        return torch.randn(count, self.generator.z_dim)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (self.generator(z, noise_mode="const") + 1) * 127.5


class Ways:
    """Each method measures all pairs once, and is timed."""

    def __init__(self, folder: str, resolution: int, pairs: int, batch: int, device: str) -> None:
        warnings.simplefilter("ignore")
        torch.hub.set_dir(str(Path(folder) / "hub"))
        config = GeneratorConfig(
            resolution=resolution, fmap_base=1024, fmap_max=128, z_dim=64, w_dim=64, mapping_fmaps=64
        )
        self.generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False).to(device)
        self.pairs, self.batch, self.device = pairs, batch, device
        self.cuda = device.startswith("cuda")
        self.made: dict[str, object] = {}

    def plain(self) -> None:
        """What one writes from the paper: both images of a pair through lpips, in batches."""
        distance = self._once("plain", lambda: lpips.LPIPS(net="vgg", verbose=False).eval().to(self.device))
        found = []
        with torch.no_grad(), full_precision():
            for start in range(0, self.pairs, self.batch):
                count = min(self.batch, self.pairs - start)
                z0, z1 = torch.randn(2, count, self.generator.z_dim, device=self.device)
                images = self.generator(torch.cat([z0, z0 + (z1 - z0) * EPSILON]), noise_mode="const")
                size = (64, 64)
                mode = {"mode": "area"} if images.shape[-1] > 64 else {"mode": "bilinear", "align_corners": False}
                before, after = torch.nn.functional.interpolate(images, size, **mode).chunk(2)
                found.append(distance(before, after).flatten().cpu() / EPSILON**2)
        values = torch.cat(found).numpy()
        low, high = np.percentile(values, 1, method="lower"), np.percentile(values, 99, method="higher")
        values[(values >= low) & (values <= high)].mean()

    def torchmetrics(self) -> None:
        network = self._once("torchmetrics", lambda: _LPIPS(pretrained=True, net="vgg", resize=64))
        with full_precision():
            torchmetrics_ppl(
                OnZ(self.generator), self.pairs, batch_size=self.batch, sim_net=network, device=self.device
            )

    def torch_fidelity(self) -> None:
        similarity = self._once("fidelity", lambda: SampleSimilarityLPIPS("inner", sample_similarity_resize=64))

        class Made(SampleSimilarityBase):
            def __init__(self, name: str, **_: object) -> None:
                super().__init__(name)
                self.inner = similarity

            def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return self.inner(a, b)

        if "registered" not in self.made:
            torch_fidelity.register_sample_similarity("made", Made)
            self.made["registered"] = True
        with full_precision():
            torch_fidelity.calculate_metrics(
                input1=torch_fidelity.GenerativeModelModuleWrapper(
                    OnZ(self.generator), self.generator.z_dim, "normal", 0
                ),
                input1_model_num_samples=self.pairs,
                ppl=True,
                ppl_sample_similarity="made",
                ppl_sample_similarity_dtype="float32",
                ppl_discard_percentile_lower=None,
                ppl_discard_percentile_higher=None,
                batch_size=self.batch,
                cuda=self.cuda,
                verbose=False,
            )

    def differences(self) -> None:
        self._ours("differences", "float32")

    def tangent(self) -> None:
        self._ours("tangent", "float32")

    def tangent_tf32(self) -> None:
        self._ours("tangent", "tf32")

    def tangent_bfloat16(self) -> None:
        self._ours("tangent", "bfloat16")

    def _ours(self, method: str, precision: str) -> None:
        distance = self._once("ours", lambda: lpips_distance("vgg", device=self.device))
        self.generator.to(memory_format=torch.channels_last)  # as `load_generator` lays out networks
        settings = PathSettings(
            "z", "end", protocol="torchmetrics", noise_mode="const", method=method, precision=precision
        )
        path_lengths(
            self.generator, distance, settings, num_samples=self.pairs, batch_size=self.batch, device=self.device
        )

    def _once(self, name: str, make: object) -> object:
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]


WAYS = {
    "plain loop": ("plain", False),
    "torchmetrics": ("torchmetrics", False),
    "torch-fidelity": ("torch_fidelity", False),
    "LatentLab, differences": ("differences", True),
    "LatentLab, tangent": ("tangent", True),
    "LatentLab, tangent, bfloat16": ("tangent_bfloat16", True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ways = dict(WAYS)
    if options.device.startswith("cuda"):
        ways["LatentLab, tangent, TF32"] = ("tangent_tf32", True)
    with tempfile.TemporaryDirectory() as folder:
        make_weights(Path(folder))
        arguments = (folder, options.resolution, options.pairs, options.batch, options.device)
        speeds = measured(Ways, arguments, ways, options.pairs)
    peer = [max(pair) for pair in zip(speeds["torchmetrics"], speeds["torch-fidelity"], strict=True)]
    rows = [
        [*plain, *best[2:]]
        for plain, best in zip(table(speeds, speeds["plain loop"], 2), table(speeds, peer), strict=True)
    ]
    where = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    title = f"{options.pairs} pairs of {options.resolution} px, batches of {options.batch} ({where})"
    print_table(["", "pairs/s", "to the loop", "range", "to the best peer", "range"], rows, title=title)


if __name__ == "__main__":
    main()
