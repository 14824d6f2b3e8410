"""A user's own generator and labeller through the real command line, and what the report says of W = Z."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from attribute_classifiers.network import AttributeClassifiers, initialise, save_classifiers
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab.checkpoint import save_generator
from latentlab.cli import app
from latentlab.networks import DiscriminatorConfig, Generator, GeneratorConfig, initialised
from latentlab.report import read_run
from latentlab.report.rows import main_rows
from latentlab.report.sentences import headline, kind, missing_parts

ROOT = Path(__file__).parent.parent
CODE = """
import torch
from torch import nn
import latentlab

torch.manual_seed(0)
paint = nn.Sequential(nn.Linear(6, 3 * 16 * 16), nn.Tanh()).eval()
bend = nn.Sequential(nn.Linear(6, 6), nn.Tanh()).eval()

def picture(w):
    return paint(w).reshape(-1, 3, 16, 16)

def plain():
    return latentlab.wrap_generator(synthesis=picture, z_dim=6)

def mapped():
    return latentlab.wrap_generator(mapping=bend, synthesis=picture, z_dim=6)

def small():
    return latentlab.wrap_generator(synthesis=lambda w: picture(w)[:, :, :4, :4], z_dim=6)

def broken():
    return 3

class Quarters:
    attributes, resolution = ["left", "right"], 8
    def __call__(self, images):
        assert images.shape[1:] == (3, 8, 8)
        return torch.stack([images[..., :4].mean(dim=(1, 2, 3)), images[..., 4:].mean(dim=(1, 2, 3))], dim=1) * 30
