"""What docs/own-networks.md says: its code and its commands run, its tables name what there is."""

import inspect
import json
import math
import re
import shlex
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import latentlab
from attribute_classifiers.network import AttributeClassifiers, initialise, save_classifiers
from attribute_classifiers.presets import ClassifierConfig, TrainingConfig
from latentlab.checkpoint import save_generator
from latentlab.cli import app
from latentlab.interop import generator_checks
from latentlab.interop.labeller_settings import LabellerSettings
from latentlab.networks import DiscriminatorConfig, Generator, GeneratorConfig, initialised

PAGE = (Path(__file__).parent.parent / "docs" / "own-networks.md").read_text(encoding="utf-8")
MODULES = ("mymodule", "mylabels")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def table(head: str) -> list[tuple[str, str]]:
    """The first two cells of every row of the table with this head."""
    return re.findall(r"^\| (.*?) \| (.*?) \|", PAGE.partition(head)[2].partition("\n\n")[0], re.MULTILINE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the page's files, classifiers called quick, and a run called style-8."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    generator, _, _, labels = blocks("python")
    (tmp_path / "mymodule.py").write_text(generator)
    (tmp_path / "mylabels.py").write_text(labels)
    network = DiscriminatorConfig(resolution=16, fmap_base=32, fmap_max=4)
    training = TrainingConfig(num_images=10, batch_size=2, learning_rate=0.01)
    config = ClassifierConfig(trunk="shared", attributes=("Red", "Blue"), network=network, training=training)
    card = {"name": "quick", "trunk": "shared", "dataset": {}, "attributes": []}
    save_classifiers("classifiers/quick", initialise(AttributeClassifiers(config), 0), dataset={}, card=card)
    snapshot = tmp_path / "runs/style-8/snapshots/000000001"
    snapshot.mkdir(parents=True)
    shape = GeneratorConfig(resolution=16, fmap_base=32, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4)
    save_generator(snapshot, initialised(lambda: Generator(shape), 0).eval(), {})
    settings = json.loads(blocks("json")[0])
    (tmp_path / "celeba.json").write_text(json.dumps(settings | {"resolution": 16}))
    return tmp_path


def test_every_command_runs(place):
    _write_onnx(place / "celeba.onnx")
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 7
    for line in lines:
        words = shlex.split(line.replace("--num-samples 20000", "").removeprefix("latentlab "))
        words += {"sample": ["--num-samples", "200"], "ppl": ["--num-samples", "20"]}.get(words[0], [])
        if words[0] == "sample":
            (place / "labelled.h5").unlink(missing_ok=True)
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (line, result.output, result.exception)
    assert (place / "report/index.html").is_file()
    assert {path.name for path in (place / "runs/mymodule-make").iterdir()} >= {"run.h5", "results.jsonl"}
    for name in MODULES:
        sys.modules.pop(name, None)


def _write_onnx(path: Path) -> None:
    """Means of two of the channels."""
    import onnx
    from onnx import TensorProto, helper

    shapes = [("images", ["N", 3, 16, 16]), ("out", ["N", 2])]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    pick = helper.make_tensor("pick", TensorProto.INT64, [2], [0, 2])
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gather", ["flat", "pick"], ["out"], axis=1),
    ]
    graph = helper.make_graph(nodes, "means", [given], [made], initializer=[pick])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def test_the_wrapping_examples_run():
    names: dict[str, object] = {}
    torch.manual_seed(0)
    exec(compile(blocks("python")[1], "docs/own-networks.md", "exec"), names)
    assert blocks("python")[1].count("wrap_generator(") == 4


def test_stylegan_objects_fit_as_said(monkeypatch):
    """The line for StyleGAN2-ADA's objects, on a stand-in with their signatures."""

    class Mapping(torch.nn.Module):
        w_avg = torch.zeros(8)

        def forward(self, z, c, truncation_psi=1):
            assert c is None
            return torch.nn.functional.normalize(z, dim=1)[:, None].repeat(1, 5, 1)

    class Synthesis(torch.nn.Module):
        def forward(self, ws, **block_kwargs):
            noise = torch.randn(len(ws), 1, 4, 4) * 0.1 if block_kwargs["noise_mode"] == "random" else 0
            return ws[:, :3, :4, None].expand(-1, -1, -1, 4) + noise

    class G:
        z_dim, mapping, synthesis = 8, Mapping().eval(), Synthesis().eval()

    line = re.search(r"`(wrap_generator\(mapping=lambda z: G.*?)`", PAGE)
    assert line is not None
    generator = eval(line[1], {"G": G, "wrap_generator": latentlab.wrap_generator})
    assert (generator.num_ws, generator.synthesis.takes_noise_mode, generator.normalizes_z) == (5, True, True)


