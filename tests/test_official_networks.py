"""Networks out of official files and checkpoints: the recorded images, from files of the right form."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_names import (
    rosinality_names,
    tensorflow_discriminator,
    tensorflow_discriminator_settings,
    tensorflow_names,
    tensorflow_settings,
)
from official_files import module_tree, pytorch_pickle, tensorflow_network, tensorflow_pickle
from PIL import Image
from typer.testing import CliRunner

from latentlab.checkpoint import load_generator
from latentlab.cli import app
from latentlab.errors import CheckpointError, DataError, OutputExistsError, UsageError
from latentlab.images import to_uint8
from latentlab.interop.converting import compare_with_image, official_latent, save_network, seed_in
from latentlab.interop.official_networks import load_generator_file, load_network_file
from latentlab.stylegan3 import official_generator_config

REFERENCE = Path(__file__).parent / "reference"
RECORDED = REFERENCE / "stylegan2-3"
STYLEGAN = ("style_d8", "style_d0", "trad_d0", "config_c", "style_d8_res128")
STYLEGAN2 = tuple(sorted(path.name.removesuffix(".io.npz") for path in RECORDED.glob("sg2_*.io.npz")))
STYLEGAN3 = tuple(sorted(path.name.removesuffix(".io.npz") for path in RECORDED.glob("sg3_*.io.npz")))
CLOSE = 1e-4


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def settings(name, folder=RECORDED):
    found = json.loads((folder / f"{name}.json").read_text())
    return found.get("init_kwargs") or found["static_kwargs"]


def stylegan(name, *, role="Gs", **changes):
    function = "D_basic" if name.startswith("d_") else "G_style"
    variables = {**arrays(REFERENCE / f"{name}_vars.npz"), **changes}
    static = settings(name, REFERENCE)
    return tensorflow_network(role, variables, static, build_func_name=function)


def module(name, **changes):
    """A module of a recorded network; buffers and parameters in the recorded order."""
    kind = "Discriminator" if name.startswith("d_") else "Generator"
    state = {**arrays(RECORDED / f"{name}.weights.npz"), **changes}
    return module_tree(
        kind, {key: array for key, array in state.items() if array is not None}, init_kwargs=settings(name)
    )


def official_pickle(path, name, **changes):
    return pytorch_pickle(path / f"{name}.pkl", {"G_ema": module(name, **changes), "augment_pipe": None})


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * max(1, np.abs(expected).max()))


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


# ------------------------------------------------------------------------------------------------- images as recorded


@pytest.mark.parametrize("name", STYLEGAN)
def test_stylegan_of_tensorflow(tmp_path, name):
    networks = [stylegan(name, role="G"), stylegan("d_basic", role="D"), stylegan(name)]
    path, io = tensorflow_pickle(tmp_path / "ffhq.pkl", *networks), arrays(REFERENCE / f"{name}_io.npz")
    generator, network = load_generator_file(path)
    ws = generator.mapping(torch.from_numpy(io["z"]))
    np.testing.assert_allclose(ws, io["dlatents"], atol=1e-5)
    lod = float(arrays(REFERENCE / f"{name}_vars.npz").get("lod", 0))
    key = next(key for key in io if key.startswith("images_lod") and float(key[10:].split("_")[0]) == lod)
    np.testing.assert_allclose(generator.synthesis(ws, "const"), io[key], atol=2e-4, rtol=0)
    assert network.name == "ffhq"


def test_a_discriminator_of_tensorflow(tmp_path):
    path, io = (
        tensorflow_pickle(tmp_path / "d.pkl", stylegan("d_basic", role="D")),
        arrays(REFERENCE / "d_basic_io.npz"),
    )
    loaded = load_network_file(path)
    images = next(value for key, value in io.items() if value.ndim == 4)
    assert loaded.which == "D"
    assert loaded.network(torch.from_numpy(images)).shape == (len(images), 1)
    with pytest.raises(CheckpointError, match="discriminator or classifier"):
        load_generator_file(path)


@pytest.mark.parametrize("name", STYLEGAN2)
def test_stylegan2_of_pytorch(tmp_path, name):
    io, loaded = arrays(RECORDED / f"{name}.io.npz"), load_network_file(official_pickle(tmp_path, name))
    labels = torch.from_numpy(io["in/c"]) if loaded.network.c_dim else None
    ws = loaded.network.mapping(torch.from_numpy(io["in/z"]), labels)
    close(ws, io["ws"])
    close(loaded.network.synthesis(ws[: len(io["img_const"])], "const"), io["img_const"])


@pytest.mark.parametrize("name", STYLEGAN3)
def test_stylegan3_of_pytorch(tmp_path, name):
    io, loaded = arrays(RECORDED / f"{name}.io.npz"), load_network_file(official_pickle(tmp_path, name))
    labels = torch.from_numpy(io["in/c"]) if loaded.network.c_dim else None
    ws = loaded.network.mapping(torch.from_numpy(io["in/z"]), labels)
    close(ws, io["ws"])
    close(loaded.network.synthesis(ws[: len(io["img_const"])]), io["img_const"])


def test_a_discriminator_of_pytorch(tmp_path):
    path = pytorch_pickle(tmp_path / "d.pkl", {"D": module("d_resnet32")})
    io = arrays(RECORDED / "d_resnet32.io.npz")
    close(load_network_file(path, which="D").network(torch.from_numpy(io["in/img"])), io["logits"])


@pytest.mark.parametrize("name", ["sg2_skip32", "sg2_resnet64"])
def test_stylegan2_of_tensorflow(tmp_path, name):
    io, kwargs = arrays(RECORDED / f"{name}.io.npz"), settings(name)
    variables = tensorflow_names(arrays(RECORDED / f"{name}.weights.npz"), kwargs)
    record = tensorflow_network("Gs", variables, tensorflow_settings(kwargs), build_func_name="G_main", version=4)
    generator, _ = load_generator_file(tensorflow_pickle(tmp_path / "sg2.pkl", record))
    ws = generator.mapping(torch.from_numpy(io["in/z"]))
    close(ws, io["ws"])
    close(generator.synthesis(ws[: len(io["img_const"])], "const"), io["img_const"])
    np.testing.assert_array_equal(generator.w_avg, arrays(RECORDED / f"{name}.weights.npz")["mapping.w_avg"])


def tensorflow_scores(tmp_path, name, *, function="D_main", changes=None, **settings_changes):
    """A recorded discriminator, read from the file that TensorFlow's code would have written of it."""
    variables = tensorflow_discriminator(arrays(RECORDED / f"{name}.weights.npz")) | (changes or {})
    static = {**tensorflow_discriminator_settings(settings(name)), **settings_changes}
    static = {key: value for key, value in static.items() if value != "left out"}
    variables = {key: array for key, array in variables.items() if array is not None}
    record = tensorflow_network("D", variables, static, build_func_name=function, version=4)
    return load_network_file(tensorflow_pickle(tmp_path / "d.pkl", record)).network


