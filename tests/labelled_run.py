"""A run folder with labelled samples of the fake network, whose attributes are bent in Z and straight in W."""

import json
from pathlib import Path

import numpy as np
from fake_generator import NETWORK
from tiny_store import foreign

from latentlab.figures import Material, Sources

NAMES = ("Male", "Smiling", "Young")


def latents(count: int) -> tuple[np.ndarray, np.ndarray]:
    """z and w, float64 [count, 8]; w's first two are bent functions of z, the others are z's."""
    z = np.random.default_rng(0).normal(size=(count, 8))
    w = z.copy()
    w[:, 0] = z[:, 0] + 0.8 * (z[:, 2] ** 2 - 1)
    w[:, 1] = z[:, 1] + 0.8 * z[:, 0] * z[:, 3]
    return z, w


def write_store(path: Path, *, count: int = 3000, network=NETWORK, names=NAMES, **arrays: object) -> Path:
    """Male is w[0] > 0, Smiling w[1] > 0, Young z[4] > -0.5."""
    z, w = latents(count)
    logits = np.stack([4 * w[:, 0], 4 * w[:, 1], 4 * (z[:, 4] + 0.5)], axis=1)
    arrays = {"z": z, "w": w, "logits": logits, **arrays}
    who = json.dumps(network.model_dump())
    return foreign(
        path,
        attributes={"attributes": list(names), "network": who, "seed": 0},
        **{name: np.asarray(values, np.float32) for name, values in arrays.items() if values is not None},
    )


def write_config(run: Path, name: str = "faces", *, count: int = 1500, **dataset: object) -> None:
    """As much of config.json as figures read."""
    described = {"name": name, "num_images": count, "filter": "drawn", **dataset}
    (run / "config.json").write_text(json.dumps({"dataset": described}))


def write_stats(run: Path, *, scale: float = 1.0, keys=("swd", "ls_z", "ls_w"), end: int = 12) -> None:
    """A tick per thousand images, growing from 8 to 16 pixels, measured every three."""
    lines = []
    for kimg in range(1, end + 1):
        lod = 1.0 if kimg <= 4 else 0.5 if kimg <= 6 else 0.0
        tick = {"kimg": kimg, "lod": lod, "resolution": 8 if kimg <= 4 else 16, "loss_g": 1.0, "seconds": kimg}
        if kimg % 3 == 0:
            tick |= {key: scale * (place + 1) * 12 / kimg for place, key in enumerate(keys)}
        lines.append(json.dumps(tick))
    (run / "stats.jsonl").write_text("\n".join(lines) + "\n" + '{"kimg": 13, "sw')


def material(run: Path | None = None, **sources: object) -> Material:
    return Material(NETWORK, Sources(run=run, **sources))
