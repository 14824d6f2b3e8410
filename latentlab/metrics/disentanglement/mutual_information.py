"""MIG and modularity: how much each single latent tells about each single factor.

Both follow from the matrix of mutual information between discretised latents and discretised factors. The estimate is
that of the observed frequencies, whose bias is positive, about (bins - 1)(values - 1) / (2 N) nats; it is reported as
it is, as is usual, and the shuffled baseline shows how much of a number it makes up.
"""

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.sparse import csc_matrix

from latentlab.metrics.bootstrap import weight_blocks
from latentlab.metrics.disentanglement.problem import Outcome, Problem

BINS = 20
BLOCKS = 100
"""Blocks of rows that a bootstrap draws from."""

Binning = Literal["equal-count", "equal-width"]
_VALUES_AT_A_TIME = 8_000_000
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
        I(z_j; v_k) [D, K], H(v_k) [K], and the same under each weighting, [B, D, K] and [B, K].
    """
    (dims, num_factors), replicates = (codes.shape[1], factors.shape[1]), len(weights)
    mutual, drawn = np.empty((dims, num_factors)), np.empty((replicates, dims, num_factors), np.float32)
    entropies, drawn_entropies = np.empty(num_factors), np.empty((replicates, num_factors), np.float32)
    for group, tables in _block_tables(codes, factors, weights.shape[1]):
        mutual[group], entropies = _information(tables.sum(axis=0, dtype=np.float64))
        step = max(1, _VALUES_AT_A_TIME // tables[0].size)
        for start in range(0, replicates, step):
            part = slice(start, start + step)
            counts = (weights[part] @ tables.reshape(len(tables), -1)).reshape(-1, *tables.shape[1:])
            drawn[part, group], drawn_entropies[part] = _information(counts)
    return mutual, entropies, drawn, drawn_entropies


def _block_tables(codes: np.ndarray, factors: np.ndarray, blocks: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Groups of latents with the counts of (bin, value) in every block, float32 [blocks, latents, bins, K, values].

    A block's counts are the product of its latents' and its factors' indicators, [latents * bins, n] @ [n, K * values].
    """
    bins, values = int(codes.max()) + 1, int(factors.max()) + 1
    columns = factors.shape[1] * values
    cuts = np.linspace(0, len(codes), blocks + 1).astype(int)
    group = max(1, _VALUES_AT_A_TIME // (blocks * bins * columns))
    for first in range(0, codes.shape[1], group):
        chosen = slice(first, min(first + group, codes.shape[1]))
        width = chosen.stop - chosen.start
        tables = np.empty((blocks, width * bins, columns), np.float32)
        for number, (start, stop) in enumerate(pairwise(cuts)):
            cells = (codes[start:stop, chosen] + bins * np.arange(width, dtype=np.int32)).ravel()
            indptr = np.arange(0, len(cells) + 1, width)
            ones = np.ones(len(cells), np.float32)
            indicators = csc_matrix((ones, cells, indptr), shape=(width * bins, stop - start))
            tables[number] = indicators @ _indicators(factors[start:stop], values)
        yield chosen, tables.reshape(blocks, width, bins, factors.shape[1], values)


def _information(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """I(z; v) = H(z) + H(v) - H(z, v) in bits [..., D, K], and H(v) [..., K], of counts [..., D, bins, K, values]."""
    share = counts / counts[..., :1, :, :1, :].sum(axis=(-3, -1), keepdims=True)
    joint = _negative_entropy(share, axis=(-3, -1))
    latents = _negative_entropy(share[..., :, :, 0, :].sum(axis=-1), axis=-1)
    factors = _negative_entropy(share[..., 0, :, :, :].sum(axis=-3), axis=-1)
    return np.maximum(joint - latents[..., None] - factors[..., None, :], 0), -factors


def _negative_entropy(shares: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Sum of p log2 p, where 0 log 0 = 0."""
    logarithms = np.log(np.maximum(shares, np.finfo(shares.dtype).tiny))
    logarithms *= shares
    return np.asarray(logarithms.sum(axis=axis) / np.log(2).astype(shares.dtype))


def _indicators(factors: np.ndarray, values: int) -> np.ndarray:
    """One column per factor and value, float32 [n, K * values]: 1 where the factor has the value."""
    return (factors[:, :, None] == np.arange(values)).reshape(len(factors), -1).astype(np.float32)


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
