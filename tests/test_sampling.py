import json
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller, matrix
from processes import finish, start

from latentlab.errors import DataError, OutputExistsError, StoreError, UpsamplingWarning, UsageError
from latentlab.latents import sample_z
from latentlab.protocols import cuda_arithmetic, full_precision
from latentlab.relabelling import label_images
from latentlab.sampling import sample, shard_rows
from latentlab.store import LatentStore, peek
from latentlab.store.merging import merge_stores


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
@pytest.mark.parametrize("threads", [1, 3])
def test_the_file_is_the_same_for_any_batch_size_and_number_of_threads(tmp_path, foreign, threads):
    generator = FakeGenerator(foreign=foreign)
    torch.set_num_threads(threads)
    found = [
        run(tmp_path / f"{size}.h5", generator=generator, batch_size=size, num_samples=400, with_images=True)
        for size in (7, 64, 1000)
    ]
    torch.set_num_threads(1)
    alone = run(tmp_path / "alone.h5", generator=generator, num_samples=400, with_images=True)
    assert {path.read_bytes() for path in found} == {alone.read_bytes()}


@pytest.mark.parametrize("foreign", [False, True])
def test_a_row_does_not_depend_on_how_many_there_are(tmp_path, foreign):
    generator = FakeGenerator(foreign=foreign)
    many, few = (
        arrays(run(tmp_path / f"{n}.h5", generator=generator, num_samples=n, noise_mode="random")) for n in (500, 41)
    )
    for name in few:
        assert np.array_equal(few[name], many[name][:41])


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
    for calls in (2, 5, 1):
        labeller = FakeLabeller()
        labeller.stop_after = calls
        with pytest.raises(KeyboardInterrupt):
            run(parts, labeller=labeller)
    assert peek(parts)[1] == 256
    with h5py.File(parts, "r+") as file:
        file["logits"][100, 0] += 1  # as after a power cut
    told = []
    run(parts, progress=lambda done, total, note="": told.append(done))
    assert told[0] == 64
    assert told[-1] == 600
    assert whole.read_bytes() == parts.read_bytes()


def test_a_taken_output_is_left_alone(tmp_path):
    path = run(tmp_path / "run.h5", num_samples=20)
    before = path.read_bytes()
    assert run(path, num_samples=20) == path  # nothing is left to do
    with pytest.raises(UsageError, match=r"seed 1 instead of 0; truncation_psi 0.5 instead of 1.0"):
        run(path, num_samples=20, seed=1, truncation_psi=0.5)
    assert path.read_bytes() == before
    (tmp_path / "text.h5").write_text("no store")
    with pytest.raises(OutputExistsError, match="not an HDF5"):
        run(tmp_path / "text.h5")
    with pytest.raises(OutputExistsError, match="is a folder"):
        run(tmp_path)


def test_an_incomplete_store_of_other_settings_is_left_alone(tmp_path):
    labeller = FakeLabeller()
    labeller.stop_after = 6
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
    with pytest.raises(UsageError, match="seed is 1000000"):
        run(tmp_path / "run.h5", seed=10**24)
    for psi in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="truncation psi"):
            run(tmp_path / "run.h5", truncation_psi=psi)
    assert not (tmp_path / "run.h5").exists()

    class Rare(FakeLabeller):
        def __call__(self, images):
            logits = super().__call__(images)
            logits[5] = float("nan") if self.calls == 2 else logits[5]
            return logits

    with pytest.raises(DataError, match="logits that are not finite, first in sample 69"):
        run(tmp_path / "run.h5", labeller=Rare())
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


def test_all_layers_of_w_and_features_are_kept_when_asked_for(tmp_path):
    class Means:
        name, sha256, distance_name = "means", "e" * 64, "fd_means"

        def __call__(self, images):
            return images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32)

    path = run(tmp_path / "run.h5", num_samples=70, with_all_layers=True, with_images=True, features=Means())
    with LatentStore.open(path, needs=["ws", "features", "images"]) as store:
        assert store.ws.shape == (70, 3, 8)
        assert np.array_equal(store.ws[:, -1], store.w)
        np.testing.assert_allclose(store.features, store.images[:].reshape(70, -1, 3).mean(axis=1), rtol=1e-6)
        assert store.settings.features == {"name": "means", "sha256": "e" * 64}


def test_images_in_the_store_are_those_that_were_labelled(tmp_path):
    path = run(tmp_path / "run.h5", num_samples=70, with_images=True)
    with LatentStore.open(path) as store:
        images = torch.from_numpy(store.images[:]).permute(0, 3, 1, 2).float() / 127.5 - 1
        labels = FakeLabeller()(torch.nn.functional.avg_pool2d(images, 2))
        assert (labels - torch.from_numpy(store.logits)).abs().median() < 1.0  # clipped and rounded


