"""Alias-free generators against recordings of the official ones, and against the formulas written out."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from latentlab.checkpoint import load_generator, save_generator
from latentlab.errors import CheckpointError, UsageError
from latentlab.latents import truncate
from latentlab.networks import initialised
from latentlab.perceptual.pushing import jvp
from latentlab.protocols import synthesize, takes_noise, threads_may_share
from latentlab.resampling import upfirdn2d
from latentlab.stylegan3 import Generator, GeneratorConfig, filtering, official_generator_config
from latentlab.stylegan3.filtering import filtered_lrelu
from latentlab.stylegan3.layers import SynthesisLayer
from latentlab.stylegan3.plan import layer_plans

FOLDER = Path(__file__).parent / "reference" / "stylegan2-3"
NAMES = ("sg3_t14", "sg3_r8", "sg3_cond32")
TRANSFORMS = ("rot25_trans", "rot90", "scale1.7_rot", "affine")
TINY = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "num_layers": 5, "channel_base": 128, "channel_max": 8}


@cache
def arrays(name):
    with np.load(FOLDER / name) as file:
        return {key: torch.from_numpy(array) for key, array in file.items()}


def described(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def official(name):
    generator = Generator(official_generator_config(described(name)["init_kwargs"])).eval().requires_grad_(False)
    generator.load_state_dict(arrays(f"{name}.weights.npz"))
    return generator


def tiny(**fields):
    return initialised(lambda: Generator(GeneratorConfig(**TINY | fields)), 0).eval().requires_grad_(False)


def close(found, recorded, *, factor=5e-5):
    torch.testing.assert_close(found, recorded, rtol=0, atol=factor * max(1.0, float(recorded.abs().max())))


# ------------------------------------------------------------------------------------------------- recordings


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_official_ones_in_their_order(name):
    generator, expected = official(name), described(name)
    assert [key for key, _ in generator.named_parameters()] == expected["parameters"]
    assert [key for key, _ in generator.named_buffers()] == expected["buffers"]
    assert {key: list(tensor.shape) for key, tensor in generator.state_dict().items()} == expected["state"]
    assert generator.num_ws == expected["num_ws"]


@pytest.mark.parametrize("name", NAMES)
def test_filters_are_the_ones_that_official_states_hold(name):
    generator = Generator(official_generator_config(described(name)["init_kwargs"]))
    for key, tensor in generator.state_dict().items():
        if key.endswith("_filter"):
            torch.testing.assert_close(tensor, arrays(f"{name}.weights.npz")[key], rtol=0, atol=2e-8)


@pytest.mark.parametrize("name", NAMES)
def test_intermediate_latents_equal_the_official_ones(name):
    generator, io = official(name), arrays(f"{name}.io.npz")
    ws = generator.mapping(io["in/z"], io.get("in/c"))
    for key, found in (
        ("ws", ws),
        ("ws_psi0.7", truncate(ws, generator.w_avg, 0.7)),
        ("ws_psi0.7_cut4", truncate(ws, generator.w_avg, 0.7, 4)),
    ):
        torch.testing.assert_close(found, io[key], rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", NAMES)
def test_images_equal_the_official_ones(name):
    generator, io = official(name), arrays(f"{name}.io.npz")
    for key, ws in (
        ("img_const", io["ws"][:4]),
        ("img_wsrand_const", io["in/ws_rand"]),
        ("img_const_psi0.7_cut4", io["ws_psi0.7_cut4"][:2]),
    ):
        found = generator.synthesis(ws, noise_mode="const")
        assert found.dtype == torch.float32
        close(found, io[key], factor=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["sg3_t14", "sg3_cond32"])
def test_images_under_user_transforms_equal_the_official_ones(name, transform):
    generator, io = official(name), arrays(f"{name}.io.npz")
    state = generator.state_dict() | {"synthesis.input.transform": io[f"in/transform/{transform}"]}
    generator.load_state_dict(state)
    close(generator.synthesis(io["ws"][:2]), io[f"img_const_{transform}"], factor=1e-5)
    if f"input_{transform}" in io:
        features = generator.synthesis.input(io["ws"][:1, 0])
        close(features[:, :8, ::2, ::2], io[f"input_{transform}"], factor=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_gives_what_the_official_one_gives(name):
    generator, io = official(name), arrays(f"{name}.io.npz")
    found = {}
    for key, module in generator.named_modules():
        module.register_forward_hook(lambda _, inputs, output, key=key: found.__setitem__(key, output[0]))
    generator(io["in/z"][:4], io["in/c"][:4] if "in/c" in io else None)  # images at once, as recorded
    traces = [key for key in io if key.startswith("trace/")]
    assert len(traces) >= 2 * generator.num_ws
    for key in traces:
        output = found[key.removeprefix("trace/")]
        if output.ndim == 3:
            output = output[:8, ::4, ::4] if key.endswith(".input") else output[[0, -1], ::3, ::3]
        close(output, io[key])


def test_magnitudes_that_follow_the_input_change_the_image_as_recorded():
    generator, io = official("sg3_t14"), arrays("sg3_t14.io.npz")

    def follow(layer, inputs):
        beta = generator.config.magnitude_ema_beta
        layer.magnitude_ema.mul_(beta).add_((1 - beta) * inputs[0].square().mean())

    for layer in generator.synthesis.layers:
        layer.register_forward_pre_hook(follow)
    image = generator.synthesis(generator.mapping(io["in/z"][:4]))[:1]
    close(image, io["img_update_emas"], factor=1e-5)
    for name, layer in zip(generator.synthesis.layer_names, generator.synthesis.layers, strict=True):
        torch.testing.assert_close(layer.magnitude_ema, io[f"magnitude_ema_after_update/{name}"], rtol=1e-5, atol=0)


# ------------------------------------------------------------------------------------------------ nonlinearity

CASES = [case for case in json.loads((FOLDER / "ops.json").read_text())["cases"] if case["op"] == "filtered_lrelu"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_filtered_leaky_relus_equal_the_official_ones(case):
    x, fu, fd, b, out = (arrays("ops.npz").get(f"{case['name']}/{key}") for key in ("x", "fu", "fd", "b", "out"))
    args = dict(case["args"])
    padding = args.pop("padding_x0_x1_y0_y1")
    torch.testing.assert_close(filtered_lrelu(x, fu, fd, b, padding=padding, **args), out, rtol=0, atol=5e-6)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("most", [1, 40_000, 10**9])
def test_filtering_in_parts_changes_nothing(monkeypatch, most, count):
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(count, 40, 11, 9, generator=drawn, dtype=torch.float64)
    bias = torch.randn(40, generator=drawn, dtype=torch.float64)
    up, down = (torch.randn(taps, generator=drawn, dtype=torch.float64) for taps in (8, 6))
    monkeypatch.setitem(filtering._MOST, "cpu", most)
    found = filtered_lrelu(x, up, down, bias, up=2, down=2, padding=(5, 4, 3, 6), gain=1.5, slope=0.3, clamp=2.0)
    spread = upfirdn2d(x + bias[:, None, None], up, up=2, padding=(5, 4, 3, 6), gain=4)
    activated = (torch.where(spread > 0, spread, 0.3 * spread) * 1.5).clamp(-2, 2)
    assert 0.01 < (activated.abs() == 2).double().mean() < 0.99
    torch.testing.assert_close(found, upfirdn2d(activated, down, down=2), rtol=1e-12, atol=1e-12)


def test_filtering_leaves_what_it_is_given_as_it_was():
    x = torch.linspace(-2, 2, 32).reshape(1, 2, 4, 4)
    before = x.clone()
    found = filtered_lrelu(x, None, None, clamp=1.0)
    assert torch.equal(x, before)
    torch.testing.assert_close(found, F.leaky_relu(x, 0.2).clamp(-1, 1))


# ------------------------------------------------------------------------------------- formulas written out


def modulated_by_the_formula(layer, x, styles):
    """Every image with weights of its own, in the order in which the paper's network has it, float64."""
    weight = layer.weight / layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    styles = styles / styles.square().mean().sqrt()
    images = []
    for image, style in zip(x, styles, strict=True):
        modulated = weight * style[None, :, None, None]
        modulated = modulated / (modulated.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        modulated = modulated / layer.magnitude_ema.sqrt()
        images.append(F.conv2d(image[None], modulated, padding=layer.plan.kernel - 1))
    return torch.cat(images)


def rest_by_the_formula(layer, x):
    plan = layer.plan
    x = upfirdn2d(x + layer.bias[:, None, None], layer.up_filter, up=plan.up, padding=plan.padding * 2, gain=plan.up**2)
    x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return upfirdn2d(x, layer.down_filter, down=plan.down)


@pytest.mark.parametrize("kernel", [1, 3])
def test_styles_are_scaled_over_the_whole_batch_before_the_epsilon(kernel):
    plan = layer_plans(GeneratorConfig(**TINY, conv_kernel=kernel))[2]
    layer = initialised(lambda: SynthesisLayer(plan, w_dim=8, clamp=None), 0).requires_grad_(False)
    layer.weight.mul_(2.0**-16)
    layer.bias.normal_(generator=torch.Generator().manual_seed(1))
    layer.magnitude_ema.fill_(0.3)
    drawn = torch.Generator().manual_seed(2)
    x = torch.randn(3, 8, plan.source.size, plan.source.size, generator=drawn)
    w = torch.randn(3, 8, generator=drawn)
    w[1] *= 2.0**17
    found = layer(x, w)
    layer.double()
    x, w = x.double(), w.double()
    expected = rest_by_the_formula(layer, modulated_by_the_formula(layer, x, layer.affine(w)))
    torch.testing.assert_close(layer(x, w), expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    alone = layer(x[:1], w[:1])
    assert (alone - expected[:1]).square().mean().sqrt() > 0.05 * alone.square().mean().sqrt()


def test_colours_are_neither_demodulated_nor_bent_but_scaled_and_clamped():
    plan = layer_plans(GeneratorConfig(**TINY))[-1]
    layer = initialised(lambda: SynthesisLayer(plan, w_dim=8, clamp=0.5), 0).requires_grad_(False)
    layer.magnitude_ema.fill_(0.3)
    layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    drawn = torch.Generator().manual_seed(2)
    x, w = torch.randn(2, 8, 16, 16, generator=drawn), torch.randn(2, 8, generator=drawn)
    mixed = torch.einsum("oi,ni,nihw->nohw", layer.weight[:, :, 0, 0], layer.affine(w) / math.sqrt(8 * 0.3), x)
    colours = mixed + layer.bias[:, None, None]
    assert 0.01 < (colours.abs() > 0.5).float().mean() < 0.99
    torch.testing.assert_close(layer(x, w), colours.clamp(-0.5, 0.5), rtol=1e-5, atol=1e-5)


def features_by_the_formula(layer, w):
    """One place and one wave at a time, float64 [C, S, S], of one w."""
    cos, sin, x_shift, y_shift = (layer.affine(w[None])[0] / layer.affine(w[None])[0, :2].norm()).tolist()
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, -x_shift], [0, 1, -y_shift], [0, 0, 1]])
    matrix = turn @ shift @ layer.transform.numpy()
    maps = layer.maps
    features = np.zeros((maps.channels, maps.size, maps.size))
    for index, (freq, phase) in enumerate(zip(layer.freqs.numpy(), layer.phases.numpy(), strict=True)):
        moved, started = freq @ matrix[:2, :2], phase + freq @ matrix[:2, 2]
        amplitude = np.clip(1 - (np.linalg.norm(moved) - maps.cutoff) / (maps.rate / 2 - maps.cutoff), 0, 1)
        for row, column in np.ndindex(maps.size, maps.size):
            place = (np.array([column, row]) + 0.5 - maps.size / 2) / maps.rate
            features[index, row, column] = amplitude * np.sin(2 * np.pi * (moved @ place + started))
    return np.einsum("oj,jyx->oyx", layer.weight.numpy() / math.sqrt(maps.channels), features)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_waves_are_shifted_turned_and_faded(scale):
    layer = tiny(margin_size=2).synthesis.input.double()
    layer.affine.weight.normal_(generator=torch.Generator().manual_seed(1))
    layer.transform.copy_(torch.tensor([[0.9, 0.3, 0.1], [-0.4, 1.1, -0.2], [0, 0, 1]]) * torch.tensor([scale]))
    layer.transform[2, 2] = 1
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = np.stack([features_by_the_formula(layer, one) for one in w])
    torch.testing.assert_close(layer(w), torch.from_numpy(expected), rtol=1e-10, atol=1e-10)


