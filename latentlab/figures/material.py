"""What figures need beside the network: a labelled store, attribute directions, statistics of training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from latentlab.directions.editing import UNKNOWN
from latentlab.directions.fitting import attribute_directions
from latentlab.directions.form import Directions, Space, load_directions
from latentlab.errors import DirectionsError, LatentLabError, NoFigureError
from latentlab.progress import Progress, silent
from latentlab.results import NetworkName
from latentlab.store import LatentStore
from latentlab.zoo import DEFAULT_CLASSIFIERS


@dataclass(frozen=True)
class Sources:
    """Where it comes from; what is not named is looked for in the run's folder.

    Attributes:
        run: The folder with config.json, stats.jsonl, run.h5 and directions-SPACE.npz, if there is one.
        store: A store with latents and logits of the network.
        directions: Files of attribute directions of the network.
        compared: Other runs, for their training curves.
        attributes: Of the corner: two names, with the value that each has in the corner, or None for any.
        bundled: Of a bundled network: its own folder, which has config.json and stats.jsonl in place of `run`.
    """

    run: Path | None = None
    store: Path | None = None
    directions: tuple[Path, ...] = ()
    compared: tuple[Path, ...] = ()
    attributes: tuple[tuple[str, bool | None], ...] = ()
    bundled: Path | None = None

    @property
    def trained(self) -> Path | None:
        """The folder with the record of the network's training, if there is one."""
        return self.bundled or self.run


@dataclass
class Material:
    """The same, opened and checked to be of the network.

    What was named and cannot be used is an error; of what only might have lain there, figures say why it cannot.
    """

    network: NetworkName
    sources: Sources = Sources()
    seed: int = 0
    _found: dict[Space, Directions] = field(default_factory=dict)

    @contextmanager
    def store(self) -> Iterator[LatentStore]:
        """The labelled store, open.

        Raises:
            StoreError: The one that was named cannot be used, or is of another network.
            NoFigureError: None was named, and the run's own cannot be used or does not exist.
        """
        path = self.sources.store or self._beside("run.h5")
        if path is None:
            raise NoFigureError(f"no samples of {self.network.name} are here: {self._how_to_sample()}.")
        with self._named(self.sources.store is not None):
            known = None if self.network.sha256 == UNKNOWN else self.network.sha256
            opened = LatentStore.open(path, needs=("z", "logits"), network_sha256=known)
        with opened:
            yield opened

    def directions(self, space: Space, *, progress: Progress = silent) -> Directions:
        """Attribute directions in one space: of a named file, else of the run's own file, else of the store.

        Raises:
            DirectionsError: A file that was named cannot be used, or is of another network.
            StoreError: As `store`.
            NoFigureError: There are none, or what only might have been there cannot be used.
        """
        if space not in self._found:
            self._found[space] = self._named_directions(space) or self._own_directions(space, progress)
        return self._found[space]

    def _named_directions(self, space: Space) -> Directions | None:
        loaded = [self._checked(load_directions(path), path) for path in self.sources.directions]
        if not loaded:
            return None
        of_space = [found for found in loaded if found.space == space]
        if not of_space:
            raise NoFigureError(f"none of the files given as --directions has directions in {space.upper()}.")
        return of_space[0]

    def _own_directions(self, space: Space, progress: Progress) -> Directions:
        path = self._beside(f"directions-{space}.npz")
        if path is not None and self.sources.store is None:
            with self._named(False):
                return self._checked(load_directions(path), path)
        with self.store() as store:
            if not store.has(space) or (space == "w" and not store.settings.has_mapping):
                raise NoFigureError(f"{store.path} has no {space.upper()} that differs from Z.")
            with self._named(self.sources.store is not None):
                return attribute_directions(store, space=space, seed=self.seed, progress=progress)

    def _checked(self, found: Directions, path: Path) -> Directions:
        theirs = found.network["sha256"]
        if theirs != self.network.sha256 and UNKNOWN not in (theirs, self.network.sha256):
            raise DirectionsError(
                f"{path} holds directions of {found.network['name']} (SHA-256 {theirs}), not of {self.network.name} "
                f"(SHA-256 {self.network.sha256}): in another network they mean something else."
            )
        return found

    def _how_to_sample(self) -> str:
        if self.sources.bundled is None:
            return "make some with `latentlab sample`, with classifiers, and name the file as --store"
        return (
            f"`latentlab sample --network {self.sources.bundled.name} --classifiers {DEFAULT_CLASSIFIERS}` makes some"
        )

    def _beside(self, name: str) -> Path | None:
        path = None if self.sources.run is None else self.sources.run / name
        return path if path is not None and path.is_file() else None

    @contextmanager
    def _named(self, named: bool) -> Iterator[None]:
        """Errors of what was not named are reasons to leave a figure out."""
        try:
            yield
        except LatentLabError as error:
            if named or isinstance(error, NoFigureError):
                raise
            raise NoFigureError(str(error)) from error
