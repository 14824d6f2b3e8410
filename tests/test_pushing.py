"""Forward derivatives that are written out, against torch's."""

import pytest
import torch
from torch import nn

from latentlab.metrics.path_length import PathSettings, path_lengths
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.perceptual.distances import StagedDistance
from latentlab.perceptual.pushing import has_rule, jvp, push, squared_speed
from latentlab.pushed_synthesis import push_synthesis

SMALL = {"resolution": 32, "fmap_base": 128, "fmap_max": 16, "z_dim": 8, "w_dim": 8, "mapping_fmaps": 8}
CONFIGS = {
    "style": GeneratorConfig(**SMALL),
    "without noise": GeneratorConfig(**SMALL, use_noise=False),
    "without blur": GeneratorConfig(**SMALL, blur=False),
    "fused": GeneratorConfig(**SMALL, fused_scale=True),
    "style without norm": GeneratorConfig(**SMALL, instance_norm=False),
    "dense input": GeneratorConfig(**SMALL, const_input=False),
    "blurred biases, shared noise": GeneratorConfig(**SMALL, blurred_bias=True, shared_noise=True),
    "traditional": GeneratorConfig.traditional(**SMALL),
    "traditional, instance norm": GeneratorConfig.traditional(**SMALL, instance_norm=True, pixel_norm=False),
}


def directions(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def generator_of(config):
    generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False).double()
    for name, parameter in generator.named_parameters():  # biases and strengths of noise begin at 0
        if name.endswith(("bias", "noise_strength")):
            parameter.copy_(directions(len(name), *parameter.shape) * 0.3)
    return generator


@pytest.mark.parametrize("mode", ["const", "none", "random"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("lod", [0.0, 1.0, 0.4])
def test_images_move_as_torch_says(config, mode, lod):
    generator = generator_of(config)
    generator.synthesis.lod = lod
    ws, moved = directions(1, 2, config.num_ws, 8), directions(2, 2, config.num_ws, 8)
    noise = [directions(3, 2, 1, *shape) for shape in generator.synthesis.noise_shapes] if mode == "random" else None
    with torch.no_grad():
        expected = jvp(lambda w: generator.synthesis(w, mode, noise), ws, moved)
        found = push_synthesis(generator.synthesis, ws, moved, noise_mode=mode, noise=noise)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2, padding=1),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Softplus()),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_modules_push_as_torch_says(module, layout):
    module = module.double().eval().requires_grad_(False)
    x, v = (directions(seed, 2, 3, 12, 12).contiguous(memory_format=layout) for seed in (1, 2))
    with torch.no_grad():
        found, expected = push(module, x.clone(), v), jvp(module, x.clone(), v)
    torch.testing.assert_close(found, expected)
    softplus = isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Softplus)
    assert has_rule(module) == (not softplus)


def test_hooks_are_not_passed_by():
    module = nn.ReLU()
    module.register_forward_hook(lambda _module, _inputs, made: made * 2)
    value, tangent = push(module, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert (value == 2).all()
    assert (tangent == 2).all()


def test_speeds_of_unit_vectors_are_their_derivatives():
    features, moved, weights = directions(1, 2, 5, 3, 3), directions(2, 2, 5, 3, 3), torch.rand(5)

    def unit(x):
        return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

    derivative = jvp(unit, features, moved)[1]
    expected = (derivative.square() * weights.double().reshape(1, -1, 1, 1)).sum(1).mean((1, 2)).float()
    torch.testing.assert_close(squared_speed(features, moved, weights), expected, rtol=1e-5, atol=0)
    features[:, :, 0, 0] = 0
    moved[:, :, 0, 0] = 0
    assert squared_speed(features, moved, None).isfinite().all()


def test_half_precision_gives_the_mean_within_a_percent():
    """Path lengths of a whole generator and a trunk of VGG's kind, in float32 and bfloat16."""
    config = GeneratorConfig(**SMALL)
    generator = initialised(lambda: Generator(config), 0).eval().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
        second = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
    stages = [stage.eval().requires_grad_(False) for stage in (first, second)]
    distance = StagedDistance(nn.Identity(), stages, weights=None, name="small", sha256="0" * 64, min_size=4)
    how = {"crop": False, "method": "tangent"}
    exact, half, steps = (
        path_lengths(generator, distance, settings, num_samples=200)
        for settings in (
            PathSettings("w", "full", **how),
            PathSettings("w", "full", precision="bfloat16", **how),
            PathSettings("w", "full", crop=False),
        )
    )
    assert exact.mean() == pytest.approx(steps.mean(), rel=0.03)  # steps cross kinks of ReLU
    assert half.mean() == pytest.approx(exact.mean(), rel=0.01)
    assert not (half == exact).any()
