"""Measuring classifiers on labelled data: which images and attributes, the card, folders of old versions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_classifiers import bright_and_red, settings
from typer.testing import CliRunner

from attribute_classifiers.card import Training, sorted_attributes
from attribute_classifiers.evaluation import calibrate, choose_images, common_attributes, evaluate, predict
from attribute_classifiers.network import AttributeClassifiers, initialise, load_classifiers, read_card
from attribute_classifiers.split import split_images
from attribute_classifiers.training import train_classifiers
from latentlab.cli import app
from latentlab.data import Dataset
from latentlab.errors import DataError, UsageError
from latentlab.report import read_card as read_report_card
from latentlab.report import read_run, render_report

ARCHIVE = Path(__file__).parent / "archives" / "classifiers-1"
TRAINING = Training({"name": "colours"}, 86, 5)


def untrained(seed: int = 0) -> AttributeClassifiers:
    return initialise(AttributeClassifiers(settings(), name="mine"), seed).eval()


def relabelled(dataset: Dataset, **changes: object) -> Dataset:
    fields = {name: getattr(dataset, name) for name in Dataset.__dataclass_fields__}
    return Dataset(**{**fields, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("classifiers") / "colours"
    return train_classifiers(bright_and_red(600), settings(num_images=640), out, seed=3)


# ----------------------------------------------------------------------------------------------------- prediction


def test_an_images_log_odds_do_not_depend_on_the_others() -> None:
    classifiers, dataset = untrained(), bright_and_red(230)
    together = predict(classifiers, dataset, np.arange(230))
    for rows in (np.array([7]), np.array([229, 7, 7, 0]), np.arange(101)):
        assert np.array_equal(predict(classifiers, dataset, rows), together[rows])
    assert predict(classifiers, dataset, np.array([], int)).shape == (0, 2)


def test_predictions_leave_classifiers_trainable_and_tell_how_far_they_are() -> None:
    classifiers, told = untrained(), []
    predict(classifiers, bright_and_red(230), np.arange(230), progress=lambda *words: told.append(words[:2]))
    assert told == [(64, 230), (128, 230), (192, 230), (230, 230)]
    classifiers(torch.rand(2, 3, 8, 8)).sum().backward()
    assert next(classifiers.parameters()).grad is not None


def test_log_odds_do_not_depend_on_the_number_of_threads() -> None:
    classifiers, dataset = untrained(), bright_and_red(230)
    alone = predict(classifiers, dataset, np.arange(230))
    torch.set_num_threads(3)
    assert np.array_equal(predict(classifiers, dataset, np.arange(230)), alone)


def test_log_odds_that_are_not_finite_are_refused() -> None:
    classifiers = untrained()
    with torch.no_grad():
        next(iter(classifiers)).conv.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="'mine' made log-odds that are not finite"):
        predict(classifiers, bright_and_red(), np.arange(4))


# ---------------------------------------------------------------------------------------- calibration and the card


def test_calibration_lowers_the_log_loss_and_does_not_add_up() -> None:
    classifiers, dataset = untrained(), bright_and_red(600)
    rows = np.arange(600)
    outputs = predict(classifiers, dataset, rows)
    calibrate(classifiers, dataset, rows)
    first = classifiers.temperature.clone()
    assert (first != 1).all()
    assert np.allclose(predict(classifiers, dataset, rows), outputs / first.numpy())
    card = evaluate(classifiers, dataset, training=TRAINING)
    assert all(row["log_loss"] < row["uncalibrated"]["log_loss"] for row in card["attributes"])
    calibrate(classifiers, dataset, rows)
    assert torch.allclose(classifiers.temperature, first, rtol=1e-4)


def test_training_calibrates_on_images_that_are_not_measured(folder: Path) -> None:
    dataset, loaded = bright_and_red(600), load_classifiers(folder)
    split = split_images(600, 0.1, seed=3)
    found = loaded.temperature.clone()
    loaded.temperature.fill_(1)
    calibrate(loaded, dataset, split.calibration)
    assert torch.allclose(loaded.temperature, found, rtol=1e-4)


def test_the_card_has_what_it_promises(folder: Path) -> None:
    card = read_card(folder)
    assert (card["schema_version"], card["num_train"], card["num_calibration"], card["num_measured"]) == (
        3, 540, 30, 30,
    )  # fmt: skip
    assert card["bootstrap"] == {"resamples": 1000, "seed": 3}
    assert card["mean_balanced_accuracy"] == card["mean"]["balanced_accuracy"]
    for row, temperature in zip(card["attributes"], load_classifiers(folder).temperature, strict=True):
        assert row["temperature"] == float(temperature)
        assert set(row["uncalibrated"]) == {"log_loss", "calibration_error"}
        assert row["ci95"]["balanced_accuracy"][0] <= row["balanced_accuracy"] <= row["ci95"]["balanced_accuracy"][1]
    assert [len(card["confusion"][name]) for name in ("leak", "own")] == [2, 2]


def test_attributes_are_sorted_the_best_first_and_the_unknown_last() -> None:
    rows = [
        {"name": "b", "auc": None, "log_loss": 0.1},
        {"name": "a", "auc": 0.6, "log_loss": 0.3},
        {"name": "c", "auc": 0.9, "log_loss": 0.2},
    ]
    order = {by: "".join(row["name"] for row in sorted_attributes({"attributes": rows}, by)) for by in
             ("auc", "log_loss", "name", "temperature")}  # fmt: skip
    assert order == {"auc": "cab", "log_loss": "bca", "name": "abc", "temperature": "bac"}


# -------------------------------------------------------------------------------------------- images and attributes


def test_on_the_training_data_the_held_out_images_are_taken_and_give_the_same_numbers(folder: Path) -> None:
    dataset = bright_and_red(600)
    chosen = choose_images(folder, dataset)
    assert np.array_equal(chosen.rows, split_images(600, 0.1, seed=3).measured)
    assert chosen.origin == "held out"
    assert "was trained on these images: measuring on the 30 that it held out; --all takes all" in chosen.note
    training = Training.read(folder)
    card = evaluate(load_classifiers(folder), dataset, training=training, rows=chosen.rows, seed=3)
    assert len(card.pop("weights_sha256")) == 64
    assert card == read_card(folder)


def test_all_images_of_the_training_data_are_taken_on_request_with_a_warning(folder: Path) -> None:
    chosen = choose_images(folder, bright_and_red(600), everything=True)
    assert (len(chosen.rows), chosen.origin) == (600, "training data")
    assert "trained or calibrated on 570 of these 600 images: the numbers are too good" in chosen.note


def test_other_data_is_measured_whole_and_data_that_may_overlap_is_named(folder: Path) -> None:
    other = relabelled(bright_and_red(50), name="others", fingerprint="e" * 64)
    assert choose_images(folder, other)[1:] == ("other data", "")
    assert len(choose_images(folder, other).rows) == 50
    same_name = choose_images(folder, relabelled(other, name="colours"))
    assert (len(same_name.rows), same_name.origin) == (50, "perhaps training data")
    assert "some images may be in both" in same_name.note


def test_attributes_are_matched_by_name(folder: Path) -> None:
    classifiers, dataset = load_classifiers(folder), bright_and_red(600)
    labels = np.concatenate([-dataset.labels[:, :1], dataset.labels[:, ::-1]], 1)
    more = relabelled(dataset, attributes=("Round", "Red", "Bright"), labels=labels)
    assert common_attributes(classifiers, more) == ("Red", "Bright")
    whole, swapped = (evaluate(classifiers, data, training=TRAINING) for data in (dataset, more))
    assert whole["attributes"] == swapped["attributes"]
    one = evaluate(classifiers, more, training=TRAINING, attributes=["Bright"])
    assert [row["name"] for row in one["attributes"]] == ["Bright"]
    assert one["attributes"][0]["auc"] == whole["attributes"][1]["auc"]


def test_classifiers_trained_for_other_attributes_than_asked_are_refused(folder: Path) -> None:
    classifiers, dataset = load_classifiers(folder), bright_and_red()
    with pytest.raises(UsageError, match="asked for Green, but the classifiers 'colours' were trained for Red, Bright"):
        evaluate(classifiers, dataset, training=TRAINING, attributes=["Red", "Green"])
    bright = relabelled(dataset, attributes=("Bright",), labels=dataset.labels[:, :1])
    with pytest.raises(UsageError, match="asked for Red, but colours has labels for Bright: name"):
        evaluate(classifiers, bright, training=TRAINING, attributes=["Red"])
    green = relabelled(dataset, attributes=("Green", "Blue"))
    with pytest.raises(UsageError, match=r"no attribute in common: .* for Red, Bright; colours has .* Green, Blue"):
        evaluate(classifiers, green, training=TRAINING)
    plain = relabelled(dataset, attributes=(), labels=None)
    with pytest.raises(DataError, match="colours has no labels, so nothing can be measured"):
        evaluate(classifiers, plain, training=TRAINING)


# ------------------------------------------------------------------------------------------------- folders of old


def test_classifiers_of_schema_1_give_the_log_odds_they_gave() -> None:
    loaded = load_classifiers(ARCHIVE)
    assert loaded.temperature.tolist() == [1, 1]
    given = [[8.640784, 8.211299], [-1.820215, 1.524742], [-11.752755, -20.334860], [-11.355578, -20.295530]]
    assert np.allclose(predict(loaded, bright_and_red(), np.arange(4)), given, rtol=1e-4)


def test_classifiers_of_schema_1_are_measured_with_a_warning() -> None:
    chosen = choose_images(ARCHIVE, bright_and_red())
    assert (len(chosen.rows), chosen.origin) == (96, "training data")
    assert "does not say which it held out" in chosen.note
    card = evaluate(load_classifiers(ARCHIVE), bright_and_red(), training=Training.read(ARCHIVE), origin=chosen.origin)
    assert (card["num_train"], card["num_calibration"], card["num_measured"]) == (86, None, 96)
    assert card["mean"]["auc"] > 0.9


def report(root: Path, classifiers: Path) -> tuple[str, str]:
    """Page and tables of a report on a run without results, with these classifiers' card."""
    (root / "run").mkdir()
    (root / "run" / "config.json").write_text("{}")
    render_report([read_run(root / "run")], root / "report", cards=[read_report_card(classifiers)])
    return (root / "report" / "index.html").read_text(), (root / "report" / "tables.md").read_text()


