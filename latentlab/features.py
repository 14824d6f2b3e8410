"""Feature vectors of images, for Fréchet distances: FID's Inception network, and one's own attribute classifiers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from latentlab.errors import UsageError, WeightsError
from latentlab.files import file_sha256
from latentlab.images import box_resize, to_float
from latentlab.protocols import full_precision
from latentlab.weights import INCEPTION_SHA256, NO_FID, fetch_weights, find_weights, state_of, weights_named

if TYPE_CHECKING:
    from latentlab.perceptual import Featured

MAX_DIMENSIONS = 4096
"""Of classifiers' features: their covariance is a matrix of that size squared."""


class ImageFeatures(Protocol):
    """Feature vectors of images.

    Attributes:
        name: Whose features they are.
        distance_name: What a Fréchet distance between them is called.
        sha256: Hash of the weights that decide them.
    """

    name: str
    distance_name: str
    sha256: str

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 1 or 3] -> float32 [N, D], row i a function of image i alone."""


class InceptionFeatures:
    """The 2,048 features that FID is defined by (Heusel et al. 2017): the last pooling layer of Inception-v3.

    The network (torch-fidelity's, of the graph of 2015-12-05) resizes images to 299 pixels itself, by TensorFlow's
    bilinear rule of that time. It is called `inception`, and its distance `fid`, only if its weights are FID's.
    """

    def __init__(self, model: nn.Module, *, sha256: str, device: torch.device) -> None:
        genuine = sha256 == INCEPTION_SHA256
        self.name = "inception" if genuine else "custom-inception"
        self.distance_name = "fid" if genuine else f"fd_{self.name}"
        self.sha256 = sha256
        self._model, self._device = model, device

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 1 or 3] -> float32 [N, 2048]."""
        batch = torch.tensor(images, device=self._device).permute(0, 3, 1, 2)
        with torch.inference_mode(), full_precision():
            found: np.ndarray = self._model(batch.expand(-1, 3, -1, -1))[0].cpu().numpy()
        return found


class ClassifierFeatures:
    """The last feature maps of attribute classifiers, averaged over positions, as Inception's last pooling does.

    They come with no download, and what they make of a distance is comparable only under the same classifiers.

    Args:
        classifiers: In eval mode, on `device`.
        device: Where they compute.
    """

    distance_name = "fd_classifiers"

    def __init__(self, classifiers: "Featured", *, device: torch.device | str = "cpu") -> None:
        self.name, self.sha256 = f"classifier:{classifiers.name}", classifiers.sha256
        self._classifiers, self._device = classifiers, torch.device(device)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, H, 3] -> float32 [N, D]; images are box-filtered to the classifiers' resolution.

        Raises:
            UsageError: images are smaller than the classifiers take, or D is above 4,096.
        """
        with torch.inference_mode(), full_precision():
            batch = box_filter(to_float(images).to(self._device), self._classifiers.resolution)
            found: np.ndarray = self._classifiers.features(batch)[-1].float().mean(dim=(2, 3)).cpu().numpy()
        if found.shape[1] > MAX_DIMENSIONS:
            raise UsageError(
                f"the classifiers {self._classifiers.name} have {found.shape[1]:,} features, and a Fréchet distance "
                f"takes at most {MAX_DIMENSIONS:,}: use classifiers with a shared trunk (`latentlab classifiers "
                "train --trunk shared`)."
            )
        return found


def inception_features(weights: Path | str | None = None, *, device: torch.device | str = "cpu") -> InceptionFeatures:
    """FID's Inception network, from torch-fidelity (the optional extra `latentlab[fid]`).

    Without `weights` the file is looked for in torch's cache, then downloaded there and checked against the hash in
    its name. A given file of the right form that is not FID's is accepted, under the name `custom-inception`.

    Args:
        weights: The file, or a folder that holds it under its own name.
        device: Where the network will compute.

    Raises:
        WeightsError: torch-fidelity is not installed, or the file cannot be had or has another form.
    """
    build = _network()
    path = _found(None if weights is None else Path(weights))
    state_of(path)  # torch-fidelity would unpickle it without restrictions
    try:
        with torch.random.fork_rng(devices=[]):  # its layers are drawn at random before the file is read
            model = build(path)
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[1:2] or [str(error)]
        raise WeightsError(
            f"{path} does not hold the weights of FID's Inception network ({detail[0].strip()[:200]}): give the file "
            f"{weights_named('inception').file}."
        ) from error
    model.eval().requires_grad_(False).to(device)
    return InceptionFeatures(model, sha256=file_sha256(path), device=torch.device(device))


def box_filter(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """`box_resize` for numbers that record no provenance, such as those taken while training: images only get smaller.

    Raises:
        UsageError: Images [N, C, H, H] are smaller than `resolution`.
    """
    size = images.shape[-1]
    if size < resolution:
        raise UsageError(
            f"images are {size} pixels wide, and the classifiers take {resolution}: images are only made smaller here. "
            f"Train classifiers at {size} pixels or fewer."
        )
    return box_resize(images, resolution)


def _network() -> Callable[[Path], nn.Module]:
    """What builds torch-fidelity's network from a weights file."""
    try:  # it loads torchvision and takes seconds, which only who needs FID should wait for
        from torch_fidelity.feature_extractor_inceptionv3 import (
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise WeightsError(
            f"FID needs the Inception network of torch-fidelity, which cannot be loaded ({error}): install "
            f"`latentlab[fid]`. Until then, {NO_FID}."
        ) from error

    def build(path: Path) -> nn.Module:
        model: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
        return model

    return build


def _found(given: Path | None) -> Path:
    """The weights file: given, in the folder that is given, in torch's cache, or downloaded there."""
    weights = weights_named("inception")
    if given is not None and not given.exists():
        raise WeightsError(f"there is no file {given}; it should be {weights.file}, for {weights.needed_for}.")
    option = "--weights-dir (train: --inception-weights)"
    return find_weights(weights, given) or fetch_weights(weights, () if given is None else (given,), option=option)
