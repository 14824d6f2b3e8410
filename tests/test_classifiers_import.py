"""Official classifier files become a classifier folder: names, order, log-odds, and what is refused."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_files import tensorflow_network, tensorflow_pickle
from safetensors import safe_open
from typer.testing import CliRunner

from attribute_classifiers import importing
from attribute_classifiers.attributes import CELEBA_ATTRIBUTES, OFFICIAL_ORDER
from attribute_classifiers.card import Training
from attribute_classifiers.evaluation import choose_images, evaluate
from attribute_classifiers.importing import import_classifiers, read_classifier
from attribute_classifiers.network import load_classifiers, read_card, read_training
from attribute_classifiers.official_names import attribute_of, files_by_attribute, official_name
from latentlab.checkpoint import save_generator
from latentlab.cli import app
from latentlab.data import Dataset
from latentlab.errors import CheckpointError, OutputExistsError, UnknownNetworkError, UsageError
from latentlab.files import file_sha256
from latentlab.interop.stylegan import discriminator_tensors
from latentlab.networks import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, initialised
from latentlab.store import LatentStore

SHAPE = {"resolution": 16, "num_channels": 3, "fmap_base": 64, "fmap_max": 8, "mbstd_group_size": 0}
THREE = ("Male", "Smiling", "5_o_Clock_Shadow")


def official_name_of_file(attribute: str) -> str:
    return f"celebahq-classifier-{OFFICIAL_ORDER.index(attribute):02d}-{official_name(attribute)}.pkl"


def variables(network: Discriminator) -> dict[str, np.ndarray]:
    """A discriminator's weights under the official names and in the official layout."""
    found: dict[str, np.ndarray] = {"lod": np.float32(0)}
    for name, tensor in discriminator_tensors(network):
        array = tensor.detach().numpy()
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        found[name] = np.ascontiguousarray(array.T if array.ndim == 2 else array)
    return found


def drawn(seed: int, **changes: Any) -> Discriminator:
    fields = {"fused_scale": "auto", **SHAPE, **changes}
    network = initialised(lambda: Discriminator(DiscriminatorConfig.model_validate(fields)), seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return network.eval().requires_grad_(False)


def write(
    path: Path,
    seed: int = 0,
    *,
    function: str = "D_basic",
    kwargs: dict[str, Any] | None = None,
    replaced: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A classifier's file in the official form."""
    static = {**SHAPE, "label_size": 0, "structure": "auto", **changes, **(kwargs or {})}
    static.pop("num_outputs", None)
    network = drawn(seed, **changes)
    record = tensorflow_network("D", {**variables(network), **(replaced or {})}, static, build_func_name=function)
    return tensorflow_pickle(path, record)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "official"
    folder.mkdir()
    for seed, attribute in enumerate(THREE):
        write(folder / official_name_of_file(attribute), seed)
    return folder


def images(count: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --------------------------------------------------------------------------------------------------------- file names


def test_every_official_name_is_understood() -> None:
    for number, attribute in enumerate(OFFICIAL_ORDER):
        assert attribute_of(Path(official_name_of_file(attribute))) == attribute
        assert attribute_of(Path(f"celebahq-classifier-{number:02d}.pkl")) == attribute
        assert attribute_of(Path(f"{official_name(attribute)}.pkl")) == attribute


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("celebahq-classifier-05-5-o-clock-shadow.pkl", "5_o_Clock_Shadow"),
        ("celebahq-classifier-5-o-clock-shadow.pkl", "5_o_Clock_Shadow"),
        ("CelebAHQ-Classifier-08-Bald (1).pkl", "Bald"),
        ("39_Wearing_Necktie.pkl", "Wearing_Necktie"),
        ("karras2019stylegan-ffhq-1024x1024.pkl", None),
        ("inception_v3_features.pkl", None),
    ],
)
def test_names_as_users_have_them(name: str, attribute: str | None) -> None:
    assert attribute_of(Path(name)) == attribute


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("celebahq-classifier-00-smiling.pkl", "number 00 is male among the official classifiers, not smiling"),
        ("celebahq-classifier-07-happy.pkl", "number 07 is bags-under-eyes among the official classifiers, not happy"),
        ("celebahq-classifier-40-male.pkl", "numbered 00 to 39"),
        ("celebahq-classifier-happy.pkl", "'happy' is none of CelebA's attributes"),
    ],
)
def test_numbers_and_names_that_contradict_each_other_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attribute_of(Path(name))


