import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, SquaredDistance

from latentlab.errors import DataError, UsageError
from latentlab.latents import sample_z
from latentlab.metrics.bootstrap import draw_counts
from latentlab.metrics.path_length import (
    PathSettings,
    face_crop,
    path_lengths,
    perceptual_path_length,
    trim_bounds,
    trimmed_mean,
    trimmed_mean_replicates,
    view,
    view_size,
)

REFERENCE = Path(__file__).parent / "reference"
W_FULL = PathSettings("w", "full", epsilon=1e-2, crop=False)


def lengths(generator=None, settings=W_FULL, *, distance=None, num_samples=24, **options):
    generator = generator or FakeGenerator(linear=True)
    return path_lengths(generator, distance or SquaredDistance(), settings, num_samples=num_samples, **options)


# ------------------------------------------------------------------------------------------- official numbers


@pytest.mark.parametrize("case", ["lognormal1000", "ties1000", "n777", "n50"])
def test_trimming_equals_the_official_one(case):
    with np.load(REFERENCE / "ppl_outliers.npz") as file:
        distances = file[f"distances_{case}"]
        mean, kept = trimmed_mean(distances)
        assert trim_bounds(distances) == (file[f"lo_{case}"], file[f"hi_{case}"])
        assert kept == file[f"num_kept_{case}"]
        assert mean == pytest.approx(float(file[f"result_{case}"]), rel=1e-6)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512, 1024])
def test_the_crop_equals_the_official_one(resolution):
    official = json.loads((REFERENCE / "ppl_crop.json").read_text())[str(resolution)]
    rows = torch.arange(float(resolution))[:, None].expand(resolution, resolution)
    cropped = face_crop(torch.stack([rows, rows.T])[None])
    assert cropped[0, 0, [0, -1], 0].tolist() == [official["rows"][0], official["rows"][1] - 1]
    assert cropped[0, 1, 0, [0, -1]].tolist() == [official["cols"][0], official["cols"][1] - 1]
    settings = PathSettings("w", "full")
    seen = view(torch.zeros(1, 3, resolution, resolution), settings)
    assert seen.shape[-1] == official["output"] == view_size(resolution, settings)


# -------------------------------------------------------------------------- perfect, known, degenerate, direction


def test_the_length_of_straight_lines_is_known():
    """d is the mean square of eps * (w1 - w0) @ paint, so d / eps^2 is known and does not depend on t."""
    generator = FakeGenerator(linear=True)
    ends = [sample_z(0, slice(0, 24), 8, stream=stream) for stream in ("ppl-z0", "ppl-z1")]
    expected = ((ends[1] - ends[0]) @ generator.paint).square().mean(dim=1).numpy()
    np.testing.assert_allclose(lengths(generator), expected, rtol=1e-3)
    end = PathSettings("w", "end", epsilon=1e-2, crop=False)
    np.testing.assert_allclose(lengths(generator, end), expected, rtol=1e-3)


def test_the_published_step_survives_float32():
    fine = lengths(settings=PathSettings("w", "full", crop=False))
    np.testing.assert_allclose(fine, lengths(), rtol=2e-2)


def test_the_arc_in_z_is_longer_than_its_chord_by_its_angle():
    """In Z the walk has the speed of the angle between the ends, on the unit sphere."""
    generator = FakeGenerator(linear=True, noise=0)
    generator.paint = torch.eye(8, 768)
    found = lengths(generator, PathSettings("z", "full", epsilon=1e-2, crop=False)) * 768
    a, b = (sample_z(0, slice(0, 24), 8, stream=stream) for stream in ("ppl-z0", "ppl-z1"))
    angles = torch.acos(torch.nn.functional.cosine_similarity(a, b))
    np.testing.assert_allclose(found, angles.square(), rtol=1e-3)


def test_images_that_never_change_have_length_zero():
    result = perceptual_path_length(FakeGenerator(scale=0.0), SquaredDistance(), W_FULL, network=NETWORK, num_samples=8)
    assert result.value == 0
    assert result.ci95 == (0, 0)
    assert result.details["histogram"] == {"edges": [], "counts": []}


def test_twice_the_contrast_is_four_times_the_length():
    np.testing.assert_allclose(lengths(FakeGenerator(scale=2.0)), 4 * lengths(FakeGenerator()), rtol=1e-2)


def test_full_walks_depend_on_t_and_end_walks_start_at_zero():
    curved = FakeGenerator(noise=0)
    full, end = (lengths(curved, PathSettings("z", kind, 1e-2, crop=False)) for kind in ("full", "end"))
    assert not np.allclose(full, end, rtol=0.05)


