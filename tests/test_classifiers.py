import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from attribute_classifiers import network as network_module
from attribute_classifiers.attributes import CELEBA_ATTRIBUTES, OFFICIAL_ORDER
from attribute_classifiers.evaluation import (
    card_table,
    mean_balanced_accuracy,
    predict,
    score_attribute,
    score_attributes,
)
from attribute_classifiers.network import (
    AttributeClassifiers,
    initialise,
    load_classifiers,
    newest_classifiers,
    read_card,
    save_classifiers,
)
from attribute_classifiers.presets import PRESETS, ClassifierConfig, TrainingConfig, preset
from attribute_classifiers.training import TrainingRun, batch_rows, learning_rate, split_images, train_classifiers
from latentlab.data import Dataset
from latentlab.errors import (
    CheckpointError,
    DataError,
    DivergenceError,
    OutputExistsError,
    UnknownNetworkError,
    UsageError,
)
from latentlab.images import to_float
from latentlab.networks import Discriminator, DiscriminatorConfig, count_parameters


def bright_and_red(count: int = 96) -> Dataset:
    """8x8 images of one colour and noise, labelled by what anyone can see."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (count, 2))
    pixels = rng.integers(0, 40, (count, 8, 8, 3))
    pixels += truth[:, :1, None, None] * 120  # bright
    pixels[..., 0] += truth[:, 1, None, None] * 90  # red
    labels = (2 * truth - 1).astype(np.int8)
    return Dataset("colours", "f" * 64, 8, pixels.astype(np.uint8), ("Bright", "Red"), labels)


def settings(trunk: str = "shared", *, num_images: int = 160, learning_rate: float = 0.02) -> ClassifierConfig:
    return ClassifierConfig(
        trunk=trunk,
        attributes=("Red", "Bright"),
        network=DiscriminatorConfig(resolution=8, fmap_base=16, fmap_max=8),
        training=TrainingConfig(num_images=num_images, batch_size=16, learning_rate=learning_rate, checkpoint_every=3),
    )


def card_of(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text())


class KillAfter:
    """A progress callback that ends the run as Ctrl-C does, once so many images have been shown."""

    def __init__(self, images: int) -> None:
        self.images = images

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done >= self.images:
            raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------- attributes, presets


def test_official_files_are_numbered_five_first_then_alphabetically() -> None:
    assert len(CELEBA_ATTRIBUTES) == 40
    assert sorted(OFFICIAL_ORDER) == sorted(CELEBA_ATTRIBUTES)
    numbered = {0: "Male", 1: "Smiling", 2: "Attractive", 3: "Wavy_Hair", 4: "Young", 5: "5_o_Clock_Shadow"}
    numbered |= {8: "Bald", 19: "Eyeglasses", 27: "No_Beard", 34: "Straight_Hair", 36: "Wearing_Hat"}
    numbered |= {39: "Wearing_Necktie"}
    assert {number: OFFICIAL_ORDER[number] for number in numbered} == numbered


def test_the_paper_preset_is_the_papers() -> None:
    paper = PRESETS["paper"]
    assert (paper.trunk, paper.num_networks, paper.network.resolution) == ("separate", 40, 256)
    assert (paper.network.fmap_base, paper.network.fmap_max) == (8192, 512)
    training = paper.training
    assert (training.num_images, training.batch_size, training.learning_rate) == (150_000, 8, 0.001)
    assert learning_rate(0, training) == learning_rate(10_000, training) == 0.001


def test_every_preset_leaves_images_of_a_batch_alone() -> None:
    assert all(config.network.mbstd_group_size == 0 for config in PRESETS.values())


def test_presets_at_another_resolution_and_for_other_attributes() -> None:
    config = preset("quick", resolution=64, attributes=("A", "B", "C"))
    assert (config.network.resolution, config.network.num_outputs) == (64, 3)
    assert preset("quick") == PRESETS["quick"]
    assert ClassifierConfig.model_validate(config.model_dump(mode="json")) == config
    forty = preset("quick", trunk="separate", images_shown=500)
    assert (forty.num_networks, forty.network.num_outputs, forty.training.num_images) == (40, 1, 500)
    with pytest.raises(UsageError, match=r"'shared' or 'separate'.*'both' given"):
        preset("quick", trunk="both")
    with pytest.raises(UsageError, match=r"greater than or equal to 1 \(0 given\)"):
        preset("quick", images_shown=0)
    with pytest.raises(UsageError, match=r"'huge': choose one of quick, small, paper"):
        preset("huge")
    with pytest.raises(UsageError, match=r"power of two"):
        preset("quick", resolution=48)
    with pytest.raises(UsageError, match=r"named only once"):
        preset("quick", attributes=("A", "A"))


def test_settings_that_contradict_each_other_are_refused() -> None:
    fields = settings().model_dump()
    with pytest.raises(ValidationError, match="needs num_outputs 2, not 5"):
        ClassifierConfig.model_validate({**fields, "network": {**fields["network"], "num_outputs": 5}})
    with pytest.raises(ValidationError, match="minibatch stddev must be off"):
        ClassifierConfig.model_validate({**fields, "network": {**fields["network"], "mbstd_group_size": 4}})


# -------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_a_classifier_is_the_discriminator_without_minibatch_stddev(trunk: str) -> None:
    classifiers = initialise(AttributeClassifiers(settings(trunk)), 0)
    images = torch.rand(3, 3, 8, 8)
    expected = torch.cat([network(images) for network in classifiers], dim=1)
    assert torch.equal(classifiers(images), expected)
    assert classifiers(images).shape == (3, 2)
    assert torch.allclose(classifiers(images)[:1], classifiers(images[:1]), atol=1e-6)
    reference = Discriminator(classifiers.config.network)
    assert count_parameters(classifiers) == classifiers.config.num_networks * count_parameters(reference)


def test_initial_weights_follow_from_the_seed_alone_as_the_discriminators_do() -> None:
    config = settings("separate")
    state = torch.get_rng_state()
    first, again, other = (initialise(AttributeClassifiers(config), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [torch.cat([p.detach().flatten() for p in c.parameters() if p.ndim > 1]) for c in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert abs(float(weights[0].std()) - 1) < 0.05
    networks = list(first)
    assert not torch.equal(networks[0].conv.weight, networks[1].conv.weight)
    names = [name for name, value in Discriminator(config.network).named_parameters() if not value.any()]
    assert names == [name for name, value in networks[0].named_parameters() if not value.any()]


def test_larger_images_are_box_filtered_and_unfit_ones_refused() -> None:
    classifiers = initialise(AttributeClassifiers(settings()), 0)
    images = torch.rand(2, 3, 32, 32)
    small = images.reshape(2, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    assert torch.allclose(classifiers(images), classifiers(small), atol=1e-5)
    for size in (4, 12):
        with pytest.raises(UsageError, match=f"{size}x{size} pixels for classifiers of 8x8"):
            classifiers(torch.rand(1, 3, size, size))


@pytest.mark.parametrize(("trunk", "networks"), [("shared", 1), ("separate", 2)])
def test_features_are_maps_at_every_resolution_for_images_of_any_size(trunk: str, networks: int) -> None:
    classifiers = initialise(AttributeClassifiers(settings(trunk)), 0)
    shapes = [tuple(level.shape) for level in classifiers.features(torch.rand(2, 3, 16, 24))]
    channels = [classifiers.config.network.fmaps(stage) * networks for stage in (2, 1)]
    assert shapes == [(2, channels[0], 16, 24), (2, channels[1], 8, 12)]


# ----------------------------------------------------------------------------------------------- saving, loading


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    classifiers = initialise(AttributeClassifiers(settings()), 0)
    return save_classifiers(
        tmp_path / "classifiers" / "mine", classifiers, dataset={"name": "x"}, card={"name": "mine"}
    )


def test_saved_classifiers_load_as_they_were(saved: Path) -> None:
    loaded = load_classifiers(saved)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(loaded(images), initialise(AttributeClassifiers(settings()), 0)(images))
    assert (loaded.name, loaded.attributes, loaded.resolution) == ("mine", ("Red", "Bright"), 8)
    config = json.loads((saved / "config.json").read_text())
    keys = {"schema_version", "trunk", "attributes", "network", "training", "dataset", "weights_sha256"}
    assert set(config) == keys
    assert config["weights_sha256"] == loaded.sha256
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(OutputExistsError):
        save_classifiers(saved, loaded, dataset={}, card={})


def test_a_name_is_looked_up_under_classifiers(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent.parent)
    Path("mine").mkdir()  # something else of that name
    assert load_classifiers("mine").name == "mine"
    with pytest.raises(UnknownNetworkError, match=r"no classifiers called 'yours': classifiers/ holds mine"):
        load_classifiers("yours")
    monkeypatch.setattr(network_module, "ROOT", Path("elsewhere"))
    with pytest.raises(UnknownNetworkError, match="elsewhere/ holds none yet"):
        load_classifiers("yours")


def test_the_newest_classifiers_are_found(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved.parent.parent)
    newer = save_classifiers("classifiers/newer", load_classifiers(saved), dataset={}, card={"name": "newer"})
    os.utime(saved / "config.json", ns=(1, 1))
    assert newest_classifiers() == newer
    assert read_card(newer) == {"name": "newer"}
    monkeypatch.setattr(network_module, "ROOT", Path("elsewhere"))
    with pytest.raises(UnknownNetworkError, match="elsewhere/ holds no classifiers yet"):
        newest_classifiers()
    (newer / "card.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"card\.json cannot be read"):
        read_card(newer)


def test_damaged_folders_are_refused_with_what_is_wrong(saved: Path) -> None:
    weights = saved / "classifiers.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"classifiers\.safetensors is damaged: its SHA-256"):
        load_classifiers(saved)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"it lacks classifiers\.safetensors"):
        load_classifiers(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trunk": "both"}, "'shared' or 'separate'"),
        ({"schema_version": 7}, "schema version 7; known is 1"),
        ({"attributes": ["Red"]}, "num_outputs 1, not 2"),
    ],
)
def test_settings_files_that_are_none_are_refused(saved: Path, change: dict, message: str) -> None:
    file = saved / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        load_classifiers(saved)


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    file = saved / "config.json"
    content = json.loads(file.read_text())
    content["network"]["fmap_max"] = 4
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"does not fit config\.json"):
        load_classifiers(saved)


# ------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_training_learns_what_can_be_seen_and_writes_a_card(tmp_path: Path, trunk: str) -> None:
    shown: list[tuple[int, int, str]] = []
    dataset = bright_and_red()
    out = train_classifiers(
        dataset, settings(trunk, num_images=640), tmp_path / "out", progress=lambda *args: shown.append(args)
    )
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    card = card_of(out)
    assert card["mean_balanced_accuracy"] > 0.9
    assert {key: card[key] for key in ("name", "trunk", "dataset", "num_train", "num_held_out")} == {
        "name": "out",
        "trunk": trunk,
        "dataset": dataset.describe(),
        "num_train": 86,
        "num_held_out": 10,
    }
    assert [entry["name"] for entry in card["attributes"]] == ["Red", "Bright"]
    assert (640, 640) in [entry[:2] for entry in shown]
    logits = predict(load_classifiers(out), dataset, np.arange(len(dataset)))
    assert ((logits > 0) == (dataset.labels[:, ::-1] > 0)).mean() > 0.9


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, trunk: str) -> None:
    dataset, config = bright_and_red(), settings(trunk)
    whole = train_classifiers(dataset, config, tmp_path / "whole", seed=4)
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "killed", seed=4, progress=KillAfter(112))
    assert [file.name for file in tmp_path.glob("killed*")] == ["killed.training.safetensors"]
    killed = train_classifiers(dataset, config, tmp_path / "killed", seed=4, resume=True)
    assert (killed / "classifiers.safetensors").read_bytes() == (whole / "classifiers.safetensors").read_bytes()
    assert not list(tmp_path.glob("*.training.safetensors"))
    assert train_classifiers(dataset, config, tmp_path / "killed", seed=4, resume=True) == killed


def test_the_seed_decides_the_result(tmp_path: Path) -> None:
    weights = [
        (train_classifiers(bright_and_red(), settings(), tmp_path / name, seed=seed) / "classifiers.safetensors")
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    a, b, c = (file.read_bytes() for file in weights)
    assert a == b != c


def test_outputs_and_unfinished_trainings_are_left_as_they_are(tmp_path: Path) -> None:
    dataset, config = bright_and_red(), settings()
    train_classifiers(dataset, config, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="out exists already"):
        train_classifiers(dataset, config, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="other settings"):
        train_classifiers(dataset, settings(num_images=32), tmp_path / "out", resume=True)
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "new", progress=KillAfter(64))
    with pytest.raises(OutputExistsError, match=r"unfinished training.*--resume"):
        train_classifiers(dataset, config, tmp_path / "new")
    with pytest.raises(UsageError, match="made with other settings, images or another seed"):
        train_classifiers(dataset, config, tmp_path / "new", seed=9, resume=True)
    (tmp_path / "new.training.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is damaged"):
        train_classifiers(dataset, config, tmp_path / "new", resume=True)


def test_a_training_is_not_resumed_with_other_labels(tmp_path: Path) -> None:
    dataset, config = bright_and_red(), settings()
    other = replace(dataset, labels=dataset.labels[::-1].copy())
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", progress=KillAfter(64))
    with pytest.raises(UsageError, match="made with other labels of the same images"):
        train_classifiers(other, config, tmp_path / "out", resume=True)
    out = train_classifiers(dataset, config, tmp_path / "out", resume=True)
    assert json.loads((out / "config.json").read_text())["dataset"]["labels_sha256"] == dataset.labels_sha256
    with pytest.raises(OutputExistsError, match="classifiers with other labels"):
        train_classifiers(other, config, tmp_path / "out", resume=True)


def test_states_and_folders_without_a_digest_of_labels_are_still_resumed(tmp_path: Path) -> None:
    dataset, config, state = bright_and_red(), settings(), tmp_path / "out.training.safetensors"
    whole = train_classifiers(dataset, config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", progress=KillAfter(64))
    with safe_open(state, framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "labels_sha256"}
    save_file(load_file(state), state, metadata)
    out = train_classifiers(dataset, config, tmp_path / "out", resume=True)
    assert (out / "classifiers.safetensors").read_bytes() == (whole / "classifiers.safetensors").read_bytes()
    settings_file = out / "config.json"
    content = json.loads(settings_file.read_text())
    del content["dataset"]["labels_sha256"]
    settings_file.write_text(json.dumps(content))
    assert train_classifiers(dataset, config, tmp_path / "out", resume=True) == out


def test_data_that_classifiers_cannot_learn_from_is_refused(tmp_path: Path) -> None:
    dataset = bright_and_red()
    unlabelled = Dataset("plain", "f", 8, dataset.pixels)
    with pytest.raises(DataError, match=r"plain has no labels.*'faces'.*list_attr_celeba\.txt"):
        train_classifiers(unlabelled, settings(), tmp_path / "out")
    with pytest.raises(DataError, match=r"no labels for 5_o_Clock_Shadow.*it has Bright, Red"):
        train_classifiers(dataset, preset("quick", resolution=8), tmp_path / "out")
    with pytest.raises(UsageError, match=r"opened at 8x8, the classifiers take 16x16"):
        train_classifiers(dataset, preset("quick", resolution=16, attributes=("Red",)), tmp_path / "out")
    single = Dataset("one", "f", 8, dataset.images(slice(0, 1)), dataset.attributes, dataset.labels[:1])
    with pytest.raises(DataError, match="1 image: training needs at least one to learn from"):
        train_classifiers(single, settings(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_diverging_training_stops_and_leaves_no_output(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"loss became (nan|inf) at step \d+: train with a lower learning rate"):
        train_classifiers(bright_and_red(), settings(learning_rate=1e30), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_held_out_images_are_a_part_that_follows_from_the_seed() -> None:
    split = split_images(1000, 0.1, seed=1)
    assert (len(split.train), len(split.held_out)) == (900, 100)
    assert sorted([*split.train, *split.held_out]) == list(range(1000))
    assert np.array_equal(split_images(1000, 0.1, seed=1).held_out, split.held_out)
    assert not np.array_equal(split_images(1000, 0.1, seed=2).held_out, split.held_out)


def test_every_pass_shows_every_image_once_in_another_order() -> None:
    train = np.array([3, 5, 7, 11, 13])
    rows = np.concatenate([batch_rows(train, step, 4, seed=0) for step in range(5)]).reshape(4, 5)
    assert [sorted(one_pass) for one_pass in rows.tolist()] == [train.tolist()] * 4
    assert len({tuple(one_pass) for one_pass in rows.tolist()}) > 1


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    training = TrainingConfig(num_images=1000, batch_size=10, learning_rate=1.0, warmup=0.1, decay=True)
    rates = [learning_rate(step, training) for step in range(100)]
    assert rates[10] == max(rates) == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001


def test_mirrored_images_are_the_same_images_seen_in_a_mirror(tmp_path: Path) -> None:
    dataset = bright_and_red()
    ramp = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None], (96, 8, 8, 3)).copy()
    sided = Dataset("ramps", "f", 8, ramp, dataset.attributes, dataset.labels)
    run = TrainingRun(sided, settings(), np.ones((96, 2), np.float32), seed=0, device=torch.device("cpu"))
    images, _ = next(run.batches())
    straight = to_float(ramp[:1])[0]
    mirrored = [bool(torch.equal(image, straight.flip(2))) for image in images]
    assert all(
        torch.equal(image, straight.flip(2) if m else straight) for image, m in zip(images, mirrored, strict=True)
    )
    assert 0 < sum(mirrored) < len(mirrored)


# ------------------------------------------------------------------------------------------------------- the card


def test_scores_of_perfect_useless_and_reversed_logits() -> None:
    labels = np.array([1, 1, 1, -1])
    assert score_attribute(labels * 2.0, labels) == {
        "share": 0.75,
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "auc": 1.0,
        "weak": False,
    }
    useless = score_attribute(np.ones(4), labels)
    assert (useless["accuracy"], useless["balanced_accuracy"], useless["auc"]) == (0.75, 0.5, 0.5)
    assert useless["weak"]
    assert score_attribute(-labels * 2.0, labels)["auc"] == 0.0


def test_an_attribute_with_one_class_has_no_score_and_is_weak() -> None:
    logits, labels = np.array([[1.0, 2.0], [-1.0, 3.0]]), np.array([[1, 1], [-1, 1]])
    scores = score_attributes(logits, labels, ("A", "B"))
    unknown = {"accuracy": None, "balanced_accuracy": None, "auc": None}
    assert scores[1] == {"name": "B", "share": 1.0, **unknown, "weak": True}
    assert mean_balanced_accuracy(scores) == 1.0
    assert mean_balanced_accuracy(scores[1:]) is None


def test_weak_means_below_seven_tenths() -> None:
    labels = np.repeat([1, -1], 10)
    for right, weak in ((3, True), (4, False)):  # balanced accuracy 0.65 and 0.7
        logits = np.where(np.arange(20) < 10, 1.0, np.where(np.arange(20) < 10 + right, -1.0, 1.0))
        assert score_attribute(logits, labels)["weak"] is weak


def test_the_printed_table_has_the_best_attribute_first_and_the_unknown_last() -> None:
    logits = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    labels = np.array([[1, 1, 1], [-1, -1, 1]])
    table = card_table({"attributes": score_attributes(logits, labels, ("half", "all", "unknown"))})
    assert list(table["name"]) == ["all", "half", "unknown"]
    assert list(table.columns) == ["name", "share", "accuracy", "balanced_accuracy", "auc", "weak"]
    assert math.isnan(table.loc[2, "auc"])
