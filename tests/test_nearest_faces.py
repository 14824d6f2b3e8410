"""The embedded faces nearest to images: found for faces that are drawn, and as the labels of a store."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tiny_store import EVERYTHING, SETTINGS, write
from typer.testing import CliRunner

from latentlab import relabelling
from latentlab.cli import app
from latentlab.data import nearest_start
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.embedded import Selection
from latentlab.data.face_factors import FACTOR_NAMES
from latentlab.data.face_rules import face_labels
from latentlab.data.faces import RESOLUTIONS, draw_faces, render_faces
from latentlab.data.nearest_faces import nearest_faces, search_sha256
from latentlab.data.nearest_start import fit_start
from latentlab.errors import DataError, OutputExistsError, StoreError, UsageError
from latentlab.relabelling import label_nearest_faces
from latentlab.store import LatentStore, StoreSettings
from latentlab.store.writing import new_store

HELD_OUT = 9
ROUNDED = 2 / 255
"""One 8-bit level, of pixels in [-1, 1]."""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A regression for images of 16 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fit_start(16, faces=Selection(count=1500))


def store_of(path, images):
    settings = StoreSettings(
        num_samples=len(images),
        seed=0,
        network={"name": "net", "sha256": "a" * 64},
        classifiers=None,
        attributes=(),
        truncation_psi=1.0,
        noise_mode="none",
        datasets=("z", "images"),
    )
    with new_store(path, settings, {"z": 2, "images": images.shape[1:]}, chunk_rows=16) as writer:
        for chunk in range(writer.num_chunks):
            rows = writer.rows(chunk)
            z = np.random.default_rng(chunk).normal(size=(rows.stop - rows.start, 2))
            writer.write_chunk(chunk, {"z": z.astype(np.float32), "images": images[rows]})
    return path


@pytest.fixture(scope="module")
def found(start):
    faces = render_faces(HELD_OUT, slice(0, 48), 16)
    return faces, nearest_faces(faces.images, start)


def test_drawn_faces_are_found(found):
    faces, nearest = found
    assert np.mean((nearest.log_odds > 0) == (faces.labels > 0)) > 0.97
    assert np.median(nearest.distances) < 3 * ROUNDED
    for name in ("yaw", "shift", "hair_value", "background_value", "clothes_value"):
        column = FACTOR_NAMES.index(name)
        assert np.corrcoef(faces.factors[:, column], nearest.factors[:, column])[0, 1] > 0.95, name


def test_labels_distances_and_factors_speak_of_one_face(found):
    faces, nearest = found
    np.testing.assert_array_equal(nearest.log_odds > 0, face_labels(nearest.factors) > 0)
    drawn = draw_faces(nearest.factors, 16).astype(np.float32)
    distances = np.sqrt(np.square((drawn - faces.images) / 127.5).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(nearest.distances, distances, rtol=1e-3)
    assert nearest.factors.dtype == nearest.log_odds.dtype == nearest.distances.dtype == np.float32
    assert np.isfinite(nearest.log_odds).all()


def test_what_fits_less_is_less_sure(start, found):
    faces, nearest = found
    noise = np.random.default_rng(0).normal(size=faces.images.shape) * 25
    noisy = nearest_faces(np.clip(faces.images + noise, 0, 255).astype(np.uint8), start)
    assert np.median(noisy.distances) > 5 * np.median(nearest.distances)
    assert np.median(np.abs(noisy.log_odds)) < 0.5 * np.median(np.abs(nearest.log_odds))


def test_an_image_is_found_whatever_is_beside_it(start, found):
    faces, nearest = found
    alone = nearest_faces(faces.images[5:8], start)
    np.testing.assert_array_equal(alone.factors, nearest.factors[5:8])
    np.testing.assert_array_equal(alone.log_odds, nearest.log_odds[5:8])


def test_larger_images_are_box_filtered(start):
    faces = render_faces(HELD_OUT, slice(0, 16), 32)
    nearest = nearest_faces(faces.images, start)
    boxes = faces.images.reshape(16, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    same = nearest_faces(np.rint(boxes).astype(np.uint8), start)
    assert np.mean((nearest.log_odds > 0) == (same.log_odds > 0)) > 0.97


@pytest.mark.parametrize("shape", [(2, 16, 16, 1), (2, 16, 32, 3), (2, 24, 24, 3), (2, 8, 8, 3), (16, 16, 3)])
def test_images_of_other_shapes_are_refused(start, shape):
    with pytest.raises(UsageError, match=r"RGB images \[N, 16, 16, 3\]"):
        nearest_faces(np.zeros(shape, np.uint8), start)


def same_start(one, other):
    return (one.faces, one.fingerprint, one.resolution) == (other.faces, other.fingerprint, other.resolution) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("mean", "weights", "centre", "low", "high")
    )


def test_the_regression_is_fitted_once_and_again_where_the_cache_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTLAB_CACHE", str(tmp_path))
    fits, fit = [], nearest_start._fit
    monkeypatch.setattr(nearest_start, "_fit", lambda *given: fits.append(given[:2]) or fit(*given))
    few = Selection(count=60)
    first, again = (fit_start(16, faces=few) for _ in range(2))
    assert fits == [(few, 16)]
    assert same_start(first, again)
    (kept,) = tmp_path.glob("nearest-start-*.npz")
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-20], whole[:3000] + b"?" + whole[3001:]):
        kept.write_bytes(damaged)
        assert same_start(first, fit_start(16, faces=few))
        assert kept.read_bytes() == whole
    assert len(fits) == 4
    for size, faces in ((16, Selection(count=61)), (16, Selection(count=60, seed=1)), (32, few)):
        fit_start(size, faces=faces)
        assert fits[-1] == (faces, size)
    monkeypatch.setattr(nearest_start, "RIDGE", 1.0)
    other = fit_start(16, faces=few)
    assert (len(fits), same_start(first, other)) == (8, False)


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTLAB_CACHE", str(tmp_path))

    def full(path, **how):
        raise OSError("full")

    first = fit_start(16, faces=Selection(count=60))
    next(tmp_path.glob("nearest-start-*.npz")).unlink()
    monkeypatch.setattr(nearest_start, "atomic_file", full)
    assert same_start(first, fit_start(16, faces=Selection(count=60)))
    assert not list(tmp_path.glob("nearest-start-*"))


def test_progress_is_told_after_every_few_images(start, found):
    told = []
    nearest_faces(found[0].images, start, lambda done, total, note="": told.append((done, total)))
    assert told == [(32, 48), (48, 48)]


@pytest.mark.parametrize("size", [8, 24, 512])
def test_sizes_that_are_not_drawn_are_refused(size):
    assert size not in RESOLUTIONS
    with pytest.raises(UsageError, match=f"{size}x{size} pixels: embedded faces are drawn at 16, 32"):
        fit_start(size)


def test_a_store_gets_attributes_and_factors(tmp_path, start, found):
    faces, nearest = found
    run = store_of(tmp_path / "run.h5", faces.images)
    before = run.read_bytes()
    told = []
    out, same = label_nearest_faces(
        run,
        factors_out=tmp_path / "factors.npz",
        start=start,
        progress=lambda done, total, note="": told.append((done, total)),
    )
    assert told[:4] == [(0, 48), (16, 48), (32, 48), (48, 48)]  # of chunks of 16 rows
    assert (out, run.read_bytes()) == (tmp_path / "run-nearest-faces.h5", before)
    with LatentStore.open(out) as store, LatentStore.open(run) as old:
        np.testing.assert_array_equal(store.logits, same.log_odds)
        np.testing.assert_array_equal(store.z, old.z)
        assert store.settings.attributes == CELEBA_ATTRIBUTES
        assert store.settings.classifiers == {"name": "nearest-faces", "sha256": search_sha256(start)}
        assert (store.settings.resize, len(store.settings.sources)) == ("none", 1)
    np.testing.assert_array_equal(same.factors, nearest.factors)
    with np.load(tmp_path / "factors.npz") as file:
        assert tuple(file["names"]) == FACTOR_NAMES
        np.testing.assert_array_equal(file["values"], same.factors)
        np.testing.assert_array_equal(file["distances"], same.distances)
        told = json.loads(str(file["provenance"]))
    assert told["made_by"]["sha256"] == search_sha256(start)
    assert told["images"]["network"]["name"] == "net"


def test_the_hash_tells_settings_apart(start):
    assert search_sha256(start) == search_sha256(replace(start))
    others = [replace(start, fingerprint="other"), replace(start, resolution=32), replace(start, faces=Selection(1))]
    assert len({search_sha256(one) for one in (start, *others)}) == 4


def test_what_exists_is_left_alone(tmp_path, start, found):
    run = store_of(tmp_path / "run.h5", found[0].images[:4])
    for name in ("run-nearest-faces.h5", "factors.npz"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExistsError, match=name):
            label_nearest_faces(run, factors_out=tmp_path / "factors.npz", start=start)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    with pytest.raises(UsageError, match="name two files"):
        label_nearest_faces(run, tmp_path / "one.h5", factors_out=tmp_path / "one.h5", start=start)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["run.h5"]


def test_stores_without_images_of_faces_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"lacks images \(sample with --images to get images\); it holds z, w, logits"):
        label_nearest_faces(write(tmp_path / "bare.h5", SETTINGS))
    with pytest.raises(UsageError, match="8x8 pixels"):
        label_nearest_faces(write(tmp_path / "tiny.h5", EVERYTHING))
    for name, shape in (("gray.h5", (4, 16, 16, 1)), ("wide.h5", (4, 16, 32, 3))):
        run = store_of(tmp_path / name, np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match=f"{shape[2]}x16 pixels and {shape[3]} channels"):
            label_nearest_faces(run)


def test_the_command(tmp_path, monkeypatch, start, found):
    run = store_of(tmp_path / "run.h5", found[0].images[:20])
    monkeypatch.setattr(relabelling, "fit_start", lambda size, progress: start)
    invoke = partial(CliRunner().invoke, app, env={"COLUMNS": "120"})
    shown = invoke(["label", str(run), "--nearest-faces", "--factors-out", str(tmp_path / "factors.npz")])
    assert shown.exit_code == 0, shown.output
    assert "20 samples with attributes of their nearest embedded faces" in shown.output
    assert re.search(r"median [012]\.\d, 90 % between", shown.output)
    assert (tmp_path / "factors.npz").exists()
    for options, message in (
        (["--factors-out", "f.npz", "--scores", "s.csv"], "--factors-out belongs to --nearest-faces"),
        (["--nearest-faces", "--classifiers", "c"], "give either --scores FILE or --classifiers NAME or"),
        (["--nearest-faces", "--name", "n"], "belong to --scores"),
    ):
        failed = invoke(["label", str(run), *options])
        assert (failed.exit_code, message in failed.stderr) == (2, True), failed.output
