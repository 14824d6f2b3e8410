"""Official network files are read as data: every form, every protocol, and what other files are told to be."""

import gzip
import hashlib
import json
import pickle
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from official_files import (
    SOURCE,
    EasyDict,
    Network,
    dumped,
    module_tree,
    pytorch_pickle,
    random_tensors,
    tensorflow_network,
    tensorflow_pickle,
)

from latentlab.errors import CheckpointError
from latentlab.interop.pickles import Limits, open_official
from latentlab.interop.pickles.budget import Budget
from latentlab.interop.pickles.torch_storages import load_storage
from latentlab.interop.stylegan import generator_from_variables

STYLEGAN2 = {
    "synthesis.b4.const": [4, 4, 4], "synthesis.b4.resample_filter": [4, 4], "synthesis.b4.conv1.weight": [4, 4, 3, 3],
    "synthesis.b4.conv1.noise_strength": [], "synthesis.b4.conv1.bias": [4], "synthesis.b4.conv1.noise_const": [4, 4],
    "synthesis.b4.conv1.affine.weight": [4, 4], "mapping.fc0.weight": [4, 4], "mapping.fc0.bias": [4],
    "mapping.w_avg": [4],
}  # fmt: skip
STYLEGAN3 = {
    "synthesis.input.weight": [4, 4], "synthesis.input.freqs": [4, 2], "synthesis.input.affine.weight": [4, 4],
    "synthesis.L0_36_4.weight": [4, 4, 3, 3], "synthesis.L0_36_4.magnitude_ema": [], "mapping.fc0.weight": [4, 4],
}  # fmt: skip
KWARGS = {"z_dim": 4, "c_dim": 0, "mapping_kwargs": {"num_layers": 1}, "conv_clamp": None, "half": np.float64(0.5)}


def generator(shapes=STYLEGAN2, seed=0, **more):
    return module_tree("Generator", random_tensors(shapes, seed), init_kwargs=KWARGS, **more)


def stylegan(recording, name="Gs", seed=0, **more):
    variables = {key: value + np.float32(seed) for key, value in recording("style_d8_vars.npz").items()}
    return tensorflow_network(name, variables, recording("style_d8.json")["static_kwargs"], **more)


def refusal(path, **limits):
    with pytest.raises(CheckpointError) as caught:
        open_official(path, limits=Limits(**limits) if limits else None)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path)).strip()


@pytest.mark.parametrize(("protocol", "numpy_1"), [(2, True), (3, True), (3, False), (4, False), (5, False)])
def test_every_tensor_of_a_pytorch_file_is_read_exactly(tmp_path, protocol, numpy_1):
    modules = {"G": generator(), "D": module_tree("Discriminator", {"b4.fc.weight": torch.ones(2, 2)}),
               "G_ema": generator(seed=1, attributes={"num_ws": 2, "size": np.array([36, 36])}),
               "augment_pipe": None}  # fmt: skip
    path = pytorch_pickle(tmp_path / "n.pkl", modules, protocol=protocol, numpy_1=numpy_1)
    found = open_official(path)
    assert (found.kind, found.protocol) == ("StyleGAN2-ADA / StyleGAN3, PyTorch", protocol)
    assert list(found.networks) == ["G", "D", "G_ema"]
    assert found.extras == {"augment_pipe": None, "training_set_kwargs": {"class_name": "training.dataset.X"}}
    for name, network in found.networks.items():
        state = modules[name].state_dict()
        assert list(network.tensors) == list(state)
        assert all(torch.equal(network.torch(key), tensor) for key, tensor in state.items())
        assert network.num_parameters == sum(tensor.numel() for tensor in modules[name].parameters())
    network = found.networks["G_ema"]
    assert network.config == KWARGS
    assert network.record.attributes == {"training": False, "num_ws": 2, "size": [36, 36]}
    assert network.record.modules["mapping"].init_args == [4]
    assert network.record.source_sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()


