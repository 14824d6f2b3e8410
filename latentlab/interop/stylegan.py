"""The variables of an official StyleGAN (2019, TensorFlow) network, turned into a LatentLab network.

Takes plain arrays under their official names and the network's `static_kwargs`. Dense weights are [in, out] and
convolutions [kh, kw, in, out] there, both before the equalised-learning-rate scaling, as ours are.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from latentlab.errors import CheckpointError
from latentlab.interop.state_dicts import Network, check_fit
from latentlab.networks import (
    Discriminator,
    DiscriminatorBlock,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    NetworkConfig,
    SynthesisLayer,
)

Variables = Mapping[str, np.ndarray]

_GENERATOR_FIELDS = {
    "resolution": "resolution",
    "num_channels": "num_channels",
    "fmap_base": "fmap_base",
    "fmap_max": "fmap_max",
    "fused_scale": "fused_scale",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_layers": "mapping_layers",
    "mapping_fmaps": "mapping_fmaps",
    "mapping_lrmul": "mapping_lrmul",
    "use_styles": "use_styles",
    "const_input_layer": "const_input",
    "use_noise": "use_noise",
    "use_pixel_norm": "pixel_norm",
    "use_instance_norm": "instance_norm",
}
_DISCRIMINATOR_FIELDS = {
    "resolution": "resolution",
    "num_channels": "num_channels",
    "fmap_base": "fmap_base",
    "fmap_max": "fmap_max",
    "fused_scale": "fused_scale",
    "mbstd_group_size": "mbstd_group_size",
}
# Settings that only one value of is supported; any other changes what the network computes.
_FIXED = {
    "label_size": (0,),
    "fmap_decay": (1.0,),
    "nonlinearity": ("lrelu",),
    "mapping_nonlinearity": ("lrelu",),
    "use_wscale": (True,),
    "normalize_latents": (True,),
    "mbstd_num_features": (1,),
    "dtype": ("float32",),
    "blur_filter": ([1, 2, 1], (1, 2, 1), None),
}
_MOST_DOUBLINGS = 10
_LEVELS_OF_DETAIL = ("lod", "G_synthesis/lod")
# Settings of training, of truncation (a function of ws here) and of graph building: no part of the weights' meaning.
_WITHOUT_EFFECT = {
    "truncation_psi",
    "truncation_cutoff",
    "truncation_psi_val",
    "truncation_cutoff_val",
    "dlatent_avg_beta",
    "style_mixing_prob",
    "dlatent_broadcast",
    "randomize_noise",
    "structure",
    "is_template_graph",
    "is_training",
    "is_validation",
}


def generator_from_variables(variables: Variables, static_kwargs: Mapping[str, Any]) -> Generator:
    """An official `G_style` network (G or Gs) as a Generator in eval mode.

    Args:
        variables: Arrays under the full network's names: `dlatent_avg`, `G_mapping/Dense0/weight`,
            `G_synthesis/4x4/Const/const`, `G_synthesis/noise0`, ... (`lod` may be missing and is then 0).
        static_kwargs: What the network was built with; what is not listed has the official default.

    Raises:
        CheckpointError: A setting is not supported, or a variable is missing, superfluous or of another shape.
    """
    config = GeneratorConfig.model_validate(_fields(static_kwargs, _GENERATOR_FIELDS, GeneratorConfig))
    generator = _filled(lambda: Generator(config), generator_tensors, variables)
    generator.synthesis.lod = _level_of_detail(variables.get("G_synthesis/lod", variables.get("lod")))
    return generator.eval().requires_grad_(False)


def discriminator_from_variables(variables: Variables, static_kwargs: Mapping[str, Any]) -> Discriminator:
    """An official `D_basic` network (a discriminator or an attribute classifier) as a Discriminator in eval mode.

    Raises:
        CheckpointError: As in generator_from_variables.
    """
    fields = _fields(static_kwargs, _DISCRIMINATOR_FIELDS, DiscriminatorConfig)
    config = DiscriminatorConfig.model_validate(fields)
    discriminator = _filled(lambda: Discriminator(config), discriminator_tensors, variables)
    discriminator.lod = _level_of_detail(variables.get("lod"))
    return discriminator.eval().requires_grad_(False)


def _fields(kwargs: Mapping[str, Any], names: Mapping[str, str], config: type[NetworkConfig]) -> dict[str, Any]:
    fields = {}
    for key, value in kwargs.items():
        if key in names:
            fields[names[key]] = value
        elif key in _FIXED:
            _check_fixed(key, value)
        elif key not in _WITHOUT_EFFECT:
            raise CheckpointError(f"setting {key} = {value!r}: unknown in an official StyleGAN network.")
    if "blur_filter" in kwargs:
        fields["blur"] = kwargs["blur_filter"] is not None
    try:
        config.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"settings of the network: {first['loc']}: {first['msg']}.") from error
    return fields


def _check_fixed(key: str, value: Any) -> None:
    if value not in _FIXED[key]:
        allowed = " or ".join(repr(option) for option in _FIXED[key])
        raise CheckpointError(f"setting {key} = {value!r}: only {allowed} is supported.")


def generator_tensors(generator: Generator) -> Iterator[tuple[str, Tensor]]:
    """A generator's tensors by their official names, in our layout: w_avg, mapping, synthesis."""
    yield from _mapping_tensors(generator)
    yield from _synthesis_tensors(generator)


