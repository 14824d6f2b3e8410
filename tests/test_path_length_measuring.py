"""Several settings in one pass, intervals that end a measurement, processes, the file of pairs."""

import h5py
import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, SquaredDistance

from latentlab.distributed import Team
from latentlab.errors import LatentLabWarning, OutputExistsError, UsageError
from latentlab.metrics.path_length import (
    Pairs,
    PathSettings,
    measuring,
    path_lengths,
    perceptual_path_length,
    perceptual_path_lengths,
    trimmed_mean,
    trimmed_mean_replicates,
)
from latentlab.metrics.path_length.trimming import half_width

FOUR = [PathSettings(space, sampling, epsilon=1e-2, crop=False) for space in "zw" for sampling in ("full", "end")]


def measured(many=FOUR, generator=None, **how):
    how = {"num_samples": 200, "bootstrap": 50} | how
    return perceptual_path_lengths(generator or FakeGenerator(), SquaredDistance(), many, network=NETWORK, **how)


class Speedy(SquaredDistance):
    def speed(self, images, directions, *, precision):
        return directions.square().mean(dim=(1, 2, 3))


class SafeDistance(SquaredDistance):
    thread_safe = True


class ThreadSafe(FakeGenerator):
    """Takes its noise, so that several threads may call it."""

    thread_safe = True


# ------------------------------------------------------------------------------------------------- in one pass


def test_settings_measured_together_give_what_they_give_alone():
    together = measured()
    assert [result.metric for result in together] == ["ppl_zfull", "ppl_zend", "ppl_wfull", "ppl_wend"]
    for settings, result in zip(FOUR, together, strict=True):
        alone = perceptual_path_length(
            FakeGenerator(), SquaredDistance(), settings, network=NETWORK, num_samples=200, bootstrap=50
        )
        assert (alone.value, alone.ci95, alone.protocol) == (result.value, result.ci95, result.protocol)


def test_settings_of_unlike_seeds_are_not_measured_together():
    with pytest.raises(UsageError, match="must agree in their seed"):
        measured([FOUR[0], PathSettings("w", "full", seed=1)])


def test_both_ends_are_taken_as_often():
    ends = PathSettings("z", "ends", epsilon=1e-2, crop=False)
    found = path_lengths(FakeGenerator(noise=0), SquaredDistance(), ends, num_samples=400)
    at_start = path_lengths(FakeGenerator(noise=0), SquaredDistance(), FOUR[1], num_samples=400)
    same = np.isclose(found, at_start, rtol=1e-4)
    assert 0.4 < same.mean() < 0.6


def test_the_tangent_is_the_limit_of_small_steps():
    generator = FakeGenerator(noise=0)
    for settings in FOUR[:2]:
        tangent = PathSettings(settings.space, settings.sampling, crop=False, method="tangent")
        limit = path_lengths(generator, Speedy(), tangent, num_samples=50)
        steps = [
            path_lengths(
                generator, Speedy(), PathSettings(settings.space, settings.sampling, e, crop=False), num_samples=50
            )
            for e in (2e-2, 1e-2)
        ]
        errors = [np.abs(step / limit - 1).mean() for step in steps]
        assert errors[1] < 0.6 * errors[0] < 0.1


def test_a_foreign_generator_keeps_its_noise_in_the_tangent():
    tangent = PathSettings("w", "full", crop=False, method="tangent")
    noisy, quiet = (
        path_lengths(FakeGenerator(foreign=foreign, noise=0, linear=True), Speedy(), tangent, num_samples=20)
        for foreign in (True, False)
    )
    np.testing.assert_allclose(noisy, quiet, rtol=1e-3)


def test_processes_share_the_pairs():
    """Each fills in its own batches; the sum over processes is what one process finds."""
    whole = Pairs(FakeGenerator(), SquaredDistance(), FOUR, batch_size=16).lengths(slice(0, 100))
    parts = []
    for rank in range(3):
        team = Team(rank, 3)
        object.__setattr__(team, "add", lambda tensors: None)
        parts.append(Pairs(FakeGenerator(), SquaredDistance(), FOUR, batch_size=16, team=team).lengths(slice(0, 100)))
    assert all((part == 0).any() for part in parts)
    np.testing.assert_array_equal(sum(parts), whole)


# ------------------------------------------------------------------------------------------------ until it is known


def test_a_measurement_ends_when_its_interval_is_narrow_enough():
    (result,) = measured([FOUR[2]], num_samples=50_000, until_ci=0.03, batch_size=64, bootstrap=400)
    low, high = result.ci95
    assert 1000 <= result.num_samples < 20_000
    assert result.num_samples % 64 == 0
    assert 0.02 < (high - low) / 2 / result.value < 0.035
    assert (result.details["until_ci"], result.details["until_ci_met"]) == (0.03, True)
    (fixed,) = measured([FOUR[2]], num_samples=result.num_samples, batch_size=64, bootstrap=400)
    assert fixed.value == result.value


def test_the_limit_of_pairs_ends_a_measurement_too():
    (result,) = measured([FOUR[2]], num_samples=1500, until_ci=0.0001)
    assert (result.num_samples, result.details["until_ci_met"]) == (1500, False)
    assert measured([FOUR[2]], num_samples=100, until_ci=0.5)[0].details["until_ci_met"] is False


def test_the_large_sample_interval_is_the_bootstraps():
    distances = np.random.default_rng(0).lognormal(sigma=1.2, size=20_000)
    replicates = trimmed_mean_replicates(distances, 400, seed=0)
    assert half_width(distances) == pytest.approx(1.96 * replicates.std(), rel=0.12)


