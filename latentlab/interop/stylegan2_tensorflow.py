"""The variables of an official StyleGAN2 network of TensorFlow (2019, and ADA's of 2020), as a StyleGAN2 network.

Dense weights are [in, out] and convolutions [kh, kw, in, out] there. Convolutions that grow the images are stored
rotated by 180 degrees against PyTorch's, and style biases without the 1 that is added to them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from latentlab.errors import CheckpointError
from latentlab.interop.state_dicts import Network, assigned
from latentlab.stylegan2 import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    official_discriminator_config,
    official_generator_config,
)

Variables = Mapping[str, np.ndarray]
Names = Iterator[tuple[str, tuple[str, str]]]
"""Our state's names, each with the official one and how the array is brought into our layout."""

_NETWORK = {
    "latent_size": "z_dim",
    "label_size": "c_dim",
    "dlatent_size": "w_dim",
    "resolution": "img_resolution",
    "num_channels": "img_channels",
}
_MAPPING = {
    "mapping_layers": "num_layers",
    "label_fmaps": "embed_features",
    "mapping_fmaps": "layer_features",
    "mapping_nonlinearity": "activation",
    "mapping_lrmul": "lr_multiplier",
}
_SYNTHESIS = {
    "fmap_max": "channel_max",
    "num_fp16_res": "num_fp16_res",
    "conv_clamp": "conv_clamp",
    "architecture": "architecture",
    "resample_kernel": "resample_filter",
    "use_noise": "use_noise",
    "nonlinearity": "activation",
}
_FIXED: dict[str, tuple[Any, ...]] = {
    "fmap_decay": (1.0, 1),
    "fmap_min": (1,),
    "fmap_const": (None,),
    "use_wscale": (True,),
    "normalize_latents": (True,),
    "dtype": ("float32",),
    "synthesis_func": ("G_synthesis_stylegan2", "G_synthesis"),
    "mapping_func": ("G_mapping",),
}
"""Settings of which other values change what the network computes in ways that are not supported."""
_WITHOUT_EFFECT = {
    "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta",
    "w_avg_beta", "style_mixing_prob", "dlatent_broadcast", "randomize_noise", "is_template_graph", "is_training",
    "is_validation", "return_dlatents", "fused_modconv", "structure", "impl", "gpu_impl", "force_clean_graph",
}  # fmt: skip
_DISCRIMINATOR = {
    "resolution": "img_resolution",
    "num_channels": "img_channels",
    "fmap_max": "channel_max",
    "num_fp16_res": "num_fp16_res",
    "conv_clamp": "conv_clamp",
    "architecture": "architecture",
}
_BLOCKS = {"nonlinearity": "activation", "resample_kernel": "resample_filter", "freeze_layers": "freeze_layers"}
_EPILOGUE = {
    "nonlinearity": "activation",
    "mbstd_group_size": "mbstd_group_size",
    "mbstd_num_features": "mbstd_num_channels",
}
_FIXED_IN_DISCRIMINATORS: dict[str, tuple[Any, ...]] = {
    "label_size": (0,),
    "use_pagan": (False,),
    "use_spectral_norm": (False,),
    "adaptive_dropout": (0,),
    "score_size": (1,),
    "score_max": (1,),
}
_WITHOUT_EFFECT_IN_DISCRIMINATORS = {
    "mapping_layers", "mapping_fmaps", "mapping_lrmul", "augment_strength", "pagan_num", "pagan_fade",
}  # fmt: skip
_OPTIONAL = {"lod", "G_synthesis/lod"}


def generator_from_variables(variables: Variables, static_kwargs: Mapping[str, Any]) -> Generator:
    """An official `G_main` network (G or Gs) in eval mode.

    Args:
        variables: Arrays under the full network's names: `dlatent_avg`, `G_mapping/Dense0/weight`,
            `G_synthesis/4x4/Conv/mod_weight`, ...
        static_kwargs: What the network was built with; what is not listed has the official default.

    Raises:
        CheckpointError: A setting is not supported, or a variable is missing, superfluous, of another shape or NaN.
    """
    if variables.keys() >= {"G_mapping/LabelConcat/weight"}:
        raise CheckpointError("the labels of a conditional StyleGAN2 of 2019 (LabelConcat) are not supported.")
    config = _config(static_kwargs, variables)
    return _filled(lambda: Generator(config), _names(config), variables, "generator")


