"""Path lengths by finite differences and by the tangent, against differences in float64.

    python benchmarks/studies/tangent.py [NETWORK ...] [--classifiers FOLDER] [--pairs 64]

For each network (left out: one of random weights, 32 pixels) and each distance (LPIPS with VGG16 at random weights, and
classifiers if named), pairs in Z and W, full, without crop and with constant noise. The reference is a plain loop in
float64 with a step of 1e-5, whose own error is of the order of 1e-5. Printed are, for float32 differences of several
steps and for the tangent in float32 and bfloat16, the error of the mean over pairs, and that of a pair on average and
at most.
"""

import argparse
import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision

from attribute_classifiers.network import load_classifiers
from latentlab.checkpoint import load_generator
from latentlab.cli.display import print_table
from latentlab.latents import lerp, slerp
from latentlab.metrics.path_length import PathSettings, draws_of, path_lengths
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.perceptual import FeatureDistance, classifier_distance, lpips_distance

STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EXACT_STEP = 1e-5


def vgg() -> tuple[FeatureDistance, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """LPIPS with VGG16 at random weights, and the same in float64."""
    import lpips

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        trunk = torchvision.models.vgg16(weights=None)
        torch.save(trunk.state_dict(), Path(folder) / "vgg16-397923af.pth")
        ours = lpips_distance("vgg", weights_dir=folder)
    exact = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval().double()
    for name, tensor in exact.net.state_dict().items():
        tensor.copy_(trunk.state_dict()["features." + name.split(".", 1)[1]])
    return ours, lambda a, b: exact(a, b).flatten()


def classifiers(folder: str) -> tuple[FeatureDistance, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The distance on classifiers' features, and the same in float64."""
    exact = load_classifiers(folder)
    return classifier_distance(load_classifiers(folder)), classifier_distance(exact.double())


def reference(generator: Generator, distance: Callable[..., torch.Tensor], space: str, pairs: int) -> np.ndarray:
    """Central differences in float64 [pairs]."""
    exact, draws = copy.deepcopy(generator).double(), draws_of(generator, 0, noise=False)(slice(0, pairs))
    z0, z1, t = (x.double() for x in (draws.z0, draws.z1, draws.t))

    def images(t: torch.Tensor) -> torch.Tensor:
        ws = exact.mapping(slerp(z0, z1, t)) if space == "z" else lerp(*map(exact.mapping, (z0, z1)), t[:, :, None])
        return exact.synthesis(ws, noise_mode="const")

    with torch.no_grad():
        found = distance(images(t - EXACT_STEP / 2), images(t + EXACT_STEP / 2)) / EXACT_STEP**2
    return found.numpy()


def row(name: str, found: np.ndarray, exact: np.ndarray) -> list[str]:
    each = np.abs(found / exact - 1)
    mean = f"{100 * (found.mean() / exact.mean() - 1):+.3f} %"
    return [name, mean, f"{100 * each.mean():.3f} %", f"{100 * each.max():.2f} %"]


def compare(generator: Generator, distances: tuple, space: str, pairs: int, title: str) -> None:
    ours, exact_distance = distances
    exact = reference(generator, exact_distance, space, pairs)
    how = {"crop": False, "noise_mode": "const"}
    ways = {f"differences, float32, {step:g}": PathSettings(space, "full", step, **how) for step in STEPS}
    for precision in ("float32", "bfloat16"):
        ways[f"tangent, {precision}"] = PathSettings(space, "full", method="tangent", precision=precision, **how)
    rows = [row(name, path_lengths(generator, ours, way, num_samples=pairs), exact) for name, way in ways.items()]
    print_table(["", "mean is off by", "a pair on average", "at most"], rows, title=f"{title}: {exact.mean():.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--classifiers")
    parser.add_argument("--pairs", type=int, default=64)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {Path(name).name: load_generator(name)[0] for name in chosen.networks}
    if not found:
        config = GeneratorConfig(resolution=32, fmap_base=512, fmap_max=64, z_dim=64, w_dim=64, mapping_fmaps=64)
        found["random weights"] = initialised(lambda: Generator(config), 0)
    distances = {"LPIPS": vgg()} | ({"classifiers": classifiers(chosen.classifiers)} if chosen.classifiers else {})
    for name, generator in found.items():
        generator.eval().requires_grad_(False)
        for kind, pair in distances.items():
            for space in "zw":
                compare(generator, pair, space, chosen.pairs, f"{name}, {kind}, {space.upper()}")


if __name__ == "__main__":
    main()