def test_the_factory_for_lucidrains_checkpoints_fits(tmp_path, monkeypatch):
    """On stand-ins with the signatures and the names of `stylegan2_pytorch` 1.9.0, which needs a GPU to be imported."""

    class StyleVectorizer(torch.nn.Module):
        def __init__(self, emb, depth, lr_mul=0.1):
            super().__init__()
            layers = [(torch.nn.Linear(emb, emb), torch.nn.LeakyReLU(0.2)) for _ in range(depth)]
            self.net = torch.nn.Sequential(*(layer for pair in layers for layer in pair))

        def forward(self, x):
            return self.net(torch.nn.functional.normalize(x, dim=1))

    class Generator(torch.nn.Module):
        def __init__(self, image_size, latent_dim, network_capacity=16, fmap_max=512):
            super().__init__()
            assert network_capacity == 16
            self.num_layers = int(math.log2(image_size) - 1)
            self.paint = torch.nn.Linear(latent_dim, 3)

        def forward(self, styles, input_noise):
            assert styles.shape[1] == self.num_layers
            colours = torch.sigmoid(self.paint(styles.mean(1)))[:, :, None, None]
            return colours + 0.1 * input_noise.permute(0, 3, 1, 2)

    module = types.ModuleType("stylegan2_pytorch.stylegan2_pytorch")
    module.Generator, module.StyleVectorizer = Generator, StyleVectorizer
    monkeypatch.setitem(sys.modules, "stylegan2_pytorch", types.ModuleType("stylegan2_pytorch"))
    monkeypatch.setitem(sys.modules, "stylegan2_pytorch.stylegan2_pytorch", module)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    parts = {"SE": StyleVectorizer(8, 3), "GE": Generator(128, 8)}
    Path("models/default").mkdir(parents=True)
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    torch.save({"GAN": state, "version": "1.9.0"}, "models/default/model_150.pt")
    names: dict[str, object] = {}
    exec(compile(blocks("python")[2], "docs/own-networks.md", "exec"), names)
    generator = names["make"]()
    z = torch.randn(2, 8)
    assert (generator.num_ws, generator.img_resolution, generator.normalizes_z) == (6, 128, True)
    torch.testing.assert_close(generator.mapping(z)[:, 3], parts["SE"](z))
    grey = torch.full((2, 128, 128, 1), 0.5)
    with torch.no_grad():
        ws = generator.mapping(z)
        torch.testing.assert_close(generator.synthesis(ws, noise_mode="none"), parts["GE"](ws, grey) * 2 - 1)
        assert not torch.equal(generator.synthesis(ws, noise_mode="random"), generator.synthesis(ws, noise_mode="none"))


def named(cells: list[tuple[str, str]]) -> set[str]:
    return {name for first, _ in cells for name in re.findall(r"`(\w+)`", first)}


def test_the_tables_name_every_argument_and_field():
    fields = set(LabellerSettings.model_fields)
    assert named(table("| argument | |")) == set(inspect.signature(latentlab.wrap_generator).parameters)
    assert named(table("| field | default | |")) == fields
    assert fields <= set(inspect.signature(latentlab.wrap_labeller).parameters)


def test_defaults_are_those_named():
    defaults = {name: said for cell, said in table("| field | default | |") for name in named([(cell, "")])}
    for name, field in LabellerSettings.model_fields.items():
        expected = "must be given" if field.is_required() else f"`{json.dumps(field.default)}`"
        assert defaults[name] == expected, name


def test_the_json_is_valid():
    (text,) = blocks("json")
    assert LabellerSettings.model_validate_json(text).input_range == "[0, 1]"


def test_the_messages_are_ones_that_are_said():
    """What the table quotes stands in the source, whose strings are joined first."""
    source = re.sub(r"""["']\s+f?["']""", "", Path(generator_checks.__file__).read_text(encoding="utf-8"))
    messages = [message for cell, _ in table("| message | what to do |") for message in re.findall("`(.*?)`", cell)]
    assert len(messages) >= 11
    for message in messages:
        for words in filter(None, (piece.strip(" :") for piece in message.split("..."))):
            assert words.replace("are uint8", "are {_type(images)}") in source, words


def test_the_first_example_raises_no_suspicion():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names: dict[str, object] = {}
        exec(compile(blocks("python")[0], "docs/own-networks.md", "exec"), names)
        generator = names["make"]()  # type: ignore[operator]
        assert generator.img_resolution == 32
