"""The command line: one file per step, in pipeline order; a command parses, makes its library calls and prints.

Nothing heavy is imported before a command runs, so that `latentlab --help` answers at once.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from latentlab.cli import (
    classifiers,
    data,
    demo,
    directions,
    disentanglement,
    doctor,
    edit,
    fid,
    figures,
    label,
    network_commands,
    ppl,
    report,
    runs,
    sample,
    separability,
    store,
    study,
    train,
    weights,
)
from latentlab.errors import LatentLabError, LatentLabWarning
from latentlab.files import DISK_FULL

SECTIONS = {
    "Start here": ("demo", "doctor", "weights"),
    "Images, generators, classifiers": ("data", "train", "runs", "networks", "classifiers"),
    "Labelled latents": ("sample", "label", "store"),
    "Measurements": ("separability", "directions", "edit", "disentanglement", "ppl", "fid"),
    "Pictures, and all results on one page": ("figures", "report"),
    "All of it": ("study",),
}  # the order of use
PIPELINE = tuple(name for names in SECTIONS.values() for name in names)
EPILOG = "Start with `latentlab demo`. Every command has its own --help with an example."


AFTER_INTERRUPT = {
    "demo": "; what was finished is kept, and the same command goes on from there",
    "ppl": "; pairs that were kept are not measured again by the same command",
    "fid": "; images that were kept are not made again by the same command",
    "study": "; what was finished is kept, and the same command goes on from there",
    "sample": "; finished rows are kept, and the same command goes on from there",
    "train": "; the same command with --resume goes on from the newest snapshot",
    "classifiers": "; a training goes on from where it was last saved by the same command with --resume, an import "
    "left nothing",
}


class Boundary(TyperGroup):
    """Where errors become one message and an exit status: 2 for wrong use, 1 for failure, 130 after Ctrl-C."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order in which they are used."""
        return sorted(super().list_commands(ctx), key=PIPELINE.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands into a help page, a section for each part of the way."""
        widest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            width = formatter.width - widest - 4
            rows = [(name.ljust(widest), self.commands[name].get_short_help_str(width)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except LatentLabError as error:
            _complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # the reader of our output has gone: nothing to say, and nobody to say it to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            where, command = error.filename or "input or output", str(ctx.invoked_subcommand)
            _complain(f"{where}: {error.strerror or error}.{_remedy(error, command)}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes speaks for all
                _complain(f"interrupted{AFTER_INTERRUPT.get(str(ctx.invoked_subcommand), '; nothing was changed')}.")
            raise typer.Exit(130) from None


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """LatentLab's own warnings are one line in its words; others keep Python's form."""
    before = warnings.formatwarning

    def form(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        if issubclass(category, LatentLabWarning):
            return f"latentlab: warning: {message}\n"
        return before(message, category, *place, **more)

    warnings.formatwarning = form
    try:
        yield
    finally:
        warnings.formatwarning = before


def _complain(message: str) -> None:
    print(f"latentlab: {message}", file=sys.stderr)


def _remedy(error: OSError, command: str) -> str:
    if error.errno in DISK_FULL:
        then = AFTER_INTERRUPT.get(command, "; nothing half-written was left: make room and run the command again")
        return f" The disk is full{then}."
    return ""


app = typer.Typer(
    cls=Boundary,
    help="How entangled is a generator's latent space, and how much does a mapping Z -> W straighten it?\n\n"
    "images -> train -> classifiers -> sample -> measure Z and W -> report",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the rich form of help pages costs a third of a second at every start
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"latentlab {version('latentlab')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


app.command("demo", short_help="Go the whole way from images to a report, in minutes.")(demo.demo)
app.command("doctor", short_help="Say what is here, and what would not work.")(doctor.doctor)
app.add_typer(weights.app, name="weights", short_help="List, fetch and check pretrained weights.")
app.add_typer(data.app, name="data", short_help="Make sets of images, and look at them.")
app.command("train", short_help="Train a generator.")(train.train)
app.command("runs", short_help="List training runs.")(runs.runs)
app.add_typer(network_commands.app, name="networks", short_help="Look into, convert and check networks of others.")
app.add_typer(classifiers.app, name="classifiers", short_help="Train, import and measure attribute classifiers.")
app.command("sample", short_help="Sample labelled latents into a store.")(sample.sample)
app.command("label", short_help="Label samples with scores of your own.")(label.label)
app.add_typer(store.app, name="store", short_help="Look into, check, join and export stores.")
app.command("separability", short_help="Measure linear separability.")(separability.separability)
app.command("directions", short_help="Find directions of attributes.")(directions.directions)
app.command("edit", short_help="Edit along directions, and measure what moves.")(edit.edit)
app.command("disentanglement", short_help="Measure MIG, DCI, SAP, modularity, explicitness.")(
    disentanglement.disentanglement
)
app.command("ppl", short_help="Measure perceptual path length.")(ppl.ppl)
app.command("fid", short_help="Measure FID and KID: distances to real images.")(fid.fid)
app.command("figures", short_help="Draw the paper's pictures of a network.")(figures.figures)
app.command("study", short_help="Repeat the paper's tables: train, measure, report.")(study.study)
app.command("report", short_help="Render results as a page and tables.")(report.report)


def main() -> None:
    """Entry point of the console script and of `python -m latentlab`."""
    app()
