"""Random numbers by address: number j of row i of a stream is a function of (seed, stream, i, j) alone.

Every random draw in LatentLab goes through here or through a generator seeded by `derive_seed`, so results
do not depend on batch sizes, on the number of processes or on where a run was resumed. There is no global state.
Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a counter-based generator:
skipping to any position costs nothing.
"""

import hashlib

import numpy as np
from scipy.special import ndtri


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a function of `parts` alone, for generators that take one integer."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def uniform_rows(seed: int, stream: str, rows: slice | np.ndarray, width: int) -> np.ndarray:
    """Uniform numbers in the open interval (0, 1), shape [len(rows), width], float64.

    Args:
        seed: The run's seed, any integer.
        stream: What the numbers are for; streams of different names are independent.
        rows: Which rows: `slice(start, stop)` for consecutive ones, or an integer array of row numbers >= 0.
        width: Numbers per row. A row's numbers depend on `width` only through how many of them there are
            in whole blocks of four, so `width` is part of what a stream means and must not vary within it.
    """
    raw = _raw(seed, stream, rows, -(-width // 4))
    return ((raw[:, :width] >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def random_bits(seed: int, stream: str, rows: slice | np.ndarray, width: int) -> np.ndarray:
    """32 random bits each, uint32 [len(rows), width]; half the work of `uniform_rows`.

    `width` is part of what a stream means, as in `uniform_rows`.
    """
    words = -(-width // 2)
    return _raw(seed, stream, rows, -(-words // 4)).view(np.uint32)[:, :width]


def normal_rows(seed: int, stream: str, rows: slice | np.ndarray, width: int) -> np.ndarray:
    """Standard normal numbers, shape [len(rows), width], float32, by the inverse distribution function."""
    return ndtri(uniform_rows(seed, stream, rows, width)).astype(np.float32)


def _raw(seed: int, stream: str, rows: slice | np.ndarray, blocks: int) -> np.ndarray:
    """64-bit words [len(rows), 4 * blocks]; one step of the Philox counter yields a block of four."""
    if isinstance(rows, slice):
        return _consecutive(seed, stream, rows, blocks)
    return _scattered(seed, stream, rows, blocks)


def _words(seed: int, stream: str, first_row: int, blocks: int, count: int) -> np.ndarray:
    key = np.frombuffer(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:16], np.uint64)
    philox = np.random.Philox(key=key)
    philox.advance(first_row * blocks)
    return philox.random_raw(count * blocks * 4).reshape(count, blocks * 4)


def _consecutive(seed: int, stream: str, rows: slice, blocks: int) -> np.ndarray:
    return _words(seed, stream, rows.start or 0, blocks, max(rows.stop - (rows.start or 0), 0))


def _scattered(seed: int, stream: str, rows: np.ndarray, blocks: int) -> np.ndarray:
    rows = np.asarray(rows, np.int64)
    if not len(rows):
        return np.empty((0, blocks * 4), np.uint64)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    runs = np.split(rows, breaks)
    return np.concatenate([_words(seed, stream, int(run[0]), blocks, len(run)) for run in runs])
