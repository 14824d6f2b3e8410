"""The whole way through the real command line, tiny: images, training, classifiers, samples, metrics, report."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from latentlab.cli import app


def run(*arguments: object, code: int = 0) -> str:
    """Run a command; its standard output, or standard error if it is to fail."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.stdout if code == 0 else result.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with faces, two runs and classifiers, all made by commands; tests work on copies of what they change."""
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("workplace")
    patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    patch.chdir(root)
    run("data", "faces", "--out", "faces", "--num-images", 300, "--resolution", 16)
    common = ("--data", "faces", "--num-images", 300, "--resolution", 16, "--kimg", 0.3)
    run("train", "--mapping-depth", 2, *common)
    run("train", "--arch", "traditional", "--mapping-depth", 0, *common)
    run("classifiers", "train", "--data", root / "faces", "--resolution", 16, "--images-shown", 3000)
    for name in ("style-2", "traditional-0"):
        run("sample", "--network", name, "--num-samples", 400)
        run("separability", f"runs/{name}/run.h5")
        for space in ("z", "w") if name == "style-2" else ("z",):
            run("ppl", "--space", space, "--network", name, "--num-samples", 40, "--distance", "classifier:quick")
    yield root
    patch.undo()


@pytest.fixture
def inside(workplace, monkeypatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def test_run_folder(inside):
    assert {path.name for path in (inside / "runs/style-2").iterdir()} >= {
        "config.json", "snapshots", "stats.jsonl", "grids", "run.h5", "results.jsonl",
    }  # fmt: skip
    config = json.loads((inside / "runs/style-2/config.json").read_text())
    assert config["generator"]["mapping_layers"] == 2
    assert config["dataset"]["num_images"] == 300
    assert "swd" in json.loads((inside / "runs/style-2/stats.jsonl").read_text().splitlines()[-1])


def test_store(inside):
    with h5py.File(inside / "runs/style-2/run.h5") as file:
        assert {name: file[name].shape for name in ("z", "w", "logits")} == {
            "z": (400, 64), "w": (400, 64), "logits": (400, 40),
        }  # fmt: skip
        assert file.attrs["complete"]
        assert np.abs(file["z"][:].mean()) < 0.05


def test_results(inside):
    lines = [json.loads(line) for line in (inside / "runs/style-2/results.jsonl").read_text().splitlines()]
    assert [line["metric"] for line in lines] == ["ls_z", "ls_w", "ppl_zfull", "ppl_wfull"]
    for line in lines:
        assert line["ci95"][0] <= line["value"] <= line["ci95"][1]
        assert line["network"]["name"].startswith("style-2@")
        assert line["protocol"]


def test_json_is_the_line_that_was_appended(inside):
    out = run("separability", "runs/style-2/run.h5", "--json", "--results", "extra.jsonl", "--space", "z")
    assert out == (inside / "extra.jsonl").read_text()
    measured = json.loads(out)
    assert measured["metric"] == "ls_z"
    before = json.loads((inside / "runs/style-2/results.jsonl").read_text().splitlines()[0])
    assert measured["value"] == before["value"]  # the same seed gives the same number


def test_report(inside):
    out = run("report", "runs/traditional-0", "runs/style-2", "--classifiers", "quick", "--out", "report")
    page = (inside / "report/index.html").read_text()
    assert out.strip().endswith("report/index.html")
    assert "style-2" in page
    assert "traditional-0" in page
    assert "data:image/png;base64," in page
    assert (inside / "report/tables.csv").read_text().count("\n") > 5
    assert "exists already" in run("report", "runs/style-2", "--out", "report", code=2)
    run("report", "runs/style-2", "--out", "report", "--overwrite")


def test_card(inside):
    out = run("classifiers", "card", "quick")
    assert "Eyeglasses" in out
    assert "shared trunk" in out


def test_resuming_a_finished_run_changes_nothing(inside):
    newest = sorted((inside / "runs/style-2/snapshots").iterdir())[-1] / "network.safetensors"
    before = newest.read_bytes()
    common = ("--data", "faces", "--num-images", 300, "--resolution", 16, "--kimg", 0.3)
    assert "--resume" in run("train", "--mapping-depth", 2, *common, code=2)
    run("train", "--mapping-depth", 2, *common, "--resume")
    assert newest.read_bytes() == before
    assert "mapping_layers was 2 and is now 3" in run(
        "train", "--mapping-depth", 3, *common, "--out", "runs/style-2", "--resume", code=2
    )


def test_existing_outputs_are_left_alone(inside):
    before = (inside / "runs/style-2/run.h5").read_bytes()
    assert "400 samples of style-2" in run("sample", "--network", "style-2", "--num-samples", 400)
    assert "complete already" not in run("sample", "--network", "style-2", "--num-samples", 500, code=2)
    assert (inside / "runs/style-2/run.h5").read_bytes() == before
    assert "exists already" in run("data", "faces", "--out", "faces", "--num-images", 5, code=2)


def test_unknown_names_list_what_is_there(inside):
    assert "style-2, traditional-0" in run("sample", "--network", "stile-2", code=2)
    assert "holds quick" in run("sample", "--classifiers", "slow", code=2)
    assert "classifier:" in run("ppl", "--distance", "l2", code=2)
    assert "no such device" in run("sample", "--device", "cuda:7", code=2)


def test_w_of_a_network_without_mapping_is_refused(inside):
    message = run("ppl", "--space", "w", "--network", "traditional-0", "--distance", "classifier:quick", code=2)
    assert "mapping" in message


def test_commands_without_network_say_which_they_take(inside):
    result = CliRunner().invoke(
        app, ["ppl", "--distance", "classifier:quick", "--num-samples", "10", "--results", "x.jsonl"]
    )
    assert "taking the newest run" in result.stderr


def test_missing_weights_name_the_file_to_put_where(inside, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = run("ppl", "--network", "style-2", "--weights-dir", tmp_path, "--num-samples", 10, "--no-crop", code=1)
    assert "vgg16-397923af.pth" in message


def test_damaged_store_is_one_message(inside, tmp_path):
    store = tmp_path / "cut.h5"
    shutil.copy(inside / "runs/style-2/run.h5", store)
    store.write_bytes(store.read_bytes()[:5000])
    assert "cut.h5" in run("separability", store, code=1)


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("latentlab.zoo.NETWORKS", tmp_path / "none")
    assert "latentlab train" in run("ppl", code=2)