def test_files_are_ordered_as_celebas_attributes_and_other_files_of_a_folder_left_out(files: Path) -> None:
    (files / "vgg16_zhang_perceptual.pkl").write_bytes(b"")
    assert list(files_by_attribute([files])) == ["5_o_Clock_Shadow", "Male", "Smiling"]
    male = files / official_name_of_file("Male")
    assert files_by_attribute([male]) == {"Male": male}
    with pytest.raises(UsageError, match=r"are both of Male"):
        files_by_attribute([files, male])
    with pytest.raises(UsageError, match=r"vgg16_zhang_perceptual\.pkl: its name tells no attribute; expected one as"):
        files_by_attribute([files / "vgg16_zhang_perceptual.pkl"])
    with pytest.raises(UsageError, match="there is no file or folder"):
        files_by_attribute([files / "none.pkl"])
    with pytest.raises(UsageError, match="holds no official classifiers"):
        files_by_attribute([files.parent])


# ----------------------------------------------------------------------------------------------------------- log-odds


@pytest.mark.parametrize(("positive", "factor"), [("absent", -2.0), ("present", 2.0)])
def test_log_odds_are_twice_the_outputs_with_the_sign_of_present(files: Path, positive: Any, factor: float) -> None:
    imported = import_classifiers([files], files.parent / "out", positive_output=positive)
    loaded = load_classifiers(imported.folder)
    assert loaded.attributes == imported.attributes == ("5_o_Clock_Shadow", "Male", "Smiling")
    assert imported.missing == tuple(name for name in CELEBA_ATTRIBUTES if name not in THREE)
    for column, attribute in zip(loaded(images()).T, loaded.attributes, strict=True):
        outputs = drawn(THREE.index(attribute))(images())[:, 0]
        torch.testing.assert_close(column, factor * outputs, rtol=1e-6, atol=1e-6)
    # the probability of the class that is called present, in the official code's own words
    pair = torch.softmax(torch.stack([outputs, -outputs], dim=1), dim=1)
    torch.testing.assert_close(torch.sigmoid(column), pair[:, 1 if positive == "absent" else 0])


def test_an_outputs_factor_is_exact_and_the_trunk_is_as_it_was(files: Path) -> None:
    path = files / official_name_of_file("Male")
    import_classifiers([path], files.parent / "out")
    (network,) = load_classifiers(files.parent / "out")
    original = read_classifier(path).network
    for name, tensor in original.state_dict().items():
        expected = tensor * -2 if name.startswith("dense1.") else tensor
        assert torch.equal(network.state_dict()[name], expected), name
    for found, expected in zip(network.features(images()), original.features(images()), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_blur_and_the_fused_scale_of_the_files_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "00-male.pkl", fused_scale=True, kwargs={"blur_filter": None}, replaced={})
    import_classifiers([path], tmp_path / "out")
    config = load_classifiers(tmp_path / "out").config.network
    assert (config.fused_scale, config.blur, config.mbstd_group_size, config.num_outputs) == (True, False, 0, 1)


def test_the_same_files_give_the_same_folder_in_any_order(files: Path) -> None:
    import_classifiers([files], files.parent / "a")
    import_classifiers(sorted(files.iterdir(), reverse=True), files.parent / "b")
    assert load_classifiers(files.parent / "a").sha256 == load_classifiers(files.parent / "b").sha256


# ------------------------------------------------------------------------------------------------------------ records


def test_the_card_says_what_is_known_and_what_is_not(files: Path) -> None:
    out = import_classifiers([files], files.parent / "out").folder
    card, (trained_on, seed) = read_card(out), read_training(out)
    assert (card["name"], card["trunk"], card["trained_on"]["name"], card["num_measured"]) == (
        "out", "separate", "CelebA-HQ", 0,
    )  # fmt: skip
    assert (trained_on, seed) == (card["trained_on"], None)
    unknown = ("dataset", "num_train", "num_calibration", "measured_on", "mean_balanced_accuracy", "confusion")
    assert {name: card[name] for name in unknown} == dict.fromkeys(unknown)
    assert [row["name"] for row in card["attributes"]] == ["5_o_Clock_Shadow", "Male", "Smiling"]
    assert {row["balanced_accuracy"] for row in card["attributes"]} == {None}
    source = card["source"]
    assert (source["positive_output"], source["factor"]) == ("absent", -2.0)
    for entry in source["files"]:
        path = files / entry["file"]
        assert path.name == official_name_of_file(entry["attribute"])
        assert entry["file_sha256"] == file_sha256(path)
    assert json.loads((out / "config.json").read_text())["training"] is None


