import json
import os
from dataclasses import replace
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from processes import finish, start
from pydantic import ValidationError

from attribute_classifiers import network as network_module
from attribute_classifiers.attributes import CELEBA_ATTRIBUTES, OFFICIAL_ORDER
from attribute_classifiers.batches import Batches, batch_rows
from attribute_classifiers.evaluation import predict
from attribute_classifiers.network import (
    AttributeClassifiers,
    initialise,
    load_classifiers,
    newest_classifiers,
    read_card,
    read_training,
    save_classifiers,
)
from attribute_classifiers.presets import PRESETS, ClassifierConfig, TrainingConfig, preset
from attribute_classifiers.split import split_images
from attribute_classifiers.states import newest_state
from attribute_classifiers.training import learning_rate, train_classifiers
from latentlab.cli.classifiers import named
from latentlab.data import Dataset
from latentlab.distributed import Team
from latentlab.errors import (
    CheckpointError,
    DataError,
    DivergenceError,
    OneClassWarning,
    OutputExistsError,
    UnknownNetworkError,
    UpsamplingWarning,
    UsageError,
)
from latentlab.images import box_resize, to_float
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
    assert (forty.training.learning_rate, PRESETS["quick"].training.learning_rate) == (0.01, 0.05)
    assert preset("paper", trunk="separate") == PRESETS["paper"]
    assert preset("quick", precision="bfloat16").training.precision == "bfloat16"
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


def test_images_of_any_size_are_resized() -> None:
    classifiers = initialise(AttributeClassifiers(settings()), 0)
    images = torch.rand(2, 3, 32, 32)
    small = images.reshape(2, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    assert torch.allclose(classifiers(images), classifiers(small), atol=1e-5)
    odd = torch.rand(2, 3, 12, 12)
    assert torch.equal(classifiers(odd), classifiers(box_resize(odd, 8)))
    with pytest.warns(UpsamplingWarning, match="4x4 pixels are enlarged to 8x8"):
        assert classifiers(torch.rand(1, 3, 4, 4)).shape == (1, 2)


def test_grey_images_count_as_three_channels() -> None:
    classifiers = initialise(AttributeClassifiers(settings(), name="quick"), 0)
    grey = torch.rand(2, 1, 16, 16)
    assert torch.equal(classifiers(grey), classifiers(grey.repeat(1, 3, 1, 1)))
    assert torch.equal(classifiers.features(grey)[-1], classifiers.features(grey.repeat(1, 3, 1, 1))[-1])
    for look in (classifiers, classifiers.features):
        with pytest.raises(UsageError, match="classifiers quick take images of 3 channels, not 2"):
            look(torch.rand(2, 2, 16, 16))


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
    torch.testing.assert_close(loaded(images), initialise(AttributeClassifiers(settings()), 0)(images))
    assert (loaded.name, loaded.attributes, loaded.resolution) == ("mine", ("Red", "Bright"), 8)
    config = json.loads((saved / "config.json").read_text())
    keys = {"schema_version", "trunk", "attributes", "network", "training", "dataset", "seed", "weights_sha256"}
    assert set(config) == keys
    assert config["weights_sha256"] == loaded.sha256
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert len({file.stat().st_mode for file in saved.iterdir()}) == 1  # who may read one may read all
    with pytest.raises(OutputExistsError):
        save_classifiers(saved, loaded, dataset={}, card={})


def test_temperatures_divide_the_log_odds_and_are_saved(tmp_path: Path) -> None:
    classifiers, images = initialise(AttributeClassifiers(settings()), 0), torch.rand(2, 3, 8, 8)
    before = classifiers(images)
    classifiers.temperature.copy_(torch.tensor([2.0, 0.5]))
    folder = save_classifiers(tmp_path / "warm", classifiers, dataset={}, card={}, seed=5)
    torch.testing.assert_close(load_classifiers(folder)(images), before / torch.tensor([2.0, 0.5]))
    assert read_training(folder) == ({}, 5)


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
    monkeypatch.setattr("latentlab.zoo.CLASSIFIERS", Path("none"))
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
        ({"schema_version": 7}, "schema version 7; known are 1 to 3"),
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
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".lock"] == ["out"]
    card = card_of(out)
    assert card["mean_balanced_accuracy"] > 0.9
    expected = {
        "name": "out",
        "trunk": trunk,
        "dataset": dataset.describe(),
        "trained_on": {**dataset.describe(), "labels_sha256": dataset.labels_sha256},
    }
    expected |= {"num_train": 86, "num_calibration": 5, "num_measured": 5, "measured_on": "held out"}
    assert {key: card[key] for key in expected} == expected
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
    assert [file.name for file in tmp_path.glob("killed*")] == ["killed.training"]
    killed = train_classifiers(dataset, config, tmp_path / "killed", seed=4, resume=True)
    assert (killed / "classifiers.safetensors").read_bytes() == (whole / "classifiers.safetensors").read_bytes()
    assert not list(tmp_path.glob("*.training"))
    assert train_classifiers(dataset, config, tmp_path / "killed", seed=4, resume=True) == killed