def test_images_of_a_store_are_labelled_again(tmp_path):
    class Other(FakeLabeller):
        name, attributes = "other", ("only",)

        def __call__(self, images):
            return super().__call__(images)[:, 1:2]

    path = run(tmp_path / "run.h5", num_samples=300, with_images=True, labeller=FakeLabeller())
    before = path.read_bytes()
    out = label_images(path, Other())
    assert out == tmp_path / "run-other.h5"
    with LatentStore.open(path) as old, LatentStore.open(out) as new:
        assert new.settings.attributes == ("only",)
        assert (new.settings.classifiers["name"], new.settings.resize) == ("other", "box 16 -> 8")
        assert new.settings.sources[0]["classifiers"]["name"] == "fake-classifiers"
        assert np.abs(new.logits[:, 0] - old.logits[:, 1]).mean() < 1.0
        assert np.array_equal(new.z, old.z)
        assert np.array_equal(new.images[:], old.images[:])
    assert path.read_bytes() == before
    with pytest.raises(OutputExistsError):
        label_images(path, Other())
    with pytest.raises(StoreError, match="lacks images"):
        label_images(run(tmp_path / "bare.h5", num_samples=10), Other())


def test_shards_joined_are_the_file_of_one_run(tmp_path):
    whole = run(tmp_path / "whole.h5", num_samples=1000, with_images=True)
    shards = [run(tmp_path / f"{k}.h5", num_samples=1000, with_images=True, shard=(k, 3)) for k in (3, 1, 2)]
    assert peek(shards[0])[0].first_row == 512
    merge_stores(shards, tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == whole.read_bytes()


def test_impossible_shards_are_refused():
    assert shard_rows(1000, (1, 1)) == slice(0, 1000)
    assert [shard_rows(1000, (k, 4)) for k in (1, 4)] == [slice(0, 256), slice(768, 1000)]
    for shard in ((0, 2), (3, 2)):
        with pytest.raises(UsageError, match="must be at least 1 and at most the second"):
            shard_rows(1000, shard)
    with pytest.raises(UsageError, match="4 chunks of 256: at most 4 shards, not 5"):
        shard_rows(1000, (1, 5))


def test_small_images_are_enlarged_with_a_note_in_the_provenance(tmp_path):
    with pytest.warns(UpsamplingWarning, match="4x4 pixels are enlarged to 8x8"):
        path = run(tmp_path / "run.h5", generator=FakeGenerator(resolution=4), num_samples=10)
    with LatentStore.open(path) as store:
        assert store.settings.resize == "bilinear 4 -> 8, upsampled"


def test_a_labeller_that_threads_may_not_share_is_called_by_one_at_a_time(tmp_path):
    class Alone(FakeLabeller):
        inside = 0

        def __call__(self, images):
            self.inside += 1
            time.sleep(0.002)
            assert self.inside == 1
            self.inside -= 1
            return super().__call__(images)

    torch.set_num_threads(3)
    run(tmp_path / "run.h5", labeller=Alone(), num_samples=1000)


@pytest.mark.parametrize("claims", [False, True])
def test_a_generator_that_keeps_state_is_called_by_one_thread(tmp_path, claims):
    """Unless it says that threads may share it, whether or not that is true."""

    class Stateful(FakeGenerator):
        thread_safe = claims
        inside = most = 0

        def mapping(self, z):
            self.inside += 1
            time.sleep(0.002)
            self.most = max(self.most, self.inside)
            self.inside -= 1
            return super().mapping(z)

    generator = Stateful()
    torch.set_num_threads(3)
    run(tmp_path / "run.h5", generator=generator, num_samples=1000)
    assert (generator.most > 1) is claims


def test_images_that_are_not_finite_are_found_without_a_labeller(tmp_path):
    broken = FakeGenerator()
    broken.paint = matrix("paint", 8, 768) * float("nan")
    with pytest.raises(DataError, match="images that are not finite"):
        sample(broken, tmp_path / "a.h5", network=NETWORK, labeller=None, num_samples=5, with_images=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_killed_at_random_moments_and_in_the_middle_of_writing_it_loses_nothing(tmp_path):
    """24 kills with -9, two of three in the middle of a write; see killed_sampling.py."""
    said = finish(start(Path(__file__).with_name("killed_sampling.py"), tmp_path), seconds=300)
    counts = json.loads(said)
    assert counts["kills"] >= 20
    assert counts["kills in a write"] >= 10
    assert counts["kept chunks at the end"] > counts["kept chunks at the start"]
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_three_processes_write_the_file_of_one(tmp_path):
    script = Path(__file__).with_name("tiny_sampling.py")
    for processes in (1, 3):
        finish(start(script, tmp_path / f"{processes}.h5", processes=processes))
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()
    assert peek(tmp_path / "3.h5")[1:] == (1100, True)


@pytest.mark.parametrize(("resolution", "rows"), [(8, 256), (128, 256), (256, 128), (1024, 32)])
def test_a_kill_costs_fewer_rows_where_images_are_large(tmp_path, resolution, rows):
    generator = FakeGenerator()
    generator.img_resolution = resolution
    out = sample(generator, tmp_path / "run.h5", network=NETWORK, labeller=None, num_samples=300)
    with LatentStore.open(out) as store:
        assert store.chunk_rows == rows
