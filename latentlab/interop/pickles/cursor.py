"""A place in bytes that moves on: everything asked for is checked against what is there, and nothing is copied."""

from latentlab.interop.pickles.budget import RefusedError

_LONGEST_LINE = 256


def shown(text: str, longest: int = 100) -> str:
    """Text out of a file for a message or a terminal: cut, and without control characters."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut)


class Cursor:
    """A reading position in a memoryview of bytes."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position = data, 0

    @property
    def left(self) -> int:
        """How many bytes follow."""
        return len(self.data) - self.position

    def take(self, count: int) -> memoryview:
        """The next bytes, as a view.

        Raises:
            RefusedError: There are not that many.
        """
        if count > self.left:
            raise RefusedError(
                f"wants {count:,} bytes at byte {self.position:,}, where {self.left:,} are left: it is cut short or "
                "damaged, as after a download that broke off; fetch it again."
            )
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, size: int) -> int:
        """The next bytes as an unsigned little-endian number."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        """Text up to the next line feed, which is passed.

        Raises:
            RefusedError: None comes within 256 bytes, or the text is no UTF-8.
        """
        ahead = bytes(self.data[self.position : self.position + _LONGEST_LINE])
        length = ahead.find(b"\n")
        if length < 0:
            raise RefusedError(f"has a name without an end at byte {self.position:,}: it is cut short or damaged.")
        self.position += length + 1
        return decoded(memoryview(ahead)[:length])


def decoded(data: memoryview) -> str:
    """UTF-8 as text.

    Raises:
        RefusedError: It is none.
    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"has text that is no UTF-8 ({error.reason}): it is damaged.") from error
