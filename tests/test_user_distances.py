import importlib

import numpy as np
import pytest
import torch
from fake_generator import FakeGenerator
from torch import nn

import latentlab
from latentlab.errors import UsageError
from latentlab.interop.distances import load_user_distance, wrap_distance
from latentlab.interop.identity import content_sha256
from latentlab.metrics.path_length import PathSettings, path_lengths


class Blur(nn.Module):
    """Squared differences of blurred images, [N, 1, 1, 1] as LPIPS gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3, 1, 3, 3), 1 / 9))

    def forward(self, a, b):
        both = nn.functional.conv2d(a - b, self.weight, groups=3)
        return both.square().mean(dim=(1, 2, 3), keepdim=True).detach()


class Dropped(Blur):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout()


def test_any_module_is_a_distance():
    distance = latentlab.wrap_distance(Blur().eval())
    assert distance.name == "Blur"
    settings = PathSettings("w", "full", epsilon=1e-2, crop=False)
    found = path_lengths(FakeGenerator(), distance, settings, num_samples=10)
    assert (found > 0).all()
    other = Blur().eval()
    other.weight.data *= 2
    assert wrap_distance(other).sha256 != distance.sha256 == wrap_distance(Blur().eval()).sha256
    np.testing.assert_allclose(
        path_lengths(FakeGenerator(), wrap_distance(other), settings, num_samples=10), 4 * found, rtol=1e-3
    )


def test_one_with_a_speed_serves_the_tangent():
    class Speedy(Blur):
        def speed(self, images, directions, *, precision):
            return self(directions, torch.zeros_like(directions)).flatten()

    tangent = PathSettings("w", "full", crop=False, method="tangent")
    found = path_lengths(FakeGenerator(), wrap_distance(Speedy().eval()), tangent, num_samples=10)
    settings = PathSettings("w", "full", epsilon=1e-2, crop=False)
    steps = path_lengths(FakeGenerator(), wrap_distance(Blur().eval()), settings, num_samples=10)
    np.testing.assert_allclose(found, steps, rtol=1e-3)
    with pytest.raises(UsageError, match="Blur has no method speed"):
        path_lengths(FakeGenerator(), wrap_distance(Blur().eval()), tangent, num_samples=10)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "expected a function or module"),
        (Dropped(), "dropout .Dropout.: in training mode"),
        (lambda a, b: (a - b).square().mean(), r"gave a tensor \[\] for 2 pairs"),
        (lambda a, b: 1.0, "gave float for 2 pairs"),
        (lambda a, b: (a - b).square().mean(dim=(1, 2, 3)) + 1, "between equal images is 1; it must be 0"),
        (lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)), "grows by the factor 2 .* return its square"),
        (lambda a, b: a @ b @ a[0, 0, :3], "failed: RuntimeError"),
    ],
)
def test_what_is_no_distance_is_named(function, message):
    with pytest.raises(UsageError, match=message):
        wrap_distance(function)


def test_a_factory_is_found_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "my_distances.py").write_text(
        "def make():\n    return lambda a, b: (a - b).square().mean(dim=(1, 2, 3))\n"
        "def broken():\n    raise ValueError('no')\n"
    )
    monkeypatch.chdir(tmp_path)
    distance = load_user_distance("my_distances:make")
    assert distance.name == "my_distances:make"
    assert len(distance.sha256) == 64
    with pytest.raises(UsageError, match=r"my_distances:broken failed: ValueError: no"):
        load_user_distance("my_distances:broken")


def test_a_distance_without_a_name_has_that_of_its_factory(tmp_path, monkeypatch):
    square = "lambda a, b: (a - b).square().mean(dim=(1, 2, 3))"
    words = f"import latentlab\n\ndef make():\n    return latentlab.wrap_distance({square})\n"
    (tmp_path / "nameless.py").write_text(words)
    monkeypatch.chdir(tmp_path)
    assert load_user_distance("nameless:make").name == "nameless:make"


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        (lambda images, directions, precision: directions.square().mean(), r"gave \[\]; it must be one number"),
        (lambda images, directions, precision: 1.0, "gave float"),
        (lambda images, directions, precision: 7 * directions.square().mean(dim=(1, 2, 3)), "must be the limit"),
    ],
)
def test_a_speed_that_is_not_the_limit_of_small_steps_is_named(speed, message):
    def distance(a, b):
        return (a - b).square().mean(dim=(1, 2, 3))

    distance.speed = speed
    with pytest.raises(UsageError, match=message):
        wrap_distance(distance)


def test_the_code_of_a_class_in_another_file_tells_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = (
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.ones(1))\n\n"
        "    def forward(self, a, b):\n        return FACTOR * self.weight * (a - b).square().mean(dim=(1, 2, 3))\n"
    )
    hashes = []
    for number, factor in enumerate(("1.0", "1.0", "2.0")):
        (tmp_path / f"arch{number}.py").write_text(code.replace("FACTOR", factor))
        (tmp_path / f"dist{number}.py").write_text(f"import arch{number}\n\nmade = arch{number}.Net().eval()\n")
        hashes.append(content_sha256(importlib.import_module(f"dist{number}").made))
    assert hashes[0] == hashes[1] != hashes[2]
