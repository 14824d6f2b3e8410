"""Bundled networks: made from a study, found by name everywhere, never written to."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from attribute_classifiers.card import unmeasured_card
from attribute_classifiers.network import (
    AttributeClassifiers,
    find_classifiers,
    initialise,
    load_classifiers,
    newest_classifiers,
    save_classifiers,
)
from attribute_classifiers.presets import ClassifierShape
from latentlab import zoo
from latentlab.checkpoint import load_generator, save_generator
from latentlab.cli import app
from latentlab.cli.completion import classifiers, networks, stores
from latentlab.cli.stores import find_store
from latentlab.data.faces import render_faces
from latentlab.errors import CheckpointError, DataError, StoreError, UnknownNetworkError
from latentlab.images import to_float
from latentlab.latents import sample_z
from latentlab.networks import DiscriminatorConfig, Generator
from latentlab.report import read_run
from latentlab.results import read_results
from latentlab.study import bundling


@pytest.fixture
def study(tmp_path, tiny_run):
    """A folder as a finished study leaves it, of untrained networks."""
    root = tmp_path / "study"
    for name, letter in (("style-8", "F"), ("traditional-0", "B")):
        config = tiny_run(config=letter)
        snapshot = root / f"runs/{name}-seed0/snapshots/000000200"
        snapshot.mkdir(parents=True)
        torch.manual_seed(0)
        save_generator(snapshot, Generator(config.generator), {"num_images": 200, "data": "squares"})
        (snapshot.parent.parent / "config.json").write_text(config.model_dump_json())
        (snapshot.parent.parent / "stats.jsonl").write_text('{"kimg": 0.2}\n')
    shape = ClassifierShape(
        trunk="shared",
        attributes=("Male", "Smiling"),
        network=DiscriminatorConfig(resolution=16, fmap_base=64, fmap_max=8, blur=False),
    )
    made = initialise(AttributeClassifiers(shape), 0)
    card = unmeasured_card("study", shape, trained_on={"name": "squares"}, source={})
    save_classifiers(root / "classifiers/study", made, dataset={"name": "squares"}, card=card)
    (root / "study.json").write_text(json.dumps({"seeds": [0, 1]}))
    return root


@pytest.fixture
def zoo_of(study, tmp_path, monkeypatch):
    """What is bundled, for the time of a test, is this study's."""
    root = tmp_path / "zoo"
    bundling.bundle(study, root)
    monkeypatch.setattr(zoo, "ROOT", root)
    monkeypatch.setattr(zoo, "NETWORKS", root / "networks")
    monkeypatch.setattr("latentlab.interop.generators.NETWORKS", root / "networks")
    monkeypatch.setattr(zoo, "CLASSIFIERS", root / "classifiers")
    monkeypatch.chdir(tmp_path)
    return root


def run(*words, code=0):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result


def test_they_have_weights_and_the_whole_training_record(zoo_of, study):
    assert [one.name for one in zoo.bundled()] == ["faces32-traditional-0", "faces32-style-8"]
    style = zoo.bundled()[1]
    assert (style.arch, style.num_images) == ("style", 200)
    assert style.num_bytes == (style.folder / "network.safetensors").stat().st_size
    assert (style.folder / "config.json").read_bytes() == (study / "runs/style-8-seed0/config.json").read_bytes()
    assert (style.folder / "stats.jsonl").is_file()


def test_a_study_that_is_not_finished_or_too_large_is_not_bundled(study, tmp_path, monkeypatch):
    monkeypatch.setattr(bundling, "LARGEST", 1000)
    with pytest.raises(CheckpointError, match="1,000 are allowed"):
        bundling.bundle(study, tmp_path / "zoo")
    snapshot = study / "runs/style-8-seed0/snapshots/000000200"
    snapshot.rename(snapshot.with_name("000000100"))
    with pytest.raises(CheckpointError, match="is not finished: its newest snapshot is 000000100"):
        bundling.bundle(study, tmp_path / "zoo")


def test_every_command_takes_them_by_name_and_writes_elsewhere(zoo_of, tmp_path):
    before = sorted(zoo_of.rglob("*"))
    run("sample", "--network", "faces32-style-8", "--classifiers", "faces32", "--num-samples", "64", "--device", "cpu")
    assert (tmp_path / "runs/faces32-style-8/run.h5").is_file()
    run("ppl", "--network", "faces32-traditional-0", "--space", "z", "--num-samples", "20", "--no-crop",
        "--distance", "classifier:faces32", "--device", "cpu")  # fmt: skip
    (result,) = read_results(tmp_path / "runs/faces32-traditional-0/results.jsonl")
    assert result.network.name == "faces32-traditional-0"
    run("report", "faces32-style-8", "faces32-traditional-0", "--out", "report")
    page = (tmp_path / "report/index.html").read_text()
    assert "bundled with LatentLab" in page
    assert sorted(zoo_of.rglob("*")) == before