def test_cards_of_schema_1_are_shown_and_reported(tmp_path: Path) -> None:
    out = CliRunner().invoke(app, ["classifiers", "card", str(ARCHIVE)])
    assert out.exit_code == 0
    assert "not calibrated, measured on 10 held out" in out.stdout
    assert "Means: balanced accuracy 1.000." in out.stdout
    assert "log loss" not in out.stdout
    page, _ = report(tmp_path, ARCHIVE)
    assert "86 to train, 10 held out" in page


def test_a_card_is_reported_with_its_intervals(folder: Path, tmp_path: Path) -> None:
    page, tables = report(tmp_path, folder)
    assert "540 to train, 30 to calibrate, 30 to measure" in page
    row = read_card(folder)["attributes"][0]
    low, high = row["ci95"]["balanced_accuracy"]
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in page
    assert "calibration error" in tables


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with classifiers of 120 embedded faces, and 80 faces as files."""
    root = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.chdir(root)
        run("data", "faces", "--out", "files", "--num-images", 80, "--resolution", 16)
        settings = ("--num-images", 120, "--resolution", 16, "--images-shown", 400)
        run("classifiers", "train", "--data", "faces", *settings, "--out", "classifiers/tiny", "--device", "cpu")
    return root


@pytest.fixture
def inside(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    """A command's standard output and standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_evaluate_measures_on_other_data_and_writes_a_card(inside: Path) -> None:
    out, told = run(
        "classifiers", "evaluate", "tiny", "--data", "files", "--attributes", "Male, Smiling", "--out", "cards/a.json"
    )
    assert [name for name in ("Male", "Smiling", "Bald") if f"\n {name} " in out] == ["Male", "Smiling"]
    assert "measured on 80 images of files, other data than they were trained on" in out.replace("\n", " ")
    card = json.loads((inside / "cards/a.json").read_text())
    assert (card["num_measured"], card["dataset"]["name"], card["trained_on"]["name"]) == (80, "files", "faces")
    assert "wrote cards/a.json" in told
    _, told = run("classifiers", "evaluate", "tiny", "--data", "files", "--out", "cards/a.json", code=2)
    assert "cards/a.json exists already" in told


