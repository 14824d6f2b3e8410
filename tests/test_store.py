import resource
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from latentlab.errors import StoreError
from latentlab.store import LatentStore, StoreSettings, create_store, peek, resume_store, writer_lock

SETTINGS = StoreSettings(
    num_samples=10,
    seed=3,
    network={"name": "net", "sha256": "a" * 64},
    classifiers={"name": "classifiers", "sha256": "b" * 64},
    attributes=("Male", "Smiling"),
    truncation_psi=1.0,
    noise_mode="random",
)
WIDTHS = {"z": 4, "w": 3, "logits": 2}
ROWS = {name: np.arange(10 * width, dtype=np.float32).reshape(10, width) for name, width in WIDTHS.items()}


def write(path, *, chunks=3):
    """A store of chunks of four rows; three chunks are all."""
    create_store(path, SETTINGS, WIDTHS, chunk_rows=4)
    with resume_store(path) as writer:
        for start in range(0, 4 * chunks, 4):
            writer.write_chunk({name: rows[start : start + 4] for name, rows in ROWS.items()})
        if writer.rows_done == 10:
            writer.finish()
    return path


def foreign(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def test_what_was_written_is_read(tmp_path):
    with LatentStore.open(write(tmp_path / "run.h5"), needs=["z", "w", "logits"]) as store:
        assert len(store) == 10
        assert store.settings == SETTINGS
        assert all(np.array_equal(getattr(store, name), ROWS[name]) for name in WIDTHS)
        assert not store.has("images")
        with pytest.raises(StoreError, match="lacks images"):
            _ = store.images


def test_root_attributes_follow_the_specification(tmp_path):
    with h5py.File(write(tmp_path / "run.h5")) as file:
        assert file.attrs["schema_version"] == 1
        assert list(file.attrs["attributes"]) == ["Male", "Smiling"]
        assert file.attrs["network"] == '{"name": "net", "sha256": "' + "a" * 64 + '"}'
        assert file.attrs["complete"]
        assert file.attrs["num_samples"] == 10
        assert {"classifiers", "seed", "truncation_psi", "noise_mode", "latentlab_version"} <= set(file.attrs)
        assert file["z"].chunks is None


def test_an_incomplete_store_says_how_far_it_is(tmp_path):
    path = write(tmp_path / "run.h5", chunks=2)
    with pytest.raises(StoreError, match=r"incomplete: 8 of 10 .* again"):
        LatentStore.open(path)
    assert peek(path) == (SETTINGS, 8, False)


def test_resuming_starts_at_the_first_damaged_chunk(tmp_path):
    path = write(tmp_path / "run.h5", chunks=2)
    with h5py.File(path, "r+") as file:
        file["w"][5, 1] += 1
    with resume_store(path) as writer:
        assert writer.rows_done == 4


def test_damage_to_a_complete_store_is_found(tmp_path):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file["w"][9, 1] += 1
    with LatentStore.open(path) as store:
        assert store.z.any()
        with pytest.raises(StoreError, match="rows 8 to 9 of w are damaged"):
            _ = store.w


def test_a_store_can_be_read_while_it_grows(tmp_path):
    path = tmp_path / "run.h5"
    create_store(path, SETTINGS, WIDTHS, chunk_rows=4)
    with resume_store(path) as writer:
        for start in (0, 4):
            writer.write_chunk({name: rows[start : start + 4] for name, rows in ROWS.items()})
            assert peek(path)[1] == start + 4


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_files_cut_short_or_of_another_kind_are_refused(tmp_path, keep):
    path = write(tmp_path / "run.h5")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match=r"cut short|not an HDF5"):
        LatentStore.open(path)
    with pytest.raises(StoreError, match="no such store"):
        LatentStore.open(tmp_path / "other.h5")


def test_another_schema_version_is_refused(tmp_path):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs.modify("schema_version", 2)
    with pytest.raises(StoreError, match=r"version 2.* reads version 1"):
        LatentStore.open(path)


