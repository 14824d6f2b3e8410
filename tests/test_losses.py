"""Losses, their gradients and the optimiser against recordings of the official code; one whole step from them."""

import numpy as np
import pytest
import torch

from latentlab.interop.stylegan import (
    discriminator_from_variables,
    discriminator_tensors,
    generator_from_variables,
    generator_tensors,
)
from latentlab.networks import Synthesis, upscale
from trainers.config import TrainerConfig
from trainers.losses import Batch, discriminator_objective, generator_objective, gradient_penalty
from trainers.optimizer import Adam
from trainers.reals import Reals
from trainers.trainer import Trainer

CPU = torch.device("cpu")
GENERATOR_CASES = {
    "G_logistic_nonsaturating": {},
    "G_wgan": {"loss": "wgan-gp"},
}
DISCRIMINATOR_CASES = {
    "D_logistic": {"r1_gamma": 0.0},
    "D_logistic_simplegp": {"r1_gamma": 10.0},
    "D_logistic_simplegp_r2": {"r1_gamma": 0.0, "r2_gamma": 10.0},
    "D_logistic_simplegp_r1gamma1000": {"r1_gamma": 1000.0},
    "D_wgan_gp": {"loss": "wgan-gp"},
    "D_wgan": {"loss": "wgan-gp", "gp_lambda": 0.0},
}


@pytest.fixture
def networks(recording):
    generator = generator_from_variables(recording("style_d8_vars.npz"), recording("style_d8.json")["static_kwargs"])
    discriminator = discriminator_from_variables(
        recording("d_basic_vars.npz"), recording("d_basic.json")["static_kwargs"]
    )
    return generator.requires_grad_(True), discriminator.requires_grad_(True)


def _official_layout(tensor):
    return tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def _check_gradients(recording, named, key):
    """Every gradient's length, and the whole of those that were recorded."""
    io, cases = recording("losses.npz"), {case["key"]: case for case in recording("losses.json")["cases"]}
    expected = dict(zip(cases[key]["grad_norm_names"], io[f"{key}/grad_norms"], strict=True))
    found = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in named if p.requires_grad}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert float(gradient.norm()) == pytest.approx(expected[name], rel=3e-4, abs=1e-6), name
    whole = [name for name in io if name.startswith(f"{key}/grad/")]
    for name in whole:
        parameter = name.partition("/grad/")[2]
        gradient = found[parameter]
        is_map = parameter.endswith("/weight") and gradient.ndim > 1
        gradient = _official_layout(gradient) if is_map else gradient
        allowed = (2e-3 if "r1gamma1000" in key else 5e-4) * np.abs(io[name]).max()
        np.testing.assert_allclose(gradient, io[name], atol=allowed + 1e-7, rtol=0, err_msg=name)
    return len(whole)


@pytest.mark.parametrize("lod", ["0", "0.5"])
@pytest.mark.parametrize("case", GENERATOR_CASES)
def test_generator_losses(recording, networks, case, lod):
    generator, discriminator = networks
    io, key = recording("losses.npz"), f"style_d8/lod{lod}/{case}"
    generator.synthesis.lod = discriminator.lod = float(lod)
    scores = discriminator(generator(torch.from_numpy(io["latents"]), noise_mode="const"))
    loss = generator_objective(TrainerConfig(**GENERATOR_CASES[case]), scores)
    np.testing.assert_allclose(loss.detach(), io[f"{key}/loss"][:, 0], rtol=5e-6, atol=5e-6)
    loss.mean().backward()
    _check_gradients(recording, generator_tensors(generator), key)