"""


def run(*arguments: object, code: int = 0) -> str:
    """Run a command; standard output and standard error together."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """What the commands leave for the generators of my_networks.py, with and without mapping."""
    root, patch = tmp_path_factory.mktemp("own"), pytest.MonkeyPatch()
    patch.chdir(root)
    patch.setattr(sys, "path", list(sys.path))
    (root / "my_networks.py").write_text(CODE)
    config = ClassifierConfig(
        trunk="shared", attributes=("Red",), training=TrainingConfig(num_images=10, batch_size=2, learning_rate=0.01),
        network=DiscriminatorConfig(resolution=8, fmap_base=32, fmap_max=4),
    )  # fmt: skip
    card = {"name": "tiny", "trunk": "shared", "dataset": {}, "attributes": []}
    save_classifiers(root / "classifiers/tiny", initialise(AttributeClassifiers(config), 0), dataset={}, card=card)
    for factory in ("plain", "mapped"):
        sample = ("sample", "--network", f"my_networks:{factory}", "--classifiers", "my_networks:Quarters")
        run(*sample, "--num-samples", 300, "--device", "cpu")
        spaces = ("z", "w") if factory == "mapped" else ("z",)
        for space in spaces:
            ppl = ("ppl", "--network", f"my_networks:{factory}", "--space", space, "--distance", "classifier:tiny")
            run(*ppl, "--num-samples", 20, "--no-crop", "--device", "cpu")
    yield root
    patch.undo()
    sys.modules.pop("my_networks", None)


@pytest.fixture
def inside(workplace, monkeypatch) -> Path:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return workplace


def test_samples_and_results_lie_under_the_factorys_name(inside):
    folder = inside / "runs/my_networks-plain"
    with h5py.File(folder / "run.h5") as file:
        assert json.loads(file.attrs["network"])["name"] == "my_networks:plain"
        assert json.loads(file.attrs["classifiers"])["name"] == "my_networks:Quarters"
        assert list(file.attrs["attributes"]) == ["left", "right"]
        assert np.array_equal(file["z"][:], file["w"][:])
        assert not file.attrs["has_mapping"]
    line = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
    assert (line["metric"], line["network"]["name"]) == ("ppl_zfull", "my_networks:plain")
    assert line["protocol"]["interpolation"] == "slerp, lengths interpolated"


def test_sampling_goes_on_and_says_what_w_is(inside):
    again = run(
        "sample", "--network", "my_networks:plain", "--classifiers", "none", "--num-samples", 20, "--out", "extra.h5"
    )
    assert "network my_networks:plain, classifiers none" in again
    assert "no mapping network: its W is Z" in again


def test_separability_says_what_w_is(inside):
    plain = run("separability", "runs/my_networks-plain/run.h5", "--results", "ls.jsonl")
    assert "no mapping network: W is Z, so only Z is measured" in plain
    assert [json.loads(line)["metric"] for line in (inside / "ls.jsonl").read_text().splitlines()] == ["ls_z"]
    mapped = run("separability", "runs/my_networks-mapped/run.h5", "--results", "ls2.jsonl")
    assert "no mapping network" not in mapped
    assert len((inside / "ls2.jsonl").read_text().splitlines()) == 2


def test_path_length_in_w_is_refused_without_a_mapping(inside):
    ppl = ("ppl", "--network", "my_networks:plain", "--distance", "classifier:tiny", "--num-samples", 10, "--no-crop")
    assert "no mapping network, so its W is only Z: measure space z" in run(*ppl, "--space", "w", code=2)


def test_the_report_shows_own_generators_and_says_what_w_is(inside):
    assert "has no config.json" in run("report", "runs/my_networks-plain", "--out", "report", code=1)
    run("report", "my_networks:plain", "my_networks:mapped", "--out", "report")
    page = (inside / "report/index.html").read_text()
    assert "no mapping network: W is Z<" in page.replace("\n", "")
    assert "my_networks-plain has no mapping network, so only Z can be judged" in page
    assert "my_networks:plain, no mapping" in page
    assert "without a mapping there is no W of its own" in page
    assert "latentlab train" not in "".join(missing_parts(read_run("runs/my_networks-plain")))
    run("report", "runs/my_networks-plain", "--out", "again")  # its generator.json is there now


def test_what_a_report_reads_of_own_generators(inside):
    run("report", "my_networks:plain", "my_networks:mapped", "--out", "other")
    plain, mapped = (read_run(f"runs/my_networks-{name}") for name in ("plain", "mapped"))
    assert (plain.foreign, plain.depth, mapped.depth) == ("my_networks:plain", 0, None)
    assert main_rows([plain])[1].note == "no mapping network: W is Z"
    assert kind(mapped) == "my_networks:mapped"
    assert "straighter" in headline(mapped) or "curved" in headline(mapped) or "open" in headline(mapped)
    assert set(plain.previews) == {"samples", "interpolation_z"}
    assert set(mapped.previews) == {"samples", "interpolation_z", "interpolation_w"}


def test_small_images_are_enlarged_with_one_warning(inside):
    words = ["sample", "--network", "my_networks:small", "--classifiers", "my_networks:Quarters", "--out", "small.h5"]
    command = [sys.executable, "-m", "latentlab", *words, "--num-samples", "200", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert re.findall("^latentlab: warning: .*$", done.stderr, re.MULTILINE) == [
        "latentlab: warning: images of 4x4 pixels are enlarged to 8x8, which the classifiers take: they look blurred "
        "to them, and what they answer is less sure."
    ]


# ---------------------------------------------------------------------------------------------------- networks check


def test_check_says_what_fits(inside):
    printed = run("networks", "check", "my_networks:plain")
    assert printed.startswith("my_networks:plain fits.\n")
    assert "img_resolution:   16\n" in printed
    assert "has_mapping:      no\n" in printed
    assert "W is Z, and measurements are taken in Z alone" in printed
    found = json.loads(run("networks", "check", "my_networks:mapped", "--json"))
    assert (found["fits"], found["problems"], found["suspicions"]) == (True, [], [])
    assert found["facts"]["has_mapping"] is True
    assert found["sha256"] == json.loads(run("networks", "check", "my_networks:mapped", "--json"))["sha256"]


def test_check_looks_at_runs_too(inside):
    snapshot = inside / "runs/trained/snapshots/000000001"
    snapshot.mkdir(parents=True)
    shape = GeneratorConfig(resolution=16, fmap_base=32, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4)
    save_generator(snapshot, initialised(lambda: Generator(shape), 0).eval(), {})
    found = json.loads(run("networks", "check", "trained", "--json"))
    assert (found["name"], found["fits"], found["facts"]["num_ws"]) == ("trained@000000001", True, 6)
    assert "trained" in run("networks", "check", "untrained", code=2)


def test_check_says_what_does_not_fit(inside):
    printed = run("networks", "check", "my_networks:broken", code=1)
    assert printed.startswith("my_networks:broken cannot be measured as it is:\n- it has no attribute z_dim")
    found = json.loads(run("networks", "check", "my_networks:broken", "--json", code=1))
    assert not found["fits"]
    assert len(found["problems"]) == 7
    assert "my_networks has no other; it has" in run("networks", "check", "my_networks:other", code=2)
    first, *_ = run("networks", "check", "my_networks:other", "--json", code=2).splitlines()
    assert json.loads(first)["fits"] is False


@pytest.mark.parametrize("command", ["sample", "ppl", "report"])
def test_every_command_says_what_is_wrong_with_a_generator(inside, command):
    arguments = {
        "sample": ("--network", "my_networks:broken", "--classifiers", "none"),
        "ppl": ("--network", "my_networks:broken", "--distance", "classifier:tiny"),
        "report": ("my_networks:broken", "--out", "never"),
    }[command]
    printed = run(command, *arguments, code=2)
    assert "latentlab: my_networks:broken cannot be measured as it is:" in printed
    assert "Traceback" not in printed
    assert not (inside / "runs/my_networks-broken").exists()


def test_labellers_that_do_not_exist_are_named(inside):
    common = ("sample", "--network", "my_networks:plain", "--num-samples", 10, "--out", "x.h5", "--classifiers")
    assert "there is no file other.onnx" in run(*common, "other.onnx", code=2)
    assert "holds tiny" in run(*common, "nobody", code=2)
    assert "there is no module nobody" in run(*common, "nobody:make", code=2)
    assert not (inside / "x.h5").exists()
