"""Which images are trained on, which fit the temperatures, and which are measured for the card."""

from typing import NamedTuple

import numpy as np

from latentlab.errors import DataError
from latentlab.randomness import uniform_rows


class Split(NamedTuple):
    """Image numbers, ascending; no image is in two of them."""

    train: np.ndarray
    calibration: np.ndarray
    measured: np.ndarray


def split_images(num_images: int, held_out: float, seed: int) -> Split:
    """Hold out the fraction of images with the smallest random numbers, image i's being a function of (seed, i).

    In the order of these numbers, the held-out images are measured and used for calibration in turn.

    Raises:
        DataError: there are fewer than three images.
    """
    if num_images < 3:
        images = "1 image" if num_images == 1 else f"{num_images} images"
        raise DataError(
            f"{images}: at least three are needed, one to learn from, one to calibrate with and one to measure."
        )
    numbers = uniform_rows(seed, "classifiers/held-out", slice(0, num_images), 1)[:, 0]
    order = np.argsort(numbers, kind="stable")
    count = min(max(round(num_images * held_out), 2), num_images - 1)
    return Split(train=np.sort(order[count:]), calibration=np.sort(order[1:count:2]), measured=np.sort(order[:count:2]))
