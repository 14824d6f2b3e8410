"""States of StyleGAN2 networks under the names and layouts of other code: TensorFlow's, and Rosinality's port.

Written from the forms of those files, independently of what reads them; images and scores are those of the official
recordings.
"""

import math
from typing import Any

import numpy as np
import torch


def tensorflow_names(state: dict[str, np.ndarray], kwargs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Variables of `G_main` for a state of the PyTorch class (skip, resnet or orig)."""
    found: dict[str, np.ndarray] = {"dlatent_avg": state["mapping.w_avg"], "lod": np.float32(0)}
    for name, array in state.items():
        parts = name.split(".")
        if parts[0] == "mapping" and parts[1].startswith("fc"):
            number, leaf = parts[1][2:], parts[2]
            found[f"G_mapping/Dense{number}/{leaf}"] = array.T if leaf == "weight" else array
        elif parts[0] == "mapping" and parts[1] == "embed":
            found[f"G_mapping/LabelEmbed/{parts[2]}"] = array.T if parts[2] == "weight" else array
        elif parts[0] == "synthesis" and parts[-1] != "resample_filter":
            found |= _synthesis(parts, array)
    return {f"G_synthesis/{k[2:]}" if k.startswith("S/") else k: np.array(v, order="C") for k, v in found.items()}


def _synthesis(parts: list[str], array: np.ndarray) -> dict[str, np.ndarray]:
    size = int(parts[1][1:])
    if parts[2] == "const":
        return {"S/4x4/Const/const": array[None]}
    layer = {"conv0": "Conv0_up", "conv1": "Conv" if size == 4 else "Conv1", "torgb": "ToRGB", "skip": "Skip"}[parts[2]]
    leaf = ".".join(parts[3:])
    if leaf == "noise_const":
        first = {"conv0": 2 * int(math.log2(size)) - 5, "conv1": 2 * int(math.log2(size)) - 4}[parts[2]]
        return {f"S/noise{first}": array[None, None]}
    if leaf == "affine.weight":
        return {f"S/{size}x{size}/{layer}/mod_weight": array.T}
    if leaf == "affine.bias":
        return {f"S/{size}x{size}/{layer}/mod_bias": array - 1}
    if leaf == "weight":
        moved = np.moveaxis(array, (2, 3), (0, 1)).swapaxes(2, 3)
        return {f"S/{size}x{size}/{layer}/weight": np.rot90(moved, 2) if layer in ("Conv0_up", "Skip") else moved}
    return {f"S/{size}x{size}/{layer}/{leaf}": array}


def tensorflow_settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`static_kwargs` of `G_main` for the keyword arguments of the PyTorch class."""
    synthesis, mapping = kwargs.get("synthesis_kwargs", {}), kwargs.get("mapping_kwargs", {})
    found = {
        "num_channels": kwargs["img_channels"], "resolution": kwargs["img_resolution"], "label_size": kwargs["c_dim"],
        "latent_size": kwargs["z_dim"], "dlatent_size": kwargs["w_dim"], "truncation_psi": 0.5,
        "fmap_base": synthesis["channel_base"] // 2, "fmap_max": synthesis["channel_max"],
        "mapping_layers": mapping.get("num_layers", 8), "architecture": synthesis.get("architecture", "skip"),
        "resample_kernel": synthesis.get("resample_filter", [1, 3, 3, 1]),
    }  # fmt: skip
    return found | {"mapping_fmaps": mapping.get("layer_features") or kwargs["w_dim"]}


def tensorflow_discriminator(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Variables of `D_stylegan2` or `D_main` for a state of the PyTorch class without labels."""
    layers = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
    found = {}
    for name, array in state.items():
        block, *path = name.split(".")
        if path[-1] == "resample_filter":
            continue
        size, layer, leaf = block[1:], path[0], path[1]
        last = {"conv": "4x4/Conv", "fc": "4x4/Dense0", "out": "Output"}.get(layer)
        if array.ndim == 4:
            array = np.moveaxis(array, (2, 3), (0, 1)).swapaxes(2, 3)
        elif array.ndim == 2:
            array = array.T
        found[f"{last or f'{size}x{size}/{layers[layer]}'}/{leaf}"] = np.array(array, order="C")
    return found


def tensorflow_discriminator_settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    """`static_kwargs` of such a network for the keyword arguments of the PyTorch class."""
    epilogue = kwargs.get("epilogue_kwargs", {})
    return {
        "num_channels": kwargs["img_channels"], "resolution": kwargs["img_resolution"], "label_size": kwargs["c_dim"],
        "fmap_base": kwargs["channel_base"] // 2, "fmap_max": kwargs["channel_max"],
        "architecture": kwargs.get("architecture", "resnet"), "conv_clamp": kwargs.get("conv_clamp"),
        "mbstd_group_size": epilogue.get("mbstd_group_size", 4),
        "mbstd_num_features": epilogue.get("mbstd_num_channels", 1),
    }  # fmt: skip


def rosinality_names(state: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """`g_ema` of the port for a state of the PyTorch class: "skip", with noise."""
    found = {}
    filter_2d = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    for name, array in state.items():
        parts = name.split(".")
        if parts[0] == "mapping" and parts[1].startswith("fc"):
            found[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = array
        elif name == "synthesis.b4.const":
            found["input.input"] = array[None]
        elif parts[0] == "synthesis" and parts[-1] != "resample_filter":
            found |= _port_layer(parts, array)
    for index in range(len({name for name in found if name.startswith("to_rgbs.") and name.endswith("conv.weight")})):
        found[f"convs.{2 * index}.conv.blur.kernel"] = filter_2d
        found[f"to_rgbs.{index}.upsample.kernel"] = filter_2d
    return {name: torch.tensor(np.ascontiguousarray(array), dtype=torch.float32) for name, array in found.items()}


def _port_layer(parts: list[str], array: np.ndarray) -> dict[str, np.ndarray]:
    level = int(math.log2(int(parts[1][1:]))) - 2
    kind, leaf = parts[2], ".".join(parts[3:])
    if kind == "torgb":
        where = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"
        names = {"weight": "conv.weight", "bias": "bias", "affine.weight": "conv.modulation.weight"}
        shape = array[None] if leaf == "weight" else array[None, :, None, None] if leaf == "bias" else array
        return {f"{where}.{names.get(leaf, 'conv.modulation.bias')}": shape}
    number = 0 if level == 0 else 2 * level - (1 if kind == "conv0" else 0)  # in order of use
    where = "conv1" if number == 0 else f"convs.{number - 1}"
    if leaf == "noise_const":
        return {f"noises.noise_{number}": array[None, None]}
    if leaf == "weight":
        return {f"{where}.conv.weight": array[None] * math.sqrt(array[0].size)}
    names = {"bias": "activate.bias", "noise_strength": "noise.weight"}
    if leaf.startswith("affine."):
        return {f"{where}.conv.modulation.{leaf.removeprefix('affine.')}": array}
    return {f"{where}.{names[leaf]}": array.reshape(1) if leaf == "noise_strength" else array}
