"""Joining shards and samples of several runs."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_store import EVERYTHING, SETTINGS, SHAPES, all_rows, foreign, write

from latentlab.errors import OutputExistsError, StoreError, UsageError
from latentlab.store import LatentStore, writer_lock
from latentlab.store.checking import check_store
from latentlab.store.merging import merge_stores, regroup


def shard(path, first, count, settings=EVERYTHING, **options):
    return write(path, replace(settings, first_row=first, num_samples=count), **options)


@pytest.mark.parametrize("settings", [SETTINGS, EVERYTHING], ids=["plain", "with-images"])
@pytest.mark.parametrize("first", [0, 100])
def test_shards_become_the_store_of_a_single_run_byte_by_byte(tmp_path, settings, first):
    whole = shard(tmp_path / "whole.h5", first, 22, settings)
    bounds = [(8, 12), (0, 8), (20, 2)]  # in any order
    shards = [shard(tmp_path / f"{start}.h5", first + start, count, settings) for start, count in bounds]
    told = []
    merged = merge_stores(shards, tmp_path / "run.h5", progress=lambda done, total, note="": told.append((done, total)))
    assert (tmp_path / "run.h5").read_bytes() == whole.read_bytes()
    assert merged == replace(settings, first_row=first, num_samples=22)
    assert told[-1] == (22, 22)
    assert len(list(tmp_path.glob("[!.]*"))) == 5
    assert [path.name for path in tmp_path.glob(".*")] == [".run.h5.lock"]  # nothing temporary is left


def test_shards_that_end_within_a_chunk_have_the_same_content(tmp_path):
    whole = replace(EVERYTHING, num_samples=22)
    shards = [shard(tmp_path / f"{first}.h5", first, count) for first, count in ((0, 7), (7, 3), (10, 12))]
    merge_stores(shards, tmp_path / "run.h5")
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert store.settings == whole
        assert all(np.array_equal(getattr(store, name)[:], rows) for name, rows in all_rows(whole).items())
    assert (tmp_path / "run.h5").read_bytes() == write(tmp_path / "whole.h5", whole).read_bytes()


def test_shards_in_other_chunks_are_cut_anew(tmp_path):
    shards = [shard(tmp_path / "a.h5", 0, 10, chunk_rows=4), shard(tmp_path / "b.h5", 10, 10, chunk_rows=5)]
    merge_stores(shards, tmp_path / "run.h5")
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert store.chunk_rows == 256
        assert np.array_equal(store.ws, all_rows(replace(EVERYTHING, num_samples=20))["ws"])
    assert check_store(tmp_path / "run.h5").findings == ()


def test_several_seeds_are_put_behind_each_other_as_given(tmp_path):
    b = write(tmp_path / "b.h5", replace(EVERYTHING, seed=4))
    a = write(tmp_path / "a.h5", EVERYTHING)
    merged = merge_stores([b, a], tmp_path / "run.h5")
    assert (merged.seed, merged.first_row, merged.num_samples) == (None, 0, 20)
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert store.settings == merged
        expected = np.concatenate([all_rows(replace(EVERYTHING, seed=seed))["w"] for seed in (4, 3)])
        assert np.array_equal(store.w, expected)
        assert [(source["file"], source["seed"]) for source in store.settings.sources] == [("b.h5", 4), ("a.h5", 3)]
        assert store.settings.sources[0]["network"]["sha256"] == "a" * 64
    again = merge_stores(
        [tmp_path / "run.h5", write(tmp_path / "c.h5", replace(EVERYTHING, seed=5))], tmp_path / "d.h5"
    )
    assert [source["file"] for source in again.sources] == ["run.h5", "c.h5"]
    assert [source["seed"] for source in again.sources[0]["sources"]] == [4, 3]


def test_files_of_other_tools_are_joined(tmp_path):
    z = np.random.default_rng(0).normal(size=(10, 4))
    files = [foreign(tmp_path / f"{part}.h5", z=z[5 * part : 5 * part + 5]) for part in (0, 1)]
    merge_stores(files, tmp_path / "run.h5")
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert np.array_equal(store.z, z.astype(np.float32))
        assert len(store.settings.sources) == 2


def test_samples_that_would_be_there_twice_are_refused(tmp_path):
    a, b = shard(tmp_path / "a.h5", 0, 8), shard(tmp_path / "b.h5", 6, 8)
    with pytest.raises(StoreError, match=r"a.h5 and .*b.h5 overlap: both hold the samples 6 to 7 of seed 3"):
        merge_stores([b, a], tmp_path / "run.h5")
    other = write(tmp_path / "c.h5", replace(EVERYTHING, seed=9))
    with pytest.raises(StoreError, match="overlap"):
        merge_stores([a, other, b], tmp_path / "run.h5")
    z = np.random.default_rng(0).normal(size=(5, 4))
    files = [foreign(tmp_path / "d.h5", z=z), foreign(tmp_path / "e.h5", z=z[[3]])]
    with pytest.raises(StoreError, match=r"e.h5: row 0 repeats row 3 of .*d.h5"):
        merge_stores(files, tmp_path / "run.h5")
    assert not (tmp_path / "run.h5").exists()


def test_gaps_are_refused(tmp_path):
    shards = [shard(tmp_path / "a.h5", 0, 4), shard(tmp_path / "b.h5", 8, 4)]
    with pytest.raises(StoreError, match=r"between .*a.h5 and .*b.h5 the samples 4 to 7 are missing"):
        merge_stores(shards, tmp_path / "run.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"name": "net", "sha256": "d" * 64}}, "network 'd+' instead of 'a+'"),
        ({"classifiers": {"name": "other", "sha256": "d" * 64}}, "classifiers 'd+' instead of 'b+'"),
        ({"attributes": ("Male", "Young")}, "attributes .*Young.* instead of .*Smiling"),
        ({"truncation_psi": 0.5}, "truncation_psi 0.5 instead of 1.0"),
        ({"noise_mode": "const"}, "noise_mode 'const' instead of 'random'"),
        ({"resize": "none"}, "resize 'none' instead of 'box 64 -> 32'"),
        ({"features": {"name": "trunk", "sha256": "d" * 64}}, "features 'd+' instead of 'c+'"),
        ({"datasets": ("z", "w", "logits")}, r"datasets \('z', 'w', 'logits'\) instead of"),
    ],
)
def test_stores_that_do_not_fit_are_refused_with_the_difference(tmp_path, change, message):
    a = write(tmp_path / "a.h5", EVERYTHING)
    b = write(tmp_path / "b.h5", replace(EVERYTHING, first_row=10, **change))
    with pytest.raises(StoreError, match=rf"b.h5 does not fit .*a.h5: {message}"):
        merge_stores([a, b], tmp_path / "run.h5")


def test_other_widths_are_refused(tmp_path):
    a = write(tmp_path / "a.h5", EVERYTHING)
    b = write(tmp_path / "b.h5", replace(EVERYTHING, first_row=10), shapes=SHAPES | {"images": (4, 4, 3)})
    with pytest.raises(StoreError, match=r"images \[4, 4, 3\] per row instead of \[8, 8, 3\]"):
        merge_stores([a, b], tmp_path / "run.h5")


def test_wrong_use_changes_nothing(tmp_path):
    a, b = shard(tmp_path / "a.h5", 0, 4), shard(tmp_path / "b.h5", 4, 4)
    for paths in ([a], [a, b, a]):
        with pytest.raises(UsageError, match="two or more stores, and each of them once"):
            merge_stores(paths, tmp_path / "run.h5")
    before = b.read_bytes()
    with pytest.raises(OutputExistsError):
        merge_stores([a, b], b)
    assert b.read_bytes() == before
    growing = write(tmp_path / "c.h5", replace(EVERYTHING, first_row=8), chunks=1)
    with pytest.raises(StoreError, match=r"c.h5 is incomplete: 4 of 10"):
        merge_stores([a, b, growing], tmp_path / "run.h5")


def test_a_damaged_shard_leaves_nothing_behind(tmp_path):
    a, b = shard(tmp_path / "a.h5", 0, 4), shard(tmp_path / "b.h5", 4, 4)
    content = bytearray(b.read_bytes())
    place = content.find(all_rows(replace(EVERYTHING, first_row=4, num_samples=4))["w"].tobytes())
    content[place] ^= 1
    b.write_bytes(content)
    with pytest.raises(StoreError, match=r"b.h5: rows 0 to 3 of w are damaged"):
        merge_stores([a, b], tmp_path / "run.h5")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["a.h5", "b.h5"]


def test_regrouping_keeps_rows_and_their_order():
    blocks = [{"a": np.arange(start, stop)} for start, stop in ((0, 5), (5, 5), (5, 6), (6, 19))]
    cut = [block["a"] for block in regroup(blocks, 4)]
    assert [len(block) for block in cut] == [4, 4, 4, 4, 3]
    assert np.array_equal(np.concatenate(cut), np.arange(19))


def test_what_a_killed_merge_left_behind_is_cleared_away(tmp_path):
    left = tmp_path / ".run.h5.abc.partial"
    left.mkdir()
    (left / "run.h5").write_bytes(b"half")
    write(tmp_path / "a.h5", SETTINGS)
    with writer_lock(tmp_path / "run.h5"):
        assert not left.exists()
    assert (tmp_path / "a.h5").exists()
