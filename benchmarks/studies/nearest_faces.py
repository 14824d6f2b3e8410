"""Separability from classifiers' labels beside separability from true attributes, on the embedded faces.

    python benchmarks/studies/nearest_faces.py drawn OUT.h5 [--num-samples N] [--noise LEVELS]
    python benchmarks/studies/nearest_faces.py compare FIRST.h5 OTHER.h5 [...]
    python benchmarks/studies/nearest_faces.py factors DRAWN.h5 FACTORS.npz
    python benchmarks/studies/nearest_faces.py neighbours [--references N] [--num-samples N]

`drawn` makes a store of embedded faces, of which everything is known: z are the normal quantiles of the uniform numbers
that decide each face, so that z ~ N(0, I); w are its factors; logits are 1 where an attribute is present and -1 where
it is not; images are its drawing, with normal noise on the pixels if asked for. `latentlab label` then labels it by
classifiers, and by nearest faces with their factors.

`compare` takes stores of the same samples, and compares the others with the first: shares of equal labels, Cohen's
kappa, balanced accuracy (means over attributes of which the first has both classes); the rank correlation of H(Y|X)
over the attributes valid for both; and the separability over these in Z and W, as the first has it and as the other has
it: with all samples kept, and with the half of which the other is most confident, so that only labels differ.

`factors` shows R^2 of the factors that `latentlab label --nearest-faces --factors-out` found for a drawn store.

`neighbours` asks how well the nearest of a fixed set of faces tell attributes and factors of faces that are not in it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import norm, spearmanr
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from latentlab.cli.display import print_table
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.embedded import drawing_version
from latentlab.data.face_factors import FACTOR_NAMES
from latentlab.data.faces import render_faces
from latentlab.metrics.separability import linear_separability
from latentlab.randomness import uniform_rows
from latentlab.store import CHUNK_ROWS, LatentStore, StoreSettings
from latentlab.store.writing import new_store

SEED = 1  # classifiers, and the regressions that searches start from, know seed 0
UNIFORMS = 80
RESOLUTION = 32
KEPT = (1.0, 0.5)


def drawn(out: Path, num_samples: int, noise: float) -> None:
    version = drawing_version()
    settings = StoreSettings(
        num_samples=num_samples,
        seed=SEED,
        network={"name": f"embedded faces, noise of {noise:g} levels", "sha256": version},
        classifiers={"name": "truth", "sha256": version},
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
            errors = noise * np.random.default_rng([SEED, chunk]).normal(size=faces.images.shape)
            arrays = {
                "z": norm.ppf(uniform_rows(SEED, "faces", rows, UNIFORMS)).astype(np.float32),
                "w": faces.factors,
                "logits": faces.labels.astype(np.float32),
                "images": np.clip(np.rint(faces.images + errors), 0, 255).astype(np.uint8),
            }
            writer.write_chunk(chunk, arrays)


def compare(first: Path, others: list[Path], each: bool) -> None:
    names, truth, spaces = read(first)
    labels, table = [], []
    for path in others:
        logits = read(path)[1]
        both = [column for column in range(len(names)) if 0 < (truth[:, column] > 0).mean() < 1]
        agreed = np.array([agreement(truth[:, column] > 0, logits[:, column] > 0) for column in both])
        labels.append([path.stem, *(f"{mean:.3f}" for mean in agreed.mean(axis=0))])
        as_sure = np.where(truth > 0, 1, -1) * np.maximum(np.abs(logits), 1e-6)
        keys = [(kept, space) for kept in KEPT for space in spaces]
        mine = {(kept, space): entropies(spaces[space], as_sure, names, kept) for kept, space in keys}
        theirs = {(kept, space): entropies(spaces[space], logits, names, kept) for kept, space in keys}
        for kept, space in keys:
            found = scores(mine[kept, space], theirs[kept, space])
            table.append([path.stem, f"{kept:.0%}", space, *found])
        if each:
            rows = list(by_attribute(names, both, agreed, mine, theirs))
            print_table(["attribute", "present", "kappa", "balanced", "H/H(Y), Z", "", "H/H(Y), W", ""], rows)
    print_table(["labels", "equal", "kappa", "balanced accuracy"], labels, title=f"compared with {first.stem}")
    columns = ["labels", "kept", "space", "attributes", "score", "", "mean H(Y|X)/H(Y)", "", "rank correlation"]
    print_table(columns, table)


def read(path: Path) -> tuple[tuple[str, ...], np.ndarray, dict[str, np.ndarray]]:
    with LatentStore.open(path, needs=["z", "w", "logits"]) as store:
        return store.settings.attributes, store.logits, {"Z": store.z, "W": store.w}


def agreement(truth: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Share of equal labels, Cohen's kappa, balanced accuracy."""
    equal = float((truth == labels).mean())
    return equal, float(cohen_kappa_score(truth, labels)), float(balanced_accuracy_score(truth, labels))


def entropies(latents: np.ndarray, logits: np.ndarray, names: tuple[str, ...], kept: float) -> dict[str, np.ndarray]:
    """H(Y|X) and H(Y) in bits of the valid attributes, by name."""
    score = linear_separability(latents, logits, attributes=names, keep_fraction=kept, bootstrap=2)
    valid = [entry for entry in score.attributes if entry["valid"]]
    return {entry["name"]: np.array([entry["conditional_entropy_bits"], entry["entropy_bits"]]) for entry in valid}