def test_intervals_that_end_measurements_hold_the_truth_as_often_as_they_say():
    """Looking again and again does not make them lie: of 400 measurements, 95 % hold the true value."""
    rng = np.random.default_rng(1)
    truth, _ = trimmed_mean(rng.lognormal(size=2_000_000))
    hits, count = 0, 400
    for _ in range(count):
        values = rng.lognormal(size=40_000)
        taken = 1000
        while half_width(values[:taken]) > 0.03 * trimmed_mean(values[:taken])[0]:
            taken = int(taken * 1.1)
        value, width = trimmed_mean(values[:taken])[0], half_width(values[:taken])
        hits += value - width <= truth <= value + width
    assert 0.915 < hits / count < 0.98


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"until_ci": 1.5}, "until_ci is 1.5; it must be a share"),
        ({"num_samples": 1}, "at least 2 pairs"),
        ({"many": [PathSettings("z", "full", method="tangent")]}, "has no method speed"),
        ({"many": [PathSettings("z", "full", precision="tf32")]}, "precision tf32 destroys the difference"),
        ({"many": [PathSettings("z", "full", precision="tf32", method="tangent")]}, "precision tf32 is of GPUs"),
        ({"many": [PathSettings("z", "full", method="tangent", quantize=True)]}, "have no tangent"),
        ({"many": [PathSettings("w", "full", interpolation="slerp")]}, "W is walked by lerp"),
        ({"many": [PathSettings("z", "full", protocol="mine")]}, "protocol is 'mine'; it must be one of stylegan"),
        ({"many": [PathSettings("z", "full", upsample=0)]}, "upsample is 0"),
    ],
)
def test_wrong_arguments_are_named(how, message):
    with pytest.raises(UsageError, match=message):
        measured(**how)


# ------------------------------------------------------------------------------------------------------ the pairs


def test_pairs_are_kept_with_the_images_of_the_largest(tmp_path):
    results = measured(keep=tmp_path / "pairs.h5")
    with h5py.File(tmp_path / "pairs.h5") as file:
        assert list(file) == sorted(result.metric for result in results)
        group = file["ppl_wfull"]
        lengths, largest = group["lengths"][:], group["largest"][:]
        assert group["images"].shape == (8, 5, 16, 16, 3)
        assert group.attrs["value"] == results[2].value
    assert trimmed_mean(lengths)[0] == results[2].value
    np.testing.assert_array_equal(lengths[largest], np.sort(lengths)[::-1][:8])
    pairs = Pairs(FakeGenerator(), SquaredDistance(), FOUR)
    middle = pairs.around(FOUR[2], int(largest[0]), [0.0, 1e-2])
    assert float((middle[0] - middle[1]).square().mean()) / 1e-4 == pytest.approx(lengths[largest[0]], rel=1e-2)
    with pytest.raises(OutputExistsError):
        measured(keep=tmp_path / "pairs.h5")


def test_smaller_images_can_be_enlarged_for_the_distance():
    distance = SquaredDistance()
    distance.min_size = 32
    with pytest.raises(UsageError, match="upsample to 32 pixels or more"):
        path_lengths(FakeGenerator(), distance, FOUR[2], num_samples=2)
    settings = PathSettings("w", "full", epsilon=1e-2, crop=False, upsample=32)
    assert (path_lengths(FakeGenerator(), distance, settings, num_samples=2) > 0).all()
    (result,) = measured([settings])
    assert (result.protocol["upsample"], result.protocol["image_size"]) == (32, 32)


def test_rounding_to_8_bits_swamps_the_published_step():
    generator = FakeGenerator(noise=0)
    exact, rounded = (
        path_lengths(
            generator, SquaredDistance(), PathSettings("w", "full", crop=False, quantize=q), num_samples=40
        ).mean()
        for q in (False, True)
    )
    assert rounded > 5 * exact


@pytest.mark.parametrize(("mode", "given"), [("random", True), ("const", False), ("none", False)])
def test_noise_can_be_constant_or_left_out(mode, given):
    calls = []

    class Telling:
        noise_shapes = ((16, 16),)

        def __call__(self, ws, noise_mode="random", noise=None):
            calls.append((noise_mode, noise is not None))
            return (ws[:, 0] @ generator.paint).reshape(-1, 3, 16, 16)

    generator = FakeGenerator()
    generator.synthesis = Telling()
    settings = PathSettings("w", "full", crop=False, noise_mode=mode)
    path_lengths(generator, SquaredDistance(), settings, num_samples=2)
    assert calls == [(mode, given)]


def test_a_file_of_pairs_that_cannot_be_written_costs_no_numbers(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(measuring, "save_pairs", full)
    with pytest.warns(LatentLabWarning, match="could not be written .*No space left"):
        results = measured(keep=tmp_path / "pairs.h5")
    assert len(results) == 4


def test_a_distance_that_gives_no_number_for_each_pair_is_named():
    class Whole(Speedy):
        def speed(self, images, directions, *, precision):
            return directions.square().mean()

    tangent = PathSettings("w", "full", crop=False, method="tangent")
    with pytest.raises(UsageError, match=r"gave the shape \[\] for 4 pairs; it must be \[4\]"):
        path_lengths(FakeGenerator(), Whole(), tangent, num_samples=4)


def test_threads_leave_the_precision_of_the_process_as_it_was():
    before, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        torch.set_float32_matmul_precision("medium")
        path_lengths(ThreadSafe(), SafeDistance(), FOUR[2], num_samples=200)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_num_threads(threads)
