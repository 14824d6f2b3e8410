"""Checkpoints of Rosinality's StyleGAN (2019): the images that its arithmetic makes, and what misfits."""

import json
import re

import pytest
import torch
from rosinality_stylegan import WIDTH, port_images, port_state, port_styles
from typer.testing import CliRunner

from latentlab.checkpoint import load_generator
from latentlab.cli import app
from latentlab.errors import CheckpointError, UsageError
from latentlab.interop.official_networks import load_generator_file, load_network_file

MAPS = [8, 8, 8, 8, 4, 2]  # 4 to 128 pixels, the last of which is the fused operation
SMALL = [8, 8, 4]
CLOSE = 1e-5  # of the largest value: rounding of float32; the port's images are computed in float64


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def saved(path, state, **more):
    torch.save({"g_running": state, **more} if more else state, path)
    return path


def draws(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def const_noise(generator):
    noise = [getattr(generator.synthesis, f"noise_const{index}") for index in range(generator.config.num_layers)]
    assert all(torch.equal(first, second) for first, second in zip(noise[::2], noise[1::2], strict=True))
    return noise[::2]


def difference(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


# --------------------------------------------------------------------------------------------- images as the port's


@pytest.mark.parametrize("fused_from", [128, 8, 1024], ids=["as published", "all fused", "none fused"])
def test_images_are_the_ports(tmp_path, fused_from):
    state, z = port_state(MAPS, fused_from=fused_from), draws(1, 3, WIDTH)
    generator, network = load_generator_file(saved(tmp_path / "150000.model", state))
    assert generator.img_resolution == 128
    assert generator.config.fused_scale == {128: "auto", 8: True, 1024: False}[fused_from]
    assert difference(generator.mapping(z)[:, 0], port_styles(state, z)) < 1e-6
    ws = generator.mapping(z)
    assert difference(generator.synthesis(ws, "const"), port_images(state, z, const_noise(generator))) < CLOSE
    none = [torch.zeros(1, 1, 4 << stage, 4 << stage) for stage in range(len(MAPS))]
    assert difference(generator.synthesis(ws, "none"), port_images(state, z, none)) < CLOSE
    assert network.name == "150000"


def test_random_noise_is_one_image_for_both_layers_of_a_resolution(tmp_path):
    state, z = port_state(SMALL), draws(1, 2, WIDTH)
    generator, _ = load_generator_file(saved(tmp_path / "a.pt", state))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        found = generator.synthesis(generator.mapping(z), "random")
        torch.manual_seed(5)
        noise = [torch.randn(2, 1, 4 << stage, 4 << stage) for stage in range(len(SMALL))]
    assert difference(found, port_images(state, z, noise)) < CLOSE
    given = [draws(index, 2, 1, *shape) for index, shape in enumerate(generator.synthesis.noise_shapes)]
    assert difference(generator.synthesis(generator.mapping(z), noise=given), port_images(state, z, given[::2])) < CLOSE


def test_the_epsilon_is_the_ports_where_it_is_seen(tmp_path):
    """Feature maps that hardly vary, where 1e-5 and the official 1e-8 make different images."""
    state, z = port_state(SMALL), draws(1, 2, WIDTH)
    for name in state:
        if name.startswith(("generator.progression.1.conv2", "generator.progression.1.noise2")):
            state[name] = state[name] * 1e-3
    generator, _ = load_generator_file(saved(tmp_path / "a.pt", state))
    found, noise = generator.synthesis(generator.mapping(z), "const"), const_noise(generator)
    assert difference(found, port_images(state, z, noise)) < CLOSE
    assert difference(found, port_images(state, z, noise, epsilon=1e-8)) > 0.1


def test_the_average_of_w_is_that_of_10000_latents(tmp_path):
    state = port_state(SMALL)
    generator, _ = load_generator_file(saved(tmp_path / "a.pt", state))
    expected = port_styles(state, draws(2, 10_000, WIDTH)).mean(0)
    torch.testing.assert_close(generator.w_avg.double(), expected, atol=0.05, rtol=0)


# ------------------------------------------------------------------------------------------- which network, which size


def test_which_generator(tmp_path):
    average, trained = port_state(SMALL), port_state(SMALL, seed=1)
    whole = saved(tmp_path / "train_step-7.model", average, generator=trained, discriminator={}, g_optimizer={})
    z, loaded = draws(1, 2, WIDTH), {}
    for which in (None, "g_running", "G", "generator"):
        loaded[which] = load_network_file(whole, which=which)
    assert loaded[None].which == "g_running"
    assert loaded[None].sha256 == loaded["g_running"].sha256 == loaded[None].file_sha256
    assert loaded["G"].sha256 == loaded["generator"].sha256 != loaded[None].sha256
    assert difference(loaded[None].network.mapping(z)[:, 0], port_styles(average, z)) < 1e-6
    assert difference(loaded["G"].network.mapping(z)[:, 0], port_styles(trained, z)) < 1e-6
    with pytest.raises(UsageError, match="--which D: of this port g_running, the average, and G"):
        load_network_file(whole, which="D")
    with pytest.raises(UsageError, match="it holds no generator, only g_running"):
        load_network_file(saved(tmp_path / "alone.model", average), which="G")
    torch.save({"generator": trained}, tmp_path / "early.model")
    with pytest.raises(UsageError, match="it holds no g_running, only generator: name another with --which"):
        load_network_file(tmp_path / "early.model")


def test_the_highest_resolution_that_was_trained_is_taken(tmp_path):
    state = port_state([8, 8, 8, 4, 2], trained=3)
    path, z = saved(tmp_path / "a.model", state), draws(1, 2, WIDTH)
    loaded = load_network_file(path)
    assert loaded.network.img_resolution == 16
    assert re.search(r"images of 16 pixels.*reached 16; the file's layers up to 64 are left out", loaded.notes[0])
    images = loaded.network.synthesis(loaded.network.mapping(z), "const")
    assert difference(images, port_images(state, z, const_noise(loaded.network))) < CLOSE
    lower, higher = (load_network_file(path, resolution=size) for size in (8, 64))
    assert (lower.network.img_resolution, higher.network.img_resolution) == (8, 64)
    assert "as asked for, though training seems to have reached 16" in higher.notes[0]
    assert len({loaded.sha256, lower.sha256, higher.sha256}) == 3
    images = lower.network.synthesis(lower.network.mapping(z), "const")
    assert difference(images, port_images(state, z, const_noise(lower.network))) < CLOSE
    with pytest.raises(UsageError, match="--resolution 24: the file has layers for 4, 8, 16, 32, 64"):
        load_network_file(path, resolution=24)


def test_of_a_file_that_was_never_trained_all_resolutions_are_taken(tmp_path):
    assert load_network_file(saved(tmp_path / "a.pt", port_state(SMALL, trained=0))).network.img_resolution == 16


# -------------------------------------------------------------------------------------------------------- what misfits


BLOCK = "generator.progression.1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{BLOCK}.noise2.weight_orig": None}, rf"missing: {BLOCK}\.noise2\.weight_orig"),
        ({f"{BLOCK}.conv1.1.conv.weight_orig": None}, rf"missing: {BLOCK}\.conv1\.1\.conv\.weight_orig"),
        ({f"{BLOCK}.conv2.conv.weight_orig": None}, r"the tensor generator\.progression\.1\.conv2\.conv\.weight_orig"),
        ({f"{BLOCK}.wobble": torch.zeros(2)}, r"does not have: generator\.progression\.1\.wobble"),
        ({"style.9.wobble": torch.zeros(2)}, r"does not have: style\.9\.wobble"),
        ({f"{BLOCK}.adain1.style.linear.bias": torch.zeros(3)}, r"adain1\.style\.linear\.bias \(\[3\] where \[16\]"),
        ({f"{BLOCK}.noise1.weight_orig": torch.zeros(3)}, r"noise1\.weight_orig \(\[3\] where \[8\]"),
        ({"style.1.linear.bias": torch.full((WIDTH,), float("nan"))}, r"NaN or infinite: style\.1\.linear\.bias"),
        ({f"{BLOCK}.conv2.conv.weight_orig": torch.zeros(3)}, r"has the shape \[3\], where 4 axes"),
        ({"generator.to_rgb.0.conv.weight_orig": torch.zeros(0, 8, 1, 1)}, r"has the shape \[0, 8, 1, 1\]"),
        ({f"{BLOCK}.conv1.2.weight": torch.ones(8, 1, 3, 3)}, r"conv1\.2\.weight is another filter than \(1, 2, 1\)"),
        ({f"{BLOCK}.conv1.2.weight": torch.ones(2)}, r"conv1\.2\.weight is another filter"),
        ({3: torch.zeros(1)}, "3 is no plain tensor under a name"),
        ({"style.1.linear.bias": torch.zeros(1).expand(WIDTH)}, r"'style\.1\.linear\.bias' is no plain tensor"),
        ({f"{BLOCK}.conv1.conv.weight_orig": torch.zeros(8, 8, 3, 3)}, "an early version of this port"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    state = {name: tensor for name, tensor in {**port_state(SMALL), **change}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message) as refused:
        load_network_file(saved(tmp_path / "odd.pt", state))
    assert str(refused.value).startswith(str(tmp_path / "odd.pt"))
    assert "\n" not in str(refused.value)


def test_sizes_that_the_settings_cannot_say_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"feature maps \(8 at 4, 3 at 8, 5 at 16 pixels\)"):
        load_network_file(saved(tmp_path / "maps.pt", port_state([8, 3, 5])))
    state = port_state([8, 8, 8, 4], fused_from=16)
    with pytest.raises(CheckpointError, match="fused otherwise than all, none, or from 128 pixels on"):
        load_network_file(saved(tmp_path / "fused.pt", state))


