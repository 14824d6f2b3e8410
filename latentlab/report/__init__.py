"""Results as a report: one self-contained page, and its tables as files. Never reaches torch.

runs = [read_run("runs/style-8"), read_run("runs/traditional-0")]
render_report(runs, Path("report"))
"""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentlab.errors import OutputExistsError, UsageError
from latentlab.files import atomic_folder, refuse_existing
from latentlab.report.inputs import ReportRun, read_card, read_run
from latentlab.report.page import GENERATOR, page
from latentlab.report.tables import markdown_page, tidy

__all__ = ["ReportRun", "read_card", "read_run", "render_report"]

FILES = ("index.html", "tables.md", "tables.csv")
"""What a report folder holds."""

TITLE = "How much does the mapping straighten the latent space?"


def render_report(
    runs: Sequence[ReportRun],
    out: Path | str,
    *,
    title: str = TITLE,
    cards: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write index.html, tables.md and tables.csv into the folder `out` and return the path of index.html.

    Args:
        runs: From `read_run`, in the order to be shown.
        out: A folder that is free, or with `overwrite` a report written earlier.
        title: Heading of the page.
        cards: From `read_card`, of the classifiers behind the separability scores.
        notes: Sentences shown prominently at the top, such as how short the training was.
        overwrite: Replace an earlier report, at once and as a whole.

    Raises:
        UsageError: no runs were given.
        OutputExistsError: `out` is taken and is not a report to be replaced; nothing was touched.
    """
    if not runs:
        raise UsageError("no runs were given: a report needs at least one run folder, such as runs/NAME.")
    out = Path(out).resolve()
    replaces = _is_replaceable(out) if overwrite else False
    if not replaces:
        refuse_existing(out)
    named = _distinct_names(runs)
    content = (page(title, named, cards=cards, notes=notes), markdown_page(title, named, cards), _csv(named))
    _replace(out, content) if replaces else _write(out, content)
    return out / FILES[0]


def _csv(runs: Sequence[ReportRun]) -> str:
    return tidy(runs).to_csv(index=False, lineterminator="\n")


def _write(out: Path, content: Sequence[str]) -> None:
    with atomic_folder(out) as folder:
        for name, text in zip(FILES, content, strict=True):
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _replace(out: Path, content: Sequence[str]) -> None:
    """Write beside the earlier report, then put the new folder in its place; the earlier one returns on failure."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
        fresh, earlier = Path(beside) / "fresh", Path(beside) / "earlier"
        _write(fresh, content)
        out.rename(earlier)
        try:
            fresh.rename(out)
        except BaseException:
            earlier.rename(out)
            raise


def _is_replaceable(out: Path) -> bool:
    """Whether `out` is a folder with a report and nothing else; False where it is free.

    Raises:
        OutputExistsError: it is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    index = out / FILES[0]
    if (
        not index.is_file()
        or f'name="generator" content="{GENERATOR}' not in index.read_text("utf-8", "replace")[:4096]
    ):
        raise OutputExistsError(f"{out} exists, is not a report and was left as it is: name another --out.")
    others = sorted(path.name for path in out.iterdir() if path.name not in FILES)
    if others:
        raise OutputExistsError(
            f"{out} holds a report but also {', '.join(others[:3])}, which no report wrote, and was left as it is: "
            "move these files away or name another --out."
        )
    return True


def _distinct_names(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """Runs whose folders have the same name go by their whole path."""
    names = Counter(run.name for run in runs)
    return [dataclasses.replace(run, name=str(run.folder)) if names[run.name] > 1 else run for run in runs]
