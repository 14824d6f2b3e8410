"""`latentlab report`: everything measured about some runs, as a page and as tables."""

from pathlib import Path
from typing import Annotated

import typer

from latentlab.cli import completion
from latentlab.zoo import bundled_network, bundled_record


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, folders of converted networks, official files, or your own package.module:factory, in "
            "the order to be shown.",
            autocompletion=completion.run_folders,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    classifiers: Annotated[
        list[str] | None,
        typer.Option(
            help="Classifiers whose cards to show; may be given several times.", autocompletion=completion.classifiers
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="With commas between them: html (one page, and its tables as files), md, tex, pdf (the page, printed "
            "by Chromium or Chrome).",
        ),
    ] = "html",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report.")] = False,
) -> None:
    """Render results, samples, interpolations and training curves of runs as one self-contained page.

    Pictures that `latentlab figures` left in a run's folder `figures` are shown, too.

    \b
    Example:
      latentlab report runs/traditional-0 runs/style-8 --classifiers classifiers/quick --out report
      latentlab report runs/style-8 --format html,md,tex,pdf --out report-all
    """
    from attribute_classifiers.network import find_classifiers
    from latentlab.report import DOCUMENTS, TITLE, check_formats, read_card, read_run, render_report

    asked = [part.strip() for part in formats.split(",")]
    check_formats(asked)
    folders = [_refreshed(run) for run in runs]
    first = render_report(
        [read_run(folder) for folder in folders],
        out,
        title=title or TITLE,
        cards=[read_card(find_classifiers(name)) for name in classifiers or []],
        formats=asked,
        overwrite=overwrite,
    )
    for name in dict.fromkeys(asked):
        print(first.with_name(DOCUMENTS[name]))


def _refreshed(run: str) -> Path:
    """The folder that a run or a user's generator is reported from, its previews those of the network as it is now."""
    from latentlab.cli.display import say
    from latentlab.cli.networks import open_network
    from latentlab.cli.options import torch_device
    from latentlab.interop.factories import names_factory
    from latentlab.interop.generators import save_bundled_description, save_description
    from latentlab.interop.official_networks import is_network_file
    from latentlab.previews import drawing, previews_show, refresh_previews, save_previews

    device = torch_device("auto")
    if names_factory(run) or is_network_file(run):
        generator, name, folder = open_network(run, device)
        save_description(folder, generator, name, origin=Path(run).name if is_network_file(run) else None)
    elif found := _of_bundled(run):
        folder, record = found
        generator, name, _ = open_network(str(record), device)
        save_bundled_description(folder, generator, name)
    else:
        refresh_previews(Path(run), device=device, say=say)
        return Path(run)
    if not previews_show(folder / "previews.npz", name.sha256):
        say(drawing(name.name))
        save_previews(folder / "previews.npz", generator, sha256=name.sha256, device=device)
    return folder


def _of_bundled(run: str) -> tuple[Path, Path] | None:
    """The folder for what is measured of the bundled network that is meant by name or folder, and the network's own."""
    from latentlab.checkpoint import RUNS

    if not Path(run).is_dir() and not bundled_network(run):
        return None
    folder = Path(run) if Path(run).is_dir() else RUNS / run
    record = bundled_record(folder)
    return None if record is None else (folder, record)