def test_files_of_other_tools_are_accepted(tmp_path):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)), logits=np.ones((5, 2), "f2"))
    with LatentStore.open(path) as store:
        assert store.settings.network["name"] == "unknown"
        assert store.settings.attributes == ("attribute 0", "attribute 1")
        assert store.z.dtype == store.logits.dtype == np.float32
        with pytest.raises(StoreError, match="lacks w; it holds z, logits"):
            _ = store.w
    with pytest.raises(StoreError, match="lacks w, images"):
        LatentStore.open(path, needs=["w", "images"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.ones(3)}, "lacks z, w"),
        ({"z": np.ones((5, 4)), "w": np.ones((6, 4))}, "different numbers of rows: z 5, w 6"),
        ({"z": np.ones(5)}, r"z has the shape \[5\]"),
        ({"z": np.ones((0, 5))}, r"not empty"),
        ({"z": [b"text"]}, "dataset of numbers"),
    ],
)
def test_wrong_forms_are_named(tmp_path, arrays, message):
    with pytest.raises(StoreError, match=message):
        LatentStore.open(foreign(tmp_path / "other.h5", **arrays))


def test_names_must_match_the_logits(tmp_path):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)), logits=np.ones((5, 2)))
    with h5py.File(path, "r+") as file:
        file.attrs["attributes"] = ["one"]
    with pytest.raises(StoreError, match="2 columns, but 1 attributes"):
        LatentStore.open(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_located(tmp_path, value):
    w = np.ones((20_000, 2), np.float32)
    w[[17_000, 19_000], 1] = value
    with (
        LatentStore.open(foreign(tmp_path / "other.h5", z=np.ones_like(w), w=w)) as store,
        pytest.raises(StoreError, match=r"w is not finite .* row 17000"),
    ):
        _ = store.w


def test_two_writers_are_kept_apart(tmp_path):
    with (
        writer_lock(tmp_path / "run.h5"),
        pytest.raises(StoreError, match="being written by another process"),
        writer_lock(tmp_path / "run.h5"),
    ):
        pass


def test_a_full_disk_ends_in_a_clear_error_and_a_resumable_file(tmp_path):
    path = tmp_path / "run.h5"
    create_store(path, SETTINGS, WIDTHS, chunk_rows=4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with resume_store(path) as writer:
        writer.write_chunk({name: rows[:4] for name, rows in ROWS.items()})
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
        try:
            with pytest.raises(StoreError, match=r"could not be written .* make room"):
                writer.write_chunk({name: rows[4:8] for name, rows in ROWS.items()})
            with pytest.raises(StoreError, match="could not be written"):
                create_store(tmp_path / "new.h5", SETTINGS, WIDTHS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert peek(path)[1] == 4
    assert [child.name for child in tmp_path.iterdir()] == ["run.h5"]


WRITE_FOREVER = """
import sys, numpy as np
from latentlab.store import StoreSettings, create_store, resume_store
settings = StoreSettings(4_000_000, 0, {"name": "n", "sha256": "s"}, None, (), 1.0, "random")
create_store(sys.argv[1], settings, {"z": 4, "w": 4}, chunk_rows=16)
from pathlib import Path
with resume_store(Path(sys.argv[1])) as writer:
    print("ready", flush=True)
    while True:
        rows = np.full((16, 4), writer.rows_done // 16, np.float32)
        writer.write_chunk({"z": rows, "w": -rows})
"""


@pytest.mark.parametrize("delay", [0.02, 0.1])
def test_a_killed_writer_leaves_a_sound_file(tmp_path, delay):
    path = tmp_path / "run.h5"
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    done = peek(path)[1]
    assert done > 0
    with resume_store(path) as writer:
        assert writer.rows_done == done
    with h5py.File(path) as file:
        expected = np.repeat(np.arange(done // 16, dtype=np.float32), 16)
        assert np.array_equal(file["z"][:done, 3], expected)
        assert np.array_equal(file["w"][:done, 0], -expected)
