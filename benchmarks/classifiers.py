"""Forty attribute classifiers: trained together, and labelling together, beside forty taken one after the other.

    python benchmarks/classifiers.py [--resolution 64] [--device cuda]

The plain way is what one would write first: for every attribute a loop of its own over the data, eager float32 in
torch's default layout with torch.optim.Adam, over LatentLab's own modules. Images are in memory, so that reading them
costs every way little. Networks are those of the preset `quick` with a separate trunk; images are the embedded faces.
Every way has a process of its own, LatentLab's with the memory settings of its command line, and all are measured in
turns; networks and optimisers are made before. Ratios are medians over the turns.
"""

import argparse
import functools
import os

import numpy as np
import torch
import torch.nn.functional as F
from common.turns import measured, table

from attribute_classifiers.batches import Batches, binary_targets
from attribute_classifiers.evaluation import predict
from attribute_classifiers.learners import Steps, make_learners, together
from attribute_classifiers.network import AttributeClassifiers, initialise, new_network
from attribute_classifiers.presets import ClassifierConfig, preset
from latentlab.cli.display import print_table
from latentlab.data import Dataset, open_dataset
from latentlab.distributed import Team
from latentlab.images import to_float

STEPS = 10
LABELLED = 512


def data(resolution: int) -> Dataset:
    return open_dataset("faces", resolution=resolution, num_images=LABELLED)


class Ways:
    """Each method does the whole work once, and is timed."""

    def __init__(self, resolution: int, device: str) -> None:
        self.dataset, self.device = data(resolution), torch.device(device)
        dataset, device = self.dataset, self.device
        self.config = self._config()
        self.targets = binary_targets(dataset, self.config)
        self.separate = initialise(AttributeClassifiers(self.config), 0).eval().requires_grad_(False).to(device)
        shared = preset("quick", resolution=dataset.resolution, trunk="shared")
        self.shared = initialise(AttributeClassifiers(shared), 0).eval().requires_grad_(False).to(device)
        self.plain = [new_network(self.config, 0, number).to(device) for number in range(self.config.num_networks)]

    def train_plainly(self) -> None:
        size = self.config.training.batch_size
        for number, (network, adam) in enumerate(zip(self.plain, self.plain_adams(), strict=True)):
            for step in range(STEPS):
                rows = np.arange(step * size, (step + 1) * size)
                images = to_float(self.dataset.images(rows)).contiguous().to(self.device)
                wanted = torch.from_numpy(self.targets[rows, number : number + 1]).to(self.device)
                adam.zero_grad()
                F.binary_cross_entropy_with_logits(network(images), wanted).backward()
                adam.step()
        self._wait()

    @functools.cache  # noqa: B019 (one object in a process)
    def plain_adams(self) -> list[torch.optim.Adam]:
        return [torch.optim.Adam(network.parameters(), betas=self.config.training.betas) for network in self.plain]

    def train_alone(self) -> None:
        """LatentLab's own learner, one attribute after the other."""
        for name in self.config.attributes:
            self._train(self._config(attributes=(name,)))

    def train_together(self) -> None:
        self._train(self.config)

    def train_bfloat16(self) -> None:
        self._train(self._config(precision="bfloat16"))

    def train_shared(self) -> None:
        self._train(self.shared.config)

    def label_plainly(self) -> None:
        size = 64
        with torch.inference_mode():
            for network in self.plain:
                for start in range(0, LABELLED, size):
                    images = to_float(self.dataset.images(slice(start, start + size))).contiguous().to(self.device)
                    network(images).cpu().numpy()

    def label_together(self) -> None:
        predict(self.separate, self.dataset, np.arange(LABELLED))

    def label_shared(self) -> None:
        predict(self.shared, self.dataset, np.arange(LABELLED))

    @functools.cache  # noqa: B019
    def _learners(self, config: ClassifierConfig) -> list[Steps]:
        return make_learners(config, seed=0, device=self.device, team=Team())

    def _config(self, **changes: object) -> ClassifierConfig:
        return preset("quick", resolution=self.dataset.resolution, trunk="separate", **changes)

    def _train(self, config: ClassifierConfig) -> None:
        learners = self._learners(config)
        shown = STEPS * config.training.batch_size
        training = config.training.model_copy(update={"num_images": shown})
        columns = [self.config.attributes.index(name) for name in config.attributes]
        batches = Batches(self.dataset, self.targets[:, columns], train=np.arange(shown), training=training, seed=0)
        with together(learners, self.device) as all_of_them:
            for images, targets in batches.since(0, self.device):
                all_of_them.step(images, targets, 0.001)
        self._wait()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


TRAINING = {
    "one after the other, plain": ("train_plainly", False),
    "one after the other, LatentLab": ("train_alone", True),
    "together, float32": ("train_together", True),
    "together, bfloat16": ("train_bfloat16", True),
    "one shared trunk, float32": ("train_shared", True),
}
LABELLING = {
    "one after the other, plain": ("label_plainly", False),
    "together": ("label_together", True),
    "one shared trunk": ("label_shared", True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    data(options.resolution)  # fills the cache for all processes
    batch = preset("quick").training.batch_size
    where = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    titles = (f"Training 40 networks at {options.resolution} px, minibatch {batch}", "Labelling with 40 networks")
    for title, ways, images in zip(titles, (TRAINING, LABELLING), (STEPS * batch, LABELLED), strict=True):
        speeds = measured(Ways, (options.resolution, options.device), ways, images)
        rows = table(speeds, next(iter(speeds.values())), digits=1)
        print_table(["", "images/s", "to the first", "range"], rows, title=f"{title}: images/s ({where})")


if __name__ == "__main__":
    main()
