"""`latentlab directions` and `latentlab edit`, and what docs/directions.md shows."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.cli.directions import conditions_of
from latentlab.cli.networks import open_network
from latentlab.cli.number_lists import layers_of, seeds_of, steps_of
from latentlab.directions.form import load_directions
from latentlab.errors import UsageError
from latentlab.sampling import sample

GENERATOR, LABELLER = "fake_generator:FakeGenerator", "fake_generator:FakeLabeller"
PAGE = (Path(__file__).parent.parent / "docs" / "directions.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a store of the fake generator and its directions in Z and W."""
    folder = tmp_path_factory.mktemp("made")
    _, name, _ = open_network(GENERATOR, torch.device("cpu"))
    sample(FakeGenerator(), folder / "run.h5", network=name, labeller=FakeLabeller(), num_samples=1500)
    for space in ("z", "w"):
        assert run("directions", folder / "run.h5", "--space", space).exit_code == 0
    return folder


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})


def edit(folder: Path, out: Path, *more: object, network: str = GENERATOR):
    words = ["edit", "--network", network, "--directions", folder / "directions-w.npz", "--out", out, *more]
    more_text = list(map(str, more))
    words += [] if "--attribute" in more_text else ["--attribute", "left"]
    words += [] if "--classifiers" in more_text else ["--classifiers", LABELLER]
    return run(*words, "--num-samples", 16)


# --------------------------------------------------------------------------------------------------------- directions


def test_directions_of_a_store(made, tmp_path):
    done = run("directions", made / "run.h5", "--out", tmp_path / "d.npz", "--npy", tmp_path / "b", "--heatmap",
               tmp_path / "c.png", "--condition", "left:right")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = load_directions(tmp_path / "d.npz")
    assert (found.space, found.conditioned_on[0]) == ("w", ("right",))
    assert "Directions in W, fake_generator:FakeGenerator" in done.output
    assert re.search(r"left\*\s+[01]\.\d{3}", done.output)
    assert re.search(r"\* left is orthogonal to right: cosine [+-]0\.\d\d before", done.output)
    assert np.load(tmp_path / "b" / "left_w.npy").shape == (1, 8)
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.format == "PNG"


def test_directions_as_json(made, tmp_path):
    done = run("directions", made / "run.h5", "--space", "z", "--out", tmp_path / "d.npz", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = load_directions(tmp_path / "d.npz")
    assert [row["attribute"] for row in rows] == list(found.attributes)
    assert rows[0]["accuracy"] == found.accuracy[0]
    others = np.abs(np.delete(found.cosines[0], 0))
    assert abs(rows[0]["partner_cosine"]) == pytest.approx(np.nanmax(others))
    assert rows[0]["rarer"] == pytest.approx(min(found.share_positive[0], 1 - found.share_positive[0]) * 750)


def test_nothing_is_overwritten_unless_it_is_said(made, tmp_path):
    (tmp_path / "c.png").write_text("mine")
    words = ["directions", made / "run.h5", "--out", tmp_path / "d.npz", "--heatmap", tmp_path / "c.png"]
    done = run(*words)
    assert (done.exit_code, (tmp_path / "d.npz").exists()) == (2, False)
    assert f"{tmp_path / 'c.png'} exists already" in done.output
    assert run(*words, "--overwrite").exit_code == 0
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    done = run("directions", made / "run.h5", "--out", tmp_path, "--overwrite")
    assert (done.exit_code, "is a folder: name a file" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--condition", "left"], 2, "expected ATTRIBUTE:OTHERS"),
        (["--condition", "left:rihgt"], 2, "did you mean right?"),
        (["--heatmap", "a.txt"], 2, "pictures end in .png, .svg, .pdf"),
        (["--num-keep", "9"], 2, "9 of 1500 samples would be kept per attribute, in 8 dimensions"),
    ],
)
def test_wrong_use_of_directions(made, tmp_path, words, code, message):
    done = run("directions", made / "run.h5", "--out", tmp_path / "d.npz", *words)
    assert done.exit_code == code
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_conditions():
    found = conditions_of(["Smiling:Male, Young", "5_o_Clock_Shadow:Male"])
    assert found == {"Smiling": ["Male", "Young"], "5_o_Clock_Shadow": ["Male"]}
    for wrong in (["Smiling:"], [":Male"], ["a:b,,c"]):
        with pytest.raises(UsageError, match="such as Smiling:Male,Young"):
            conditions_of(wrong)
    with pytest.raises(UsageError, match="Smiling has a condition already"):
        conditions_of(["Smiling:Male", "Smiling:Young"])


