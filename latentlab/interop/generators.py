"""A user's own generator: any functions z -> w -> images as an object that LatentLab measures."""

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from latentlab.errors import LatentLabError, UsageError
from latentlab.files import atomic_file
from latentlab.interop.factories import FAILURES, failure, find, make, moved
from latentlab.interop.generator_checks import WHOLE_NUMBERS, check_generator, training_problem
from latentlab.interop.identity import combined_sha256, content_sha256, device_of, modules_in, source_sha256
from latentlab.latents import normalize, sample_z
from latentlab.protocols import GeneratorLike, NoiseMode, has_mapping, normalizes_z
from latentlab.results import NetworkName
from latentlab.zoo import NETWORKS, ORIGIN

NUM_FOR_W_AVG = 10_000
_BATCH = 1000
_CONST_SEED = 0

Function = Callable[..., Tensor]


class WrappedSynthesis:
    """Calls a user's synthesis with the latents and the noise that it understands.

    It has the attribute `noise_shapes` if the user's has, or, empty, if no noise was seen in its images.

    Attributes:
        function: The user's.
        flat: Whether it takes w [N, w_dim] instead of ws [N, num_ws, w_dim].
        takes_noise_mode: Whether it has a parameter `noise_mode`.
    """

    noise_shapes: list[tuple[int, int]]

    def __init__(self, function: Function, *, flat: bool, takes_noise_mode: bool) -> None:
        self.function, self.flat, self.takes_noise_mode = function, flat, takes_noise_mode
        shapes: list[tuple[int, int]] | None = getattr(function, "noise_shapes", None)
        self._takes_noise = shapes is not None
        if shapes is not None:
            self.noise_shapes = shapes

    def __call__(self, ws: Tensor, noise_mode: NoiseMode = "random", noise: list[Tensor] | None = None) -> Tensor:
        """ws [N, num_ws, w_dim] -> images [N, C, H, H].

        A synthesis that draws noise and takes no `noise_mode` runs image by image under one seed for "const".

        Raises:
            UsageError: "none" is asked of a synthesis that draws noise and takes no `noise_mode`.
        """
        latents = ws[:, 0] if self.flat else ws
        if self.takes_noise_mode:
            given = {"noise": noise} if self._takes_noise and noise is not None else {}
            return self.function(latents, noise_mode=noise_mode, **given)
        if noise_mode == "random" or hasattr(self, "noise_shapes"):
            return self.function(latents)
        if noise_mode == "none":
            raise UsageError("this synthesis draws noise and has no parameter noise_mode, so it cannot leave it out.")
        return torch.cat([_under_seed(_CONST_SEED, self.function, latent) for latent in latents.split(1)])

    def look_for_noise(self, ws: Tensor) -> None:
        """Note that there is no noise if two seeds give the same images of ws."""
        if not self._takes_noise:
            first, second = (_under_seed(seed, self, ws) for seed in (0, 1))
            if torch.equal(first, second):
                self.noise_shapes = []


