"""`latentlab store` and `latentlab label` as people call them, and the check of a whole store."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from tiny_store import EVERYTHING, SETTINGS, foreign, write
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.errors import StoreError
from latentlab.store.checking import check_store


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.stdout if code == 0 else result.stderr


def change(path, name, row):
    with h5py.File(path, "r+") as file:
        values = file[name][row]
        values.flat[0] += 1
        file[name][row] = values
    return path


# ------------------------------------------------------------------------------------------------------------- check


def test_a_sound_store_has_no_findings(tmp_path):
    told = []
    path = write(tmp_path / "run.h5", EVERYTHING)
    found = check_store(path, progress=lambda done, total, note="": told.append((done, total, note)))
    assert (found.num_samples, found.datasets, found.checksums, found.findings) == (10, EVERYTHING.datasets, True, ())
    assert told[0] == (4, 60, "z")
    assert told[-1] == (60, 60, "images")
    assert "sound; checksums hold" in run("store", "check", path)


@pytest.mark.parametrize("name", EVERYTHING.datasets)
def test_damage_is_named_by_dataset_and_rows(tmp_path, name):
    path = change(change(write(tmp_path / "run.h5", EVERYTHING), name, 9), name, 0)
    assert check_store(path).findings == tuple(
        f"rows {rows} of {name} are damaged; remove the file and sample again" for rows in ("0 to 3", "8 to 9")
    )
    assert "run.h5 is not sound: 2 findings" in run("store", "check", path, code=1)


def test_findings_are_printed_and_json_names_them_all(tmp_path):
    z = np.arange(120, dtype=np.float32).reshape(60, 2)
    z[30:] = z[:30]
    w = np.ones((60, 2))
    w[7, 1] = np.nan
    path = foreign(tmp_path / "other.h5", z=z, w=w, logits=z, attributes={"attributes": ["Male", "Male"]})
    result = CliRunner().invoke(app, ["store", "check", str(path)])
    assert result.exit_code == 1
    assert "w is not finite (NaN or infinity), first in row 7\n" in result.stdout
    assert "row 30 repeats row 0: z is the same\n" in result.stdout
    assert "and 12 more; --json names them all" in result.stdout
    found = json.loads(CliRunner().invoke(app, ["store", "check", str(path), "--json"]).stdout)
    assert (found["sound"], found["checksums"], len(found["findings"])) == (False, False, 32)
    assert found["findings"][-1] == "the attribute Male is named more than once"


def test_a_row_that_is_there_twice_is_found_across_chunks(tmp_path):
    z = np.random.default_rng(0).normal(size=(1000, 4))
    z[900] = z[3]
    assert check_store(foreign(tmp_path / "other.h5", z=z)).findings == ("row 900 repeats row 3: z is the same",)


def test_rows_that_cannot_be_read_do_not_shift_the_others(tmp_path):
    z = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    z[11] = z[8]
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("z", data=z, chunks=(4, 4), compression="gzip")
        file["z"].id.write_direct_chunk((0, 0), b"damage")
        file.attrs["chunk_rows"] = 4
    findings = check_store(path).findings
    assert findings[0].startswith("rows 0 to 3 of z cannot be read")
    assert findings[1] == "row 11 repeats row 8: z is the same"


def test_a_store_of_another_network_or_one_that_grows_fails_the_check(tmp_path):
    path = write(tmp_path / "run.h5")
    run("store", "check", path, "--network-sha256", "a" * 64)
    assert "the network asked" in run("store", "check", path, "--network-sha256", "d" * 64, code=1)
    with pytest.raises(StoreError, match="incomplete: 4 of 10"):
        check_store(write(tmp_path / "growing.h5", chunks=1))


# -------------------------------------------------------------------------------------------------------------- info


def test_info_of_a_complete_store(tmp_path):
    settings = replace(EVERYTHING, first_row=100, resize="bilinear 8 -> 32, upsampled")
    path = write(tmp_path / "run.h5", settings)
    shown = run("store", "info", path)
    for line in (
        "schema:         2",
        "samples:        10 of 10",
        "numbers:        100 to 109",
        f"network:        net (SHA-256 {'a' * 64})",
        "attributes:     Male, Smiling",
        "resize:         bilinear 8 -> 32, upsampled: the classifiers saw images made larger",
        "checksums:      of every 4 rows",
    ):
        assert f"{line}\n" in shown
    assert "10x8x8x3" in shown
    found = json.loads(run("store", "info", path, "--json"))
    assert found["datasets"]["ws"] == {"shape": [10, 2, 3], "dtype": "float32", "bytes": 240}
    assert (found["complete"], found["finished_rows"], found["bytes"]) == (True, 10, path.stat().st_size)
    assert (found["seed"], found["first_row"], found["features"]["name"]) == (3, 100, "trunk")


def test_info_of_a_store_that_grows(tmp_path):
    path = write(tmp_path / "run.h5", EVERYTHING, chunks=2)
    assert "samples:        8 of 10, not complete yet\n" in run("store", "info", path)
    found = json.loads(run("store", "info", path, "--json"))
    parts = sum(part.stat().st_size for part in (tmp_path / "run.h5.parts").iterdir())
    assert (found["complete"], found["finished_rows"]) == (False, 8)
    assert found["datasets"]["images"]["bytes"] == parts > 0


def test_info_of_a_file_of_another_tool_and_of_a_merged_one(tmp_path):
    path = foreign(tmp_path / "other.h5", z=np.ones((5, 4)))
    shown = run("store", "info", path)
    assert "schema:         not given: written by another tool\n" in shown
    assert "checksums:      none\n" in shown
    stores = [write(tmp_path / f"{seed}.h5", replace(SETTINGS, seed=seed)) for seed in (1, 2)]
    run("store", "merge", *stores, "--out", tmp_path / "merged.h5")
    shown = run("store", "info", tmp_path / "merged.h5")
    assert "seed:           unknown\n" in shown
    assert 'made of:        {"file": "2.h5"' in shown


# ------------------------------------------------------------------------------------------- merge, export and label


def test_merge_says_what_it_made(tmp_path):
    stores = [write(tmp_path / f"{first}.h5", replace(SETTINGS, first_row=first)) for first in (10, 0)]
    shown = run("store", "merge", *stores, "--out", tmp_path / "run.h5")
    assert shown.endswith("run.h5: 20 samples from 0 on, seed 3\n")
    assert "exists already" in run("store", "merge", *stores, "--out", tmp_path / "run.h5", code=2)
    shown = run("store", "merge", stores[0], write(tmp_path / "b.h5", replace(SETTINGS, seed=7)), "--out",
                tmp_path / "both.h5")  # fmt: skip
    assert shown.endswith("20 samples from 0 on, sources of 2 stores, no seed\n")


def test_export_takes_names_with_commas(tmp_path):
    path = write(tmp_path / "run.h5", EVERYTHING)
    shown = run("store", "export", path, "--format", "npz", "--out", tmp_path / "a.npz", "--datasets", "logits, z")
    assert shown.endswith("a.npz: z, logits\n")
    with np.load(tmp_path / "a.npz") as found:
        assert {"z", "logits"} < set(found)
        assert "w" not in found
    assert "expected some of" in run(
        "store", "export", path, "--format", "npz", "--out", tmp_path / "b.npz", "--datasets", "q", code=2
    )


def test_scores_of_a_folder_of_images_come_back_as_labels(tmp_path):
    """The whole way of people who have their own attribute model."""
    path = write(tmp_path / "run.h5", replace(EVERYTHING, first_row=50))
    run("store", "export", path, "--format", "png", "--out", tmp_path / "images")
    numbers = [int(file.stem) for file in (tmp_path / "images").iterdir()]
    pd.DataFrame({"sample": numbers, "Dark": [number % 2 for number in numbers]}).to_csv(
        tmp_path / "scores.csv", index=False
    )
    assert "give either --scores FILE or --classifiers NAME or --nearest-faces" in run("label", path, code=2)
    shown = run("label", path, "--scores", tmp_path / "scores.csv", "--probabilities", "--name", "mine")
    assert shown.endswith("run-scores.h5: 10 samples with scores of Dark; 10 probabilities of 0 or 1 were clipped\n")
    found = json.loads(run("store", "info", tmp_path / "run-scores.h5", "--json"))
    assert (found["attributes"], found["classifiers"]["name"], found["first_row"]) == (["Dark"], "mine", 50)
    assert "exists already" in run("label", path, "--scores", tmp_path / "scores.csv", code=2)
    (tmp_path / "few.csv").write_text("sample,Dark\n50,1\n")
    assert "lacks samples of the store: 51" in run("label", path, "--scores", tmp_path / "few.csv", code=1)
