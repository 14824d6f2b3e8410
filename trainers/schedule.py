"""What the number of images seen decides: level of detail, resolution, minibatch and learning rate."""

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Schedule(BaseModel):
    """Progressive growing: every resolution trains for `stable_kimg`, then the next fades in over `fade_kimg`.

    Times are in thousands of real images shown to the discriminator. `minibatch` and `learning_rate` hold values for
    single resolutions; others take the base value. The defaults are the official ones for eight GPUs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    initial_resolution: int = Field(8, ge=4)
    stable_kimg: float = Field(600, ge=0, allow_inf_nan=False)
    fade_kimg: float = Field(600, ge=0, allow_inf_nan=False)
    minibatch_base: int = Field(32, ge=1)
    minibatch: dict[int, int] = {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}
    learning_rate_base: float = Field(0.001, gt=0, allow_inf_nan=False)
    learning_rate: dict[int, float] = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}

    @field_validator("initial_resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two: 4, 8, 16, ..., 1024")
        return value

    @field_validator("minibatch", "learning_rate")
    @classmethod
    def _levels(cls, values: dict[int, float]) -> dict[int, float]:
        for level, value in values.items():
            if level < 4 or level & (level - 1):
                raise ValueError(f"{level} is no resolution: 4, 8, 16, ..., 1024 are")
            if not 0 < value < math.inf:
                raise ValueError(f"{value} at {level} pixels must be more than 0")
        return values

    def growth_kimg(self, resolution: int) -> float:
        """Thousands of images until the full resolution has faded in."""
        return max(math.log2(resolution / self.initial_resolution), 0) * (self.stable_kimg + self.fade_kimg)


@dataclass(frozen=True)
class Phase:
    """Where the schedule stands."""

    lod: float
    resolution: int
    minibatch: int
    learning_rate: float


@dataclass(frozen=True)
class PlannedPhase:
    """A stretch of training at one resolution, either fading it in or training it unfaded; kimg are where it is."""

    resolution: int
    fading: bool
    start_kimg: float
    end_kimg: float
    minibatch: int
    learning_rate: float


def phase_at(schedule: Schedule, resolution: int, num_images: int) -> Phase:
    """The schedule after `num_images` real images, for a network of full `resolution` (official training_schedule).

    The lod falls by one per stable_kimg + fade_kimg, in its last fade_kimg; `Phase.resolution` belongs to floor(lod),
    so it doubles as soon as a fade begins.
    """
    length = schedule.stable_kimg + schedule.fade_kimg
    kimg = num_images / 1000
    index = math.floor(kimg / length) if length else 10**6
    lod = math.log2(resolution) - math.log2(min(schedule.initial_resolution, resolution)) - index
    if schedule.fade_kimg:
        lod -= max(kimg - index * length - schedule.stable_kimg, 0) / schedule.fade_kimg
    lod = max(lod, 0.0)
    level = resolution >> math.floor(lod)
    return Phase(lod, level, *_rates(schedule, level))


def phases(schedule: Schedule, resolution: int, total_kimg: float) -> list[PlannedPhase]:
    """All stretches of a training, in order."""
    level, start, plan = min(schedule.initial_resolution, resolution), 0.0, list[PlannedPhase]()

    def add(*, fading: bool, length: float) -> None:
        nonlocal start
        end = min(start + length, total_kimg)
        if end > start:
            plan.append(PlannedPhase(level, fading, start, end, *_rates(schedule, level)))
            start = end

    while level < resolution:
        add(fading=False, length=schedule.stable_kimg)
        level *= 2
        add(fading=True, length=schedule.fade_kimg)
    add(fading=False, length=math.inf)
    return plan


def _rates(schedule: Schedule, level: int) -> tuple[int, float]:
    return (
        schedule.minibatch.get(level, schedule.minibatch_base),
        schedule.learning_rate.get(level, schedule.learning_rate_base),
    )
