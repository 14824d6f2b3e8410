"""Edits: latents moved along attribute directions, and their images."""

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_rows, spread
from latentlab.directions.form import Directions, Space
from latentlab.directions.steps import check_steps, warn_of_far
from latentlab.errors import DataError, DirectionsError, OffSamplesWarning, UnknownNetworkWarning, UsageError
from latentlab.images import to_uint8
from latentlab.latents import sample_z, truncate
from latentlab.progress import Progress, silent
from latentlab.protocols import (
    GeneratorLike,
    NoiseMode,
    draw_noise,
    synthesize,
)
from latentlab.results import NetworkName

UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Edit:
    """A move of latents along one attribute's direction.

    Attributes:
        attribute: Its name.
        space: "z" or "w".
        step: float64 [D], what is added to a latent per step: one standard deviation along the direction.
        conditioned_on: The attributes whose directions it is orthogonal to.
        source: What tells it from edits of the same attribute in the same space, such as a file's name; may be empty.
        hardly_known: Whether the direction rests on fewer samples of the rarer class than there are dimensions.
    """

    attribute: str
    space: Space
    step: np.ndarray
    conditioned_on: tuple[str, ...] = ()
    source: str = ""
    hardly_known: bool = False

    @property
    def name(self) -> str:
        """What pictures and tables call it."""
        others = f", orthogonal to {', '.join(self.conditioned_on)}" if self.conditioned_on else ""
        source = f" ({self.source})" if self.source else ""
        return f"{self.attribute} in {self.space.upper()}{others}{source}"


def edits_along(
    directions: Sequence[Directions],
    attributes: Sequence[str] | None,
    *,
    sources: Sequence[str] | None = None,
    besides: Sequence[str] = (),
) -> list[Edit]:
    """Edits along the directions of some attributes; of each attribute, those of all the given directions in turn.

    Args:
        directions: Of one or more spaces.
        attributes: Names; None for all that are valid and not hardly known.
        sources: For each of the directions, what tells it from others of the same space.
        besides: With None, names that are taken all the same.

    Raises:
        UsageError: There is no such attribute, or it has no direction, or there are none but hardly known ones.
    """
    sources = sources or [""] * len(directions)
    known = [well_known(found) for found in directions]
    names = dict.fromkeys(attributes or [*itertools.chain(*known), *besides])
    if not names:
        raise UsageError("all directions are hardly known: fewer samples than dimensions. Name those to edit.")
    edits = []
    for name in names:
        for found, source, usual in zip(directions, sources, known, strict=True):
            if attributes is None and name not in usual and name not in besides:
                continue
            row = found.index(name)
            step = found.scale[row] * found.directions[row]
            few = bool(found.hardly_known[row])
            edits.append(Edit(name, found.space, step, found.conditioned_on[row], source, few))
    return edits


def well_known(found: Directions) -> list[str]:
    """Attributes whose directions are valid and rest on enough samples."""
    there = found.valid & ~found.hardly_known
    return [name for name, known in zip(found.attributes, there, strict=True) if known]


def check_network(
    found: Directions, generator: GeneratorLike, network: NetworkName, *, any_network: bool = False
) -> None:
    """Directions must be of this network, by its hash; where they do not say of which they are, a warning.

    Raises:
        DirectionsError: They are of another network, or have other dimensions.
    """
    space, dims = found.space.upper(), generator.z_dim if found.space == "z" else generator.w_dim
    theirs = found.network
    if found.dims != dims:
        raise DirectionsError(
            f"the directions are of a {space} of {found.dims} dimensions ({theirs['name']}), but {network.name} has "
            f"{dims}: make directions of a store of this network."
        )
    if any_network or theirs["sha256"] == network.sha256:
        return
    if UNKNOWN in (theirs["sha256"], network.sha256):
        warnings.warn(
            f"nothing says that the directions in {space} ({theirs['name']}) are of {network.name}: if they are not, "
            "they mean nothing.",
            UnknownNetworkWarning,
            stacklevel=2,
        )
        return
    raise DirectionsError(
        f"the directions in {space} are of {theirs['name']} (SHA-256 {theirs['sha256']}), not of {network.name} "
        f"(SHA-256 {network.sha256}): in another network they mean something else. Name that network, make directions "
        "of this one, or say --any-network."
    )


def check_truncation(found: Directions, psi: float) -> None:
    """Warn where directions come from samples at another truncation than that of the edits."""
    theirs = (found.provenance.get("store") or {}).get("truncation_psi")
    if theirs is not None and theirs != psi:
        warnings.warn(
            f"the directions in {found.space.upper()} are of samples at truncation psi {theirs:g}, and edits are made "
            f"at {psi:g}: steps are standard deviations of those samples, and here the attributes may look otherwise.",
            OffSamplesWarning,
            stacklevel=2,
        )


def in_words(layers: Sequence[int] | None) -> str:
    """`layers 0-3, 5`, or `all layers`."""
    if layers is None:
        return "all layers"
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    listed = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"layer{'s' * (len(layers) > 1)} {listed}"


