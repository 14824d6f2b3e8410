"""Steps, seeds and layers as options name them: `-3..3:0.5`, `1,2,3`, `0-7`."""

import math
import re
from decimal import Decimal, InvalidOperation

from latentlab.directions.steps import check_steps
from latentlab.errors import UsageError

MOST_STEPS, MOST_SEEDS = 99, 99


def steps_of(text: str) -> list[float]:
    """`-3..3`, `-3..3:0.5` or `-2,-1,0,1,2` as numbers, each once.

    Raises:
        UsageError: The text has another form, or names too many steps, or too large ones, or an end that the stride
            does not reach.
    """
    if "..." in text:
        raise UsageError(f"--steps {text}: three dots may mean either; write two, and a stop of 0.3 as -3..0.3.")
    try:
        if ".." in text:
            start, _, rest = text.partition("..")
            stop, colon, stride = rest.partition(":")
            ends = [_decimal(part) for part in (start, stop, stride if colon else "1")]
            steps = _range(text, *ends)
        else:
            steps = [_decimal(part) for part in text.split(",")]
    except InvalidOperation:
        raise UsageError(f"--steps {text}: expected -3..3, -3..3:0.5 (with a stride) or -2,-1,0,1,2.") from None
    if len(steps) > MOST_STEPS:
        raise UsageError(f"--steps {text}: more than {MOST_STEPS} steps; take a larger stride.")
    if len(set(steps)) < len(steps):
        raise UsageError(f"--steps {text}: every step may be named only once.")
    return [float(step) for step in steps]


def _decimal(text: str) -> Decimal:
    value = Decimal(text.strip())
    check_steps([math.nan if value.is_nan() else float(value)], "--steps")
    return value


def _range(text: str, start: Decimal, stop: Decimal, stride: Decimal) -> list[Decimal]:
    """From start to stop, both included.

    Raises:
        InvalidOperation: There is no way from one to the other.
        UsageError: The stride does not reach the stop.
    """
    span = stop - start
    if span < 0 or stride <= 0:
        raise InvalidOperation
    if span > stride * (MOST_STEPS - 1):
        raise UsageError(f"--steps {text}: more than {MOST_STEPS} steps; take a larger stride.")
    if span % stride:
        raise UsageError(
            f"--steps {text}: a stride of {stride} does not reach {stop}; {_reaching(span, stride)} would."
        )
    return [start + number * stride for number in range(int(span / stride) + 1)]


def _reaching(span: Decimal, stride: Decimal) -> str:
    """The next smaller and the next larger stride that go into a span a whole number of times."""
    exact = [span / count for count in range(1, MOST_STEPS) if span / count * count == span and _is_short(span / count)]
    near = [
        max((step for step in exact if step < stride), default=None),
        min((s for s in exact if s > stride), default=None),
    ]
    return " or ".join(f"{step.normalize():f}" for step in near if step is not None)


def _is_short(value: Decimal) -> bool:
    """Whether a number has few digits after its point."""
    return value == round(value, 6)


def seeds_of(text: str) -> list[int]:
    """`1,2,3`, `1..3` or both mixed as whole numbers, each once.

    Raises:
        UsageError: The text has another form, or names too many seeds, or one that is too large.
    """
    seeds: list[int] = []
    for part in text.split(","):
        matched = re.fullmatch(r"\s*([+-]?\d{1,20})(?:\.\.([+-]?\d{1,20}))?\s*", part)
        if not matched or int(matched[2] or matched[1]) < int(matched[1]):
            raise UsageError(f"--seeds {text}: expected whole numbers such as 1,2,3 or 1..3.")
        first, last = int(matched[1]), int(matched[2] or matched[1])
        seeds += range(first, min(last, first + MOST_SEEDS) + 1)
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"--seeds {text}: more than {MOST_SEEDS} seeds.")
    if len(set(seeds)) < len(seeds) or not all(-(2**63) <= seed < 2**63 for seed in seeds):
        raise UsageError(f"--seeds {text}: every seed may be named only once, and must be between -2^63 and 2^63 - 1.")
    return seeds


def layers_of(text: str | None) -> tuple[int, ...] | None:
    """`0-3` or `0,2` as layers; None for all.

    Raises:
        UsageError: The text has another form.
    """
    if text is None:
        return None
    layers: set[int] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if not matched or int(matched[2] or matched[1]) < int(matched[1]):
            raise UsageError(f"--layers {text}: expected layers such as 0-3 or 0,2.")
        layers |= set(range(int(matched[1]), int(matched[2] or matched[1]) + 1))
    return tuple(sorted(layers))
