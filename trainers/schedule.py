"""What the number of images seen decides: level of detail, resolution, minibatch and learning rate."""

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """Progressive growing: every resolution trains for `stable_kimg`, then the next fades in over `fade_kimg`.

    Times are in thousands of real images shown to the discriminator. `minibatch` and `learning_rate` hold values for
    single resolutions; others take the base value. The defaults are the official ones for eight GPUs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    initial_resolution: int = Field(8, ge=4)
    stable_kimg: float = Field(600, ge=0)
    fade_kimg: float = Field(600, ge=0)
    minibatch_base: int = Field(32, ge=1)
    minibatch: dict[int, int] = {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}
    learning_rate_base: float = Field(0.001, gt=0)
    learning_rate: dict[int, float] = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}


@dataclass(frozen=True)
class Phase:
    """Where the schedule stands."""

    lod: float
    resolution: int
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
    return Phase(
        lod=lod,
        resolution=level,
        minibatch=schedule.minibatch.get(level, schedule.minibatch_base),
        learning_rate=schedule.learning_rate.get(level, schedule.learning_rate_base),
    )
