"""Minibatches of labelled images, what is in the one of a step being a function of (seed, step) alone."""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab.data import Dataset
from latentlab.errors import DataError, UsageError
from latentlab.images import to_float
from latentlab.randomness import derive_seed, uniform_rows


class Batches:
    """The images and targets of every step, each prepared while the step before it runs.

    Args:
        dataset: Labelled images.
        targets: float32 [N, A], 0 or 1.
        train: Numbers of the images to show.
        training: The settings.
        seed: Of the order and of the mirroring.
    """

    def __init__(
        self, dataset: Dataset, targets: np.ndarray, *, train: np.ndarray, training: TrainingConfig, seed: int
    ) -> None:
        self.dataset, self.targets, self.train = dataset, targets, train
        self.training, self.seed = training, seed

    def since(self, first: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [B, 3, R, R] in channels_last and targets [B, A] of the steps from `first` to the last."""
        steps = range(first, self.training.num_steps)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.batch, steps.start)
            for step in steps:
                images, targets = ahead.result()
                if step + 1 < steps.stop:
                    ahead = pool.submit(self.batch, step + 1)
                yield images.to(device), targets.to(device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images and targets of one step, on the CPU."""
        size = self.training.batch_size
        rows = batch_rows(self.train, step, size, self.seed)
        images = self.dataset.images(rows)
        if self.training.mirror:
            shown = slice(step * size, (step + 1) * size)
            flipped = uniform_rows(self.seed, "classifiers/mirror", shown, 1)[:, 0] < 0.5
            images[flipped] = images[flipped, :, ::-1]
        return to_float(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(self.targets[rows])


def batch_rows(train: np.ndarray, step: int, batch_size: int, seed: int) -> np.ndarray:
    """Image numbers of one step: consecutive places of an endless sequence of shuffled passes over `train`."""
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    passes, within = np.divmod(places, len(train))
    return np.array([train[_shuffled(len(train), int(p), seed)[i]] for p, i in zip(passes, within, strict=True)])


@functools.lru_cache(maxsize=2)
def _shuffled(count: int, number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "classifiers/pass", number)).permutation(count)


def binary_targets(dataset: Dataset, config: ClassifierConfig) -> np.ndarray:
    """The labels of the attributes asked for as float32 [N, A], 0 or 1.

    Raises:
        DataError: the images have no labels, or none for some of the attributes.
        UsageError: the resolutions differ.
    """
    if dataset.labels is None:
        raise DataError(
            f"{dataset.name} has no labels: classifiers need the embedded faces ('faces'), a folder with "
            "list_attr_celeba.txt and img_align_celeba/ as CelebA has them, or a file of labels (--labels)."
        )
    absent = [name for name in config.attributes if name not in dataset.attributes]
    if absent:
        raise DataError(
            f"{dataset.name} has no labels for {', '.join(absent)}; it has {', '.join(dataset.attributes)}. Add the "
            "columns to its attribute file, or train for attributes that it has (--attributes)."
        )
    if dataset.resolution != config.network.resolution:
        raise UsageError(
            f"{dataset.name} was opened at {dataset.resolution}x{dataset.resolution}, the classifiers take "
            f"{config.network.resolution}x{config.network.resolution}: give both one resolution."
        )
    columns = [dataset.attributes.index(name) for name in config.attributes]
    return (dataset.labels[:, columns] > 0).astype(np.float32)
