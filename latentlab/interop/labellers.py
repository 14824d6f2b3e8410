"""Attribute labellers of someone else's, Python objects and files, as functions images -> log-odds by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from latentlab.errors import UsageError
from latentlab.files import file_sha256
from latentlab.interop.factories import FAILURES, failure, find, make, moved, names_factory
from latentlab.interop.generator_checks import training_problem
from latentlab.interop.identity import combined_sha256, content_sha256, device_of, modules_in
from latentlab.interop.labeller_settings import (
    Channels,
    InputRange,
    LabellerSettings,
    Layout,
    Output,
    Pairs,
    chosen_outputs,
    log_odds,
    network_input,
    read_settings,
    settings_of,
)
from latentlab.interop.network_files import OnnxNetwork, load_torchscript
from latentlab.protocols import Labeller, full_precision

TORCHSCRIPT = (".pt", ".ts", ".torchscript")
ONNX = ".onnx"
FORMS = "FILE.onnx, FILE.pt, FILE.ts or FILE.torchscript with FILE.json beside it, or package.module:factory"
PROBED_SIZE = 64
"""Width of the images that a labeller of any size is tried on."""
ALIKE = 1e-3
"""How far an image's log-odds may move with the other images of its batch, relative to the largest."""


class WrappedLabeller:
    """Any function of images as a labeller: images [N, 1 or 3, R, R] in [-1, 1] -> float32 log-odds [N, A].

    Attributes:
        attributes: The A names.
        resolution: R, or None for any.
        name, sha256: Who it is, for provenance.
        settings: What the function takes and gives.
    """

    def __init__(
        self, function: Callable[[Tensor], Any], settings: LabellerSettings, *, name: str, sha256: str
    ) -> None:
        self.function, self.settings, self.name, self.sha256 = function, settings, name, sha256
        self.attributes, self.resolution = settings.attributes, settings.resolution

    def __call__(self, images: Tensor) -> Tensor:
        """Label a batch.

        Raises:
            UsageError: What the function gives has another form than the settings say.
        """
        return log_odds(self.outputs(images), self.settings)

    def outputs(self, images: Tensor) -> Tensor:
        """What the function itself gives, as one tensor: [N, columns], or [N, columns, 2] for pairs."""
        return chosen_outputs(self.function(network_input(images, self.settings)), self.settings)

    def to(self, device: torch.device | str) -> Self:
        """Move every module that the function holds."""
        for module in modules_in(self.function):
            module.to(device)
        return self


class NamedLabeller:
    """A user's labeller under a name and a hash; what it gives becomes float32."""

    def __init__(self, labeller: Any, settings: LabellerSettings, *, name: str, sha256: str) -> None:
        self.labeller, self.name, self.sha256 = labeller, name, sha256
        self.attributes, self.resolution = settings.attributes, settings.resolution

    def __call__(self, images: Tensor) -> Tensor:
        """Label a batch."""
        logits = self.labeller(images)
        return logits.float() if isinstance(logits, Tensor) and logits.is_floating_point() else logits