# --------------------------------------------------------------------------------------------------- by address


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("space", ["z", "w"])
def test_distances_do_not_depend_on_the_batch_size(foreign, space):
    generator = FakeGenerator(foreign=foreign)
    settings = PathSettings(space, "full", epsilon=1e-2, crop=False)
    whole = lengths(generator, settings, batch_size=24)
    np.testing.assert_allclose(lengths(generator, settings, batch_size=5), whole, rtol=2e-3)
    np.testing.assert_allclose(lengths(generator, settings, num_samples=10), whole[:10], rtol=2e-3)
    reseeded = PathSettings(space, "full", epsilon=1e-2, crop=False, seed=1)
    assert not np.allclose(lengths(generator, reseeded), whole, rtol=2e-3)


def test_both_images_of_a_pair_share_their_noise():
    noisy, quiet = (lengths(FakeGenerator(linear=True, noise=noise)) for noise in (5.0, 0.0))
    np.testing.assert_allclose(noisy, quiet, rtol=1e-2)


def test_both_images_of_a_pair_are_in_one_batch():
    generator = FakeGenerator()
    lengths(generator, num_samples=10, batch_size=4)
    assert generator.synthesis.batches == [8, 8, 4]


# ---------------------------------------------------------------------------------------------------- the result


def test_the_result_carries_its_protocol_and_details():
    settings = PathSettings("z", "end", seed=3)
    told = []
    result = perceptual_path_length(
        FakeGenerator(),
        SquaredDistance(),
        settings,
        network=NETWORK,
        num_samples=200,
        batch_size=100,
        progress=lambda done, total, note="": told.append(done),
    )
    distances = lengths(FakeGenerator(), settings, num_samples=200, batch_size=100)
    assert result.metric == "ppl_zend"
    assert (result.value, result.details["num_kept"]) == trimmed_mean(distances)
    assert result.ci95[0] < result.value < result.ci95[1]
    assert told == [100, 200]
    assert result.protocol["image_size"] == 8
    assert result.protocol["distance"] == {"name": "mse", "sha256": SquaredDistance.sha256}
    assert result.protocol["interpolation"] == "slerp"
    assert len(result.details["percentiles"]) == 101
    assert sum(result.details["histogram"]["counts"]) == 200
    assert len(result.details["histogram"]["edges"]) == len(result.details["histogram"]["counts"]) + 1


def test_replicates_equal_trimmed_means_of_resamples_drawn_one_by_one():
    distances = np.random.default_rng(0).lognormal(size=300).round(1).astype(np.float32)  # with ties
    fast = trimmed_mean_replicates(distances, 20, seed=4)
    draws = draw_counts(300, 20, seed=4, stream="path-length")
    slow = [trimmed_mean(np.repeat(np.sort(distances).astype(np.float64), counts))[0] for counts in draws]
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


# -------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": PathSettings("y", "full")}, "space is 'y'; it must be one of z, w"),
        ({"settings": PathSettings("w", "middle")}, "full, end"),
        ({"settings": PathSettings("w", "full", epsilon=0.0)}, "epsilon is 0.0"),
        ({"num_samples": 0}, "at least 1"),
        ({"generator": FakeGenerator(has_mapping=False)}, "no mapping network"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(UsageError, match=message):
        lengths(**options)


def test_images_too_small_for_the_distance_are_named_before_any_work():
    distance = SquaredDistance()
    distance.min_size = 16
    generator = FakeGenerator(resolution=16)
    with pytest.raises(UsageError, match=r"8 pixels wide after the face crop \(16 before\).* without the crop"):
        lengths(generator, PathSettings("w", "full"), distance=distance)
    assert generator.synthesis.batches == []
    assert lengths(generator, W_FULL, distance=distance).all()


def test_broken_distances_are_named():
    class Random(SquaredDistance):
        def __call__(self, a, b):
            return super().__call__(a, b) + 1

    class Half(SquaredDistance):
        def __call__(self, a, b):
            return super().__call__(a, b) * (1 if a is b else torch.tensor([1, float("nan")]).repeat(len(a) // 2))

    with pytest.raises(DataError, match="between equal images is 1 instead of 0"):
        lengths(distance=Random())
    with pytest.raises(DataError, match="distance of pair 1 is nan"):
        lengths(distance=Half())
    with pytest.raises(DataError, match="images or the distance's weights may hold NaN"):
        lengths(FakeGenerator(scale=float("nan")))
