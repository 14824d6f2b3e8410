"""What a study needs and might lack: found before the first training, which may take weeks, and not after the last."""

from collections.abc import Sequence
from pathlib import Path

import torch

from latentlab.data import open_dataset
from latentlab.data.decoding import Preparation
from latentlab.data.layouts import find_image_set
from latentlab.data.loading import survey
from latentlab.data.prepared import is_prepared
from latentlab.errors import DataError, UsageError, WeightsError
from latentlab.features import inception_features
from latentlab.perceptual import lpips_distance
from latentlab.study.folder import Job
from latentlab.study.recipe import INCEPTION, LPIPS, Recipe


def check_possible(recipe: Recipe, jobs: Sequence[Job], *, device: torch.device) -> None:
    """Look for the images, their labels, and pretrained weights, as far as the jobs that are left take them.

    Raises:
        DataError: The images cannot be read, or have no labels and attribute classifiers are to be trained.
        WeightsError: Weights are missing, or are not the published ones.
        UsageError: The images are not as the recipe says.
    """
    kinds, by = {job.kind for job in jobs}, recipe.measuring
    if recipe.preset == "paper" and recipe.data.source == "faces":
        raise UsageError("--preset paper is for photographs: name them with --data. The embedded faces are drawings.")
    weights = None if by.weights is None else Path(by.weights)
    if "ppl" in kinds and by.distance == LPIPS:
        _genuine(lpips_distance("vgg", weights_dir=weights, device=device).name, LPIPS, "--distance")
    if "fid" in kinds and by.features == INCEPTION:
        _genuine(inception_features(weights, device=device).name, INCEPTION, "--features")
    if recipe.data.source != "faces" and kinds & {"classifiers", "train", "fid"}:
        _check_images(recipe, labels="classifiers" in kinds and recipe.classifiers.path is None)


def _genuine(name: str, published: str, option: str) -> None:
    if name != published:
        raise WeightsError(
            f"the weights that were found for {option} {published} are not the published ones ({name}): the columns of "
            f"a study would be named after something else. Give these (`latentlab weights list`), or {option} "
            "classifiers."
        )


def _check_images(recipe: Recipe, *, labels: bool) -> None:
    """Look at what there is, and at the header of one image; decoding all is for the jobs."""
    data, path = recipe.data, Path(recipe.data.source)
    labelled: object
    if is_prepared(path):
        labelled = open_dataset(path, resolution=data.resolution, num_images=data.num_images).labels
    else:
        images = find_image_set(path).first(data.num_images)
        survey(images.entries[:1], Preparation(data.resolution, data.crop, data.filter), aligned=images.aligned)
        labelled = images.labels
    if labels and labelled is None:
        raise DataError(
            f"{data.source} has no labels to train attribute classifiers with: name finished ones with --classifiers, "
            "or labelled images with --data."
        )