@pytest.mark.parametrize("name", ["d_resnet32", "d_tiny_skip"])
def test_discriminators_of_stylegan2_of_tensorflow(tmp_path, name):
    io = arrays(RECORDED / f"{name}.io.npz")
    discriminator = tensorflow_scores(tmp_path, name)
    close(discriminator(torch.from_numpy(io["in/img"])), io["logits"])
    close(discriminator(torch.from_numpy(io["in/img"][:3])), io["logits_first3"])


def test_the_two_codes_have_defaults_of_their_own_for_groups_of_images(tmp_path):
    io = arrays(RECORDED / "d_resnet32.io.npz")
    images = torch.from_numpy(io["in/img"])
    first = tensorflow_scores(tmp_path, "d_resnet32", function="D_stylegan2", mbstd_group_size="left out")
    close(first(images), io["logits"])
    ada = tensorflow_scores(tmp_path, "d_resnet32", mbstd_group_size="left out")
    close(ada(images[:4]), io["logits_first4"])
    assert not np.allclose(ada(images), io["logits"], atol=1e-3)
    weight = tensorflow_discriminator(arrays(RECORDED / "d_resnet32.weights.npz"))["4x4/Conv/weight"][:, :, :-1]
    without = {"function": "D_stylegan2", "mbstd_group_size": 1, "changes": {"4x4/Conv/weight": weight}}
    assert tensorflow_scores(tmp_path, "d_resnet32", **without).config.epilogue_kwargs.mbstd_num_channels == 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"changes": {"32x32/Skip/weight": None}}, "missing: 32x32/Skip/weight"),
        ({"changes": {"Output/weight": np.zeros((3, 1), np.float32)}}, r"another shape: Output/weight \(\[1, 3\]"),
        ({"changes": {"4x4/Conv/bias": np.full(64, np.nan, np.float32)}}, "NaN or infinite: 4x4/Conv/bias"),
        ({"changes": {"LabelEmbed/weight": np.zeros((3, 1), np.float32)}}, "does not have: LabelEmbed/weight"),
        ({"label_size": 10}, "setting label_size = 10: only 0 is supported"),
        ({"use_spectral_norm": True}, "setting use_spectral_norm = True: only False is supported"),
        ({"wobble": 1}, "setting wobble = 1: unknown"),
        ({"function": "D_stylegan"}, r"D_stylegan, configurations B to D\) is not supported"),
    ],
)
def test_discriminators_of_tensorflow_that_do_not_fit_are_named(tmp_path, how, message):
    with pytest.raises(CheckpointError, match=message):
        tensorflow_scores(tmp_path, "d_resnet32", **how)


