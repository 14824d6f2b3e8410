"""Disentanglement of a store: result lines, files of factors, and the command."""

import errno
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from latentlab import results
from latentlab.cli import app
from latentlab.cli.disentanglement import ALL
from latentlab.errors import DataError, StoreError, UnknownNetworkWarning, UsageError
from latentlab.metrics.disentanglement import METRICS, disentanglement_scores, on_store
from latentlab.metrics.disentanglement.factor_files import read_factors
from latentlab.metrics.disentanglement.on_store import disentanglement_results
from latentlab.results import HIGHER_IS_BETTER, read_results
from latentlab.results import METRICS as PAPER_METRICS
from latentlab.store import LatentStore, StoreSettings

COUNT = 400
CHEAP = ("mig", "modularity", "sap")


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(COUNT, 3)).astype(np.float32)
    return z, np.cumsum(z, axis=1), (z * 3 + rng.normal(size=z.shape)).astype(np.float32)


@pytest.fixture
def run_file(tmp_path, world):
    z, w, logits = world
    return write_store(tmp_path / "run.h5", z=z, w=w, logits=logits)


def write_store(path, attributes=("Male", "Smiling", "Bald"), **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs["attributes"] = list(attributes)
    return path


def write_factors(path, values, names=("hue", "size", "angle"), **more):
    np.savez(path, names=np.array(names), values=values, **more)
    return path


def images_of(sha256="unknown", seed=None, **more):
    """The provenance of a file of factors."""
    images = {"file": "run.h5", "network": {"name": "net", "sha256": sha256}, "seed": seed, **more}
    return {"provenance": np.array(json.dumps({"made_by": {}, "images": images}))}


def command(*arguments, code=0):
    done = CliRunner().invoke(app, ["disentanglement", *map(str, arguments)], env={"COLUMNS": "160"})
    assert done.exit_code == code, done.output
    return done


# ------------------------------------------------------------------------------------------------- result lines


def test_results_of_a_store_carry_their_protocol(run_file, world):
    with LatentStore.open(run_file) as store:
        found = disentanglement_results(store, metrics=CHEAP, bootstrap=20)
    assert [result.metric for result in found] == [f"{name}_{space}" for space in "zw" for name in CHEAP]
    assert {result.metric for result in found} <= HIGHER_IS_BETTER
    mig = found[0]
    expected = disentanglement_scores(world[0], world[2] > 0, metrics=CHEAP, bootstrap=20)[0]
    assert (mig.value, mig.ci95, mig.details["baseline"]) == (expected.value, expected.ci95, expected.baseline)
    assert mig.protocol["direction"] == "higher is better"
    assert mig.protocol["factors"] == {"source": "labels", "classifiers": {"name": "unknown", "sha256": "unknown"}}
    assert (mig.protocol["bins"], mig.protocol["binning"], mig.protocol["num_samples"]) == (20, "equal-count", COUNT)
    assert [row["name"] for row in mig.details["factors"]] == ["Male", "Smiling", "Bald"]
    assert mig.model_validate_json(mig.model_dump_json()) == mig
    assert not HIGHER_IS_BETTER & PAPER_METRICS.keys()


def test_all_metrics_say_what_decides_them(run_file):
    with LatentStore.open(run_file) as store:
        found = disentanglement_results(store, spaces=["w"], bootstrap=5)
    protocols = {result.metric: result.protocol for result in found}
    assert len(protocols) == 12
    assert protocols["dci_completeness_linear_w"]["penalty"] == "0.2 s / sqrt(n)"
    assert protocols["dci_completeness_boosting_w"]["n_estimators"] == 100
    assert protocols["explicitness_w"]["continuous"] == "above the median"
    assert protocols["sap_w"]["binary"] == "balanced accuracy of the best threshold"


@pytest.mark.filterwarnings("ignore::latentlab.errors.UnknownNetworkWarning")
def test_numbers_over_other_factors_or_sizes_are_not_comparable(run_file, world, tmp_path):
    partly = world[2].copy()
    partly[:, 1] = 5
    other = write_store(tmp_path / "other.h5", z=world[0], logits=partly)

    def mig(path, **options):
        with LatentStore.open(path) as store:
            return disentanglement_results(store, spaces=["z"], metrics=["mig"], bootstrap=2, **options)[0]

    whole, part = mig(run_file), mig(other)
    assert part.details["num_valid"] == 2
    assert not whole.comparable_with(part)
    assert not whole.comparable_with(mig(run_file, binning="equal-width"))
    assert not whole.comparable_with(mig(run_file, factors=write_factors(tmp_path / "f.npz", world[0])))
    assert whole.comparable_with(mig(run_file, seed=1))


def test_stores_that_lack_something_are_named(tmp_path, world):
    z, w, logits = world
    with LatentStore.open(write_store(tmp_path / "a.h5", z=z, logits=logits)) as store:
        assert [one.metric for one in disentanglement_results(store, metrics=["mig"], bootstrap=2)] == ["mig_z"]
        with pytest.raises(StoreError, match=r"a\.h5 lacks w: measure the other space"):
            disentanglement_results(store, spaces=["z", "w"])
    with (
        LatentStore.open(write_store(tmp_path / "b.h5", attributes=(), z=z, w=w)) as store,
        pytest.raises(StoreError, match="lacks logits"),
    ):
        disentanglement_results(store)
    with (
        LatentStore.open(write_store(tmp_path / "c.h5", logits=logits)) as store,
        pytest.raises(StoreError, match=r"c\.h5 holds neither z nor w, only logits"),
    ):
        disentanglement_results(store)


def test_a_space_that_does_not_vary_is_refused_before_the_other_is_measured(tmp_path, world, monkeypatch):
    monkeypatch.setattr(on_store, "disentanglement_scores", None)
    path = write_store(tmp_path / "run.h5", z=world[0], w=np.ones_like(world[1]), logits=world[2])
    with LatentStore.open(path) as store, pytest.raises(DataError, match=r"run\.h5: w is the same in all samples"):
        disentanglement_results(store)


def test_a_space_that_stands_alone_is_measured(tmp_path, world):
    path = write_store(tmp_path / "run.h5", w=world[1], logits=world[2])
    done = command(path, "--metrics", "mig", "--json")
    assert "holds no z, so only W is measured" in done.stderr
    assert json.loads(done.stdout)["metric"] == "mig_w"
    only = write_store(tmp_path / "labels.h5", logits=world[2])
    complaint = command(only, code=1).stderr
    assert "holds neither z nor w" in complaint
    assert "only Z" not in complaint


# ------------------------------------------------------------------------------------------- files of factors


@pytest.mark.filterwarnings("ignore::latentlab.errors.UnknownNetworkWarning")
def test_factors_of_a_file_take_the_place_of_labels(tmp_path, world):
    path = write_store(tmp_path / "run.h5", attributes=(), z=world[0], w=world[1])
    factors = write_factors(tmp_path / "run-factors.npz", world[0])
    with LatentStore.open(path) as store:
        z, w = disentanglement_results(store, metrics=["sap"], factors=factors, bootstrap=20)
    assert z.value > 0.9 > w.value
    assert z.protocol["factors"] == {"source": "file", "classifiers": None}
    assert z.protocol["kinds"] == ["continuous"]
    assert (z.details["file"], len(z.details["sha256"])) == ("run-factors.npz", 64)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_files_of_factors_in_every_form(tmp_path, suffix):
    samples, values = np.arange(10, 16), np.random.default_rng(0).normal(size=(6, 2))
    path = tmp_path / f"factors{suffix}"
    table = pd.DataFrame(values, columns=["hue", "size"]).assign(sample=samples).sample(frac=1, random_state=0)
    if suffix == ".npz":
        write_factors(path, values, ["hue", "size"])
    elif suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    names, found = read_factors(path, samples)
    assert names == ("hue", "size")
    np.testing.assert_allclose(found, values)


def test_files_of_factors_that_do_not_fit_are_named(tmp_path):
    samples = np.arange(4)
    with pytest.raises(UsageError, match=r"must end in \.npz, \.csv, \.parquet"):
        read_factors(tmp_path / "factors.txt", samples)
    with pytest.raises(UsageError, match="no such file"):
        read_factors(tmp_path / "none.npz", samples)
    with pytest.raises(DataError, match="has 5 rows, and the store 4 samples"):
        read_factors(write_factors(tmp_path / "a.npz", np.zeros((5, 3))), samples)
    with pytest.raises(DataError, match=r"`names` is <U5 \[3\] and `values` float64 \[4, 2\]"):
        read_factors(write_factors(tmp_path / "b.npz", np.zeros((4, 2))), samples)
    np.savez(tmp_path / "c.npz", values=np.zeros((4, 2)))
    with pytest.raises(DataError, match="lacks names: it must hold"):
        read_factors(tmp_path / "c.npz", samples)
    (tmp_path / "d.npz").write_text("no zip")
    with pytest.raises(DataError, match=r"d\.npz is no \.npz file"):
        read_factors(tmp_path / "d.npz", samples)
    (tmp_path / "f.npz").touch()
    with pytest.raises(DataError, match=r"f\.npz is no \.npz file"):
        read_factors(tmp_path / "f.npz", samples)
    (tmp_path / "e.csv").write_text("sample,hue\n0,1\n1,2\n2,\n3,1\n")
    with pytest.raises(DataError, match="column hue must hold finite numbers only"):
        read_factors(tmp_path / "e.csv", samples)


SETTINGS = StoreSettings(
    num_samples=4,
    seed=7,
    network={"name": "net", "sha256": "a" * 64},
    classifiers=None,
    attributes=(),
    truncation_psi=1.0,
    noise_mode="none",
)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"sha256": "b" * 64, "seed": 7}, r"network \(SHA-256\) b{64} instead of a{64}"),
        ({"sha256": "a" * 64, "seed": 8}, "seed 8 instead of 7"),
        ({"sha256": "unknown", "seed": 8}, "seed 8 instead of 7"),
        ({"sha256": "a" * 64, "seed": 7, "first_row": 4}, "first sample 4 instead of 0"),
    ],
)
def test_factors_of_another_store_are_refused(tmp_path, told, words):
    path = write_factors(tmp_path / "f.npz", np.eye(4, 3), **images_of(**told))
    with pytest.raises(DataError, match=f"f.npz holds factors of the images of another store run.h5: {words}"):
        read_factors(path, np.arange(4), SETTINGS)


