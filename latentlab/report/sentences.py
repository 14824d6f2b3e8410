"""What the numbers say, in words that claim no more than their intervals allow."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentlab.report.comparison import attribute_counts, compare
from latentlab.report.formatting import attribute, count, listing, number, plain, times
from latentlab.report.inputs import ReportRun
from latentlab.report.rows import COLUMNS, AttributeRow
from latentlab.results import HIGHER_IS_BETTER, METRICS, MetricResult

PAPER_CLASSIFIERS = 40
PAPER_DATASETS = ("ffhq", "celebahq", "celeba-hq", "celeba_hq")
SHORT = {
    metric.format(space): f"{column} in {space.upper()}" for column, metric in COLUMNS.items() for space in ("z", "w")
}
"""What metrics are called inside a sentence."""

PAPER_DISTANCES = ("lpips-vgg", "lpips-vgg16")
MAKES = {"ppl": "latentlab ppl", "ls": "latentlab sample` and then `latentlab separability"}
"""The commands that write each kind of number."""


def headline(run: ReportRun) -> str:
    """One sentence: is W straighter than Z in this generator, by how much, and how sure is that?"""
    if not run.shown.keys() & METRICS.keys():
        return _without_path_or_separability(run)
    if run.depth == 0:
        return _without_mapping(run)
    clauses = [clause for clause in (_path_clause(run), _separability_clause(run)) if clause is not None]
    if not clauses:
        return f"{run.name} has not been measured in both Z and W, so nothing can be said about its mapping yet."
    reasons = {reason for _, reason in clauses}
    if len(reasons) == 1:
        both = "in both cases " if len(clauses) > 1 else ""
        return f"For {run.name}, {' and '.join(text for text, _ in clauses)}; {both}{reasons.pop()}."
    return f"For {run.name}, {', and '.join(f'{text}: {reason}' for text, reason in clauses)}."


def _without_path_or_separability(run: ReportRun) -> str:
    if run.shown.keys() & HIGHER_IS_BETTER:
        return (
            f"Of {run.name}, only the disentanglement metrics have been measured yet: they do not say whether W is "
            "straighter than Z."
        )
    return f"{run.name} has not been measured yet."


def kind(run: ReportRun) -> str:
    """What a generator is in two or three words: `style-based, 8 mapping layers`."""
    known = {"style": "style-based", "traditional": "traditional", None: "architecture not recorded"}
    arch = run.foreign or known[run.arch]
    if run.depth is None:
        return arch
    layers = {0: "no mapping", 1: "1 mapping layer"}.get(run.depth, f"{run.depth} mapping layers")
    return f"{arch}, {layers}"


def _path_clause(run: ReportRun) -> tuple[str, str] | None:
    """What path length says about W against Z and how surely; `full` before `end`, None where neither is complete."""
    for name, metric in list(COLUMNS.items())[:2]:
        z, w = run.shown.get(metric.format("z")), run.shown.get(metric.format("w"))
        comparison = compare(w, z)
        if z is None or w is None or comparison.verdict == "missing":
            continue
        claim = {
            "lower": f"W is {times(comparison.ratio)} straighter than Z",
            "higher": f"W is not straighter than Z but {times(comparison.ratio)} more curved",
            "open": "it is open whether W is straighter than Z",
        }.get(comparison.verdict, "W and Z cannot be compared")
        return f"{claim} ({name} {number(z.value)} in Z, {number(w.value)} in W)", comparison.reason
    return None


def _separability_clause(run: ReportRun) -> tuple[str, str] | None:
    """What separability says about W against Z and how surely; None where one of the two is missing."""
    z, w = run.shown.get("ls_z"), run.shown.get("ls_w")
    comparison = compare(w, z)
    if z is None or w is None or comparison.verdict == "missing":
        return None
    claim = {
        "lower": "its attributes separate better in W",
        "higher": "its attributes separate worse in W",
        "open": "it is open in which space its attributes separate better",
    }.get(comparison.verdict, "separability cannot be compared")
    low, high = map(number, comparison.values)
    part = _scored_part(w) if comparison.common is None else ""
    return f"{claim} (separability {high} in Z, {low} in W{part})", comparison.reason


def _scored_part(result: MetricResult) -> str:
    """`, over 26 of 40 attributes` for a score that leaves some out, else nothing."""
    counts = attribute_counts(result)
    return "" if counts is None or counts[0] == counts[1] else f", over {counts[0]} of {counts[1]} attributes"


def _without_mapping(run: ReportRun) -> str:
    parts = [
        f"{name if 'PPL' in name else name.lower()} {number(result.value)}{_scored_part(result)}"
        for name, metric in COLUMNS.items()
        if (result := run.shown.get(metric.format("z"))) is not None
    ]
    return (
        f"{run.name} has no mapping network, so only Z can be judged ({', '.join(parts) or 'not measured in Z yet'})."
    )


def attribute_sentence(rows: Sequence[AttributeRow]) -> str:
    """How many attributes W separates better than Z, and how many of those beyond their intervals."""
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        return "Only one space has been measured, so there is nothing to compare attribute by attribute."
    better = [row for row in compared if (row.difference or 0) > 0]
    worse = [row for row in compared if (row.difference or 0) < 0]
    first = f"W leaves less open than Z in {_counted(better, of=f' of {len(compared)} attributes')}"
    return f"{first}; it leaves more open in {_counted(worse)}." if worse else f"{first}."


def _counted(rows: Sequence[AttributeRow], *, of: str = "") -> str:
    settled = sum(row.settled for row in rows)
    return f"{len(rows) or 'none'}{of}" + (f" (in {settled} of them the 95 % intervals do not overlap)" if rows else "")


def distance(result: MetricResult) -> str:
    """What the protocol says about the distance between images, or an empty text for other metrics."""
    found = result.protocol.get("distance")
    return plain(found.get("name")) if isinstance(found, dict) else plain(found) if found else ""


def trunk_sentence(card: Mapping[str, Any]) -> str:
    """What the classifiers are where they are not the paper’s 40 networks trained one by one, else an empty text."""
    dataset = card.get("trained_on") or card.get("dataset") or {}
    name = plain(dataset.get("name")) if isinstance(dataset, dict) else plain(dataset)
    if card.get("trunk") == "shared":
        return (
            f"Classifiers: {plain(card.get('name'))}, one shared network with {len(card['attributes'])} outputs "
            f"trained on {name}, in place of the paper’s 40 separate networks trained on CelebA-HQ."
        )
    if not name.lower().startswith(PAPER_DATASETS):
        return f"Classifiers: {plain(card.get('name'))}, trained on {name} in place of CelebA-HQ."
    if card.get("source") and len(card["attributes"]) < PAPER_CLASSIFIERS:
        return f"Classifiers: {plain(card.get('name'))}, {len(card['attributes'])} of the paper’s {PAPER_CLASSIFIERS}."
    return ""


def unmeasured(card: Mapping[str, Any]) -> bool:
    """Whether nobody has measured how good classifiers are: they were imported."""
    return card.get("num_measured") == 0


def source_sentence(card: Mapping[str, Any]) -> str:
    """Where imported classifiers come from and what is not known of them."""
    source = card.get("source") or {}
    return (
        f"Imported: {plain(source.get('kind'))}, {count(len(source.get('files', [])))} files, trained on "
        f"{plain((card.get('trained_on') or {}).get('name'))} by their makers. How well they tell their attributes has "
        "not been measured; `latentlab classifiers evaluate` measures it on labelled images."
    )


def card_images(card: Mapping[str, Any]) -> str:
    """How many images classifiers were trained on, calibrated with and measured on."""
    if card.get("num_measured") is None:  # before temperatures, the images held out were all measured
        return f"{count(card.get('num_train'))} to train, {count(card.get('num_held_out'))} held out"
    calibrated = f"{count(card.get('num_calibration'))} to calibrate"
    return f"{count(card.get('num_train'))} to train, {calibrated}, {count(card['num_measured'])} to measure"


def weak_sentence(card: Mapping[str, Any]) -> str:
    """Which attributes a classifier can hardly tell, or that there are none."""
    weak = [attribute(row["name"]) for row in card["attributes"] if row.get("weak")]
    if not weak:
        return "No attribute is weak (balanced accuracy below 0.7)."
    return (
        f"{len(weak)} of {len(card['attributes'])} attributes are weak (balanced accuracy below 0.7): {listing(weak)}. "
        "What separability says about them says more about the classifier than about the generator."
    )


def missing_parts(run: ReportRun) -> list[str]:
    """What a run folder lacks, and which command makes it."""
    missing = []
    absent = [name for name in SHORT if name not in run.shown and not (run.depth == 0 and "_w" in name)]
    for prefix, command in MAKES.items():
        names = [SHORT[name] for name in absent if name.startswith(prefix)]
        if names:
            missing.append(f"{', '.join(names)}: `{command}`.")
    if not run.previews:
        missing.append("Interpolations and samples (previews.npz): `latentlab report`, where torch is installed.")
    if not run.stats and run.foreign is None:
        missing.append("Training statistics (stats.jsonl): `latentlab train`.")
    return missing


def mixed_networks(run: ReportRun) -> str:
    """A caution where the numbers of one run belong to more than one network, else an empty text."""
    holders: dict[str, list[str]] = {}
    for name, result in run.shown.items():
        holders.setdefault(result.network.sha256, []).append(SHORT.get(name, name))
    if len(holders) < 2:
        return ""
    parts = [f"{sha[:12]} ({', '.join(names)})" for sha, names in holders.items()]
    return f"The numbers of {run.name} belong to different networks, {listing(parts)}: measure them all again."


def unequal_training(runs: Sequence[ReportRun]) -> list[str]:
    """Cautions where the runs of a report were not trained alike, so that more than the generator differs."""
    cautions = []
    if len({run.fingerprint for run in runs if run.fingerprint}) > 1:
        parts = [f"{run.name}: {run.dataset}" for run in runs if run.dataset]
        cautions.append(f"The generators were trained on different images ({'; '.join(parts)}).")
    if len({run.images_seen for run in runs if run.images_seen}) > 1:
        parts = [f"{run.name}: {count(run.images_seen)}" for run in runs if run.images_seen]
        cautions.append(f"The generators have seen different numbers of images ({'; '.join(parts)}).")
    return cautions