@dataclass(frozen=True)
class Editor:
    """Makes images of edited latents of a generator.

    Attributes:
        generator: In eval mode, on `device`.
        device: Where it is.
        truncation_psi: 1 for none. What is edited in W has been truncated before; in Z, it is truncated afterwards.
        noise_mode: "random": fresh noise for every latent, and the same for all edits of it; "const"; "none".
        layers: The layers that edits in W reach; None for all. Edits in Z reach all.
        network: What the generator is called, for pictures and tables.
    """

    generator: GeneratorLike
    device: torch.device | str = "cpu"
    truncation_psi: float = 1.0
    noise_mode: NoiseMode = "random"
    layers: tuple[int, ...] | None = None
    network: NetworkName | None = None

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: There are no such layers, or psi is not a finite number.
        """
        if not math.isfinite(self.truncation_psi):
            raise UsageError(f"truncation psi is {self.truncation_psi}; it must be a finite number, 1 for none.")
        count = self.generator.num_ws
        wrong = [layer for layer in self.layers or () if not 0 <= layer < count]
        if wrong or self.layers == ():
            which = f"layer {wrong[0]}" if wrong else "no layer"
            raise UsageError(f"{which} shall be edited; this generator has the layers 0 to {count - 1}.")

    @property
    def description(self) -> str:
        """The network's name, and what is not as it is by default, in words."""
        found = [self.network.name] if self.network else []
        found += [f"truncation {self.truncation_psi:g}"] if self.truncation_psi != 1 else []
        found += [f"noise {self.noise_mode}"] if self.noise_mode != "random" else []
        found += [f"edits in W reach {in_words(self.layers)} only"] if self.layers is not None else []
        return ", ".join(found)

    def latents(self, z: Tensor, edit: Edit | None, step: float = 0.0) -> Tensor:
        """ws [N, num_ws, w_dim] of z [N, z_dim] on the CPU, moved by some steps; as they are for no edit.

        Raises:
            UsageError: That many steps make numbers which float32 cannot hold.
        """
        if edit is None:
            return self._mapped(z)
        with np.errstate(over="ignore", invalid="ignore"):
            move = torch.from_numpy((step * edit.step).astype(np.float32))
        moved = z + move if edit.space == "z" else z
        if not (move.isfinite().all() and moved.isfinite().all()):
            raise UsageError(f"{step:g} steps of {edit.name} are too far: numbers overflow. Take fewer steps.")
        ws = self._mapped(moved)
        if edit.space == "w":
            ws = ws.clone()
            ws[:, slice(None) if self.layers is None else list(self.layers)] += move.to(ws)
        return ws

    def images(self, ws: Sequence[Tensor], rows: slice, *, seed: int, stream: str = "noise") -> list[Tensor]:
        """Images of views of the same rows, under the same noise.

        Raises:
            DataError: They are not finite.
        """
        noise = draw_noise(self.generator, rows, seed=seed, stream=stream) if self.noise_mode == "random" else None
        made = synthesize(
            self.generator, ws, rows=rows, seed=seed, stream=stream, noise_mode=self.noise_mode, noise=noise
        )
        if not all(torch.isfinite(images).all() for images in made):
            raise DataError("the generator made images that are not finite: take fewer or smaller steps.")
        return made

    def _mapped(self, z: Tensor) -> Tensor:
        w_avg = torch.as_tensor(self.generator.w_avg, device=self.device)
        return truncate(self.generator.mapping(z.to(self.device)), w_avg, self.truncation_psi)


def render_edits(
    editor: Editor,
    edits: Sequence[Edit],
    *,
    steps: Sequence[float],
    seeds: Sequence[int],
    progress: Progress = silent,
) -> np.ndarray:
    """Images of edits, uint8 [edits, seeds, steps, H, W, C].

    A seed's latent and noise are those of sample 0 under this seed, as `latentlab sample` makes it.

    Args:
        editor: Of the network.
        edits: See `edits_along`.
        steps: How far to go, in standard deviations along the direction; 0 is the unedited image.
        seeds: Of the latents.
        progress: Told after every strip.

    Raises:
        UsageError: Steps are no numbers, or too far.
        DataError: Images are not finite.
    """
    check_steps(steps)
    warn_of_far(steps)
    at_once = block_rows(editor.generator.img_resolution)

    @torch.inference_mode()
    def strip(item: tuple[Edit, int]) -> np.ndarray:
        edit, seed = item
        z = sample_z(seed, slice(0, 1), editor.generator.z_dim)
        views = [editor.latents(z, edit, step) for step in steps]
        parts = [views[start : start + at_once] for start in range(0, len(views), at_once)]
        return np.concatenate(
            [to_uint8(image) for part in parts for image in editor.images(part, slice(0, 1), seed=seed)]
        )

    items = [(edit, seed) for edit in edits for seed in seeds]
    strips = []
    for done, (_, made) in enumerate(spread(strip, items, editor.generator, editor.device), 1):
        strips.append(made)
        progress(done, len(items))
    return np.stack(strips).reshape(len(edits), len(seeds), *strips[0].shape)