def test_factors_of_the_same_samples_are_taken(tmp_path):
    for told in ({"sha256": "a" * 64, "seed": 7}, {"sha256": "a" * 64}, {"seed": 7, "first_row": 0}):
        path = write_factors(tmp_path / "f.npz", np.eye(4, 3), **images_of(**told))
        assert read_factors(path, np.arange(4), SETTINGS)[0] == ("hue", "size", "angle")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "more", [{}, images_of(), {"provenance": np.array("no JSON")}, {"provenance": np.array("[1]")}]
)
def test_a_note_says_that_nothing_is_known_of_factors(tmp_path, more):
    path = write_factors(tmp_path / "f.npz", np.eye(4, 3), **more)
    with pytest.warns(UnknownNetworkWarning, match=r"nothing says that the factors in .*f\.npz are of the samples"):
        read_factors(path, np.arange(4), SETTINGS)


# ------------------------------------------------------------------------------------------------ the command


def test_the_command_prints_a_table_and_appends_results(run_file):
    shown = command(run_file).stdout
    lines = [line.split("  ") for line in shown.splitlines()]
    assert sum(line[0].strip().startswith("DCI") for line in lines) == 6
    assert "useless W" in shown
    assert 'Higher is better for every number. "useless": the same latents against other samples\' factors.' in shown
    found = read_results(run_file.parent / "results.jsonl")
    assert len(found) == 24
    assert len({result.metric for result in found}) == 24


