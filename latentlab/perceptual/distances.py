"""What a distance between images is, and LPIPS's formula over the features of any network."""

import copy
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.fused import at_least_float32
from latentlab.perceptual.pushing import Precision, has_rule, jvp, push, squared_speed


class Distance(Protocol):
    """A distance between images, quadratic for small differences.

    It may have `speed(images, directions, *, precision)` -> [N], the limit of d(x, x + e v) / e^2 as e goes to 0 for
    images x and directions v [N, C, H, W], which the tangent method needs; and `thread_safe` and `speed_thread_safe`,
    True where several threads may call it, or its speed, at once (left out: False).

    Attributes:
        name: What it is called in protocols.
        sha256: Hash of the weights that decide it.
        min_size: Smallest width and height it accepts.
    """

    name: str
    sha256: str
    min_size: int

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances [N] of two batches of images [N, C, H, W], nominally in [-1, 1]."""


class FeatureDistance:
    """LPIPS's formula over the feature maps of any network.

    d(a, b) = sum over layers, mean over positions, weighted sum over channels of (u(a) - u(b))^2, where u is the
    feature vector of a position scaled to unit length (Zhang et al. 2018, equation 1).

    Args:
        features: Images [N, C, H, W] -> one feature map [N, K, H', W'] per layer, deterministic.
        name: For protocols.
        sha256: Hash of the network's weights.
        min_size: Smallest width and height it accepts.
        weights: Per layer, the weights [K] of the channels; ones if left out.
    """

    thread_safe = True

    def __init__(
        self,
        features: Callable[[Tensor], Sequence[Tensor]],
        *,
        name: str,
        sha256: str,
        min_size: int,
        weights: Sequence[Tensor] | None = None,
    ) -> None:
        self.name, self.sha256, self.min_size = name, sha256, min_size
        self._features, self._weights = features, weights

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances [N] of two batches of images [N, C, H, W]."""
        self._check(a, b)
        total = torch.zeros(len(a), device=a.device, dtype=a.dtype)
        for layer, both in enumerate(self._features(torch.cat([a, b]))):
            first, second = _unit_length(at_least_float32(both)).chunk(2)
            squares = (first - second).square()
            if self._weights is not None:
                squares = squares * self._weights[layer].reshape(1, -1, 1, 1)
            total = total + squares.sum(dim=1).mean(dim=(1, 2))
        return total

    def speed(self, images: Tensor, directions: Tensor, *, precision: Precision = "float32") -> Tensor:
        """The limit of d(x, x + e v) / e^2 as e goes to 0: how fast features turn, squared, float32 [N].

        Args:
            images: x, [N, C, H, W].
            directions: v, of the same shape.
            precision: Of the network; lengths and sums are in float32.
        """
        self._check(images, directions)
        parts = []
        for layer, (value, tangent) in enumerate(self._pushed(images, directions, precision)):
            weights = None if self._weights is None else self._weights[layer]
            parts.append(squared_speed(value, tangent, weights))
        return torch.stack(parts).sum(0)

    def _pushed(self, images: Tensor, directions: Tensor, precision: Precision) -> list[tuple[Tensor, Tensor]]:
        """Feature maps and their tangents."""
        half = precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            values, tangents = jvp(lambda x: tuple(self._features(x)), images, directions)
        return list(zip(values, tangents, strict=True))

    def _check(self, a: Tensor, b: Tensor) -> None:
        if a.shape != b.shape or a.ndim != 4:
            shapes = f"{list(a.shape)} and {list(b.shape)}"
            raise UsageError(f"images of the shapes {shapes}; both must be one [N, C, H, W].")
        if min(a.shape[2:]) < self.min_size:
            raise UsageError(
                f"images are {a.shape[3]}x{a.shape[2]} pixels, and {self.name} needs at least {self.min_size}."
            )


class StagedDistance(FeatureDistance):
    """LPIPS's formula over the outputs of stages that follow one another, such as the blocks of VGG16.

    Args:
        prepare: Linear in the images up to a constant; what the first stage gets.
        stages: Networks in eval mode, each of which takes what the one before makes.
        weights: Per stage, the weights [K] of its channels.
        name, sha256, min_size: As of `FeatureDistance`.
    """

    def __init__(
        self,
        prepare: Callable[[Tensor], Tensor],
        stages: Sequence[nn.Module],
        *,
        weights: Sequence[Tensor] | None,
        name: str,
        sha256: str,
        min_size: int,
    ) -> None:
        super().__init__(self._run, name=name, sha256=sha256, min_size=min_size, weights=weights)
        self._prepare = prepare
        self.speed_thread_safe = all(has_rule(stage) for stage in stages)
        self._stages = {torch.float32: nn.ModuleList(stages).to(memory_format=torch.channels_last)}

    def _run(self, images: Tensor) -> list[Tensor]:
        x = self._prepare(images).contiguous(memory_format=torch.channels_last)
        found = []
        for stage in self._stages[torch.float32]:
            x = stage(x)
            found.append(x)
        return found

    def _pushed(self, images: Tensor, directions: Tensor, precision: Precision) -> list[tuple[Tensor, Tensor]]:
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        if kind not in self._stages:
            self._stages[kind] = copy.deepcopy(self._stages[torch.float32]).to(kind)
        value, origin = self._prepare(images), self._prepare(torch.zeros_like(images[:1]))
        tangent = self._prepare(directions) - origin
        value, tangent = (x.to(kind, memory_format=torch.channels_last) for x in (value, tangent))
        found = []
        for stage in self._stages[kind]:
            value, tangent = push(stage, value, tangent)
            found.append((value, tangent))
        return found


class Featured(Protocol):
    """Attribute classifiers, as far as a distance needs them."""

    name: str
    sha256: str

    @property
    def resolution(self) -> int:
        """R, height and width of the images they were trained on."""

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """Feature maps of every resolution block, from images of any size down to R / 4."""


def classifier_distance(classifiers: Featured) -> FeatureDistance:
    """The distance `classifier:NAME`: LPIPS's formula on the trunk features of attribute classifiers in eval mode."""
    return FeatureDistance(
        classifiers.features,
        name=f"classifier:{classifiers.name}",
        sha256=classifiers.sha256,
        min_size=max(classifiers.resolution // 4, 1),
    )


def _unit_length(features: Tensor) -> Tensor:
    """Scale feature vectors over channels to unit length, as LPIPS does: x / (|x| + 1e-10)."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