def _mapping_tensors(generator: Generator) -> Iterator[tuple[str, Tensor]]:
    yield "dlatent_avg", generator.w_avg
    for index, layer in enumerate(generator.mapping.layers):
        yield from _layer_tensors(f"G_mapping/Dense{index}", layer)


def _synthesis_tensors(generator: Generator) -> Iterator[tuple[str, Tensor]]:
    synthesis = generator.synthesis
    first = "Const" if generator.config.const_input else "Dense"
    for index, layer in enumerate(synthesis.layers):
        assert isinstance(layer, SynthesisLayer)
        size = 2 ** (index // 2 + 2)
        name = (first if index == 0 else "Conv") if size == 4 else ("Conv1" if index % 2 else "Conv0_up")
        scope = f"G_synthesis/{size}x{size}/{name}"
        yield from _layer_tensors(scope, layer.source)
        if layer.noise_strength is not None:
            yield f"{scope}/Noise/weight", layer.noise_strength
            yield f"G_synthesis/noise{index}", getattr(synthesis, f"noise_const{index}")
        if layer.style is not None:
            yield from _layer_tensors(f"{scope}/StyleMod", layer.style)
    for stage, to_rgb in enumerate(synthesis.to_rgb):
        yield from _layer_tensors(f"G_synthesis/ToRGB_lod{len(synthesis.to_rgb) - 1 - stage}", to_rgb)


def discriminator_tensors(discriminator: Discriminator) -> Iterator[tuple[str, Tensor]]:
    """A discriminator's tensors by their official names, in our layout."""
    for lod, from_rgb in enumerate(discriminator.from_rgb):
        yield from _layer_tensors(f"FromRGB_lod{lod}", from_rgb)
    for lod, block in enumerate(discriminator.blocks):
        assert isinstance(block, DiscriminatorBlock)
        size = discriminator.config.resolution >> lod
        yield from _layer_tensors(f"{size}x{size}/Conv0", block.conv0)
        yield from _layer_tensors(f"{size}x{size}/Conv1_down", block.conv1)
    yield from _layer_tensors("4x4/Conv", discriminator.conv)
    yield from _layer_tensors("4x4/Dense0", discriminator.dense0)
    yield from _layer_tensors("4x4/Dense1", discriminator.dense1)


def _layer_tensors(scope: str, layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in layer.named_parameters(recurse=False):
        yield f"{scope}/{name}", tensor


def _from_official_layout(name: str, array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(array, np.float32))
    if not name.endswith("/weight") or tensor.ndim < 2:
        return tensor
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T


def _level_of_detail(value: Any) -> float:
    """The variable `lod`: how many doublings of the resolution are not there yet; 0 where a file lacks it."""
    array = np.asarray(0 if value is None else value, np.float64)
    if array.size != 1 or not 0 <= float(array.reshape(())) <= _MOST_DOUBLINGS:
        raise CheckpointError(f"variable lod is {array.tolist()}; it must be one number from 0 to {_MOST_DOUBLINGS}.")
    return float(array.reshape(()))


@torch.no_grad()
def _filled(
    build: Callable[[], Network], named: Callable[[Network], Iterator[tuple[str, Tensor]]], variables: Variables
) -> Network:
    """A network with these variables; it is built without memory first, for settings may ask for one of any size.

    Raises:
        CheckpointError: Variables do not fit.
    """
    tensors = {
        name: _from_official_layout(name, array) for name, array in variables.items() if name not in _LEVELS_OF_DETAIL
    }
    with torch.device("meta"):
        check_fit({name: tensor.shape for name, tensor in named(build())}, tensors)
    network = build()
    for name, target in named(network):
        target.copy_(tensors[name])
    return network
