"""Checkpoints of Rosinality's port of StyleGAN (2019, style-based-gan-pytorch), as a StyleGAN generator.

What differs from the official network, and how it is said here without changing what is computed: every scale of the
equalised learning rate is sqrt(2 / fan-in) and goes into the weights; biases are blurred (`blurred_bias`); both layers
of a resolution add one noise image (`shared_noise`); instance norm has epsilon 1e-5, which is the official 1e-8 for
feature maps that are sqrt(1e-3) times as large, so whatever comes before an instance norm is scaled by that.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from latentlab.errors import CheckpointError, UsageError
from latentlab.fused import EPSILON
from latentlab.interop.generators import NUM_FOR_W_AVG, average_w
from latentlab.interop.state_dicts import assigned, check_plain
from latentlab.networks import FUSED_FROM, SQRT2, Generator, GeneratorConfig

AVERAGED, TRAINED = "g_running", "generator"
_TELLING = ("style.1.linear.weight_orig", "generator.progression.0.conv1.input", "generator.to_rgb.0.conv.weight_orig")
_EARLY = "generator.progression.1.conv1.conv.weight_orig"
_BEFORE_NORM = math.sqrt(EPSILON / 1e-5)
_NOISE_SEED = 0


@dataclass(frozen=True)
class Converted:
    """A generator out of a checkpoint.

    Attributes:
        generator: In eval mode.
        which: Where it stood: g_running or generator.
        notes: What was chosen or drawn for it.
    """

    generator: Generator
    which: str
    notes: tuple[str, ...]


def is_rosinality_stylegan(checkpoint: Any) -> bool:
    """Whether an object from a file has the names of this port, under `g_running`, `generator`, or at the top."""
    return any(_looks_so(state) for state in _states(checkpoint).values())


def stylegan_from_checkpoint(
    checkpoint: Mapping[str, Any], *, which: str | None = None, resolution: int | None = None
) -> Converted:
    """A generator of this port. Noise images are drawn under a fixed seed, w_avg is the mean of w over 10,000 z.

    Args:
        checkpoint: A state alone, or states under `generator` and `g_running`.
        which: `g_running`, the average, also if left out; `generator` or `G`, the trained one.
        resolution: Of the images; the highest that was trained if left out.

    Raises:
        CheckpointError: It is an early version's, or tensors are missing, superfluous, of another shape or NaN.
        UsageError: There is no such generator, or no such resolution.
    """
    name, state = _chosen(_states(checkpoint), which)
    check_plain(state)
    if _EARLY in state:
        raise CheckpointError(
            "it is of an early version of this port, which grows images bilinearly and does not blur them; that is not "
            "supported. Measure it by a factory in Python (docs/own-networks.md)."
        )
    there = _count(state, r"generator\.progression\.(\d+)\.conv2\.conv\.weight_orig")
    trained = _trained_stages(state, there)
    stages = trained if resolution is None else _stages_of(resolution, there)
    config = _config(state, stages)
    names = dict(_names(state, config))
    _check_rest(state, {theirs for theirs, _ in names.values()}, stages)
    made = {own: _converted(state[theirs], how) for own, (theirs, how) in names.items() if theirs in state}
    made |= _noise(config)
    made["synthesis.layers.0.source.bias"] = torch.zeros(config.fmaps(1))
    made["w_avg"] = torch.zeros(config.w_dim)
    generator = assigned(lambda: Generator(config), made, {own: theirs for own, (theirs, _) in names.items()})
    with torch.inference_mode():
        mean = average_w(generator, torch.device("cpu"))
    generator.w_avg.copy_(mean)
    return Converted(generator, name, tuple(_notes(config.resolution, trained, there)))


def _states(checkpoint: Any) -> dict[str, Mapping[str, Any]]:
    """The states that a file may hold, by name; one alone is taken for the average, which the port saves so."""
    if not isinstance(checkpoint, Mapping):
        return {}
    found = {key: checkpoint[key] for key in (AVERAGED, TRAINED) if isinstance(checkpoint.get(key), Mapping)}
    return found or {AVERAGED: checkpoint}


def _looks_so(state: Mapping[str, Any]) -> bool:
    return all(isinstance(state.get(name), Tensor) for name in _TELLING)


def _chosen(states: Mapping[str, Mapping[str, Any]], which: str | None) -> tuple[str, Mapping[str, Any]]:
    name = {None: AVERAGED, "G": TRAINED}.get(which, which)
    if name not in (AVERAGED, TRAINED):
        raise UsageError(
            f"--which {which}: of this port {AVERAGED}, the average, and G, the trained one, are converted."
        )
    if name not in states:
        raise UsageError(f"it holds no {name}, only {', '.join(states)}: name another with --which.")
    return name, states[name]


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len([name for name in state if re.fullmatch(pattern, name)])


def _trained_stages(state: Mapping[str, Tensor], there: int) -> int:
    """How many resolutions training has reached: noise strengths and biases are exactly 0 before.

    All, if none has one: then nothing tells.
    """
    parts = ("noise1.weight_orig", "noise2.weight_orig", "conv2.conv.bias")
    names = {stage: [f"generator.progression.{stage}.{part}" for part in parts] for stage in range(there)}
    reached = [stage + 1 for stage in names if any(bool(state[name].any()) for name in names[stage] if name in state)]
    return max(reached, default=there)


def _stages_of(resolution: int, there: int) -> int:
    allowed = [4 << stage for stage in range(there)]
    if resolution not in allowed:
        raise UsageError(f"--resolution {resolution}: the file has layers for {', '.join(map(str, allowed))}.")
    return allowed.index(resolution) + 1


def _notes(resolution: int, trained: int, there: int) -> Iterator[str]:
    reached, most = 2 << trained, 2 << there
    if resolution > reached:
        yield f"images of {resolution} pixels, as asked for, though training seems to have reached {reached}"
    else:
        left_out = f"; the file's layers up to {most} are left out" if resolution < most else ""
        yield f"images of {resolution} pixels; training seems to have reached {reached}{left_out}"
    yield f"noise images of noise mode const were drawn (seed {_NOISE_SEED}): the file has none"
    yield f"w_avg is the mean of w over {NUM_FOR_W_AVG:,} z: the file has none"


# ---------------------------------------------------------------------------------------------------- the settings


def _config(state: Mapping[str, Tensor], stages: int) -> GeneratorConfig:
    """Settings read from names and shapes.

    Raises:
        CheckpointError: They are none that a StyleGAN generator's settings can say.
    """
    maps = [_shape(state, f"generator.progression.{stage}.conv2.conv.weight_orig", 4)[0] for stage in range(stages)]
    most = max(maps)
    below = [count << (stage + 1) for stage, count in enumerate(maps) if count < most]
    base = below[-1] if below else most << stages
    if any(count != min(base >> (stage + 1), most) for stage, count in enumerate(maps)) or base < 2**stages:
        listed = ", ".join(f"{count} at {4 << stage}" for stage, count in enumerate(maps))
        raise CheckpointError(f"feature maps ({listed} pixels) that StyleGAN's settings cannot say.")
    w_dim, z_dim = _shape(state, "style.1.linear.weight_orig", 2)
    fields = {
        "resolution": 2 << stages,
        "num_channels": _shape(state, "generator.to_rgb.0.conv.weight_orig", 4)[0],
        "fmap_base": base,
        "fmap_max": most,
        "fused_scale": _fused_scale(state, stages),
        "z_dim": z_dim,
        "w_dim": w_dim,
        "mapping_layers": _count(state, r"style\.\d+\.linear\.weight_orig"),
        "mapping_fmaps": w_dim,
        "mapping_lrmul": 1.0,
        "blurred_bias": True,
        "shared_noise": True,
    }
    try:
        return GeneratorConfig.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        named = ".".join(map(str, problem["loc"])) or "settings"
        raise CheckpointError(f"sizes that StyleGAN's settings cannot say: {named}: {problem['msg']}.") from error


def _shape(state: Mapping[str, Tensor], name: str, axes: int) -> torch.Size:
    if name not in state:
        raise CheckpointError(f"the tensor {name} is missing.")
    if state[name].ndim != axes or not state[name].numel():
        raise CheckpointError(f"{name} has the shape {list(state[name].shape)}, where {axes} axes are expected.")
    return state[name].shape


def _fused_scale(state: Mapping[str, Tensor], stages: int) -> bool | str:
    """Which growing layers are the fused operation, told by their names."""
    fused = [_is_fused(state, stage) for stage in range(1, stages)]
    if len(set(fused)) < 2:
        return any(fused)
    if fused != [4 << stage >= FUSED_FROM for stage in range(1, stages)]:
        raise CheckpointError(
            f"growing layers that are fused otherwise than all, none, or from {FUSED_FROM} pixels on."
        )
    return "auto"


def _is_fused(state: Mapping[str, Tensor], stage: int) -> bool:
    return f"generator.progression.{stage}.conv1.0.weight" in state


# ----------------------------------------------------------------------------------------------------- the tensors


def _names(state: Mapping[str, Tensor], config: GeneratorConfig) -> Iterator[tuple[str, tuple[str, str]]]:
    """Our state's names, each with this port's and how the tensor is brought into our form."""
    for number in range(config.mapping_layers):
        yield f"mapping.layers.{number}.weight", (f"style.{2 * number + 1}.linear.weight_orig", "")
        yield f"mapping.layers.{number}.bias", (f"style.{2 * number + 1}.linear.bias", "")
    for stage in range(config.num_stages):
        theirs, first, second = f"generator.progression.{stage}", 2 * stage, 2 * stage + 1
        if stage == 0:
            yield "synthesis.layers.0.source.const", (f"{theirs}.conv1.input", "before norm")
        elif _is_fused(state, stage):
            yield f"synthesis.layers.{first}.source.weight", (f"{theirs}.conv1.0.weight", "fused")
            yield f"synthesis.layers.{first}.source.bias", (f"{theirs}.conv1.0.bias", "before norm")
        else:
            yield f"synthesis.layers.{first}.source.weight", (f"{theirs}.conv1.1.conv.weight_orig", "before norm")
            yield f"synthesis.layers.{first}.source.bias", (f"{theirs}.conv1.1.conv.bias", "before norm")
        yield f"synthesis.layers.{second}.source.weight", (f"{theirs}.conv2.conv.weight_orig", "before norm")
        yield f"synthesis.layers.{second}.source.bias", (f"{theirs}.conv2.conv.bias", "before norm")
        for layer, part in ((first, 1), (second, 2)):
            own = f"synthesis.layers.{layer}"
            yield f"{own}.noise_strength", (f"{theirs}.noise{part}.weight_orig", "strength")
            yield f"{own}.style.weight", (f"{theirs}.adain{part}.style.linear.weight_orig", "gain")
            yield f"{own}.style.bias", (f"{theirs}.adain{part}.style.linear.bias", "less one")
        yield f"synthesis.to_rgb.{stage}.weight", (f"generator.to_rgb.{stage}.conv.weight_orig", "gain")
        yield f"synthesis.to_rgb.{stage}.bias", (f"generator.to_rgb.{stage}.conv.bias", "")


def _converted(tensor: Tensor, how: str) -> Tensor:
    """A tensor in our form; `assigned` names those whose shape does not allow it."""
    tensor = tensor.detach().float()
    if how == "before norm":
        return tensor * _BEFORE_NORM
    if how == "gain":
        return tensor * SQRT2
    if how == "fused" and tensor.ndim == 4:  # [in, out, 3, 3] there, and the mean of four copies instead of the sum
        return tensor.transpose(0, 1) * (_BEFORE_NORM / 4)
    if how == "strength" and tensor.ndim == 4:
        return tensor.flatten() * (_BEFORE_NORM * math.sqrt(2 / tensor[0].numel()))
    if how == "less one" and tensor.ndim == 1:
        return torch.cat([part - one for part, one in zip(tensor.tensor_split(2), (1, 0), strict=True)])
    return tensor


def _noise(config: GeneratorConfig) -> dict[str, Tensor]:
    """Noise of noise mode const, one image for both layers of a resolution."""
    drawn = torch.Generator().manual_seed(_NOISE_SEED)
    images = [torch.randn(1, 1, 4 << stage, 4 << stage, generator=drawn) for stage in range(config.num_stages)]
    return {f"synthesis.noise_const{index}": images[index // 2].clone() for index in range(config.num_layers)}


def _check_rest(state: Mapping[str, Tensor], known: set[str], stages: int) -> None:
    """Refuse names that this port does not have, and filters other than (1, 2, 1).

    Raises:
        CheckpointError: naming them.
    """
    line = torch.tensor([0.25, 0.5, 0.25])
    superfluous = []
    for name in sorted(state.keys() - known):
        block = re.match(r"generator\.(?:progression|to_rgb)\.(\d+)\.", name)
        if block is None or int(block[1]) < stages:
            if not re.fullmatch(r"generator\.progression\.\d+\.conv1\.[12]\.weight(?:_flip)?", name):
                superfluous.append(name)
            elif not _is_filter(state[name].float(), torch.outer(line, line)):
                raise CheckpointError(f"{name} is another filter than (1, 2, 1), which is not supported here.")
    if superfluous:
        raise CheckpointError(f"tensors that this port's StyleGAN does not have: {', '.join(superfluous[:5])}.")


def _is_filter(kernels: Tensor, plane: Tensor) -> bool:
    fits = kernels.ndim == 4 and kernels.shape[1:] == (1, *plane.shape)
    return fits and torch.allclose(kernels, plane.expand_as(kernels), atol=1e-5)