def wrap_labeller(
    function: Callable[[Tensor], Any],
    *,
    attributes: Sequence[str],
    resolution: int | None = None,
    output: Output = "logits",
    pairs: Pairs | None = None,
    input_range: InputRange = "[-1, 1]",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channels: Channels = "RGB",
    layout: Layout = "NCHW",
    outputs: Sequence[int | str] | None = None,
    columns: Sequence[int] | None = None,
    name: str | None = None,
    sha256: str | None = None,
    device: torch.device | str | None = None,
) -> WrappedLabeller:
    """Make a labeller of a function or an nn.Module in eval mode, and check it (`check_labeller`).

    Args:
        function: Images -> logits [N, A], or what the other arguments say.
        attributes: A names, in the order of the columns.
        resolution: Width of the images it takes; None for any.
        output: Whether a column is the log-odds of its attribute, or its probability.
        pairs: Where an attribute has two columns, for the classes absent and present, which one comes first.
        input_range: Where black and white lie in what it takes.
        mean: Subtracted then, per channel or one for all.
        std: Divided by at last, likewise.
        channels: Their order, or one of grey.
        layout: Whether channels come before or after height and width.
        outputs: Which of several outputs are read, by position or name, and joined side by side; None for all.
        columns: Which columns (of joined outputs, pairs counted once) the attributes are; None for all.
        name: For provenance; the function's or class's name if left out.
        sha256: What tells it from others; the hash of the settings and of all parameters and buffers that it holds if
            left out, or of its source file if it holds none.
        device: Where it computes; where its first parameter is if left out.

    Raises:
        UsageError: An argument is not allowed, or the labeller does not do what they say.
    """
    if not callable(function):
        raise UsageError(f"wrap_labeller: {type(function).__name__} given; expected a function or module.")
    fields: dict[str, Any] = {"attributes": attributes, "resolution": resolution, "output": output, "pairs": pairs}
    fields |= {"input_range": input_range, "mean": mean, "std": std, "channels": channels, "layout": layout}
    settings = settings_of(fields | {"outputs": outputs, "columns": columns}, "wrap_labeller")
    name = name or str(getattr(function, "__name__", type(function).__name__)).replace("<lambda>", "labeller")
    sha256 = sha256 or _combined(content_sha256(function, source=function), settings)
    labeller = WrappedLabeller(function, settings, name=name, sha256=sha256)
    check_labeller(labeller, device=device_of(function) if device is None else device)
    return labeller


def is_labeller_file(spec: str | Path) -> bool:
    """Whether a name is that of an ONNX or TorchScript file, by its ending."""
    return Path(spec).suffix.lower() in (ONNX, *TORCHSCRIPT)


def load_labeller(spec: str | Path, *, device: torch.device | str = "cpu", channels: int = 3) -> Labeller:
    """The labeller that a name stands for, on `device`, checked.

    Args:
        spec: FILE.onnx, FILE.pt, FILE.ts or FILE.torchscript with FILE.json (`LabellerSettings`) beside it; or
            package.module:factory, where the factory returns an object with `attributes`, `resolution` and a call, and
            optionally `name` and `sha256`.
        device: Where it computes; onnxruntime takes a GPU only if it was built for one.
        channels: Of the images that it will be shown.

    Raises:
        UsageError: The name has another form, a file or its JSON is missing, or the labeller does not do what it says.
        WeightsError: The file cannot be used, or onnxruntime is not installed.
    """
    device, path = torch.device(device), Path(spec)
    if is_labeller_file(path):
        labeller: Labeller = _from_file(path, device)
    elif names_factory(str(spec)):
        labeller = _from_factory(str(spec), device)
    else:
        raise UsageError(f"{spec} names no labeller: expected {FORMS}.")
    check_labeller(labeller, device=device, channels=channels)
    return labeller