def test_evaluate_prints_json_that_follows_from_the_seed(inside: Path) -> None:
    common = ("classifiers", "evaluate", "tiny", "--data", "files", "--json")
    first, again, other = (json.loads(run(*common, "--seed", seed)[0]) for seed in (0, 0, 1))
    assert first == again
    assert first["mean"]["auc"] == other["mean"]["auc"]
    assert first["mean"]["ci95"] != other["mean"]["ci95"]
    assert len(first["confusion"]["leak"]) == 40


def test_evaluate_on_the_training_data_says_which_images_it_takes(inside: Path) -> None:
    common = ("classifiers", "evaluate", "tiny", "--data", "faces", "--json", "--num-images")
    out, told = run(*common, 120)
    assert "measuring on the 6 that it held out" in told
    assert json.loads(out)["mean"]["auc"] == read_card(inside / "classifiers/tiny")["mean"]["auc"]
    out, told = run(*common, 120, "--all")
    assert "114 of these 120 images: the numbers are too good" in told
    assert json.loads(out)["measured_on"] == "training data"
    out, told = run(*common, 50)  # other pixels in all, but drawn as those were
    assert "some images may be in both" in told
    assert json.loads(out)["measured_on"] == "perhaps training data"


def test_evaluate_refuses_attributes_before_it_reads_images(inside: Path) -> None:
    _, told = run("classifiers", "evaluate", "tiny", "--data", "nowhere", "--attributes", "Male,Happy", code=2)
    assert "asked for Happy, but the classifiers 'tiny' were trained for 5_o_Clock_Shadow" in told


