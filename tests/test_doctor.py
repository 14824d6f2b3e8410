"""What `latentlab doctor` says of machines and installations in which something is broken or missing."""

import dataclasses
import json
import subprocess
import sys
import types

import pytest
import torch
from typer.testing import CliRunner

import latentlab.doctor
from latentlab.cli import app
from latentlab.doctor import asking, examine, probes
from latentlab.doctor.form import Answer, Finding, Place
from latentlab.doctor.verdicts import judge

WEIGHTS = [
    {"name": "vgg16", "needed_for": "ppl", "megabytes": 553.4, "path": "/w/vgg16.pth", "bytes": 553400000,
     "fitting": True, "instead": "`ppl --distance classifier:faces32`"},
    {"name": "inception", "needed_for": "fid", "megabytes": 95.6, "path": "/w/i.pth", "bytes": 95600000,
     "fitting": True, "instead": "`fid --features classifier:faces32`"},
]  # fmt: skip
GPU = {"name": "Quick 9000", "memory": 80 * 2**30, "free": 79 * 2**30, "capability": "9.0", "bfloat16": True,
       "tf32": True, "error": ""}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The report on this machine, in an empty folder with a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return examine()


@pytest.fixture
def healthy(here):
    """A report on a machine on which everything works."""
    packages = tuple(
        dataclasses.replace(one, version=one.version or "1.0", error="", wants_torch=None) for one in here.packages
    )
    answers = {**here.answers, "weights": Answer({"found": WEIGHTS}), "networks": Answer({"found": []})}
    answers["cuda"] = Answer({"built_for": "13.0", "driver": None, "architectures": [], "devices": []})
    answers["torch's settings"] = Answer({"threads": 2, "capability": "AVX2", "mps": False, "cache": "/w"})
    answers["browser"] = Answer({"path": "/usr/bin/chromium"})
    processor = dataclasses.replace(here.processor, cores=2, threads=2)
    memory = dataclasses.replace(here.memory, available=2**34)
    places = tuple(dataclasses.replace(one, free=2**40, error="") for one in here.places)
    parts = {"packages": packages, "answers": answers, "processor": processor, "memory": memory, "places": places}
    report = dataclasses.replace(here, **parts, environment={}, findings=())
    assert list(judge(report)) == []
    return report


def with_package(report, name, **changes):
    packages = [dataclasses.replace(one, **changes) if one.name == name else one for one in report.packages]
    return dataclasses.replace(report, packages=tuple(packages))


def with_answer(report, question, facts=None, error="", **changes):
    facts = {**report.facts(question), **changes} if changes else facts
    return dataclasses.replace(report, answers={**report.answers, question: Answer(facts, error)})


def only_finding(report):
    (found,) = judge(report)
    return found


def printed(monkeypatch, report, *words):
    monkeypatch.setattr(latentlab.doctor, "examine", lambda: report)
    return CliRunner().invoke(app, ["doctor", *words])


def test_the_machine_that_runs_the_tests_can_be_used(here):
    assert here.usable
    assert here.facts("faces") == {"shape": [32, 32, 3], "attributes": 40}
    assert here.facts("torch's settings")["threads"] >= 1
    assert {place.purpose for place in here.places} == {"results", "cache", "weights"}
    assert [one["name"] for one in here.facts("weights")["found"]] == ["vgg16", "alexnet", "squeezenet", "inception"]
    assert all("classifier:faces32" in one["instead"] for one in here.facts("weights")["found"])


def test_one_json_object_holds_everything(monkeypatch, here):
    result = printed(monkeypatch, here, "--json")
    record = json.loads(result.stdout)
    assert record["usable"] is True
    assert {one["name"]: one["version"] for one in record["packages"]}["torch"] == torch.__version__.partition("+")[0]
    assert record["faces"] == {"shape": [32, 32, 3], "attributes": 40, "error": ""}
    assert record["networks"] == {"found": [], "error": ""}
    assert [set(one) for one in record["findings"]] == [{"what", "remedy", "essential"}] * len(here.findings)


def test_nothing_is_found_where_everything_works(monkeypatch, healthy):
    result = printed(monkeypatch, healthy)
    assert result.exit_code == 0
    assert "Everything works here." in result.stdout


