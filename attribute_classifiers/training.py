"""Training attribute classifiers on labelled images, in one pass over the data for all of them.

What happens at a step is a function of (seed, step) alone, so a training that was killed and resumed gives the same
classifiers as one that was not. The loss is plain binary cross-entropy: its minimiser is the log-odds that the
attribute is present. Weighting rare classes up would move the logits away from that.
"""

import functools
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attribute_classifiers.evaluation import make_card, predict, score_attributes
from attribute_classifiers.network import CONFIG, AttributeClassifiers, initialise, read_config, save_classifiers
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab.checkpoint import write_tensors
from latentlab.data import Dataset
from latentlab.errors import CheckpointError, DataError, DivergenceError, OutputExistsError, UsageError
from latentlab.files import atomic_file, refuse_existing
from latentlab.images import to_float
from latentlab.progress import Progress, silent
from latentlab.randomness import derive_seed, uniform_rows


class Split(NamedTuple):
    """Image numbers, ascending: those shown in training and those kept for the card."""

    train: np.ndarray
    held_out: np.ndarray


def train_classifiers(
    dataset: Dataset,
    config: ClassifierConfig,
    out: Path | str,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    resume: bool = False,
    progress: Progress = silent,
) -> Path:
    """Train classifiers on a labelled dataset and write the folder `out` with its card.

    While it runs, OUT.training.safetensors beside `out` holds the newest state; it goes when `out` appears.

    Args:
        dataset: Labelled images at the classifiers' resolution.
        config: What is trained and how; see `presets.preset`.
        out: Folder to write.
        seed: Everything random follows from it.
        device: Where to compute.
        resume: Go on from the state that a killed run left, or start where there is none; if `out` is finished
            already, return at once.
        progress: Told how many images have been shown, of how many, and the loss.

    Raises:
        UsageError: the resolutions differ; a state to resume was made with other settings, images, labels or seed.
        OutputExistsError: `out` exists (without `resume`), or an unfinished training of it does.
        DataError: the images have no labels, or not those of the attributes asked for.
        DivergenceError: a loss was not finite.
    """
    out = Path(out)
    targets = _targets(dataset, config)
    if resume and out.exists():
        return _check_finished(out, config, dataset)
    refuse_existing(out)
    run = TrainingRun(dataset, config, targets, seed=seed, device=torch.device(device))
    state_file = out.with_name(f"{out.name}.training.safetensors")
    _restore(run, state_file, resume=resume)
    _train(run, state_file, progress)
    classifiers = run.classifiers
    classifiers.name = out.name
    logits = predict(classifiers.eval(), dataset, run.split.held_out, progress=progress)
    scores = score_attributes(logits, targets[run.split.held_out] * 2 - 1, config.attributes)
    card = make_card(classifiers, dataset, run.split, scores)
    data = {**dataset.describe(), "labels_sha256": dataset.labels_sha256}
    save_classifiers(out, classifiers, dataset=data, card=card)
    state_file.unlink(missing_ok=True)
    return out


class TrainingRun:
    """The state of one training: the networks, Adam's moments, and how many steps are done."""

    def __init__(
        self, dataset: Dataset, config: ClassifierConfig, targets: np.ndarray, *, seed: int, device: torch.device
    ) -> None:
        self.dataset, self.config, self.targets, self.seed, self.device = dataset, config, targets, seed, device
        self.split = split_images(len(dataset), config.training.held_out, seed)
        self.classifiers = initialise(AttributeClassifiers(config), seed).to(device)
        self.classifiers.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.classifiers.parameters(), betas=config.training.betas)
        self.steps_done = 0

    def step(self, images: Tensor, targets: Tensor) -> float:
        """One Adam step for every network; images [B, 3, R, R], targets [B, A] in {0, 1} -> mean loss.

        Separate networks are differentiated one after the other, so only one network's activations are held.

        Raises:
            DivergenceError: the loss is not finite.
        """
        rate = learning_rate(self.steps_done, self.config.training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        losses = []
        columns = targets.split(self.config.network.num_outputs, dim=1)
        for network, wanted in zip(self.classifiers, columns, strict=True):
            loss = F.binary_cross_entropy_with_logits(network(images), wanted)
            loss.backward()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise DivergenceError(
                f"the loss became {mean} at step {self.steps_done}: train with a lower learning rate than "
                f"{self.config.training.learning_rate}, and check the images."
            )
        self.optimizer.step()
        self.steps_done += 1
        return mean

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and targets of every step that is left, each prepared while the step before it runs."""
        steps = range(self.steps_done, self.config.training.num_steps)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._batch, steps.start)
            for step in steps:
                images, targets = ahead.result()
                if step + 1 < steps.stop:
                    ahead = pool.submit(self._batch, step + 1)
                yield images.to(self.device), targets.to(self.device)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        training = self.config.training
        rows = batch_rows(self.split.train, step, training.batch_size, self.seed)
        images = self.dataset.images(rows)
        if training.mirror:
            shown = slice(step * training.batch_size, (step + 1) * training.batch_size)
            flipped = uniform_rows(self.seed, "classifiers/mirror", shown, 1)[:, 0] < 0.5
            images[flipped] = images[flipped, :, ::-1]
        return to_float(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(self.targets[rows])


def split_images(num_images: int, held_out: float, seed: int) -> Split:
    """Hold out the fraction of images with the smallest random numbers, image i's being a function of (seed, i)."""
    if num_images < 2:
        raise DataError(f"{num_images} image: training needs at least one to learn from and one to hold out.")
    numbers = uniform_rows(seed, "classifiers/held-out", slice(0, num_images), 1)[:, 0]
    order = np.argsort(numbers, kind="stable")
    count = min(max(round(num_images * held_out), 1), num_images - 1)
    return Split(train=np.sort(order[count:]), held_out=np.sort(order[:count]))


def batch_rows(train: np.ndarray, step: int, batch_size: int, seed: int) -> np.ndarray:
    """Image numbers of one step: consecutive places of an endless sequence of shuffled passes over `train`."""
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    passes, within = np.divmod(places, len(train))
    return np.array([train[_shuffled(len(train), int(p), seed)[i]] for p, i in zip(passes, within, strict=True)])


@functools.lru_cache(maxsize=2)
def _shuffled(count: int, number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "classifiers/pass", number)).permutation(count)


