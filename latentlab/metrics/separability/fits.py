"""Which hyperplanes are fitted to which samples: the attributes, held-out samples left out, labels shuffled."""

import numpy as np

from latentlab.metrics.separability.pruning import Kept
from latentlab.randomness import derive_seed


class Fits:
    """The columns that are fitted: the attributes, then the same without the held-out samples, then shuffled ones.

    Attributes:
        labels: bool [N, P].
        rows: Per column, the samples to fit to.
        tested: int [A, K], which kept samples are held out as a mask, or None.
    """

    def __init__(self, kept: Kept, *, held_out: float, permutations: int, seed: int) -> None:
        self.kept, self.fraction, self.permutations = kept, held_out, permutations
        labels, self.rows = [kept.labels], list(kept.rows)
        self.tested: np.ndarray | None = None
        if held_out:
            chance = _generator(seed, "held out").random(len(kept.labels)) < held_out
            self.tested = chance[kept.rows]
            labels.append(kept.labels)
            self.rows += [rows[~out] for rows, out in zip(kept.rows, self.tested, strict=True)]
        for number in range(permutations):
            labels.append(_shuffled(kept, _generator(seed, "permutation", number)))
            self.rows += list(kept.rows)
        self.labels = np.concatenate(labels, axis=1)


def _shuffled(kept: Kept, generator: np.random.Generator) -> np.ndarray:
    """Labels with those of each attribute's kept samples shuffled among them."""
    labels = kept.labels.copy()
    for attribute, rows in enumerate(kept.rows):
        labels[rows, attribute] = generator.permutation(kept.labels[rows, attribute])
    return labels


def _generator(seed: int, *what: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(derive_seed(seed, "separability", *what)))
