"""MIG and modularity: how much each single latent tells about each single factor.

Both follow from the matrix of mutual information between discretised latents and discretised factors. The estimate is
that of the observed frequencies, whose bias is positive, about (bins - 1)(values - 1) / (2 N) nats; it is reported as
it is, as is usual, and the shuffled baseline shows how much of a number it makes up.
"""

from collections.abc import Collection
from itertools import pairwise
from typing import Literal

import numpy as np

from latentlab.metrics.bootstrap import weight_blocks
from latentlab.metrics.disentanglement.problem import Outcome, Problem

BINS = 20
BLOCKS = 100
"""Blocks of rows that a bootstrap draws from."""

Binning = Literal["equal-count", "equal-width"]
_SHARES_AT_A_TIME = 1_000_000  # what the caches of most processors hold
_EMPTY = 1e-30  # in place of counts of 0, so that logarithms need no look at every count
_NOTHING = 1e-9  # bits that a latent without any information may have by rounding


def information_metrics(
    problem: Problem,
    codes: np.ndarray,
    metrics: Collection[str],
    *,
    binning: Binning = "equal-count",
    seed: int = 0,
    bootstrap: int = 0,
) -> list[Outcome]:
    """MIG, modularity or both, from all rows; `codes` are the latents' bins, made by `binning`.

    The bootstrap draws 100 blocks of consecutive rows with replacement. A resample repeats rows, which raises every
    estimate of mutual information; the replicates are therefore moved so that their mean is the value.
    """
    count = len(problem.latents)
    weights = _weights(min(BLOCKS, count), bootstrap, seed)
    mutual, entropies, drawn, drawn_entropies = weighted_information(codes, bin_codes(problem.factors), weights)
    settings = {"bins": BINS, "binning": binning}
    found = []
    if "mig" in metrics:
        gaps, drawn_gaps = mutual_information_gaps(mutual, entropies), mutual_information_gaps(drawn, drawn_entropies)
        per_factor = {"gap": gaps, "entropy_bits": entropies, "best_latent": mutual.argmax(axis=0)}
        replicates = _recentred(drawn_gaps.mean(axis=-1), gaps.mean())
        found.append(Outcome("mig", float(gaps.mean()), replicates, count, settings, per_factor))
    if "modularity" in metrics:
        value, informative = modularity(mutual)
        replicates = _recentred(modularity(drawn)[0], value)
        details = {"num_informative": int(informative)}
        found.append(Outcome("modularity", float(value), replicates, count, settings, details=details))
    return found


def mutual_information_gaps(mutual: np.ndarray, entropies: np.ndarray) -> np.ndarray:
    """The gap of each factor (Chen et al. 2018): the two largest I(z_j; v_k), subtracted, over H(v_k).

    Args:
        mutual: Mutual information [..., D, K].
        entropies: H(v_k) [..., K], in the same unit; where it is 0, so is the gap.
    """
    highest = np.partition(mutual, -2, axis=-2)[..., -2:, :]
    gaps = highest[..., 1, :] - highest[..., 0, :]
    return np.divide(gaps, entropies, out=np.zeros_like(gaps), where=entropies > 0)


