"""Reading stores: what is there, and what is refused. Writing is in test_store_writing.py."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from tiny_store import EVERYTHING, SETTINGS, SHAPES, all_rows, create, foreign, rows_of, write

from latentlab.errors import StoreError
from latentlab.store import LatentStore, describe, peek, resume_store


@pytest.mark.parametrize("settings", [SETTINGS, EVERYTHING], ids=["plain", "everything"])
def test_what_was_written_is_read(tmp_path, settings):
    rows = all_rows(settings)
    with LatentStore.open(write(tmp_path / "run.h5", settings), needs=settings.datasets) as store:
        assert len(store) == 10
        assert store.settings == settings
        assert all(np.array_equal(getattr(store, name)[:], rows[name]) for name in settings.datasets)
        if not store.has("images"):
            with pytest.raises(StoreError, match="lacks images"):
                _ = store.images


def test_root_attributes_follow_the_specification(tmp_path):
    with h5py.File(write(tmp_path / "run.h5", EVERYTHING)) as file:
        assert file.attrs["schema_version"] == 2
        assert list(file.attrs["attributes"]) == ["Male", "Smiling"]
        assert file.attrs["network"] == '{"name": "net", "sha256": "' + "a" * 64 + '"}'
        assert file.attrs["features"] == '{"name": "trunk", "sha256": "' + "c" * 64 + '"}'
        assert file.attrs["complete"]
        assert (file.attrs["num_samples"], file.attrs["first_row"]) == (10, 0)
        assert file.attrs["resize"] == "box 64 -> 32"
        assert {"classifiers", "seed", "truncation_psi", "noise_mode", "latentlab_version"} <= set(file.attrs)
        assert "sources" not in file.attrs
        assert file["z"].chunks is None
        assert list(file["chunk_done"]) == [1, 1, 1]
        assert file["chunk_crc32"].shape == (3, 6)


def test_settings_that_are_not_known_or_not_usual_come_back(tmp_path):
    settings = replace(SETTINGS, seed=None, truncation_psi=None, first_row=30, sources=({"file": "a.h5", "seed": 1},))
    with LatentStore.open(write(tmp_path / "run.h5", settings)) as store:
        assert store.settings == settings
        assert store.sample_numbers.dtype == np.int64
        assert list(store.sample_numbers) == [*range(30, 40)]


@pytest.mark.parametrize(("side", "block"), [(8, 4), (100, 2), (128, 1), (160, 1)])
def test_single_images_are_cheap_to_read(tmp_path, side, block):
    shapes = SHAPES | {"images": (side, side, 3)}
    path = write(tmp_path / "run.h5", EVERYTHING, shapes=shapes)
    expected = rows_of(EVERYTHING, slice(0, 10), shapes)["images"]
    with LatentStore.open(path) as store:
        assert store.images.chunks == (block, side, side, 3)
        assert (store.images.compression, store.images.compression_opts) == ("gzip", 1)
        assert block == 1 or block * side**2 * 3 <= 65536
        assert np.array_equal(store.images[9], expected[9])
        assert np.array_equal(store.images[3:6], expected[3:6])


def test_a_store_shorter_than_a_block_of_images(tmp_path):
    settings = replace(EVERYTHING, num_samples=3)
    with LatentStore.open(write(tmp_path / "run.h5", settings)) as store:
        assert store.images.chunks[0] == 2  # divides a chunk of 4 rows
        assert np.array_equal(store.images, all_rows(settings)["images"])


@pytest.mark.parametrize("settings", [SETTINGS, EVERYTHING], ids=["plain", "everything"])
def test_an_incomplete_store_says_how_far_it_is(tmp_path, settings):
    path = write(tmp_path / "run.h5", settings, chunks=2)
    with pytest.raises(StoreError, match=r"incomplete: 8 of 10 .* again"):
        LatentStore.open(path)
    assert peek(path) == (settings, 8, False)


def test_finished_rows_are_counted_chunk_by_chunk_while_a_store_grows(tmp_path):
    path = create(tmp_path / "run.h5", EVERYTHING)
    with resume_store(path) as writer:
        for chunk, done in ((2, 2), (0, 6), (1, 10)):
            writer.write_chunk(chunk, rows_of(EVERYTHING, writer.rows(chunk)))
            assert peek(path)[1:] == (done, False)
            assert describe(path)["finished_rows"] == done


@pytest.mark.parametrize("name", ["z", "w", "ws", "logits", "features", "images"])
def test_damage_to_a_complete_store_is_found(tmp_path, name):
    path = write(tmp_path / "run.h5", EVERYTHING)
    with h5py.File(path, "r+") as file:
        row = file[name][9]
        row.flat[1] += 1
        file[name][9] = row
    with LatentStore.open(path) as store:
        assert store.chunk(name, 1).any()
        with pytest.raises(StoreError, match=f"rows 8 to 9 of {name} are damaged"):
            store.chunk(name, 2)
        if name != "images":
            with pytest.raises(StoreError, match=f"rows 8 to 9 of {name} are damaged"):
                getattr(store, name)


def test_compressed_images_that_cannot_be_unpacked_are_found(tmp_path):
    path = write(tmp_path / "run.h5", EVERYTHING)
    with h5py.File(path, "r+") as file:
        file["images"].id.write_direct_chunk((4, 0, 0, 0), b"no images")
    with LatentStore.open(path) as store, pytest.raises(StoreError, match="rows 4 to 7 of images cannot be read"):
        store.chunk("images", 1)


def test_a_store_of_another_network_is_refused(tmp_path):
    path = write(tmp_path / "run.h5")
    LatentStore.open(path, network_sha256="a" * 64).close()
    with pytest.raises(StoreError, match=r"samples of net \(SHA-256 a+\), but the network asked for .* d+:"):
        LatentStore.open(path, network_sha256="d" * 64)
    LatentStore.open(foreign(tmp_path / "other.h5", z=np.ones((5, 4))), network_sha256="d" * 64).close()


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_files_cut_short_or_of_another_kind_are_refused(tmp_path, keep):
    path = write(tmp_path / "run.h5")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        StoreError, match=r"is empty|is cut short: copy it again, or run `latentlab sample` again to an"
    ):
        LatentStore.open(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(StoreError, match=r"is an HDF5 file, but cannot be opened: .*\.$"):
        LatentStore.open(path)
    path.write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"is not an HDF5 file, so it is no store of samples: name a run\.h5"):
        LatentStore.open(path)
    with pytest.raises(StoreError, match="no such store"):
        LatentStore.open(tmp_path / "other.h5")


@pytest.mark.parametrize("version", [0, 3])
def test_other_schema_versions_are_refused(tmp_path, version):
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs.modify("schema_version", version)
    with pytest.raises(StoreError, match=rf"version {version}.* reads versions 1 to 2"):
        LatentStore.open(path)


def test_files_of_other_tools_are_accepted(tmp_path):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)), logits=np.ones((5, 2), "f2"))
    with LatentStore.open(path) as store:
        assert store.settings.network["name"] == "unknown"
        assert store.settings.attributes == ("attribute 0", "attribute 1")
        assert (store.settings.first_row, store.settings.resize, store.settings.sources) == (0, "unknown", ())
        assert store.z.dtype == store.logits.dtype == np.float32
        with pytest.raises(StoreError, match="lacks w; it holds z, logits"):
            _ = store.w
    with pytest.raises(StoreError, match="lacks w, images"):
        LatentStore.open(path, needs=["w", "images"])
    assert peek(path)[1:] == (5, True)


def test_other_tools_may_name_a_network_without_json_and_features_without_a_name(tmp_path):
    arrays = {"z": np.ones((5, 4)), "features": np.ones((5, 2))}
    path = foreign(tmp_path / "other.h5", **arrays, attributes={"network": "ffhq.pkl"})
    with LatentStore.open(path) as store:
        assert store.settings.network == {"name": "ffhq.pkl", "sha256": "unknown"}
        assert store.settings.features == {"name": "unknown", "sha256": "unknown"}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.ones(3)}, "lacks z, w"),
        ({"z": np.ones((5, 4)), "w": np.ones((6, 4))}, "different numbers of rows: z 5, w 6"),
        ({"z": np.ones(5)}, r"z has the shape \[5\]"),
        ({"z": np.ones((0, 5))}, r"not empty"),
        ({"z": [b"text"]}, "dataset of numbers"),
        ({"ws": np.ones((5, 4))}, r"ws has the shape \[5, 4\]; it must be \[N, num_ws, w_dim\]"),
        ({"images": np.ones((5, 4, 4, 3))}, "images are float64; they must be uint8"),
        ({"z": np.ones((5, 4)), "chunk_crc32": np.ones((2, 1))}, r"chunk_crc32 has the shape \[2, 1\].* \[1, 1\]"),
        ({"z": np.ones((5, 4)), "chunk_done": np.ones(3)}, r"chunk_done has the shape \[3\]"),
    ],
)
def test_wrong_forms_are_named(tmp_path, arrays, message):
    with pytest.raises(StoreError, match=message):
        LatentStore.open(foreign(tmp_path / "other.h5", **arrays))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"attributes": ["one"]}, "2 columns, but 1 attributes"),
        ({"chunk_rows": 0}, "chunk_rows is .*0.*at least 1"),
        ({"sources": "no JSON"}, "root attribute sources is 'no JSON'"),
        ({"first_row": "first"}, "root attribute first_row is 'first'"),
    ],
)
def test_wrong_attributes_are_named(tmp_path, attributes, message):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)), logits=np.ones((5, 2)), attributes=attributes)
    with pytest.raises(StoreError, match=message):
        LatentStore.open(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_are_located(tmp_path, value):
    w = np.ones((20_000, 2))
    w[[17_000, 19_000], 1] = value
    with (
        LatentStore.open(foreign(tmp_path / "other.h5", z=np.ones_like(w), w=w)) as store,
        pytest.raises(StoreError, match=r"w is not finite .* row 17000"),
    ):
        _ = store.w


def test_settings_tell_how_they_differ():
    assert EVERYTHING.differences(replace(EVERYTHING, network={"name": "other name", "sha256": "a" * 64})) == []
    assert EVERYTHING.differences(replace(EVERYTHING, resize="unknown", sources=({"file": "a"},))) == []
    other = replace(EVERYTHING, first_row=5, resize="none", features={"name": "trunk", "sha256": "d" * 64})
    assert EVERYTHING.differences(other) == [
        "first_row 0 instead of 5",
        f"features {'c' * 64!r} instead of {'d' * 64!r}",
        "resize 'box 64 -> 32' instead of 'none'",
    ]


def test_names_in_bytes_are_read_as_text(tmp_path):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)), logits=np.ones((5, 2)))
    with h5py.File(path, "r+") as file:
        file.attrs["attributes"] = np.array([b"Male", b"Smiling"])
    with LatentStore.open(path) as store:
        assert store.settings.attributes == ("Male", "Smiling")


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("truncation_psi", "one"), ("sources", "{bad")])
def test_attributes_of_other_tools_that_make_no_sense_are_named(tmp_path, name, value):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)))
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    for read in (LatentStore.open, describe):
        with pytest.raises(StoreError, match=f"root attribute {name} is '{value}'"):
            read(path)


def test_a_damaged_header_never_ends_in_a_traceback(tmp_path):
    content = write(tmp_path / "run.h5", EVERYTHING).read_bytes()
    path, refused = tmp_path / "damaged.h5", 0
    for place in range(40, 2000, 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        for read in (LatentStore.open, describe):
            try:
                opened = read(path)
            except StoreError:
                refused += 1
            else:
                if isinstance(opened, LatentStore):
                    opened.close()
    assert refused > 20
