"""`latentlab edit`: images edited along attribute directions, and what else the edits move."""

import json
import math
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentlab.cli import completion
from latentlab.cli.number_lists import layers_of, seeds_of, steps_of
from latentlab.cli.options import Device, Json, Overwrite, torch_device
from latentlab.errors import LatentLabWarning, UsageError

if TYPE_CHECKING:
    from latentlab.directions.editing import Edit
    from latentlab.directions.form import Directions
    from latentlab.directions.rescoring import Rescoring

Noise = Literal["random", "const", "none"]
"""Where the noise inputs come from."""

NAMED = 2  # side effects that the table names
WHOLE = 6  # measured attributes up to which the table shows all


def edit(
    directions: Annotated[
        list[Path], typer.Option(help="A file that `latentlab directions` wrote; several to compare Z and W.")
    ],
    attribute: Annotated[
        list[str],
        typer.Option(
            help="An attribute to edit; may be given several times. `all` is all but the hardly known, which may be "
            "named besides."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The picture of strips to make: a .png, .svg or .pdf file.")],
    network: Annotated[
        str | None,
        typer.Option(
            help="A run folder, a snapshot, a name under runs/, an official file, or your own "
            "package.module:factory; the newest run if left out.",
            autocompletion=completion.networks,
        ),
    ] = None,
    classifiers: Annotated[
        str | None,
        typer.Option(
            help="What measures the edits, as in `latentlab sample`; the newest classifiers if left out, `none` to "
            "draw only.",
            autocompletion=completion.labellers,
        ),
    ] = None,
    steps: Annotated[
        str,
        typer.Option(
            help="How far to go, in standard deviations along the direction, up to 1,000: -3..3, -3..3:0.5, or "
            "-2,-1,0,1,2."
        ),
    ] = "-3..3",
    seeds: Annotated[str, typer.Option(help="Of the latents in the strips: 1,2,3 or 1..3.")] = "1..3",
    layers: Annotated[
        str | None, typer.Option(help="Edit these layers only, such as 0-3 or 0,2; for directions in W.")
    ] = None,
    truncation: Annotated[float, typer.Option(help="Truncation psi; 1 for none.")] = 1.0,
    noise: Annotated[Noise, typer.Option(help="random (the same along a strip), const, none.")] = "random",
    num_samples: Annotated[int, typer.Option(help="Latents that are edited to be measured.", min=2)] = 256,
    reach: Annotated[float, typer.Option(help="Steps to either side over which moves are measured.")] = 1.0,
    table: Annotated[Path | None, typer.Option(help="A .csv file to make: all moves with their intervals.")] = None,
    rescoring_heatmap: Annotated[Path | None, typer.Option(help="Draw all moves: a .png, .svg or .pdf file.")] = None,
    any_network: Annotated[
        bool, typer.Option("--any-network", help="Take directions of another network, if dimensions agree.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Of the latents that are measured, and of the bootstrap.")] = 0,
    device: Device = "auto",
) -> None:
    """Draw images edited along attribute directions, and measure how far the target and all other attributes moved.

    \b
    Example:
      latentlab edit --network runs/style-8 --directions directions-z.npz --directions directions-w.npz \\
        --attribute Smiling --steps -3..3 --seeds 1,2,3 --out smile.png
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.networks import open_labeller, open_network
    from latentlab.cli.outputs import all_or_none
    from latentlab.directions.editing import Editor, check_network, check_truncation, edits_along, render_edits
    from latentlab.directions.form import load_directions
    from latentlab.directions.rescoring import rescore_edits
    from latentlab.directions.strips import check_strips, save_strips

    walk, rows, reached = steps_of(steps), seeds_of(seeds), layers_of(layers)
    measured = classifiers != "none"
    _check_outputs(out, table, rescoring_heatmap, directions, measured=measured, overwrite=overwrite)
    sources = sources_of(directions)
    found = [load_directions(path) for path in directions]
    spaces = [one.space for one in found]
    sources = [source if spaces.count(space) > 1 else "" for source, space in zip(sources, spaces, strict=True)]
    named = [name for name in attribute if name != "all"]
    edits = edits_along(found, None if "all" in attribute else named, sources=sources, besides=named)
    _check_layers(edits, reached)
    chosen = torch_device(device)
    generator, name, _ = open_network(network, chosen)
    for one in found:
        check_network(one, generator, name, any_network=any_network)
    editor = Editor(generator, chosen, truncation_psi=truncation, noise_mode=noise, layers=reached, network=name)
    for one in found:
        check_truncation(one, truncation)
    check_strips(
        generator.img_resolution,
        edits,
        rows=len(rows),
        columns=len(walk),
        measured=measured,
        heading=editor.description,
    )
    labeller = open_labeller(classifiers, chosen, channels=generator.img_channels)
    say(f"network {name.name}, classifiers {labeller.name if labeller else 'none'}")
    if "all" in attribute:
        _tell_left_out(found, edits)
    rescoring = None
    if labeller is not None:
        with progress_bar("Re-scoring", "images") as progress:
            rescoring = rescore_edits(
                editor, labeller, edits, num_samples=num_samples, reach=reach, seed=seed, progress=progress
            )
    with progress_bar("Editing", "strips") as progress:
        images = render_edits(editor, edits, steps=walk, seeds=rows, progress=progress)
    notes = None if rescoring is None else [_note(rescoring, number) for number in range(len(edits))]
    written = [out]
    with all_or_none([out, table, rescoring_heatmap]):
        save_strips(out, images, edits, steps=walk, seeds=rows, notes=notes, heading=editor.description)
        if rescoring is not None:
            written += _save(rescoring, table, rescoring_heatmap)
    if rescoring is not None:
        _tell(rescoring, as_json=as_json)
    say(f"wrote {', '.join(map(str, written))}")


def sources_of(paths: Sequence[Path]) -> list[str]:
    """What tells files apart: the ends of their paths, as short as may be.

    Raises:
        UsageError: A file is there twice.
    """
    whole = [(path.parent.resolve() / path.name, path) for path in paths]
    for place, (_, path) in enumerate(whole):
        if any(path.exists() and other.exists() and path.samefile(other) for _, other in whole[:place]):
            raise UsageError(f"--directions {path} is given more than once: name each file once.")
    parts = [(*full.parts[:-1], full.stem if full.suffix == ".npz" else full.name) for full, _ in whole]
    ends = range(1, max(map(len, parts)) + 1)
    shortened = (["/".join(part[-end:]) for part in parts] for end in ends)
    return next((texts for texts in shortened if _differ(texts)), [str(path) for path in paths])


def _differ(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts)


def _check_layers(edits: "Sequence[Edit]", reached: tuple[int, ...] | None) -> None:
    """Layers are for edits in W; beside edits in Z, a warning says so."""
    spaces = {one.space for one in edits}
    if reached is not None and spaces == {"z"}:
        raise UsageError("--layers: edits in Z reach all layers; give a file of directions in W.")
    if reached is not None and "z" in spaces:
        warnings.warn(
            "--layers holds for edits in W alone: those in Z reach all layers, so the two do not compare.",
            LatentLabWarning,
            stacklevel=2,
        )


def _check_outputs(
    out: Path,
    table: Path | None,
    heatmap: Path | None,
    directions: Sequence[Path],
    *,
    measured: bool,
    overwrite: bool,
) -> None:
    from latentlab.cli.outputs import check_outputs
    from latentlab.directions.drawing import check_picture

    if not measured and (table or heatmap):
        raise UsageError("--table and --rescoring-heatmap need classifiers that measure the edits.")
    if table is not None and table.suffix.lower() != ".csv":
        raise UsageError(f"--table {table}: tables end in .csv.")
    for picture in filter(None, (out, heatmap)):
        check_picture(picture)
    files = {"--out": out, "--table": table, "--rescoring-heatmap": heatmap}
    check_outputs(files, inputs=directions, overwrite=overwrite)


# --------------------------------------------------------------------------------------------------- telling


def _save(rescoring: "Rescoring", table: Path | None, heatmap: Path | None) -> list[Path]:
    from latentlab.directions.heatmaps import save_moves
    from latentlab.directions.tables import save_table

    if table is not None:
        save_table(table, rescoring)
    if heatmap is not None:
        save_moves(heatmap, rescoring)
    return [path for path in (table, heatmap) if path is not None]


def _tell_left_out(found: "Sequence[Directions]", edits: "Sequence[Edit]") -> None:
    """Say which attributes `all` left out because they are hardly known."""
    from latentlab.cli.display import say

    taken = {(one.attribute, one.space) for one in edits}
    left_out = dict.fromkeys(
        f"{name} in {one.space.upper()}"
        for one in found
        for name, few in zip(one.attributes, one.hardly_known, strict=True)
        if few and (name, one.space) not in taken
    )
    if left_out:
        say(f"left out as hardly known (name them with --attribute to edit them): {', '.join(left_out)}")


def _tell(rescoring: "Rescoring", *, as_json: bool) -> None:
    from latentlab.cli.display import print_table
    from latentlab.directions.drawing import dagger_in_words
    from latentlab.directions.tables import rows_of

    rows = rows_of(rescoring)
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    few = len(rescoring.attributes) <= WHOLE
    others = list(rescoring.attributes) if few else ["moved along most (sd)"]
    columns = ["edit", "target [95 %]", "sd", "flips", "selectivity [95 %]", *others]
    print_table(columns, [_cells(row, few=few) for row in rows], title=f"Moves per step, {rescoring.description}")
    groups: dict[str, list[float]] = {}
    for edit, row in zip(rescoring.edits, rows, strict=True):
        if row["selectivity"] is not None:
            groups.setdefault(f"{edit.space.upper()} {edit.source}".strip(), []).append(row["selectivity"])
    for group, known in groups.items():
        if len(known) > 1:
            print(f"median selectivity in {group}: {statistics.median(known):.2f}, {len(known)} edits")
    if any(one.hardly_known for one in rescoring.edits):
        print(dagger_in_words())
    print(
        f"target: log-odds per step, over {rescoring.num_samples:,} samples edited by {rescoring.reach:g} to either "
        "side; sd: the same in standard deviations of the attribute's log-odds; selectivity: the target's sd over the "
        "mean absolute sd of the others"
    )


def _cells(row: dict[str, Any], *, few: bool) -> list[str]:
    from latentlab.directions.drawing import marked

    moves = row["moves"]
    target = moves[row["attribute"]]
    low, high = row["selectivity_ci95"]
    side = {name: move["sd"] for name, move in moves.items() if move["sd"] is not None}
    most = sorted(side.items() - {(row["attribute"], target["sd"])}, key=lambda pair: -abs(pair[1]))[:NAMED]
    shown = [_signed(move["sd"]) for move in moves.values()] if few else [
        ", ".join(f"{name} {_signed(sd)}" for name, sd in most)
    ]  # fmt: skip
    return [
        marked(row["edit"], hardly_known=row["hardly_known"]),
        f"{_signed(target['log_odds'])} [{_signed(target['ci95'][0])}, {_signed(target['ci95'][1])}]",
        _signed(target["sd"]),
        f"{row['flips']:.0%}",
        "–" if None in (row["selectivity"], low, high) else f"{row['selectivity']:.2f} [{low:.2f}, {high:.2f}]",
        *shown,
    ]


def _note(rescoring: "Rescoring", number: int) -> str:
    """What a strip says of its edit's measurement."""
    move = rescoring.moves[number, rescoring.targets[number]]
    selectivity = rescoring.selectivity[number]
    words = f"log-odds {f'{move:+.2f}'.replace('-', '−')} per σ"
    return words if math.isnan(selectivity) else f"{words}, selectivity {f'{selectivity:.1f}'.replace('-', '−')}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
