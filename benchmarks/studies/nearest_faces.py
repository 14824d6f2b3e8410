"""Separability from classifiers' labels beside separability from true attributes, on the embedded faces.

    python benchmarks/studies/nearest_faces.py drawn OUT.h5 [--num-samples N] [--noise SD]
    python benchmarks/studies/nearest_faces.py compare TRUTH.h5 OTHER.h5 [...]
    python benchmarks/studies/nearest_faces.py neighbours [--references N] [--num-samples N]

`drawn` makes a store of embedded faces, of which everything is known: z are the normal quantiles of the uniform numbers
that each face was drawn from, so that they are N(0, I), w are its factors, logits its true attributes (with how far
the factor that decides is from its threshold as size), images what is drawn, with normal noise on the pixels (in 8-bit
levels) if asked for. `latentlab label` then labels it by classifiers or by nearest faces.

`compare` takes stores of the same samples; the first is what the others are compared with. For each other store: labels
that agree, Cohen's kappa and balanced accuracy, as means over the attributes; then separability in Z and W over the
attributes valid for both (the first's score, then the other's), the rank correlation of their H(Y|X), and the same
attribute by attribute.

`neighbours` asks how well the nearest of a fixed set of faces tell factors and attributes of faces that are not in it.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import norm, spearmanr

from latentlab.cli.display import print_table
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.embedded import Selection, drawing_version
from latentlab.data.face_factors import FACTOR_NAMES
from latentlab.data.faces import face_factors, face_labels, render_faces
from latentlab.data.nearest_faces import _pixels, fit_start
from latentlab.metrics.separability import SeparabilityScore, linear_separability
from latentlab.randomness import uniform_rows
from latentlab.store import CHUNK_ROWS, LatentStore, StoreSettings
from latentlab.store.writing import new_store

SEED = 1  # classifiers and regressions know seed 0
UNIFORMS = 80
RESOLUTION = 32


def drawn(out: Path, num_samples: int, noise: float) -> None:
    settings = StoreSettings(
        num_samples=num_samples,
        seed=SEED,
        network={"name": f"embedded faces, noise {noise:g}", "sha256": drawing_version()},
        classifiers={"name": "truth", "sha256": drawing_version()},
        attributes=CELEBA_ATTRIBUTES,
        truncation_psi=1.0,
        noise_mode="none",
        datasets=("z", "w", "logits", "images"),
    )
    widths = {"z": UNIFORMS, "w": len(FACTOR_NAMES), "logits": 40, "images": (RESOLUTION, RESOLUTION, 3)}
    with new_store(out, settings, widths, chunk_rows=CHUNK_ROWS) as writer:
        for chunk in range(writer.num_chunks):
            rows = writer.rows(chunk)
            faces = render_faces(SEED, rows, RESOLUTION)
            noisy = faces.images + noise * np.random.default_rng([SEED, chunk]).normal(size=faces.images.shape)
            arrays = {
                "z": norm.ppf(uniform_rows(SEED, "faces", rows, UNIFORMS)).astype(np.float32),
                "w": faces.factors,
                "logits": true_logits(faces.factors),
                "images": np.clip(np.rint(noisy), 0, 255).astype(np.uint8),
            }
            writer.write_chunk(chunk, arrays)


def true_logits(factors: np.ndarray) -> np.ndarray:
    """+-1 and, among them, larger the further every factor would have to move, as a share of the way to 0.5."""
    labels = face_labels(factors).astype(np.float32)
    sizes = np.zeros_like(labels)
    for share in np.linspace(0.1, 0.9, 9, dtype=np.float32):
        moved = factors + share * (np.float32(0.5) - factors)
        sizes += face_labels(moved) == labels
    return labels * (1 + sizes)
