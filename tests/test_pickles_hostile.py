"""Files that want to run code, to fill the memory or to take for ever are refused in one line; damaged ones, too."""

import itertools
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_streams import (
    CALLING,
    CANARY,
    CLAIMS,
    ZOO,
    array,
    as_variable,
    module,
    name,
    numbers,
    stream,
    tensor,
    text,
    worst,
)
from official_files import module_tree, pytorch_pickle, random_tensors, tensorflow_network, tensorflow_pickle

from latentlab.errors import CheckpointError
from latentlab.interop.pickles import Limits, open_official
from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.numpy_objects import PendingArray
from latentlab.interop.pickles.records import TensorFlowNetwork
from latentlab.interop.pickles.torch_storages import Storage
from latentlab.interop.pickles.vocabulary import OFFICIAL
from latentlab.interop.pickles.words import Global

SHAPES = {
    "synthesis.b4.const": [2, 2],
    "synthesis.b4.noise_const": [3],
    "mapping.fc0.weight": [2, 2],
    "mapping.w_avg": [],
}


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    """Nothing in a file may start a program, import, or leave the canary."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    assert not Path(CANARY).exists()
    assert not {
        made for made in set(sys.modules) - before if made.startswith(("numpy.testing", "dnnlib", "torch_utils"))
    }


def refusal(data, **limits):
    Path("n.pkl").write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        open_official("n.pkl", limits=Limits(**limits))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize("case", CALLING)
def test_nothing_is_called(case):
    said = refusal(CALLING[case])
    reasons = "refers to|calls|makes an object|gives|has the pickle instruction|has a TensorFlow|has a tensor|encodes"
    assert re.match(f"n.pkl ({reasons})", said) or ("STACK_GLOBAL" in said and "expects two texts" in said)


def test_the_canary_would_tell():
    """The same bytes run the command where Python loads them."""
    import pickle

    assert pickle.loads(CALLING["REDUCE"]) == 0
    assert Path(CANARY).exists()
    Path(CANARY).unlink()


def test_messages_name_what_was_found():
    assert "refers to os.system" in refusal(CALLING["GLOBAL alone"])
    assert "Nothing was looked up or executed" in refusal(CALLING["GLOBAL alone"])
    assert "refers to collections.OrderedDict.__class__," in refusal(CALLING["attribute of a known class"])
    assert "instruction NEWOBJ_EX at byte" in refusal(CALLING["NEWOBJ_EX of a known class"])
    assert "calls numpy.ndarray" in refusal(CALLING["REDUCE of a known class"])
    assert "zip form" in refusal(CALLING["nested zip"])
    assert "persistent id" in refusal(CALLING["BINPERSID"])
    assert r"refers to os.\x1b[31m" in refusal(stream(name("os", "\x1b[31m")))


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_are_checked_before_anything_is_reserved(case):
    refusal(CLAIMS[case])


def test_the_forms_that_hostile_streams_vary_are_read_when_they_are_right():
    Path("n.pkl").write_bytes(stream(as_variable(array(numbers(2), struct.pack("<2f", 1, 2)))))
    assert open_official("n.pkl").networks["Gs"].tensors["lod"].tolist() == [1, 2]
    named = b"X\x01\x00\x00\x00p" + tensor(numbers(3, 2), numbers(4, 1), offset=2)
    Path("n.pkl").write_bytes(stream(module(state=b"X\x0b\x00\x00\x00_parameters}" + named + b"s")))
    assert open_official("n.pkl").networks["Generator"].tensors["p"].tolist() == [[2, 3], [6, 7], [10, 11]]


def _opened(folder, limit_bytes):
    """Open all files of a folder in one process; its lines of [name, message], and the most memory it had."""
    script = f"""
import json, re, resource
from pathlib import Path
from latentlab.errors import CheckpointError
from latentlab.interop.pickles import Limits, open_official
resource.setrlimit(resource.RLIMIT_AS, ({limit_bytes}, {limit_bytes}))
for path in sorted(Path({str(folder)!r}).iterdir()):
    message = None
    try:
        open_official(path)
    except CheckpointError as error:
        message = str(error)
    print(json.dumps([path.name, message]))
peak = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss begins with the parent's
print(json.dumps(int(peak[1]) * 1024))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    *lines, most = map(json.loads, done.stdout.splitlines())
    return lines, most


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of a process's memory")
def test_the_worst_are_refused_within_a_gibibyte(tmp_path):
    folder = tmp_path / "worst"
    folder.mkdir()
    expected = worst()
    for case, (data, _) in expected.items():
        (folder / case).write_bytes(data)
    lines, most = _opened(folder, 3 << 30)
    assert len(lines) == len(expected)
    assert [(case, message) for case, message in lines if expected[case][1] not in (message or "it was read")] == []
    assert most < 1 << 30


def test_arrays_without_elements_among_settings_make_no_lists():
    Path("n.pkl").write_bytes(stream(module(kwargs=b"}" + text("a") + array(numbers(1 << 40, 0), b"") + b"s")))
    assert open_official("n.pkl").networks["Generator"].config == {"a": "float32 [1099511627776, 0]"}