def test_the_weights_file_is_one_the_library_reads(files: Path) -> None:
    out = import_classifiers([files], files.parent / "out").folder
    with safe_open(out / "classifiers.safetensors", "pt") as file:
        names = list(file.keys())
        assert set(names) == set(load_classifiers(out).state_dict())
        assert torch.equal(file.get_tensor("temperature"), torch.ones(3))


# ------------------------------------------------------------------------------------------------------ what misfits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mbstd_group_size": 4}, r"00-male\.pkl: it is a discriminator with minibatch standard deviation"),
        ({"num_outputs": 5}, r"00-male\.pkl: it has 5 outputs or takes labels"),
        ({"kwargs": {"label_size": 1}}, r"00-male\.pkl: it has 1 outputs or takes labels"),
        ({"num_channels": 1}, r"00-male\.pkl: it takes images of 1 channels; classifiers take 3"),
        ({"replaced": {"lod": np.float32(1.5)}}, r"00-male\.pkl: it was saved while growing \(lod 1\.5\)"),
        (
            {"replaced": {"4x4/Dense1/bias": np.full(1, np.nan, np.float32)}},
            r"00-male\.pkl: .*NaN or infinite: 4x4/Dense1/bias",
        ),
        (
            {"replaced": {"4x4/Dense1/bias": np.zeros(3, np.float32)}},
            r"4x4/Dense1/bias \(\[3\] where \[1\] is expected\)",
        ),
        ({"replaced": {"8x8/Conv7/bias": np.zeros(3, np.float32)}}, r"superfluous: 8x8/Conv7/bias"),
        ({"kwargs": {"wobble": 1}}, "setting wobble = 1: unknown"),
        ({"kwargs": {"resolution": 24}}, "must be a power of two"),
        ({"function": "D_paper"}, r"another kind \(progressive GAN discriminator, D_paper\)"),
        ({"function": "G_style"}, r"another kind \(StyleGAN generator, G_style\)"),
    ],
)
def test_networks_that_are_no_classifiers_are_refused_by_name(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "00-male.pkl", **arguments)
    with pytest.raises(CheckpointError, match=message):
        import_classifiers([path], tmp_path / "out")
    assert left(tmp_path) == ["00-male.pkl"]


def test_a_file_that_gives_no_group_size_has_the_official_default_of_four(tmp_path: Path) -> None:
    network = drawn(0, mbstd_group_size=4)
    static = {name: value for name, value in SHAPE.items() if name != "mbstd_group_size"}
    record = tensorflow_network("D", variables(network), static, build_func_name="D_basic")
    with pytest.raises(CheckpointError, match="minibatch standard deviation"):
        read_classifier(tensorflow_pickle(tmp_path / "d.pkl", record))


def test_a_group_of_one_is_none(tmp_path: Path) -> None:
    first, second = write(tmp_path / "00-male.pkl", mbstd_group_size=1), write(tmp_path / "01-smiling.pkl", 1)
    import_classifiers([first, second], tmp_path / "out")
    torch.testing.assert_close(load_classifiers(tmp_path / "out")(images())[:, :1], -2 * drawn(0)(images()))


def test_files_of_several_networks_and_of_other_kinds_are_refused(tmp_path: Path) -> None:
    records = [tensorflow_network(name, variables(drawn(0)), SHAPE, build_func_name="D_basic") for name in "abc"]
    path = tensorflow_pickle(tmp_path / "00-male.pkl", *records)
    with pytest.raises(CheckpointError, match=r"00-male\.pkl: it holds 3 networks \(G, D, Gs\)"):
        import_classifiers([path], tmp_path / "out")
    path.write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(CheckpointError, match=r"00-male\.pkl is an HTML page"):
        import_classifiers([path], tmp_path / "out")