@pytest.mark.parametrize("form", ["g_ema", "top"])
def test_the_ports_checkpoints(tmp_path, form):
    io, state = arrays(RECORDED / "sg2_skip32.io.npz"), arrays(RECORDED / "sg2_skip32.weights.npz")
    named = rosinality_names(state)
    whole = {"g_ema": named, "latent_avg": torch.from_numpy(state["mapping.w_avg"]), "args": None}
    torch.save(whole if form == "g_ema" else named, tmp_path / "550000.pt")
    generator, network = load_generator_file(tmp_path / "550000.pt")
    ws = generator.mapping(torch.from_numpy(io["in/z"]))
    close(ws, io["ws"])
    close(generator.synthesis(ws[:8], "const"), io["img_const"])
    assert network.name == "550000"
    if form == "g_ema":
        np.testing.assert_array_equal(generator.w_avg, state["mapping.w_avg"])
    else:  # not in the file: the mean of w
        assert 0 < float((generator.w_avg - ws[:, 0].mean(dim=0)).norm()) < float(ws[:, 0].std(dim=0).norm()) * 2


# ---------------------------------------------------------------------------------------------------------- converted


@pytest.mark.parametrize("name", ["style_d8", "sg2_tiny_asym", "sg3_t14"])
def test_a_converted_network_is_the_same_network(tmp_path, name):
    if name == "style_d8":
        path = tensorflow_pickle(tmp_path / "file.pkl", stylegan(name))
    else:
        path = official_pickle(tmp_path, name)
    loaded = load_network_file(path)
    save_network(tmp_path / "converted", loaded)
    again, network = load_generator(tmp_path / "converted")
    assert network.name == "converted"
    z = torch.randn(2, again.z_dim, generator=torch.Generator().manual_seed(0))
    expected = loaded.network.synthesis(loaded.network.mapping(z), noise_mode="const")
    assert torch.equal(again.synthesis(again.mapping(z), noise_mode="const"), expected)
    layouts = [{n: t.stride() for n, t in g.state_dict().items()} for g in (again, loaded.network)]
    assert layouts[0] == layouts[1]
    description = json.loads((tmp_path / "converted" / "network.json").read_text())
    assert description["training"]["file"] == path.name
    assert description["training"]["file_sha256"] == loaded.file_sha256
    assert sorted(p.name for p in (tmp_path / "converted").iterdir()) == [
        "generator.json", "network.json", "network.safetensors",
    ]  # fmt: skip
    with pytest.raises(OutputExistsError):
        save_network(tmp_path / "converted", loaded)


def test_a_class_makes_a_conditional_generator_a_plain_one(tmp_path):
    path, io = official_pickle(tmp_path, "sg2_cond32"), arrays(RECORDED / "sg2_cond32.io.npz")
    with pytest.raises(UsageError, match=r"conditional on 5 classes.*--class N` \(0 to 4\)"):
        load_generator_file(path)
    row = 2
    which = int(io["in/c"][row].argmax())
    loaded = load_network_file(path, label=which)
    save_network(tmp_path / "converted", loaded)
    again, network = load_generator(tmp_path / "converted")
    close(again.mapping(torch.from_numpy(io["in/z"][row : row + 1])), io["ws"][row : row + 1])
    other = load_network_file(path, label=(which + 1) % 5)
    assert loaded.sha256 != other.sha256
    save_network(tmp_path / "other", other)
    assert load_generator(tmp_path / "other")[1].sha256 != network.sha256
    with pytest.raises(UsageError, match="class 5 was asked for; this generator has 0 to 4"):
        load_network_file(path, label=5)
    with pytest.raises(UsageError, match="no conditional generator"):
        load_network_file(official_pickle(tmp_path, "sg2_skip32"), label=0)


