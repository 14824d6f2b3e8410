"""Samples in other tools' forms, each read back by the library that its users would take."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_store import EVERYTHING, SETTINGS, SHAPES, all_rows, create, foreign, rows_of, write

from latentlab.errors import OutputExistsError, StoreError, UsageError
from latentlab.store import resume_store
from latentlab.store.exporting import export_store

STORE = replace(EVERYTHING, first_row=100)
ROWS = all_rows(STORE)
TABLE = ["sample", *(f"z_{i}" for i in range(4)), *(f"w_{i}" for i in range(3)), "Male", "Smiling"]


@pytest.fixture
def run(tmp_path):
    return write(tmp_path / "run.h5", STORE)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_bring_back_the_same_numbers(tmp_path, run, form):
    told = []
    out = tmp_path / f"samples.{form}"
    written = export_store(run, out, format=form, progress=lambda done, total, note="": told.append((done, total)))
    assert written == ("z", "w", "logits")
    table = pd.read_parquet(out) if form == "parquet" else pd.read_csv(out)
    assert list(table) == TABLE
    assert list(table["sample"]) == [*range(100, 110)]
    expected = np.concatenate([ROWS[name] for name in written], axis=1)
    assert np.array_equal(table[TABLE[1:]].to_numpy().astype(np.float32), expected)
    assert told[-1] == (10, 10)


def test_parquet_says_where_the_samples_come_from(tmp_path, run):
    export_store(run, tmp_path / "samples.parquet", format="parquet", datasets=["logits", "ws"])
    file = pq.ParquetFile(tmp_path / "samples.parquet")
    provenance = json.loads(file.schema_arrow.metadata[b"latentlab"])
    assert (provenance["seed"], provenance["first_row"], provenance["network"]["sha256"]) == (3, 100, "a" * 64)
    layers = [f"ws_{layer}_{place}" for layer in (0, 1) for place in (0, 1, 2)]
    assert file.schema_arrow.names == ["sample", *layers, "Male", "Smiling"]
    assert str(file.schema_arrow.field("Male").type) == "float"
    table = file.read().to_pandas()
    assert np.array_equal(table[layers].to_numpy().reshape(10, 2, 3), ROWS["ws"])


def test_long_tables_are_written_in_groups_of_rows(tmp_path):
    z = np.random.default_rng(0).normal(size=(40_000, 2)).astype(np.float32)
    run = foreign(tmp_path / "other.h5", z=z)
    export_store(run, tmp_path / "samples.parquet", format="parquet")
    assert pq.ParquetFile(tmp_path / "samples.parquet").num_row_groups == 3
    assert np.array_equal(pd.read_parquet(tmp_path / "samples.parquet")[["z_0", "z_1"]], z)


def test_npz_holds_arrays_and_names(tmp_path, run):
    export_store(run, tmp_path / "samples.npz", format="npz", datasets=["images", "ws", "features", "logits"])
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as found:
        assert set(found) == {"ws", "logits", "features", "images", "sample", "attributes", "provenance"}
        assert all(np.array_equal(found[name], ROWS[name]) for name in ("ws", "logits", "features", "images"))
        assert found["images"].dtype == np.uint8
        assert list(found["attributes"]) == ["Male", "Smiling"]
        assert list(found["sample"]) == [*range(100, 110)]
        assert json.loads(str(found["provenance"]))["file"] == "run.h5"


def test_npy_is_what_scripts_that_train_boundaries_read(tmp_path, run):
    out = tmp_path / "boundary"
    export_store(run, out, format="npy", datasets=["z", "w", "ws", "logits", "images"])
    codes, scores = np.load(out / "w.npy"), np.load(out / "scores" / "Smiling.npy")
    assert codes.ndim == scores.ndim == 2
    assert scores.shape == (len(codes), 1)
    assert codes.dtype == scores.dtype == np.float32
    assert np.array_equal(scores[:, 0], ROWS["logits"][:, 1])
    for name, file in (("z", "z"), ("w", "w"), ("ws", "wp"), ("images", "images")):
        assert np.array_equal(np.load(out / f"{file}.npy"), ROWS[name])
    assert list(np.load(out / "sample.npy")) == [*range(100, 110)]
    assert json.loads((out / "provenance.json").read_text())["classifiers"]["name"] == "classifiers"
    assert sorted(path.name for path in (out / "scores").iterdir()) == ["Male.npy", "Smiling.npy"]


@pytest.mark.parametrize("channels", [1, 3])
def test_png_files_are_named_by_sample_number(tmp_path, channels):
    settings, shapes = replace(STORE, first_row=999_995), SHAPES | {"images": (8, 8, channels)}
    run = write(tmp_path / "run.h5", settings, shapes=shapes)
    assert export_store(run, tmp_path / "images", format="png") == ("images",)
    files = sorted((tmp_path / "images").iterdir())
    assert [file.name for file in files] == [f"{number:07d}.png" for number in range(999_995, 1_000_005)]
    found = np.stack([np.asarray(Image.open(io.BytesIO(file.read_bytes()))) for file in files])
    assert np.array_equal(found.reshape(10, 8, 8, channels), rows_of(settings, slice(0, 10), shapes)["images"])


@pytest.mark.parametrize("form", ["parquet", "csv", "npz", "npy", "png"])
def test_outputs_that_exist_are_left_alone_and_failures_leave_nothing(tmp_path, run, form):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(OutputExistsError):
        export_store(run, taken, format=form)
    content = bytearray(run.read_bytes())
    content[content.find(ROWS["w"][8:].tobytes())] ^= 1
    run.write_bytes(content)
    if form != "png":
        with pytest.raises(StoreError, match="rows 8 to 9 of w are damaged"):
            export_store(run, tmp_path / "out", format=form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.h5", "taken"]
    assert taken.read_text() == "mine"


def test_what_does_not_fit_a_format_is_named(tmp_path, run):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="--format csv has no place for images: use png, npz or npy"):
        export_store(run, out, format="csv", datasets=["z", "images"])
    with pytest.raises(UsageError, match="--format png writes the images alone"):
        export_store(run, out, format="png", datasets=["z"])
    with pytest.raises(UsageError, match="--datasets z,v: expected some of z, w, ws, logits, features, images"):
        export_store(run, out, format="npz", datasets=["z", "v"])
    plain = write(tmp_path / "plain.h5", SETTINGS)
    with pytest.raises(StoreError, match=r"plain.h5 lacks images; it holds z, w, logits"):
        export_store(plain, out, format="png")
    growing = create(tmp_path / "growing.h5")
    with resume_store(growing), pytest.raises(StoreError, match="incomplete: 0 of 10"):
        export_store(growing, out, format="csv")
    two = foreign(tmp_path / "two.h5", images=np.zeros((2, 4, 4, 2), np.uint8))
    with pytest.raises(StoreError, match="images of 2 channels cannot be PNG"):
        export_store(two, out, format="png")
    with pytest.raises(UsageError, match="holds neither z, w nor logits: say what to export with --datasets images"):
        export_store(two, out, format="npz")
    assert not out.exists()


@pytest.mark.parametrize("names", [("sample", "Old"), ("z_1", "Old"), ("Old", "Old")])
def test_columns_of_one_name_are_refused(tmp_path, names):
    run = write(tmp_path / "run.h5", replace(SETTINGS, attributes=names))
    with pytest.raises(StoreError, match=rf"more than one column would be called ({names[0]}|{names[1]}):"):
        export_store(run, tmp_path / "out.csv", format="csv")
    export_store(run, tmp_path / "out.npz", format="npz")


@pytest.mark.parametrize("names", [("a/b", "Old"), ("..", "Old"), ("", "Old"), ("old", "Old")])
def test_attributes_that_cannot_be_files_are_refused(tmp_path, names):
    run = write(tmp_path / "run.h5", replace(SETTINGS, attributes=names))
    with pytest.raises(StoreError, match="attributes that cannot each be a file's name"):
        export_store(run, tmp_path / "out", format="npy")
    assert not (tmp_path / "out").exists()
