"""Low-pass filters of the alias-free generator (Karras et al. 2021, appendix C), designed in float64.

Frequencies are in cycles per image width, rates in samples per image width. Every filter is symmetric and sums to 1.
`scipy.signal` takes a second to import, and networks of other kinds do without it.
"""

import numpy as np
from scipy.special import j1


def separable_filter(taps: int, *, cutoff: float, width: float, rate: float) -> np.ndarray:
    """A sinc under a Kaiser window [taps], applied along rows and along columns.

    Args:
        taps: Its length, at least 2; 6 for each sample of the lower rate.
        cutoff: Where it passes half.
        width: Of the band in which it falls, around the cutoff.
        rate: Of the samples that it meets.
    """
    from scipy.signal import firwin

    filtering: np.ndarray = firwin(taps, cutoff, width=width, fs=rate)
    return filtering


def radial_filter(taps: int, *, cutoff: float, width: float, rate: float) -> np.ndarray:
    """A jinc, which passes a disc of frequencies, under the same window in both directions [taps, taps].

    `taps` is even, so that no tap lies in the middle.
    """
    from scipy.signal import kaiser_atten, kaiser_beta
    from scipy.signal.windows import kaiser

    places = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(places[:, None], places)
    window = kaiser(taps, kaiser_beta(kaiser_atten(taps, width / (rate / 2))))
    jinc: np.ndarray = j1(2 * np.pi * cutoff * radius) / (np.pi * radius) * np.outer(window, window)
    return jinc / jinc.sum()
