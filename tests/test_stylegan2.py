"""StyleGAN2 against the official classes' recordings (tests/reference/stylegan2-3/README.md)."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from latentlab.checkpoint import load_generator, save_generator
from latentlab.errors import CheckpointError, UsageError
from latentlab.interop.generator_checks import examine_generator
from latentlab.latents import truncate
from latentlab.stylegan2 import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    official_discriminator_config,
    official_generator_config,
)
from latentlab.stylegan2.layers import Activated

FOLDER = Path(__file__).parent / "reference" / "stylegan2-3"
ADA = "stylegan2-ada-pytorch"
GENERATORS = sorted(path.name[:-7] for path in FOLDER.glob("sg2_*.io.npz"))
DISCRIMINATORS = sorted(path.name[:-7] for path in FOLDER.glob("d_*.io.npz"))
FULL_SIZE = json.loads((FOLDER / "sg2_fullsize_architectures.json").read_text())
TINY = {"z_dim": 8, "w_dim": 6, "img_resolution": 8, "synthesis_kwargs": {"channel_base": 32, "channel_max": 4}}


def described(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def arrays(name):
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(array) for key, array in file.items()}


def official(name):
    """The network of a fixture with its weights, in eval mode, and what was recorded of it."""
    kwargs, weights = described(name)["init_kwargs"], arrays(f"{name}.weights")
    if name.startswith("d_"):
        network = Discriminator(official_discriminator_config(kwargs, ADA))
    else:
        network = Generator(official_generator_config(kwargs, ADA))
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False), arrays(f"{name}.io")


def assert_close(found, recorded):
    """To 1e-4 of the largest value, or of 1."""
    torch.testing.assert_close(found, recorded, rtol=0, atol=1e-4 * max(1.0, float(recorded.abs().max())))


# ----------------------------------------------------------------------------------------------------- recordings


@pytest.mark.parametrize("name", GENERATORS)
def test_mapping_and_truncation_equal_the_official_ones(name):
    generator, io = official(name)
    ws = generator.mapping(io["in/z"], io["in/c"] if generator.c_dim else None)
    for psi, cutoff, key in ((1, None, "ws"), (0.7, None, "ws_psi0.7"), (0.7, 4, "ws_psi0.7_cut4")):
        found = truncate(ws, generator.w_avg, psi, cutoff)
        torch.testing.assert_close(found, io[key], rtol=0, atol=5e-5)


@pytest.mark.parametrize("name", GENERATORS)
def test_images_equal_the_official_ones(name):
    generator, io = official(name)
    count = len(io["img_const"])
    labels = io["in/c"][:count] if generator.c_dim else None
    assert_close(generator(io["in/z"][:count], labels, noise_mode="const"), io["img_const"])
    assert_close(generator.synthesis(io["ws"][:count], noise_mode="none"), io["img_none"])
    assert_close(generator.synthesis(io["in/ws_rand"], noise_mode="const"), io["img_wsrand_const"])
    assert_close(generator.synthesis(io["ws_psi0.7_cut4"][:2], noise_mode="const"), io["img_const_psi0.7_cut4"])


def test_given_noise_and_unfused_modulation_give_the_official_images():
    generator, io = official("sg2_skip32")
    noise = [io[f"in/noise/{index}"] for index in range(7)]
    assert [layer.shape[2:] for layer in noise] == generator.synthesis.noise_shapes
    assert_close(generator.synthesis(io["ws"][:2], "random", noise), io["img_random"])
    assert_close(generator.synthesis(io["ws"][:2], "const"), io["img_const_unfused"])


@pytest.mark.parametrize("name", GENERATORS + DISCRIMINATORS)
def test_every_layer_equals_the_official_one(name):
    network, io = official(name)
    seen = {}

    def note(name, made):
        results = made if isinstance(made, tuple) else (made,)
        keys = [name] if len(results) == 1 else [f"{name}#{index}" for index in range(len(results))]
        seen.update({key: part[0].clone() for key, part in zip(keys, results, strict=True) if part is not None})

    for part, module in network.named_modules():
        module.register_forward_hook(lambda _, __, made, part=part: note(part, made))
    labels = io["in/c"] if "in/c" in io and io["in/c"].shape[1] else None
    if isinstance(network, Generator):
        network(io["in/z"][:1], None if labels is None else labels[:1], noise_mode="const")
    else:
        network(io["in/img"], labels)
    recorded = {key.removeprefix("trace/"): value for key, value in io.items() if key.startswith("trace/")}
    recorded.pop("b4.mbstd", None)  # a function here
    assert recorded.keys() <= seen.keys()
    for key, value in recorded.items():
        assert_close(seen[key][: len(value)], value)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_scores_equal_the_official_ones_in_minibatches_of_any_size(name):
    discriminator, io = official(name)
    labels = io["in/c"] if discriminator.config.c_dim else None
    for count, key in ((8, "logits"), (3, "logits_first3"), (4, "logits_first4")):
        found = discriminator(io["in/img"][:count], None if labels is None else labels[:count])
        assert_close(found, io[key])


@pytest.mark.parametrize("name", GENERATORS + DISCRIMINATORS)
def test_parameters_buffers_and_filters_are_the_official_ones_in_their_order(name):
    network, fixture = official(name)[0], described(name)
    assert [key for key, _ in network.named_parameters()] == fixture["parameters"]
    assert [key for key, _ in network.named_buffers()] == fixture["buffers"]
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == fixture["state"]
    fresh, recorded = type(network)(network.config).state_dict(), network.state_dict()
    for key in recorded:
        if key.endswith("resample_filter"):
            torch.testing.assert_close(fresh[key], recorded[key], rtol=0, atol=2e-8)


@pytest.mark.parametrize("name", FULL_SIZE)
def test_networks_of_real_sizes_have_the_official_states(name):
    fixture = FULL_SIZE[name]
    with torch.device("meta"):
        generator = Generator(official_generator_config(fixture["init_kwargs"], ADA))
    state = generator.state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == fixture["state"]
    assert list(state) == list(fixture["state"])
    assert generator.num_ws == fixture["num_ws"]
    assert sum(parameter.numel() for parameter in generator.parameters()) == fixture["num_params"]


def test_the_class_in_stylegan3s_code_is_the_same_network_with_other_defaults():
    fixture = described("sg3repo_stylegan2_class")
    config = official_generator_config(fixture["init_kwargs"], "stylegan3")
    generator = Generator(config).eval().requires_grad_(False)
    generator.load_state_dict(arrays("sg2_skip32.weights"))
    io = arrays("sg2_skip32.io")
    assert_close(generator(io["in/z"][:2], noise_mode="const"), io["img_const"][:2])
    assert config.synthesis_kwargs.conv_clamp == fixture["attrs"]["conv_clamp"]
    assert config.synthesis_kwargs.num_fp16_res == fixture["attrs"]["num_fp16_res"]
    assert config.mapping_kwargs.w_avg_beta == fixture["attrs"]["w_avg_beta"]
    assert official_discriminator_config(fixture["D_init_kwargs"], "stylegan3").conv_clamp == 256


@pytest.mark.parametrize(
    "case", [case for case in described("ops")["cases"] if case["op"] == "bias_act"], ids=lambda case: case["name"]
)
def test_activations_equal_the_official_ones(case):
    recorded = {key.split("/")[1]: value for key, value in arrays("ops").items() if key.startswith(f"{case['name']}/")}
    args = case["args"]
    whole = Activated(args["act"])
    own = whole.before * whole.after
    gain, clamp = (1.0 if args["gain"] is None else args["gain"] / own), args["clamp"]
    activated = Activated(args["act"], gain=gain, clamp=None if clamp is None else clamp / gain)
    found = activated(recorded["x"].clone(), recorded["b"])
    torch.testing.assert_close(found, recorded["out"], rtol=0, atol=2e-6)


# ------------------------------------------------------------------------------------------------------- settings


def test_settings_that_do_not_exist_are_refused_by_name():
    with pytest.raises(CheckpointError, match=r"synthesis_kwargs\.chanel_base = 5: unknown in a StyleGAN2 network"):
        official_generator_config({"img_resolution": 8, "synthesis_kwargs": {"chanel_base": 5}}, ADA)
    with pytest.raises(CheckpointError, match="setting channel_base = 64: unknown"):
        official_generator_config({"img_resolution": 8, "channel_base": 64}, ADA)
    with pytest.raises(CheckpointError, match="setting architekture = 'skip': unknown"):
        official_discriminator_config({"img_resolution": 8, "architekture": "skip"}, "stylegan3")
    with pytest.raises(CheckpointError, match=r"img_resolution: .*power of two"):
        official_generator_config({"img_resolution": 24}, ADA)
    with pytest.raises(CheckpointError, match="channel_base 4 leaves no feature map at 8 pixels"):
        official_generator_config({"img_resolution": 8, "channel_base": 4}, "stylegan3")
    with pytest.raises(CheckpointError, match="mbstd_num_channels 3 must divide the 512"):
        official_discriminator_config({"img_resolution": 8, "epilogue_kwargs": {"mbstd_num_channels": 3}}, ADA)
    with pytest.raises(CheckpointError, match="add up to 0"):
        official_generator_config({"img_resolution": 8, "synthesis_kwargs": {"resample_filter": [1, -1]}}, ADA)


def test_the_smallest_networks():
    """A generator may be one block, a discriminator two."""
    generator = Generator(GeneratorConfig.model_validate(TINY | {"img_resolution": 4})).eval().requires_grad_(False)
    assert generator(torch.ones(2, 8)).shape == (2, 3, 4, 4)
    small = {"channel_base": 32, "channel_max": 4}
    discriminator = Discriminator(DiscriminatorConfig(img_resolution=8, **small)).eval().requires_grad_(False)
    assert discriminator(torch.ones(2, 3, 8, 8)).shape == (2, 1)
    with pytest.raises(CheckpointError, match=r"img_resolution: .* greater than or equal to 8"):
        official_discriminator_config({"img_resolution": 4}, ADA)


def test_networks_can_be_copied_and_pickled():
    generator = Generator(GeneratorConfig.model_validate(TINY)).eval().requires_grad_(False)
    again, z = pickle.loads(pickle.dumps(generator)), torch.ones(1, 8)
    torch.testing.assert_close(again(z, noise_mode="const"), generator(z, noise_mode="const"), rtol=0, atol=0)


def test_half_precision_and_other_settings_without_meaning_change_nothing():
    more = {"num_fp16_res": 4, "fused_modconv_default": True, "fp16_channels_last": True}
    plain, other = (
        Generator(GeneratorConfig.model_validate(TINY | {"synthesis_kwargs": TINY["synthesis_kwargs"] | extra})).eval()
        for extra in ({}, more)
    )
    other.load_state_dict(plain.state_dict())
    z = torch.ones(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(other(z, noise_mode="const"), plain(z, noise_mode="const"), rtol=0, atol=0)
        assert other(z).dtype == torch.float32


# -------------------------------------------------------------------------------------------------- labels, noise


def test_labels_are_those_given_else_the_generators_own():
    generator, io = official("sg2_cond32")
    z, labels = io["in/z"], io["in/c"]
    with pytest.raises(UsageError, match=r"conditional: give a tensor \[N, 5\]"):
        generator.mapping(z)
    generator.label = labels[7].tolist()
    torch.testing.assert_close(generator.mapping(z), generator.mapping(z, labels[7:].expand(8, -1)))
    torch.testing.assert_close(generator.mapping(z, labels), io["ws"], rtol=0, atol=5e-5)
    assert generator.config.label == generator.label == tuple(labels[7].tolist())
    with pytest.raises(UsageError, match=r"labels have the shape \[8, 3\]; it must be \[8, 5\]"):
        generator.mapping(z, labels[:, :3])
    with pytest.raises(UsageError, match="label has 2 numbers; this generator's labels have 5"):
        generator.label = (1, 0)
    generator.label = None
    with pytest.raises(UsageError, match="labels are missing"):
        generator.mapping(z)


def test_generators_and_discriminators_without_labels_take_none():
    generator = Generator(GeneratorConfig.model_validate(TINY))
    assert generator.mapping(torch.ones(2, 8), torch.ones(2, 0)).shape == (2, 4, 6)
    with pytest.raises(UsageError, match="takes none"):
        generator.mapping(torch.ones(2, 8), torch.ones(2, 3))
    with pytest.raises(UsageError, match="not conditional"):
        generator.label = (1.0,)
    with pytest.raises(ValueError, match="c_dim = 0"):
        GeneratorConfig.model_validate(TINY | {"label": (1.0,)})
    small = {"img_resolution": 8, "channel_base": 32, "channel_max": 4, "c_dim": 2}
    with pytest.raises(UsageError, match="labels are missing"):
        Discriminator(DiscriminatorConfig.model_validate(small))(torch.ones(2, 3, 8, 8))


def test_random_noise_follows_torchs_generator_and_differs_between_images():
    generator = Generator(GeneratorConfig.model_validate(TINY)).eval().requires_grad_(False)
    for layer in (layer for block in generator.synthesis.blocks for layer in block.layers):
        layer.noise_strength.fill_(1)
    ws = generator.mapping(torch.ones(2, 8))
    torch.manual_seed(0)
    first = generator.synthesis(ws)
    torch.manual_seed(0)
    torch.testing.assert_close(generator.synthesis(ws, "random"), first, rtol=0, atol=0)
    assert (first[0] - first[1]).abs().max() > 0.01
    const = generator.synthesis(ws, "const")
    torch.testing.assert_close(const[0], const[1])
    assert (const - generator.synthesis(ws, "none")).abs().max() > 0.01


def test_noise_of_another_number_of_layers_is_refused():
    generator = Generator(GeneratorConfig.model_validate(TINY))
    with pytest.raises(UsageError, match="noise of 1 layers was given; this network takes 3"):
        generator.synthesis(torch.ones(1, 4, 6), "random", [torch.ones(1, 1, 4, 4)])


def test_a_minibatch_that_groups_do_not_divide_is_refused():
    discriminator = Discriminator(DiscriminatorConfig(img_resolution=8, channel_base=32, channel_max=4))
    with pytest.raises(UsageError, match=r"a minibatch of 6 images: .* a multiple of its group size 4"):
        discriminator(torch.ones(6, 3, 8, 8))


# ------------------------------------------------------------------------------------------------ as any generator


def test_it_fits_the_generator_protocol():
    generator, io = official("sg2_cond32")
    generator.label = io["in/c"][0].tolist()
    tiny, _ = official("sg2_tiny_misc")
    tiny.label = (0, 1, 0)
    for network in (generator, tiny):
        found = examine_generator(network)
        assert not found.problems
        assert all("values of images" in suspicion for suspicion in found.suspicions)  # their weights are random
    assert (tiny.has_mapping, tiny.normalizes_z, tiny.thread_safe) == (True, True, True)


def test_a_network_folder_brings_it_back_with_its_label(tmp_path):
    generator, io = official("sg2_cond32")
    generator.label = io["in/c"][7].tolist()
    (tmp_path / "net").mkdir()
    sha256 = save_generator(tmp_path / "net", generator, {"origin": "a file"})
    loaded, name = load_generator(tmp_path / "net")
    assert isinstance(loaded, Generator)
    assert name.name == "net"
    assert name.sha256 != sha256  # the label belongs to who it is
    assert loaded.config == generator.config
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    z = io["in/z"][:2]
    torch.testing.assert_close(loaded(z, noise_mode="const"), generator(z, noise_mode="const"), rtol=0, atol=1e-4)
    described = json.loads((tmp_path / "net" / "network.json").read_text())
    assert (described["kind"], described["family"]) == ("generator", "stylegan2")
    assert "lod" not in described


def test_a_family_that_is_not_known_is_refused(tmp_path):
    save_generator(tmp_path, Generator(GeneratorConfig.model_validate(TINY)), {})
    path = tmp_path / "network.json"
    path.write_text(path.read_text().replace('"stylegan2"', '"stylegan9"'))
    with pytest.raises(CheckpointError, match="family 'stylegan9'; this LatentLab knows latentlab, stylegan2"):
        load_generator(tmp_path)
