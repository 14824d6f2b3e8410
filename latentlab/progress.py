"""How long work tells its caller how far it is, without knowing what shows it."""

from typing import Protocol


class Progress(Protocol):
    """Called after every step of long work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units are finished; `note` is a few words such as the current loss."""


def silent(done: int, total: int, note: str = "") -> None:
    """Show nothing; the default wherever a `progress` argument is taken."""
