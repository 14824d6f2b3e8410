"""Resampling against the official operations' recordings, and against its own definition written out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from latentlab.perceptual.pushing import jvp
from latentlab.resampling import (
    downsample2d,
    filter2d,
    filter_kernel,
    resampled_convolution,
    upfirdn2d,
    upsample2d,
)

FOLDER = Path(__file__).parent / "reference" / "stylegan2-3"
CASES = {case["name"]: case for case in json.loads((FOLDER / "ops.json").read_text())["cases"]}
with np.load(FOLDER / "ops.npz") as file:
    RECORDED = {name: torch.from_numpy(array) for name, array in file.items()}


def of_kind(*kinds):
    return [name for name, case in CASES.items() if case["op"] in kinds]


def recorded(name, *keys):
    return [RECORDED.get(f"{name}/{key}") for key in keys]


@pytest.mark.parametrize("name", of_kind("upfirdn2d"))
def test_filters_equal_the_official_ones(name):
    x, kernel, out = recorded(name, "x", "f", "out")
    args = dict(CASES[name]["args"])
    padding = args.pop("padding_x0_x1_y0_y1")
    torch.testing.assert_close(upfirdn2d(x, kernel, padding=padding, **args), out, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", of_kind("upsample2d", "downsample2d", "filter2d"))
def test_filters_that_keep_the_content_in_place_equal_the_official_ones(name):
    x, kernel, out = recorded(name, "x", "f", "out")
    function = {"upsample2d": upsample2d, "downsample2d": downsample2d, "filter2d": filter2d}[CASES[name]["op"]]
    torch.testing.assert_close(function(x, kernel), out, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", of_kind("conv2d_resample"))
def test_convolutions_that_change_the_resolution_equal_the_official_ones(name):
    x, weight, kernel, out = recorded(name, "x", "w", "f", "out")
    args = dict(CASES[name]["args"])
    found = resampled_convolution(x, weight, kernel, rotate=not args.pop("flip_weight"), **args)
    torch.testing.assert_close(found, out, rtol=0, atol=2e-5)


def by_definition(x, kernel, up, down, padding, *, flip_filter, gain):
    """Zeros after every pixel, then zeros around, a correlation with the turned filter, and every down-th pixel."""
    (count, channels, height, width), (x0, x1, y0, y1) = x.shape, padding
    grown = x.new_zeros(count, channels, height * up[1], width * up[0])
    grown[:, :, :: up[1], :: up[0]] = x
    grown = F.pad(grown, (x0, x1, y0, y1))
    kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    kernel = kernel if flip_filter else kernel.flip((0, 1))
    every = F.conv2d(grown, kernel.expand(channels, 1, *kernel.shape), groups=channels) * gain
    return every[:, :, :: down[1], :: down[0]]


@pytest.mark.parametrize("shape", [(5,), (3, 4), (1, 1), (12,)])
@pytest.mark.parametrize("up", [(1, 1), (2, 2), (4, 4), (1, 3)])
@pytest.mark.parametrize("down", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("padding", [(12, 11, 13, 12), (12, -3, -2, 14), (20, 0, 1, 30)])
def test_any_factors_and_paddings_follow_the_definition(shape, up, down, padding):
    generator = torch.Generator().manual_seed(0)
    x, kernel = (torch.randn(size, generator=generator, dtype=torch.float64) for size in ((2, 3, 9, 8), shape))
    for flip_filter in (False, True):
        how = {"flip_filter": flip_filter, "gain": 1.5}
        found = upfirdn2d(x, kernel, up=up, down=down, padding=padding, **how)
        torch.testing.assert_close(found, by_definition(x, kernel, up, down, padding, **how))


def test_no_filter_is_the_filter_of_a_single_one():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    torch.testing.assert_close(upfirdn2d(x, None, down=2), x[:, :, ::2, ::2])
    torch.testing.assert_close(upfirdn2d(x, None, padding=(1, 0, 0, -1), gain=3), F.pad(3 * x, (1, 0, 0, -1)))


def test_short_filters_are_stored_as_squares_and_long_ones_as_lines():
    assert filter_kernel([1, 3, 3, 1]).tolist() == (torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2) / 64).tolist()
    assert filter_kernel([1.0] * 8).tolist() == [1 / 8] * 8


def test_the_order_of_axes_is_x_before_y_in_factors_and_paddings():
    x = torch.ones(1, 1, 4, 6)
    assert upfirdn2d(x, None, up=(2, 1)).shape == (1, 1, 4, 12)
    assert upfirdn2d(x, None, padding=(1, 2)).shape == (1, 1, 8, 8)
    assert upfirdn2d(x, None, padding=(1, 2, 3, 4)).shape == (1, 1, 11, 9)


def test_filters_of_three_axes_and_growing_while_shrinking_are_refused():
    x = torch.ones(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"filter of shape \[1, 1, 1\]"):
        upfirdn2d(x, torch.ones(1, 1, 1))
    with pytest.raises(ValueError, match="up 2 and down 2"):
        resampled_convolution(x, torch.ones(1, 1, 1, 1), up=2, down=2)


@pytest.mark.parametrize("how", [{"up": 2}, {"down": 2}, {"up": (2, 1), "down": (1, 2)}])
def test_derivatives_forwards_and_backwards_are_the_operation_itself_and_its_transpose(how):
    generator = torch.Generator().manual_seed(1)
    x, v = (torch.randn(1, 2, 7, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    kernel = torch.randn(4, 3, generator=generator, dtype=torch.float64)

    def function(x):
        return upfirdn2d(x, kernel, padding=(2, 1, 1, 2), **how)

    value, tangent = jvp(function, x, v)
    torch.testing.assert_close(tangent, function(v))
    u = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    back = torch.func.vjp(function, x)[1](u)[0]
    torch.testing.assert_close((back * v).sum(), (u * tangent).sum())
    weight = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64)
    factor = dict.fromkeys(list(how)[:1], 2)
    pushed = jvp(lambda x: resampled_convolution(x, weight, kernel, padding=1, **factor), x, v)[1]
    torch.testing.assert_close(pushed, resampled_convolution(v, weight, kernel, padding=1, **factor))