def check_labeller(labeller: Labeller, *, device: torch.device | str = "cpu", channels: int = 3) -> None:
    """Show a labeller a few random images: it must give finite log-odds [N, A], each a function of its image alone.

    Raises:
        UsageError: It does not; the message says what it gives.
    """
    if problem := training_problem(modules_in(labeller)):  # a call might change the network
        raise UsageError(f"{labeller.name}: {problem}.")
    size = labeller.resolution or PROBED_SIZE
    drawn = torch.rand(3, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = drawn.to(device)
    with torch.no_grad(), full_precision():
        try:
            first, again, other = (labeller(images[rows]) for rows in ([0, 1], [0, 1], [0, 2]))
            _check_outputs(labeller, images[:2])
        except FAILURES as error:
            words = str(error) if isinstance(error, UsageError) else failure(error)
            raise UsageError(f"{labeller.name} fails on images [2, {channels}, {size}, {size}]: {words}") from error
    for problem in _wrong(labeller, first, again, other):
        raise UsageError(f"{labeller.name}: {problem}.")


def _wrong(labeller: Labeller, first: Any, again: Tensor, other: Tensor) -> list[str]:
    """What is wrong with the answers to images [a, b], the same once more, and [a, c]."""
    expected = [2, len(labeller.attributes)]
    if not isinstance(first, Tensor):
        return [f"it gives a {type(first).__name__}; expected a tensor {expected}, a column per attribute"]
    if list(first.shape) != expected or not first.is_floating_point():
        form = f"{str(first.dtype).removeprefix('torch.')} {list(first.shape)}"
        return [f"it gives {form} for 2 images; expected floating-point numbers {expected}, a column per attribute"]
    if not first.isfinite().all():
        return ["it gives numbers that are not finite (NaN or infinity)"]
    tolerance = ALIKE * max(first.abs().max().item(), 1e-6)
    if not torch.allclose(first, again, rtol=0, atol=tolerance):
        return ["it gives other numbers when it is called again: dropout in training mode? Call .eval() on the network"]
    if not torch.allclose(first[0], other[0], rtol=0, atol=tolerance):
        return [
            "what it gives for an image depends on the other images of the batch: batch norm in training mode? Call "
            ".eval() on the network"
        ]
    return []


def _check_outputs(labeller: Labeller, images: Tensor) -> None:
    """Outputs that are called probabilities must be some."""
    if isinstance(labeller, WrappedLabeller) and labeller.settings.output == "probabilities":
        outputs = labeller.outputs(images)
        low, high = outputs.min().item(), outputs.max().item()
        if low < -1e-3 or high > 1 + 1e-3:
            raise UsageError(f"its outputs are called probabilities and lie between {low:.3g} and {high:.3g}: logits?")


# ------------------------------------------------------------------------------------------------------- loading


def _from_file(path: Path, device: torch.device) -> WrappedLabeller:
    if not path.is_file():
        raise UsageError(f"there is no file {path}.")
    settings = read_settings(path.with_suffix(".json"))
    if path.suffix.lower() == ONNX:
        network = OnnxNetwork(path, device)
        settings = _with_resolution(path, settings, network)
        return WrappedLabeller(network, settings, name=path.stem, sha256=_combined(_onnx_sha256(path), settings))
    module = load_torchscript(path, device)
    return WrappedLabeller(module, settings, name=path.stem, sha256=_combined(file_sha256(path), settings))


def _with_resolution(path: Path, settings: LabellerSettings, network: OnnxNetwork) -> LabellerSettings:
    """The settings with the size of the file's input, where that is fixed.

    Raises:
        UsageError: The settings say something else.
    """
    height, width = network.input_shape[2:] if settings.layout == "NCHW" else network.input_shape[1:3]
    if network.takes_bytes and (settings.input_range != "[0, 255]" or settings.mean or settings.std):
        raise UsageError(f'{path} takes bytes: its JSON must say "input_range": "[0, 255]", without mean and std.')
    if height != width or (settings.resolution and height and settings.resolution != height):
        said = f'its JSON says "layout": "{settings.layout}", "resolution": {settings.resolution}'
        raise UsageError(f"{path} takes images {network.input_shape}, where null is free, and {said}: correct that.")
    return settings.model_copy(update={"resolution": settings.resolution or height})


def _onnx_sha256(path: Path) -> str:
    """Hash of the file, and of the one beside it where large networks keep their weights."""
    weights = path.with_name(f"{path.name}.data")
    return " ".join(file_sha256(part) for part in (path, weights) if part.is_file())


def _from_factory(spec: str, device: torch.device) -> Labeller:
    made = moved(make(spec), spec, device)
    if isinstance(made, WrappedLabeller):
        return made
    problems = [f"no attribute {name}" for name in ("attributes", "resolution") if not hasattr(made, name)]
    problems += [] if callable(made) else ["cannot be called with images"]
    if problems:
        raise UsageError(
            f"{spec} returned a {type(made).__name__} that is no labeller ({', '.join(problems)}): it needs "
            "`attributes` (names in the order of its columns), `resolution` (width of the images it takes, None for "
            "any) and a call images [N, C, R, R] -> log-odds [N, A]. latentlab.wrap_labeller makes one of any function."
        )
    settings = settings_of({"attributes": made.attributes, "resolution": made.resolution}, spec)
    sha256 = getattr(made, "sha256", None) or _combined(content_sha256(made, source=find(spec)), settings)
    return NamedLabeller(made, settings, name=str(getattr(made, "name", None) or spec), sha256=str(sha256))


def _combined(content: str, settings: LabellerSettings) -> str:
    """One hash of weights and settings, for both decide the answers."""
    return combined_sha256(content, settings.model_dump_json())
