"""What stands in a study's tables: measured values by seed, their mean and its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import geometric_mean, stdev

from scipy import stats

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Number:
    """One measured value.

    Attributes:
        value: Itself; of separability over the attributes that are scored everywhere in its table.
        ci95: Of the measurement.
        trusted: Whether there were samples enough for the interval to be judged by (docs/separability.md).
    """

    value: float
    ci95: Interval
    trusted: bool = True


@dataclass(frozen=True)
class Cell:
    """What stands in a table.

    Attributes:
        numbers: By seed; a seed whose measurement is missing is left out.
        paper: The published number.
    """

    numbers: Mapping[int, Number]
    paper: float | None = None

    @property
    def value(self) -> float | None:
        """The geometric mean over seeds: all that stands in the tables is positive, and compared by ratios."""
        values = [number.value for number in self.numbers.values()]
        return geometric_mean(values) if values and min(values) > 0 else None

    @property
    def ci95(self) -> Interval:
        """Of the mean over seeds, or of the measurement where there is one seed."""
        numbers = list(self.numbers.values())
        if len(numbers) < 2 or self.value is None:
            return numbers[0].ci95 if numbers else None
        spread = stdev(math.log(number.value) for number in numbers) / math.sqrt(len(numbers))
        half = float(stats.t.ppf(0.975, len(numbers) - 1)) * spread
        return self.value * math.exp(-half), self.value * math.exp(half)
