"""In what a report's numbers were measured otherwise than the paper's, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentlab.report.formatting import NONE, count, flatten, listing, plain
from latentlab.report.inputs import ReportRun, num_real
from latentlab.report.published import FID_IMAGES, LS_SAMPLES, PPL_IMAGE_SIZE, PPL_PROTOCOL, PPL_SAMPLES
from latentlab.report.sentences import PAPER_DATASETS, PAPER_DISTANCES, distance, trunk_sentence
from latentlab.results import MetricResult, is_image_distance

PPL_WORDS = {
    "name": "Protocol of path lengths",
    "method": "Path lengths by",
    "precision": "Precision of path lengths",
    "crop": "Crop of path lengths’ images",
    "quantize": "Rounding of path lengths’ images",
}
"""What protocol fields of path lengths are called where they are not the paper’s."""

LS_WORDS = {
    "confidence": {
        "log-odds": "Most confident labels: those of the largest log-odds, where the authors’ code ranks by the "
        "probability in single precision, which is 1 for all that are nearly certain.",
    },
    "solver": {
        "newton": "Hyperplanes of separability: by Newton’s method to convergence, where the authors’ code has "
        "scikit-learn’s LinearSVC, which stops earlier.",
    },
    "one_class": {
        "invalid": "Attributes labelled alike in all kept samples, and those whose solver did not converge: left out "
        "of the score. In the authors’ code the former count as perfectly separated (entropy 0), the latter as found.",
    },
}
"""What is said of protocol fields of separability whose values are not those of the authors' code."""


def substitutes(runs: Sequence[ReportRun], cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands in for the paper’s data, distance, classifiers and rules, and where fewer samples were taken."""
    found = [
        f"Training images: {dataset}, in place of FFHQ or CelebA-HQ at 1024×1024."
        for dataset in dict.fromkeys(run.dataset for run in runs)
        if dataset and not dataset.lower().startswith(PAPER_DATASETS)
    ]
    results = [result for run in runs for result in run.shown.values()]
    names = dict.fromkeys(name for result in results if (name := distance(result)))
    found += [
        f"Distance between images: {name}, in place of LPIPS with VGG16."
        for name in names
        if name not in PAPER_DISTANCES
    ]
    found += _other_rules([result for result in results if result.metric.startswith("ppl")])
    sizes = sorted({size for result in results if isinstance(size := result.protocol.get("image_size"), int)})
    if sizes and sizes[0] < PPL_IMAGE_SIZE:
        widths = listing([str(size) for size in sizes])
        found.append(f"Images that the distance sees: {widths} pixels wide, where the paper’s are {PPL_IMAGE_SIZE}.")
    found += [sentence for card in cards if (sentence := trunk_sentence(card))]
    separabilities = [result for result in results if result.metric.startswith("ls_")]
    distances = [result for result in results if is_image_distance(result.metric)]
    return found + _separability(separabilities) + _fewer_samples(results) + _image_distances(distances)


def _other_rules(lengths: Sequence[MetricResult]) -> list[str]:
    """In what path lengths were measured otherwise than the paper's, their distance and size apart."""
    found = []
    for field, what in PPL_WORDS.items():
        paper = PPL_PROTOCOL.get(field, "none")
        taken = [plain(result.protocol[field]) for result in lengths if field in result.protocol]
        other = [value for value in dict.fromkeys(taken) if value != paper]
        if other:
            found.append(f"{what}: {listing(other)}, where the paper has {paper}.")
    return found


def _fewer_samples(results: Sequence[MetricResult]) -> list[str]:
    found = []
    for prefix, what, paper in (("ppl", "PPL pairs", PPL_SAMPLES), ("ls", "Samples for separability", LS_SAMPLES)):
        taken = sorted({result.num_samples for result in results if result.metric.startswith(prefix)})
        if taken and taken[0] < paper:
            found.append(f"{what}: {listing([count(n) for n in taken])}, where the paper takes {count(paper)}.")
    return found


def _separability(results: Sequence[MetricResult]) -> list[str]:
    taken = {field: {plain(result.protocol.get(field)) for result in results} for field in LS_WORDS}
    return [text for field, words in LS_WORDS.items() for value, text in words.items() if value in taken[field]]


def _image_distances(results: Sequence[MetricResult]) -> list[str]:
    """How many images distances to real ones take, and which features, where they are not FID's."""
    found = []
    if any(_few_images(result) for result in results):
        made = sorted({result.num_samples for result in results})
        real = sorted(set(filter(None, map(num_real, results))))
        taken = f"{_numbers(made)} generated" + (f" and {_numbers(real)} real" if real else "")
        found.append(f"Images for distances to real ones: {taken}, where the paper takes {count(FID_IMAGES)} of each.")
    named = dict.fromkeys(plain(flatten(result.protocol).get("features.name")) for result in results)
    if other := [name for name in named if name not in ("inception", NONE)]:
        found.append(f"Features of distances to real images: {listing(other)}, in place of FID’s Inception network.")
    return found


def _few_images(result: MetricResult) -> bool:
    """Whether other than FID's number of images were generated, or fewer real ones taken although there are more."""
    real = result.protocol.get("real")
    there = real.get("of") if isinstance(real, dict) else None
    taken = num_real(result)
    fewer = taken is not None and isinstance(there, int) and taken < min(there, FID_IMAGES)
    return result.num_samples != FID_IMAGES or fewer


def _numbers(numbers: Sequence[int]) -> str:
    return " or ".join(map(count, numbers))