def test_architectures_are_told_by_the_tree(tmp_path):
    modules = {
        "G_ema": generator(STYLEGAN3), "G": generator(), "D": module_tree("Discriminator", {"b4.x": 1.0}),
        "augment_pipe": module_tree("AugmentPipe", {"p": 1.0}), "E": module_tree("Encoder", {"p": 1.0}),
    }  # fmt: skip
    networks = open_official(pytorch_pickle(tmp_path / "n.pkl", modules)).networks
    found = {name: network.architecture for name, network in networks.items()}
    assert found == {"G_ema": "StyleGAN3 generator", "G": "StyleGAN2 generator", "D": "StyleGAN2 discriminator",
                     "augment_pipe": "augmentation", "E": "unknown"}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_variable_of_a_tensorflow_file_is_read_exactly(tmp_path, recording, protocol):
    networks = [stylegan(recording, name, seed) for seed, name in enumerate(("G", "D", "Gs"))]
    found = open_official(tensorflow_pickle(tmp_path / "n.pkl", *networks, protocol=protocol))
    assert found.kind == "(G, D, Gs), TensorFlow"
    assert list(found.networks) == ["G", "D", "Gs"]
    gs = found.networks["Gs"]
    expected = {key: value + np.float32(2) for key, value in recording("style_d8_vars.npz").items()}
    assert gs.tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert gs.tensors[name].dtype == value.dtype
        assert np.array_equal(gs.tensors[name], value)
    assert (gs.architecture, gs.class_name, gs.record.version) == ("StyleGAN generator", "G_style", 2)
    assert gs.config == recording("style_d8.json")["static_kwargs"]
    assert set(gs.record.components) == {"mapping", "synthesis"}
    made = generator_from_variables(gs.tensors, gs.config)
    assert np.array_equal(made.w_avg.numpy(), expected["dlatent_avg"])


@pytest.mark.parametrize("recorded", ["style_d8", "trad_d0", "d_basic"])
def test_parameters_are_counted_as_tensorflow_did(tmp_path, recording, recorded):
    about = recording(f"{recorded}.json")
    network = tensorflow_network(
        "N", recording(f"{recorded}_vars.npz"), about["static_kwargs"], build_func_name=about["build_func_name"]
    )
    (found,) = open_official(tensorflow_pickle(tmp_path / "n.pkl", network)).networks.values()
    shapes = about["var_shapes"]
    trained = [name for name in shapes if not name.endswith(("lod", "dlatent_avg")) and "/noise" not in name]
    assert found.parameters == set(trained)
    assert found.num_values == sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.parametrize("module", ["tfutil", "network"])
def test_older_networks_without_components_are_read(tmp_path, module):
    variables = [("lod", np.float32(0)), ("4x4/Dense/weight", np.ones((2, 2)))]
    state = {
        "version": 2, "name": "Gs", "static_kwargs": EasyDict(resolution=8), "build_module_src": SOURCE,
        "build_func_name": "G_paper", "variables": variables,
    }  # fmt: skip
    data = dumped(Network(state), 3).replace(b"cdnnlib.tflib.network\n", f"c{module}\n".encode())
    (tmp_path / "n.pkl").write_bytes(data)
    found = open_official(tmp_path / "n.pkl")
    assert found.kind == "one network, TensorFlow"
    assert found.networks["Gs"].architecture == "progressive GAN generator"
    assert found.networks["Gs"].config == {"resolution": 8}


def test_dicts_may_come_without_attributes(tmp_path):
    """As `}b` behind an EasyDict, in which older Pythons may have written that it has none."""
    network = Network({"version": 2, "name": "G", "static_kwargs": EasyDict(), "build_module_src": "", "variables": [],
                       "build_func_name": "D_basic"})  # fmt: skip
    data, places = re.subn(rb"(EasyDict\nq.\)\x81q.)", rb"\1}b", dumped(network, 2))
    assert places == 1
    (tmp_path / "n.pkl").write_bytes(data)
    assert open_official(tmp_path / "n.pkl").networks["G"].config == {}


def test_one_module_alone_is_read(tmp_path):
    (tmp_path / "n.pkl").write_bytes(dumped(generator()))
    found = open_official(str(tmp_path / "n.pkl"))
    assert found.kind == "one module, PyTorch"
    assert list(found.networks) == ["Generator"]


def test_layouts_types_and_absent_tensors(tmp_path):
    tensors = {
        "last": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "part": torch.ones(8)[2:5], "turned": torch.arange(6.0).reshape(2, 3).T, "empty": torch.empty(0, 3),
        "small": torch.ones(2, dtype=torch.float16), "none": None, "flag": torch.tensor([True, False]),
        "whole": torch.tensor(7), "octets": torch.tensor([1, 2], dtype=torch.uint8),
    }  # fmt: skip
    root = module_tree("Generator", tensors)
    root.register_buffer("hidden", torch.ones(1), persistent=False)
    root.unknown_hooks_of_newer_versions = {}
    root._unknown_hooks_of_newer_versions = EasyDict({7: "x"})
    found = open_official(pytorch_pickle(tmp_path / "n.pkl", {"G": root})).networks["G"]
    assert found.tensors.keys() == root.state_dict().keys()
    for name, tensor in root.state_dict().items():
        assert torch.equal(found.torch(name), tensor)
        assert found.torch(name).dtype == tensor.dtype
    assert found.record.buffers["none"] is None
    assert not found.tensors["last"].flags.writeable


