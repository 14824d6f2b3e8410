"""What check_generator says of generators that do not fit."""

import re
import warnings

import numpy as np
import pytest
import torch
from fake_generator import FakeGenerator
from torch import nn

from latentlab.errors import LatentLabWarning, UsageError
from latentlab.interop.generator_checks import check_generator, examine_generator
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.protocols import synthesize


def fake(**changes):
    """A generator that fits, with some attributes changed or, where None, removed."""
    generator = FakeGenerator(noise=0.1, scale=0.3)
    for name, value in changes.items():
        if value is None:
            delattr(generator, name)
        else:
            setattr(generator, name, value)
    return generator


def images_of(change):
    """A generator whose images are changed by a function of (images, ws)."""
    generator = fake()
    plain = generator.synthesis
    generator.synthesis = lambda ws, noise_mode="random": change(plain(ws, noise_mode="none"), ws)
    return generator


def ws_of(change):
    generator = fake()
    plain = generator.mapping
    generator.mapping = lambda z: change(plain(z), z)
    return generator


def found(generator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return examine_generator(generator)


# ------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize("options", [{}, {"noise": 0.0}, {"foreign": True}])
def test_generators_that_fit_have_no_problem(options):
    generator = FakeGenerator(scale=0.3, **options)
    examined = found(generator)
    assert (examined.problems, examined.suspicions) == ([], [])
    low, high = examined.facts.pop("image_range")
    assert -5 < low < 0 < high < 5
    assert examined.facts == {
        "z_dim": 8, "w_dim": 8, "num_ws": 3, "img_resolution": 16, "img_channels": 3, "has_mapping": True,
        "noise": options != {"noise": 0.0}, "noise_modes": ["random", "const", "none"], "parameters": 0,
    }  # fmt: skip
    check_generator(generator)


@pytest.mark.parametrize("layers", [0, 2])
def test_latentlabs_own_generators_fit(layers):
    config = GeneratorConfig(
        resolution=16, fmap_base=32, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4, mapping_layers=layers,
        num_channels=1,
    )  # fmt: skip
    generator = initialised(lambda: Generator(config), 0).eval()
    examined = found(generator)
    assert examined.problems == []
    assert examined.facts["parameters"] == sum(parameter.numel() for parameter in generator.parameters())
    assert not [words for words in examined.suspicions if "values" not in words]  # untrained, it paints loudly


def test_the_callers_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    examine_generator(FakeGenerator(foreign=True))
    assert torch.equal(torch.get_rng_state(), before)


# --------------------------------------------------------------------------------------------------- problems


class Shifting:
    """Images that change from call to call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images, ws):
        self.calls += 1
        return images + 0.01 * self.calls


def with_numpy_noise(ws, noise_mode="random"):
    images = fake().synthesis(ws, noise_mode="none")
    return images + float(np.random.default_rng().normal()) if noise_mode == "random" else images


def failing_when_random(ws, noise_mode="random"):
    if noise_mode == "random":
        raise RuntimeError("no noise today")
    return fake().synthesis(ws, noise_mode="none")


def no_mode(ws):
    return fake().synthesis(ws)


PROBLEMS = {
    "no z_dim": (fake(z_dim=None), r"it has no attribute z_dim \(values in a latent z\)"),
    "z_dim text": (fake(z_dim="512"), r"z_dim is '512': expected a whole number above 0"),
    "num_ws 0": (fake(num_ws=0), r"num_ws is 0: expected a whole number above 0 \(how many w"),
    "size true": (fake(img_resolution=True), r"img_resolution is True: expected a whole number"),
    "four channels": (fake(img_channels=4), r"img_channels is 4: images have 1 channel or 3"),
    "no synthesis": (fake(synthesis=None), r"it has no function synthesis\(ws \[N, num_ws, w_dim\], noise_mode"),
    "synthesis text": (fake(synthesis="net"), r"it has no function synthesis"),
    "no w_avg": (fake(w_avg=None), r"it has no attribute w_avg, a tensor \[8\]: the mean of w"),
    "w_avg shape": (fake(w_avg=torch.zeros(3, 8)), r"w_avg has the shape \[3, 8\]: expected \[8\]"),
    "w_avg text": (fake(w_avg="mean"), r"w_avg is a str: expected a tensor"),
    "w_avg NaN": (fake(w_avg=torch.full((8,), torch.nan)), r"w_avg has values that are not finite"),
    "mapping fails": (ws_of(lambda ws, z: z @ ws), r"mapping\(z \[4, 8\]\) failed: RuntimeError: .*line \d+: "),
    "mapping flat": (ws_of(lambda ws, z: ws[:, 0]), r"gives float32 \[4, 8\]: expected .*\[4, 3, 8\].*Repeat w with"),
    "mapping tuple": (ws_of(lambda ws, z: (ws, z)), r"gives a tuple, not a tensor. Return its image tensor alone"),
    "mapping NaN": (ws_of(lambda ws, z: ws / 0), r"mapping gives values that are not finite"),
    "mapping random": (ws_of(lambda ws, z: ws + torch.rand(1)), r"other ws for the same z .*\(dropout\?\)"),
    "mapping batch": (ws_of(lambda ws, z: ws - z.mean()), r"a z another w in another batch"),
    "uint8": (images_of(lambda x, ws: (x * 127.5 + 128).clamp(0, 255).byte()), r"images are uint8: return float32 in"),
    "int64": (images_of(lambda x, ws: (x * 9).long()), r"images are int64: return float32 in \[-1, 1\]"),
    "NaN": (images_of(lambda x, ws: x.masked_fill(x > 0.5, torch.nan)), r"not finite \(NaN or infinity\): \d+.\d% of"),
    "infinite": (images_of(lambda x, ws: x / 0), r"images have values that are not finite.*: 100.0% of them"),
    "0 to 255": (images_of(lambda x, ws: x * 100 + 128), r"lie between .* nominally in \[-1, 1\].*divided by 127.5"),
    "channels last": (images_of(lambda x, ws: x.permute(0, 2, 3, 1)), r"\[4, 16, 16, 3\].*permute\(0, 3, 1, 2\)"),
    "oblong": (images_of(lambda x, ws: x[..., 4:]), r"float32 \[4, 3, 16, 12\]: .*must be square: crop or pad"),
    "another size": (images_of(lambda x, ws: x[..., 4:, 4:]), r"\[4, 3, 12, 12\]: expected \[4, 3, 16, 16\].*say"),
    "one image": (images_of(lambda x, ws: x[:1]), r"synthesis gives float32 \[1, 3, 16, 16\]: expected \[4, 3"),
    "dict": (images_of(lambda x, ws: {"images": x}), r"gives a dict, not a tensor. Return its image tensor alone"),
    "array": (images_of(lambda x, ws: x.numpy()), r"gives a ndarray, not a tensor"),
    "not repeatable": (images_of(Shifting()), r'under noise_mode="const" the same ws give other images .*again'),
    "unequal twins": (
        images_of(lambda x, ws: x + torch.linspace(0, 1, len(x)).reshape(-1, 1, 1, 1)),
        r'noise_mode="const" equal ws in one batch give different images.*itself would not be 0',
    ),
    "batch": (images_of(lambda x, ws: x - x.mean(dim=0)), r"an image depends on the other images of its batch"),
    "NumPy noise": (fake(synthesis=with_numpy_noise), r"same seed differ: noise must come from torch's global"),
    "random fails": (fake(synthesis=failing_when_random), r'fails under noise_mode="random": RuntimeError: no noise'),
    "no noise_mode": (fake(synthesis=no_mode), r"failed: TypeError.*Add a parameter noise_mode, or use wrap_generator"),
}  # fmt: skip


@pytest.mark.parametrize(("generator", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems_are_said(generator, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LatentLabWarning)
        with pytest.raises(UsageError, match=f"(?s)^mine cannot be measured as it is:\n.*{words}"):
            check_generator(generator, name="mine")


def test_everything_is_listed_at_once():
    generator = images_of(lambda x, ws: (x - x.mean(dim=0)).double()[..., 4:, 4:])
    generator.w_avg = torch.zeros(5)
    listed = found(generator).problems
    assert len(listed) == 3
    assert "w_avg has the shape [5]" in listed[0]
    assert "[4, 3, 12, 12]: expected [4, 3, 16, 16]" in listed[1]
    assert "other images of its batch" in listed[2]


def test_an_object_without_anything_is_told_all_that_is_missing():
    listed = found(nn.Linear(3, 3)).problems
    assert len(listed) == 8  # five numbers, two functions, and how to wrap a module
    assert "wrap_generator" in listed[-1]
    assert len(found(object()).problems) == 7


def test_layers_that_are_in_training_mode_are_named():
    generator = fake()
    generator.net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), *(nn.Dropout() for _ in range(6)))
    (problem,) = found(generator).problems
    assert problem.startswith("1 (BatchNorm1d), 2 (Dropout), 3 (Dropout), 4 (Dropout), 5 (Dropout) and 2 more: in tr")
    generator.net.eval()
    assert found(generator).problems == []
    assert found(generator).facts["parameters"] == 10


def test_gradients_are_left_to_the_caller():
    weight = nn.Parameter(torch.ones(1))

    def on(images, ws):
        with torch.inference_mode(False), torch.enable_grad():
            return images.clone() * weight

    assert "gradients on by itself" in found(images_of(on)).problems[0]
    assert found(images_of(lambda images, ws: images * weight)).problems == []


# ------------------------------------------------------------------------------------------------- suspicions


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (images_of(lambda x, ws: torch.sigmoid(x)), r"images \* 2 - 1, so that black is -1"),
        (images_of(lambda x, ws: x * 8), r"values of images lie between .*, and nominally in \[-1, 1\]$"),
        (images_of(lambda x, ws: x * 0 + 1.5), r"all images are the same: synthesis does not depend on ws"),
        (images_of(lambda x, ws: x.half()), r"images are float16: .*compute in float32"),
        (ws_of(lambda ws, z: ws + z[:, None]), r"does not normalise z.*normalizes_z = False"),
        (ws_of(lambda ws, z: z[:, None].repeat(1, 3, 1)), r"its w is z: set has_mapping = False"),
    ],
)
def test_what_may_be_meant_is_a_warning(generator, words):
    examined = found(generator)
    assert examined.problems == []
    with pytest.warns(LatentLabWarning) as caught:
        check_generator(generator, name="mine")
    assert len(caught) == len(examined.suspicions)
    assert any(re.search(words, str(warning.message)) for warning in caught)


def test_normalised_copies_of_z_are_noticed():
    generator = ws_of(lambda ws, z: (z / z.square().mean(dim=1, keepdim=True).sqrt())[:, None].repeat(1, 3, 1))
    assert found(generator).suspicions == ["its w is normalised z: set has_mapping = False, so that results say so"]
    generator.has_mapping = False
    assert found(generator).suspicions == []


def test_training_mode_without_consequences_is_suspicious_only():
    generator = fake()
    generator.net = nn.Linear(2, 2)
    assert found(generator).suspicions == ["its network is in training mode: call .eval() on it"]


def test_measurements_refuse_integers_even_without_a_check():
    generator = images_of(lambda x, ws: x.clamp(0, 1).byte())
    for mode in ("random", "const"):
        with pytest.raises(UsageError, match=r"the generator's images are uint8: return float32 in \[-1, 1\]"):
            synthesize(generator, [torch.zeros(2, 3, 8)], rows=slice(0, 2), seed=0, noise_mode=mode)