def test_evaluate_names_the_attributes_that_it_leaves_out(inside: Path) -> None:
    shutil.copytree("files", "fewer", dirs_exist_ok=True)
    table = inside / "fewer" / "list_attr_celeba.txt"
    count, names, *rows = table.read_text().splitlines()
    kept = [names.split().index(name) for name in ("Male", "Young")]
    lines = [" ".join([row.split()[0], *(row.split()[1 + place] for place in kept)]) for row in rows]
    table.write_text("\n".join([count, "Male Cheerful", *lines]) + "\n")
    out, told = run("classifiers", "evaluate", "tiny", "--data", "fewer")
    assert "only 'tiny' has them: 5_o_Clock_Shadow" in told
    assert "only fewer has them: Cheerful" in told
    assert "\n Male " in out


def test_the_card_fits_a_page_and_can_be_sorted(inside: Path) -> None:
    out, _ = run("classifiers", "card", "tiny", "--sort", "name")
    table = out[: out.index("tiny: shared trunk")].splitlines()
    assert max(map(len, table)) <= 120
    names = [line.split()[0] for line in table if "0." in line]
    assert names == sorted(names)
    assert len(names) == 40
    assert "No balanced accuracy, because the images show one class only" in out
    printed = json.loads(run("classifiers", "card", "tiny", "--json")[0])
    assert printed == read_card(inside / "classifiers/tiny")