def test_nested_streams_are_read_as_torch_reads_them():
    for dtype in (torch.float32, torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool):
        storage = torch.arange(7).to(dtype).untyped_storage()
        typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)
        data = typed.__reduce__()[1][0]
        found = load_storage((memoryview(data),), Budget(Limits()))
        assert bytes(found.data) == bytes(storage)
        assert found.count == 7
        assert torch.from_numpy(np.frombuffer(found.data, found.dtype).copy()).dtype == dtype


def test_hashes_follow_contents_and_not_files(tmp_path):
    def sha256(protocol, seed=0, shapes=STYLEGAN2):
        path = pytorch_pickle(tmp_path / "n.pkl", {"G": generator(shapes, seed)}, protocol=protocol)
        return open_official(path).networks["G"].sha256, open_official(path).sha256

    assert sha256(3)[0] == sha256(4)[0]
    assert sha256(3)[1] != sha256(4)[1]
    assert len({sha256(3)[0], sha256(3, seed=1)[0], sha256(3, shapes={**STYLEGAN2, "mapping.w_avg": [1, 4]})[0]}) == 3


def test_reading_loads_no_torch(tmp_path):
    path = pytorch_pickle(tmp_path / "n.pkl", {"G": generator()})
    script = "import sys; from latentlab.interop.pickles import open_official\n"
    script += f"open_official({str(path)!r}).networks['G'].sha256; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


OTHERS = {
    "empty": (b"", "is empty"),
    "page": (b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>", "is an HTML page: the download failed"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a git-lfs pointer"),
    "text": ("Weights of a network, Straße 1\n".encode() * 300, "is a text file"),
    "protocol 0": (pickle.dumps([1], 0), "is a text file, not a pickle of protocol 2 to 5"),
    "gzip": (gzip.compress(b"x"), "is compressed (gzip): unpack it first"),
    "bytes": (bytes(range(200, 256)), "begins with the bytes c8 c9 ca"),
    "protocol 9": (b"\x80\x09N.", "names protocol 9"),
    "zip in half": (b"PK\x03\x04" + bytes(40), "cut short or damaged"),
    "list": (pickle.dumps([1, 2]), "is a pickle of a list of 2, not of official networks"),
    "number": (pickle.dumps(3), "is a pickle of type int"),
    "settings": (pickle.dumps({"lr": 1, "\x1b[31m": 2}), "is a pickle of a dict with the keys lr, \\x1b[31m"),
    "more behind": (pickle.dumps({"a": 1}) + b"xx", "has 2 bytes behind the end"),
    "class": (pickle.dumps(zipfile.ZipFile), "refers to zipfile.ZipFile"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_told_apart(tmp_path, name):
    data, said = OTHERS[name]
    (tmp_path / "n.pkl").write_bytes(data)
    assert said in refusal(tmp_path / "n.pkl")


def test_checkpoints_of_torch_are_told_apart(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pt")
    assert "checkpoint of torch.save (a zip archive" in refusal(tmp_path / "new.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "checkpoint of torch.save (in its old form)" in refusal(tmp_path / "old.pt")
    _zip(tmp_path / "n.zip", ["networks/n.pkl"])
    assert "is a zip archive: unpack it first" in refusal(tmp_path / "n.zip")


def test_places_without_a_file(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "is no file" in refusal(tmp_path / "nothing.pkl")


def test_a_file_cut_in_half(tmp_path):
    path = pytorch_pickle(tmp_path / "n.pkl", {"G": generator()})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut short or damaged, as after a download that broke off" in refusal(path)


def test_limits(tmp_path):
    path = pytorch_pickle(tmp_path / "n.pkl", {"G": generator()})
    assert "files of up to 1,000 are read" in refusal(path, file_bytes=1000)
    assert "more than 100 steps" in refusal(path, steps=100)
    assert "within 0 s, the time limit" in refusal(path, seconds=0)
    assert "0 MiB of text;" in refusal(path, text_bytes=100)
    assert "0 MiB of text in its settings" in refusal(path, plain_chars=10)
    assert "1 levels deep" in refusal(path, depth=1)


def test_settings_are_json(tmp_path):
    kwargs = {"deep": {"a": [1, (2, {"b"})]}, "large": np.zeros(100), "endless": float("inf"), "raw": b"abc"}
    path = pytorch_pickle(tmp_path / "n.pkl", {"G": module_tree("Generator", {"p": 1.0}, init_kwargs=kwargs)})
    config = open_official(path).networks["G"].config
    assert json.loads(json.dumps(config, allow_nan=False)) == {
        "deep": {"a": [1, [2, ["b"]]]}, "large": "float64 [100]", "endless": "inf", "raw": "3 bytes",
    }  # fmt: skip
