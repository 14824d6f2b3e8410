"""The embedded faces as files, in the layout of CelebA, to look at or to give to other programs."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.celeba import IMAGE_FOLDERS, TEXT_FILE
from latentlab.data.embedded import DEFAULT_COUNT, Selection, draw_in_chunks
from latentlab.data.faces import FACTOR_NAMES, Faces
from latentlab.errors import UsageError
from latentlab.files import atomic_folder
from latentlab.progress import Progress, silent


def write_celeba_layout(
    out: Path | str,
    *,
    resolution: int,
    num_images: int = DEFAULT_COUNT,
    seed: int = 0,
    missing: dict[str, bool] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write img_align_celeba/000001.png ..., list_attr_celeba.txt and factors.csv; the folder appears at once.

    Opening the folder gives the same images and labels as opening "faces" with the same arguments.

    Raises:
        UsageError: the resolution (16 to 256) or the number of images is not allowed.
        OutputExistsError: `out` exists already.
    """
    if num_images < 1:
        raise UsageError(f"{num_images} images asked for: at least 1 is needed.")
    selection = Selection(seed, num_images, tuple(sorted((missing or {}).items())))
    names = [f"{number:06d}.png" for number in range(1, num_images + 1)]
    with atomic_folder(out) as folder:
        images = folder / IMAGE_FOLDERS[0]
        images.mkdir()
        labels: list[np.ndarray] = []
        factors: list[np.ndarray] = []
        for faces in draw_in_chunks(selection, resolution, progress):
            start = sum(map(len, labels))
            _write_images(images, names[start : start + len(faces.images)], faces)
            labels.append(faces.labels)
            factors.append(faces.factors)
        _write_attributes(folder / TEXT_FILE, names, np.concatenate(labels))
        table = pd.DataFrame(np.concatenate(factors), index=pd.Index(names, name="image"), columns=list(FACTOR_NAMES))
        table.to_csv(folder / "factors.csv")
    return Path(out)


def _write_images(folder: Path, names: list[str], faces: Faces) -> None:
    def write(name: str, image: np.ndarray) -> None:
        Image.fromarray(image).save(folder / name)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, names, faces.images))


def _write_attributes(path: Path, names: list[str], labels: np.ndarray) -> None:
    """CelebA's own form: number of images, names of attributes, then one line per image."""
    lines = [str(len(names)), " ".join(CELEBA_ATTRIBUTES)]
    lines += [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, labels.tolist(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