def learned(out: Path) -> bytes:
    return (out / "classifiers.safetensors").read_bytes()


def test_what_a_network_learns_does_not_depend_on_its_company(tmp_path: Path) -> None:
    """Neither on how many threads there are, nor on which other attributes are trained."""
    dataset, config = bright_and_red(), settings("separate")
    outs = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        outs.append(train_classifiers(dataset, config, tmp_path / f"threads-{threads}"))
        assert torch.get_num_threads() == threads
    assert learned(outs[0]) == learned(outs[1])
    torch.set_num_threads(1)
    red = config.model_copy(update={"attributes": ("Red",)})
    alone, first = (load_classifiers(out) for out in (train_classifiers(dataset, red, tmp_path / "red"), outs[0]))
    for name, value in next(iter(alone)).state_dict().items():
        assert torch.equal(value, next(iter(first)).state_dict()[name]), name


def test_stacked_networks_learn_what_single_ones_do(tmp_path: Path) -> None:
    dataset, config = bright_and_red(), settings("separate", learning_rate=0.002)
    single, stacked = (
        load_classifiers(train_classifiers(dataset, config, tmp_path / f"stack-{stack}", stack=stack))
        for stack in (1, 2)
    )
    start = initialise(AttributeClassifiers(config), 0)
    for name, value in stacked.state_dict().items():
        torch.testing.assert_close(value, single.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
    assert not torch.equal(stacked.state_dict()["networks.1.conv.weight"], start.state_dict()["networks.1.conv.weight"])


@pytest.mark.parametrize("stack", [1, 2])
def test_single_networks_go_on_from_the_state_of_a_stack_and_the_other_way_round(tmp_path: Path, stack: int) -> None:
    dataset, config = bright_and_red(), settings("separate", learning_rate=0.002)
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", stack=stack, progress=KillAfter(112))
    out = train_classifiers(dataset, config, tmp_path / "out", stack=3 - stack, resume=True)
    whole = load_classifiers(train_classifiers(dataset, config, tmp_path / "whole"))
    for name, value in load_classifiers(out).state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_bfloat16_learns_too(tmp_path: Path, trunk: str) -> None:
    config = settings(trunk, num_images=640)
    half = config.model_copy(update={"training": config.training.model_copy(update={"precision": "bfloat16"})})
    assert card_of(train_classifiers(bright_and_red(), half, tmp_path / "half"))["mean_balanced_accuracy"] > 0.9


@pytest.mark.parametrize("step", [6, 9, 10])
def test_parts_of_a_number_of_processes_that_were_killed_neither_count_nor_harm(tmp_path: Path, step: int) -> None:
    """As when one of two processes was killed before it had written its part, and one process then goes on alone."""
    dataset, config = bright_and_red(), settings("separate")
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", progress=KillAfter(64))
    states = tmp_path / "out.training"
    (whole,) = states.iterdir()
    assert whole.name == "000000003"
    half = states / f"{step:09d}"
    half.mkdir()
    (half / "part-1-of-2.safetensors").write_bytes((whole / "part-0-of-1.safetensors").read_bytes())
    assert newest_state(states) == whole
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", resume=True, progress=KillAfter(step * 16))
    newest = newest_state(states)
    assert newest is not None
    assert newest == half
    out = train_classifiers(dataset, config, tmp_path / "out", resume=True)
    assert learned(out) == learned(train_classifiers(dataset, config, tmp_path / "whole"))


def test_states_that_a_kill_at_the_very_end_left_behind_are_removed(tmp_path: Path) -> None:
    out = train_classifiers(bright_and_red(), settings(), tmp_path / "out")
    left = tmp_path / "out.training" / "000000010"
    left.mkdir(parents=True)
    (left / "part-0-of-1.safetensors").write_bytes(b"")
    assert train_classifiers(bright_and_red(), settings(), out, resume=True) == out
    assert not left.parent.exists()


def test_a_full_disk_leaves_nothing_that_looks_like_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attribute_classifiers.states.write_tensors", full)
    with pytest.raises(OSError, match="No space"):
        train_classifiers(bright_and_red(), settings(), tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_attributes_that_no_image_shows_or_all_show_are_named(tmp_path: Path) -> None:
    dataset = bright_and_red()
    labels = dataset.labels.copy()
    labels[:, 0], labels[:, 1] = 1, -1
    with pytest.warns(OneClassWarning) as found:
        train_classifiers(replace(dataset, labels=labels), settings(), tmp_path / "out")
    assert [str(warning.message).partition(":")[0] for warning in found] == [
        "no training image shows Red",
        "every training image shows Bright",
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [("Smiling,Male", ("Smiling", "Male")), ('"Hat, any kind", Male', ("Hat, any kind", "Male"))],
)
def test_attributes_are_named_as_in_a_csv_file(text: str, names: tuple[str, ...]) -> None:
    assert named(text) == names


@pytest.mark.parametrize(("text", "message"), [("", "expected names"), ("A,,B", "expected"), ("A,A", "only once")])
def test_attributes_that_cannot_be_names_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named(text)


def test_two_processes_on_one_output_are_refused(tmp_path: Path) -> None:
    with filelock.FileLock(tmp_path / ".out.lock"), pytest.raises(UsageError, match="being trained by another process"):
        train_classifiers(bright_and_red(), settings(), tmp_path / "out")


@pytest.mark.parametrize(("trunk", "most"), [("separate", 2), ("shared", 16)])
def test_more_processes_than_there_is_work_are_refused(tmp_path: Path, trunk: str, most: int) -> None:
    with pytest.raises(UsageError, match=f"17 processes cannot share {most} .*at most {most}"):
        train_classifiers(bright_and_red(), settings(trunk), tmp_path / "out", team=Team(0, 17))


@pytest.mark.parametrize("trunk", ["shared", "separate"])
def test_two_processes_train_what_one_does(tmp_path: Path, trunk: str) -> None:
    command = ["-m", "latentlab", "classifiers", "train", "--num-images", 64, "--resolution", 16, "--images-shown", 128]
    command += ["--attributes", "Smiling,Male,Bald", "--trunk", trunk, "--device", "cpu"]
    said = [finish(start(*command, "--out", tmp_path / f"{count}", processes=count)) for count in (1, 2)]
    assert said[0].replace("1: ", "2: ") == said[1]
    assert said[0].count("trained on") == 1
    first, second = (load_classifiers(tmp_path / str(count)) for count in (1, 2))
    if trunk == "separate":
        assert learned(tmp_path / "1") == learned(tmp_path / "2")
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], rtol=1e-2, atol=1e-3, msg=name)
    assert not list(tmp_path.glob("*.training"))


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
    with pytest.raises(UsageError, match="made with other settings, images, labels or another seed"):
        train_classifiers(dataset, config, tmp_path / "new", seed=9, resume=True)
    (part,) = (tmp_path / "new.training").glob("*/part-0-of-1.safetensors")
    part.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is damaged"):
        train_classifiers(dataset, config, tmp_path / "new", resume=True)


