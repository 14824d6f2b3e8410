"""Entropies of discrete distributions, in bits."""

import numpy as np


def entropy(distribution: np.ndarray) -> np.ndarray:
    """Entropy in bits over the last axis of non-negative weights [..., K]; 0 where all weights are 0."""
    weights = np.asarray(distribution, np.float64)
    total = weights.sum(axis=-1, keepdims=True)
    p = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return np.asarray(-(p * np.log2(p, out=np.zeros_like(p), where=p > 0)).sum(axis=-1) + 0.0)


def conditional_entropy(table: np.ndarray) -> np.ndarray:
    """H(Y|X) in bits of joint tables [..., X, Y], counts or probabilities: sum over x of p(x) H(Y | X = x)."""
    weights = np.asarray(table, np.float64)
    rows = weights.sum(axis=-1)
    share = rows / np.maximum(rows.sum(axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray((share * entropy(weights)).sum(axis=-1))
