"""docs/troubleshooting.md quotes messages as they are, and names options and variables that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
OF_OTHERS = ("operator torchvision::nms does not exist", "undefined symbol", "no kernel image is available", "Killed",
             "latentlab runs")  # fmt: skip


def _source():
    """All source code, with strings that were broken over lines put together again."""
    files = [
        path for folder in ("latentlab", "trainers", "attribute_classifiers") for path in (ROOT / folder).rglob("*.py")
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\n\s+f?"', "", text)


SOURCE = _source()


def _quoted():
    """Parts of messages that the first columns of the tables quote, `...` standing for what differs."""
    for row in re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE):
        for message in re.findall(r"`(.+?)`", row):
            yield from (
                part.strip() for part in message.split("...") if part.strip(" :,()") and message not in OF_OTHERS
            )


@pytest.mark.parametrize("part", list(_quoted()))
def test_quoted_messages_are_in_the_code(part):
    assert part.removeprefix("--device cuda: ") in SOURCE  # the value of the option is put in


def test_enough_is_quoted():
    assert len(list(_quoted())) >= 12
