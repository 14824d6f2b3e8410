"""What re-scoring found, as rows for JSON and as a .csv file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latentlab.directions.rescoring import Rescoring
from latentlab.files import atomic_file

UNNAMED = {"name": "unknown", "sha256": "unknown"}


def rows_of(found: Rescoring) -> list[dict[str, Any]]:
    """One row per edit, for JSON: the target's numbers, and of every measured attribute how far it moved."""
    return [
        {
            "edit": edit.name,
            "attribute": edit.attribute,
            "space": edit.space,
            "conditioned_on": list(edit.conditioned_on),
            "hardly_known": edit.hardly_known,
            "flips": float(found.flips[row]),
            "selectivity": _known(found.selectivity[row]),
            "selectivity_ci95": [_known(end) for end in found.selectivity_ci95[row]],
            "num_samples": found.num_samples,
            "reach": found.reach,
            "settings": found.settings,
            "moves": {
                name: {
                    "log_odds": float(found.moves[row, column]),
                    "ci95": found.ci95[row, column].tolist(),
                    "sd": _known(found.standardised[row, column]),
                }
                for column, name in enumerate(found.attributes)
            },
        }
        for row, edit in enumerate(found.edits)
    ]


def save_table(path: Path | str, found: Rescoring) -> None:
    """Write a .csv file with a row per edit; of every measured attribute its move and the ends of its interval."""
    rows = []
    for row in rows_of(found):
        target = row["moves"][row["attribute"]]
        low, high = row["selectivity_ci95"]
        fields = {name: row[name] for name in ("edit", "attribute", "space")}
        fields |= {"conditioned_on": " ".join(row["conditioned_on"]), "hardly_known": row["hardly_known"]}
        fields |= {"target": target["log_odds"]}
        fields |= {"target_sd": target["sd"], "flips": row["flips"], "selectivity": row["selectivity"]}
        fields |= {"selectivity_low": low, "selectivity_high": high, **_decided(row)}
        for name, move in row["moves"].items():
            fields |= {
                f"move:{name}": move["log_odds"],
                f"low:{name}": move["ci95"][0],
                f"high:{name}": move["ci95"][1],
            }
            fields |= {f"sd:{name}": move["sd"]}
        rows.append(fields)
    with atomic_file(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")


def _decided(row: dict[str, Any]) -> dict[str, Any]:
    """What decided a row's numbers, a column each; edits in Z reach all layers."""
    settings = row["settings"]
    network, classifiers = settings["network"] or UNNAMED, settings["classifiers"]
    layers = settings["layers"] if row["space"] == "w" else None
    return {
        "network": network["name"],
        "network_sha256": network["sha256"],
        "classifiers": classifiers["name"],
        "classifiers_sha256": classifiers["sha256"],
        "num_samples": row["num_samples"],
        "reach": row["reach"],
        "seed": settings["seed"],
        "truncation_psi": settings["truncation_psi"],
        "noise_mode": settings["noise_mode"],
        "layers": "all" if layers is None else " ".join(map(str, layers)),
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
