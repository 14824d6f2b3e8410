"""What an attribute network of someone else's takes and gives, and how images and answers are brought to our form."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from latentlab.errors import UsageError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601, as Pillow's mode L)."""
SMALLEST_PROBABILITY = 1e-7
"""Probabilities are held between this and 1 less this, which are log-odds of about 16."""
EXAMPLE = '{"attributes": ["Male", "Smiling"], "resolution": 224, "output": "logits", "input_range": "[-1, 1]"}'

PerChannel = Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
Name = Annotated[str, Field(min_length=1)]
Output = Literal["logits", "probabilities"]
Pairs = Literal["absent, present", "present, absent"]
InputRange = Literal["[-1, 1]", "[0, 1]", "[0, 255]"]
Channels = Literal["RGB", "BGR", "grey"]
Layout = Literal["NCHW", "NHWC"]


class LabellerSettings(BaseModel):
    """The JSON beside a labeller's file.

    Attributes:
        attributes: Names of the columns, in order.
        resolution: Height and width of the images it takes; None for any.
        output: Whether a column is the log-odds of its attribute, or its probability.
        pairs: Where an attribute has two columns, for the classes absent and present, which one comes first.
        input_range: Where black and white lie in what it takes.
        mean: Subtracted then, per channel or one for all.
        std: Divided by at last, likewise.
        channels: Their order, or one of grey.
        layout: Whether channels come before or after height and width.
        outputs: Which of several outputs are read, by position or name, and joined side by side; None for all.
        columns: Which columns (of joined outputs, pairs counted once) the attributes are; None for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    attributes: Annotated[tuple[Name, ...], Field(min_length=1)]
    resolution: Annotated[int, Field(ge=1)] | None = None
    output: Output = "logits"
    pairs: Pairs | None = None
    input_range: InputRange = "[-1, 1]"
    mean: PerChannel | None = None
    std: PerChannel | None = None
    channels: Channels = "RGB"
    layout: Layout = "NCHW"
    outputs: Annotated[tuple[Annotated[int, Field(ge=0)] | Name, ...], Field(min_length=1)] | None = None
    columns: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _agree(self) -> "LabellerSettings":
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError("every attribute may be named only once")
        if self.columns is not None and len(self.columns) != len(self.attributes):
            raise ValueError(f"{len(self.columns)} columns for {len(self.attributes)} attributes")
        allowed = (1,) if self.channels == "grey" else (1, 3)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in allowed:
                raise ValueError(f"{name} has {len(values)} values; expected {' or '.join(map(str, allowed))}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self


def read_settings(path: Path) -> LabellerSettings:
    """The settings from a JSON file.

    Raises:
        UsageError: There is no such file, or it has another form.
    """
    if not path.is_file():
        raise UsageError(
            f"{path} is missing: it says what the network beside it takes and gives, at least the names of its "
            f"attributes in the order of its outputs, such as {EXAMPLE}."
        )
    try:
        return LabellerSettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error)}.") from error


def settings_of(fields: dict[str, Any], what: str) -> LabellerSettings:
    """The settings from values.

    Raises:
        UsageError: A value is not allowed.
    """
    try:
        return LabellerSettings.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"{what}: {first_problem(error)}.") from error


def first_problem(error: ValidationError) -> str:
    """Field, reason and value of the first thing that is wrong."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    reason = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown field {where}; known are {', '.join(LabellerSettings.model_fields)}"
    given = "" if problem["type"] in ("missing", "value_error", "json_invalid") else f" ({problem['input']!r} given)"
    return f"{where}: {reason}{given}" if where else f"{reason}{given}"


def network_input(images: Tensor, settings: LabellerSettings) -> Tensor:
    """Images [N, 1 or 3, R, R], nominally in [-1, 1] -> what the network takes. Values beyond are not clipped.

    Raises:
        UsageError: The images have neither 1 nor 3 channels.
    """
    images = _channels(images, settings.channels)
    if settings.input_range != "[-1, 1]":
        images = (images + 1) * (0.5 if settings.input_range == "[0, 1]" else 127.5)
    if settings.mean is not None:
        images = images - images.new_tensor(settings.mean).reshape(-1, 1, 1)
    if settings.std is not None:
        images = images / images.new_tensor(settings.std).reshape(-1, 1, 1)
    return images.permute(0, 2, 3, 1) if settings.layout == "NHWC" else images


def _channels(images: Tensor, order: Channels) -> Tensor:
    count = images.shape[1]
    if count not in (1, 3):
        raise UsageError(f"images of {count} channels: labellers look at 1 or 3.")
    if order == "grey":
        return images if count == 1 else (images * images.new_tensor(LUMA).reshape(-1, 1, 1)).sum(dim=1, keepdim=True)
    images = images.expand(-1, 3, -1, -1)
    return images.flip(1) if order == "BGR" else images


def chosen_outputs(result: Any, settings: LabellerSettings) -> Tensor:
    """What a network returns, a tensor or several, as one: [N, columns], or [N, columns, 2] for pairs.

    Raises:
        UsageError: It is something else, lacks an output, or has no pairs.
    """
    chosen = _chosen(result, settings.outputs)
    for tensor in chosen:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not tensor.ndim:
            kind = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise UsageError(f"an output is {kind.removeprefix('torch.')}; expected floating-point numbers [N, A]")
    if settings.pairs is None:
        return torch.cat([tensor.reshape(len(tensor), -1) for tensor in chosen], dim=1)
    return torch.cat([_pairs(tensor) for tensor in chosen], dim=1)


def _chosen(result: Any, names: Sequence[int | str] | None) -> list[Any]:
    if isinstance(result, dict):
        available = result
    else:
        several = result if isinstance(result, tuple | list) else [result]
        available = dict(enumerate(several))
    if names is None:
        return list(available.values())
    keys = list(available)
    missing = [name for name in names if name not in available and not (isinstance(name, int) and name < len(keys))]
    if missing:
        raise UsageError(f"there is no output {', '.join(map(str, missing))}; there are {', '.join(map(str, keys))}")
    return [available[name] if name in available else available[keys[int(name)]] for name in names]


def _pairs(tensor: Tensor) -> Tensor:
    """[N, A, 2], or [N, 2 A] with the two of an attribute side by side -> [N, A, 2]."""
    if (tensor.ndim > 2 and tensor.shape[-1] != 2) or tensor[0].numel() % 2:
        raise UsageError(f"an output has the shape {list(tensor.shape)}; for pairs, [N, A, 2] or [N, 2 A] is expected")
    return tensor.reshape(len(tensor), -1, 2)


def log_odds(columns: Tensor, settings: LabellerSettings) -> Tensor:
    """Outputs as `chosen_outputs` gives them -> float32 log-odds [N, A] that the attributes are present.

    Of two logits under a softmax they are the difference; of a probability p, ln(p / (1 - p)).

    Raises:
        UsageError: There are not as many columns as attributes.
    """
    columns = columns.float()
    if settings.output == "probabilities":
        columns = columns.clamp(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        columns = columns.log() if settings.pairs else columns.logit()
    if settings.pairs:
        first, second = columns.unbind(dim=2)
        columns = second - first if settings.pairs == "absent, present" else first - second
    count = columns.shape[1]
    if settings.columns is not None:
        if max(settings.columns) >= count:
            raise UsageError(f"there is no column {max(settings.columns)}; its outputs have {count} (from 0)")
        return columns[:, list(settings.columns)]
    if count != len(settings.attributes):
        raise UsageError(f"it gives {count} columns for {len(settings.attributes)} attributes; name `columns`")
    return columns
