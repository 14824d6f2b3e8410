"""What is measured: the named protocols of perceptual path length, and the settings of one measurement."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from latentlab.errors import UsageError
from latentlab.perceptual import Precision
from latentlab.protocols import GeneratorLike, NoiseMode, normalizes_z

Space = Literal["z", "w"]
Sampling = Literal["full", "end", "ends"]
Interpolation = Literal["slerp", "slerp-norm", "lerp"]
Method = Literal["differences", "tangent"]
ProtocolName = Literal["stylegan", "stylegan2-ada", "torch-fidelity", "torchmetrics"]
EPSILON = 1e-4


@dataclass(frozen=True)
class PathProtocol:
    """What implementations differ in, where they would otherwise give one number.

    Attributes:
        source: Where the rules come from.
        num_samples: How many pairs its numbers are made of.
        interpolation: How Z is walked; W always by lerp.
        crop: Whether images are cropped to where aligned faces are.
        reduce: Which size the whole factor of the box filter follows: "cropped" (images above 256 pixels after the
            crop), "generator" (the generator's, whatever the crop), or "none".
        resize: Width to which every image is brought: box means of what is larger, bilinear for what is smaller.
        outliers: How numpy's percentiles 1 and 99 are taken; values outside are dropped.
    """

    source: str
    num_samples: int
    interpolation: Interpolation
    crop: bool
    reduce: Literal["cropped", "generator", "none"]
    resize: int | None
    outliers: tuple[Literal["lower", "higher"], Literal["lower", "higher"]]


PROTOCOLS: dict[ProtocolName, PathProtocol] = {
    "stylegan": PathProtocol(
        "StyleGAN, official code of 2019", 100_000, "slerp", True, "cropped", None, ("lower", "higher")
    ),
    "stylegan2-ada": PathProtocol(
        "StyleGAN2-ADA and StyleGAN3, official code", 50_000, "slerp", True, "generator", None, ("lower", "higher")
    ),
    "torch-fidelity": PathProtocol("torch-fidelity", 50_000, "lerp", False, "none", 64, ("lower", "higher")),
    "torchmetrics": PathProtocol("torchmetrics", 10_000, "lerp", False, "none", 64, ("lower", "lower")),
}
"""The rules of each implementation; every one combines with either space and any sampling."""


@dataclass(frozen=True)
class PathSettings:
    """What is measured: every setting that changes the distances.

    What is None follows the protocol.

    Attributes:
        space: "z", walked before the mapping, or "w", walked after it.
        sampling: "full" takes t ~ U(0, 1); "end" takes t = 0 exactly, as all code does; "ends" takes 0 or 1, each with
            probability 1/2, as the paper's text has it.
        epsilon: The step along the path; without meaning for the tangent.
        crop: Whether images are cropped to where aligned faces are (`face_crop`).
        seed: Row i of the measurement is a function of the seed and i alone.
        protocol: Whose rules are followed where nothing else is said (`PROTOCOLS`).
        interpolation: How Z is walked. "slerp" ends at unit length; "slerp-norm" interpolates the lengths, too, which
            is what None means for generators that do not normalise z under a protocol of slerp; "lerp" is straight.
        upsample: Width to which smaller images are brought by bilinear interpolation before the distance.
        quantize: Whether images are rounded to 256 levels, as 8-bit files are; destroys the difference at the
            published step.
        noise_mode: "random" noise, the same for both images of a pair; "const" or "none".
        method: "differences" takes the step, "tangent" the limit of ever smaller steps (`latentlab.metrics.
            path_length.tangent`).
        precision: Of the tangent's networks; differences allow float32 alone. "bfloat16" is for the distance's network:
            the generator stays in float32 (on GPUs TF32), since instance norm divides by deviations that can be small.
    """

    space: Space
    sampling: Sampling
    epsilon: float = EPSILON
    crop: bool | None = None
    seed: int = 0
    protocol: ProtocolName = "stylegan"
    interpolation: Interpolation | None = None
    upsample: int | None = None
    quantize: bool = False
    noise_mode: NoiseMode = "random"
    method: Method = "differences"
    precision: Precision = "float32"

    @property
    def rules(self) -> PathProtocol:
        """Those of the protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def cropped(self) -> bool:
        """Whether images are cropped."""
        return self.rules.crop if self.crop is None else self.crop

    @property
    def metric(self) -> str:
        """What the number is called: ppl_wend and so on; ppl2_wend, as StyleGAN2's code calls its own."""
        generation = "2" if self.protocol == "stylegan2-ada" and not self.cropped else ""
        return f"ppl{generation}_{self.space}{self.sampling}"

    def walk(self, generator: GeneratorLike) -> Interpolation:
        """How the space is walked for this generator."""
        if self.space == "w":
            return "lerp"
        chosen = self.interpolation or self.rules.interpolation
        if self.interpolation is None and chosen == "slerp" and not normalizes_z(generator):
            return "slerp-norm"
        return chosen

    def check(self) -> None:
        """Refuse settings that do not exist or contradict each other.

        Raises:
            UsageError: naming the setting, what it may be, and why.
        """
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in get_args(allowed) and not (name == "interpolation" and value is None):
                raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}.")
        if not 0 < self.epsilon < 1:
            raise UsageError(f"epsilon is {self.epsilon}; it must be above 0 and below 1 (published: 1e-4).")
        if self.upsample is not None and not 1 <= self.upsample <= 4096:
            raise UsageError(f"upsample is {self.upsample}; it must be a width in pixels, from 1 to 4096.")
        if self.space == "w" and self.interpolation not in (None, "lerp"):
            raise UsageError(f"interpolation is {self.interpolation!r}, and W is walked by lerp: leave it out.")
        if self.method == "differences" and self.precision != "float32":
            raise UsageError(
                f"precision {self.precision} destroys the difference of two nearly equal images: take float32, or the "
                "method tangent, which has no difference."
            )
        if self.method == "tangent" and self.quantize:
            raise UsageError("quantised images have no tangent: leave quantize out, or take the method differences.")

    def described(self, generator: GeneratorLike, *, image_size: int) -> dict[str, Any]:
        """All of it, for the protocol of a result; `image_size` is what the distance sees."""
        return {**self.decided(self.walk(generator)), "image_size": image_size}

    def decided(self, walk: Interpolation) -> dict[str, Any]:
        """What the settings alone decide, where the space is walked so."""
        low, high = self.rules.outliers
        described: dict[str, Any] = {
            "name": self.protocol,
            "space": self.space,
            "sampling": self.sampling,
            "method": METHODS[self.method],
            "interpolation": INTERPOLATIONS[walk],
            "crop": "face" if self.cropped else "none",
            "outliers": f"below 1st percentile ({low}) and above 99th ({high}) dropped",
            "noise": {"random": "random, shared by a pair", "const": "constant", "none": "none"}[self.noise_mode],
            "truncation": "none",
            "precision": self.precision,
        }
        if self.method == "differences":
            described["epsilon"] = self.epsilon
        if self.upsample:
            described["upsample"] = self.upsample
        if self.quantize:
            described["quantize"] = "256 levels"
        return described


METHODS: dict[Method, str] = {"differences": "finite differences", "tangent": "tangent"}
INTERPOLATIONS: dict[Interpolation, str] = {
    "slerp": "slerp",
    "slerp-norm": "slerp, lengths interpolated",
    "lerp": "lerp",
}
_ALLOWED = {
    "space": Space,
    "sampling": Sampling,
    "protocol": ProtocolName,
    "interpolation": Interpolation,
    "noise_mode": NoiseMode,
    "method": Method,
    "precision": Precision,
}
