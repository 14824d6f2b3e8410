"""Which hyperplanes are fitted to which samples: the attributes, held-out samples left out, labels shuffled."""

import numpy as np

from latentlab.metrics.separability.pruning import Kept
from latentlab.randomness import derive_seed


class Fits:
    """The columns that are fitted: the attributes; the same without what is held out, shuffled, and without each group.

    Attributes:
        kept: What is fitted.
        labels: bool [N, P].
        rows: Per column, the samples to fit to.
        tested: bool [A, K], which of the kept samples are held out; None without a held-out share.
        held_out: Where the columns are that are fitted without them, or None.
        permuted: Where those of each permutation are.
        refits: Where those without each group of samples are.
    """

    def __init__(self, kept: Kept, *, held_out: float, permutations: int, refits: int, seed: int) -> None:
        self.kept, self.fraction = kept, held_out
        self._labels: list[np.ndarray] = []
        self.rows: list[np.ndarray] = []
        self._add(kept.labels, list(kept.rows))
        self.tested: np.ndarray | None = None
        self.held_out: slice | None = None
        if held_out:
            self.tested = (_generator(seed, "held out").random(len(kept.labels)) < held_out)[kept.rows]
            self.held_out = self._without(self.tested)
        self.permuted = [
            self._add(_shuffled(kept, _generator(seed, "permutation", number)), list(kept.rows))
            for number in range(permutations)
        ]
        groups = _generator(seed, "refits").random(len(kept.labels)) * refits
        self.refits = [self._without(groups.astype(int)[kept.rows] == number) for number in range(refits)]
        self.labels = np.concatenate(self._labels, axis=1)

    def _add(self, labels: np.ndarray, rows: list[np.ndarray]) -> slice:
        self._labels.append(labels)
        self.rows += rows
        return slice(len(self.rows) - len(rows), len(self.rows))

    def _without(self, left_out: np.ndarray) -> slice:
        pairs = zip(self.kept.rows, left_out, strict=True)
        return self._add(self.kept.labels, [rows[~out] for rows, out in pairs])


def _shuffled(kept: Kept, generator: np.random.Generator) -> np.ndarray:
    """Labels with those of each attribute's kept samples shuffled among them."""
    labels = kept.labels.copy()
    for attribute, rows in enumerate(kept.rows):
        labels[rows, attribute] = generator.permutation(kept.labels[rows, attribute])
    return labels


def _generator(seed: int, *what: str | int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(derive_seed(seed, "separability", *what)))