# --------------------------------------------------------------------------------------------------------------- edit


def test_an_edit_in_both_spaces(made, tmp_path):
    both = ["--directions", made / "directions-z.npz", "--seeds", "4,7"]
    files = ["--table", tmp_path / "t.csv", "--rescoring-heatmap", tmp_path / "h.svg"]
    done = edit(made, tmp_path / "a.png", *both, "--steps", "-2..2", *files)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 5 * 128
    for words in ("left in W", "left in Z", "flips", "selectivity", "16 samples edited by 1 to either side"):
        assert words in done.output
    assert pd.read_csv(tmp_path / "t.csv")["space"].tolist() == ["w", "z"]
    assert "left in Z" in (tmp_path / "h.svg").read_text()
    again = edit(made, tmp_path / "b.png", *both, "--steps=-2..2")
    assert again.exit_code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_edits_as_json(made, tmp_path):
    done = edit(made, tmp_path / "a.png", "--attribute", "all", "--json", "--steps", "0", "--seeds", "1")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    valid = [name for name, there in zip(*_valid(made), strict=True) if there]
    assert [row["attribute"] for row in rows] == valid
    assert rows[0]["moves"]["left"]["log_odds"] > 0
    assert set(rows[0]["moves"]) == set(FakeLabeller.attributes)
    settings = rows[0]["settings"]
    assert settings["network"]["name"] == GENERATOR
    assert (settings["classifiers"]["name"], settings["seed"], settings["noise_mode"]) == (
        "fake-classifiers",
        0,
        "random",
    )


def _valid(made: Path):
    found = load_directions(made / "directions-w.npz")
    return found.attributes, found.valid


def test_two_files_of_one_space_go_by_their_names(made, tmp_path):
    run("directions", made / "run.h5", "--out", tmp_path / "alone.npz", "--condition", "left:right")
    done = edit(made, tmp_path / "a.svg", "--directions", tmp_path / "alone.npz", "--classifiers", "none")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "a.svg").read_text()
    assert "left in W (directions-w)" in text
    assert "left in W, orthogonal to right (alone)" in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--attribute", "lfet"], 2, "did you mean left?"),
        (["--steps", "3..-3"], 2, "--steps 3..-3: expected -3..3, -3..3:0.5"),
        (["--steps", "1e39"], 2, "1e39 is too far"),
        (["--seeds", "one"], 2, "--seeds one: expected whole numbers"),
        (["--layers", "5"], 2, "layer 5 shall be edited; this generator has the layers 0 to 2"),
        (["--layers", "x"], 2, "--layers x: expected layers"),
        (["--directions", "absent.npz"], 1, "absent.npz: no such file of directions"),
        (["--directions", __file__], 1, "is damaged or no .npz file"),
        (["--table", "a.txt"], 2, "tables end in .csv"),
        (["--classifiers", "none", "--table", "a.csv"], 2, "need classifiers"),
        (["--truncation", "nan"], 2, "truncation psi is nan"),
        (["--reach", "0"], 2, "reach 0.0"),
        (["--attribute", "all", "--seeds", "1..99", "--directions", "{z}"] + ["--directions", "{z}"] * 9, 2, "65,535"),
    ],
)
def test_wrong_use_of_edit(made, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    done = edit(made, tmp_path / "a.png", *(word.format(z=made / "directions-z.npz") for word in words))
    assert done.exit_code == code, done.output
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_edits_in_z_reach_all_layers(made, tmp_path):
    words = ["edit", "--network", GENERATOR, "--directions", made / "directions-z.npz", "--attribute", "left"]
    done = run(*words, "--layers", "0", "--out", tmp_path / "a.png", "--classifiers", "none")
    assert (done.exit_code, "edits in Z reach all layers" in done.output) == (2, True)


def test_another_network_is_refused(made, tmp_path):
    sample(FakeGenerator(), tmp_path / "other.h5", network=NETWORK, labeller=FakeLabeller(), num_samples=400)
    run("directions", tmp_path / "other.h5", "--space", "w", "--out", tmp_path / "directions-w.npz")
    done = edit(tmp_path, tmp_path / "a.png")
    assert done.exit_code == 1
    assert "the directions in W are of fake (SHA-256" in done.output
    assert "--any-network" in done.output
    assert edit(tmp_path, tmp_path / "a.png", "--any-network").exit_code == 0


def test_pictures_are_not_overwritten_unless_it_is_said(made, tmp_path):
    (tmp_path / "a.png").write_text("mine")
    assert edit(made, tmp_path / "a.png").exit_code == 2
    assert (tmp_path / "a.png").read_text() == "mine"
    assert edit(made, tmp_path / "a.png", "--overwrite").exit_code == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


# ------------------------------------------------------------------------------------------------------------ parsing


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("-3..3", [-3, -2, -1, 0, 1, 2, 3]),
        ("-1..1:0.5", [-1, -0.5, 0, 0.5, 1]),
        ("-.3...3:.1", [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        ("0..1:0.4", [0, 0.4, 0.8]),
        ("-2, -1,0,1.5", [-2, -1, 0, 1.5]),
        ("2", [2]),
        ("2..2", [2]),
    ],
)
def test_steps(text, steps):
    assert steps_of(text) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected -3..3"),
        ("a..b", "expected -3..3"),
        ("-3..3:0", "expected -3..3"),
        ("-3..3:-1", "expected -3..3"),
        ("-3..3:", "expected -3..3"),
        ("1..2..3", "expected -3..3"),
        ("3..-3", "expected -3..3"),
        ("1,,2", "expected -3..3"),
        ("1,1.0", "every step may be named only once"),
        ("0..1:0.001", "more than 99 steps"),
        ("-1e300..1e300", "too far"),
        ("nan", "too far"),
        ("inf", "too far"),
        ("1e999999", "too far"),
        ("0..1:1e-999999", "more than 99 steps"),
    ],
)
def test_malformed_steps(text, message):
    with pytest.raises(UsageError, match=message):
        steps_of(text)


