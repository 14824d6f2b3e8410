"""How often intervals of the ratio of two separabilities exclude 1 although both are of the same network.

    python benchmarks/studies/separability_intervals.py [--pairs 100] [--samples 2000 --dims 64] [--attributes 10]

A network stands for its latents, z ~ N(0, I), and for log-odds that are linear in z plus as much noise, with shares of
positives from 10 to 90 %. Of each pair, both stores hold samples of the same network that are independent of each
other, so their true ratio is 1. Printed are the shares of pairs whose 95 % interval excludes it, with hyperplanes held
fixed (the bootstrap) and with hyperplanes refitted without each of ten groups (the grouped jackknife), and the mean
standard error of the refits over the ratios' true spread: above 1 errs on the safe side.
"""

import argparse
from dataclasses import replace

import numpy as np

from latentlab.cli.display import print_table
from latentlab.metrics.separability import SeparabilityScore, linear_separability
from latentlab.metrics.separability.stores import ratio_of

SETTINGS = ((1000, 8), (2000, 64), (8000, 64))
"""Samples and dimensions; half of the samples are kept."""


def network(dims: int, attributes: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions [D, A] and offsets [A] of a network's attributes."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(dims, attributes))
    return directions / np.linalg.norm(directions, axis=0), np.linspace(-1.8, 1.8, attributes)


def store(made: tuple[np.ndarray, np.ndarray], samples: int, number: int) -> SeparabilityScore:
    """The score of one store of a network."""
    rng = np.random.default_rng((1, number))
    directions, offsets = made
    z = rng.normal(size=(samples, len(directions))).astype(np.float32)
    logits = 4 * (z @ directions + offsets + rng.normal(size=(samples, len(offsets))))
    return linear_separability(z, logits, refits=10, seed=number)


def excludes_one(ci95: tuple[float, float]) -> bool:
    return not ci95[0] <= 1 <= ci95[1]


def judge(samples: int, dims: int, attributes: int, pairs: int) -> list[str]:
    """One row of the table."""
    made = network(dims, attributes)
    fixed, refitted, ratios, errors = [], [], [], []
    for pair in range(pairs):
        a, b = store(made, samples, 2 * pair), store(made, samples, 2 * pair + 1)
        anew = ratio_of(a, b)
        held = ratio_of(replace(a, refitted=a.refitted[:0]), replace(b, refitted=b.refitted[:0]))
        assert anew is not None
        assert held is not None
        fixed.append(excludes_one(held.ci95))
        refitted.append(excludes_one(anew.ci95))
        ratios.append(np.log2(anew.value))
        bits = a.refitted.sum(axis=1) - b.refitted.sum(axis=1)
        errors.append(0.9 * ((bits - bits.mean()) ** 2).sum())
    too_wide = np.sqrt(np.mean(errors) / np.mean(np.square(ratios)))
    return [
        f"{samples // 2:,}, {dims}",
        f"{samples / 2 / dims:.0f}",
        f"{100 * np.mean(fixed):.0f} %",
        f"{100 * np.mean(refitted):.0f} %",
        f"{too_wide:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--samples", type=int, help="with --dims: this setting alone")
    parser.add_argument("--dims", type=int)
    parser.add_argument("--attributes", type=int, default=10)
    chosen = parser.parse_args()
    settings = ((chosen.samples, chosen.dims),) if chosen.samples and chosen.dims else SETTINGS
    columns = [
        "kept, dimensions",
        "kept per dimension",
        "fixed exclude 1",
        "refits exclude 1",
        "error over true spread",
    ]
    for samples, dims in settings:
        row = judge(samples, dims, chosen.attributes, chosen.pairs)
        print_table(columns, [row], title=f"{chosen.pairs} pairs of stores, {chosen.attributes} attributes")


if __name__ == "__main__":
    main()