def test_missing_weights_are_named_with_what_needs_them(monkeypatch, healthy):
    missing = [WEIGHTS[0], {**WEIGHTS[1], "path": None, "bytes": None, "fitting": False}]
    report = with_answer(healthy, "weights", {"found": missing})
    found = only_finding(report)
    assert found.what == "fid: the weights inception (95.6 MB) are missing"
    assert found.remedy.startswith("`latentlab weights fetch inception`")
    assert found.remedy.endswith("; `fid --features classifier:faces32`")
    result = printed(monkeypatch, dataclasses.replace(report, findings=(found,)))
    assert result.exit_code == 0
    assert "- fid: the weights inception (95.6 MB) are missing.\n  What to do: `latentlab weights" in result.stdout


def test_weights_that_were_cut_short_are_to_be_fetched_again(healthy):
    short = [WEIGHTS[0], {**WEIGHTS[1], "bytes": 1_000_000, "fitting": False}]
    assert "1.0 MB in place of 95.6" in only_finding(with_answer(healthy, "weights", {"found": short})).what


def test_a_missing_browser_costs_reports_as_pdf_alone(monkeypatch, healthy):
    report = with_answer(healthy, "browser", {"path": None})
    found = only_finding(report)
    assert found.what.startswith("report --format pdf: there is no Chromium")
    assert not found.essential
    assert "no Chromium, Chrome or Edge prints them" in printed(monkeypatch, report).stdout
    assert "/usr/bin/chromium" in printed(monkeypatch, healthy).stdout


def test_torch_and_torchvision_that_do_not_fit_are_named_together(healthy):
    error = "RuntimeError: operator torchvision::nms does not exist"
    report = with_package(healthy, "torch", version="2.8.0+cpu")
    report = with_package(report, "torchvision", version="0.20.1", error=error, wants_torch="==2.5.1")
    report = with_package(report, "lpips", error="it needs torchvision, which does not work")
    report = with_answer(report, "weights", error="it needs torchvision, which does not work")
    found = only_finding(report)
    assert error in found.what
    assert "asks for torch ==2.5.1, and torch is 2.8.0+cpu" in found.what
    assert "pip install --force-reinstall torch torchvision" in found.remedy
    assert found.essential


@pytest.mark.parametrize(("wanted", "fits"), [("==2.8.0", True), (">=2.6", True), ("==2.8.1", False), (">=2.9", False)])
def test_a_torch_that_a_package_does_not_ask_for_is_said_even_if_it_loads(healthy, wanted, fits):
    report = with_package(healthy, "torch", version="2.8.0+cu128")
    report = with_package(report, "torchvision", wants_torch=wanted)
    found = list(judge(report))
    assert not found if fits else [one.essential for one in found] == [False]


def test_without_torch_nothing_essential_works(monkeypatch, healthy):
    report = with_package(healthy, "torch", version=None, error="ModuleNotFoundError: No module named 'torch'")
    for name in ("torchvision", "lpips", "torch-fidelity"):
        report = with_package(report, name, error="it needs torch, which does not work")
    for question in ("torch's settings", "cuda", "weights"):
        report = with_answer(report, question, error="it needs torch, which does not work")
    found = only_finding(report)
    assert found.what.endswith("torch is not installed")
    result = printed(monkeypatch, dataclasses.replace(report, findings=(found,)))
    assert result.exit_code == 1
    assert "BROKEN: train, classifiers" in result.stdout


def test_an_extra_that_is_not_installed_breaks_nothing(healthy):
    found = only_finding(with_package(healthy, "onnxruntime", version=None, error="ModuleNotFoundError"))
    assert (found.essential, "pip install 'latentlab[onnx]'" in found.remedy) == (False, True)


def test_a_cache_that_cannot_be_written_is_essential(monkeypatch, healthy):
    places = [
        dataclasses.replace(one, error="Read-only file system") if one.purpose == "cache" else one
        for one in healthy.places
    ]
    report = dataclasses.replace(healthy, places=tuple(places))
    found = only_finding(report)
    assert found.essential
    assert "LATENTLAB_CACHE" in found.remedy
    assert printed(monkeypatch, dataclasses.replace(report, findings=(found,))).exit_code == 1


def test_a_full_disk_is_found(healthy):
    full = Place("results", healthy.places[0].path, 5 * 2**20, 2**40)
    found = only_finding(dataclasses.replace(healthy, places=(full, *healthy.places[1:])))
    assert "0.00 GiB are free" in found.what
    assert "make room" in found.remedy