def scores(first: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Over the attributes valid for both: how many, the scores, the means of H(Y|X) / H(Y), the rank correlation."""
    names = [name for name in first if name in other]
    bits = [np.array([found[name] for name in names]) for found in (first, other)]
    shares = [(found[:, 0] / found[:, 1]).mean() for found in bits]
    rank = spearmanr(bits[0][:, 0], bits[1][:, 0]).statistic
    values = [f"{2 ** found[:, 0].sum():.2f}" for found in bits]
    return [str(len(names)), *values, *(f"{share:.3f}" for share in shares), f"{rank:.2f}"]


def by_attribute(
    names: tuple[str, ...], columns: list[int], agreed: np.ndarray, mine: dict, theirs: dict
) -> Iterator[list[str]]:
    """With all samples kept."""
    for column, (_, kappa, balanced) in zip(columns, agreed, strict=True):
        cells = [found[1.0, space].get(names[column]) for space in ("Z", "W") for found in (mine, theirs)]
        parts = ["–" if cell is None else f"{cell[0] / cell[1]:.3f}" for cell in cells]
        yield [names[column], f"{kappa:.2f}", f"{balanced:.2f}", *parts]


def factors(store: Path, found: Path) -> None:
    truth, values = read(store)[2]["W"], np.load(found)["values"]
    left = np.square(values - truth).sum(axis=0) / np.square(truth - truth.mean(axis=0)).sum(axis=0)
    order = np.argsort(left)
    print_table(["factor", "R^2"], [[FACTOR_NAMES[column], f"{1 - left[column]:.3f}"] for column in order])


def neighbours(references: int, num_samples: int) -> None:
    known, asked = (render_faces(seed, slice(0, n), RESOLUTION) for seed, n in ((0, references), (SEED, num_samples)))
    pixels, queries = (faces.images.reshape(len(faces.images), -1) / np.float32(127.5) for faces in (known, asked))
    mean = pixels.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(pixels[:20000].T))
    moments = (pixels - mean).T @ (pixels - mean) + 1e-3 * len(pixels) * np.eye(len(mean), dtype=np.float32)
    centred, spread = known.factors - known.factors.mean(axis=0), known.factors.std(axis=0)
    regression = np.linalg.solve(moments, (pixels - mean).T @ (centred / spread)).astype(np.float32)
    axes, variances = axes[:, ::-1][:, :1024].astype(np.float32), variances[::-1][:256].astype(np.float32)
    whitening = axes[:, :256] / np.sqrt(variances)
    spaces = {
        "pixels": axes,
        "whitened pixels, 64 dimensions": whitening[:, :64],
        "whitened pixels, 256 dimensions": whitening,
        "factors by regression": regression,
    }
    rows = []
    for name, projection in spaces.items():
        nearest = nearest_rows((queries - mean) @ projection, (pixels - mean) @ projection, 32)
        for k in (1, 8, 32):
            votes = (known.labels > 0)[nearest[:, :k]].mean(axis=1) > 0.5
            scored = [balanced_accuracy_score(t > 0, v) for t, v in zip(asked.labels.T, votes.T, strict=True)]
            means = known.factors[nearest[:, :k]].mean(axis=1)
            r2 = 1 - np.square(means - asked.factors).mean(axis=0) / asked.factors.var(axis=0)
            above = sum(score > 0.9 for score in scored)
            rows.append([name, str(k), f"{np.mean(scored):.3f}", str(above), f"{np.median(r2):.3f}"])
    print_table(["space", "k", "balanced accuracy", "attributes above 0.9", "median R^2"], rows)


def nearest_rows(queries: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    """Indices [N, count] of the nearest rows, nearest first, by |a - b|^2 = |a|^2 - 2 a.b + |b|^2."""
    lengths, found = np.square(known).sum(axis=1), []
    for block in np.array_split(queries, max(len(queries) // 500, 1)):
        distances = lengths - 2 * block @ known.T
        some = np.argpartition(distances, count, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, some, axis=1), axis=1)
        found.append(np.take_along_axis(some, order, axis=1))
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for part, paths in (
        ("drawn", ["out"]),
        ("compare", ["first"]),
        ("factors", ["store", "found"]),
        ("neighbours", []),
    ):
        sub = parts.add_parser(part)
        for path in paths:
            sub.add_argument(path, type=Path)
        if part == "compare":
            sub.add_argument("others", type=Path, nargs="+")
            sub.add_argument("--each", action="store_true", help="attribute by attribute, too")
        if part in ("drawn", "neighbours"):
            sub.add_argument("--num-samples", type=int, default=4000)
    parts.choices["drawn"].add_argument("--noise", type=float, default=0.0, help="standard deviation in 8-bit levels")
    parts.choices["neighbours"].add_argument("--references", type=int, default=100_000)
    options = vars(parser.parse_args())
    {"drawn": drawn, "compare": compare, "factors": factors, "neighbours": neighbours}[options.pop("part")](**options)


if __name__ == "__main__":
    main()