def discriminator_from_variables(
    variables: Variables, static_kwargs: Mapping[str, Any], *, function: str
) -> Discriminator:
    """An official discriminator without labels in eval mode.

    Args:
        variables: Arrays under the network's names: `32x32/FromRGB/weight`, `4x4/Dense0/weight`, `Output/weight`, ...
        static_kwargs: What it was built with; what is not listed has the official default.
        function: That built it: `D_stylegan2` in the code of 2019, `D_main` in ADA's.

    Raises:
        CheckpointError: As in generator_from_variables; also if it is one of the configurations B to D.
    """
    if function not in _BATCH_GROUPS:
        raise CheckpointError(f"a discriminator that grows ({function}, configurations B to D) is not supported.")
    config = _discriminator_config(static_kwargs, function)
    return _filled(lambda: Discriminator(config), _discriminator_names(config), variables, "discriminator")


def _filled(build: Callable[[], Network], names: Names, variables: Variables, what: str) -> Network:
    named = dict(names)
    superfluous = sorted(variables.keys() - {name for name, _ in named.values()} - _OPTIONAL)
    if superfluous:
        listed = ", ".join(superfluous[:5])
        raise CheckpointError(f"variables that a StyleGAN2 {what} of these settings does not have: {listed}.")
    state = {own: _converted(variables[name], how) for own, (name, how) in named.items() if name in variables}
    return assigned(build, state, {own: name for own, (name, _) in named.items()})


# ---------------------------------------------------------------------------------------------------- the settings


