"""Training attribute classifiers on labelled images, in one pass over the data for all of them.

What happens at a step is a function of (seed, step) alone, so a training that was killed and resumed gives the same
classifiers as one that was not; separate networks learn each by itself, so neither does it matter how many processes
share them. The loss is plain binary cross-entropy: its minimiser is the log-odds that the attribute is present.
Weighting rare classes up would move the logits away from that.
"""

import json
import math
import shutil
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attribute_classifiers.batches import Batches, binary_targets
from attribute_classifiers.card import Training
from attribute_classifiers.evaluation import calibrate, evaluate
from attribute_classifiers.learners import Steps, make_learners, together
from attribute_classifiers.network import CONFIG, AttributeClassifiers, read_config, save_classifiers
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from attribute_classifiers.split import split_images
from attribute_classifiers.states import (
    is_unfinished,
    newest_state,
    restore_state,
    save_state,
    states_folder,
    weights_in,
)
from latentlab.data import Dataset
from latentlab.distributed import Team
from latentlab.errors import DivergenceError, OneClassWarning, OutputExistsError, UsageError
from latentlab.files import only_writer, refuse_existing
from latentlab.progress import Progress, silent

LOOK_EVERY = 20
"""Steps between looks at the losses on a GPU, each of which waits for what has been queued."""


