"""LPIPS with its weights: found, downloaded, checked."""

import hashlib
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from latentlab.errors import UsageError, WeightsError
from latentlab.files import file_sha256
from latentlab.perceptual.distances import StagedDistance
from latentlab.weights import fetch_weights, find_weights, state_of, weights_named

LpipsNet = Literal["vgg", "alex", "squeeze"]
MIN_SIZES = {"vgg": 16, "alex": 31, "squeeze": 17}
"""Smallest images the trunks can be run on."""
TRUNKS: dict[LpipsNet, str] = {"vgg": "vgg16", "alex": "alexnet", "squeeze": "squeezenet"}


class LpipsDistance(StagedDistance):
    """LPIPS v0.1 (Zhang et al., CVPR 2018) with the package's calibrated heads; grey images count as three channels.

    Args:
        model: An lpips.LPIPS in eval mode.
        name: For protocols.
        sha256: Hash of its weights.
        min_size: Smallest width and height its trunk takes.
    """

    def __init__(self, model: Any, *, name: str, sha256: str, min_size: int) -> None:
        stages = [getattr(model.net, f"slice{number + 1}") for number in range(model.L)]
        weights = [head.model[-1].weight.flatten() for head in model.lins]
        super().__init__(model.scaling_layer, stages, weights=weights, name=name, sha256=sha256, min_size=min_size)

    def _check(self, a: Tensor, b: Tensor) -> None:
        super()._check(a, b)
        if a.shape[1] not in (1, 3):
            raise UsageError(f"{self.name} takes images of 1 or 3 channels, not {a.shape[1]}.")


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

    weights = weights_named(TRUNKS[net])
    folder = None if weights_dir is None else Path(weights_dir)
    if folder is not None and not folder.exists():
        raise WeightsError(f"there is no folder {folder}; it should hold {weights.file}, for {weights.needed_for}.")
    path = find_weights(weights, folder) or fetch_weights(weights, () if folder is None else (folder,))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # lpips still uses torchvision's deprecated `pretrained`
        model = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _load_trunk(model.net, path)
    model.eval().requires_grad_(False).to(device)
    trunk, heads = file_sha256(path), file_sha256(Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth")
    custom = "" if weights.genuine(trunk) else "-custom"
    combined = hashlib.sha256(f"{trunk} {heads}".encode()).hexdigest()
    return LpipsDistance(model, name=f"lpips-{net}{custom}", sha256=combined, min_size=MIN_SIZES[net])


def _load_trunk(trunk: nn.Module, path: Path) -> None:
    """Copy `features.I.{weight,bias}` of torchvision's network into LPIPS's slices, whose layers keep the index I."""
    state = state_of(path)
    tensors = {}
    for name, wanted in trunk.state_dict().items():
        source = "features." + name.split(".", 1)[1]
        found = state.get(source)
        if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
            form = f"the shape {list(found.shape)}" if isinstance(found, torch.Tensor) else "nothing"
            raise WeightsError(f"{path}: {source} must be a tensor {list(wanted.shape)}, but the file has {form}.")
        tensors[name] = found
    trunk.load_state_dict(tensors)