@pytest.mark.parametrize("lod", ["0", "0.5"])
@pytest.mark.parametrize("case", DISCRIMINATOR_CASES)
def test_discriminator_losses(recording, networks, case, lod):
    generator, discriminator = networks
    io, key = recording("losses.npz"), f"style_d8/lod{lod}/{case}"
    generator.synthesis.lod = discriminator.lod = float(lod)
    with torch.no_grad():
        fakes = generator(torch.from_numpy(io["latents"]), noise_mode="const")
    batch = Batch(torch.from_numpy(io["reals"]), fakes, torch.from_numpy(io["mixing_factors"]))
    loss, shown = discriminator_objective(TrainerConfig(**DISCRIMINATOR_CASES[case]), discriminator, batch)
    assert loss.shape == (8,)
    assert loss.mean().item() == pytest.approx(float(io[f"{key}/loss"].mean()), rel=5e-6, abs=5e-6)
    if f"{key}/scores_real" in io:
        assert shown["scores_real"].item() == pytest.approx(float(io[f"{key}/scores_real"].mean()), abs=1e-5)
    if "mixed_norms" in "".join(name for name in io if name.startswith(key + "/")):
        squares = (io[f"{key}/mixed_norms"] - 1) ** 2
        assert shown["gp"].item() == pytest.approx(float(squares.mean()), rel=1e-4)
    loss.mean().backward()
    checked = _check_gradients(recording, discriminator_tensors(discriminator), key)
    recorded = ("D_logistic_simplegp", "D_logistic_simplegp_r1gamma1000", "D_wgan_gp")
    assert checked == (10 if case in recorded else 0)


def _pinned(monkeypatch, io, generator):
    """Take latents, noise and real images of the recording instead of drawing them."""
    level = [getattr(generator.synthesis, f"noise_const{index}") for index in range(8)]
    monkeypatch.setattr(Trainer, "_map", lambda self, count, rng: self.state.generator.mapping(latents))
    monkeypatch.setattr(Synthesis, "draw_noise", lambda self, count, rng, device: level)
    monkeypatch.setattr(Reals, "batch", lambda self, *args, **kwargs: torch.from_numpy(io["reals"]))
    latents = torch.from_numpy(io["latents"])


@pytest.mark.parametrize("lod", ["0", "0.5"])
@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"r1_gamma": 10.0}, ("D_logistic_simplegp", "G_logistic_nonsaturating")),
        ({"loss": "wgan-gp"}, ("D_wgan_gp", "G_wgan")),
    ],
)
def test_a_training_step_has_the_official_gradients(
    recording, networks, tiny_run, squares, monkeypatch, lod, settings, names
):
    """The trainer's own step, from a recorded state: both gradients, before either network is moved."""
    io, (generator, discriminator) = recording("losses.npz"), networks
    config = tiny_run(mixing_prob=0.0, mirror=False, **settings)
    trainer = Trainer(
        config.model_copy(update={"generator": generator.config, "discriminator": discriminator.config}), squares, CPU
    )
    for ours, official in ((trainer.state.generator, generator), (trainer.state.discriminator, discriminator)):
        ours.load_state_dict(official.state_dict())
    _pinned(monkeypatch, io, generator)
    real_rand = torch.rand
    monkeypatch.setattr(
        torch,
        "rand",
        lambda *size, **named: torch.from_numpy(io["mixing_factors"]) if len(size) == 4 else real_rand(*size, **named),
    )
    monkeypatch.setattr(Adam, "step", lambda self: True)
    fixed = trainer.phase().__class__(float(lod), 32, 8, 0.001)
    monkeypatch.setattr(Trainer, "phase", lambda self: fixed)
    trainer.step()
    state = trainer.state
    _check_gradients(recording, discriminator_tensors(state.discriminator), f"style_d8/lod{lod}/{names[0]}")
    _check_gradients(recording, generator_tensors(state.generator), f"style_d8/lod{lod}/{names[1]}")
    assert state.num_images == 8


