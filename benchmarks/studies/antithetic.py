"""Whether antithetic latents narrow the interval of a path length.

    python benchmarks/studies/antithetic.py NETWORK --classifiers FOLDER [--pairs 4000]

Each pair's length is measured at (z0, z1, t) and at (-z0, -z1, t), by the tangent on the classifiers' features. The
mean of two antithetic lengths has 1 + rho times the variance of the mean of two independent ones, rho their
correlation: a gain if it is well below 0. Quasi-random latents gain where lengths are nearly sums of functions of
single coordinates; the share of the variance of log lengths that linear and quadratic functions of the coordinates
explain (of held-out pairs; below 0: none) says how near.
"""

import argparse

import numpy as np

from attribute_classifiers.network import load_classifiers
from latentlab.checkpoint import load_generator
from latentlab.cli.display import print_table
from latentlab.metrics.path_length import Draws, PathSettings, draws_of, path_lengths
from latentlab.perceptual import classifier_distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--classifiers", required=True)
    parser.add_argument("--pairs", type=int, default=4000)
    chosen = parser.parse_args()
    generator = load_generator(chosen.network)[0].eval().requires_grad_(False)
    distance, count = classifier_distance(load_classifiers(chosen.classifiers)), chosen.pairs
    drawn = draws_of(generator, 0, noise=True)

    def negated(rows: slice) -> Draws:
        draws = drawn(rows)
        return Draws(-draws.z0, -draws.z1, draws.t, draws.noise)

    draws = drawn(slice(0, count))
    z0, z1, t = (x.numpy().astype(np.float64) for x in (draws.z0, draws.z1, draws.t))
    known = np.column_stack([np.ones(count), t, (z0 * z1).sum(1), z0, z1, z0**2, z1**2])
    rows = []
    for space in ("z", "w"):
        for sampling in ("full", "end"):
            settings = PathSettings(space, sampling, crop=False, method="tangent")
            here, there = (
                np.log(path_lengths(generator, distance, settings, num_samples=count, draws=how))
                for how in (drawn, negated)
            )
            rho = np.corrcoef(np.exp(here), np.exp(there))[0, 1]
            half = count // 2
            weights = np.linalg.lstsq(known[:half], here[:half], rcond=None)[0]
            left = here[half:] - known[half:] @ weights
            rows.append([settings.metric, f"{rho:+.3f}", f"{1 - left.var() / here[half:].var():+.3f}"])
    print_table(["metric", "correlation of antithetic lengths", "variance explained"], rows, title=f"{count} pairs")


if __name__ == "__main__":
    main()
