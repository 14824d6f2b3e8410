"""A user's own functions and modules as a generator."""

import functools

import numpy as np
import pytest
import torch
from fake_generator import SquaredDistance, matrix
from torch import nn

import latentlab
from latentlab.errors import LatentLabWarning, UsageError
from latentlab.interop.generators import NUM_FOR_W_AVG, wrap_generator
from latentlab.latents import normalize, sample_z
from latentlab.metrics.path_length import PathSettings, path_lengths, perceptual_path_length
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.previews import render_previews
from latentlab.protocols import synthesize, walk_z
from latentlab.store import LatentStore


def paint(w):
    """[N, 8] -> images [N, 3, 16, 16], linear in w."""
    return (w @ matrix("paint", 8, 768) / 3).reshape(-1, 3, 16, 16)


def style(z):
    return torch.tanh(normalize(z) @ matrix("map", 8, 8) * 3)


class DCGAN(nn.Module):
    """A traditional generator as many people write it: z [N, 8, 1, 1], batch norm, tanh."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 16, 8)
        self.norm = nn.BatchNorm2d(16)
        self.rgb = nn.Conv2d(16, 3, 3, padding=1)
        nn.init.normal_(self.up.weight, std=2.0)

    def forward(self, z):
        return torch.tanh(self.rgb(torch.relu(self.norm(self.up(z)))))


@pytest.fixture
def dcgan():
    return initialised(DCGAN, 0).eval()


def sampled(generator, path, **options):
    path = latentlab.sample(
        generator, path, network=generator.network, labeller=None, num_samples=20, with_images=True, **options
    )
    with LatentStore.open(path) as store:
        return store.z, store.w, store.images[:], store.settings


# ----------------------------------------------------------------------------------------------- shapes and mapping


def test_two_functions_are_a_generator():
    generator = wrap_generator(mapping=style, synthesis=paint, z_dim=8)
    shape = ("z_dim", "w_dim", "num_ws", "img_resolution", "img_channels", "has_mapping", "normalizes_z")
    assert [getattr(generator, name) for name in shape] == [8, 8, 1, 16, 3, True, True]
    z = torch.randn(3, 8)
    assert torch.equal(generator.mapping(z), style(z)[:, None])
    assert torch.equal(generator.synthesis(generator.mapping(z)), paint(style(z)))


def test_w_is_repeated_where_num_ws_is_given():
    seen = []

    def layers(ws):
        seen.append(ws.shape[1:])
        return paint(ws.mean(dim=1))

    generator = wrap_generator(mapping=style, synthesis=layers, z_dim=8, num_ws=3)
    assert generator.num_ws == 3
    assert set(seen) == {(3, 8)}
    assert torch.equal(generator.mapping(torch.ones(2, 8)), style(torch.ones(2, 8))[:, None].repeat(1, 3, 1))


def test_a_mapping_may_give_ws_itself():
    def mapping(z):
        return torch.stack([style(z), -style(z)], dim=1)

    generator = wrap_generator(mapping=mapping, synthesis=lambda ws: paint(ws[:, 0] - ws[:, 1]) / 2, z_dim=8)
    assert (generator.num_ws, generator.w_dim) == (2, 8)


def test_without_mapping_w_is_z(tmp_path, dcgan):
    generator = wrap_generator(synthesis=lambda z: dcgan(z[:, :, None, None]), z_dim=8)
    assert (generator.has_mapping, generator.normalizes_z) == (False, False)
    assert torch.equal(generator.w_avg, torch.zeros(8))
    z, w, images, settings = sampled(generator, tmp_path / "run.h5")
    assert np.array_equal(z, w)
    assert not settings.has_mapping
    assert images.std() > 5
    with pytest.raises(UsageError, match="no mapping network, so its W is only Z: measure space z"):
        path_lengths(generator, SquaredDistance(), PathSettings("w", "full", crop=False), num_samples=2)


def test_z_may_be_normalised_first():
    generator = wrap_generator(synthesis=paint, z_dim=8, normalize_z=True)
    assert generator.normalizes_z
    lengths = generator.mapping(torch.randn(5, 8) * 7).norm(dim=-1)
    assert torch.allclose(lengths, torch.full((5, 1), 8**0.5))


def test_w_avg_is_the_mean_of_many_w():
    def shifted(z):
        return z + 3

    generator = wrap_generator(mapping=shifted, synthesis=lambda w: paint(w) / 10, z_dim=8)
    z = sample_z(0, slice(0, NUM_FOR_W_AVG), 8, stream="w_avg")
    assert torch.allclose(generator.w_avg, z.mean(dim=0) + 3, atol=1e-4)
    assert abs(generator.w_avg - 3).max() < 0.05
    given = wrap_generator(mapping=shifted, synthesis=lambda w: paint(w) / 10, z_dim=8, w_avg=[1.0] * 8)
    assert given.w_avg.tolist() == [1.0] * 8


# ---------------------------------------------------------------------------------------------------- paths in Z


def test_paths_in_z_keep_lengths_where_the_generator_does_not_normalise():
    z0, z1 = torch.randn(4, 8), torch.randn(4, 8) * 3
    plain, mapped = wrap_generator(synthesis=paint, z_dim=8), wrap_generator(mapping=style, synthesis=paint, z_dim=8)
    for t, end in ((0.0, z0), (1.0, z1)):
        assert torch.allclose(walk_z(plain, z0, z1, t), end, atol=1e-5)
        assert torch.allclose(walk_z(mapped, z0, z1, t), normalize(end), atol=1e-5)
    middle = walk_z(plain, z0, z1, 0.5).norm(dim=-1)
    assert torch.allclose(middle, (z0.norm(dim=-1) + z1.norm(dim=-1)) / 2, atol=1e-5)


def test_path_length_says_how_z_was_walked_and_grows_with_its_length():
    settings = PathSettings("z", "full", crop=False)

    def measured(generator):
        return perceptual_path_length(generator, SquaredDistance(), settings, network=generator.network, num_samples=50)

    plain = wrap_generator(synthesis=paint, z_dim=8)
    unit = wrap_generator(synthesis=lambda w: paint(w / 8**0.5), z_dim=8, normalize_z=True)
    long, short = measured(plain), measured(unit)
    assert long.protocol["interpolation"] == "slerp, lengths interpolated"
    assert short.protocol["interpolation"] == "slerp"
    assert (
        4 < long.value / short.value < 20
    )  # z is sqrt(8) times as long, so squared distances are about 8 times larger


def test_previews_walk_between_the_samples_own_lengths():
    plain = wrap_generator(
        synthesis=lambda z: z.norm(dim=1)[:, None, None, None].expand(-1, 3, 16, 16) / 4 - 1, z_dim=8
    )
    walk = render_previews(plain)["interpolation_z"]
    assert walk.std() > 5  # points of unit length would all be one grey


# --------------------------------------------------------------------------------------------------------- noise


def noisy(w):
    return paint(w) + 0.1 * torch.randn(len(w), 3, 16, 16)


def with_mode(w, noise_mode="random"):
    return noisy(w) if noise_mode == "random" else paint(w) + (noise_mode == "const")


def test_a_synthesis_without_noise_is_run_in_whole_batches():
    sizes = []

    def counted(w):
        sizes.append(len(w))
        return paint(w)

    generator = wrap_generator(mapping=style, synthesis=counted, z_dim=8)
    assert generator.synthesis.noise_shapes == []
    sizes.clear()
    synthesize(generator, [torch.zeros(5, 1, 8)] * 2, rows=slice(3, 8), seed=0)
    assert sizes == [10]


def test_noise_modes_are_passed_on_where_there_are_any():
    generator = wrap_generator(mapping=style, synthesis=with_mode, z_dim=8)
    ws = torch.randn(3, 1, 8)
    assert torch.equal(generator.synthesis(ws, noise_mode="const"), paint(ws[:, 0]) + 1)
    assert torch.equal(generator.synthesis(ws, noise_mode="none"), paint(ws[:, 0]))
    assert not hasattr(generator.synthesis, "noise_shapes")


@pytest.mark.parametrize("synthesis", [noisy, with_mode])
def test_noise_of_row_i_depends_on_seed_and_row_alone(tmp_path, synthesis):
    generator = wrap_generator(mapping=style, synthesis=synthesis, z_dim=8)
    images = [
        sampled(generator, tmp_path / f"{seed}-{size}.h5", seed=seed, batch_size=size)[2]
        for seed, size in ((0, 3), (0, 20), (1, 20))
    ]
    assert np.abs(images[0].astype(int) - images[1]).max() <= 1
    assert not np.array_equal(images[1], images[2])


def test_constant_noise_of_a_synthesis_without_modes_is_the_same_for_every_image():
    generator = wrap_generator(mapping=style, synthesis=noisy, z_dim=8)
    ws = torch.randn(2, 1, 8)
    const = generator.synthesis(ws[[0, 1, 0]], noise_mode="const")
    assert torch.equal(const[0], const[2])
    noise = const[:2] - paint(ws[:, 0])
    assert torch.allclose(noise[0], noise[1], atol=1e-6)
    assert 0.05 < noise.std() < 0.15
    with pytest.raises(UsageError, match="no parameter noise_mode, so it cannot leave it out"):
        generator.synthesis(ws, noise_mode="none")


def test_noise_inputs_of_latentlabs_own_form_are_used():
    config = GeneratorConfig(resolution=16, fmap_base=32, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4)
    own = initialised(lambda: Generator(config), 0).eval()
    with torch.no_grad():
        for layer in own.synthesis.layers:
            layer.noise_strength.fill_(0.3)
        own.synthesis.to_rgb[-1].weight *= 0.3
    generator = wrap_generator(mapping=own.mapping, synthesis=own.synthesis, z_dim=4, w_avg=own.w_avg)
    ws = own.mapping(torch.randn(3, 4))
    with torch.inference_mode():
        views = [synthesize(which, [ws], rows=slice(0, 3), seed=5)[0] for which in (own, generator)]
    assert torch.equal(*views)


def test_a_parameter_that_takes_anything_may_be_left_alone():
    def strict(w, **options):
        assert not options
        return paint(w)

    with pytest.raises(UsageError, match=r"synthesis failed on latents.*AssertionError.*assert not options"):
        wrap_generator(synthesis=strict, z_dim=8)
    wrap_generator(synthesis=strict, z_dim=8, takes_noise_mode=False)


# ------------------------------------------------------------------------------------------------------ identity


def test_the_hash_is_of_the_weights_wherever_they_are_held(dcgan):
    held = [
        wrap_generator(synthesis=lambda z: dcgan(z[:, :, None, None]), z_dim=8),
        wrap_generator(synthesis=functools.partial(lambda net, z: net(z[:, :, None, None]), dcgan), z_dim=8),
    ]
    assert len({generator.network.sha256 for generator in held}) == 1
    with torch.no_grad():
        dcgan.norm.running_mean += 1  # a buffer
    changed = wrap_generator(synthesis=lambda z: dcgan(z[:, :, None, None]), z_dim=8)
    assert changed.network.sha256 != held[0].network.sha256


def test_name_and_hash_may_be_given():
    generator = wrap_generator(synthesis=paint, z_dim=8, name="mine", sha256="a" * 64)
    assert (generator.network.name, generator.network.sha256) == ("mine", "a" * 64)
    unnamed = wrap_generator(synthesis=paint, z_dim=8)
    assert unnamed.network.name == "paint"
    assert len(unnamed.network.sha256) == 64  # of this file


def test_moving_moves_every_module(dcgan):
    generator = wrap_generator(synthesis=lambda z: dcgan(z[:, :, None, None]), z_dim=8)
    assert generator.to("meta") is generator
    assert {parameter.device.type for parameter in dcgan.parameters()} == {"meta"}
    assert generator.w_avg.device.type == "meta"


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"synthesis": paint, "z_dim": 0}, r"z_dim is 0; expected a whole number above 0"),
        ({"synthesis": paint, "z_dim": "8"}, r"z_dim is '8'; expected a whole number"),
        ({"synthesis": paint, "z_dim": 8, "num_ws": True}, r"num_ws is True; expected a whole number"),
        ({"synthesis": "paint", "z_dim": 8}, r"synthesis is a str; expected a function or module"),
        ({"synthesis": paint, "mapping": 3, "z_dim": 8}, r"mapping is a int; expected a function or module"),
        ({"synthesis": paint, "z_dim": 9}, r"synthesis failed on latents \[2, 1, 9\]: RuntimeError.*test_wrap_gen"),
        ({"synthesis": paint, "mapping": lambda z: (z, z), "z_dim": 8}, r"mapping gives a tuple, not a tensor"),
        ({"synthesis": paint, "mapping": lambda z: z.sum(), "z_dim": 8}, r"mapping gives the shape \[\]"),
        ({"synthesis": lambda w: w, "z_dim": 8}, r"synthesis gives the shape \[2, 8\]; expected \[N, C, H, H\]"),
        ({"synthesis": lambda w: None, "z_dim": 8}, r"synthesis gives a NoneType, not a tensor"),
        ({"synthesis": paint, "z_dim": 8, "img_resolution": 32}, r"expected \[4, 3, 32, 32\].*img_resolution say"),
        (
            {"synthesis": paint, "z_dim": 8, "w_dim": 5},
            r"mapping gives float32 \[4, 1, 8\]: expected float32 \[4, 1, 5",
        ),
        ({"synthesis": paint, "z_dim": 8, "w_avg": "?"}, r"w_avg cannot be made a tensor: TypeError"),
        ({"synthesis": paint, "z_dim": 8, "w_avg": [1.0]}, r"w_avg has the shape \[1\]: expected \[8\]"),
    ],
)
def test_what_does_not_fit_is_said(arguments, words):
    with pytest.raises(UsageError, match=words):
        wrap_generator(**arguments)


def test_a_module_in_training_mode_is_named(dcgan):
    mean = dcgan.train().norm.running_mean.clone()
    with pytest.raises(UsageError, match=r"norm \(BatchNorm2d\): in training mode; call .eval\(\) on the network"):
        wrap_generator(synthesis=lambda z: dcgan(z[:, :, None, None]), z_dim=8)
    assert torch.equal(dcgan.norm.running_mean, mean)


def test_what_is_suspicious_is_a_warning():
    with pytest.warns(LatentLabWarning, match=r"half: all values of images lie between .*images \* 2 - 1"):
        wrap_generator(synthesis=lambda w: torch.sigmoid(paint(w)), z_dim=8, name="half")