def _config(kwargs: Mapping[str, Any], variables: Variables) -> GeneratorConfig:
    _check_settings(kwargs, _NETWORK | _MAPPING | _SYNTHESIS, _FIXED, _WITHOUT_EFFECT)
    fields: dict[str, Any] = {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_channels": 3, **_part(kwargs, _NETWORK)}
    if "resolution" not in kwargs:
        sizes = [array.shape[-1] for name, array in variables.items() if "/noise" in name and array.ndim]
        fields["img_resolution"] = max(sizes, default=1024)
    fields["mapping_kwargs"] = {"layer_features": 512, **_part(kwargs, _MAPPING)}
    fields["synthesis_kwargs"] = {"channel_base": _channel_base(kwargs), **_part(kwargs, _SYNTHESIS)}
    return official_generator_config(fields, "stylegan2-ada-pytorch")


_BATCH_GROUPS = {"D_stylegan2": 4, "D_main": None}
"""Images in a group of minibatch standard deviation where settings do not say it; None for the whole minibatch."""


def _discriminator_config(kwargs: Mapping[str, Any], function: str) -> DiscriminatorConfig:
    known = _DISCRIMINATOR | _BLOCKS | _EPILOGUE
    _check_settings(
        kwargs, known, _FIXED | _FIXED_IN_DISCRIMINATORS, _WITHOUT_EFFECT | _WITHOUT_EFFECT_IN_DISCRIMINATORS
    )
    epilogue = {"mbstd_group_size": _BATCH_GROUPS[function], **_part(kwargs, _EPILOGUE)}
    if function == "D_stylegan2" and epilogue["mbstd_group_size"] in (0, 1):  # which switches it off there
        epilogue |= {"mbstd_group_size": 1, "mbstd_num_channels": 0}
    fields = {
        "img_resolution": 1024,
        "channel_base": _channel_base(kwargs),
        "block_kwargs": _part(kwargs, _BLOCKS),
        "epilogue_kwargs": epilogue,
        **_part(kwargs, _DISCRIMINATOR),
    }
    return official_discriminator_config(fields, "stylegan2-ada-pytorch")


def _check_settings(
    kwargs: Mapping[str, Any],
    known: Collection[str],
    fixed: Mapping[str, tuple[Any, ...]],
    without_effect: Collection[str],
) -> None:
    for key, value in kwargs.items():
        if key in fixed and value not in fixed[key]:
            allowed = " or ".join(repr(option) for option in fixed[key])
            raise CheckpointError(f"setting {key} = {value!r}: only {allowed} is supported.")
        if key not in known and key not in fixed and key not in without_effect and key != "fmap_base":
            raise CheckpointError(f"setting {key} = {value!r}: unknown in an official StyleGAN2 network.")


def _part(kwargs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {own: kwargs[theirs] for theirs, own in names.items() if theirs in kwargs}


def _channel_base(kwargs: Mapping[str, Any]) -> int:
    base = kwargs.get("fmap_base", 16384)
    if not isinstance(base, int) or isinstance(base, bool):
        raise CheckpointError(f"setting fmap_base = {base!r}: it must be a whole number.")
    return 2 * base


# ------------------------------------------------------------------------------------------------------- the names


def _names(config: GeneratorConfig) -> Names:
    yield "mapping.w_avg", ("dlatent_avg", "")
    if config.c_dim:
        yield from _dense("mapping.embed", "G_mapping/LabelEmbed")
    for number in range(config.mapping_kwargs.num_layers):
        yield from _dense(f"mapping.fc{number}", f"G_mapping/Dense{number}")
    for resolution in config.resolutions:
        yield from _block(config, resolution)


def _block(config: GeneratorConfig, resolution: int) -> Names:
    own, theirs = f"synthesis.b{resolution}", f"G_synthesis/{resolution}x{resolution}"
    number = 2 * (resolution.bit_length() - 1) - 5  # of the noise of the first of the two layers
    architecture = config.synthesis_kwargs.architecture
    noise = config.synthesis_kwargs.use_noise
    if resolution == 4:
        yield f"{own}.const", (f"{theirs}/Const/const", "first")
        yield from _layer(f"{own}.conv1", f"{theirs}/Conv", noise=0 if noise else None, kernel="convolution")
    else:
        first, second = (number, number + 1) if noise else (None, None)
        yield from _layer(f"{own}.conv0", f"{theirs}/Conv0_up", noise=first, kernel="rotated")
        yield from _layer(f"{own}.conv1", f"{theirs}/Conv1", noise=second, kernel="convolution")
        if architecture == "resnet":
            yield f"{own}.skip.weight", (f"{theirs}/Skip/weight", "rotated")
    if architecture == "skip" or resolution == config.img_resolution:
        yield from _modulated(f"{own}.torgb", f"{theirs}/ToRGB", kernel="convolution")


def _layer(own: str, theirs: str, *, noise: int | None, kernel: str) -> Names:
    yield from _modulated(own, theirs, kernel=kernel)
    if noise is not None:
        yield f"{own}.noise_const", (f"G_synthesis/noise{noise}", "plane")
        yield f"{own}.noise_strength", (f"{theirs}/noise_strength", "")


def _modulated(own: str, theirs: str, *, kernel: str) -> Names:
    yield f"{own}.weight", (f"{theirs}/weight", kernel)
    yield f"{own}.bias", (f"{theirs}/bias", "")
    yield f"{own}.affine.weight", (f"{theirs}/mod_weight", "dense")
    yield f"{own}.affine.bias", (f"{theirs}/mod_bias", "plus one")


def _discriminator_names(config: DiscriminatorConfig) -> Names:
    for resolution in config.resolutions:
        theirs = f"{resolution}x{resolution}"
        if config.architecture == "skip" or resolution == config.img_resolution:
            yield from _plain(f"b{resolution}.fromrgb", f"{theirs}/FromRGB")
        if resolution > 4:
            yield from _plain(f"b{resolution}.conv0", f"{theirs}/Conv0")
            yield from _plain(f"b{resolution}.conv1", f"{theirs}/Conv1_down")
            if config.architecture == "resnet":
                yield f"b{resolution}.skip.weight", (f"{theirs}/Skip/weight", "convolution")
    yield from _plain("b4.conv", "4x4/Conv")
    yield from _dense("b4.fc", "4x4/Dense0")
    yield from _dense("b4.out", "Output")


def _plain(own: str, theirs: str) -> Names:
    yield f"{own}.weight", (f"{theirs}/weight", "convolution")
    yield f"{own}.bias", (f"{theirs}/bias", "")


def _dense(own: str, theirs: str) -> Names:
    yield f"{own}.weight", (f"{theirs}/weight", "dense")
    yield f"{own}.bias", (f"{theirs}/bias", "")


_LAYOUTS = {
    "": lambda array: array,
    "dense": lambda array: array.T,
    "convolution": lambda array: array.transpose(3, 2, 0, 1),
    "rotated": lambda array: array[::-1, ::-1].transpose(3, 2, 0, 1),
    "plus one": lambda array: array + 1,
    "first": lambda array: array[0],
    "plane": lambda array: array[0, 0],
}


def _converted(array: np.ndarray, how: str) -> torch.Tensor:
    """An array in our layout; as it is where its number of axes does not allow that, which `assigned` names."""
    try:
        made = _LAYOUTS[how](np.asarray(array, np.float32))
    except (ValueError, IndexError):
        made = np.asarray(array, np.float32)
    return torch.from_numpy(np.array(made, np.float32, order="C"))