@pytest.mark.parametrize(
    ("facts", "hidden", "words"),
    [
        ({"built_for": None}, None, "torch was built without CUDA"),
        ({"built_for": "13.0"}, "", "CUDA_VISIBLE_DEVICES='' hides"),
        ({"built_for": "13.0"}, None, "built for CUDA 13.0, finds no device under driver 470.1"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_said_with_the_reason(healthy, facts, hidden, words):
    report = with_answer(healthy, "cuda", driver="470.1", **facts)
    if hidden is not None:
        report = dataclasses.replace(report, environment={"CUDA_VISIBLE_DEVICES": hidden})
    assert words in only_finding(report).what


def test_gpus_are_listed_and_one_that_does_not_compute_is_found(monkeypatch, healthy):
    bad = {**GPU, "name": "Slow 10", "error": "no kernel image is available", "tf32": False, "bfloat16": False}
    report = with_answer(healthy, "cuda", driver="580.1", devices=[GPU, bad], architectures=["sm_90"])
    found = only_finding(report)
    assert found.what == "--device cuda:1: Slow 10 does not compute (no kernel image is available)"
    text = printed(monkeypatch, report).stdout
    assert "Quick 9000, 79.0 GiB free of 80.0 GiB, capability 9.0, bfloat16 and TF32" in text
    assert "neither bfloat16 nor TF32" in text


def test_more_threads_than_cores_are_slow(healthy):
    processor = dataclasses.replace(healthy.processor, threads=64)
    assert only_finding(dataclasses.replace(healthy, processor=processor)).remedy == "set OMP_NUM_THREADS=2"


def test_little_memory_is_found(healthy):
    memory = dataclasses.replace(healthy.memory, available=2**28)
    assert "0.25 GiB of memory" in only_finding(dataclasses.replace(healthy, memory=memory)).what


def test_variables_that_torchrun_left_behind_are_found(healthy):
    left = {"RANK": "0", "WORLD_SIZE": "4"}
    assert "WORLD_SIZE=4" in only_finding(dataclasses.replace(healthy, environment=left)).what
    assert list(judge(dataclasses.replace(healthy, environment={**left, "TORCHELASTIC_RUN_ID": "1"}))) == []


def test_damaged_networks_and_classifiers_are_found(healthy):
    run = {"path": "runs/a", "state": "damaged", "reason": "config.json is missing", "settings": ""}
    one = {"path": "classifiers/b", "attributes": 0, "reason": "its weights are missing"}
    report = with_answer(healthy, "networks", {"found": [run]})
    report = with_answer(report, "classifiers", {"found": [one]})
    assert [found.what for found in judge(report)] == [
        "runs/a: the run is damaged (config.json is missing)",
        "classifiers/b: its weights are missing",
    ]


@pytest.mark.parametrize("question", ["faces", "networks", "classifiers", "data", "cache folder", "cuda", "weights"])
def test_a_question_that_fails_is_a_finding(monkeypatch, healthy, question):
    report = with_answer(healthy, question, error="OSError: disk on fire")
    found = only_finding(report)
    assert isinstance(found, Finding)
    assert "disk on fire" in found.what
    assert printed(monkeypatch, report).exit_code == 0


def fake_package(folder, module, code, monkeypatch):
    (folder / module).mkdir(parents=True)
    (folder / module / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))


def test_a_package_that_cannot_be_imported_is_an_answer(tmp_path, monkeypatch):
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    fake_package(tmp_path, "torchvision", code, monkeypatch)
    answers = asking.ask([("torchvision", "lpips", "weights", "pillow")])
    assert answers["torchvision"].error == "RuntimeError: operator torchvision::nms does not exist"
    assert answers["lpips"].error == answers["weights"].error == "it needs torchvision, which does not work"
    assert answers["pillow"].error == ""


def test_a_package_that_ends_its_process_is_an_answer_and_others_are_still_asked(tmp_path, monkeypatch):
    code = "import os, sys\nprint('noise')\nprint('cannot load libc10', file=sys.stderr, flush=True)\nos.abort()"
    fake_package(tmp_path, "sklearn", code, monkeypatch)
    answers = asking.ask([("safetensors", "scikit-learn", "pillow")])
    assert answers["scikit-learn"].error == "its process was ended by SIGABRT: cannot load libc10"
    assert answers["safetensors"].error == answers["pillow"].error == ""


def test_a_package_that_hangs_is_given_up(tmp_path, monkeypatch):
    fake_package(tmp_path, "sklearn", "import time\ntime.sleep(100)", monkeypatch)
    monkeypatch.setattr(asking, "PATIENCE", 5.0)
    answers = asking.ask([("scikit-learn", "pillow")])
    assert answers["scikit-learn"].error == "no answer within 5 s"
    assert answers["pillow"].error == ""


def test_what_a_package_prints_does_not_disturb(tmp_path, monkeypatch):
    fake_package(tmp_path, "sklearn", "print('{\"question\": 1}')\n__version__ = '9'", monkeypatch)
    assert asking.ask([("scikit-learn",)]) == {"scikit-learn": Answer({"version": "9"})}


def test_a_package_that_is_missing_is_an_answer(monkeypatch):
    monkeypatch.setattr(asking.sys, "path", [path for path in asking.sys.path if "site-packages" not in path])
    assert asking.ask([("lpips",)])["lpips"].error == "ModuleNotFoundError: No module named 'lpips'"


@pytest.fixture
def two_gpus(monkeypatch):
    """torch.cuda as on a machine with an Ampere and a Turing device, of which the second computes nothing."""
    properties = [
        types.SimpleNamespace(name="Ampere", major=8, minor=0, total_memory=40 * 2**30),
        types.SimpleNamespace(name="Turing", major=7, minor=5, total_memory=16 * 2**30),
    ]

    def ones(size, device):
        if device == "cuda:1":
            raise RuntimeError("CUDA error: no kernel image is available\nmore words")
        return torch.full((size,), 1.0)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties[number])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (2**30, properties[number].total_memory))
    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(probes, "driver_version", lambda: "580.1")