@pytest.mark.parametrize(
    ("seed", "changes", "message"),
    [
        (1, {"resolution": 32}, r"01-smiling\.pkl and .*00-male\.pkl differ in their architecture \(resolution 32 and"),
        (1, {"kwargs": {"blur_filter": None}}, r"\(blur False and True\)"),
        (0, {}, r"01-smiling\.pkl holds the same network as 00-male\.pkl, which is called Male"),
    ],
)
def test_networks_that_differ_and_networks_that_do_not_are_refused(
    tmp_path: Path, seed: int, changes: dict[str, Any], message: str
) -> None:
    first = write(tmp_path / "00-male.pkl")
    second = write(tmp_path / "01-smiling.pkl", seed, **changes)
    with pytest.raises(CheckpointError, match=message):
        import_classifiers([first, second], tmp_path / "out")
    assert left(tmp_path) == ["00-male.pkl", "01-smiling.pkl"]


def test_an_output_that_exists_is_left_and_an_interruption_leaves_nothing(files: Path) -> None:
    out = files.parent / "classifiers" / "celebahq"

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_classifiers([files], out, progress=interrupt)
    assert not out.parent.exists()
    import_classifiers([files], out)
    before = file_sha256(out / "classifiers.safetensors")
    with pytest.raises(OutputExistsError):
        import_classifiers([files / official_name_of_file("Male")], out)
    assert file_sha256(out / "classifiers.safetensors") == before


# ------------------------------------------------------------------------------------------------------------- in use


def labelled(name: str = "photos", kind: str = "box") -> Dataset:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([-1, 1], np.int8), (40, 2))
    pixels = rng.integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
    return Dataset(name, "f" * 64, 16, pixels, ("Smiling", "Male"), labels, filter=kind)


def test_they_are_measured_with_a_caution_and_give_a_full_card(files: Path) -> None:
    out = import_classifiers([files], files.parent / "out").folder
    chosen = choose_images(out, labelled())
    assert (len(chosen.rows), chosen.origin) == (40, "perhaps training data")
    assert "trained elsewhere on CelebA-HQ, and which images it saw is not known" in chosen.note
    assert choose_images(out, labelled(kind="drawn")).origin == "other data"
    card = evaluate(load_classifiers(out), labelled(), training=Training.read(out), origin=chosen.origin)
    assert [row["name"] for row in card["attributes"]] == ["Male", "Smiling"]
    assert card["num_measured"] == 40
    for row in card["attributes"]:  # what the networks give is log-odds: there is no temperature to take off
        assert row["uncalibrated"] == {name: row[name] for name in ("log_loss", "calibration_error")}


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (arguments, result.output)
    return " ".join(result.output.split())


def test_the_commands_from_files_to_a_report(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files.parent)
    monkeypatch.setenv("LATENTLAB_CACHE", str(files.parent / "cache"))
    told = run("classifiers", "import", *files.iterdir(), "--out", "classifiers/celebahq")
    assert "imported 3 classifiers into classifiers/celebahq: 5_o_Clock_Shadow, Male, Smiling" in told
    assert "missing: Arched_Eyebrows" in told
    assert "exists already" in run("classifiers", "import", files, "--out", "classifiers/celebahq", code=2)

    shown = run("classifiers", "card", "celebahq")
    assert "trained elsewhere on CelebA-HQ, imported; not measured: `latentlab classifiers evaluate celebahq" in shown
    assert "No attribute has been measured." in shown
    assert "weak" not in shown.lower()
    for column in ("name", "auc", "temperature"):
        assert "Male" in run("classifiers", "card", "celebahq", "--sort", column)
    assert json.loads(run("classifiers", "card", "celebahq", "--json"))["source"]["factor"] == -2.0

    shape = GeneratorConfig(resolution=16, fmap_base=64, fmap_max=8, z_dim=8, w_dim=8, mapping_fmaps=8)
    generator = initialised(lambda: Generator(shape), 0).eval().requires_grad_(False)
    snapshot = Path("runs/style-8/snapshots/000000001")
    snapshot.mkdir(parents=True)
    save_generator(snapshot, generator, {})
    Path("runs/style-8/config.json").write_text("{}")
    run("sample", "--network", "style-8", "--classifiers", "celebahq", "--num-samples", 40, "--images",
        "--noise", "none", "--device", "cpu")  # fmt: skip
    with LatentStore.open("runs/style-8/run.h5") as store, torch.no_grad():
        assert list(store.provenance["attributes"]) == ["5_o_Clock_Shadow", "Male", "Smiling"]
        made = generator.synthesis(torch.from_numpy(store.w).unsqueeze(1).expand(-1, 6, -1), "none")
        expected = -2 * drawn(THREE.index("Male"))(made)[:, 0]
        np.testing.assert_allclose(store.logits[:, 1], expected, rtol=1e-4, atol=1e-4)
    run("label", "runs/style-8/run.h5", "--classifiers", "celebahq", "--out", "again.h5", "--device", "cpu")
    common = ("--network", "style-8", "--device", "cpu", "--num-samples", 20)
    run("ppl", *common, "--distance", "classifier:celebahq", "--no-crop")

    run("data", "faces", "--out", "photos", "--num-images", 30, "--resolution", 16)
    measured = run("classifiers", "evaluate", "celebahq", "--data", "photos", "--out", "measured.json")
    assert "which images it saw is not known" in measured
    assert "some of which they may have been trained on" in measured
    run("fid", *common, "--data", "photos", "--features", "classifier:celebahq")

    run("report", "runs/style-8", "--classifiers", "celebahq", "--out", "report")
    page, tables = Path("report/index.html").read_text(), Path("report/tables.md").read_text()
    for text in (page, tables):
        assert "How well they tell their attributes has not been measured" in text
        assert "balanced accuracy below 0.7" not in text
    assert "celebahq, 3 of the paper’s 40." in page
    assert "5 o Clock Shadow, Male, Smiling" in page


