"""Operations with derivatives of their own against the plain formulas, in every kind of differentiation."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from latentlab.fused import add_noise, blur, instance_norm_style, pixel_norm
from latentlab.memory import keep_freed_memory
from latentlab.networks import Generator, GeneratorConfig, initialised

# torch's own forward mode imports what it calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:FutureWarning")


def plain_blur(x, bias):
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
    kernel = torch.outer(line, line).repeat(x.shape[1], 1, 1, 1)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1]) + bias.reshape(1, -1, 1, 1)


def plain_noise(x, noise, strength):
    return x + noise * strength.reshape(1, -1, 1, 1)


def plain_pixel_norm(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def plain_style(x, style):
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-8).sqrt() * (scale + 1) + shift


def _inputs(*shapes):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).add(0.3).requires_grad_() for shape in shapes
    )


MAPS = (2, 3, 4, 4)
CASES = {
    "blur": (blur, plain_blur, (MAPS, (3,))),
    "noise": (add_noise, plain_noise, (MAPS, (2, 1, 4, 4), (3,))),
    "noise for all": (add_noise, plain_noise, (MAPS, (1, 1, 4, 4), (3,))),
    "pixel norm": (pixel_norm, plain_pixel_norm, (MAPS,)),
    "pixel norm of latents": (pixel_norm, plain_pixel_norm, ((2, 5),)),
    "style": (instance_norm_style, plain_style, (MAPS, (2, 6))),
}
cases = pytest.mark.parametrize("case", CASES)


@cases
def test_values_are_those_of_the_formula(case):
    ours, plain, shapes = CASES[case]
    torch.testing.assert_close(ours(*_inputs(*shapes)), plain(*_inputs(*shapes)))


@cases
def test_first_and_second_derivatives(case):
    ours, plain, shapes = CASES[case]
    inputs = _inputs(*shapes)
    assert gradcheck(ours, inputs, check_forward_ad=True)
    assert gradgradcheck(ours, inputs)
    weight = torch.randn(shapes[0], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pairs = [torch.autograd.grad((f(*inputs) * weight).sum(), inputs) for f in (ours, plain)]
    torch.testing.assert_close(*pairs)


@cases
def test_function_transforms(case):
    """Forward mode, vmap, and forward over reverse."""
    ours, plain, shapes = CASES[case]
    primals = tuple(x.detach() for x in _inputs(*shapes))
    tangents = tuple(x.detach().flip(0) for x in _inputs(*shapes))
    first = [torch.func.jvp(f, primals, tangents)[1] for f in (ours, plain)]
    torch.testing.assert_close(*first)

    def square(f):
        return lambda *inputs: f(*inputs).square().sum()

    second = [torch.func.jvp(torch.func.grad(square(f)), primals, tangents)[1] for f in (ours, plain)]
    torch.testing.assert_close(*second)
    many = tuple(torch.stack([x, 2 * x]) for x in primals)
    torch.testing.assert_close(torch.func.vmap(ours)(*many), torch.func.vmap(plain)(*many))


@cases
def test_one_tangent_alone(case):
    ours, plain, shapes = CASES[case]
    primals = [x.detach() for x in _inputs(*shapes)]
    for index, x in enumerate(primals):

        def alone(f, value, index=index):
            return f(*primals[:index], value, *primals[index + 1 :])

        found = [torch.func.jvp(lambda v, f=f, a=alone: a(f, v), (x,), (x.flip(0),))[1] for f in (ours, plain)]
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@cases
def test_half_precision_stays_near(case, kind):
    """Images come out in their own precision; every gradient is right to that precision."""
    ours, plain, shapes = CASES[case]
    larger = {MAPS: (2, 3, 32, 32), (2, 1, 4, 4): (2, 1, 32, 32), (1, 1, 4, 4): (1, 1, 32, 32)}
    inputs = _inputs(*(larger.get(shape, shape) for shape in shapes))
    halves = tuple(x.detach().to(kind).requires_grad_() for x in inputs)
    result = ours(*halves)
    assert result.dtype == kind
    expected = plain(*inputs)
    weight = 1 + torch.sin(torch.arange(expected.numel(), dtype=torch.float64)).reshape(expected.shape)
    found = torch.autograd.grad((result * weight.to(kind)).sum(), halves)
    right = torch.autograd.grad((expected * weight).sum(), inputs)
    for ours_, exact in zip((result, *found), (expected, *right), strict=True):
        assert (ours_.double() - exact).norm() <= 0.02 * exact.norm()


def test_path_lengths_need_forward_mode():
    """A whole generator, along a direction of Z, against a difference in float64."""
    config = GeneratorConfig(resolution=16, fmap_base=64, fmap_max=8, z_dim=8, w_dim=8, mapping_fmaps=8)
    generator = initialised(lambda: Generator(config), 0).double().requires_grad_(False)
    z, direction = torch.randn(2, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def images(z):
        return generator(z, noise_mode="const")

    tangent = torch.func.jvp(images, (z,), (direction,))[1]
    difference = (images(z + 1e-6 * direction) - images(z - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close(tangent, difference, rtol=1e-4, atol=1e-4)


def test_freed_memory_is_kept_where_glibc_is():
    import platform

    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