def test_files_without_a_choice_of_resolution_say_so(tmp_path):
    torch.save({"style.1.linear.weight_orig": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="of a kind that is not known"):
        load_network_file(tmp_path / "other.pt", resolution=8)


# -------------------------------------------------------------------------------------------------------- the commands


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def mse():\n    return lambda a, b: (a - b).square().mean(dim=(1, 2, 3))\n")
    saved(tmp_path / "faces.model", port_state([8, 8, 4], trained=2), generator=port_state(SMALL))
    seen = run("networks", "inspect", "faces.model")
    assert seen.exit_code == 1
    assert "faces.model is a StyleGAN checkpoint of Rosinality's port" in seen.output
    made = run("networks", "convert", "faces.model", "--out", "converted", "--resolution", "16")
    assert made.exit_code == 0, made.output
    assert "noise images of noise mode const were drawn (seed 0)" in made.output
    about = json.loads((tmp_path / "converted" / "network.json").read_text())
    assert about["config"]["shared_noise"] is True
    assert about["config"]["blurred_bias"] is True
    assert len(about["training"]["notes"]) == 3
    assert load_generator("converted")[0].img_resolution == 16
    for network in ("faces.model", "converted"):
        for command in (
            ("networks", "check", network, "--device", "cpu"),
            ("ppl", "--all", "--network", network, "--distance", "own:mse", "--num-samples", "16", "--device", "cpu"),
        ):
            done = run(*command)
            assert done.exit_code == 0, (command, done.output)
