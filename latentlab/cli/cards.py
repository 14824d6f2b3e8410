"""How `latentlab classifiers` shows a card: the table, the means, and what to be careful about."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentlab.cli.display import print_table, say
from latentlab.files import atomic_file

if TYPE_CHECKING:
    from attribute_classifiers.card import Sort
    from attribute_classifiers.importing import Imported
    from attribute_classifiers.network import AttributeClassifiers
    from latentlab.data import Dataset

COLUMNS = {
    "share": "share",
    "balanced_accuracy": "balanced acc. [95 %]",
    "auc": "AUC [95 %]",
    "log_loss": "log loss",
    "calibration_error": "ECE",
    "temperature": "T",
}
WIDTH = 120
WITH_INTERVAL = ("balanced_accuracy", "auc")
MEANS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "log_loss": "log loss",
    "calibration_error": "ECE",
}
ORIGINS = {
    "held out": "held out from training",
    "other data": "other data than they were trained on",
    "training data": "some of which they were trained on",
    "perhaps training data": "some of which they may have been trained on",
}


def print_card(card: dict[str, Any], sort: "Sort" = "balanced_accuracy") -> None:
    """The attributes as a table; below it the means, the doubtful attributes and the confusion."""
    from attribute_classifiers.card import sorted_attributes

    rows = sorted_attributes(card, sort)
    shown = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]  # old cards have fewer
    cells = [[row["name"], *(_cell(row, name) for name in shown), _marks(row)] for row in rows]
    print_table(["attribute", *(COLUMNS[name] for name in shown), ""], cells)
    _print(_origin(card))
    _print(_means(card))
    if card.get("num_measured") != 0:
        _print_doubtful(rows)
    if card.get("confusion"):
        _print_confusion(card["confusion"]["strongest"])


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write a card as a file of its own."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    say(f"wrote {path}")


def say_left_out(classifiers: "AttributeClassifiers", dataset: "Dataset", common: Sequence[str]) -> None:
    """Name the attributes that only the classifiers or only the data have."""
    for owner, names in ((f"'{classifiers.name}'", classifiers.attributes), (dataset.name, dataset.attributes)):
        left_out = [name for name in names if name not in common]
        if left_out:
            say(f"left out, because only {owner} has them: {', '.join(left_out)}")


def say_imported(imported: "Imported") -> None:
    """What a folder of imported classifiers holds and lacks, and how to find out what they are worth."""
    count, folder = len(imported.attributes), imported.folder
    networks = "1 classifier" if count == 1 else f"{count} classifiers"
    say(f"imported {networks} into {folder}: {', '.join(imported.attributes)}")
    if imported.missing:
        say(f"without a file, and therefore missing: {', '.join(imported.missing)}")
    say(f"how good they are is not known: `latentlab classifiers evaluate {folder} --data IMAGES` measures it")


def _print(words: str) -> None:
    print(textwrap.fill(words, WIDTH, break_on_hyphens=False))


def _cell(row: dict[str, Any], name: str) -> str:
    """A number with its interval where the column has one, or a dash."""
    value, ends = row.get(name), row.get("ci95", {}).get(name)
    if value is None:
        return "–"
    text = f"{value:.2f}" if name == "temperature" else f"{value:.3f}"
    return f"{text} {_interval(ends)}" if ends and name in WITH_INTERVAL else text


def _interval(ends: Sequence[float], form: str = ".3f") -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]"


def _marks(row: dict[str, Any]) -> str:
    return ", ".join(mark for mark in ("weak", "uncertain") if row.get(mark))


def _origin(card: dict[str, Any]) -> str:
    """What was trained on what and measured on what."""
    trained_on, dataset = card.get("trained_on") or card["dataset"], card["dataset"]
    if dataset is None:
        words = f"{card['name']}: {card['trunk']} networks, trained elsewhere on {trained_on['name']}, imported"
        return f"{words}; not measured: `latentlab classifiers evaluate {card['name']} --data IMAGES` does it."
    count = "" if card.get("num_train") is None else f"{card['num_train']:,} images of "
    calibrated = card.get("num_calibration")
    parts = [
        f"{card['name']}: {card['trunk']} trunk, trained on {count}{trained_on.get('name', 'unnamed data')}",
        f"calibrated on {calibrated:,}" if calibrated else "not calibrated",
    ]
    if "num_measured" not in card:  # a card of schema 1
        return f"{', '.join(parts)}, measured on {card['num_held_out']:,} held out."
    images = f"{card['num_measured']:,} images of {dataset['name']}"
    return f"{', '.join(parts)}, measured on {images}, {ORIGINS[card['measured_on']]}."


def _means(card: dict[str, Any]) -> str:
    """Means over the attributes, with intervals where there are some."""
    mean = card.get("mean") or {"balanced_accuracy": card["mean_balanced_accuracy"]}
    parts = [
        f"{words} {mean[name]:.3f}" + (f" {_interval(ends)}" if (ends := mean.get("ci95", {}).get(name)) else "")
        for name, words in MEANS.items()
        if mean.get(name) is not None
    ]
    if card.get("num_measured") == 0:
        return "No attribute has been measured."
    return f"Means: {', '.join(parts)}." if mean["balanced_accuracy"] is not None else "No attribute could be measured."


def _print_doubtful(rows: Sequence[dict[str, Any]]) -> None:
    """Which attributes are weak, uncertain or not measured."""
    unmeasured = [row["name"] for row in rows if row["balanced_accuracy"] is None]
    weak = [row["name"] for row in rows if row["weak"] and row["name"] not in unmeasured]
    uncertain = [row["name"] for row in rows if row.get("uncertain") and row["name"] not in unmeasured]
    if weak:
        _print(f"Weak (balanced accuracy below 0.7): {', '.join(weak)}.")
    elif len(unmeasured) < len(rows):
        _print("No attribute is weak (below 0.7).")
    if uncertain:
        _print(f"Uncertain (fewer than 10 images of a class, or no better than guessing): {', '.join(uncertain)}.")
    if unmeasured:
        _print(f"No balanced accuracy, because the images show one class only: {', '.join(unmeasured)}.")


def _print_confusion(strongest: Sequence[dict[str, Any]]) -> None:
    """The pairs of attributes that are confused most."""
    if not strongest:
        _print("Confusion: no classifier's answers change with another attribute beyond chance.")
        return
    rows = [
        [row["classifier"], row["attribute"], *(_slope(row, name) for name in ("leak", "own"))] for row in strongest
    ]
    columns = ["classifier", "changes with", "by [95 %]", "and with its own by [95 %]"]
    print_table(columns, rows, title="Confusion: change of probability with another label, its own being the same")


def _slope(row: dict[str, Any], name: str) -> str:
    return "–" if row[name] is None else f"{row[name]:+.3f} {_interval(row[f'{name}_ci95'], '+.3f')}"
