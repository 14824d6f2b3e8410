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
"""Blocks of rows of which one after the other is left out."""

Binning = Literal["equal-count", "equal-width"]
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

    Intervals are those of the grouped jackknife, with 100 blocks of consecutive rows: a resample repeats rows, which
    raises every estimate of mutual information, and leaving rows out hardly does.
    """
    count, blocks = len(problem.latents), min(BLOCKS, len(problem.latents)) if bootstrap else 0
    mutual, entropies, without, entropies_without = information(codes, bin_codes(problem.factors), blocks)
    settings = {"bins": BINS, "binning": binning}
    found = []
    if "mig" in metrics:
        gaps, other_gaps = (
            mutual_information_gaps(mutual, entropies),
            mutual_information_gaps(without, entropies_without),
        )
        per_factor = {"gap": gaps, "entropy_bits": entropies, "best_latent": mutual.argmax(axis=0)}
        replicates = _replicates(gaps.mean(), other_gaps.mean(axis=-1), seed, bootstrap)
        found.append(Outcome("mig", float(gaps.mean()), replicates, count, settings, per_factor))
    if "modularity" in metrics:
        value, informative = modularity(mutual)
        replicates = _replicates(value, modularity(without)[0], seed, bootstrap)
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


def information(
    codes: np.ndarray, factors: np.ndarray, blocks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mutual information and entropies, in bits, of all rows and without each block of rows.

    I(z; v) = H(z) + H(v) - H(z, v), and the entropy of counts n of N rows is log2 N - sum n log2 n / N.

    Args:
        codes: Bins of the latents, uint8 [N, D].
        factors: Bins of the factors, uint8 [N, K].
        blocks: Nearly equal blocks of consecutive rows, of which one after the other is left out; 0 for none.

    Returns:
        I(z_j; v_k) [D, K], H(v_k) [K], and the same without each block, [blocks, D, K] and [blocks, K].
    """
    count, begins = len(codes), np.cumsum(np.concatenate([[0], factors.max(axis=0).astype(int) + 1]))
    cells = factors + begins[:-1].astype(np.int32)
    cuts = np.linspace(0, count, (blocks or BLOCKS) + 1).astype(int)
    left = np.concatenate([[count], count - np.diff(cuts)])[: blocks + 1]
    n_log_n = np.arange(count + 1) * np.log2(np.maximum(np.arange(count + 1), 1))
    factor = np.empty((blocks + 1, factors.shape[1]))
    mutual = np.empty((blocks + 1, codes.shape[1], factors.shape[1]))
    for number, column in enumerate(codes.T):
        table = _block_table(column, cells, int(begins[-1]), cuts)
        whole = table.sum(axis=0)
        for without, total in enumerate(left):
            counts = whole - table[without - 1] if without else whole
            joint = np.add.reduceat(n_log_n[counts].sum(axis=0), begins[:-1])
            latent = n_log_n[counts[:, : begins[1]].sum(axis=1)].sum()
            factor[without] = np.add.reduceat(n_log_n[counts.sum(axis=0)], begins[:-1])
            mutual[without, number] = np.log2(total) + (joint - latent - factor[without]) / total
    mutual, own = np.maximum(mutual, 0), np.log2(left)[:, None] - factor / left[:, None]
    return mutual[0], own[0], mutual[1:], own[1:]


def _block_table(codes: np.ndarray, cells: np.ndarray, columns: int, cuts: np.ndarray) -> np.ndarray:
    """Counts of a latent's bins and the factors' values in every block, int64 [blocks, bins, columns].

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
    return np.stack(counts).reshape(-1, bins, columns)


def _edges(ordered: np.ndarray, bins: int, binning: Binning) -> np.ndarray:
    """Where bins begin, but for the first, of a sorted column."""
    begins = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(begins) < bins:
        return ordered[begins]
    if binning == "equal-width":
        return np.linspace(ordered[0], ordered[-1], bins + 1)[1:-1]
    return np.unique(ordered[len(ordered) * np.arange(1, bins) // bins])


def _replicates(value: float | np.ndarray, without: np.ndarray, seed: int, replicates: int) -> np.ndarray:
    """Replicates [B] whose variance is that of the jackknife: what each block adds to the value, drawn by weights.

    Args:
        value: With all rows.
        without: Without each of G blocks, [G].
    """
    if not replicates:
        return np.empty(0)
    added = (without.mean() - without) * np.sqrt((len(without) - 1) / len(without))
    blocks = weight_blocks(len(without), replicates, seed=seed, stream="disentanglement/blocks")
    return np.asarray(value + np.concatenate([(weights - 1) @ added for weights in blocks]))
