"""Pretrained weights that measurements need: which there are, where they are looked for, how they are had."""

import contextlib
import io
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch

from latentlab.errors import UsageError, WeightsError
from latentlab.files import atomic_file, file_sha256
from latentlab.zoo import DEFAULT_CLASSIFIERS

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
NO_LPIPS = f"`ppl --distance classifier:{DEFAULT_CLASSIFIERS}` needs no download (bundled classifiers, and no LPIPS)"
NO_FID = f"`fid --features classifier:{DEFAULT_CLASSIFIERS}` needs no download (bundled classifiers, and no FID)"
_DOWNLOAD_TIMEOUT = 30.0
_TORCHVISION = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms allow research and teaching"


@dataclass(frozen=True)
class Weights:
    """A file of weights.

    Attributes:
        name: What commands call it.
        file: The name under which it is looked for.
        url: Where it comes from.
        sha256: The first digits of its SHA-256, as many as its makers published.
        megabytes: Its size, 10^6 bytes.
        licence: Under what terms.
        needed_for: What cannot be measured without it.
        instead: What can be measured with what is bundled, in words.
    """

    name: str
    file: str
    url: str
    sha256: str
    megabytes: float
    licence: str
    needed_for: str
    instead: str

    def genuine(self, sha256: str) -> bool:
        """Whether a file of this hash is the one meant."""
        return sha256.startswith(self.sha256)


def known_weights() -> tuple[Weights, ...]:
    """All weights that LatentLab can use."""
    from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights

    trunks = (
        ("vgg16", VGG16_Weights, "ppl --distance lpips-vgg, as in the papers"),
        ("alexnet", AlexNet_Weights, "ppl --distance lpips-alex"),
        ("squeezenet", SqueezeNet1_1_Weights, "ppl --distance lpips-squeeze"),
    )
    found = []
    for name, enum, needed_for in trunks:
        weights = enum.IMAGENET1K_V1
        file = weights.url.rsplit("/", 1)[1]
        digest = file.removesuffix(".pth").rsplit("-", 1)[1]
        megabytes = round(weights.meta["_file_size"] * 2**20 / 1e6, 1)
        found.append(Weights(name, file, weights.url, digest, megabytes, _TORCHVISION, needed_for, NO_LPIPS))
    inception = Weights(
        "inception",
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        INCEPTION_SHA256,
        95.6,
        "Apache-2.0 (TensorFlow's network of 2015, as torch-fidelity converted it)",
        "fid, and train --snapshot-metrics fid",
        NO_FID,
    )
    return (*found, inception)


def weights_named(name: str) -> Weights:
    """The weights of this name.

    Raises:
        UsageError: There are none.
    """
    known = {weights.name: weights for weights in known_weights()}
    if name not in known:
        raise UsageError(f"there are no weights {name!r}; known are {', '.join(known)}.")
    return known[name]


def cache() -> Path:
    """The folder in which torch keeps downloaded weights ($TORCH_HOME/hub/checkpoints)."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def find_weights(weights: Weights, folder: Path | None = None) -> Path | None:
    """The file, in a folder (or the file itself) if one is given, else in torch's cache; None if it is in neither."""
    if folder is not None:
        if folder.is_file():
            return folder
        if (folder / weights.file).is_file():
            return folder / weights.file
    return cache() / weights.file if (cache() / weights.file).is_file() else None


def fetch_weights(weights: Weights, sources: Sequence[Path] = (), *, option: str = "--weights-dir") -> Path:
    """The file in torch's cache: found there, copied from a folder that holds it, or downloaded; checked.

    Args:
        weights: Which.
        sources: Folders to look into before downloading.
        option: What to name in errors.

    Raises:
        WeightsError: It can be had from nowhere, or a source's file is another one.
    """
    target = cache() / weights.file
    if target.is_file():
        _check_genuine(weights, target)
        return target
    for source in sources:
        if (source / weights.file).is_file():
            return _copied(weights, source / weights.file, target)
    try:
        _download(weights)
    except (URLError, OSError, RuntimeError) as error:
        looked = ", ".join(str(folder) for folder in (*sources, cache()))
        raise WeightsError(
            f"the weights {weights.file} (needed for {weights.needed_for}) are not in {looked} and could not be "
            f"downloaded ({error}). Get the file from {weights.url} ({weights.megabytes:g} MB) and name its folder by "
            f"{option}, or put it into the cache with `latentlab weights fetch {weights.name} --from FOLDER`. "
            f"Until then, {weights.instead}."
        ) from error
    return target


def _download(weights: Weights) -> None:
    """Into torch's cache, saying so in a line of ours in place of torch's."""
    print(
        f"downloading {weights.file}, {weights.megabytes:g} MB, for {weights.needed_for}", file=sys.stderr, flush=True
    )
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
    try:
        told = io.StringIO()  # torch's releases differ in where they print
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            torch.hub.load_state_dict_from_url(
                weights.url,
                str(cache()),
                progress=False,
                check_hash=True,
                weights_only=True,
                file_name=weights.file,
                map_location="cpu",
            )
    finally:
        socket.setdefaulttimeout(before)


def state_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a weights file, which is opened as data.

    Raises:
        WeightsError: It is no plain state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for files that are no checkpoints
        raise WeightsError(f"{path} is no PyTorch state dict ({type(error).__name__}): download it again.") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsError(f"{path} is no state dict of tensors: download it again.")
    return state


def _copied(weights: Weights, source: Path, target: Path) -> Path:
    _check_genuine(weights, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def _check_genuine(weights: Weights, path: Path) -> None:
    found = file_sha256(path)
    if not weights.genuine(found):
        raise WeightsError(
            f"{path} has the SHA-256 {found[:16]}..., and that of {weights.file} begins with {weights.sha256[:16]}: it "
            "is another file, or damaged. Remove it, and fetch it again; weights of your own are used with "
            "--weights-dir, and change the name of what is measured."
        )
