"""Networks out of files of others' making, written as network folders, and compared with images made elsewhere."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from latentlab.checkpoint import AnyGenerator, save_discriminator, save_generator
from latentlab.errors import DataError, UsageError
from latentlab.files import atomic_folder
from latentlab.images import to_uint8
from latentlab.interop.generators import save_description
from latentlab.interop.official_networks import Loaded, check_unconditional
from latentlab.latents import truncate
from latentlab.protocols import NoiseMode, full_precision
from latentlab.results import NetworkName

_ROUNDING, _HALF_PRECISION = 0.5, 4.0  # mean differences, of 255 levels


@dataclass(frozen=True)
class Compared:
    """How far an image of ours is from one that somebody else's code made.

    Attributes:
        largest, mean: Absolute differences, in levels of 8 bits.
        verdict: What that means.
    """

    largest: float
    mean: float
    verdict: str

    @property
    def same(self) -> bool:
        """Whether both may be called the same image."""
        return self.mean <= _HALF_PRECISION


def save_network(folder: Path, loaded: Loaded) -> str:
    """Write a network folder, with the description that reports read if it is a generator; returns the weights' hash.

    Raises:
        OutputExistsError: The folder exists.
    """
    network = loaded.network
    with atomic_folder(folder) as temporary:
        if isinstance(network, AnyGenerator):
            sha256 = save_generator(temporary, network, loaded.origin)
            name = NetworkName(name=folder.name, sha256=sha256)
            save_description(temporary, network, name, origin=described(loaded))
        else:
            sha256 = save_discriminator(temporary, network, loaded.origin)
    return sha256


def described(loaded: Loaded) -> str:
    """A network in a few words: what it is, and the file it is from."""
    return f"{loaded.origin.get('architecture', loaded.origin['kind'])}, {loaded.which} of {loaded.origin['file']}"


def official_latent(seed: int, z_dim: int) -> torch.Tensor:
    """The latent [1, z_dim] that the official scripts draw for a seed (NumPy's Mersenne Twister)."""
    drawn = np.random.RandomState(seed).randn(1, z_dim)
    return torch.from_numpy(drawn).float()


def compare_with_image(
    generator: AnyGenerator,
    image: Path,
    *,
    seed: int,
    truncation_psi: float = 1.0,
    noise_mode: NoiseMode = "const",
    device: torch.device | str = "cpu",
) -> Compared:
    """Compare the image of a seed with a file that the official code made of the same seed.

    Args:
        generator: On `device`.
        image: A PNG, or a .npy of [H, W], [H, W, C], [C, H, W] or with a first axis of 1: uint8, or floats in [-1, 1].
        seed: That of the official scripts' `--seeds`.
        truncation_psi: Their `--trunc`.
        noise_mode: Their `--noise-mode`.
        device: Where the generator is.

    Raises:
        DataError: The file is no image, or of another size.
        UsageError: The generator is conditional and has no class.
    """
    check_unconditional(generator, "the generator")
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"seed {seed}: the official scripts' seeds are whole numbers below 2^32.")
    if not math.isfinite(truncation_psi):
        raise UsageError(f"truncation psi {truncation_psi} is no number.")
    theirs = read_image(image)
    z = official_latent(seed, generator.z_dim).to(device)
    with torch.inference_mode(), full_precision():
        ws = truncate(generator.mapping(z), torch.as_tensor(generator.w_avg), truncation_psi)
        made = generator.synthesis(ws, noise_mode)[0].cpu()
    if not bool(made.isfinite().all()):
        raise DataError("the network makes images that hold NaN or infinity.")
    if theirs.dtype == np.uint8:
        ours = to_uint8(made[None])[0].astype(np.float64)
        target = theirs.astype(np.float64)
    else:
        ours = (made.permute(1, 2, 0).double().numpy() + 1) * 127.5
        target = (theirs.astype(np.float64) + 1) * 127.5
    if target.shape != ours.shape:
        target = target.transpose(1, 2, 0) if target.transpose(1, 2, 0).shape == ours.shape else target
    if target.shape != ours.shape:
        raise DataError(f"{image} has the shape {list(theirs.shape)}; the generator's images are {list(ours.shape)}.")
    difference = np.abs(ours - target)
    mean = float(difference.mean())
    words = (
        "the same image, up to rounding" if mean <= _ROUNDING
        else "the same image, as far as half precision differs" if mean <= _HALF_PRECISION
        else "ANOTHER IMAGE: other weights, seed, truncation, noise, or an error here"
    )  # fmt: skip
    return Compared(float(difference.max()), mean, words)


def read_image(path: Path) -> np.ndarray:
    """An image out of a PNG or .npy file: uint8 or floats, with three axes.

    Raises:
        DataError: It cannot be read, has another form, or holds NaN.
    """
    try:
        if path.suffix == ".npy":
            found: np.ndarray = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as opened:
                found = np.asarray(opened)
    except (OSError, ValueError, EOFError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a PNG or .npy image: {error}.") from error
    if found.ndim == 4 and len(found) == 1:
        found = found[0]
    if found.ndim == 2:
        found = found[:, :, None]
    if found.ndim != 3 or not (found.dtype == np.uint8 or np.issubdtype(found.dtype, np.floating)):
        raise DataError(f"{path} holds {found.dtype} {list(found.shape)}; one image of uint8 or floats is expected.")
    if not np.isfinite(found).all():
        raise DataError(f"{path} holds NaN or infinity.")
    return found


def seed_in(name: str) -> int:
    """The number at the end of a name such as `seed0085.png`.

    Raises:
        UsageError: There is none.
    """
    digits = name[len(name.rstrip("0123456789")) :]
    if not digits:
        raise UsageError(f"{name} does not end with the seed it was made of: give it with --check-seed.")
    return int(digits)