def test_fresh_networks_ignore_w_in_their_input_and_start_from_waves_within_the_first_cutoff():
    generator = tiny(channel_base=4096, channel_max=64)
    layer = generator.synthesis.input
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    features = layer(w)
    assert torch.equal(features[0], features[1])
    lengths = layer.freqs.norm(dim=1)
    assert lengths.max() <= 2
    assert 1.2 < lengths.mean() < 1.5  # 4/3 where freqs are spread evenly over the disc
    assert layer.phases.abs().max() <= 0.5


# -------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize("fields", [{}, {"conv_kernel": 1, "use_radial_filters": True, "conv_clamp": 0.6}])
def test_derivatives_along_w_are_the_limit_of_differences(fields):
    generator = tiny(**fields).double()
    drawn = torch.Generator().manual_seed(3)
    generator.synthesis.input.affine.weight.normal_(generator=drawn)
    ws, direction = (torch.randn(2, generator.num_ws, 8, generator=drawn, dtype=torch.float64) for _ in range(2))
    images, tangents = jvp(generator.synthesis, ws, direction)
    torch.testing.assert_close(images, generator.synthesis(ws), rtol=1e-12, atol=1e-12)
    step = 1e-6
    ahead, behind = (generator.synthesis(ws + sign * step * direction) for sign in (1, -1))
    difference = (ahead - behind) / (2 * step)
    assert tangents.abs().max() > 0.01
    torch.testing.assert_close(tangents, difference, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_forward_derivatives():
    generator = tiny().double()
    drawn = torch.Generator().manual_seed(3)
    ws, direction = (torch.randn(2, generator.num_ws, 8, generator=drawn, dtype=torch.float64) for _ in range(2))
    images, tangents = jvp(generator.synthesis, ws, direction)
    weights = torch.randn(images.shape, generator=drawn, dtype=torch.float64)
    ws.requires_grad_()
    (gradient,) = torch.autograd.grad((generator.synthesis(ws) * weights).sum(), ws)
    torch.testing.assert_close((gradient * direction).sum(), (tangents * weights).sum(), rtol=1e-9, atol=1e-12)


# ----------------------------------------------------------------------------------- settings and the protocol


def test_generators_fit_the_protocol():
    generator = tiny()
    assert (generator.z_dim, generator.w_dim, generator.c_dim, generator.num_ws) == (8, 8, 0, 7)
    assert (generator.img_resolution, generator.img_channels) == (16, 3)
    assert generator.has_mapping
    assert generator.normalizes_z
    assert takes_noise(generator)
    assert threads_may_share(generator)
    assert generator.synthesis.noise_shapes == []
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(generator.mapping(3 * z), generator.mapping(z))
    ws = generator.mapping(z)
    (images,) = synthesize(generator, [ws], rows=slice(0, 2), seed=0)
    assert images.shape == (2, 3, 16, 16)
    for mode in ("const", "none"):
        assert torch.equal(generator.synthesis(ws, noise_mode=mode), images)
    average = truncate(ws, generator.w_avg, 0)
    assert torch.equal(generator(z, truncation_psi=0), generator.synthesis(average))


def test_labels_are_given_or_set_or_asked_for():
    generator = tiny(c_dim=3)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    label = (0.0, 1.0, 0.0)
    given = generator.mapping(z, torch.tensor([label, label]))
    with pytest.raises(UsageError, match="labels are missing"):
        generator.mapping(z)
    generator.label = label
    assert torch.equal(generator.mapping(z), given)
    assert generator.config.label == label
    again = Generator(generator.config).eval().requires_grad_(False)
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again.mapping(z), given)
    with pytest.raises(UsageError, match="label has 2 numbers"):
        generator.label = (0.0, 1.0)
    with pytest.raises(UsageError, match="takes none"):
        tiny().mapping(z, torch.tensor([label, label]))