def learning_rate(step: int, training: TrainingConfig) -> float:
    """Linear warm-up to the highest rate, then constant, or a half cosine to zero (Loshchilov and Hutter 2017)."""
    rising = training.warmup * training.num_steps
    if step < rising:
        return training.learning_rate * (step + 1) / (rising + 1)
    if not training.decay:
        return training.learning_rate
    return training.learning_rate * (1 + math.cos(math.pi * (step - rising) / (training.num_steps - rising))) / 2


def _train(run: TrainingRun, state_file: Path, progress: Progress) -> None:
    training = run.config.training
    for images, targets in run.batches():
        loss = run.step(images, targets)
        if run.steps_done % training.checkpoint_every == 0 or run.steps_done == training.num_steps:
            _save_state(run, state_file)
        shown = min(run.steps_done * training.batch_size, training.num_images)
        progress(shown, training.num_images, f"loss {loss:.3f}")


def _targets(dataset: Dataset, config: ClassifierConfig) -> np.ndarray:
    """The labels of the attributes asked for as float32 [N, A], 0 or 1; whatever is wrong with them is named."""
    if dataset.labels is None:
        raise DataError(
            f"{dataset.name} has no labels: classifiers need the embedded faces ('faces'), a folder with "
            "list_attr_celeba.txt and img_align_celeba/ as CelebA has them, or a file of labels (--labels)."
        )
    absent = [name for name in config.attributes if name not in dataset.attributes]
    if absent:
        raise DataError(
            f"{dataset.name} has no labels for {', '.join(absent)}; it has {', '.join(dataset.attributes)}. Add the "
            "columns to its attribute file, or train for attributes that it has."
        )
    if dataset.resolution != config.network.resolution:
        raise UsageError(
            f"{dataset.name} was opened at {dataset.resolution}x{dataset.resolution}, the classifiers take "
            f"{config.network.resolution}x{config.network.resolution}: give both one resolution."
        )
    columns = [dataset.attributes.index(name) for name in config.attributes]
    return (dataset.labels[:, columns] > 0).astype(np.float32)


# ------------------------------------------------------------------------------------------ stopping and resuming


def _identity(run: TrainingRun) -> str:
    """Everything that decides what a training does, as text; two states may be joined only if it is the same."""
    data = run.dataset.describe()
    return json.dumps({"config": run.config.model_dump(mode="json"), "dataset": data, "seed": run.seed})


def _save_state(run: TrainingRun, path: Path) -> None:
    """Networks and Adam's moments in one file, replaced at once."""
    tensors = {f"model.{key}": value.contiguous() for key, value in run.classifiers.state_dict().items()}
    for index, moments in run.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": value.contiguous() for key, value in moments.items()}
    with atomic_file(path) as temporary:
        texts = {"identity": _identity(run), "labels_sha256": str(run.dataset.labels_sha256)}
        write_tensors(tensors, temporary, {"steps_done": str(run.steps_done), **texts})


def _restore(run: TrainingRun, path: Path, *, resume: bool) -> None:
    """Bring `run` to the state in `path`, if there is one and it belongs to the same training."""
    if not path.exists():
        return
    if not resume:
        raise OutputExistsError(
            f"{path} holds an unfinished training and was left as it is: add --resume to go on with it, name another "
            "--out, or remove the file to start afresh."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): remove it to start afresh.") from error
    if metadata["identity"] != _identity(run):
        raise UsageError(
            f"{path} was made with other settings, images or another seed: resume with the same ones, or remove the "
            "file to start afresh."
        )
    labels = str(run.dataset.labels_sha256)
    if metadata.get("labels_sha256", labels) != labels:  # states of earlier versions do not have it
        raise UsageError(
            f"{path} was made with other labels of the same images: resume with the same ones, or remove the file to "
            "start afresh."
        )
    run.steps_done = int(metadata["steps_done"])
    run.classifiers.load_state_dict(_part(tensors, "model."))
    state = run.optimizer.state_dict()
    moments = {index: _part(tensors, f"adam.{index}.") for index in state["param_groups"][0]["params"]}
    run.optimizer.load_state_dict({"state": moments, "param_groups": state["param_groups"]})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _check_finished(out: Path, config: ClassifierConfig, dataset: Dataset) -> Path:
    finished, _ = read_config(out)
    data = json.loads((out / CONFIG).read_text(encoding="utf-8"))["dataset"]
    other_labels = data.get("labels_sha256", dataset.labels_sha256) != dataset.labels_sha256
    if finished != config or other_labels:
        what = "labels" if other_labels else "settings"
        raise OutputExistsError(f"{out} holds classifiers with other {what} and was left as it is: name another --out.")
    return out