def test_seeds_and_layers():
    assert seeds_of("1,2,3") == [1, 2, 3]
    assert seeds_of("1..3, 9,-4") == [1, 2, 3, 9, -4]
    assert layers_of(None) is None
    assert layers_of("0-3") == (0, 1, 2, 3)
    assert layers_of("2,0,1-2") == (0, 1, 2)
    for wrong in ("", "1.5", "3..1", "1,,2", "one", "1..", "1e3"):
        with pytest.raises(UsageError, match="expected whole numbers"):
            seeds_of(wrong)
    for wrong in ("1,1", "1..3,2", str(2**63)):
        with pytest.raises(UsageError, match="only once, and must be between"):
            seeds_of(wrong)
    with pytest.raises(UsageError, match="more than 99 seeds"):
        seeds_of("0..99999999999999999")
    for wrong in ("", "3-1", "-1", "a", "1--2", "0-99999"):
        with pytest.raises(UsageError, match="expected layers"):
            layers_of(wrong)


# --------------------------------------------------------------------------------------------------------------- docs


def test_the_page_describes_every_array_of_the_file(made):
    with np.load(made / "directions-w.npz") as stored:
        described = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## The file")[2].partition("\n## ")[0], re.MULTILINE)
        assert sorted(described) == sorted(stored.files)


def test_the_python_of_the_page_runs(made, tmp_path, monkeypatch):
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/style-8").mkdir(parents=True)
    (tmp_path / "runs/style-8/run.h5").write_bytes((made / "run.h5").read_bytes())
    _, name, _ = open_network(GENERATOR, torch.device("cpu"))
    monkeypatch.setattr("latentlab.checkpoint.load_generator", lambda _: (FakeGenerator(), name))
    monkeypatch.setattr("attribute_classifiers.network.load_classifiers", lambda _: FakeLabeller())
    words = {"Smiling": "left", "Male": "right"}
    for example in examples:
        for word, other in words.items():
            example = example.replace(word, other)
        exec(compile(example, "docs/directions.md", "exec"), {})


def test_pictures_of_the_page_are_there_and_small():
    pictures = re.findall(r"!\[[^]]+\]\((images/[\w.-]+)\)", PAGE)
    assert len(pictures) >= 2
    for picture in pictures:
        path = Path(__file__).parent.parent / "docs" / picture
        assert path.stat().st_size < 250_000
        with Image.open(path) as opened:
            opened.verify()