def test_the_commands_of_the_page_run(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setenv("LATENTLAB_CACHE", str(files.parent / "cache"))
    shutil.copytree(files, files / "downloads")
    shape = GeneratorConfig(resolution=16, fmap_base=64, fmap_max=8, z_dim=8, w_dim=8, mapping_fmaps=8)
    snapshot = files / "runs/style-8/snapshots/000000001"
    snapshot.mkdir(parents=True)
    save_generator(snapshot, initialised(lambda: Generator(shape), 0).eval(), {})
    run("data", "faces", "--out", "photos", "--num-images", 20, "--resolution", 16)
    (files / "photos" / "list_attr_celeba.txt").unlink()
    names = sorted(path.name for path in Path("photos").rglob("*.png"))
    rows = [f"{name},{number % 2}" for number, name in enumerate(names)]
    (files / "labels.csv").write_text("\n".join(["file,Male", *rows]) + "\n")
    page = (Path(__file__).parent.parent / "docs" / "classifiers.md").read_text(encoding="utf-8")
    section = page.partition("## Official classifiers")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        words = [
            found
            for word in shlex.split(line)[1:]
            for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        if words[1] == "import":
            shutil.rmtree(words[-1], ignore_errors=True)
        run(*words, *(["--num-samples", 20, "--no-crop"] if words[0] == "ppl" else []))


@pytest.mark.parametrize(
    "command",
    [
        ("classifiers", "card"),
        ("classifiers", "evaluate", "--data", "photos"),
        ("report", "runs/x", "--classifiers"),
    ],
)
def test_a_single_official_file_is_no_labeller_and_the_message_says_what_to_do(
    files: Path, command: tuple[str, ...]
) -> None:
    path = files / official_name_of_file("Male")
    run_folder = files.parent / "runs" / "x"
    run_folder.mkdir(parents=True)
    (run_folder / "config.json").write_text("{}")
    words = [str(run_folder) if word == "runs/x" else word for word in command]
    place = len(words) if command[0] == "report" else 2
    told = run(*words[:place], path, *words[place:], code=2)
    assert "is a file, and classifiers are a folder: `latentlab classifiers import" in told


def test_folders_and_files_that_are_no_classifiers_are_told_apart(files: Path) -> None:
    with pytest.raises(CheckpointError, match=r"it lacks classifiers\.safetensors.*`latentlab classifiers import"):
        load_classifiers(files)
    other = files.parent / "notes.txt"
    other.write_text("")
    with pytest.raises(UnknownNetworkError, match="name the folder"):
        load_classifiers(other)


def test_help_and_an_interrupted_command(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "read_classifier", interrupted)
    told = run("classifiers", "import", files, "--out", files.parent / "out", code=130)
    assert "an import left nothing" in told
    assert left(files.parent) == ["official"]
