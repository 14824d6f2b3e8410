"""Scalars and images for TensorBoard, where it is installed; training never depends on it."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from latentlab.files import DISK_FULL

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "loss": ("loss_g", "loss_d", "r1", "r2", "gp"),
    "scores": ("scores_real", "scores_fake", "sign_real"),
    "speed": ("images_per_second", "seconds"),
    "latents": ("w_std",),
    "schedule": ("lod", "resolution", "minibatch", "learning_rate"),
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
POSITION = "kimg"  # the axis of every curve: no curve of its own


def tag(name: str) -> str:
    """The tag of a tick's field, GROUP/NAME; whatever is no part of training itself is one of the metrics."""
    return f"{GROUP_OF.get(name, 'metrics')}/{name}"


class Events:
    """Writes RUN/tensorboard/, with images seen as the step; does nothing where tensorboard is not installed.

    Whatever goes wrong is said once and ends the writing; a full disk alone is raised (OSError), since training could
    not go on with it either.
    """

    def __init__(
        self, run: Path | None, purge_from_images: int | None = None, say: Callable[[str], None] = lambda words: None
    ) -> None:
        """Open a new event file.

        Args:
            run: The run folder; None writes nothing (in processes that do not lead).
            purge_from_images: The position of the snapshot that training goes on from: events of more images than
                this are forgotten by whoever reads. None for a new run.
            say: Takes a sentence where the writing had to end.
        """
        self._say = say
        self._writer: SummaryWriter | None = None
        if run is not None:
            self._attempt(lambda: self._open(run / FOLDER, purge_from_images))

    def scalars(self, num_images: int, values: Mapping[str, float]) -> None:
        """Add one point, at `num_images` images seen, to the curve of every value; tags are those of `tag`."""

        def write(writer: "SummaryWriter") -> None:
            for name, value in values.items():
                if name != POSITION:
                    writer.add_scalar(tag(name), value, global_step=num_images)
            writer.flush()

        self._with_writer(write)

    def image(self, num_images: int, name: str, image: np.ndarray) -> None:
        """Add an image, uint8 [H, W, C] with one or three channels, at `num_images` images seen."""

        def write(writer: "SummaryWriter") -> None:
            writer.add_image(name, image, global_step=num_images, dataformats="HWC")
            writer.flush()

        self._with_writer(write)

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; an error of the training that ends here is never hidden behind one of the writing."""
        try:
            self._with_writer(lambda writer: writer.close())
        except OSError:
            if error is None:
                raise
        finally:
            self._writer = None

    def _open(self, folder: Path, purge_from_images: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        # TensorBoard purges steps of `purge_step` or more; the snapshot's own tick stays.
        purge_step = None if purge_from_images is None else purge_from_images + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def _with_writer(self, write: Callable[["SummaryWriter"], None]) -> None:
        writer = self._writer
        if writer is not None:
            self._attempt(lambda: write(writer))

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do something with TensorBoard; its warnings and errors stay here, but for a full disk."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                work()
        except Exception as error:
            self._abandon()
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            self._say(f"TensorBoard's files are not written any more ({type(error).__name__}: {error}).")

    def _abandon(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):  # it has failed already
                writer.close()
