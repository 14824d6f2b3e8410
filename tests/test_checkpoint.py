"""Networks on disk: what is saved comes back, what is damaged is refused, names are found."""

import json

import pytest
import torch

from latentlab.checkpoint import load_generator, load_network_folder, newest_run, save_generator
from latentlab.errors import CheckpointError, UnknownNetworkError
from latentlab.files import atomic_file, atomic_folder, refuse_existing
from latentlab.networks import Generator, GeneratorConfig, initialised

SMALL = {
    "resolution": 8,
    "fmap_base": 16,
    "fmap_max": 4,
    "z_dim": 4,
    "w_dim": 4,
    "mapping_fmaps": 4,
    "mapping_layers": 1,
}


@pytest.fixture
def generator():
    return initialised(lambda: Generator(GeneratorConfig(**SMALL)), 0)


@pytest.fixture
def folder(tmp_path, generator):
    generator.synthesis.lod = 0.5
    (tmp_path / "net").mkdir()
    save_generator(tmp_path / "net", generator, {"num_images": 5})
    return tmp_path / "net"


def test_round_trip(folder, generator):
    loaded, name = load_generator(folder)
    assert name.name == "net"
    assert len(name.sha256) == 64
    assert loaded.config == generator.config
    assert loaded.synthesis.lod == 0.5
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    z = torch.ones(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(loaded(z, noise_mode="const"), generator(z, noise_mode="const"))
    assert load_network_folder(folder)[1]["training"] == {"num_images": 5}


def _edit(folder, **changes):
    path = folder / "network.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damage_is_noticed(folder):
    weights = folder / "network.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"network.safetensors is damaged: its checksum"):
        load_generator(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        load_generator(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 9}, "schema version 9; this LatentLab reads version 1"),
        ({"kind": "discriminator"}, "not a generator"),
        ({"config": {"resolution": 7}}, "power of two"),
        ({"config": SMALL | {"mapping_layers": 2}}, "do not fit"),
    ],
)
def test_wrong_descriptions(folder, changes, words):
    _edit(folder, **changes)
    with pytest.raises(CheckpointError, match=words):
        load_generator(folder)


def test_not_json(folder):
    (folder / "network.json").write_text("[1")
    with pytest.raises(CheckpointError, match="not a JSON file"):
        load_generator(folder)
    (folder / "network.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="expected a JSON object"):
        load_generator(folder)


def test_names(tmp_path, monkeypatch, generator):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNetworkError, match="no run"):
        newest_run()
    for run, images in (("a", "000000100"), ("a", "000000200"), ("b", "000000050")):
        snapshot = tmp_path / "runs" / run / "snapshots" / images
        snapshot.mkdir(parents=True)
        save_generator(snapshot, generator, {})
    assert load_generator("a")[1].name == "a@000000200"
    assert load_generator("runs/a/snapshots/000000100")[1].name == "a@000000100"
    assert load_generator(tmp_path / "runs" / "b")[1].name == "b@000000050"
    assert newest_run().name == "b"
    with pytest.raises(UnknownNetworkError, match=r"unknown network 'c'.*Runs there: a, b"):
        load_generator("c")


def test_atomic_file_keeps_the_old_one_on_failure(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_file(path) as temporary:
        temporary.write_text(1)
    assert path.read_text() == "old"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_atomic_folder(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(TypeError), atomic_folder(path) as temporary:
        (temporary / "a").write_text(1)
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with atomic_folder(path, replace=text == "second") as temporary:
            (temporary / "a").write_text(text)
    assert (path / "a").read_text() == "second"
    with pytest.raises(ValueError, match="exists already"), atomic_folder(path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    refuse_existing(tmp_path / "free")