class WrappedGenerator:
    """Made by `wrap_generator`: fits the generator protocol.

    Attributes: `z_dim, w_dim, num_ws, img_resolution, img_channels`, `mapping`, `synthesis`, `w_avg` [w_dim],
    `has_mapping`, `normalizes_z`, `thread_safe`; `name`, and `checked_on`, the device on which it was found to fit.
    """

    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int
    w_avg: Tensor
    synthesis: WrappedSynthesis
    normalizes_z: bool
    checked_on: torch.device
    thread_safe = False

    def __init__(
        self, mapping: Function | None, *, z_dim: int, normalize_z: bool, name: str, sha256: str | None
    ) -> None:
        self.z_dim, self.name, self.has_mapping = z_dim, name, mapping is not None
        self._mapping, self._normalize_z, self._sha256 = mapping, normalize_z, sha256

    def mapping(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> ws [N, num_ws, w_dim]."""
        w = self.mapped(z)
        return w[:, None].expand(-1, self.num_ws, -1) if w.ndim == 2 else w

    def mapped(self, z: Tensor) -> Tensor:
        """What the user's mapping makes of z: [N, w_dim] or [N, num_ws, w_dim]; z itself if there is none."""
        if self._normalize_z:
            z = normalize(z) * self.z_dim**0.5
        return z if self._mapping is None else self._mapping(z)

    @functools.cached_property
    def network(self) -> NetworkName:
        """Who this is, for `sample` and the metrics: its name, and the hash of its weights (or source) and settings."""
        source = self.synthesis.function
        settings = (self._normalize_z, self.num_ws, self.synthesis.flat, self.synthesis.takes_noise_mode)
        sha256 = self._sha256 or combined_sha256(content_sha256(self._mapping, source, source=source), *settings)
        return NetworkName(name=self.name, sha256=sha256)

    def to(self, device: torch.device | str) -> Self:
        """Move every module that mapping and synthesis hold, and w_avg."""
        for module in modules_in(self._mapping, self.synthesis):
            module.to(device)
        self.w_avg = self.w_avg.to(device)
        return self


def wrap_generator(
    *,
    synthesis: Function,
    z_dim: int,
    mapping: Function | None = None,
    num_ws: int | None = None,
    w_dim: int | None = None,
    w_avg: Any = None,
    img_resolution: int | None = None,
    img_channels: int | None = None,
    normalize_z: bool = False,
    takes_noise_mode: bool | None = None,
    name: str | None = None,
    sha256: str | None = None,
    thread_safe: bool = False,
    device: torch.device | str | None = None,
) -> WrappedGenerator:
    """Make a generator of any two functions or nn.Modules, in eval mode, and check it (`check_generator`).

    Args:
        synthesis: Latents -> images [N, C, H, H], nominally in [-1, 1]. It gets w [N, w_dim] if the mapping gives
            that (or there is none) and `num_ws` is not given, else ws [N, num_ws, w_dim].
        z_dim: Values in a latent z ~ N(0, I).
        mapping: z [N, z_dim] -> w [N, w_dim] or ws [N, num_ws, w_dim]; without it W is Z, and results say so.
        num_ws: How often w [N, w_dim] is repeated along the second axis; not at all if left out.
        w_dim: To be checked against what the mapping gives.
        w_avg: Mean of w, [w_dim]; of 10,000 random z if left out.
        img_resolution: To be checked against what synthesis gives.
        img_channels: Likewise.
        normalize_z: Scale z to the length sqrt(z_dim) first, for networks that were trained on such z.
        takes_noise_mode: Whether synthesis has a parameter noise_mode ("random", "const" or "none"); seen from its
            signature if left out. One without it may draw noise from torch's global generator.
        name: What results call it; the name of `synthesis` if left out.
        sha256: What tells it from others; a hash of these settings and of all parameters and buffers that mapping and
            synthesis hold if left out, or of the file that defines synthesis if they hold none.
        thread_safe: Whether several threads may call mapping and synthesis at once, which is faster on a CPU: they must
            keep nothing of one call for another, or between their own parts (hooks, stored styles).
        device: Where it computes; where its first parameter is if left out.

    Raises:
        UsageError: It does not fit; the message lists everything that is wrong.
    """
    given = {"z_dim": z_dim, "w_dim": w_dim, "num_ws": num_ws}
    given |= {"img_resolution": img_resolution, "img_channels": img_channels}
    _check_arguments(synthesis, mapping, given)
    name = name or str(getattr(synthesis, "__name__", type(synthesis).__name__)).replace("<lambda>", "generator")
    if problem := training_problem(modules_in(mapping, synthesis)):  # a call might change the network
        raise UsageError(f"wrap_generator: {problem}.")
    device = device_of(mapping, synthesis) if device is None else torch.device(device)
    generator = WrappedGenerator(mapping, z_dim=z_dim, normalize_z=normalize_z, name=name, sha256=sha256)
    generator.thread_safe = thread_safe
    asked = _has_parameter(synthesis, "noise_mode") if takes_noise_mode is None else takes_noise_mode
    with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        z = sample_z(0, slice(0, 2), z_dim, stream="check").to(device)
        w = _probe_mapping(generator, z)
        generator.w_dim = w_dim or w.shape[-1]
        generator.num_ws = num_ws or (1 if w.ndim == 2 else w.shape[1])
        flat = w.ndim == 2 and num_ws is None
        generator.synthesis = WrappedSynthesis(synthesis, flat=flat, takes_noise_mode=asked)
        _probe_synthesis(generator, given, generator.mapping(z))
        generator.w_avg = average_w(generator, device) if w_avg is None else _given_average(w_avg, device)
    check_generator(generator, device=device, name=name)
    generator.checked_on = device
    return generator


def load_user_generator(spec: str, *, device: torch.device | str = "cpu") -> tuple[GeneratorLike, NetworkName]:
    """The generator that the factory `package.module:factory` makes, moved to `device` and checked.

    Returns:
        The generator and its name, which is `spec`, with a hash of all parameters and buffers that it holds, of the
        factory's source file and of its name in there: with another of these, it is another generator.

    Raises:
        UsageError: The factory cannot be used (`factories.make`), or what it makes does not fit (`check_generator`).
    """
    device = torch.device(device)
    generator, name = make_generator(spec, device=device)
    if getattr(generator, "checked_on", None) != device:
        check_generator(generator, device=device, name=spec)
    return generator, name


def save_description(
    folder: Path,
    generator: GeneratorLike,
    network: NetworkName,
    *,
    origin: str | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write generator.json, by which a report knows what a user's generator is (docs/architecture.md).

    `origin` says in words what a network out of a file is; without it the network's name is its factory. `record` is
    what is known of its training, by the fields of a run's config.json.
    """
    fields: dict[str, Any] = {"origin": origin} if origin else {"factory": network.name}
    fields |= {"sha256": network.sha256}
    fields |= {name: int(getattr(generator, name)) for name in WHOLE_NUMBERS}
    fields |= {"normalizes_z": normalizes_z(generator)}
    fields |= {} if has_mapping(generator) else {"mapping_layers": 0}
    fields |= _architecture(generator)
    with atomic_file(folder / "generator.json") as temporary:
        described = {**(record or {}), "schema_version": 1, "generator": fields}
        temporary.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def save_bundled_description(folder: Path, generator: GeneratorLike, network: NetworkName) -> None:
    """The same of a bundled network, with the settings of its training."""
    record = json.loads((NETWORKS / network.name / "config.json").read_text(encoding="utf-8"))
    save_description(folder, generator, network, origin=ORIGIN, record=record)


def _architecture(generator: GeneratorLike) -> dict[str, Any]:
    """The settings by which reports order generators of StyleGAN's kind, where these have them."""
    config = getattr(generator, "config", None)
    mapping = getattr(config, "mapping_kwargs", None)  # of StyleGAN2 and 3
    if mapping is not None and hasattr(mapping, "num_layers"):
        return {"mapping_layers": mapping.num_layers}
    return {name: getattr(config, name) for name in ("mapping_layers", "use_styles") if hasattr(config, name)}


def make_generator(spec: str, *, device: torch.device) -> tuple[GeneratorLike, NetworkName]:
    """As load_user_generator, unchecked."""
    generator = moved(make(spec), spec, device)
    if isinstance(generator, WrappedGenerator):
        content = generator.network.sha256
    else:
        content = content_sha256(generator, source=find(spec))
    function = spec.partition(":")[2]
    return generator, NetworkName(name=spec, sha256=combined_sha256(content, source_sha256(find(spec)), function))


# ------------------------------------------------------------------------------------------------------- probing


def _check_arguments(synthesis: Any, mapping: Any, given: dict[str, int | None]) -> None:
    for name, function in (("synthesis", synthesis), ("mapping", mapping)):
        if not callable(function) and not (name == "mapping" and function is None):
            raise UsageError(f"wrap_generator: {name} is a {type(function).__name__}; expected a function or module.")
    for name, value in given.items():
        wrong = value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1)
        if wrong or (name == "z_dim" and value is None):
            raise UsageError(f"wrap_generator: {name} is {value!r}; expected a whole number above 0 "
                             f"({WHOLE_NUMBERS[name]}).")  # fmt: skip


def _probe_mapping(generator: WrappedGenerator, z: Tensor) -> Tensor:
    """What mapping makes of a few z, [N, w_dim] or [N, num_ws, w_dim]; notes whether it normalises them."""
    w = _run("mapping", generator.mapped, z)
    if w.ndim not in (2, 3) or len(w) != len(z):
        raise UsageError(
            f"wrap_generator: mapping gives the shape {list(w.shape)} for z {list(z.shape)}; expected [N, w_dim] or "
            "[N, num_ws, w_dim]."
        )
    longer = _run("mapping", generator.mapped, 2 * z)
    generator.normalizes_z = torch.allclose(w.float(), longer.float(), rtol=1e-2, atol=1e-4)
    return w


def _probe_synthesis(generator: WrappedGenerator, given: dict[str, int | None], ws: Tensor) -> None:
    """Set the images' size and channels where they are not given, and see whether there is noise."""
    images = _run("synthesis", generator.synthesis, ws)
    if images.ndim != 4:
        raise UsageError(f"wrap_generator: synthesis gives the shape {list(images.shape)}; expected [N, C, H, H].")
    channels_last = images.shape[1] == images.shape[2] != images.shape[3]
    generator.img_resolution = given["img_resolution"] or images.shape[2]
    generator.img_channels = given["img_channels"] or images.shape[3 if channels_last else 1]
    generator.synthesis.look_for_noise(ws)


def _run(what: str, function: Function, latents: Tensor) -> Tensor:
    try:
        result = function(latents)
    except LatentLabError:
        raise
    except FAILURES as error:
        shape = list(latents.shape)
        raise UsageError(f"wrap_generator: {what} failed on latents {shape}: {failure(error)}") from error
    if not isinstance(result, Tensor):
        raise UsageError(
            f"wrap_generator: {what} gives a {type(result).__name__}, not a tensor; give a function that returns the "
            "tensor alone."
        )
    return result


def average_w(generator: GeneratorLike, device: torch.device) -> Tensor:
    """Mean of w over 10,000 z (official dlatent_avg follows it in training); zero, the mean of z, without mapping."""
    if not has_mapping(generator):
        return torch.zeros(generator.w_dim, device=device)
    total = torch.zeros(generator.w_dim, device=device)
    for start in range(0, NUM_FOR_W_AVG, _BATCH):
        z = sample_z(0, slice(start, start + _BATCH), generator.z_dim, stream="w_avg").to(device)
        total += generator.mapping(z).float().mean(dim=1).sum(dim=0)
    return total / NUM_FOR_W_AVG


def _given_average(w_avg: Any, device: torch.device) -> Tensor:
    try:
        return torch.as_tensor(w_avg, dtype=torch.float32, device=device)
    except FAILURES as error:
        raise UsageError(f"wrap_generator: w_avg cannot be made a tensor: {failure(error)}") from error


def _has_parameter(function: Function, name: str) -> bool:
    """Whether a function, or a module's forward, takes a parameter of this name or any by keyword."""
    try:
        parameters = inspect.signature(function.forward if isinstance(function, nn.Module) else function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(value.kind is value.VAR_KEYWORD for value in parameters.values())


def _under_seed(seed: int, function: Function, latents: Tensor) -> Tensor:
    """A call under a seed; torch's global generators are put back afterwards."""
    with torch.random.fork_rng(devices=[latents.device] if latents.device.type == "cuda" else []):
        torch.manual_seed(seed)
        return function(latents)
