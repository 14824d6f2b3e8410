import sys
from urllib.error import URLError

import pytest
import torch
from typer.testing import CliRunner

from latentlab import weights as module
from latentlab.cli import app
from latentlab.errors import UsageError, WeightsError
from latentlab.files import file_sha256
from latentlab.weights import fetch_weights, find_weights, known_weights, state_of, weights_named


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*_args, **_options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def stick(tmp_path, monkeypatch):
    """A folder with a file that passes for SqueezeNet's."""
    folder = tmp_path / "stick"
    folder.mkdir()
    path = folder / weights_named("squeezenet").file
    torch.save({"a": torch.ones(2)}, path)
    known = [
        module.Weights(**{**w.__dict__, "sha256": file_sha256(path)}) if w.name == "squeezenet" else w
        for w in known_weights()
    ]
    monkeypatch.setattr(module, "known_weights", lambda: tuple(known))
    return folder


def run(*words, code=0):
    result = CliRunner().invoke(app, ["weights", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout + result.stderr


def test_every_file_has_what_one_must_know_of_it():
    found = known_weights()
    assert [one.name for one in found] == ["vgg16", "alexnet", "squeezenet", "inception"]
    for one in found:
        assert one.file in one.url
        assert one.sha256[:8] in one.file
        assert one.megabytes > 1
        assert one.licence
        assert one.needed_for
    with pytest.raises(UsageError, match="vgg16, alexnet, squeezenet, inception"):
        weights_named("resnet")


def test_files_are_taken_from_a_folder_into_the_cache(stick, hub):
    squeezenet = module.weights_named("squeezenet")
    assert find_weights(squeezenet) is None
    assert find_weights(squeezenet, stick) == stick / squeezenet.file
    assert fetch_weights(squeezenet, [stick]) == hub / squeezenet.file == find_weights(squeezenet)
    assert file_sha256(hub / squeezenet.file) == squeezenet.sha256
    assert torch.equal(state_of(hub / squeezenet.file)["a"], torch.ones(2))


def test_another_file_under_the_name_is_not_taken(stick, hub):
    (stick / "vgg16-397923af.pth").write_bytes(b"other")
    with pytest.raises(WeightsError, match="it is another file, or damaged"):
        fetch_weights(module.weights_named("vgg16"), [stick])
    assert not hub.exists()


def test_another_file_in_the_cache_is_not_fetched_for_good(stick, hub):
    hub.mkdir(parents=True)
    (hub / module.weights_named("squeezenet").file).write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"another file, or damaged\. Remove it"):
        fetch_weights(module.weights_named("squeezenet"), [stick])


def test_what_cannot_be_had_is_named_with_where_to_get_it(stick):
    with pytest.raises(WeightsError, match=r"alexnet-owt-7be5be79\.pth.*no network.*https.*--weights-dir.*fetch"):
        fetch_weights(module.weights_named("alexnet"), [stick])


@pytest.mark.parametrize(("name", "words"), [
    ("vgg16", r"`ppl --distance classifier:faces32` needs no download \(bundled classifiers, and no LPIPS\)"),
    ("inception", r"`fid --features classifier:faces32` needs no download \(bundled classifiers, and no FID\)"),
])  # fmt: skip
def test_without_a_network_the_bundled_way_is_named(name, words):
    with pytest.raises(WeightsError, match=words):
        fetch_weights(weights_named(name))


def test_a_download_is_told_once_with_its_size(monkeypatch, capsys):
    def download(url, *_args, **_options):
        for stream in (sys.stdout, sys.stderr):
            print(f'Downloading: "{url}"', file=stream)

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    fetch_weights(weights_named("alexnet"))
    told = "downloading alexnet-owt-7be5be79.pth, 244.4 MB, for ppl --distance lpips-alex\n"
    assert capsys.readouterr() == ("", told)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"a": tmp_path}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no PyTorch state dict"):
        state_of(tmp_path / "x.pth")
    torch.save([1], tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no state dict of tensors"):
        state_of(tmp_path / "x.pth")


def test_the_commands_list_fetch_and_check(stick, hub):
    assert "https" in run("list")
    run("fetch", "squeezenet", "--from", stick)
    assert "right" in run("check", "squeezenet")
    assert "not here" in run("check")
    assert "not here" in run("check", "vgg16", code=1)
    (hub / module.weights_named("squeezenet").file).write_bytes(b"damaged")
    assert "WRONG" in run("check", code=1)
    assert "no network" in run("fetch", "vgg16", code=1)