def test_which_network(tmp_path):
    path = pytorch_pickle(tmp_path / "n.pkl", {"G": module("sg2_tiny_asym"), "D": module("d_tiny_skip")})
    assert load_network_file(path, which="G").which == "G"
    with pytest.raises(UsageError, match="no averaged generator; it has G, D"):
        load_network_file(path)
    with pytest.raises(UsageError, match="no network 'Gs'; it has G, D"):
        load_network_file(path, which="Gs")


# --------------------------------------------------------------------------------------------------------- what misfits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"synthesis.b8.conv1.bias": None}, r"missing: synthesis\.b8\.conv1\.bias"),
        ({"synthesis.b8.conv9.bias": np.zeros(3, np.float32)}, r"superfluous: synthesis\.b8\.conv9\.bias"),
        ({"mapping.fc0.bias": np.zeros(3, np.float32)}, r"another shape: mapping\.fc0\.bias \(\[3\] where \[\d+\]"),
        ({"synthesis.b4.const": np.full((64, 4, 4), np.nan, np.float32)}, r"NaN or infinite: synthesis\.b4\.const"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    shape = arrays(RECORDED / "sg2_tiny_asym.weights.npz")["synthesis.b4.const"].shape
    change = {k: np.resize(v, shape) if k == "synthesis.b4.const" else v for k, v in change.items()}
    with pytest.raises(CheckpointError, match=message):
        load_network_file(official_pickle(tmp_path, "sg2_tiny_asym", **change))


def test_variables_of_tensorflow_that_do_not_fit_are_named(tmp_path):
    kwargs = settings("sg2_skip32")
    variables = tensorflow_names(arrays(RECORDED / "sg2_skip32.weights.npz"), kwargs)

    def load(changed, static):
        record = tensorflow_network("Gs", changed, static, build_func_name="G_main", version=4)
        return load_network_file(tensorflow_pickle(tmp_path / "sg2.pkl", record))

    name = "G_synthesis/8x8/Conv0_up/weight"
    static = tensorflow_settings(kwargs)
    with pytest.raises(CheckpointError, match=f"missing: {name}"):
        load({key: array for key, array in variables.items() if key != name}, static)
    with pytest.raises(CheckpointError, match=f"another shape: {name}"):
        load({**variables, name: variables[name][:, :, :, :3]}, static)
    with pytest.raises(CheckpointError, match=f"NaN or infinite: {name}"):
        load({**variables, name: variables[name] * np.nan}, static)
    with pytest.raises(CheckpointError, match="G_synthesis/8x8/Conv7/weight"):
        load({**variables, "G_synthesis/8x8/Conv7/weight": np.zeros(2, np.float32)}, static)
    with pytest.raises(CheckpointError, match=r"setting fmap_decay = 2\.0"):
        load(variables, {**static, "fmap_decay": 2.0})
    with pytest.raises(CheckpointError, match="setting wobble = 1: unknown"):
        load(variables, {**static, "wobble": 1})


@pytest.mark.parametrize("lod", [np.float32("nan"), np.float32(-3), np.float32(1e9), np.zeros(3, np.float32)])
def test_levels_of_detail_that_are_none_are_named(tmp_path, lod):
    record = stylegan("style_d8", **{"lod": lod, "G_synthesis/lod": lod})
    with pytest.raises(CheckpointError, match=r"variable lod is .*it must be one number from 0 to 10"):
        load_network_file(tensorflow_pickle(tmp_path / "lod.pkl", record))


def test_the_level_of_detail_belongs_to_who_a_network_is(tmp_path):
    hashes = set()
    for lod in (0, 1):
        level = {name: np.float32(lod) for name in ("lod", "G_synthesis/lod")}
        path = tensorflow_pickle(tmp_path / f"{lod}.pkl", stylegan("style_d8", **level))
        save_network(tmp_path / f"{lod}", load_network_file(path))
        hashes.add(load_generator(tmp_path / f"{lod}")[1].sha256)
    assert len(hashes) == 2


def test_converted_discriminators_say_of_which_family_they_are(tmp_path):
    found = {"own": stylegan("d_basic", role="D"), "stylegan2": module("d_resnet32")}
    for name, record in found.items():
        write = tensorflow_pickle if name == "own" else lambda path, made: pytorch_pickle(path, {"D": made})
        save_network(tmp_path / name, load_network_file(write(tmp_path / f"{name}.pkl", record), which="D"))
        description = json.loads((tmp_path / name / "network.json").read_text())
        assert (description["kind"], description.get("family", "own")) == ("discriminator", name)
        with pytest.raises(CheckpointError, match="holds a 'discriminator', not a generator"):
            load_generator(tmp_path / name)


def test_numbers_that_are_none_are_named(tmp_path):
    bad = {"G_mapping/Dense3/bias": np.full(64, np.inf, np.float32)}
    with pytest.raises(CheckpointError, match=r"NaN or infinite: G_mapping/Dense3/bias"):
        load_network_file(tensorflow_pickle(tmp_path / "nan.pkl", stylegan("style_d8", **bad)))


def test_a_file_cut_in_half_is_said_to_be_so(tmp_path):
    path = official_pickle(tmp_path, "sg2_tiny_asym")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        load_network_file(path)


def port(tmp_path, name, change=None, **how):
    named = rosinality_names(arrays(RECORDED / "sg2_skip32.weights.npz")) | (change or {})
    torch.save({"g_ema": named}, tmp_path / name, **how)
    return tmp_path / name


def test_checkpoints_of_the_older_form_are_read(tmp_path):
    loaded = load_network_file(port(tmp_path, "old.pt", _use_new_zipfile_serialization=False))
    assert loaded.network.img_resolution == 32


def test_noise_that_a_checkpoint_lacks_is_drawn(tmp_path):
    io, named = arrays(RECORDED / "sg2_skip32.io.npz"), rosinality_names(arrays(RECORDED / "sg2_skip32.weights.npz"))
    torch.save({"g_ema": {k: v for k, v in named.items() if not k.startswith("noises.")}}, tmp_path / "early.pt")
    generator = load_network_file(tmp_path / "early.pt").network
    ws = generator.mapping(torch.from_numpy(io["in/z"]))
    close(generator.synthesis(ws[:8], "none"), io["img_none"])
    assert all(
        0.5 < float(layer.noise_const.std()) < 1.5 for block in generator.synthesis.blocks for layer in block.layers
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"margin_size": 10**9}, "margin_size: Input should be less than or equal to 1000"),
        ({"output_scale": "inf"}, "output_scale: Input should be a finite number"),
        ({"mapping_kwargs": {"lr_multiplier": "inf"}}, "lr_multiplier: Input should be a finite number"),
    ],
)
def test_stylegan3_settings_that_no_tensor_tells_are_bounded(kwargs, message):
    with pytest.raises(CheckpointError, match=message):
        official_generator_config({**settings("sg3_t14"), **kwargs})


