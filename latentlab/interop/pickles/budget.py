"""What reading an untrusted file may cost: instructions, text, depth and time are counted, and end the reading."""

import hashlib
import time
from dataclasses import dataclass

from latentlab.errors import CheckpointError


class RefusedError(CheckpointError):
    """A file is not read on; the message lacks the file's name, which who opened it puts in front."""


@dataclass(frozen=True)
class Limits:
    """How much a file may ask for.

    The largest official files have some 380 MB and 100,000 instructions, and are read in seconds.

    Attributes:
        file_bytes: Size of the file.
        steps: Pickle instructions, nested tensor streams included, and items copied.
        text_bytes: Text in all, UTF-8.
        plain_chars: Text in the networks' settings, where every mention counts.
        depth: Of modules in each other, and of lists and dicts in settings.
        seconds: Time limit of the reading.
    """

    file_bytes: int = 4 << 30
    steps: int = 1_000_000
    text_bytes: int = 64 << 20
    plain_chars: int = 16 << 20
    depth: int = 64
    seconds: float = 120.0


class Budget:
    """What is left of the limits while one file is read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.steps = self.text_bytes = self.plain_chars = self.copied_bytes = 0
        self._deadline = time.monotonic() + limits.seconds
        self._hashes: dict[int, tuple[str, str]] = {}

    def step(self, count: int = 1) -> None:
        """Count instructions or items, and look at the clock.

        Raises:
            RefusedError: There were too many, or time is up.
        """
        self.steps += count
        if self.steps > self.limits.steps:
            raise RefusedError(
                f"takes more than {self.limits.steps:,} steps to read; official files take a tenth of that."
            )
        if time.monotonic() > self._deadline:
            raise RefusedError(f"was not read within {self.limits.seconds:g} s, the time limit.")

    def text(self, size: int) -> None:
        """Count bytes of text that are about to be decoded.

        Raises:
            RefusedError: They are too many.
        """
        self.text_bytes += size
        self._check("text", self.text_bytes, self.limits.text_bytes)

    def plain(self, characters: int) -> None:
        """Count a value in a network's settings, and its characters.

        Raises:
            RefusedError: They are too many.
        """
        self.step()
        self.plain_chars += characters
        self._check("text in its settings", self.plain_chars, self.limits.plain_chars)

    def copy(self, size: int) -> None:
        """Count bytes that are about to be copied; they share the limit of text.

        Raises:
            RefusedError: They are too many.
        """
        self.copied_bytes += size
        self._check("encoded bytes", self.copied_bytes, self.limits.text_bytes)

    def text_sha256(self, text: str) -> str:
        """SHA-256 of a text as UTF-8; one that is shared by many modules is hashed once."""
        known = self._hashes.get(id(text))
        if known is None:  # the text is kept beside its hash, so that its id cannot go to another
            known = self._hashes[id(text)] = (text, hashlib.sha256(text.encode()).hexdigest())
        return known[1]

    @staticmethod
    def _check(what: str, found: int, allowed: int) -> None:
        if found > allowed:
            raise RefusedError(f"holds more than {allowed >> 20} MiB of {what}; official files hold less than 1 MiB.")