def test_a_training_is_not_resumed_with_other_labels(tmp_path: Path) -> None:
    dataset, config = bright_and_red(), settings()
    other = replace(dataset, labels=dataset.labels[::-1].copy())
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(dataset, config, tmp_path / "out", progress=KillAfter(64))
    with pytest.raises(UsageError, match="made with other settings, images, labels or another seed"):
        train_classifiers(other, config, tmp_path / "out", resume=True)
    out = train_classifiers(dataset, config, tmp_path / "out", resume=True)
    assert json.loads((out / "config.json").read_text())["dataset"]["labels_sha256"] == dataset.labels_sha256
    with pytest.raises(OutputExistsError, match="classifiers with other labels"):
        train_classifiers(other, config, tmp_path / "out", resume=True)


def test_a_finished_training_is_not_taken_for_another(tmp_path: Path) -> None:
    dataset, config = bright_and_red(), settings()
    out = train_classifiers(dataset, config, tmp_path / "out")
    darker = replace(dataset, fingerprint="e" * 64)
    with pytest.raises(OutputExistsError, match="with other images and was left"):
        train_classifiers(darker, config, out, resume=True)
    with pytest.raises(OutputExistsError, match="with other settings, seed and was left"):
        train_classifiers(dataset, settings(num_images=32), out, seed=1, resume=True)
    settings_file = out / "config.json"
    content = json.loads(settings_file.read_text())
    del content["dataset"]["labels_sha256"], content["seed"]  # as earlier versions wrote it
    settings_file.write_text(json.dumps(content))
    assert train_classifiers(dataset, config, out, resume=True) == out


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
    with pytest.raises(DataError, match="1 image: at least three are needed, one to learn from"):
        train_classifiers(single, settings(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_diverging_training_stops_and_leaves_no_output(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"loss became (nan|inf) at step \d+: train with a lower learning rate"):
        train_classifiers(bright_and_red(), settings(learning_rate=1e30), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_held_out_images_are_a_part_that_follows_from_the_seed() -> None:
    split = split_images(1000, 0.1, seed=1)
    assert [len(part) for part in split] == [900, 50, 50]
    assert sorted(np.concatenate(split)) == list(range(1000))
    again, other = split_images(1000, 0.1, seed=1), split_images(1000, 0.1, seed=2)
    assert all(np.array_equal(*parts) for parts in zip(split, again, strict=True))
    assert not np.array_equal(split.measured, other.measured)


@pytest.mark.parametrize("held_out", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("count", [3, 4, 5])
def test_every_part_of_a_tiny_set_has_an_image(count: int, held_out: float) -> None:
    split = split_images(count, held_out, seed=0)
    assert min(map(len, split)) >= 1
    assert sorted(np.concatenate(split)) == list(range(count))


def test_sets_too_small_to_split_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"2 images: at least three are needed.*one to calibrate with and one to measure"
    ):
        split_images(2, 0.1, seed=0)


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
    batches = Batches(sided, np.ones((96, 2), np.float32), train=np.arange(96), training=settings().training, seed=0)
    images, _ = next(batches.since(0, torch.device("cpu")))
    straight = to_float(ramp[:1])[0]
    mirrored = [bool(torch.equal(image, straight.flip(2))) for image in images]
    assert all(
        torch.equal(image, straight.flip(2) if m else straight) for image, m in zip(images, mirrored, strict=True)
    )
    assert 0 < sum(mirrored) < len(mirrored)
