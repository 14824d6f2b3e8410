"""`latentlab networks inspect`, and that its page says what is so."""

import json
import re
from pathlib import Path

import pytest
from official_files import module_tree, pytorch_pickle, random_tensors, tensorflow_network, tensorflow_pickle
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.cli.official import TIME_LIMIT
from latentlab.interop.pickles import Limits, machine, official, sniffing
from latentlab.interop.pickles.vocabulary import OFFICIAL

PAGE = (Path(__file__).parent.parent / "docs" / "official-networks.md").read_text(encoding="utf-8")


def run(*words):
    result = CliRunner().invoke(app, ["networks", "inspect", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
def pytorch(tmp_path):
    tensors = random_tensors(
        {"synthesis.b4.const": [4, 4, 4], "synthesis.b4.noise_const": [4, 4], "mapping.w_avg": [4]}
    )
    module = module_tree("Generator", tensors, init_args=(1, "\x1b[2J"), init_kwargs={"z_dim": 4})
    return pytorch_pickle(tmp_path / "ffhq.pkl", {"G": None, "G_ema": module})


def test_a_pytorch_file_in_words(pytorch):
    code, output = run(pytorch)
    assert code == 0
    assert re.search(r"G_ema +StyleGAN2 generator +Generator +3 +64 +84 +[0-9a-f]{16}\.\.\.", output)
    assert "G_ema was made with:\n" in output
    assert "\n  z_dim = 4\n" in output
    assert 'training_set_kwargs = {"class_name"' in output
    assert "synthesis.b4.const" not in output
    assert "\x1b" not in output


def test_tensors_are_listed_on_request(pytorch):
    rows = run(pytorch, "--variables")[1].splitlines()
    assert [row.split() for row in rows if row.startswith((" synthesis.", " mapping."))] == [
        ["synthesis.b4.const", "4", "x", "4", "x", "4", "float32", "yes"],
        ["synthesis.b4.noise_const", "4", "x", "4", "float32", "no"],
        ["mapping.w_avg", "4", "float32", "no"],
    ]


def test_json_has_the_fields_of_the_page(tmp_path, recording):
    about = recording("style_d8.json")
    network = tensorflow_network("Gs", recording("style_d8_vars.npz"), about["static_kwargs"], version=3)
    path = tensorflow_pickle(tmp_path / "n.pkl", network)
    found = json.loads(run(path, "--json", "--variables")[1])
    tables = [part.partition("\n\n")[0] for part in PAGE.split("| field")[1:3]]
    head, of_network = (re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for table in tables)
    assert set(found) == set(re.findall(r"`(\w+)`", " ".join(head)))
    (network,) = found["networks"]
    assert set(network) == set(re.findall(r"`(\w+)`", " ".join(of_network)))
    assert (network["name"], network["state_version"]) == ("Gs", 3)
    assert network["config"] == about["static_kwargs"]
    shapes = {variable["name"]: variable["shape"] for variable in network["variables"]}
    assert shapes == about["var_shapes"]
    assert "variables" not in json.loads(run(path, "--json")[1])["networks"][0]


def test_errors_are_one_line_and_exit_with_1(tmp_path, pytorch):
    (tmp_path / "page.pkl").write_text("<html></html>")
    assert run(tmp_path / "page.pkl")[0] == 1
    assert run(tmp_path / "page.pkl")[1].count("\n") == 1
    code, output = run(pytorch, "--time-limit", "0.001")
    assert code == 0 or "the time limit" in output
    assert run(pytorch, "--time-limit", "0")[0] == 2


def test_the_page_names_kinds_messages_and_limits():
    for kind in (official.TORCH, official.TORCH_SINGLE, official.TENSORFLOW, official.TENSORFLOW_SINGLE):
        assert f"`{kind}`" in PAGE
    source = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in (sniffing, machine))
    source += Path(machine.__file__).with_name("cursor.py").read_text(encoding="utf-8")
    source = re.sub(r"""["']\s+f?["']""", "", source)
    messages = re.findall(r"`(.*?)`", " ".join(re.findall(r"^\| (.*?) \|", PAGE.split("| message")[1], re.MULTILINE)))
    assert len(messages) == 8
    assert [message for message in messages if message not in source] == []
    assert f"knows the {len(machine._HANDLERS) + 2} pickle instructions and the {len(OFFICIAL.names)} names" in PAGE
    limits = Limits()
    assert (limits.file_bytes, limits.steps, limits.text_bytes, limits.depth) == (4 << 30, 10**6, 64 << 20, 64)
    assert limits.seconds == TIME_LIMIT == 120
