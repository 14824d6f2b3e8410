"""Stores of every released schema stay readable; what is written today has the form of the newest one."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from latentlab.store import LatentStore, describe, peek
from latentlab.store.checking import check_store
from latentlab.store.merging import merge_stores

ARCHIVES = Path(__file__).parent / "archives"
WIDTHS = {"z": (4,), "w": (3,), "ws": (2, 3), "logits": (2,), "features": (5,), "images": (8, 8, 3)}
DATASETS = {1: ("z", "w", "logits", "images"), 2: tuple(WIDTHS)}


@pytest.mark.parametrize("schema", [1, 2])
def test_archived_stores_hold_the_same_numbers(schema):
    path = ARCHIVES / f"store-{schema}.h5"
    assert path.stat().st_size < 30_000
    with LatentStore.open(path, network_sha256="a" * 64) as store:
        settings = store.settings
        assert settings.datasets == DATASETS[schema]
        assert store.widths == {name: WIDTHS[name] for name in settings.datasets}
        for name in settings.datasets:
            expected = np.arange(10 * np.prod(WIDTHS[name])).reshape(10, *WIDTHS[name])
            assert np.array_equal(getattr(store, name)[:], expected % 256 if name == "images" else expected)
    assert (settings.num_samples, settings.seed, settings.truncation_psi, settings.noise_mode) == (10, 3, 0.7, "random")
    assert settings.network == {"name": "net", "sha256": "a" * 64}
    assert settings.classifiers == {"name": "classifiers", "sha256": "b" * 64}
    assert settings.attributes == ("Male", "Smiling")
    assert settings.has_mapping
    newer = (10, {"name": "trunk", "sha256": "c" * 64}, "bilinear 8 -> 32, upsampled")
    assert (settings.first_row, settings.features, settings.resize) == (newer if schema == 2 else (0, None, "unknown"))
    assert peek(path) == (settings, 10, True)
    assert describe(path)["schema_version"] == schema
    assert check_store(path).findings == ()


def test_damage_to_a_store_of_schema_1_is_found(tmp_path):
    path = tmp_path / "store.h5"
    path.write_bytes((ARCHIVES / "store-1.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["images"][5, 0, 0, 0] += 1
    assert check_store(path).findings == ("rows 4 to 7 of images are damaged; remove the file and sample again",)


def test_what_is_written_today_equals_the_archived_store(tmp_path):
    block = re.findall(r"```python\n(.*?)```", (ARCHIVES / "README.md").read_text(), re.DOTALL)[1]
    exec(block.replace("tests/archives/store-2.h5", str(tmp_path / "store-2.h5")), {})
    with h5py.File(ARCHIVES / "store-2.h5") as old, h5py.File(tmp_path / "store-2.h5") as new:
        assert set(old) == set(new)
        for name in old:
            assert (old[name].dtype, old[name].chunks) == (new[name].dtype, new[name].chunks)
            assert np.array_equal(old[name][()], new[name][()]), name
        assert set(old.attrs) == set(new.attrs)
        for name in set(old.attrs) - {"latentlab_version"}:
            assert np.array_equal(old.attrs[name], new.attrs[name]), name


def test_a_shard_of_schema_1_can_be_merged_with_one_of_schema_2(tmp_path):
    """Both have the same seed and network; only the datasets of both can be joined."""
    with h5py.File(ARCHIVES / "store-2.h5") as old, h5py.File(tmp_path / "2.h5", "w") as new:
        for name in DATASETS[1]:
            old.copy(name, new)
        new.attrs.update({name: value for name, value in old.attrs.items() if name != "features"})
    merged = merge_stores([tmp_path / "2.h5", ARCHIVES / "store-1.h5"], tmp_path / "run.h5")
    assert (merged.num_samples, merged.first_row, merged.seed, merged.resize) == (20, 0, 3, "unknown")
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert np.array_equal(store.z, np.tile(np.arange(40).reshape(10, 4), (2, 1)))


def _blocks(page):
    return re.findall(r"```python\n(.*?)```", (ARCHIVES.parent.parent / "docs" / page).read_text(), re.DOTALL)


def test_ten_lines_of_another_tool_write_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writing, reading = _blocks("store.md")
    assert len([line for line in writing.splitlines() if line]) == 10
    random = np.random.default_rng(0)
    z, w, logits = (random.normal(size=(20, width)).astype(np.float32) for width in (4, 3, 2))
    exec(writing, {"z": z, "w": w, "logits": logits, "network_sha256": "a" * 64, "classifiers_sha256": "b" * 64})
    assert check_store("run.h5", network_sha256="a" * 64).findings == ()
    with LatentStore.open("run.h5", needs=["z", "w", "logits"]) as store:
        assert np.array_equal(store.z, z)
        assert np.array_equal(store.logits, logits)
        settings = store.settings
    assert (settings.attributes, settings.seed, settings.first_row) == (("Male", "Smiling"), 0, 0)
    assert settings.network == {"name": "ffhq", "sha256": "a" * 64}
    assert settings.classifiers == {"name": "mine", "sha256": "b" * 64}
    assert (settings.truncation_psi, settings.noise_mode, settings.resize) == (1.0, "random", "none")
    exec(reading.replace("store.images", "# "), {})


def test_the_specification_names_everything_in_a_store():
    page = (ARCHIVES.parent.parent / "docs" / "store.md").read_text()
    with h5py.File(ARCHIVES / "store-2.h5") as file:
        for name in [*file, *file.attrs, "sources"]:
            assert f"\n| `{name}` |" in page, name