def test_stylegan3_settings_may_say_their_defaults():
    kwargs = settings("sg3_t14")
    given = {**kwargs, "first_cutoff": 2, "first_stopband": 2**2.1, "last_stopband_rel": 2**0.3, "filter_size": 6}
    assert official_generator_config(given) == official_generator_config(kwargs)
    with pytest.raises(CheckpointError, match="setting filter_size = 4: only 6 is supported"):
        official_generator_config({**kwargs, "filter_size": 4})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.conv.weight": torch.zeros(3)}, r"conv1\.conv\.weight has the shape \[3\], where 5 axes"),
        ({"convs.0.conv.weight": torch.zeros(3, 3)}, r"convs\.0\.conv\.weight has the shape \[3, 3\]"),
        ({"input.input": torch.zeros(1).expand(1, 64, 4, 4)}, r"'input\.input' is no plain tensor"),
        ({3: torch.zeros(1)}, "3 is no plain tensor under a name"),
        ({"noises.noise_0": torch.zeros(1, 1, 4, 4).to_sparse()}, r"'noises\.noise_0' is no plain tensor"),
        ({"conv1.activate.bias": torch.full((64,), float("nan"))}, r"NaN or infinite: conv1\.activate\.bias"),
    ],
)
def test_odd_tensors_of_checkpoints_are_named(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_network_file(port(tmp_path, "odd.pt", change))


def test_compressed_checkpoints_are_refused(tmp_path):
    path = port(tmp_path, "plain.pt")
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name) if "data/" not in name else bytes(1 << 20))
    with pytest.raises(CheckpointError, match=r"would unpack to .* bytes"):
        load_network_file(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mapping_kwargs": {"num_layers": 10**8}}, "num_layers: Input should be less"),
        ({"z_dim": 10**12}, "z_dim: Input should be less"),
        ({"synthesis_kwargs": {"channel_base": 10**9, "channel_max": 60_000}}, "of another shape"),
        ({"evil\nname\x1b[31m": 1}, r"evil\\x0aname\\x1b\[31m"),
    ],
)
def test_settings_out_of_reason_cost_nothing(tmp_path, kwargs, message):
    state = arrays(RECORDED / "sg2_tiny_asym.weights.npz")
    made = module_tree("Generator", state, init_kwargs={**settings("sg2_tiny_asym"), **kwargs})
    with pytest.raises(CheckpointError, match=message) as refused:
        load_network_file(pytorch_pickle(tmp_path / "odd.pkl", {"G_ema": made}))
    assert "\n" not in str(refused.value)