def modularity(mutual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean modularity [...] of the latents (Ridgeway and Mozer 2018), and how many latents it runs over.

    With m the mutual information of a latent and theta its largest, a latent's modularity is
    1 - sum over the other factors of m_k^2 / (theta^2 (K - 1)). Latents without any information, such as constant
    ones, hold no factor and mix none: they are left out. 0 if all are.

    Args:
        mutual: Mutual information in bits [..., D, K], K at least 2.
    """
    largest = mutual.max(axis=-1)
    informative = largest > _NOTHING
    theta = np.where(informative, largest, 1.0)[..., None]
    others = (np.square(mutual / theta).sum(axis=-1) - 1) / (mutual.shape[-1] - 1)
    number = informative.sum(axis=-1)
    return ((1 - others) * informative).sum(axis=-1) / np.maximum(number, 1), number


def bin_codes(values: np.ndarray, *, bins: int = BINS, binning: Binning = "equal-count") -> np.ndarray:
    """Which bin every value of each column is in, uint8 [N, C]; a column of at most `bins` values keeps them apart.

    Equal-count bins end at the column's quantiles: they do not depend on its scale or tails, and any monotone function
    of the column has the same. Equal-width bins cut its range, as disentanglement_lib does.
    """
    codes = np.empty(values.shape, np.uint8)
    for number in range(values.shape[1]):
        column = np.ascontiguousarray(values[:, number])
        codes[:, number] = np.searchsorted(_edges(np.sort(column), bins, binning), column, side="right")
    return codes


def weighted_information(
    codes: np.ndarray, factors: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mutual information and entropies, in bits, of all rows and of weighted blocks of rows.

    Args:
        codes: Bins of the latents, uint8 [N, D].
        factors: Bins of the factors, uint8 [N, K].
        weights: float32 [B, blocks]: how often each of as many nearly equal blocks of consecutive rows counts.

    Returns:
        I(z_j; v_k) [D, K], H(v_k) [K], and the same under each weighting, float32 [B, D, K] and [B, K].
    """
    begins = np.cumsum(np.concatenate([[0], factors.max(axis=0).astype(int) + 1]))
    cells, columns = factors + begins[:-1].astype(np.int32), int(begins[-1])
    cuts = np.linspace(0, len(codes), weights.shape[1] + 1).astype(int)
    whole = np.full((1, len(cuts) - 1), 1 / len(codes))
    parts = (whole, weights / (weights @ np.diff(cuts).astype(np.float32))[:, None])
    entropies = [np.empty((len(part), factors.shape[1]), part.dtype) for part in parts]
    mutual = [np.empty((len(part), codes.shape[1], factors.shape[1]), part.dtype) for part in parts]
    for number, column in enumerate(codes.T):
        table = _block_table(column, cells, columns, cuts)
        for part, own, bits in zip(parts, entropies, mutual, strict=True):
            if not number:
                own[:] = -np.add.reduceat(_p_log_p(part @ table.sum(axis=1)), begins[:-1], axis=1)
            latent = _p_log_p(part @ table[:, :, : begins[1]].sum(axis=2)).sum(axis=1)
            joint = np.add.reduceat(_joint(part, table), begins[:-1], axis=1)
            bits[:, number] = np.maximum(joint - latent[:, None] + own, 0)
    return mutual[0][0], entropies[0][0], mutual[1], entropies[1]


def _joint(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Sums over the bins of p log2 p, [B, columns], of shares p: weights [B, blocks] of counts in blocks."""
    blocks, bins, columns = table.shape
    total = np.zeros((len(weights), columns), weights.dtype)
    step = max(1, _SHARES_AT_A_TIME // (max(len(weights), 1) * columns))
    for first in range(0, bins, step):
        some = table[:, first : first + step]
        shares = weights @ some.reshape(blocks, -1)
        total += _p_log_p(shares).reshape(len(weights), *some.shape[1:]).sum(axis=1)
    return total


def _p_log_p(shares: np.ndarray) -> np.ndarray:
    """p log2 p of positive numbers."""
    logarithms = np.log2(shares)
    logarithms *= shares
    return np.asarray(logarithms)


def _block_table(codes: np.ndarray, cells: np.ndarray, columns: int, cuts: np.ndarray) -> np.ndarray:
    """Counts of a latent's bins and the factors' values in every block, float32 [blocks, bins, columns].

    What is empty has a count too small to matter, but not 0.

    Args:
        codes: Bins of the latent, [N].
        cells: int32 [N, K], the column of each factor's value; every value of every factor has its own.
        columns: How many columns there are.
        cuts: Where blocks begin and end, [blocks + 1].
    """
    bins = int(codes.max()) + 1
    rows = codes.astype(np.int32)[:, None] * columns
    counts = [
        np.bincount((rows[start:stop] + cells[start:stop]).ravel(), minlength=bins * columns)
        for start, stop in pairwise(cuts)
    ]
    return np.stack(counts).reshape(-1, bins, columns).astype(np.float32) + np.float32(_EMPTY)


def _edges(ordered: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    """Where bins begin, but for the first, of a sorted column."""
    begins = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(begins) < bins:
        return ordered[begins]
    if binning == "equal-width":
        return np.linspace(ordered[0], ordered[-1], bins + 1)[1:-1]
    return np.unique(ordered[len(ordered) * np.arange(1, bins) // bins])


def _weights(blocks: int, replicates: int, seed: int) -> np.ndarray:
    """Poisson weights of blocks, float32 [replicates, blocks], of which none is without any block."""
    drawn = [np.empty((0, blocks), np.float32)]
    drawn += weight_blocks(blocks, replicates, seed=seed, stream="disentanglement/blocks")
    weights = np.concatenate(drawn)
    return weights[weights.sum(axis=1) > 0]


def _recentred(replicates: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    return replicates - replicates.mean() + value if len(replicates) else replicates
