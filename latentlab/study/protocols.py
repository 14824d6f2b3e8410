"""By which settings a study trains and measures, and whether a result is by them: other commands write to runs, too."""

from collections.abc import Mapping
from typing import Any

from latentlab.metrics.path_length import PathSettings, Sampling
from latentlab.metrics.separability.pruning import CONFIDENCE, SOLVER
from latentlab.study.recipe import INCEPTION, LPIPS, Recipe
from latentlab.study.tables import Measure, Space, Variant
from trainers.presets import Choice

REAL_FIELDS = ("fingerprint", "resolution", "crop", "filter")
"""What a run's config.json and a distance to real images both say of the images."""
GENERATED = {"images": "8 bits, clamped", "noise": "random", "truncation": "none"}


def run_choice(recipe: Recipe, variant: Variant) -> Choice:
    """What is trained, in the words of `latentlab train`."""
    return Choice(
        config=variant.config,
        preset=recipe.training.preset,
        mapping_layers=variant.mapping_depth,
        mixing_prob=variant.mixing,
        kimg=recipe.training.kimg,
        shards=recipe.processes,
        fields=tuple(recipe.training.fields.items()),
    )


def path_setting(space: Space, sampling: Sampling, seed: int) -> PathSettings:
    """A path length as the study measures it: the official protocol."""
    return PathSettings(space=space, sampling=sampling, seed=seed)


def mixed_latents(measure: str) -> int:
    """How many latents a measure of FID mixes in an image: 3 for `fid_mixed3`, 1 for `fid`."""
    return int(measure.removeprefix("fid_mixed")) if "mixed" in measure else 1


def asked(
    recipe: Recipe,
    measure: Measure,
    space: Space | None,
    *,
    classifiers: str | None,
    trained_on: Mapping[str, Any],
) -> dict[str, Any]:
    """What the protocol of a result must say for it to fill a cell of a table, by dotted names.

    Args:
        recipe: The study's.
        measure, space: The cell's.
        classifiers: Hash of the study's classifiers.
        trained_on: The images, as the run's config.json describes them.
    """
    by = recipe.measuring
    if measure == "separability":
        rule = by.separability
        return {
            "name": rule,
            "space": space,
            "confidence": CONFIDENCE[rule],
            "solver": SOLVER[rule],
            "num_samples": by.samples,
            "num_keep": by.samples // 2,
            "truncation_psi": 1.0,
            "noise_mode": "random",
            "classifiers.sha256": classifiers,
        }
    if measure in ("full", "end"):
        assert space is not None
        decided = path_setting(space, "full" if measure == "full" else "end", 0).decided(
            "slerp" if space == "z" else "lerp"
        )
        other = {"upsample": None, "quantize": None}  # of other protocols
        by_whom = {"distance.name": LPIPS} if by.distance == LPIPS else {"distance.sha256": classifiers}
        return {**other, **decided, **by_whom}
    features = {"features.name": INCEPTION} if by.features == INCEPTION else {"features.sha256": classifiers}
    real = {f"real.{name}": trained_on.get(name) for name in REAL_FIELDS}
    return {
        **GENERATED,
        **features,
        **real,
        "mixed_latents": mixed_latents(measure),
        "num_generated": by.images,
        "real.num_images": min(by.images, trained_on.get("num_images") or by.images),
    }


def says(protocol: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a protocol says all that is wanted; None stands for what it must not say."""
    return all(_value(protocol, name) == value for name, value in wanted.items())


def _value(protocol: Mapping[str, Any], name: str) -> Any:
    found: Any = protocol
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
