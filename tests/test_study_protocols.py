"""Which results fill a study's tables, and what is refused before the first training."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_study import tiny_recipe

from latentlab.errors import DataError, UsageError, WeightsError
from latentlab.metrics.path_length import PathSettings
from latentlab.study import make_recipe, preflight
from latentlab.study.folder import jobs_of
from latentlab.study.preflight import check_possible
from latentlab.study.protocols import asked, says

IMAGES = {"name": "faces", "fingerprint": "f", "num_images": 200, "resolution": 16, "crop": "none", "filter": "drawn"}
CPU = torch.device("cpu")


class Normalising:
    """Stands for a generator of the study."""

    normalizes_z = True


def path_protocol(**changes):
    settings = dataclasses.replace(PathSettings(space="z", sampling="full", seed=0), **changes)
    distance = {"name": "classifier:study", "sha256": "c"}
    return {**settings.described(Normalising(), image_size=8), "distance": distance}


def fills(measure, space, protocol, recipe=None):
    return says(protocol, asked(recipe or tiny_recipe(), measure, space, classifiers="c", trained_on=IMAGES))


def test_the_studys_own_path_lengths_fill_their_cells():
    assert fills("full", "z", path_protocol())
    assert fills("end", "w", path_protocol(space="w", sampling="end"))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": False},
        {"protocol": "torchmetrics"},
        {"epsilon": 1e-3},
        {"method": "tangent"},
        {"quantize": True},
        {"upsample": 64},
        {"noise_mode": "const"},
        {"interpolation": "lerp"},
        {"interpolation": "slerp-norm"},
        {"space": "w"},
        {"sampling": "end"},
    ],
)
def test_path_lengths_by_another_protocol_fill_nothing(changes):
    assert not fills("full", "z", path_protocol(**changes))


def test_path_lengths_by_another_distance_fill_nothing():
    assert not fills("full", "z", {**path_protocol(), "distance": {"name": "classifier:study", "sha256": "d"}})
    published = make_recipe(["3"], preset="paper", threads=1)
    assert not fills("full", "z", path_protocol(), published)
    assert fills("full", "z", {**path_protocol(), "distance": {"name": "lpips-vgg", "sha256": "v"}}, published)
    assert not fills(
        "full", "z", {**path_protocol(), "distance": {"name": "lpips-vgg-custom", "sha256": "v"}}, published
    )


SEPARABILITY = {
    "name": "latentlab",
    "space": "w",
    "confidence": "log-odds",
    "solver": "newton",
    "num_samples": 120,
    "num_keep": 60,
    "truncation_psi": 1.0,
    "noise_mode": "random",
    "classifiers": {"name": "study", "sha256": "c"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "stylegan", "confidence": "stylegan", "solver": "liblinear"},
        {"solver": "liblinear"},
        {"num_keep": 30},
        {"truncation_psi": 0.7},
        {"noise_mode": "const"},
        {"classifiers": {"name": "others", "sha256": "d"}},
    ],
)
def test_separability_by_another_protocol_fills_nothing(changes):
    assert fills("separability", "w", SEPARABILITY)
    assert not fills("separability", "w", SEPARABILITY | changes)


def test_a_study_of_the_papers_size_takes_the_official_separability():
    published = make_recipe(["3"], preset="paper", threads=1)
    official = {"name": "stylegan", "confidence": "stylegan", "solver": "liblinear"}
    official |= {"num_samples": 200_000, "num_keep": 100_000}
    assert fills("separability", "w", SEPARABILITY | official, published)
    assert not fills("separability", "w", SEPARABILITY, published)


DISTANCE = {
    "num_generated": 64,
    "real": {**IMAGES, "num_images": 64, "of": 200},
    "mixed_latents": 1,
    "features": {"name": "classifier:study", "sha256": "c"},
    "images": "8 bits, clamped",
    "noise": "random",
    "truncation": "none",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"mixed_latents": 2},
        {"num_generated": 32},
        {"real": {**IMAGES, "num_images": 32, "of": 200}},
        {"real": {**IMAGES, "num_images": 64, "of": 200, "fingerprint": "other"}},
        {"features": {"name": "inception", "sha256": "i"}},
        {"truncation": "0.7"},
    ],
)
def test_distances_by_another_protocol_fill_nothing(changes):
    assert fills("fid", None, DISTANCE)
    assert not fills("fid", None, DISTANCE | changes)


def test_only_what_works_with_classifiers_waits_for_them():
    published = make_recipe(["4"], preset="paper", threads=1)
    waiting = {job.kind for job in jobs_of(published) if "classifiers" in job.needs}
    assert waiting == {"sample"}
    assert {job.kind for job in jobs_of(tiny_recipe()) if "classifiers" in job.needs} == {"sample", "ppl", "fid"}
    fid_alone = make_recipe(["1"], preset="paper", threads=1)
    assert "classifiers" not in {job.kind for job in jobs_of(fid_alone)}


def test_images_without_labels_are_refused_before_any_training(tmp_path):
    for number in range(3):
        pixels = np.full((16, 16, 3), 80 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    unlabelled = tiny_recipe(data={"source": str(tmp_path), "resolution": 16})
    with pytest.raises(DataError, match="has no labels to train attribute classifiers with: name finished ones"):
        check_possible(unlabelled, jobs_of(unlabelled), device=CPU)
    check_possible(unlabelled, [job for job in jobs_of(unlabelled) if job.kind == "train"], device=CPU)
    named = unlabelled.model_copy(update={"classifiers": unlabelled.classifiers.model_copy(update={"path": "c"})})
    check_possible(named, jobs_of(named), device=CPU)


def test_the_papers_size_is_not_for_drawings():
    published = make_recipe(["4"], preset="paper", threads=1)
    with pytest.raises(UsageError, match="--preset paper is for photographs: name them with --data"):
        check_possible(published, jobs_of(published), device=CPU)


def test_images_that_are_not_there_are_refused_before_any_training(tmp_path):
    missing = tiny_recipe(data={"source": str(tmp_path / "nowhere"), "resolution": 16})
    with pytest.raises(DataError, match="nowhere"):
        check_possible(missing, jobs_of(missing), device=CPU)


@pytest.mark.parametrize(("option", "published"), [("distance", "lpips-vgg"), ("features", "inception")])
def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch, option, published):
    class Custom:
        name = f"{published}-custom"

    monkeypatch.setattr(preflight, "lpips_distance", lambda *_, **__: Custom())
    monkeypatch.setattr(preflight, "inception_features", lambda *_, **__: Custom())
    measuring = {"samples": 120, "pairs": 24, "images": 64, option: published}
    recipe = tiny_recipe(measuring=measuring)
    with pytest.raises(WeightsError, match=rf"for --{option} {published} are not the published ones"):
        check_possible(recipe, jobs_of(recipe), device=CPU)