def test_gradients_of_r1_at_a_level_are_those_of_full_size(tiny_run, squares):
    trainer = Trainer(tiny_run(), squares, CPU)
    discriminator = trainer.state.discriminator
    trainer.state.set_lod(1.0)
    small = torch.rand(8, 3, 8, 8)
    large = upscale(small)
    penalties = [gradient_penalty(discriminator(x.requires_grad_(True)), x) for x in (small, large)]
    torch.testing.assert_close(penalties[0] / 4, penalties[1])
    for settings in (TrainerConfig(r1_gamma=3.0, r2_gamma=2.0), TrainerConfig(loss="wgan-gp")):
        mixing = torch.rand(8, 1, 1, 1)
        losses = [
            discriminator_objective(settings, discriminator, Batch(x, x.flip(0), mixing, level))[0]
            for x, level in ((small, 1), (large, 0))
        ]
        torch.testing.assert_close(losses[0], losses[1])


def test_a_lazy_penalty_weighs_as_much_on_average(tiny_run, squares):
    discriminator = Trainer(tiny_run(), squares, CPU).state.discriminator
    batch = Batch(torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16), torch.empty(0))
    settings = TrainerConfig(r1_gamma=3.0)
    none, once, often = (
        discriminator_objective(settings, discriminator, batch, weight=weight)[0].detach() for weight in (0, 1, 8)
    )
    torch.testing.assert_close(often - none, 8 * (once - none))
    assert (once > none).all()


# ------------------------------------------------------------------------------------------------------- optimiser


class _One(torch.nn.Module):
    def __init__(self, initial):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(initial.copy()))


def _step(adam, network, gradient):
    network.weight.grad = torch.from_numpy(gradient.copy())
    return adam.step()


def test_adam(recording):
    io = recording("adam.npz")
    network = _One(io["init"])
    adam = Adam(network, TrainerConfig())
    adam.learning_rate = float(io["learning_rate"])
    for gradient, expected in zip(io["grads"], io["params_after"], strict=True):
        assert _step(adam, network, gradient)
        np.testing.assert_allclose(network.weight.detach(), expected, rtol=1e-6, atol=1e-7)
    adam.reset()
    assert _step(adam, network, io["grads"][0])
    after_reset = io["params_after_reset_then_grad0"]
    np.testing.assert_allclose(network.weight.detach(), after_reset, rtol=1e-6, atol=1e-7)
    broken = io["grads"][1].copy()
    broken[2, 3] = np.nan
    assert not _step(adam, network, broken)
    np.testing.assert_allclose(network.weight.detach(), io["params_after_nonfinite_gradient"], rtol=1e-6, atol=1e-7)


def test_adam_adds_epsilon_before_the_bias_correction():
    """Where gradients are as small as epsilon TensorFlow's form and torch's differ by a factor of ten at step 1."""
    network = _One(np.zeros((1, 1), np.float32))
    adam = Adam(network, TrainerConfig())
    adam.learning_rate = 1.0
    _step(adam, network, np.full((1, 1), 1e-8, np.float32))
    root = np.sqrt(1 - 0.99)
    assert network.weight.item() == pytest.approx(-root * 1e-8 / (root * 1e-8 + 1e-8), rel=1e-5)


def test_a_step_is_skipped_as_a_whole():
    network = torch.nn.Linear(2, 2)
    adam = Adam(network, TrainerConfig())
    before = [parameter.clone() for parameter in network.parameters()]
    network.weight.grad, network.bias.grad = torch.full((2, 2), torch.inf), torch.ones(2)
    assert not adam.step()
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert adam.steps == 0


def test_half_precision_scales_losses():
    network = torch.nn.Linear(2, 1)
    adam, plain = Adam(network, TrainerConfig(precision="float16")), Adam(network, TrainerConfig())
    adam.backward(network(torch.ones(1, 2)).sum())
    scaled = network.weight.grad.clone()
    assert scaled.tolist() == [[2.0**16] * 2]
    assert adam.step()
    assert network.weight.grad.tolist() == [[1.0, 1.0]]
    adam.zero_grad()
    network.weight.grad, network.bias.grad = torch.full((1, 2), torch.inf), torch.ones(1)
    assert not adam.step()
    assert adam.loss_scale == pytest.approx(2.0 ** (16 + 0.0005 - 1))
    assert plain.loss_scale == 1.0
