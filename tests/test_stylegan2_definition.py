"""StyleGAN2 against its definition written out (stylegan2_by_definition.py), where no recording reaches."""

import pytest
import stylegan2_by_definition as definition
import torch

from latentlab.perceptual.pushing import jvp
from latentlab.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig

SMALL = {"channel_base": 64, "channel_max": 6}
VARIANTS = {
    "orig": {"architecture": "orig"},
    "skip, clamped": {"conv_clamp": 0.5},
    "resnet, clamped": {"architecture": "resnet", "conv_clamp": 0.5},
    "orig, clamped": {"architecture": "orig", "conv_clamp": 0.5},
    "an uneven filter": {"resample_filter": (1, 2, 4, 1)},
    "an uneven filter, resnet": {"resample_filter": (1, 2, 4, 1), "architecture": "resnet"},
    "a filter of three": {"resample_filter": (1, 2, 1)},
    "a filter of two": {"resample_filter": (1, 1), "architecture": "resnet"},
    "swish": {"activation": "swish", "conv_clamp": 0.5},
    "relu": {"activation": "relu", "architecture": "resnet"},
    "tanh": {"activation": "tanh"},
}
DISCRIMINATORS = {
    "resnet, clamped": {"conv_clamp": 0.5},
    "orig": {"architecture": "orig", "img_channels": 1, "epilogue_kwargs": {"mbstd_num_channels": 0}},
    "skip": {"architecture": "skip", "conv_clamp": 0.5, "epilogue_kwargs": {"mbstd_num_channels": 2}},
    "labels": {"c_dim": 3, "cmap_dim": 5, "mapping_kwargs": {"num_layers": 2, "embed_features": 4}},
    "labels, defaults": {"c_dim": 3},
    "the whole minibatch": {"epilogue_kwargs": {"mbstd_group_size": None, "mbstd_num_channels": 3}},
    "an uneven filter": {"block_kwargs": {"resample_filter": (1, 2, 4, 1), "activation": "swish"}},
    "an uneven filter, skip": {"architecture": "skip", "block_kwargs": {"resample_filter": (1, 2, 4, 1)}},
}


def filled(network):
    """In float64, with parameters from a seed, biases and strengths included; its state; the seed's generator."""
    draw = torch.Generator().manual_seed(3)
    network = network.double().eval().requires_grad_(False)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if not name.endswith("resample_filter"):
            scale = 100.0 if "fc" in name and "mapping" in name else 1.0
            tensor.copy_(torch.randn(tensor.shape, generator=draw, dtype=torch.float64) * scale)
    return network, network.state_dict(), draw


def generator_of(**fields):
    settings = {"z_dim": 5, "w_dim": 7, "img_resolution": 16, "mapping_kwargs": {"num_layers": 2}} | fields
    return filled(Generator(GeneratorConfig.model_validate(settings)))


def drawn(draw, *shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_the_definition(variant, channels):
    kwargs = SMALL | VARIANTS[variant]
    generator, state, draw = generator_of(synthesis_kwargs=kwargs, img_channels=channels)
    ws = drawn(draw, 3, generator.num_ws, 7)
    noise = [drawn(draw, 3, 1, *shape) for shape in generator.synthesis.noise_shapes]
    for mode, given in (("random", noise), ("none", None)):
        found = generator.synthesis(ws, mode, given)
        torch.testing.assert_close(found, definition.images(state, generator.config, ws, given))
        assert found.shape == (3, channels, 16, 16)


def test_the_epsilon_of_demodulation_is_where_the_definition_has_it():
    """With weights of 2^-16 it is as large as their squares."""
    generator, _, draw = generator_of(synthesis_kwargs=SMALL)
    for block in generator.synthesis.blocks:
        for layer in block.layers:
            layer.weight.mul_(2.0**-16)
    ws = drawn(draw, 2, generator.num_ws, 7)
    found = generator.synthesis(ws, "const")
    stored = [layer.noise_const for block in generator.synthesis.blocks for layer in block.layers]
    expected = definition.images(generator.state_dict(), generator.config, ws, stored)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(generator.float().synthesis(ws, "const").double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 2.0**-13])
@pytest.mark.parametrize("more", [{}, {"embed_features": 4, "layer_features": 9, "lr_multiplier": 0.1}])
def test_w_is_that_of_the_definition(scale, more):
    """For short z, too, where the epsilon of the normalisation is as large as their squares."""
    settings = {"num_layers": 3, "activation": "relu"} | more
    generator, state, draw = generator_of(c_dim=2, mapping_kwargs=settings, synthesis_kwargs=SMALL)
    z, labels = drawn(draw, 4, 5) * scale, drawn(draw, 4, 2)
    expected = definition.mapped(state, generator.config.mapping_kwargs, z, labels)
    found = generator.mapping(z, labels)
    torch.testing.assert_close(found, expected[:, None].expand(-1, generator.num_ws, -1))


@pytest.mark.parametrize("variant", DISCRIMINATORS)
def test_scores_are_those_of_the_definition(variant):
    settings = {"img_resolution": 16, **SMALL, **DISCRIMINATORS[variant]}
    discriminator, state, draw = filled(Discriminator(DiscriminatorConfig.model_validate(settings)))
    config = discriminator.config
    images = drawn(draw, 8, config.img_channels, 16, 16)
    labels = drawn(draw, 8, config.c_dim) if config.c_dim else None
    torch.testing.assert_close(discriminator(images, labels), definition.scores(state, config, images, labels))


@pytest.mark.parametrize("variant", ["orig", "resnet, clamped", "swish"])
def test_derivatives_forwards_and_backwards_agree_with_finite_differences(variant):
    generator, _, draw = generator_of(synthesis_kwargs=SMALL | VARIANTS[variant], img_resolution=8)
    ws, v = (drawn(draw, 1, generator.num_ws, 7) for _ in range(2))

    def synthesis(ws):
        return generator.synthesis(ws, "const")

    value, tangent = jvp(synthesis, ws, v)
    step = 1e-6
    differences = (synthesis(ws + step * v) - synthesis(ws - step * v)) / (2 * step)
    torch.testing.assert_close(tangent, differences, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(value, synthesis(ws))
    ws.requires_grad_(True)
    u = drawn(draw, *value.shape)
    (back,) = torch.autograd.grad((synthesis(ws) * u).sum(), ws)
    torch.testing.assert_close((back * v).sum(), (tangent * u).sum())


def test_gradients_reach_every_parameter_of_both_networks():
    generator, _, draw = generator_of(c_dim=2, synthesis_kwargs=SMALL | {"architecture": "resnet"})
    small = {"img_resolution": 16, "c_dim": 2, **SMALL}
    discriminator, _, _ = filled(Discriminator(DiscriminatorConfig.model_validate(small)))
    for network in (generator, discriminator):
        network.requires_grad_(True)
    labels = drawn(draw, 4, 2)
    discriminator(generator(drawn(draw, 4, 5), labels), labels).sum().backward()
    for network in (generator, discriminator):
        still = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
        assert not still