def test_cuda_devices_are_looked_at_one_by_one(two_gpus):
    facts = probes.cuda()
    assert (facts["driver"], facts["architectures"]) == ("580.1", ["sm_80"])
    first, second = facts["devices"]
    assert first == {"name": "Ampere", "memory": 40 * 2**30, "free": 2**30, "capability": "8.0", "bfloat16": True,
                     "tf32": True, "error": ""}  # fmt: skip
    assert (second["capability"], second["tf32"]) == ("7.5", False)
    assert second["error"] == "CUDA error: no kernel image is available"


def test_what_lies_in_a_folder_is_found(tmp_path, monkeypatch):
    import h5py

    monkeypatch.chdir(tmp_path)
    assert probes.networks() == probes.classifiers() == probes.data() == {"found": []}
    for name in ("runs/a", "networks/ffhq", "classifiers/quick", "classifiers/torn", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/a/config.json").write_text("{}")
    (tmp_path / "networks/ffhq/network.json").write_text('{"family": "stylegan2"}')
    (tmp_path / "classifiers/quick/config.json").write_text('{"attributes": ["Male", "Young"]}')
    (tmp_path / "classifiers/quick/classifiers.safetensors").touch()
    (tmp_path / "classifiers/torn/config.json").write_text("[")
    (tmp_path / "data/torn.h5").write_text("no HDF5")
    for name, kind in (("photos.h5", "images"), ("run.h5", "samples")):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs.update({"kind": kind, "resolution": 32, "num_images": 7})
    run, network = probes.networks()["found"]
    assert (run["path"], run["state"]) == ("runs/a", "damaged")
    assert network == {"path": "networks/ffhq", "state": "converted", "reason": "", "settings": "stylegan2"}
    quick, torn = probes.classifiers()["found"]
    assert (quick["attributes"], quick["reason"], torn["reason"]) == (2, "", "its weights are missing")
    assert probes.data() == {"found": [{"path": "photos.h5", "resolution": 32, "num_images": 7}]}


def test_weights_of_the_right_size_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    squeezenet = next(one for one in probes.weights()["found"] if one["name"] == "squeezenet")
    assert (squeezenet["path"], squeezenet["fitting"]) == (None, False)
    with (tmp_path / "checkpoints" / squeezenet["file"]).open("wb") as file:
        file.truncate(round(squeezenet["megabytes"] * 1e6))
    assert next(one for one in probes.weights()["found"] if one["name"] == "squeezenet")["fitting"]


def test_only_processes_of_their_own_import_what_may_be_broken():
    script = "import sys\nfrom latentlab.doctor import examine\nexamine()\n"
    script += "print(sorted({'torch', 'numpy', 'h5py', 'PIL', 'platformdirs', 'filelock'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