def test_other_checkpoints_are_named(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"a kind that is not known \(weights\)"):
        load_network_file(tmp_path / "other.pt")
    named = rosinality_names(arrays(RECORDED / "sg2_skip32.weights.npz"))
    named["convs.0.conv.blur.kernel"] = torch.ones(4, 4)
    torch.save({"g_ema": named}, tmp_path / "filter.pt")
    with pytest.raises(CheckpointError, match=r"convs\.0\.conv\.blur\.kernel is another filter"):
        load_network_file(tmp_path / "filter.pt")
    with pytest.raises(UsageError, match="only the averaged generator"):
        load_network_file(tmp_path / "filter.pt", which="D")


@pytest.mark.parametrize("prefix", ["GE.", "G.", ""])
def test_lucidrains_checkpoints_are_recognised_and_sent_to_a_factory(tmp_path, prefix):
    names = (
        "initial_block",
        "blocks.0.to_style1.weight",
        "blocks.0.to_noise1.weight",
        "blocks.0.to_rgb.to_style.weight",
    )
    state = {f"{prefix}{name}": torch.zeros(2, 2) for name in names}
    torch.save({"GAN": state, "version": "1.9.0"} if prefix else state, tmp_path / "model_7.pt")
    for command in (("inspect",), ("convert", "--out", tmp_path / "out")):
        done = run("networks", command[0], tmp_path / "model_7.pt", *command[1:])
        assert done.exit_code == 1
        words = " ".join(done.output.split())
        assert "model_7.pt is a checkpoint of lucidrains' stylegan2-pytorch, another network than StyleGAN2" in words
        assert "measure it by a factory in Python, of which docs/own-networks.md has one" in words
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------- compared with images


def test_an_image_made_elsewhere_is_recognised(tmp_path):
    generator, _ = load_generator_file(official_pickle(tmp_path, "sg2_skip32"))
    generator.synthesis.b32.torgb.weight.mul_(0.1)  # most of the recorded images' values are outside [-1, 1]
    images = generator.synthesis(generator.mapping(official_latent(85, generator.z_dim)), "const")
    Image.fromarray(to_uint8(images)[0]).save(tmp_path / "seed0085.png")
    np.save(tmp_path / "seed0085.npy", images.numpy())
    for name in ("seed0085.png", "seed0085.npy"):
        compared = compare_with_image(generator, tmp_path / name, seed=seed_in("seed0085"))
        assert compared.same
        assert compared.largest <= 1
    other = compare_with_image(generator, tmp_path / "seed0085.png", seed=86)
    assert not other.same
    assert other.verdict.startswith("ANOTHER IMAGE")
    np.save(tmp_path / "small.npy", np.zeros((3, 8, 8), np.float32))
    with pytest.raises(DataError, match=r"has the shape \[3, 8, 8\]"):
        compare_with_image(generator, tmp_path / "small.npy", seed=1)
    with pytest.raises(UsageError, match="give it with --check-seed"):
        seed_in("picture")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"seed": 2**32}, UsageError, "whole numbers below 2\\^32"),
        ({"seed": 1, "truncation_psi": float("nan")}, UsageError, "psi nan is no number"),
        ({"seed": 1, "content": b""}, DataError, "cannot be read as a PNG or .npy image"),
        ({"seed": 1, "content": np.full((3, 16, 16), np.nan)}, DataError, "holds NaN or infinity"),
        ({"seed": 1, "content": np.zeros((2, 3, 16, 16, 1))}, DataError, "one image of uint8 or floats"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path, how, error, message):
    generator, _ = load_generator_file(official_pickle(tmp_path, "sg2_tiny_asym"))
    content = how.pop("content", np.zeros((3, 16, 16)))
    if isinstance(content, bytes):
        (tmp_path / "i.npy").write_bytes(content)
    else:
        np.save(tmp_path / "i.npy", content)
    with pytest.raises(error, match=message):
        compare_with_image(generator, tmp_path / "i.npy", **how)