def train_classifiers(
    dataset: Dataset,
    config: ClassifierConfig,
    out: Path | str,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    resume: bool = False,
    team: Team | None = None,
    stack: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Train classifiers on a labelled dataset and write the folder `out` with its card.

    While it runs, the folder OUT.training beside `out` holds the newest state; it goes when `out` appears. Several
    processes share separate networks, and of a shared one every minibatch; process 0 writes `out`.

    Args:
        dataset: Labelled images at the classifiers' resolution.
        config: What is trained and how; see `presets.preset`.
        out: Folder to write.
        seed: Everything random follows from it.
        device: Where to compute.
        resume: Go on from the state that a killed run left, or start where there is none; if `out` is finished
            already, return at once.
        team: The processes that share the work; this one alone if None.
        stack: Separate networks that are computed as one; see `learners.make_learners`.
        progress: Told how many images have been shown, of how many, and the loss.

    Raises:
        UsageError: the resolutions differ; a state to resume was made with other settings, images, labels or seed;
            there are more processes than networks to share (separate) or images in a minibatch (shared); another
            process trains `out`.
        OutputExistsError: `out` exists (without `resume`), or an unfinished training of it does.
        DataError: the images have no labels, or not those of the attributes asked for.
        DivergenceError: a loss was not finite.
    """
    out, team = Path(out), team or Team()
    refuse_taken(out, resume=resume)
    targets = binary_targets(dataset, config)
    _check_team(config, team)
    if out.exists():
        _check_finished(out, config, dataset=dataset, seed=seed)
        shutil.rmtree(states_folder(out), ignore_errors=True)  # of a kill at the very end
        return out
    run = TrainingRun(
        dataset, config, targets, seed=seed, device=torch.device(device), team=team, folder=states_folder(out)
    )
    taken = UsageError(f"{out} is being trained by another process: wait for it or name another --out.")
    with only_writer(out, taken) if team.leads else nullcontext():  # process 0 holds the right for all of its team
        run.restore(resume=resume)
        run.train(stack=stack, progress=progress)
        if team.leads:
            _finish(run, out, progress)
        team.wait()
    return out


def refuse_taken(out: Path, *, resume: bool) -> None:
    """Raise unless `out` can be trained: neither it nor an unfinished training of it may exist, but for resuming.

    Raises:
        OutputExistsError: one of them does.
    """
    if not resume:
        refuse_existing(out)
        refuse_unfinished(states_folder(out))


def refuse_unfinished(folder: Path) -> None:
    """Raise OutputExistsError if a training has saved states there."""
    if is_unfinished(folder):
        raise OutputExistsError(
            f"{folder} holds an unfinished training and was left as it is: add --resume to go on with it, name another "
            "--out, or remove it to start afresh."
        )


class TrainingRun:
    """One training: what is learned from, and the folder of its states."""

    def __init__(
        self,
        dataset: Dataset,
        config: ClassifierConfig,
        targets: np.ndarray,
        *,
        seed: int,
        device: torch.device,
        team: Team,
        folder: Path,
    ) -> None:
        self.dataset, self.config, self.targets, self.seed, self.device = dataset, config, targets, seed, device
        self.team, self.folder = team, folder
        self.split = split_images(len(dataset), config.training.held_out, seed)
        self._warn_of_one_class()

    @property
    def identity(self) -> str:
        """Everything that decides what a training does, as text; it may go on only from a state with the same."""
        data = _described(self.dataset)
        return json.dumps({"config": self.config.model_dump(mode="json"), "dataset": data, "seed": self.seed})

    def _warn_of_one_class(self) -> None:
        shares = self.targets[self.split.train].mean(axis=0)
        for share, which in ((0, "no training image shows"), (1, "every training image shows")):
            names = [name for name, found in zip(self.config.attributes, shares, strict=True) if found == share]
            if names and self.team.leads:
                words = f"{which} {', '.join(names)}: there is nothing to learn about that."
                warnings.warn(words, OneClassWarning, stacklevel=3)

    def restore(self, *, resume: bool) -> None:
        """Find the state to go on from, if there is one, before anything else is made."""
        self.state = newest_state(self.folder)
        if not resume:
            refuse_unfinished(self.folder)
        self.team.wait()  # before anyone writes

    def train(self, *, stack: int | None, progress: Progress) -> None:
        """Take the steps that are left, saving states; the last one is saved in any case."""
        training = self.config.training
        learners = make_learners(self.config, seed=self.seed, device=self.device, team=self.team, stack=stack)
        done = restore_state(self.state, learners, identity=self.identity) if self.state else 0
        batches = Batches(self.dataset, self.targets, train=self.split.train, training=training, seed=self.seed)
        note = ""
        with together(learners, self.device) as all_of_them:
            for images, targets in batches.since(done, self.device):
                losses = all_of_them.step(images, targets, learning_rate(done, training))
                done += 1
                saving = done % training.checkpoint_every == 0 or done == training.num_steps
                if saving or self.device.type == "cpu" or done % LOOK_EVERY == 0:
                    note = f"loss {self._mean(losses, done):.3f}"
                if saving:
                    self._save(learners, done)
                progress(min(done * training.batch_size, training.num_images), training.num_images, note)

    def _save(self, learners: Sequence[Steps], done: int) -> None:
        """Each process saves its networks; one that is shared is saved by the leading process."""
        shared = self.config.trunk == "shared"
        save_state(
            self.folder,
            learners if self.team.leads or not shared else (),
            steps_done=done,
            identity=self.identity,
            team=self.team,
            part=(0, 1) if shared else (self.team.rank, self.team.size),
        )

    def _mean(self, losses: Tensor, done: int) -> float:
        mean = float(losses.mean())
        if not math.isfinite(mean):
            raise DivergenceError(
                f"the loss became {mean} at step {done - 1}: train with a lower learning rate than "
                f"{self.config.training.learning_rate}, and check the images."
            )
        return mean


def learning_rate(step: int, training: TrainingConfig) -> float:
    """Linear warm-up to the highest rate, then constant, or a half cosine to zero (Loshchilov and Hutter 2017)."""
    rising = training.warmup * training.num_steps
    if step < rising:
        return training.learning_rate * (step + 1) / (rising + 1)
    if not training.decay:
        return training.learning_rate
    return training.learning_rate * (1 + math.cos(math.pi * (step - rising) / (training.num_steps - rising))) / 2


def _finish(run: TrainingRun, out: Path, progress: Progress) -> None:
    """Put the networks of all processes together, measure them, and write the folder; then the states may go."""
    state = newest_state(run.folder)
    assert state is not None, "the last step is always saved"
    classifiers = AttributeClassifiers(run.config, name=out.name)
    for network, weights in zip(
        classifiers, weights_in(state, run.config.num_networks, identity=run.identity), strict=True
    ):
        network.load_state_dict(weights)
    classifiers.to(run.device).to(memory_format=torch.channels_last)
    calibrate(classifiers.eval(), run.dataset, run.split.calibration, progress=progress)
    training = Training(_described(run.dataset), len(run.split.train), len(run.split.calibration))
    card = evaluate(
        classifiers, run.dataset, training=training, rows=run.split.measured, seed=run.seed, progress=progress
    )
    save_classifiers(out, classifiers, dataset=_described(run.dataset), card=card, seed=run.seed)
    shutil.rmtree(run.folder, ignore_errors=True)


def _check_team(config: ClassifierConfig, team: Team) -> None:
    most = config.training.batch_size if config.trunk == "shared" else config.num_networks
    if team.size > most:
        shared = "images of a minibatch" if config.trunk == "shared" else "networks"
        raise UsageError(f"{team.size} processes cannot share {most} {shared}: start at most {most}.")


def _check_finished(out: Path, config: ClassifierConfig, *, dataset: Dataset, seed: int) -> None:
    """Refuse finished classifiers that another training made; what older folders do not record is not compared."""
    finished, _ = read_config(out)
    recorded = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    found, wanted = {"seed": seed, **recorded}, _described(dataset)
    differing = ["settings"] * (finished != config) + ["seed"] * (found["seed"] not in (seed, None))
    for name, what in (("fingerprint", "images"), ("labels_sha256", "labels")):
        differing += [what] * (found["dataset"].get(name, wanted[name]) != wanted[name])
    if differing:
        raise OutputExistsError(
            f"{out} holds classifiers with other {', '.join(differing)} and was left as it is: name another --out."
        )


def _described(dataset: Dataset) -> dict[str, str | int | None]:
    return {**dataset.describe(), "labels_sha256": dataset.labels_sha256}
