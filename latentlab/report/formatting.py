"""How numbers look in words, tables and captions."""

import math
from collections.abc import Sequence
from typing import Any

NONE = "–"
_SMALL, _LARGE = 1e-4, 1e6
"""Below and from where on numbers are written with a power of ten."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, *, like: float | None = None) -> str:
    """Three to four significant digits, with as many decimals as `like` (by default `value` itself) would get."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value) if not like or not math.isfinite(like) else abs(like)
    if value and (size < _SMALL or max(size, abs(value)) >= _LARGE):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return f"{value:z,.{_decimals(size)}f}"


def _decimals(size: float) -> int:
    """Of numbers as large as `size`: three significant digits below 0.1, three decimals from there to 1."""
    if size < 1:
        return 3 if size < _SMALL else max(3, 2 - math.floor(math.log10(size)))
    return 0 if size >= 1000 else 1 if size >= 100 else 2


def interval(ci95: Sequence[float | None] | None, *, like: float | None = None) -> str:
    """A 95 % interval as `[low, high]`, or an empty text where an end is missing."""
    if ci95 is None or len(ci95) != 2 or any(end is None or not math.isfinite(end) for end in ci95):
        return ""
    return f"[{number(ci95[0], like=like)}, {number(ci95[1], like=like)}]"


def count(value: int | None) -> str:
    """A whole number with thousands separated."""
    return NONE if value is None else f"{value:,}"


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as per cent with one decimal."""
    return NONE if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.1f} %"


def percent_interval(ci95: Sequence[float | None] | None) -> str:
    """An interval of fractions as `[low, high]` in per cent, or an empty text where an end is missing."""
    if ci95 is None or ci95[0] is None or ci95[1] is None:
        return ""
    return f"[{100 * ci95[0]:.1f}, {100 * ci95[1]:.1f}]"


def times(ratio: float) -> str:
    """A ratio as in `2.1 times`."""
    return f"{ratio:.2f} times" if ratio < 1.095 else f"{ratio:.1f} times" if ratio < 99.5 else f"{ratio:,.0f} times"


def plain(value: Any) -> str:
    """A setting's value as a table shows it."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or NONE
    return str(value)


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def attribute(name: str) -> str:
    """An attribute's name in words: `Wearing_Hat` -> `Wearing Hat`."""
    return name.replace("_", " ")


def listing(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