def test_nothing_is_written_where_an_image_cannot_be_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed1.npy").write_bytes(b"")
    path = official_pickle(tmp_path, "sg2_tiny_asym")
    done = run("networks", "convert", path, "--out", "a", "--check", "seed1.npy", "--device", "cpu")
    assert done.exit_code == 1
    assert not (tmp_path / "a").exists()


def test_the_official_latent_is_numpys():
    expected = np.random.RandomState(85).randn(1, 4)
    np.testing.assert_allclose(official_latent(85, 4), expected, rtol=1e-6)


# -------------------------------------------------------------------------------------------------------- the commands


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("name", ["sg2_tiny_asym", "sg3_cond32", "style_d8"])
def test_everything_works_on_file_and_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def mse():\n    return lambda a, b: (a - b).square().mean(dim=(1, 2, 3))\n")
    path = (
        tensorflow_pickle(tmp_path / "n.pkl", stylegan(name)) if name == "style_d8" else official_pickle(tmp_path, name)
    )
    more = ["--class", "3"] if name == "sg3_cond32" else []
    made = run("networks", "convert", path, "--out", "converted", *more)
    assert made.exit_code == 0, made.output
    depth = 8 if name == "style_d8" else settings(name)["mapping_kwargs"]["num_layers"]
    targets = {"converted": "converted"} | ({} if more else {str(path): f"runs/{path.stem}-pkl"})
    for network, folder in targets.items():
        for command in (
            ("networks", "check", network),
            ("sample", "--network", network, "--classifiers", "none", "--num-samples", "20",
             "--out", f"{folder}/run.h5"),
            ("ppl", "--network", network, "--distance", "own:mse", "--num-samples", "20"),
            ("ppl", "--all", "--protocol", "stylegan2-ada", "--network", network, "--distance", "own:mse",
             "--num-samples", "20", "--no-crop"),
            ("report", network, "--out", f"{folder}/report"),
        ):  # fmt: skip
            done = run(*command, *(["--device", "cpu"] if command[0] != "report" else []))
            assert done.exit_code == 0, (command, done.output)
        assert (
            f"drawing 64 samples and 8 interpolations of {'converted' if network == 'converted' else path.stem}"
            in done.output
        )
        assert "ppl2_wend" in (tmp_path / folder / "results.jsonl").read_text()
        facts = json.loads((tmp_path / folder / "generator.json").read_text())["generator"]
        assert facts["mapping_layers"] == depth
        assert facts["origin"].endswith(path.name)
        assert str(tmp_path) not in facts["origin"]
        assert (tmp_path / folder / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [("ffgq.pkl", "there is no such file"), ("notes.txt", r"end with \.pkl, \.pickle, \.pt, \.pth")],
)
def test_files_that_are_no_networks_are_named(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    done = run("sample", "--network", name, "--classifiers", "none")
    assert (done.exit_code, bool(re.search(f"unknown network '{name}': .*{message}", done.output))) == (2, True)


def test_convert_with_a_check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = official_pickle(tmp_path, "sg2_tiny_asym")
    generator, _ = load_generator_file(path)
    images = generator.synthesis(generator.mapping(official_latent(7, generator.z_dim)), "const")
    np.save(tmp_path / "seed0007.npy", images.numpy())
    good = run("networks", "convert", path, "--out", "a", "--check", "seed0007.npy", "--device", "cpu")
    assert good.exit_code == 0, good.output
    assert "the same image, up to rounding" in good.output
    bad = run(
        "networks", "convert", path, "--out", "b", "--check", "seed0007.npy", "--check-seed", "8", "--device", "cpu"
    )
    assert bad.exit_code == 1
    assert "ANOTHER IMAGE" in bad.output
    assert (tmp_path / "b" / "network.json").is_file()
    again = run("networks", "convert", path, "--out", "a")
    assert again.exit_code == 2
    assert "exists already" in again.output
