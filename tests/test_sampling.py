import h5py
import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller, matrix

from latentlab.errors import DataError, OutputExistsError, UpsamplingWarning, UsageError
from latentlab.latents import sample_z
from latentlab.protocols import cuda_arithmetic, full_precision
from latentlab.sampling import sample
from latentlab.store import LatentStore, peek


def run(path, *, generator=None, labeller=None, num_samples=600, **options):
    return sample(
        generator or FakeGenerator(),
        path,
        network=NETWORK,
        labeller=labeller or FakeLabeller(),
        num_samples=num_samples,
        **options,
    )


def arrays(path):
    with LatentStore.open(path) as store:
        return {name: getattr(store, name) for name in ("z", "w", "logits")}


def test_rows_are_what_the_generator_and_the_labeller_say(tmp_path):
    found = arrays(run(tmp_path / "run.h5", seed=4, noise_mode="none"))
    generator = FakeGenerator(noise=0)
    z = sample_z(4, slice(0, 600), 8)
    w = generator.mapping(z)
    logits = FakeLabeller()(torch.nn.functional.avg_pool2d(generator.synthesis(w), 2))
    assert np.array_equal(found["z"], z.numpy())
    np.testing.assert_allclose(found["w"], w[:, -1], atol=1e-6)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)


@pytest.mark.parametrize("foreign", [False, True])
def test_rows_do_not_depend_on_the_batch_size_nor_on_how_many_there_are(tmp_path, foreign):
    generator = FakeGenerator(foreign=foreign)
    runs = [
        arrays(run(tmp_path / f"{size}-{count}.h5", generator=generator, batch_size=size, num_samples=count))
        for size, count in [(32, 90), (7, 90), (90, 90), (32, 41)]
    ]
    for other in runs[1:]:
        rows = len(other["z"])
        assert np.array_equal(other["z"], runs[0]["z"][:rows])
        np.testing.assert_allclose(other["w"], runs[0]["w"][:rows], atol=1e-5)
        np.testing.assert_allclose(other["logits"], runs[0]["logits"][:rows], atol=1e-5)


@pytest.mark.parametrize("foreign", [False, True])
def test_the_global_generator_neither_matters_nor_moves(tmp_path, foreign):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = arrays(run(tmp_path / "a.h5", generator=FakeGenerator(foreign=foreign), num_samples=20))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = arrays(run(tmp_path / "b.h5", generator=FakeGenerator(foreign=foreign), num_samples=20))
    other_seed = arrays(run(tmp_path / "c.h5", generator=FakeGenerator(foreign=foreign), num_samples=20, seed=1))
    assert np.array_equal(first["logits"], second["logits"])
    assert not np.array_equal(first["logits"], other_seed["logits"])


def test_a_stopped_run_continues_to_the_same_file_bit_by_bit(tmp_path):
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    run(whole, labeller=FakeLabeller())
    for calls in (12, 3, 9):
        labeller = FakeLabeller()
        labeller.stop_after = calls
        with pytest.raises(KeyboardInterrupt):
            run(parts, labeller=labeller)
    assert peek(parts)[1] == 512
    with h5py.File(parts, "r+") as file:
        file["logits"][300, 0] += 1  # as after a power cut
    told = []
    run(parts, progress=lambda done, total, note="": told.append(done))
    assert told[0] == 256 + 32
    assert whole.read_bytes() == parts.read_bytes()


def test_a_taken_output_is_left_alone(tmp_path):
    path = run(tmp_path / "run.h5", num_samples=20)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="complete already"):
        run(path, num_samples=20)
    with pytest.raises(UsageError, match=r"seed 1 instead of 0; truncation_psi 0.5 instead of 1.0"):
        run(path, num_samples=20, seed=1, truncation_psi=0.5)
    assert path.read_bytes() == before
    (tmp_path / "text.h5").write_text("no store")
    with pytest.raises(OutputExistsError, match="not an HDF5"):
        run(tmp_path / "text.h5")


def test_an_incomplete_store_of_other_settings_is_left_alone(tmp_path):
    labeller = FakeLabeller()
    labeller.stop_after = 10
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.h5", labeller=labeller)
    with pytest.raises(UsageError, match=r"was begun \(256 of 600 samples\).* datasets"):
        run(tmp_path / "run.h5", with_images=True)


def test_truncation_is_in_the_stored_w(tmp_path):
    path = sample(FakeGenerator(), tmp_path / "t.h5", network=NETWORK, labeller=None, num_samples=5, truncation_psi=0.0)
    with LatentStore.open(path) as store:
        assert np.allclose(store.w, 0.25)
        assert not store.has("logits")
        assert store.settings.classifiers is None


def test_without_a_labeller_nothing_is_synthesised_and_images_can_be_kept(tmp_path):
    generator = FakeGenerator()
    sample(generator, tmp_path / "a.h5", network=NETWORK, labeller=None, num_samples=5)
    assert generator.synthesis.batches == []
    sample(generator, tmp_path / "b.h5", network=NETWORK, labeller=None, num_samples=5, with_images=True)
    with LatentStore.open(tmp_path / "b.h5", needs=["images"]) as store:
        assert store.images.shape == (5, 16, 16, 3)
        assert store.images.dtype == np.uint8


def test_images_that_are_too_small_are_enlarged_with_a_warning(tmp_path):
    with pytest.warns(UpsamplingWarning, match="4x4 pixels are enlarged to 8x8, which the classifiers take"):
        run(tmp_path / "run.h5", generator=FakeGenerator(resolution=4))
    with LatentStore.open(tmp_path / "run.h5", needs=["logits"]) as store:
        assert np.isfinite(store.logits).all()


def test_a_labeller_may_take_images_of_any_size(tmp_path):
    class AnySize(FakeLabeller):
        resolution = None

        def __call__(self, images):
            assert images.shape[1:] == (3, 16, 16)
            return images[:, :3, 0, 0]

    run(tmp_path / "run.h5", labeller=AnySize())


def test_wrong_arguments_and_broken_networks_are_named(tmp_path):
    with pytest.raises(UsageError, match="num_samples is 0"):
        run(tmp_path / "run.h5", num_samples=0)
    with pytest.raises(UsageError, match="noise_mode is 'some'"):
        run(tmp_path / "run.h5", noise_mode="some")
    broken = FakeGenerator()
    broken.paint = matrix("paint", 8, 768) * float("nan")
    with pytest.raises(DataError, match="logits that are not finite"):
        run(tmp_path / "run.h5", generator=broken)
    wrong = FakeGenerator()
    wrong.img_channels, wrong.paint = 3, matrix("paint", 8, 3 * 32 * 32)
    wrong.synthesis = lambda ws, **_: (ws[:, -1] @ wrong.paint).reshape(-1, 3, 32, 32)
    with pytest.raises(UsageError, match="correct these attributes"):
        run(tmp_path / "other.h5", generator=wrong)


def _settings():
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic


def test_full_precision_puts_the_settings_back():
    before = _settings()
    with full_precision():
        assert _settings() == ("highest", False, *before[2:])
    assert _settings() == before


def test_tf32_leaves_cudnn_on():
    before = _settings()
    with cuda_arithmetic(tf32=True, benchmark=True):
        assert _settings() == ("high", True, before[2], True, before[4])
    assert _settings() == before
    assert torch.backends.cudnn.enabled
