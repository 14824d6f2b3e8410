import warnings
from pathlib import Path
from urllib.error import URLError

import lpips
import pytest
import torch
import torchvision

from latentlab.errors import UsageError, WeightsError
from latentlab.perceptual import MIN_SIZES, FeatureDistance, lpips_distance

SQUEEZE = "squeezenet1_1-b8a52dc0.pth"


def images(count=3, size=32, channels=3, seed=0):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def trunk():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.squeezenet1_1(weights=None).state_dict()


@pytest.fixture
def weights_dir(tmp_path, trunk):
    torch.save(trunk, tmp_path / SQUEEZE)
    return tmp_path


def test_the_trunk_of_the_file_and_the_packages_heads_are_used(weights_dir, trunk):
    before = torch.random.get_rng_state()
    distance = lpips_distance("squeeze", weights_dir=weights_dir)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = own.net.state_dict()
    own.net.load_state_dict({name: trunk["features." + name.split(".", 1)[1]] for name in state})
    a, b = images(), images(seed=1)
    torch.testing.assert_close(distance(a, b), own(a, b).detach().flatten(), rtol=1e-5, atol=0)
    assert not distance(a, b).requires_grad
    assert not distance(a, a).any()
    assert (distance(a, b) > 0).all()
    assert distance.name == "lpips-squeeze-custom"
    assert len(distance.sha256) == 64


def test_the_hash_follows_the_trunk(weights_dir, trunk):
    first = lpips_distance("squeeze", weights_dir=weights_dir).sha256
    changed = {name: tensor + 1 for name, tensor in trunk.items()}
    torch.save(changed, weights_dir / SQUEEZE)
    assert lpips_distance("squeeze", weights_dir=weights_dir).sha256 != first


def test_a_small_change_has_a_quadratic_distance(weights_dir):
    distance = lpips_distance("squeeze", weights_dir=weights_dir)
    a, step = images(), images(seed=1) * 1e-2
    torch.testing.assert_close(
        distance(a, a + 2 * step) / distance(a, a + step), torch.full((3,), 4.0), rtol=0.2, atol=0
    )


def test_grey_images_count_as_three_channels(weights_dir):
    distance = lpips_distance("squeeze", weights_dir=weights_dir)
    a, b = images(channels=1), images(channels=1, seed=1)
    assert torch.equal(distance(a, b), distance(a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1)))
    with pytest.raises(UsageError, match="1 or 3 channels, not 2"):
        distance(images(channels=2), images(channels=2))


@pytest.mark.parametrize(("net", "smallest"), [("vgg", 16), ("alex", 31), ("squeeze", 17)])
def test_the_smallest_size_is_what_the_features_accept(net, smallest):
    factory = {
        "vgg": torchvision.models.vgg16,
        "alex": torchvision.models.alexnet,
        "squeeze": torchvision.models.squeezenet1_1,
    }[net]
    with torch.device("meta"):
        layers = factory(weights=None).features[: {"vgg": 30, "alex": 12, "squeeze": 13}[net]]
        assert layers(torch.empty(1, 3, smallest, smallest)).numel() > 0
        with pytest.raises(RuntimeError):
            layers(torch.empty(1, 3, smallest - 1, smallest - 1))
    assert MIN_SIZES[net] == smallest


def test_images_that_are_too_small_or_differ_are_named(weights_dir):
    distance = lpips_distance("squeeze", weights_dir=weights_dir)
    with pytest.raises(UsageError, match="16x16 pixels, and lpips-squeeze-custom needs at least 17"):
        distance(images(size=16), images(size=16))
    with pytest.raises(UsageError, match="both must be one"):
        distance(images(), images(size=33))


def test_weights_of_the_wrong_form_are_named(weights_dir, trunk):
    path = weights_dir / SQUEEZE
    partial = {name: tensor for name, tensor in trunk.items() if name != "features.3.squeeze.bias"}
    torch.save(partial, path)
    with pytest.raises(WeightsError, match=r"features.3.squeeze.bias must be a tensor \[16\].* nothing"):
        lpips_distance("squeeze", weights_dir=weights_dir)
    torch.save(trunk | {"features.0.weight": torch.ones(2, 2)}, path)
    with pytest.raises(WeightsError, match=r"has the shape \[2, 2\]"):
        lpips_distance("squeeze", weights_dir=weights_dir)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="no PyTorch state dict"):
        lpips_distance("squeeze", weights_dir=weights_dir)


def test_a_file_that_would_run_code_is_refused(weights_dir):
    torch.save({"features.0.weight": Path("x")}, weights_dir / SQUEEZE)
    with pytest.raises(WeightsError, match="no PyTorch state dict"):
        lpips_distance("squeeze", weights_dir=weights_dir)


def test_weights_are_found_in_the_cache_and_missing_ones_named(tmp_path, trunk, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_args, **_options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(WeightsError, match=r"there is no folder .*empty; it should hold vgg16-397923af\.pth"):
        lpips_distance("vgg", weights_dir=tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"vgg16-397923af.pth.*no network.*--weights-dir"):
        lpips_distance("vgg", weights_dir=tmp_path / "empty")
    (tmp_path / "checkpoints").mkdir()
    torch.save(trunk, tmp_path / "checkpoints" / SQUEEZE)
    assert lpips_distance("squeeze", weights_dir=tmp_path / "empty").min_size == 17
    with pytest.raises(UsageError, match="vgg, alex, squeeze"):
        lpips_distance("resnet")


def test_feature_distance_is_the_formula_of_lpips():
    def features(x):
        return [x, torch.nn.functional.avg_pool2d(x, 2)]

    a, b = images(), images(seed=1)
    expected = torch.zeros(3)
    for first, second in zip(features(a), features(b), strict=True):
        units = [lpips.normalize_tensor(part) for part in (first, second)]
        expected += (units[0] - units[1]).square().sum(dim=1).mean(dim=(1, 2))
    distance = FeatureDistance(features, name="classifier:test", sha256="0" * 64, min_size=2)
    torch.testing.assert_close(distance(a, b), expected)
    assert not distance(a, a).any()
    assert distance(torch.zeros_like(a), torch.zeros_like(a)).isfinite().all()
    with pytest.raises(UsageError, match="needs at least 2"):
        distance(images(size=1), images(size=1))