def test_the_time_limit_ends_long_readings():
    assert "within 0.05 s" in refusal(worst()["sets in the memo"][0], seconds=0.05)


ARGUMENTS = {
    "dtype": ("f4", False, True),
    "_reconstruct": (Global("numpy", "ndarray"), (0,), memoryview(b"b")),
    "scalar": (np.dtype("f4"), memoryview(b"abcd")),
    "_frombuffer": (memoryview(b"abcd"), np.dtype("f4"), (1,), "C"),
    "encode": ("x", "latin1"),
    "set": ([],),
    "OrderedDict": (),
    "_load_from_bytes": (memoryview(b"x"),),
    "_rebuild_tensor_v2": (Storage(np.dtype("<f4"), 4, memoryview(bytes(16))), 0, (1,), (1,), False, {}),
    "_rebuild_parameter": (np.ones(2), False, {}),
    "_reconstruct_persistent_obj": ({"type": "class", "module_src": "", "class_name": "", "state": {}},),
}


@pytest.mark.parametrize("key", sorted(OFFICIAL.calls), ids=str)
def test_functions_take_any_arguments_or_refuse(key):
    """Whatever stands in whatever place: an answer or a refusal, and no other exception."""
    usual, budget = ARGUMENTS[key[1]], Budget(Limits())
    zoo = [*ZOO, PendingArray(), TensorFlowNetwork(), Global("numpy", "ndarray")]
    refused = 0
    for place, value in itertools.product(range(len(usual) + 1), zoo):
        try:
            OFFICIAL.calls[key]((*usual[:place], value, *usual[place + 1 :]), budget)
        except RefusedError:
            refused += 1
    assert refused > len(zoo) / 2


@pytest.mark.parametrize("kind", OFFICIAL.builders, ids=lambda kind: kind.__name__)
def test_states_are_taken_or_refused(kind):
    usual = {
        dict: ({},),
        np.dtype: (3, "<", None, None, None, -1, -1, 0),
        PendingArray: (1, (1,), np.dtype("f4"), False, memoryview(b"abcd")),
        TensorFlowNetwork: ("version", "name", "static_kwargs", "build_module_src", "build_func_name", "variables"),
    }[kind]
    whole = dict(zip(usual, (2, "", {}, "", "", []), strict=True)) if kind is TensorFlowNetwork else {}
    zoo = [*ZOO, PendingArray(), TensorFlowNetwork(), Global("numpy", "ndarray")]
    refused = 0
    for place, value in itertools.product(range(len(usual)), zoo):
        changed = (*usual[:place], value, *usual[place + 1 :])
        state = {**whole, usual[place]: value} if kind is TensorFlowNetwork else changed
        for given in (state, value):
            try:
                OFFICIAL.builders[kind](kind("f4") if kind is np.dtype else kind(), given, Budget(Limits()))
            except RefusedError:
                refused += 1
    assert refused > len(usual) * len(zoo)


def small_files(folder):
    tensors = random_tensors(SHAPES)
    generator = module_tree("Generator", tensors, init_kwargs={"z_dim": np.int64(4)})
    torch_file = pytorch_pickle(folder / "t.pkl", {"G": generator})
    variables = {"lod": np.float32(0), "G_mapping/Dense0/weight": np.ones((2, 2), np.float32)}
    network = tensorflow_network("Gs", variables, {"resolution": 4, "fmap_base": 8.5})
    tf_file = tensorflow_pickle(folder / "f.pkl", network, network, network)
    older = pytorch_pickle(folder / "o.pkl", {"G": module_tree("Generator", tensors)}, protocol=3, numpy_1=True)
    return [path.read_bytes() for path in (torch_file, tf_file, older)]


def test_files_cut_anywhere_are_refused(tmp_path):
    files, places = small_files(tmp_path), np.random.default_rng(0)
    for count in range(200):
        data = files[count % len(files)]
        end = int(places.integers(1, len(data)))
        message = refusal(data[:end])
        assert "cut short" in message or end < 4, (end, message)


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_damaged_bytes_are_read_or_refused(tmp_path, first):
    """Nothing but the package's own error, whatever is changed; what is read can be used."""
    files, outcomes, messages = small_files(tmp_path), set(), []
    for seed in range(first, first + 100):
        random = np.random.default_rng(seed)
        data = bytearray(files[seed % len(files)])
        for place in random.integers(0, len(data), random.integers(1, 9)):
            data[place] = random.integers(256)
        Path("n.pkl").write_bytes(data)
        try:
            found = open_official("n.pkl")
        except CheckpointError as error:
            outcomes.add("refused")
            messages.append(str(error))
            continue
        outcomes.add("read")
        json.dumps([found.sha256, dict(found.extras)], allow_nan=False)
        for network in found.networks.values():
            json.dumps([network.sha256, network.config, network.arguments], allow_nan=False)
            assert all(network.torch(key).shape == array.shape for key, array in network.tensors.items())
    assert outcomes == {"read", "refused"}
    assert all(message.isprintable() for message in messages)
