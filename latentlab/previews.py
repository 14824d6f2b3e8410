"""Images that a report shows: samples, and walks between the same pairs of latents in Z and in W."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from latentlab.checkpoint import load_generator, snapshots
from latentlab.files import atomic_file
from latentlab.images import to_uint8
from latentlab.latents import lerp, sample_z
from latentlab.protocols import GeneratorLike, has_mapping, synthesize, walk_z

NUM_SAMPLES, NUM_PAIRS, NUM_STEPS = 64, 4, 9


def refresh_previews(
    run: Path,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Render a run's, or a network folder's, previews.npz unless it shows its newest network, if it has one.

    `say` is told when images are about to be drawn: of a large network they take minutes.
    """
    if not snapshots(run) and not (run / "network.json").is_file():
        return
    generator, network = load_generator(run)
    if not previews_show(run / "previews.npz", network.sha256):
        say(drawing(network.name))
        save_previews(run / "previews.npz", generator.to(device), seed=seed, sha256=network.sha256, device=device)


def drawing(name: str) -> str:
    """What is about to be drawn of a network, in words."""
    return f"drawing {NUM_SAMPLES} samples and {2 * NUM_PAIRS} interpolations of {name}"


def save_previews(
    path: Path | str,
    generator: GeneratorLike,
    *,
    seed: int = 0,
    sha256: str,
    device: torch.device | str | None = None,
) -> None:
    """Write previews.npz (docs/architecture.md) for a generator in eval mode; `sha256` says which weights it shows."""
    arrays = render_previews(generator, seed=seed, device=device)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, network_sha256=np.array(sha256), **arrays)


def previews_show(path: Path | str, sha256: str) -> bool:
    """Whether a previews.npz exists, is readable and shows the network with these weights."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return "network_sha256" in stored.files and str(stored["network_sha256"]) == sha256
    except (OSError, ValueError):
        return False


@torch.inference_mode()
def render_previews(
    generator: GeneratorLike, *, seed: int = 0, device: torch.device | str | None = None
) -> dict[str, np.ndarray]:
    """uint8 arrays `samples` [N, H, W, C], `interpolation_z` and, with a mapping, `interpolation_w` [P, S, H, W, C].

    No truncation; fresh noise for every sample, the same noise along a walk. `device` is where the generator is; its
    w_avg says so if left out.
    """
    device = torch.as_tensor(generator.w_avg).device if device is None else torch.device(device)
    rows = slice(0, NUM_SAMPLES)
    ws = generator.mapping(sample_z(seed, rows, generator.z_dim, stream="preview").to(device))
    arrays = {"samples": to_uint8(synthesize(generator, [ws], rows=rows, seed=seed, stream="preview-noise")[0])}
    spaces: tuple[Literal["z", "w"], ...] = ("z", "w") if has_mapping(generator) else ("z",)
    return arrays | {f"interpolation_{space}": _walk(generator, space, seed, device) for space in spaces}


def _walk(generator: GeneratorLike, space: Literal["z", "w"], seed: int, device: torch.device) -> np.ndarray:
    """Equal steps from one end to the other: slerp before the mapping in Z, lerp after it in W."""
    rows = slice(0, NUM_PAIRS)
    z0, z1 = (sample_z(seed, rows, generator.z_dim, stream=name).to(device) for name in ("walk-z0", "walk-z1"))
    steps = torch.linspace(0, 1, NUM_STEPS).tolist()
    if space == "z":
        views = [generator.mapping(walk_z(generator, z0, z1, step)) for step in steps]
    else:
        w0, w1 = generator.mapping(z0), generator.mapping(z1)
        views = [lerp(w0, w1, step) for step in steps]
    images = synthesize(generator, views, rows=rows, seed=seed, stream="walk-noise")
    return np.stack([to_uint8(step) for step in images], axis=1)
