"""A report's folder: it appears at once, and only what a report wrote is ever replaced."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from latentlab.errors import OutputExistsError
from latentlab.files import atomic_folder, refuse_existing
from latentlab.report.documents import MARK

FILES = ("index.html", "tables.md", "tables.csv", "report.md", "report.tex", "references.bib", "report.pdf")
"""What a report's folder may hold, besides the folders `pictures` and `tables` with what its documents name."""

FOLDERS = ("pictures", "tables")
_MARKED = {"index.html": f'name="generator" content="{MARK}', "report.md": f"<!-- {MARK}", "report.tex": f"% {MARK}"}
_HEAD = "run,arch,mapping_layers,metric,value,ci95_low,ci95_high"


def check_place(out: Path, *, overwrite: bool) -> bool:
    """Whether there is an earlier report at `out` that is to be replaced; False where the place is free.

    Raises:
        OutputExistsError: `out` is taken and is not a report, or not one alone, or `overwrite` is off.
    """
    if not overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        refuse_existing(out)
        return False
    if not out.is_dir() or not _is_report(out):
        raise OutputExistsError(f"{out} exists, is not a report and was left as it is: name another --out.")
    others = _others(out)
    if others:
        raise OutputExistsError(
            f"{out} holds a report but also {', '.join(others[:3])}, which no report wrote, and was left as it is: "
            "move these files away or name another --out."
        )
    return True


def write_folder(out: Path, files: Mapping[str, bytes], *, replace: bool) -> None:
    """Write files by their places in the folder, which appears with all of them; an earlier one returns on failure."""
    if not replace:
        _write(out, files)
        return
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        fresh, earlier = Path(beside) / "fresh", Path(beside) / "earlier"
        _write(fresh, files)
        out.rename(earlier)
        try:
            fresh.rename(out)
        except BaseException:
            earlier.rename(out)
            raise


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    with atomic_folder(out) as folder:
        for place, content in files.items():
            path = folder / place
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def _is_report(out: Path) -> bool:
    """Whether any of the files says so; tables.csv, which all reports have, does by its columns."""
    if _start(out / "tables.csv").startswith(_HEAD):
        return True
    return any(mark in _start(out / name) for name, mark in _MARKED.items())


def _start(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(4096).decode("utf-8", "replace")


def _others(out: Path) -> list[str]:
    """What no report wrote: other files, and pictures and tables that neither report.md nor report.tex names."""
    documents = [out / name for name in ("report.md", "report.tex")]
    named = "".join(path.read_text("utf-8", "replace") for path in documents if path.is_file())
    others = [path.name for path in out.iterdir() if path.name not in (*FILES, *FOLDERS)]
    for folder in FOLDERS:
        if (out / folder).is_dir():
            inner = [path.relative_to(out).as_posix() for path in (out / folder).rglob("*")]
            others += [name for name in inner if not any(f"{mark[0]}{name}{mark[1]}" in named for mark in ("()", "{}"))]
    return sorted(others)