def test_without_a_name_the_newest_run_is_taken_else_a_bundled_network(zoo_of, tmp_path):
    words = ("sample", "--classifiers", "none", "--num-samples", "8", "--device", "cpu")
    assert "taking the bundled faces32-style-8" in run(*words).output
    own = tmp_path / "runs/mine/snapshots/000000001"
    own.mkdir(parents=True)
    save_generator(own, load_generator("faces32-traditional-0")[0], {})
    assert "taking the newest run, runs/mine" in run(*words).output


def test_own_runs_and_classifiers_come_before_bundled_ones_of_the_same_name(zoo_of, tmp_path):
    own = tmp_path / "runs/faces32-style-8/snapshots/000000001"
    own.mkdir(parents=True)
    save_generator(own, load_generator("faces32-traditional-0")[0], {})
    assert load_generator("faces32-style-8")[1].name == "faces32-style-8@000000001"
    assert newest_classifiers() == zoo_of / "classifiers/faces32"
    (tmp_path / "classifiers").mkdir()
    (zoo_of / "classifiers/faces32").rename(tmp_path / "classifiers/faces32")
    assert find_classifiers("faces32") == tmp_path / "classifiers/faces32"


def test_what_was_measured_of_one_is_reported_by_its_folder_with_the_record_of_its_training(zoo_of, tmp_path):
    run("sample", "--num-samples", "64", "--device", "cpu")
    read = read_run("runs/faces32-style-8")
    assert (read.arch, read.foreign, read.images_seen) == ("style", "bundled with LatentLab", 200)
    assert read.dataset.startswith("squares")
    run("report", "runs/faces32-style-8", "--out", "report")
    assert (tmp_path / "runs/faces32-style-8/previews.npz").is_file()
    assert load_generator("runs/faces32-style-8")[1].name == "faces32-style-8"
    with pytest.raises(DataError, match="is no run folder"):
        read_run("runs/faces32-traditional-0")


def test_runs_names_what_was_only_measured(zoo_of, tmp_path):
    (tmp_path / "runs/faces32-style-8").mkdir(parents=True)
    (tmp_path / "runs/faces32-style-8/results.jsonl").touch()
    assert "Measured, but no training run: runs/faces32-style-8" in run("runs").stderr
    own = tmp_path / "runs/mine"
    own.mkdir()
    (own / "config.json").write_text((zoo_of / "networks/faces32-style-8/config.json").read_text())
    (own / "results.jsonl").touch()
    result = run("runs")
    assert "mine" not in result.stderr
    assert "faces32-style-8" in result.stderr


def test_figures_know_how_one_was_trained_and_say_how_it_is_sampled(zoo_of, tmp_path):
    config = json.loads((zoo_of / "networks/faces32-style-8/config.json").read_text())
    config["dataset"] |= {"name": "faces", "num_images": 1500, "filter": "drawn"}
    (zoo_of / "networks/faces32-style-8/config.json").write_text(json.dumps(config))
    lines = run("figures", "--only", "samples,corner,cosines_w,curves", "--attributes", "Male,Smiling",
                "--out", "first", "--json", "--device", "cpu").stdout.splitlines()  # fmt: skip
    reasons = {one["name"]: one.get("reason") for one in map(json.loads, lines)}
    assert "nothing was measured at the snapshots of faces32-style-8" in reasons["curves"]
    command = "latentlab sample --network faces32-style-8 --classifiers faces32"
    assert f"`{command}` makes some" in reasons["corner"] == reasons["cosines_w"]
    run(*command.split()[1:], "--num-samples", "300", "--device", "cpu")
    (zoo_of / "networks/faces32-style-8/stats.jsonl").write_text('{"kimg": 0.1, "swd": 3}\n{"kimg": 0.2, "swd": 2}\n')
    (zoo_of / "networks/faces32-traditional-0/stats.jsonl").write_text('{"kimg": 0.1, "swd": 4}\n')
    lines = run("figures", "--only", "corner,curves,interpolation", "--attributes", "Male,Smiling", "--pairs", "1",
                "--compare", "faces32-traditional-0", "--out", "two", "--json",
                "--device", "cpu").stdout.splitlines()  # fmt: skip
    drawn = {one["name"]: one for one in map(json.loads, lines)}
    corner, curves = drawn["corner"], drawn["curves"]
    assert drawn["interpolation"]["settings"]["distance"]["name"] == "classifier:faces32"
    assert sum(corner["training_counts"].values()) == 1500
    assert "not left out of the training data" in corner["caption"]
    assert curves["curves"]["faces32-style-8"] == {"swd": {"kimg": [0.1, 0.2], "values": [3, 2]}}
    assert curves["curves"]["faces32-traditional-0"] == {"swd": {"kimg": [0.1], "values": [4]}}


