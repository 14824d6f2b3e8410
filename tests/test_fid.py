"""FID and KID: the distance to real images, its pieces, and the command's inputs."""

import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator

from latentlab.data import Dataset
from latentlab.errors import DataError, UsageError
from latentlab.images import to_uint8
from latentlab.latents import sample_z
from latentlab.metrics import kernel_distance as module
from latentlab.metrics.fid import distance_results, mixing_cuts
from latentlab.metrics.frechet import frechet_distance
from latentlab.metrics.kernel_distance import kernel_distance, unbiased_mmd2
from latentlab.protocols import synthesize


class Colours:
    """Means of quarters of the images."""

    name, distance_name, sha256 = "colours", "fd_colours", "0" * 64

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1).numpy()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def images(rows, seed=0, generator=None):
    generator = generator or FakeGenerator()
    ws = generator.mapping(sample_z(seed, rows, 8, stream="fid-z"))
    return to_uint8(synthesize(generator, [ws], rows=rows, seed=seed, stream="fid-noise")[0])


def dataset(pixels=None, fingerprint="a" * 64):
    pixels = images(slice(0, 300), seed=7) if pixels is None else pixels
    return Dataset("squares", fingerprint, 16, pixels)


def measured(data=None, generator=None, features=None, **how):
    how = {"num_generated": 200, "num_real": 300} | how
    return distance_results(
        generator or FakeGenerator(), data or dataset(), features or Colours(), network=NETWORK, **how
    )


def test_the_value_is_the_frechet_distance_of_generated_and_real_features():
    (frechet, kernel), _ = measured()
    features = Colours()
    fakes, reals = features(images(slice(0, 200))), features(images(slice(0, 300), seed=7))
    assert frechet.value == pytest.approx(frechet_distance(fakes, reals), rel=1e-6)
    assert (frechet.metric, kernel.metric) == ("fd_colours200", "kd_colours200")
    assert frechet.ci95[0] <= frechet.value <= frechet.ci95[1]
    reference, (low, high) = kernel_distance(fakes, reals)
    assert abs(kernel.value - reference) < high - low
    assert frechet.protocol["real"]["fingerprint"] == "a" * 64
    assert frechet.protocol["mixed_latents"] == 1


def test_only_features_of_the_genuine_network_are_called_fid():
    features = Colours()
    features.distance_name = "fid"
    results, words = measured(features=features, num_generated=2000)
    assert [result.metric for result in results] == ["fid2k", "kid2k"]
    assert "against all 300 real ones" in words[-1]


def test_neither_batches_nor_processes_change_the_value():
    (whole, _), _ = measured(batch_size=200)
    (parts, _), _ = measured(batch_size=7)
    assert parts.value == pytest.approx(whole.value, rel=1e-9)


def test_features_of_real_images_are_kept_and_a_damaged_file_is_made_again(cache):
    first, second = Colours(), Colours()
    (one, _), _ = measured(features=first)
    (two, _), _ = measured(features=second)
    assert (first.seen, second.seen) == (500, 200)
    assert one.value == two.value
    (kept,) = cache.glob("features-*.npy")
    kept.write_bytes(kept.read_bytes()[:100])
    third = Colours()
    assert measured(features=third)[0][0].value == one.value
    assert third.seen == 500
    other = Colours()
    measured(dataset(images(slice(0, 300), seed=8), "b" * 64), features=other)
    assert other.seen == 500


def test_it_is_said_once_that_features_of_real_images_are_taken_and_kept(cache):
    said: list[str] = []
    for _ in range(2):
        measured(say=said.append)
    kept = f"they are kept in {cache} for the next time"
    assert said == [f"taking features of 300 real images (--num-real takes fewer); {kept}"]
    measured(say=said.append, cache=False)
    assert said[1:] == ["taking features of 300 real images (--num-real takes fewer)"]


def test_the_interval_is_as_wide_as_values_scatter():
    found = [measured(generator=FakeGenerator(), seed=seed, cache=False)[0][0] for seed in range(12)]
    scatter = np.std([result.value for result in found], ddof=1)
    widths = np.mean([(result.ci95[1] - result.ci95[0]) / 2 / 2.262 for result in found])
    assert 0.5 < widths / scatter < 2.5


