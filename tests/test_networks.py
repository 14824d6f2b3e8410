"""Networks against recordings of the official code (tests/reference/networks.md), and their own rules."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from latentlab.errors import CheckpointError
from latentlab.images import to_uint8
from latentlab.interop.stylegan import discriminator_from_variables, generator_from_variables
from latentlab.latents import sample_noise, truncate
from latentlab.networks import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    count_parameters,
    initialised,
    minibatch_stddev,
)
from trainers.trainer import mix_styles

GENERATORS = ("style_d8", "style_d0", "trad_d0", "config_c", "style_d8_res128")
IMAGES, SCORES = 2e-4, 2e-5

pytestmark = pytest.mark.usefixtures("no_grad")


@pytest.fixture
def no_grad():
    with torch.no_grad():
        yield


def _generator(recording, name):
    return generator_from_variables(recording(f"{name}_vars.npz"), recording(f"{name}.json")["static_kwargs"])


@pytest.mark.parametrize("name", GENERATORS)
def test_mapping_and_parameter_count(recording, name):
    generator, io = _generator(recording, name), recording(f"{name}_io.npz")
    ws = generator.mapping(torch.from_numpy(io["z"]))
    np.testing.assert_allclose(ws, io["dlatents"], atol=1e-5)
    assert count_parameters(generator) == recording(f"{name}.json")["num_trainable_params"]


@pytest.mark.parametrize("name", GENERATORS)
def test_images_at_every_recorded_lod(recording, name):
    generator, io = _generator(recording, name), recording(f"{name}_io.npz")
    ws = generator.mapping(torch.from_numpy(io["z"]))
    keys = [key for key in io if key.startswith("images_lod") and "fused" not in key]
    assert keys
    for key in keys:
        generator.synthesis.lod = float(key.removeprefix("images_lod"))
        images = generator.synthesis(ws, "const")
        np.testing.assert_allclose(images, io[key], atol=IMAGES, rtol=0, err_msg=key)


@pytest.mark.parametrize("name", ["style_d8", "style_d8_res128"])
def test_truncated_images(recording, name):
    generator, io = _generator(recording, name), recording(f"{name}_io.npz")
    keys = [key for key in io if "psi" in key]
    assert keys
    for key in keys:
        psi, cutoff = key.removeprefix("images_psi").split("_cutoff")
        z = torch.from_numpy(io["z"][: len(io[key])])
        images = generator(z, truncation_psi=float(psi), truncation_cutoff=int(cutoff), noise_mode="const")
        np.testing.assert_allclose(images, io[key], atol=IMAGES, rtol=0, err_msg=key)


def test_fused_upscaling_turns_the_kernel(recording):
    io, settings = recording("style_d8_res128_io.npz"), recording("style_d8_res128.json")["static_kwargs"]
    generator = generator_from_variables(recording("style_d8_res128_vars.npz"), {**settings, "fused_scale": False})
    images = generator(torch.from_numpy(io["z"][:2]), noise_mode="const")
    np.testing.assert_allclose(images, io["images_lod0_fused_scale_False"], atol=IMAGES, rtol=0)


def test_style_mixing(recording):
    generator, io = _generator(recording, "style_d8"), recording("training_mode.npz")
    ws, ws2 = (generator.mapping(torch.from_numpy(io[name])) for name in ("latents", "latents2"))
    for key in (key for key in io if key.startswith("images_mix")):
        lod, cutoff = key.removeprefix("images_mix_lod").split("_cutoff")
        generator.synthesis.lod = float(lod)
        last = generator.num_ws - 2 * int(float(lod)) - 1
        images = generator.synthesis(mix_styles(ws, ws2, min(int(cutoff), last)), "const")
        np.testing.assert_allclose(images, io[key], atol=IMAGES, rtol=0, err_msg=key)


def test_w_average(recording):
    generator, io = _generator(recording, "style_d8"), recording("training_mode.npz")
    np.testing.assert_array_equal(generator.w_avg, io["dlatent_avg_before"])
    ws = generator.mapping(torch.from_numpy(io["latents"]))
    generator.track_w(ws, 0.995)
    np.testing.assert_allclose(generator.w_avg, io["dlatent_avg_after_one_step"], atol=1e-6)
    for _ in range(4):
        generator.track_w(ws, 0.995)
    np.testing.assert_allclose(generator.w_avg, io["dlatent_avg_after_five_steps"], atol=1e-6)


@pytest.mark.parametrize("name", ["d_basic", "d_basic_res128"])
def test_discriminator_scores(recording, name):
    settings, io = recording(f"{name}.json"), recording(f"{name}_io.npz")
    discriminator = discriminator_from_variables(recording(f"{name}_vars.npz"), settings["static_kwargs"])
    assert count_parameters(discriminator) == settings["num_trainable_params"]
    images = torch.from_numpy(io["images"])
    for key in (key for key in io if key.startswith("scores_lod")):
        lod, _, part = key.removeprefix("scores_lod").partition("_")
        discriminator.lod = float(lod)
        chosen = images[io["perm"]] if "perm" in part else images[: int(part.removeprefix("first") or 8)]
        np.testing.assert_allclose(discriminator(chosen), io[key], atol=SCORES, rtol=0, err_msg=key)


def test_discriminator_takes_images_of_its_level(recording):
    settings, io = recording("d_basic.json"), recording("d_basic_io.npz")
    discriminator = discriminator_from_variables(recording("d_basic_vars.npz"), settings["static_kwargs"])
    discriminator.lod = 1.0
    halved = torch.nn.functional.avg_pool2d(torch.from_numpy(io["images"]), 2)
    np.testing.assert_allclose(discriminator(halved), io["scores_lod1"], atol=SCORES, rtol=0)


def test_parameter_counts_of_the_paper(recording):
    with torch.device("meta"):
        style = {depth: Generator(GeneratorConfig(mapping_layers=depth)) for depth in (0, 1, 2, 8)}
        traditional = {depth: Generator(GeneratorConfig.traditional(mapping_layers=depth)) for depth in (0, 8)}
        config_c = Generator(GeneratorConfig(const_input=False, use_noise=False))
        config_d = Generator(GeneratorConfig(use_noise=False))
        discriminator = Discriminator(DiscriminatorConfig())
        classifier = Discriminator(DiscriminatorConfig(resolution=256, mbstd_group_size=0))
    assert {depth: count_parameters(net) for depth, net in style.items()} == {
        0: 24_118_379, 1: 24_381_035, 2: 24_643_691, 8: 26_219_627,
    }  # fmt: skip
    assert {depth: count_parameters(net) for depth, net in traditional.items()} == {0: 23_079_115, 8: 25_180_363}
    assert (count_parameters(config_c), count_parameters(config_d)) == (30_400_651, 26_214_539)
    assert (count_parameters(discriminator), count_parameters(classifier)) == (23_087_249, 23_047_745)


def test_image_conversion(recording):
    io = recording("convert_images_to_uint8.npz")
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(io["images"])), io["nhwc"])


def _small(**fields) -> Generator:
    config = GeneratorConfig(resolution=16, fmap_base=64, fmap_max=8, z_dim=8, w_dim=8, mapping_fmaps=8, **fields)
    generator = initialised(lambda: Generator(config), 1)
    for layer in generator.synthesis.layers:
        if layer.noise_strength is not None:
            layer.noise_strength.fill_(0.5)
    return generator


def test_noise_modes():
    generator, z = _small(), torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    noise = sample_noise(0, slice(0, 3), generator.synthesis.noise_shapes)
    given = generator(z, noise=noise)
    assert torch.equal(given, generator(z, noise=noise))
    assert torch.equal(generator(z, noise_mode="const"), generator(z, noise_mode="const"))
    assert not torch.equal(given, generator(z, noise_mode="none"))
    assert not torch.equal(generator(z), generator(z))


def test_batch_size_changes_nothing():
    generator, z = _small(), torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    whole = generator(z, noise_mode="const")
    torch.testing.assert_close(torch.cat([generator(row[None], noise_mode="const") for row in z]), whole)


def test_truncation_to_zero_gives_the_average_image():
    generator, z = _small(), torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    generator.track_w(generator.mapping(z), 0.0)
    images = generator(z, truncation_psi=0, noise_mode="const")
    torch.testing.assert_close(images, images[:1].expand_as(images))
    ws = generator.mapping(z)
    assert torch.equal(truncate(ws, generator.w_avg, 0.5, 2)[:, 2:], ws[:, 2:])


def test_level_images_are_the_full_ones_before_repeating():
    generator, z = _small(), torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    generator.synthesis.lod = 1.25
    ws = generator.mapping(z)
    level = generator.synthesis(ws, "const", full_resolution=False)
    assert level.shape[-1] == generator.synthesis.level_resolution == 8
    assert torch.equal(level.repeat_interleave(2, 2).repeat_interleave(2, 3), generator.synthesis(ws, "const"))


def test_initial_weights_are_a_function_of_the_seed():
    state = torch.get_rng_state()
    assert torch.equal(_small().synthesis.to_rgb[0].weight, _small().synthesis.to_rgb[0].weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_half_precision_images_come_out_as_float32():
    generator, z = _small(), torch.randn(2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(z, noise_mode="const").dtype == torch.float32


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resolution": 48}, "power of two"),
        ({"mapping_layers": -1}, "greater than or equal to 0"),
        ({"mapping_layers": 0, "z_dim": 64}, "must agree"),
        ({"use_styles": False}, "same image for every latent"),
        ({"fmap_bsae": 64}, "Extra inputs"),
    ],
)
def test_settings_that_no_network_can_have(fields, words):
    with pytest.raises(ValidationError, match=words):
        GeneratorConfig(**fields)


def test_lod_out_of_range():
    generator = _small()
    generator.synthesis.lod = 2.5
    with pytest.raises(ValueError, match="between 0 and 2"):
        generator(torch.randn(1, 8))


def test_minibatch_stddev_needs_whole_groups():
    with pytest.raises(ValueError, match="minibatch of 6 images"):
        minibatch_stddev(torch.zeros(6, 2, 4, 4), 4)


def test_variables_that_do_not_fit_are_named(recording):
    variables, settings = recording("trad_d0_vars.npz"), recording("trad_d0.json")["static_kwargs"]
    for change, words in (
        (
            {"G_synthesis/ToRGB_lod0/bias": np.zeros(4, np.float32)},
            r"ToRGB_lod0/bias \(\[4\] where \[3\] is expected\)",
        ),
        ({"surplus": np.zeros(1, np.float32)}, "superfluous: surplus"),
    ):
        with pytest.raises(CheckpointError, match=words):
            generator_from_variables({**variables, **change}, settings)
    del variables["dlatent_avg"]
    with pytest.raises(CheckpointError, match="missing: dlatent_avg"):
        generator_from_variables(variables, settings)
    with pytest.raises(CheckpointError, match="normalize_latents = False"):
        generator_from_variables(variables, {**settings, "normalize_latents": False})
    with pytest.raises(CheckpointError, match="unknown in an official"):
        generator_from_variables(variables, {**settings, "spectral": True})
