"""Layer plans and filters of alias-free generators against official networks' tables and filters."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import j1

from latentlab.stylegan3 import Generator, GeneratorConfig, official_generator_config
from latentlab.stylegan3.filters import radial_filter, separable_filter
from latentlab.stylegan3.plan import layer_plans

FOLDER = Path(__file__).parent / "reference" / "stylegan2-3"
TABLES = json.loads((FOLDER / "sg3_fullsize_architectures.json").read_text())
TABLES |= {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("sg3_t14", "sg3_r8", "sg3_cond32")}


def plans_of(name):
    return layer_plans(official_generator_config(TABLES[name]["init_kwargs"]))


@pytest.mark.parametrize("name", TABLES)
def test_layers_are_planned_as_in_the_official_network(name):
    table = TABLES[name]["architecture"]
    plans = plans_of(name)
    assert len(plans) == len(table["layers"])
    first, entry = plans[0].source, table["input"]
    assert (first.channels, [first.size] * 2, first.rate, first.cutoff) == (
        entry["channels"],
        entry["size"],
        entry["sampling_rate"],
        entry["bandwidth"],
    )
    for plan, layer in zip(plans, table["layers"], strict=True):
        found = {
            "name": plan.name,
            "is_torgb": plan.is_torgb,
            "is_critically_sampled": plan.is_critical,
            "in_channels": plan.source.channels,
            "out_channels": plan.target.channels,
            "in_size": [plan.source.size] * 2,
            "out_size": [plan.target.size] * 2,
            "in_sampling_rate": plan.source.rate,
            "out_sampling_rate": plan.target.rate,
            "tmp_sampling_rate": plan.rate,
            "conv_kernel": plan.kernel,
            "up_factor": plan.up,
            "up_taps": plan.up_taps,
            "down_factor": plan.down,
            "down_taps": plan.down_taps,
            "down_radial": plan.radial,
            "padding_x0_x1_y0_y1": [*plan.padding, *plan.padding],
        }
        assert found == {key: layer[key] for key in found}
        bands = [plan.source.cutoff, plan.target.cutoff, plan.source.half_width, plan.target.half_width]
        official = [layer[key] for key in ("in_cutoff", "out_cutoff", "in_half_width", "out_half_width")]
        np.testing.assert_allclose(bands, official, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("stylegan3")])
def test_states_of_full_size_have_the_official_names_and_shapes(name):
    with torch.device("meta"):
        generator = Generator(official_generator_config(TABLES[name]["init_kwargs"]))
    assert {key: list(tensor.shape) for key, tensor in generator.state_dict().items()} == TABLES[name]["state"]
    assert sum(parameter.numel() for parameter in generator.parameters()) == TABLES[name]["num_params"]


def test_filters_equal_the_official_ones():
    with np.load(FOLDER / "sg3_filters.npz") as file:
        recorded = dict(file)
    designed = {}
    for name in dict.fromkeys(key.split("/")[0] for key in recorded):
        for plan in plans_of(name):
            designed |= {f"{name}/{plan.name}/{kind}": getattr(plan, kind)() for kind in ("up_filter", "down_filter")}
    designed = {key: kernel for key, kernel in designed.items() if kernel is not None}
    assert designed.keys() == recorded.keys()
    for key, kernel in designed.items():
        np.testing.assert_allclose(kernel, recorded[key], rtol=0, atol=2e-8, err_msg=key)


@pytest.mark.parametrize(("width", "low", "high"), [(20.0, 50, 100), (11.0, 21, 50), (5.0, 0, 21)])
def test_filters_are_a_sinc_or_a_jinc_under_a_kaiser_window_of_the_width_asked_for(width, low, high):
    taps, cutoff, rate = 12, 9.0, 64.0
    attenuation = 2.285 * (taps - 1) * np.pi * width / (rate / 2) + 7.95
    assert low < attenuation <= high
    above = max(attenuation - 21, 0)
    expected = 0.1102 * (attenuation - 8.7) if attenuation > 50 else 0.5842 * above**0.4 + 0.07886 * above
    window, places = np.kaiser(taps, expected), (np.arange(taps) - 5.5) / rate
    line = np.sinc(2 * cutoff * places) * window
    np.testing.assert_allclose(
        separable_filter(taps, cutoff=cutoff, width=width, rate=rate), line / line.sum(), rtol=0, atol=1e-14
    )
    radius = np.sqrt(places[:, None] ** 2 + places**2)
    disc = j1(2 * np.pi * cutoff * radius) / (np.pi * radius) * window[:, None] * window
    np.testing.assert_allclose(
        radial_filter(taps, cutoff=cutoff, width=width, rate=rate), disc / disc.sum(), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"num_layers": 5},
        {"num_layers": 8, "conv_kernel": 1, "use_radial_filters": True},
        {"num_layers": 3, "num_critical": 0, "margin_size": 3},
        {"num_layers": 1, "num_critical": 0},
        {"num_layers": 20, "num_critical": 5},
    ],
)
@pytest.mark.parametrize("resolution", [16, 64])
def test_every_layer_gives_the_size_that_is_planned(resolution, fields):
    for plan in layer_plans(GeneratorConfig(img_resolution=resolution, **fields)):
        spread = (plan.source.size + plan.kernel - 1) * plan.up + sum(plan.padding)
        assert (spread - plan.up_taps - plan.down_taps + 2 - 1) // plan.down + 1 == plan.target.size