def test_equal_distributions_have_a_kernel_distance_around_zero():
    rng = np.random.default_rng(0)
    value, (low, high) = kernel_distance(rng.normal(size=(8000, 16)), rng.normal(size=(8000, 16)))
    assert low < 0 < high
    assert abs(value) < 0.05
    far, (low, _) = kernel_distance(rng.normal(size=(4000, 16)), 1 + rng.normal(size=(4000, 16)))
    assert far > low > 1


def test_the_order_of_real_images_does_not_matter():
    """Sorted data: blocks cut in order would each see another part of them."""
    pixels = images(slice(0, 400), seed=7)
    bright = pixels[np.argsort(pixels.mean(axis=(1, 2, 3)))]
    found = [
        measured(dataset(x, key * 64), num_generated=400, num_real=400)[0] for x, key in ((pixels, "d"), (bright, "e"))
    ]
    (frechet, kernel), (sorted_frechet, sorted_kernel) = found
    assert sorted_frechet.value == pytest.approx(frechet.value, rel=1e-6)
    width = kernel.ci95[1] - kernel.ci95[0]
    assert abs(sorted_kernel.value - kernel.value) < width / 2
    assert sorted_kernel.ci95[1] - sorted_kernel.ci95[0] < 2 * width


def test_there_are_ten_blocks_at_least_and_none_of_more_than_a_thousand(monkeypatch):
    sizes = []
    monkeypatch.setattr(module, "unbiased_mmd2", lambda a, b: sizes.append((len(a), len(b))) or float(len(sizes)))
    kernel_distance(np.zeros((300, 2)), np.zeros((250, 2)))
    assert sizes == [(30, 25)] * 10
    sizes.clear()
    kernel_distance(np.zeros((5000, 2)), np.zeros((50_000, 2)))
    assert sizes == [(100, 1000)] * 50


def test_only_some_of_the_real_images_are_not_called_all():
    assert not any("all" in sentence for sentence in measured(num_generated=250, num_real=200)[1])
    for count in (400, 200):  # whether or not there are fewer generated ones
        assert "all 300 real ones; 500 were asked for" in measured(num_generated=count, num_real=500)[1][-1]


def test_the_unbiased_estimate_is_its_definition():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    within = [sum(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) for x in (a, b)]
    between = sum(k(x, y) for x in a for y in b)
    expected = within[0] / 20 + within[1] / 12 - 2 * between / 20
    assert unbiased_mmd2(a, b) == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------------------------------------- mixed latents


def test_each_further_latent_takes_over_at_a_layer_of_its_own():
    cuts = mixing_cuts(0, slice(0, 4000), 3, 6)
    assert cuts.shape == (4000, 2)
    assert (np.diff(cuts, axis=1) > 0).all()
    assert (cuts.min(), cuts.max()) == (1, 5)
    pairs, counts = np.unique(cuts, axis=0, return_counts=True)
    assert len(pairs) == 10
    assert counts.min() > 300
    np.testing.assert_array_equal(mixing_cuts(0, slice(100, 120), 3, 6), cuts[100:120])


def test_mixed_latents_give_other_images_and_a_name_of_their_own():
    class ByLayer(FakeGenerator):
        """Every layer paints a part."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = []
            inner = self.synthesis

            def synthesis(ws, noise_mode="random"):
                self.calls.append(ws)
                return inner(ws, noise_mode=noise_mode)

            self.synthesis = synthesis

    generator = ByLayer()
    (result, _), _ = measured(generator=generator, mixed=3, num_generated=40)
    assert result.metric == "fd_colours40_mixed3"
    ws = torch.cat(generator.calls)
    assert all(len({tuple(w.tolist()) for w in row}) == 3 for row in ws)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_generated": 5}, "5 generated and 300 real images"),
        ({"mixed": 4}, "4 latents cannot be mixed in a generator of 3 layers"),
        ({"data": Dataset("few", "c" * 64, 16, np.zeros((5, 16, 16, 3), np.uint8))}, "few have 5 images"),
        (
            {"data": Dataset("wide", "c" * 64, 32, np.zeros((50, 32, 32, 3), np.uint8))},
            "16 pixels wide and the data's 32",
        ),
    ],
)
def test_wrong_arguments_are_named(how, message):
    with pytest.raises(UsageError, match=message):
        measured(**how)


def test_broken_images_are_named():
    generator = FakeGenerator()
    generator.paint = generator.paint * float("nan")
    with pytest.raises(DataError, match="not finite"):
        measured(generator=generator)
