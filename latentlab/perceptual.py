"""Perceptual distances between images: LPIPS, and its formula over the features of any network."""

import hashlib
import socket
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args
from urllib.error import URLError

import torch
from torch import nn

from latentlab.errors import UsageError, WeightsError
from latentlab.files import file_sha256

LpipsNet = Literal["vgg", "alex", "squeeze"]
MIN_SIZES = {"vgg": 16, "alex": 31, "squeeze": 17}
"""Smallest images the trunks can be run on."""
_DOWNLOAD_TIMEOUT = 30.0


class Distance(Protocol):
    """A distance between images, quadratic for small differences.

    Attributes:
        name: What it is called in protocols.
        sha256: Hash of the weights that decide it.
        min_size: Smallest width and height it accepts.
    """

    name: str
    sha256: str
    min_size: int

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances [N] of two batches of images [N, C, H, W], nominally in [-1, 1]."""


class LpipsDistance:
    """LPIPS v0.1 (Zhang et al., CVPR 2018) with the package's calibrated heads; grey images count as three channels."""

    def __init__(self, model: nn.Module, *, name: str, sha256: str, min_size: int) -> None:
        self.name, self.sha256, self.min_size = name, sha256, min_size
        self._model = model

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances [N] of two batches of images [N, 1 or 3, H, W], nominally in [-1, 1]."""
        _check_sizes(a, b, name=self.name, min_size=self.min_size)
        if a.shape[1] not in (1, 3):
            raise UsageError(f"{self.name} takes images of 1 or 3 channels, not {a.shape[1]}.")
        distances: torch.Tensor = self._model(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
        return distances.flatten()


class FeatureDistance:
    """LPIPS's formula with all channel weights one, over the feature maps of any network.

    d(a, b) = sum over layers, mean over positions, sum over channels of (u(a) - u(b))^2, where u is the feature
    vector of a position scaled to unit length (Zhang et al. 2018, equation 1).

    Args:
        features: Images [N, C, H, W] -> one feature map [N, K, H', W'] per layer, deterministic.
        name: For protocols.
        sha256: Hash of the network's weights.
        min_size: Smallest width and height it accepts.
    """

    def __init__(
        self, features: Callable[[torch.Tensor], Sequence[torch.Tensor]], *, name: str, sha256: str, min_size: int
    ) -> None:
        self.name, self.sha256, self.min_size = name, sha256, min_size
        self._features = features

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances [N] of two batches of images [N, C, H, W]."""
        _check_sizes(a, b, name=self.name, min_size=self.min_size)
        total = torch.zeros(len(a), device=a.device)
        for both in self._features(torch.cat([a, b])):
            first, second = _unit_length(both.float()).chunk(2)
            total = total + (first - second).square().sum(dim=1).mean(dim=(1, 2))
        return total


class Featured(Protocol):
    """Attribute classifiers, as far as a distance needs them."""

    name: str
    sha256: str

    @property
    def resolution(self) -> int:
        """R, height and width of the images they were trained on."""

    def features(self, images: torch.Tensor) -> Sequence[torch.Tensor]:
        """Feature maps of every resolution block, from images of any size down to R / 4."""


def classifier_distance(classifiers: Featured) -> FeatureDistance:
    """The distance `classifier:NAME`: LPIPS's formula on the trunk features of attribute classifiers in eval mode."""
    return FeatureDistance(
        classifiers.features,
        name=f"classifier:{classifiers.name}",
        sha256=classifiers.sha256,
        min_size=max(classifiers.resolution // 4, 1),
    )


def lpips_distance(
    net: LpipsNet = "vgg", *, weights_dir: Path | str | None = None, device: torch.device | str = "cpu"
) -> LpipsDistance:
    """LPIPS with one of its three trunks.

    The trunk's weights are torchvision's file, looked for in `weights_dir`, then in torchvision's cache, then
    downloaded there and checked against the hash in its name. Weights of the right form under that name which are not
    torchvision's are accepted, and the distance's name then ends in "-custom".

    Args:
        net: "vgg" (as the StyleGAN papers), "alex" or "squeeze".
        weights_dir: A folder with the trunk's file.
        device: Where it will compute.

    Raises:
        UsageError: `net` is unknown.
        WeightsError: the file cannot be had, or does not have the expected form.
    """
    if net not in get_args(LpipsNet):
        raise UsageError(f"there is no LPIPS network {net!r}; take one of {', '.join(get_args(LpipsNet))}.")
    import lpips  # it and torchvision take seconds to load, which only who needs LPIPS should wait for

    path = _find_trunk(net, None if weights_dir is None else Path(weights_dir))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lpips still uses torchvision's deprecated `pretrained`
        model = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _load_trunk(model.net, path)
    model.eval().requires_grad_(False).to(device)
    trunk, heads = file_sha256(path), file_sha256(Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth")
    custom = "" if trunk.startswith(path.stem.rsplit("-", 1)[1]) else "-custom"
    combined = hashlib.sha256(f"{trunk} {heads}".encode()).hexdigest()
    return LpipsDistance(model, name=f"lpips-{net}{custom}", sha256=combined, min_size=MIN_SIZES[net])


def _trunk_url(net: LpipsNet) -> str:
    from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights

    weights = {"vgg": VGG16_Weights, "alex": AlexNet_Weights, "squeeze": SqueezeNet1_1_Weights}
    url: str = weights[net].IMAGENET1K_V1.url
    return url


def _find_trunk(net: LpipsNet, weights_dir: Path | None) -> Path:
    """The trunk's file, downloaded if need be."""
    url = _trunk_url(net)
    name = url.rsplit("/", 1)[1]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for folder in (weights_dir, cache):
        if folder is not None and (folder / name).is_file():
            return folder / name
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        torch.hub.load_state_dict_from_url(url, str(cache), progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        searched = f"{weights_dir} or {cache}" if weights_dir else f"{cache}"
        raise WeightsError(
            f"LPIPS ({net}) needs torchvision's weights {name}: they are not in {searched} and could not be "
            f"downloaded ({error}). Put the file from {url} into a folder and name that folder by --weights-dir "
            "(`train`: --lpips-weights)."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return cache / name


def _load_trunk(trunk: nn.Module, path: Path) -> None:
    """Copy `features.I.{weight,bias}` of torchvision's network into LPIPS's slices, whose layers keep the index I."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for files that are no checkpoints
        raise WeightsError(f"{path} is no PyTorch state dict ({type(error).__name__}): download it again.") from error
    tensors = {}
    for name, wanted in trunk.state_dict().items():
        source = "features." + name.split(".", 1)[1]
        found = state.get(source) if isinstance(state, dict) else None
        if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
            form = f"the shape {list(found.shape)}" if isinstance(found, torch.Tensor) else "nothing"
            raise WeightsError(f"{path}: {source} must be a tensor {list(wanted.shape)}, but the file has {form}.")
        tensors[name] = found
    trunk.load_state_dict(tensors)


def _unit_length(features: torch.Tensor) -> torch.Tensor:
    """Scale feature vectors over channels to unit length, as LPIPS does: x / (|x| + 1e-10)."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _check_sizes(a: torch.Tensor, b: torch.Tensor, *, name: str, min_size: int) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise UsageError(f"images of the shapes {list(a.shape)} and {list(b.shape)}; both must be one [N, C, H, W].")
    if min(a.shape[2:]) < min_size:
        raise UsageError(f"images are {a.shape[3]}x{a.shape[2]} pixels, and {name} needs at least {min_size}.")