def test_a_network_folder_brings_a_generator_back_with_its_transform_and_label(tmp_path):
    generator, io = official("sg3_cond32"), arrays("sg3_cond32.io.npz")
    generator.label = io["in/c"][7].tolist()
    generator.synthesis.input.transform.copy_(io["in/transform/affine"])
    sha256 = save_generator(tmp_path, generator, {"origin": "a file"})
    loaded, name = load_generator(tmp_path)
    assert isinstance(loaded, Generator)
    assert name.sha256 != sha256  # the label belongs to who it is
    assert loaded.config == generator.config
    assert not loaded.training
    assert json.loads((tmp_path / "network.json").read_text())["family"] == "stylegan3"
    torch.testing.assert_close(loaded(io["in/z"][:2]), generator(io["in/z"][:2]), rtol=0, atol=1e-5)
    close(loaded.synthesis(io["ws"][:2]), io["img_const_affine"], factor=1e-5)


def test_ws_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"\[2, 6, 8\]; it must be \[N, 7, 8\]"):
        tiny().synthesis(torch.zeros(2, 6, 8))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chanel_max": 64}, "chanel_max = 64: unknown in a StyleGAN3 network"),
        ({"mapping_kwargs": {"num_layer": 2}}, r"mapping_kwargs.num_layer = 2: unknown"),
        ({"num_layers": 2}, "num_layers 2 must be more than num_critical 2"),
        ({"channel_base": 8}, "channel_base 8 leaves no feature map at 16 pixels"),
        ({"img_resolution": 24}, "img_resolution: .*power of two"),
        ({"label": (1.0,)}, "label has 1 numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(fields, message):
    with pytest.raises(CheckpointError, match=message):
        official_generator_config(TINY | fields)
