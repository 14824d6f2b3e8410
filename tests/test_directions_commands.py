"""`latentlab directions` and `latentlab edit`, and what docs/directions.md shows."""

import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from fake_generator import NETWORK, FakeGenerator, FakeLabeller
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.cli.directions import _print, conditions_of
from latentlab.cli.edit import sources_of
from latentlab.cli.networks import open_network
from latentlab.cli.number_lists import layers_of, seeds_of, steps_of
from latentlab.directions.form import load_directions, save_directions
from latentlab.errors import LatentLabWarning, UsageError
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
    assert re.search(r"left \*\s+[01]\.\d{3}", done.output)
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
    assert [row["num_rarer"] for row in rows] == found.num_rarer.tolist()
    assert [row["converged"] for row in rows] == [True if count else None for count in found.num_rarer]


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
        (["--heatmap", "{out}"], 2, "pictures end in .png, .svg, .pdf"),
        (["--heatmap", "g.png", "--out", "./g.png"], 2, "--out and --heatmap both name g.png"),
        (["--npy", "d.npz", "--out", "d.npz"], 2, "--out and --npy both name d.npz: one would overwrite the other"),
        (["--npy", "b", "--out", "b/d.npz"], 2, "neither may lie in the other"),
        (["--out", "{store}", "--overwrite"], 2, "is what is read: name another file"),
        (["--num-keep", "9"], 2, "9 of 1500 samples would be kept per attribute, in 8 dimensions"),
    ],
)
def test_wrong_use_of_directions(made, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    words = [word.format(out=tmp_path / "d.npz", store=made / "run.h5") for word in words]
    done = run("directions", made / "run.h5", "--out", tmp_path / "d.npz", *words)
    assert done.exit_code == code
    assert message in done.output
    assert not list(tmp_path.iterdir())


def named(made: Path, tmp_path: Path, *names: str) -> Path:
    """The store under other names of its attributes."""
    path = tmp_path / "named.h5"
    path.write_bytes((made / "run.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["attributes"] = list(names)
    return path


def test_any_name_can_be_drawn(made, tmp_path):
    store = named(made, tmp_path, r"a$\frac$b", "$", "c_1")
    done = run("directions", store, "--out", tmp_path / "d.npz", "--heatmap", tmp_path / "h.png")
    assert done.exit_code == 0, done.output
    words = ["edit", "--network", GENERATOR, "--directions", tmp_path / "d.npz", "--attribute", r"a$\frac$b"]
    done = run(*words, "--classifiers", "none", "--out", tmp_path / "a.svg", "--steps", "0")
    assert done.exit_code == 0, done.output
    assert r"a$\frac$b in W" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("fails", ["heatmaps.save_figure", "boundaries.np.save", "form.np.savez"])
def test_what_fails_while_it_is_written_leaves_nothing(made, tmp_path, monkeypatch, fails):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"latentlab.directions.{fails}", full)
    words = ["--out", tmp_path / "d.npz", "--heatmap", tmp_path / "h.png", "--npy", tmp_path / "b"]
    done = run("directions", made / "run.h5", *words)
    assert done.exit_code != 0
    assert not list(tmp_path.iterdir())


def test_names_that_boundaries_cannot_have(made, tmp_path):
    words = ["--out", tmp_path / "d.npz", "--npy", tmp_path / "b"]
    done = run("directions", named(made, tmp_path, "left", "a" * 250, "rare"), *words)
    assert (done.exit_code, "(250 letters). Leave out the folder" in done.output) == (1, True)
    done = run("directions", named(made, tmp_path, "left", "left", "rare"), *words)
    assert (done.exit_code, "left is there more than once: every attribute needs its own name" in done.output) == (
        1,
        True,
    )
    assert "Leave out" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["named.h5"]


def test_directions_in_place_of_a_store(made):
    done = run("directions", made / "directions-w.npz")
    assert done.exit_code == 1
    assert "is not an HDF5 file, so it is no store of samples: name a run.h5" in done.output
    assert "remove" not in done.output


def test_hardly_known_directions_are_marked_and_left_out_of_all(made, tmp_path):
    few = load_directions(made / "directions-w.npz")
    few = replace(few, num_rarer=np.array([300, 7, 0]), valid=np.array([True, True, False]))
    save_directions(tmp_path / "few.npz", replace(few, reason=("", "", "no samples")))
    words = ["edit", "--network", GENERATOR, "--directions", tmp_path / "few.npz", "--classifiers", LABELLER]
    words += ["--num-samples", 8, "--overwrite", "--out", tmp_path / "a.svg", "--steps", 0, "--attribute", "all"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "left out as hardly known (name them with --attribute to edit them): right in W\n" in done.output
    assert "right in W" not in (tmp_path / "a.svg").read_text()
    done = run(*words, "--attribute", "right")
    assert "left out" not in done.output
    assert "right in W †" in done.output
    assert "† hardly known: fewer samples of the rarer class than dimensions" in done.output
    assert "right in W, hardly known" in (tmp_path / "a.svg").read_text()


def test_the_table_marks_what_is_hardly_known_and_what_was_never_fitted(made, capsys):
    few = load_directions(made / "directions-w.npz")
    few = replace(few, num_rarer=np.array([300, 7, 0]), valid=np.array([True, True, False]))
    _print(replace(few, converged=few.valid, reason=("", "", "no samples")))
    shown = capsys.readouterr().out
    assert re.search(r"right †\s.* yes ", shown)
    assert re.search(r"rare\s.* – ", shown)
    assert "no  " not in shown.partition("no direction")[0]
    assert "† hardly known: fewer samples of the rarer class than dimensions (8): right (7)." in shown


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
        (["--steps", "1e39"], 2, "1e+39 is too far"),
        (["--out", "a.csv", "--table", "a.csv"], 2, "a.csv: pictures end in"),
        (["--out", "a.png", "--rescoring-heatmap", "./a.png"], 2, "--out and --rescoring-heatmap both name a.png"),
        (["--out", "a.png", "--rescoring-heatmap", "a.png/b.png"], 2, "neither may lie in the other"),
        (["--out", "a" * 250 + ".png"], 2, "names of files and folders may not be that long"),
        (["--out", __file__ + "/a.png"], 2, "is a file, and no folder to write into"),
        (["--directions", "{w}"], 2, "is given more than once: name each file once"),
        (["--directions", "{folder}/../{folder_name}/directions-w.npz"], 2, "is given more than once"),
        (["--seeds", "one"], 2, "--seeds one: expected whole numbers"),
        (["--layers", "5"], 2, "layer 5 shall be edited; this generator has the layers 0 to 2"),
        (["--layers", "x"], 2, "--layers x: expected layers"),
        (["--directions", "absent.npz"], 1, "absent.npz: no such file of directions"),
        (["--directions", __file__], 1, "is no .npz file. Name a file that `latentlab directions` wrote."),
        (["--table", "a.txt"], 2, "tables end in .csv"),
        (["--classifiers", "none", "--table", "a.csv"], 2, "need classifiers"),
        (["--truncation", "nan"], 2, "truncation psi is nan"),
        (["--reach", "0"], 2, "reach 0.0"),
    ],
)
def test_wrong_use_of_edit(made, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    places = {"z": made / "directions-z.npz", "w": made / "directions-w.npz", "folder": made, "folder_name": made.name}
    done = edit(made, tmp_path / "a.png", *(word.format(**places) for word in words))
    assert done.exit_code == code, done.output
    assert message in done.output
    assert not list(tmp_path.iterdir())


def test_a_picture_that_would_be_too_large(made, tmp_path):
    copies = [tmp_path / f"{number}.npz" for number in range(4)]
    for copy in copies:
        copy.write_bytes((made / "directions-w.npz").read_bytes())
    more = [word for copy in copies for word in ("--directions", copy)]
    done = edit(made, tmp_path / "a.png", *more, "--attribute", "all", "--seeds", "1..99")
    assert (done.exit_code, "at most 65,535 fit" in done.output) == (2, True)
    assert "Re-scoring" not in done.output


def test_edits_in_z_reach_all_layers(made, tmp_path):
    words = ["edit", "--network", GENERATOR, "--directions", made / "directions-z.npz", "--attribute", "left"]
    done = run(*words, "--layers", "0", "--out", tmp_path / "a.png", "--classifiers", "none")
    assert (done.exit_code, "edits in Z reach all layers" in done.output) == (2, True)


def test_an_edit_says_what_decides_it(made, tmp_path):
    more = ["--directions", made / "directions-z.npz", "--layers", "0-1", "--truncation", "0.7", "--noise", "const"]
    with pytest.warns(LatentLabWarning) as caught:
        done = edit(made, tmp_path / "a.svg", *more, "--steps", "0")
    assert done.exit_code == 0, done.output
    warned = " ".join(str(warning.message) for warning in caught)
    assert "--layers holds for edits in W alone: those in Z reach all layers" in warned
    for space in "WZ":
        assert f"the directions in {space} are of samples at truncation psi 1, and edits are made at 0.7" in warned
    said = f"{GENERATOR}, truncation 0.7, noise const, edits in W reach layers 0-1 only"
    assert said in " ".join(done.output.split())
    drawn = re.findall(r">([^<>\n]+)</text>", (tmp_path / "a.svg").read_text())
    assert said in " ".join(drawn)  # in lines, in a picture of one column
    plain = edit(made, tmp_path / "b.svg", "--steps", "0")
    assert "truncation" not in plain.output + (tmp_path / "b.svg").read_text()


def test_files_of_one_name_go_by_their_folders(made, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "d.npz").write_bytes((made / "directions-w.npz").read_bytes())
    both = ["--directions", tmp_path / "a" / "d.npz", "--directions", tmp_path / "b" / "d.npz"]
    words = ["edit", "--network", GENERATOR, *both, "--attribute", "left", "--attribute", "right"]
    done = run(*words, "--classifiers", LABELLER, "--num-samples", 8, "--steps", "0", "--out", tmp_path / "a.svg")
    assert done.exit_code == 0, done.output
    for source in ("a/d", "b/d"):
        assert f"left in W ({source})" in (tmp_path / "a.svg").read_text()
        assert re.search(rf"median selectivity in W {source}: .*, 2 edits", done.output)
    assert sources_of([Path("d.npz"), Path("e.npz")]) == ["d", "e"]
    assert sources_of([Path("x/a/d.npz"), Path("y/a/d.npz"), Path("y/a/d.old")]) == ["x/a/d", "y/a/d", "y/a/d.old"]


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
        ("-.3..0.3:.1", [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        ("0..1:0.25", [0, 0.25, 0.5, 0.75, 1]),
        ("-1000,1e3", [-1000, 1000]),
        ("2..2:1e-99999999", [2]),
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
        ("-3...3", "three dots may mean either; write two, and a stop of 0.3 as -3..0.3"),
        ("-.3...3:.1", "three dots"),
        ("-3..3:4", r"a stride of 4 does not reach 3; 3 or 6 would"),
        ("-3..3:7", r"a stride of 7 does not reach 3; 6 would"),
        ("0..1:0.4", r"a stride of 0.4 does not reach 1; 0.25 or 0.5 would"),
        ("0..1.5", r"a stride of 1 does not reach 1.5; 0.75 or 1.5 would"),
        ("-1e300..1e300", "too far"),
        ("0..1e30:1e30", "1e\\+30 is too far. Steps are standard deviations"),
        ("1001", "1001 is too far"),
        ("nan", "nan is no number"),
        ("0,sNaN", "nan is no number"),
        ("inf", "too far"),
        ("1e999999", "too far"),
        ("1e9999999999", "too far"),
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
