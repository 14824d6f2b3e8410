"""How far labels, and the separability computed from them, depend on the classifiers: stores of the same samples.

    latentlab sample --network N --classifiers shared --images --out a.h5
    latentlab label a.h5 --classifiers separate --out b.h5
    python benchmarks/studies/trunks.py a.h5 b.h5 [...]

The first store is what the others are compared with. For each of them: how many labels agree, the same for the half of
the samples of which either is most confident (those that separability keeps), the correlation of the log-odds, and
the separability over the attributes that are valid for all stores, in Z and in W: the score, and the mean share of an
attribute's entropy that the SVM leaves, H(Y|X) / H(Y).
"""

import argparse
from pathlib import Path

import numpy as np

from latentlab.cli.display import print_table
from latentlab.metrics.separability import SeparabilityScore, linear_separability
from latentlab.store import LatentStore

KEPT = 0.5


def agreement(first: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Means over attributes: shares of equal labels, of all samples and of confident ones; correlation of log-odds."""
    equal = (first > 0) == (other > 0)
    count = round(KEPT * len(first))
    confident, related = [], []
    for column in range(first.shape[1]):
        kept = np.argsort(-np.abs(first[:, column]), kind="stable")[:count]
        confident.append(equal[kept, column].mean())
        related.append(np.corrcoef(first[:, column], other[:, column])[0, 1])
    return float(equal.mean()), float(np.mean(confident)), float(np.mean(related))


def over(found: SeparabilityScore, names: set[str]) -> str:
    """exp of the conditional entropies, in nats, of some attributes, and the mean of H(Y|X) / H(Y)."""
    taken = [entry for entry in found.attributes if entry["name"] in names]
    bits = [entry["conditional_entropy_bits"] for entry in taken]
    left = [entry["conditional_entropy_bits"] / entry["entropy_bits"] for entry in taken]
    return f"{2 ** sum(bits):.2f}, {np.mean(left):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    logits, scores = {}, {}
    for path in parser.parse_args().stores:
        with LatentStore.open(path, needs=["z", "w", "logits"]) as store:
            names = store.settings.attributes
            logits[path.stem] = store.logits
            scores[path.stem] = [
                linear_separability(latents, store.logits, attributes=names) for latents in (store.z, store.w)
            ]
    valid = set.intersection(
        *({a["name"] for a in s.attributes if a["valid"]} for pair in scores.values() for s in pair)
    )
    first = next(iter(logits.values()))
    rows = []
    for name, found in logits.items():
        parts = [f"{share:.3f}" for share in agreement(first, found)]
        own = [score.num_valid for score in scores[name]]
        rows.append([name, *parts, *(over(score, valid) for score in scores[name]), f"{own[0]}, {own[1]}"])
    columns = ["", "labels equal", "of confident", "correlation", "Z", "W", "valid on its own, Z, W"]
    print_table(columns, rows, title=f"Separability over the {len(valid)} attributes valid for all")


if __name__ == "__main__":
    main()
