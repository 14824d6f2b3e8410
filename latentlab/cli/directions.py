"""`latentlab directions`: normals of linear SVMs in Z or W as attribute directions."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from latentlab.cli.options import Json, Overwrite
from latentlab.cli.stores import Store, find_store
from latentlab.errors import UsageError

if TYPE_CHECKING:
    from latentlab.directions.form import Directions

Space = Literal["z", "w"]
"""Which latent space."""


def directions(
    run: Store,
    space: Annotated[
        Space | None, typer.Option(help="z or w; w if left out, or z where W is not stored or is only Z.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to make; directions-SPACE.npz beside RUN.")] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="`Smiling:Male,Young` makes the direction of Smiling orthogonal to those of Male and Young; may be "
            "given several times."
        ),
    ] = None,
    npy: Annotated[
        Path | None, typer.Option(help="A folder to make, with boundaries as editing scripts read them.")
    ] = None,
    heatmap: Annotated[
        Path | None, typer.Option(help="Draw the cosines between attributes: a .png, .svg or .pdf file.")
    ] = None,
    num_keep: Annotated[
        int | None, typer.Option(help="Most confident samples kept per attribute; half of all if left out.", min=2)
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Decides which samples are held out.")] = 0,
) -> None:
    """Find the direction of every attribute: the normal of the plane between samples that have it and that lack it.

    \b
    Example:
      latentlab directions runs/style-8/run.h5 --space w --out directions.npz --heatmap cosines.png
      latentlab directions runs/style-8/run.h5 --condition Smiling:Male,Young --npy boundaries
    """
    from latentlab.cli.display import progress_bar, say
    from latentlab.cli.outputs import all_or_none, check_outputs
    from latentlab.directions.boundaries import check_boundaries, save_boundaries
    from latentlab.directions.drawing import check_picture
    from latentlab.directions.fitting import attribute_directions, default_space
    from latentlab.directions.form import save_directions
    from latentlab.directions.heatmaps import save_cosines
    from latentlab.store import LatentStore

    run = find_store(run)
    conditions = conditions_of(condition or [])
    if heatmap is not None:
        check_picture(heatmap)
    with LatentStore.open(run, needs=("logits",)) as store:
        space = space or default_space(store)
        out = out or run.with_name(f"directions-{space}.npz")
        files = {"--out": out, "--heatmap": heatmap}
        check_outputs(files, folders={"--npy": npy}, inputs=[run], overwrite=overwrite)
        if npy is not None:
            check_boundaries(npy, store.settings.attributes, overwrite=overwrite)
        with progress_bar("Fitting SVMs", "fits") as progress:
            found = attribute_directions(
                store, space=space, num_keep=num_keep, conditions=conditions, seed=seed, progress=progress
            )
    written = [str(out)]
    with all_or_none([out, npy, heatmap]):
        if heatmap is not None:
            save_cosines(heatmap, found)
            written.append(str(heatmap))
        if npy is not None:
            written.append(f"{npy} ({len(save_boundaries(npy, found, overwrite=overwrite))} boundaries)")
        save_directions(out, found)
    if as_json:
        print(*(json.dumps(row) for row in rows_of(found)), sep="\n")
    else:
        _print(found)
    say(f"wrote {', '.join(written)}")


def conditions_of(texts: list[str]) -> dict[str, list[str]]:
    """`Smiling:Male,Young` -> {"Smiling": ["Male", "Young"]}.

    Raises:
        UsageError: A text has another form, or names an attribute that another one has named.
    """
    conditions: dict[str, list[str]] = {}
    for text in texts:
        attribute, _, rest = (part.strip() for part in text.partition(":"))
        others = [name.strip() for name in rest.split(",")]
        if not attribute or not all(others):
            raise UsageError(f"--condition {text}: expected ATTRIBUTE:OTHERS, such as Smiling:Male,Young.")
        if attribute in conditions:
            raise UsageError(f"--condition {text}: {attribute} has a condition already; name all others in one.")
        conditions[attribute] = others
    return conditions


def rows_of(found: "Directions") -> list[dict[str, Any]]:
    """What is known of each attribute, for JSON and the table; `partner` is the one with the largest cosine.

    `num_rarer` is how many of the kept samples are of the rarer class; `converged` is None where nothing was fitted.
    """
    cosines, before = found.cosines, found.cosines_unconditioned
    rows = []
    for index, name in enumerate(found.attributes):
        partner = _partner(cosines, index)
        row: dict[str, Any] = {"attribute": name, "space": found.space, "valid": bool(found.valid[index])}
        row |= {"reason": found.reason[index] or None}
        row |= {"converged": bool(found.converged[index]) if found.num_rarer[index] else None}
        for key in ("accuracy", "held_out_accuracy", "share_positive", "scale"):
            row[key] = _number(getattr(found, key)[index])
        row |= {"num_rarer": int(found.num_rarer[index]), "hardly_known": bool(found.hardly_known[index])}
        row |= {"partner": None if partner is None else found.attributes[partner]}
        row |= {"partner_cosine": None if partner is None else _number(cosines[index, partner])}
        row["conditioned_on"] = {
            other: {"before": _number(before[index, column]), "after": _number(cosines_to_normal(found, index, column))}
            for other in found.conditioned_on[index]
            for column in [found.attributes.index(other)]
        }
        rows.append(row)
    return rows


def cosines_to_normal(found: "Directions", index: int, other: int) -> float:
    """The cosine between an attribute's direction and another one's normal."""
    return float(found.directions[index] @ found.normals[other])


def _partner(cosines: Any, index: int) -> int | None:
    """The other attribute whose direction is the least orthogonal to this one's."""
    import numpy as np

    others = np.abs(cosines[index])
    others[index] = np.nan
    return None if np.isnan(others).all() else int(np.nanargmax(others))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _print(found: "Directions") -> None:
    from latentlab.cli.display import print_table
    from latentlab.directions.drawing import STAR, dagger_in_words, marked

    rows = rows_of(found)
    table = []
    for row in rows:
        partner = "–" if row["partner"] is None else f"{row['partner']} {row['partner_cosine']:+.2f}"
        name = marked(row["attribute"], conditioned=bool(row["conditioned_on"]), hardly_known=row["hardly_known"])
        shares = [_fixed(row[key]) for key in ("accuracy", "held_out_accuracy", "share_positive")]
        table.append([name, *shares, {True: "yes", False: "no", None: "–"}[row["converged"]], partner])
    columns = ["attribute", "accuracy", "held-out", "positive", "converged", "most entangled with (cosine)"]
    print_table(columns, table, title=f"Directions in {found.space.upper()}, {found.network['name']}")
    for row in rows:
        for other, cosine in row["conditioned_on"].items():
            print(f"{STAR} {row['attribute']} is orthogonal to {other}: cosine {cosine['before']:+.2f} before")
    for reason in sorted({row["reason"] for row in rows if row["reason"]}):
        names = [row["attribute"] for row in rows if row["reason"] == reason]
        print(f"no direction: {', '.join(names)}: {reason}.")
    few = [f"{row['attribute']} ({row['num_rarer']})" for row in rows if row["hardly_known"]]
    if few:
        print(f"{dagger_in_words(found.dims)}: {', '.join(few)}.")
    provenance = found.provenance
    print(f"{provenance['num_keep']:,} of {provenance['store']['num_samples']:,} samples kept per attribute")


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
