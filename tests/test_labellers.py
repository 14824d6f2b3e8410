"""Labellers of other people's: functions, modules, TorchScript and ONNX files, and the JSON beside them."""

import json
import math
import sys
import warnings
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from latentlab.errors import UsageError, WeightsError
from latentlab.interop import network_files
from latentlab.interop.labeller_settings import LUMA, LabellerSettings, network_input
from latentlab.interop.labellers import check_labeller, load_labeller, wrap_labeller

NAMES = ("red", "green", "blue")


def means(images):
    """Log-odds: the mean of every channel."""
    return images.mean(dim=(2, 3))


class Means(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, images):
        return images.mean(dim=(2, 3)) * self.scale


@pytest.fixture
def images():
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def write_torchscript(path: Path, module: nn.Module, size: int = 8) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.trace(module.eval(), torch.zeros(2, 3, size, size)).save(str(path))
    return path


def write_onnx(path: Path, *, batch="N", size=8, kind=TensorProto.FLOAT, layout="NCHW") -> Path:
    """Channel means, as `logits`, and a second output `twice` of double their value."""
    shape = [batch, 3, size, size] if layout == "NCHW" else [batch, size, size, 3]
    nodes = [helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2] if layout == "NHWC" else range(4))]
    nodes += [
        helper.make_node("GlobalAveragePool", ["first"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
        helper.make_node("Add", ["logits", "logits"], ["twice"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in ("logits", "twice")]
    graph = helper.make_graph(nodes, "means", [helper.make_tensor_value_info("images", kind, shape)], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def beside(path: Path, **settings: object) -> Path:
    """Write the JSON of a file, which is returned."""
    path.with_suffix(".json").write_text(json.dumps({"attributes": NAMES, **settings}))
    return path


# -------------------------------------------------------------------------------------------------------- objects


def test_a_function_is_a_labeller(images):
    labeller = wrap_labeller(means, attributes=NAMES)
    assert (labeller.attributes, labeller.resolution, labeller.name) == (NAMES, None, "means")
    assert torch.equal(labeller(images), means(images))
    assert len(labeller.sha256) == 64


def test_the_hash_is_of_weights_and_settings():
    module = Means().eval()
    first, again = (wrap_labeller(module, attributes=NAMES).sha256 for _ in range(2))
    assert first == again
    assert wrap_labeller(module, attributes=NAMES, input_range="[0, 1]").sha256 != first
    with torch.no_grad():
        module.scale += 1
    assert wrap_labeller(module, attributes=NAMES).sha256 != first
    assert wrap_labeller(module, attributes=NAMES, sha256="mine").sha256 == "mine"


def test_moving_moves_the_module():
    net = Means().eval()
    labeller = wrap_labeller(lambda images: net(images), attributes=NAMES)
    assert labeller.to("meta") is labeller
    assert net.scale.device.type == "meta"


# ----------------------------------------------------------------------------------- what goes in and what comes out


def seen(images, **settings):
    return network_input(images, LabellerSettings.model_validate({"attributes": NAMES, **settings}))


def test_ranges_and_normalisation(images):
    assert torch.equal(seen(images), images)
    assert torch.allclose(seen(images, input_range="[0, 1]"), images / 2 + 0.5)
    assert torch.allclose(seen(images, input_range="[0, 255]"), images * 127.5 + 127.5)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    normalised = seen(images, input_range="[0, 1]", mean=mean, std=std)
    for channel in range(3):
        expected = (images[:, channel] / 2 + 0.5 - mean[channel]) / std[channel]
        assert torch.allclose(normalised[:, channel], expected, atol=1e-6)
    assert torch.allclose(seen(images, mean=[0.5], std=[2]), (images - 0.5) / 2)


def test_channels_and_layouts(images):
    assert torch.equal(seen(images, channels="BGR"), images[:, [2, 1, 0]])
    assert torch.equal(seen(images, layout="NHWC"), images.permute(0, 2, 3, 1))
    assert torch.equal(seen(images[:, :1]), images[:, [0, 0, 0]])
    assert torch.equal(seen(images[:, :1], channels="grey"), images[:, :1])
    grey = sum(weight * images[:, k] for k, weight in enumerate(LUMA))
    assert torch.allclose(seen(images, channels="grey")[:, 0], grey)
    with pytest.raises(UsageError, match="images of 4 channels: labellers look at 1 or 3"):
        seen(torch.zeros(1, 4, 8, 8))


def test_probabilities_become_log_odds(images):
    labeller = wrap_labeller(lambda x: torch.sigmoid(means(x)), attributes=NAMES, output="probabilities")
    assert torch.allclose(labeller(images), means(images), atol=1e-5)
    sure = wrap_labeller(lambda x: (means(x) > 0).float(), attributes=NAMES, output="probabilities")
    values = sure(images)
    assert values.isfinite().all()
    assert torch.allclose(values.abs(), torch.full((5, 3), math.log(1e7)), atol=0.2)


@pytest.mark.parametrize("order", ["absent, present", "present, absent"])
@pytest.mark.parametrize("shape", ["pairs", "flat", "list"])
@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_two_classes_of_a_softmax_become_log_odds(images, order, shape, output):
    def pairs(x):
        present, absent = means(x) + 0.7, 0.7 - means(x)  # log-odds are twice the mean
        both = torch.stack([absent, present] if order == "absent, present" else [present, absent], dim=2)
        both = both.softmax(dim=2) if output == "probabilities" else both
        return {"pairs": both, "flat": both.flatten(1), "list": list(both.unbind(dim=1))}[shape]

    labeller = wrap_labeller(pairs, attributes=NAMES, pairs=order, output=output)
    assert torch.allclose(labeller(images), 2 * means(images), atol=1e-5)


def test_columns_and_outputs_are_chosen(images):
    both = wrap_labeller(lambda x: (means(x), -means(x)[:, :2]), attributes=("r", "g", "b", "not r", "not g"))
    assert torch.equal(both(images)[:, 3], -means(images)[:, 0])
    second = wrap_labeller(lambda x: (x, -means(x)), attributes=NAMES, outputs=[1])
    assert torch.equal(second(images), -means(images))
    named = wrap_labeller(lambda x: {"map": x, "out": means(x)}, attributes=("b", "r"), outputs=["out"], columns=[2, 0])
    assert torch.equal(named(images), means(images)[:, [2, 0]])


# ------------------------------------------------------------------------------------------------ what is wrong, said


class Shifting:
    calls = 0

    def __call__(self, images):
        self.calls += 1
        return means(images) + self.calls


@pytest.mark.parametrize(
    ("function", "settings", "words"),
    [
        (means, {"attributes": ("a", "b")}, r"it gives 3 columns for 2 attributes; name `columns`"),
        (means, {"columns": (0, 1, 3)}, r"there is no column 3; its outputs have 3 \(from 0\)"),
        (means, {"columns": (0, 1)}, r"2 columns for 3 attributes"),
        (means, {"attributes": ("a", "a", "b")}, r"named only once"),
        (means, {"attributes": ()}, r"attributes: Tuple should have at least 1 item"),
        (means, {"resolution": 0}, r"resolution: .*greater than or equal to 1 \(0 given\)"),
        (means, {"output": "odds"}, r"output: Input should be 'logits' or 'probabilities' \('odds' given\)"),
        (means, {"mean": (1.0, 2.0)}, r"mean has 2 values; expected 1 or 3"),
        (means, {"std": (0.0,)}, r"std must be above 0"),
        (means, {"channels": "grey", "mean": (0.1, 0.2, 0.3)}, r"mean has 3 values; expected 1$|expected 1\."),
        (means, {"outputs": ("features",)}, r"there is no output features; there are 0"),
        (means, {"output": "probabilities"}, r"called probabilities and lie between -0.\d+ and .*: logits\?"),
        (means, {"pairs": "absent, present"}, r"shape \[2, 3\]; for pairs, \[N, A, 2\] or \[N, 2 A\] is expected"),
        (lambda x: means(x).long(), {}, r"an output is int64 \[2, 3\]; expected floating-point"),
        (lambda x: "no", {}, r"an output is str; expected floating-point"),
        (lambda x: means(x) / 0, {}, r"it gives numbers that are not finite"),
        (
            lambda x: means(x)[:1],
            {},
            r"it gives float32 \[1, 3\] for 2 images; expected floating-point numbers \[2, 3\]",
        ),
        (lambda x: means(x) - means(x).mean(), {}, r"depends on the other images of the batch: batch norm"),
        (Shifting(), {}, r"gives other numbers when it is called again: dropout"),
        (lambda x: x.reshape(7), {}, r"fails on images \[2, 3, 64, 64\]: RuntimeError.*line \d+"),
        (nn.Sequential(nn.BatchNorm2d(3), Means()), {}, r"0 \(BatchNorm2d\): in training mode; call .eval\(\)"),
        ("net", {}, r"str given; expected a function or module"),
    ],
)
def test_what_does_not_fit_is_said(function, settings, words):
    with pytest.raises(UsageError, match=words):
        wrap_labeller(function, **{"attributes": NAMES, **settings})


# ---------------------------------------------------------------------------------------------------- TorchScript


@pytest.mark.parametrize("suffix", [".pt", ".ts", ".torchscript"])
def test_torchscript(tmp_path, images, suffix):
    path = beside(write_torchscript(tmp_path / f"mine{suffix}", Means()), resolution=8)
    labeller = load_labeller(path)
    assert (labeller.name, labeller.attributes, labeller.resolution) == ("mine", NAMES, 8)
    assert torch.allclose(labeller(images), means(images))
    before = labeller.sha256
    assert load_labeller(str(path)).sha256 == before
    beside(path, resolution=8, input_range="[0, 1]")
    assert load_labeller(path).sha256 != before


def test_dropout_of_a_torchscript_file_is_off(tmp_path, images):
    path = beside(write_torchscript(tmp_path / "mine.pt", nn.Sequential(nn.Dropout(), Means())), resolution=8)
    labeller = load_labeller(path)
    assert torch.allclose(labeller(images), means(images))


@pytest.mark.parametrize("made", ["state", "module", "text"])
def test_other_pickles_are_not_loaded(tmp_path, made):
    path = beside(tmp_path / "mine.pt")
    if made == "text":
        path.write_text("no network")
    else:
        torch.save(Means().state_dict() if made == "state" else Means(), path)
    with pytest.raises(WeightsError, match=r"mine.pt is no TorchScript file: a checkpoint of torch.save lacks.*trace"):
        load_labeller(path)


def test_a_damaged_torchscript_file(tmp_path):
    path = beside(write_torchscript(tmp_path / "mine.pt", Means()))
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            if not name.endswith("data.pkl"):
                cut.writestr(name, whole.read(name))
    beside(tmp_path / "cut.pt")
    with pytest.raises(WeightsError, match=r"cut.pt cannot be loaded as TorchScript: "):
        load_labeller(tmp_path / "cut.pt")


# ----------------------------------------------------------------------------------------------------------- ONNX


@pytest.mark.parametrize("batch", ["N", 1, 2, 4])
def test_onnx_with_any_batch_size(tmp_path, images, batch):
    path = beside(write_onnx(tmp_path / "mine.onnx", batch=batch), outputs=["logits"])
    labeller = load_labeller(path)
    assert (labeller.name, labeller.resolution) == ("mine", 8)  # the size is the file's
    assert torch.allclose(labeller(images), means(images), atol=1e-6)


def test_onnx_outputs_are_joined_or_chosen(tmp_path, images):
    path = write_onnx(tmp_path / "mine.onnx")
    assert torch.allclose(load_labeller(beside(path, outputs=["twice"]))(images), 2 * means(images), atol=1e-6)
    assert torch.allclose(load_labeller(beside(path, outputs=[1]))(images), 2 * means(images), atol=1e-6)
    six = beside(path, attributes=list("abcdef"))
    assert torch.allclose(load_labeller(six)(images)[:, 3:], 2 * means(images), atol=1e-6)
    with pytest.raises(UsageError, match="there is no output score; there are logits, twice"):
        load_labeller(beside(path, outputs=["score"]))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_onnx_of_other_precisions(tmp_path, images, kind):
    path = beside(write_onnx(tmp_path / "mine.onnx", kind=kind), outputs=["logits"])
    assert torch.allclose(load_labeller(path)(images), means(images), atol=1e-3)


def test_onnx_of_bytes_and_channels_last(tmp_path, images):
    path = write_onnx(tmp_path / "mine.onnx", kind=TensorProto.UINT8, layout="NHWC")
    labeller = load_labeller(beside(path, outputs=["logits"], layout="NHWC", input_range="[0, 255]"))
    assert torch.allclose(labeller(images), means((images + 1) * 127.5).float(), atol=0.5)
    assert torch.equal(labeller(torch.full((1, 3, 8, 8), 9.0)), torch.full((1, 3), 255.0))  # clipped
    with pytest.raises(UsageError, match=r'takes bytes: its JSON must say "input_range": "\[0, 255\]"'):
        load_labeller(beside(path, layout="NHWC"))


def test_onnx_sizes_must_agree(tmp_path):
    path = write_onnx(tmp_path / "mine.onnx")
    with pytest.raises(UsageError, match=r'takes images \[None, 3, 8, 8\].*"resolution": 16: correct that'):
        load_labeller(beside(path, resolution=16))
    with pytest.raises(UsageError, match=r'"layout": "NHWC", "resolution": None'):
        load_labeller(beside(path, layout="NHWC"))


def test_free_sizes_stay_free(tmp_path):
    path = beside(write_onnx(tmp_path / "mine.onnx", size="S"), outputs=["logits"])
    labeller = load_labeller(path)
    assert labeller.resolution is None
    assert labeller(torch.ones(2, 3, 12, 12)).tolist() == [[1, 1, 1]] * 2


def test_weights_in_a_second_file_count(tmp_path):
    path = beside(write_onnx(tmp_path / "mine.onnx"), outputs=["logits"])
    before = load_labeller(path).sha256
    (tmp_path / "mine.onnx.data").write_bytes(b"weights")
    assert load_labeller(path).sha256 != before


def test_damaged_onnx_and_missing_onnxruntime(tmp_path, monkeypatch):
    path = beside(tmp_path / "mine.onnx")
    path.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"mine.onnx cannot be used by onnxruntime: InvalidProtobuf"):
        load_labeller(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(WeightsError, match=r"need onnxruntime, which cannot be loaded .*: install `latentlab\[onnx\]`"):
        network_files.OnnxNetwork(path, torch.device("cpu"))


def test_onnx_without_images_is_refused(tmp_path):
    one = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", [one],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    path = beside(tmp_path / "mine.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    with pytest.raises(WeightsError, match=r"takes x tensor\(float\) \[2\]; expected one input of images"):
        load_labeller(path)


# ---------------------------------------------------------------------------------------------- the JSON, and names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"mine.json is missing: .* such as \{\"attributes\""),
        ("{", r"mine.json: Invalid JSON"),
        ('{"resolution": 8}', r"mine.json: attributes: Field required"),
        ('{"attributes": ["a"], "size": 8}', r"unknown field size; known are attributes, resolution, output"),
        ('{"attributes": ["a"], "resolution": "large"}', r"resolution: .*valid integer.* \('large' given\)"),
    ],
)
def test_a_json_of_another_form(tmp_path, text, words):
    path = write_torchscript(tmp_path / "mine.pt", Means())
    if text is not None:
        path.with_suffix(".json").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_labeller(path)


def test_the_example_in_the_message_is_valid():
    from latentlab.interop.labeller_settings import EXAMPLE

    assert LabellerSettings.model_validate_json(EXAMPLE).resolution == 224


def test_names_that_mean_nothing(tmp_path):
    with pytest.raises(UsageError, match=r"there is no file .*other.onnx"):
        load_labeller(tmp_path / "other.onnx")
    with pytest.raises(UsageError, match=r"mine.safetensors names no labeller: expected FILE.onnx.*package.module"):
        load_labeller(tmp_path / "mine.safetensors")


FACTORIES = """
import torch

class Mine:
    attributes, resolution = ["red"], 8

    def __call__(self, images):
        return images.mean(dim=(2, 3))[:, :1]

class Named(Mine):
    name, sha256 = "someone", "b" * 64

class Unsized:
    attributes = ["red"]

def wrapped():
    from latentlab import wrap_labeller

    return wrap_labeller(lambda images: images.mean(dim=(2, 3)), attributes=["r", "g", "b"], name="three")

class Grey(Mine):
    def __call__(self, images):
        assert images.shape[1] == 1
        return images.mean(dim=(2, 3))
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "my_labellers.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield
    sys.modules.pop("my_labellers", None)


@pytest.mark.usefixtures("factories")
def test_objects_of_factories():
    mine = load_labeller("my_labellers:Mine")
    assert (mine.name, mine.attributes, mine.resolution) == ("my_labellers:Mine", ("red",), 8)
    assert len(mine.sha256) == 64
    named = load_labeller("my_labellers:Named")
    assert (named.name, named.sha256) == ("someone", "b" * 64)
    assert load_labeller("my_labellers:wrapped").name == "three"
    assert load_labeller("my_labellers:Grey", channels=1)(torch.ones(2, 1, 8, 8)).tolist() == [[1], [1]]


@pytest.mark.usefixtures("factories")
def test_objects_of_factories_that_do_not_fit():
    with pytest.raises(
        UsageError, match=r"returned a Unsized that is no labeller \(no attribute resolution, cannot be"
    ):
        load_labeller("my_labellers:Unsized")
    with pytest.raises(UsageError, match=r"my_labellers has no Yours; it has Mine, Named, Unsized"):
        load_labeller("my_labellers:Yours")
    with pytest.raises(UsageError, match=r"Grey fails on images \[2, 3, 8, 8\]: AssertionError.*assert images.shape"):
        load_labeller("my_labellers:Grey")


def test_labellers_of_ones_own_class_can_be_checked():
    class Broken:
        attributes, resolution, name, sha256 = ("a",), 8, "broken", "c" * 64

        def __call__(self, images):
            return [1.0, 2.0]

    with pytest.raises(UsageError, match=r"broken: it gives a list; expected a tensor \[2, 1\]"):
        check_labeller(Broken())