def test_json_other_metrics_and_other_files(run_file, tmp_path):
    options = (
        "--space",
        "w",
        "--metrics",
        "sap, mig",
        "--num-samples",
        90,
        "--json",
        "--results",
        tmp_path / "x.jsonl",
    )
    lines = [json.loads(line) for line in command(run_file, *options).stdout.splitlines()]
    assert [(line["metric"], line["num_samples"]) for line in lines] == [("mig_w", COUNT), ("sap_w", 90)]
    assert len(read_results(tmp_path / "x.jsonl")) == 2


def test_the_same_seed_gives_the_same_lines(run_file):
    first, second, other = (
        [json.loads(line)["value"] for line in command(run_file, "--json", "--seed", seed).stdout.splitlines()]
        for seed in (0, 0, 1)
    )
    assert first == second != other


def test_left_out_factors_are_named(tmp_path, world):
    z, _, logits = world
    logits[:, 2] = 4.0
    path = write_store(tmp_path / "run.h5", z=z, logits=logits)
    done = command(path, "--metrics", "mig")
    assert "Bald: all samples are of one class." in done.stdout
    assert "over 2 of 3 valid factors: comparable only with numbers over the same ones" in done.stdout
    assert "holds no w, so only Z is measured" in done.stderr
    assert "lacks w" in command(path, "--space", "w", code=1).stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--metrics", "mig,beta"], 2, "metrics beta: they must be of mig"),
        (["--metrics", ""], 2, "they must be of mig"),
        (["--num-samples", "1000"], 2, "take at least 30 and at most 400"),
        (["--factors", "none.npz"], 2, "none.npz: no such file of factors"),
    ],
)
def test_wrong_use_is_said_in_a_line(run_file, options, code, words):
    done = command(run_file, *options, code=code)
    assert words in done.stderr
    assert not (run_file.parent / "results.jsonl").exists()


def test_a_file_of_another_kind_is_refused_before_anything_is_measured(run_file, tmp_path, monkeypatch):
    monkeypatch.setattr(on_store, "disentanglement_scores", None)
    (tmp_path / "notes.txt").write_text("mine")
    done = command(run_file, "--results", tmp_path / "notes.txt", code=1)
    assert "notes.txt, line 1: not a result line" in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "is no file" in command(run_file, "--results", tmp_path, code=2).stderr


def test_numbers_are_shown_even_if_they_cannot_be_kept(run_file, monkeypatch):
    def full(path, measured):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(results, "append_results", full)
    done = command(run_file, "--metrics", "mig", code=1)
    assert "MIG  " in done.stdout
    assert "The disk is full" in done.stderr


def test_labels_of_one_class_are_an_error(tmp_path, world):
    path = write_store(tmp_path / "run.h5", z=world[0], logits=np.abs(world[2]) + 1)
    assert "0 of 3 factors are valid" in command(path, code=1).stderr


def test_the_help_names_all_metrics():
    assert tuple(ALL.split(",")) == METRICS
