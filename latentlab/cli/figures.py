"""`latentlab figures`: the paper's pictures of a network."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from latentlab.cli import completion
from latentlab.cli.options import Device, Seed, torch_device
from latentlab.cli.stores import find_store
from latentlab.errors import UsageError
from latentlab.zoo import DEFAULT_CLASSIFIERS, bundled_network, bundled_record, is_bundled

UNITS = {"corner": "spaces", "directions": "strips", "cosines_z": "fits", "cosines_w": "fits", "curves": "runs"}
"""What the progress of a figure counts, if not images."""


def figures(
    out: Annotated[Path, typer.Option(help="The folder to make; it must not exist.")],
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own package.module:factory; "
            "the newest run if left out.",
            autocompletion=completion.networks,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Which figures, with commas between them: samples, scales, mixing, noise, layers, truncation, "
            "interpolation, corner, directions, cosines_z, cosines_w, curves; all if left out."
        ),
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Truncation psi of all figures but truncation and interpolation; 1 for none.")
    ] = 1.0,
    draws: Annotated[int, typer.Option(help="Draws of noise of which the deviation is taken.", min=4)] = 100,
    pairs: Annotated[int, typer.Option(help="Pairs between which is interpolated.", min=1, max=64)] = 4,
    distance: Annotated[
        str | None,
        typer.Option(
            help="Of the speeds of interpolation, as in `latentlab ppl`: lpips-vgg, classifier:FOLDER, ...; left out, "
            "the bundled classifiers' for bundled networks, and the mean squared pixel difference for others."
        ),
    ] = None,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder with the weights of VGG16, ...")] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Labelled samples of the network, for corner, directions, cosines; the run's own run.h5 if left out.",
            autocompletion=completion.stores,
        ),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            help="Of corner: two, such as Male,Smiling, or with the combination to look at, Male=1,Smiling=0; those of "
            "`train --without` if left out."
        ),
    ] = None,
    directions: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file that `latentlab directions` wrote, for directions and cosines; may be given for Z and for W. "
            "The run's own directions-z.npz and directions-w.npz if left out, or else found in the store."
        ),
    ] = None,
    edits: Annotated[int, typer.Option(help="Attributes in directions, the strongest ones.", min=1, max=16)] = 4,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Another run whose training curves are drawn beside the network's own; may be given several times.",
            autocompletion=completion.run_folders,
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format", help="png,svg,pdf: PNG is always written; curves and points are vectors in SVG and PDF."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was drawn as JSON lines.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the figures of the StyleGAN paper for a network: samples, style mixing, noise, truncation, interpolation;
    the missing corner and attribute directions by its labelled samples; training curves.

    The folder holds a PNG file for each, and figures.json with settings and captions. What a network has nothing to
    show of, such as noise where it has none, is left out and said so.

    \b
    Example:
      latentlab figures --network style-8 --out figures
      latentlab figures --network ffhq.pkl --only mixing,truncation --truncation 0.7 --out ffhq-figures
      latentlab figures --network missing-corner --only corner --attributes Male,Smiling --format png,svg --out corner
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import open_network
    from latentlab.cli.outputs import check_outputs
    from latentlab.cli.ppl import open_distance
    from latentlab.figures import (
        OF_DIRECTIONS,
        OF_STORE,
        FigureSettings,
        Sources,
        figure_names,
        formats_of,
        save_figures,
    )
    from latentlab.files import refuse_existing

    names, kinds = figure_names(only), formats_of(formats)
    settings = FigureSettings(seed=seed, truncation_psi=truncation, noise_draws=draws, num_pairs=pairs, num_edits=edits)
    named = {
        "--distance": (distance, ("interpolation",)),
        "--store": (store, OF_STORE),
        "--attributes": (attributes, ("corner",)),
        "--directions": (directions, OF_DIRECTIONS),
        "--compare": (compare, ("curves",)),
    }
    _refuse_idle(named, names, only)
    store = None if store is None else find_store(store)
    pair = attributes_of(attributes)
    check_outputs({}, folders={"--out": out}, inputs=[path for path in (store, *(directions or [])) if path])
    refuse_existing(out)
    compared = tuple(map(run_folder, compare or []))
    chosen = torch_device(device)
    generator, name, folder = open_network(network, chosen)
    run = _run_of(folder)
    sources = Sources(run, store, tuple(directions or ()), compared, pair, bundled=bundled_record(run))
    if distance is None and (sources.bundled or is_bundled(run)):
        distance = f"classifier:{DEFAULT_CLASSIFIERS}"
    measure = open_distance(distance, weights_dir, chosen) if distance and "interpolation" in names else None
    record = save_figures(
        out,
        generator,
        name,
        names=names,
        settings=settings,
        distance=measure,
        sources=sources,
        formats=kinds,
        device=chosen,
        progress=lambda figure: progress_bar(f"Figure {figure}", UNITS.get(figure, "images")),
    )
    _tell(record, as_json=as_json)
    say(f"wrote {out}")


def attributes_of(text: str | None) -> tuple[tuple[str, bool | None], ...]:
    """`Male=1,Smiling=0` -> (("Male", True), ("Smiling", False)); `Male,Smiling` with None for both; () for None.

    Raises:
        UsageError: The text has another form.
    """
    if text is None:
        return ()
    values = {"": None, "1": True, "+1": True, "0": False, "-1": False}
    pairs = [part.strip().partition("=") for part in text.split(",")]
    wrong = any(not name or value not in values or (equals and not value) for name, equals, value in pairs)
    if wrong or len(pairs) != 2 or pairs[0][0] == pairs[1][0] or bool(pairs[0][1]) != bool(pairs[1][1]):
        raise UsageError(
            f"--attributes {text}: expected two attributes, such as Male,Smiling, or with the combination to look at, "
            "such as Male=1,Smiling=0."
        )
    return tuple((name, values[value]) for name, _, value in pairs)


def run_folder(name: str) -> Path:
    """The run that `--compare` names: a folder, a name under runs/, or a bundled network.

    Raises:
        UsageError: There is none.
    """
    from latentlab.checkpoint import RUNS

    for path in (Path(name), RUNS / name):
        if (path / "stats.jsonl").is_file():
            return path
    if bundled := bundled_network(name):
        return bundled
    raise UsageError(f"--compare {name}: no run with statistics of training is here, nor is one under {RUNS}/.")


def _run_of(network: Path) -> Path:
    """The run folder of a network folder, also by the link to the best snapshot; else the network folder itself."""
    from latentlab.cli.networks import beside

    return beside(network.resolve() if network.is_symlink() else network, "config.json").parent


def _refuse_idle(named: Mapping[str, tuple[Any, Sequence[str]]], names: Sequence[str], only: str | None) -> None:
    """An option is for some figures, of which one at least must be drawn."""
    for option, (value, figures) in named.items():
        if value and not set(figures) & set(names):
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            raise UsageError(f"{option} {shown} is for {', '.join(figures)}, which --only {only} leaves out.")


def _tell(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        lines = [{"network": record["network"], **figure} for figure in (*record["figures"], *record["left_out"])]
        print(*(json.dumps(line, ensure_ascii=False) for line in lines), sep="\n")
        return
    for figure in record["figures"]:
        print(f"{', '.join(figure['files'])}, {figure['width']} x {figure['height']} pixels: {figure['caption']}")
    for one in record["left_out"]:
        print(f"{one['name']} was left out: {one['reason']}")
