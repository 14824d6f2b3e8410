"""Forty attribute classifiers: trained together, and labelling together, beside forty taken one after the other.

    python benchmarks/classifiers.py [--resolution 64] [--device cuda]

The plain way is what one would write first: for every attribute a loop of its own over the data, eager float32 in
torch's default layout with torch.optim.Adam. It is measured over LatentLab's own modules; its networks are made before,
and its images are in memory, so that reading them costs it little. Networks are those of the
preset `quick` with a separate trunk; images are the embedded faces. All ways are measured in turns within one process,
with the memory settings of the command line for all; ratios are medians over the turns.
"""

import argparse
import os
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from common.turns import measured, table

from attribute_classifiers.batches import Batches, binary_targets
from attribute_classifiers.evaluation import predict
from attribute_classifiers.learners import make_learners, together
from attribute_classifiers.network import AttributeClassifiers, initialise, new_network
from attribute_classifiers.presets import ClassifierConfig, preset
from latentlab.cli.display import print_table
from latentlab.data import Dataset, open_dataset
from latentlab.distributed import Team
from latentlab.images import to_float
from latentlab.memory import keep_freed_memory

STEPS = 10
LABELLED = 512


class Ways:
    """Each method does the whole work once, and is timed."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self.config = self._config()
        self.targets = binary_targets(dataset, self.config)
        self.separate = initialise(AttributeClassifiers(self.config), 0).eval().requires_grad_(False).to(device)
        shared = preset("quick", resolution=dataset.resolution, trunk="shared")
        self.shared = initialise(AttributeClassifiers(shared), 0).eval().requires_grad_(False).to(device)
        self.plain = [new_network(self.config, 0, number).to(device) for number in range(self.config.num_networks)]

    def train_plainly(self) -> None:
        for number, network in enumerate(self.plain):
            network.requires_grad_(True).train()
            adam = torch.optim.Adam(network.parameters(), betas=self.config.training.betas)
            size = self.config.training.batch_size
            for step in range(STEPS):
                rows = np.arange(step * size, (step + 1) * size)
                images = to_float(self.dataset.images(rows)).contiguous().to(self.device)
                wanted = torch.from_numpy(self.targets[rows, number : number + 1]).to(self.device)
                adam.zero_grad()
                F.binary_cross_entropy_with_logits(network(images), wanted).backward()
                adam.step()
        self._wait()

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

    def _config(self, **changes: object) -> ClassifierConfig:
        return preset("quick", resolution=self.dataset.resolution, trunk="separate", **changes)

    def _train(self, config: ClassifierConfig) -> None:
        learners = make_learners(config, seed=0, device=self.device, team=Team())
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


def compare(ways: dict[str, Callable[[], None]], images: int) -> list[list[str]]:
    """Images per second of each way, and its ratio to the first."""
    speeds = measured(ways, images)
    return table(speeds, next(iter(speeds.values())), digits=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    ways = Ways(open_dataset("faces", resolution=options.resolution, num_images=LABELLED), torch.device(options.device))
    batch = ways.config.training.batch_size
    where = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    training = {
        "one after the other, plain": ways.train_plainly,
        "one after the other, LatentLab": ways.train_alone,
        "together, float32": ways.train_together,
        "together, bfloat16": ways.train_bfloat16,
        "one shared trunk, float32": ways.train_shared,
    }
    title = f"Training 40 networks at {options.resolution} px, minibatch {batch}: images/s shown to all ({where})"
    columns = ["", "images/s", "to the first", "range"]
    print_table(columns, compare(training, STEPS * batch), title=title)
    labelling = {
        "one after the other, plain": ways.label_plainly,
        "together": ways.label_together,
        "one shared trunk": ways.label_shared,
    }
    title = f"Labelling with 40 networks at {options.resolution} px: images/s"
    print_table(columns, compare(labelling, LABELLED), title=title)


if __name__ == "__main__":
    main()
