"""`latentlab report`: everything measured about some runs, as a page and as tables."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, in the order to be shown.")],
    out: Annotated[Path, typer.Option(help="Folder for index.html, tables.md and tables.csv.")] = Path("report"),
    classifiers: Annotated[
        list[str] | None, typer.Option(help="Classifiers whose cards to show; may be given several times.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report.")] = False,
) -> None:
    """Render results, samples, interpolations and training curves of runs as one self-contained page.

    \b
    Example:
      latentlab report runs/traditional-0 runs/style-8 --classifiers classifiers/quick --out report
    """
    from attribute_classifiers.network import find_classifiers
    from latentlab.previews import refresh_previews
    from latentlab.report import TITLE, read_card, read_run, render_report

    for run in runs:
        refresh_previews(run)
    page = render_report(
        [read_run(run) for run in runs],
        out,
        title=title or TITLE,
        cards=[read_card(find_classifiers(name)) for name in classifiers or []],
        overwrite=overwrite,
    )
    print(page)