def test_samples_are_named_by_the_network_they_are_of(zoo_of, tmp_path):
    made = "`latentlab sample --network faces32-style-8 --classifiers faces32` makes some"
    for words in ("separability", "directions", "disentanglement", "label", "store info"):
        more = ("--nearest-faces",) if words == "label" else ()
        assert made in run(*words.split(), "faces32-style-8", *more, code=1).stderr
    run("sample", "--network", "faces32-style-8", "--classifiers", "faces32", "--num-samples", "300", "--device", "cpu")
    for named in ("faces32-style-8", "runs/faces32-style-8", "runs/faces32-style-8/run.h5"):
        assert find_store(Path(named)) == Path("runs/faces32-style-8/run.h5")
    run("directions", "faces32-style-8", "--space", "z")
    assert (tmp_path / "runs/faces32-style-8/directions-z.npz").is_file()
    assert "300 of 300" in run("store", "info", "faces32-style-8").stdout
    assert stores("f") == ["faces32-style-8", "faces32-traditional-0"]
    assert stores("runs/") == ["runs/faces32-style-8/run.h5"]


def test_samples_of_own_runs_are_named_the_same_way(zoo_of, tmp_path):
    (tmp_path / "runs/mine/snapshots").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreError, match=r"no samples of mine yet.* `latentlab sample --network mine` makes some"):
        find_store(Path("mine"))
    (tmp_path / "runs/mine/run.h5").touch()
    assert find_store(Path("mine")) == Path("runs/mine/run.h5")
    (tmp_path / "mine").touch()
    assert find_store(Path("mine")) == Path("mine")
    for unknown in ("other", "nobody"):
        assert find_store(Path(unknown)) == Path(unknown)
        assert "no such store of samples" in run("store", "info", unknown, code=1).stderr


def test_who_would_inspect_one_is_told_what_shows_it(zoo_of):
    said = run("networks", "inspect", "faces32-style-8", code=1).stderr
    assert "`latentlab networks list --json`" in said
    assert "`latentlab networks check faces32-style-8`" in said
    assert "name a .pkl file" in run("networks", "inspect", "nothing.pkl", code=1).stderr


def test_unknown_names_list_what_is_bundled(zoo_of):
    with pytest.raises(UnknownNetworkError, match="Bundled: faces32-style-8, faces32-traditional-0"):
        load_generator("faces64")
    with pytest.raises(UnknownNetworkError, match="bundled: faces32"):
        find_classifiers("faces64")


def test_they_are_listed_and_completed(zoo_of):
    assert "faces32-traditional-0" in run("networks", "list").output
    lines = run("networks", "list", "--json").output.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["faces32-traditional-0", "faces32-style-8"]
    assert networks("faces32-s") == ["faces32-style-8"]
    assert classifiers("fa") == ["faces32"]


# ------------------------------------------------------------------------------------------- what really is bundled

PAPERS = {
    "faces32-traditional-0", "faces32-traditional-8", "faces32-style-0", "faces32-style-1", "faces32-style-2",
    "faces32-style-8",
}  # fmt: skip


def test_the_papers_table_4_is_bundled_in_10_mib_each_trained_with_300_000_images():
    found = zoo.bundled()
    assert {one.name for one in found} == PAPERS
    assert all(one.num_images >= 300_000 for one in found)
    records = [{**one.config["trainer"], "mixing_prob": 0} for one in found]
    assert all(record == records[0] for record in records)
    assert len({one.config["dataset"]["fingerprint"] for one in found}) == 1
    assert sum(path.stat().st_size for path in zoo.ROOT.rglob("*") if path.suffix != ".pyc") < 10 * 2**20


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_bundled_weights_are_whole_and_make_faces_that_differ(name):
    generator, network = load_generator(name)
    assert network.name == name
    images = generator.synthesis(generator.mapping(sample_z(0, slice(0, 8), generator.z_dim)), noise_mode="const")
    assert images.shape == (8, 3, 32, 32)
    assert images.std(0).mean() > 0.1


def test_bundled_classifiers_see_what_the_faces_have():
    labeller = load_classifiers(find_classifiers("faces32"))
    drawn = render_faces(12345, np.arange(200), 32)
    right = ((labeller(to_float(drawn.images)) > 0).numpy() == (drawn.labels > 0)).mean()
    assert right > 0.95
