"""What was measured and how, as a paragraph for a paper: every word from the results' own protocols."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentlab.data.attributes import CELEBA_POSITIVE_SHARE
from latentlab.report.comparison import attribute_counts
from latentlab.report.departures import substitutes
from latentlab.report.formatting import count, flatten, listing, plain
from latentlab.report.inputs import ReportRun, num_real
from latentlab.report.sentences import PAPER_DISTANCES, distance, kind
from latentlab.results import DISENTANGLEMENT, HIGHER_IS_BETTER, MetricResult, is_image_distance

_PROTOCOLS = {"stylegan2-ada": "[@karras2020training]"}
_DISENTANGLEMENT = {
    "mig": "the mutual information gap [@chen2018isolating]",
    "modularity": "modularity [@ridgeway2018learning]",
    "sap": "SAP [@kumar2018variational]",
    "dci": "DCI [@eastwood2018framework]",
    "explicitness": "explicitness [@ridgeway2018learning]",
}
_PACKAGES = {
    "latentlab": "LatentLab",
    "python": "Python",
    "torch": "PyTorch",
    "scikit-learn": "scikit-learn",
    "lpips": "lpips",
    "numpy": "NumPy",
}
_PACKAGE_WORKS = {"torch": " [@paszke2019pytorch]", "scikit-learn": " [@pedregosa2011scikit]"}
RULE = (
    "one number is called lower than another only where their protocols agree and their 95 % intervals do not overlap. "
    "These intervals cover the sampling of latents, not what another training run would give."
)


def methods(runs: Sequence[ReportRun], cards: Sequence[Mapping[str, Any]], *, alone: bool = True) -> list[str]:
    """Paragraphs on the generators, each kind of number that there is, what stands in for the paper's, and software.

    `[@key]` in them cites a work of `citations.WORKS`.

    Args:
        runs: Of the report.
        cards: Of the classifiers.
        alone: Whether the report has no other sections, whose tables may follow a rule of their own.
    """
    results = [result for run in runs for result in run.shown.values()]
    kinds = (
        _paths([result for result in results if result.metric.startswith("ppl")]),
        _separability([result for result in results if result.metric.startswith("ls_")]),
        _image_distances([result for result in results if is_image_distance(result.metric)]),
        _disentanglement([result for result in results if result.metric in HIGHER_IS_BETTER]),
    )
    measured = [paragraph for paragraph in kinds if paragraph]
    found = [_generators(runs), *measured]
    if others := substitutes(runs, cards):
        found.append(f"These settings are not the paper’s [@karras2019style]. {' '.join(others)}")
    where = "In a comparison of two numbers" if alone else "In tables of single runs"
    return [*found, f"{where}, {RULE} {_software(results)}".strip()] if measured else found


def _generators(runs: Sequence[ReportRun]) -> str:
    traditional = any(run.arch == "traditional" for run in runs)
    cite = "[@karras2019style, @karras2018progressive]" if traditional else "[@karras2019style]"
    return f"Compared are {listing([_generator(run) for run in runs])} {cite}."


def _generator(run: ReportRun) -> str:
    seen = f"{count(run.images_seen)} images seen" if run.images_seen else ""
    letter, seed = run.config.get("config"), run.config.get("seed")
    parts = [
        kind(run),
        f"configuration {letter}" if letter else "",
        f"trained on {run.dataset}" if run.dataset else "",
        seen,
        f"seed {seed}" if isinstance(seed, int) else "",
    ]
    return f"{run.name} ({'; '.join(part for part in parts if part)})"


def _paths(results: Sequence[MetricResult]) -> str:
    if not results:
        return ""
    protocol = _values(results, "name")
    cites = " ".join(dict.fromkeys(_PROTOCOLS.get(name, "") for name in protocol)).strip()
    names = listing([f"{listing(_values(inside, 'sampling'))} in {s}" for s in "ZW" if (inside := _of(results, s))])
    walks = [f"{walk} in {space}" for space in "ZW" if (walk := _either(_of(results, space), "interpolation"))]
    parts = [
        f"{_numbers(results)} pairs of latents each",
        f"by {_either(results, 'method')}" + _with(" with a step of ", _either(results, "epsilon")),
        listing(walks),
        _with("crop: ", _either(results, "crop")),
        _with("images seen at ", _either(results, "image_size"), " pixels"),
        _with("noise: ", _either(results, "noise")),
        _with("truncation: ", _either(results, "truncation")),
        _with("precision: ", _either(results, "precision")),
    ]
    outliers = _with(" Outliers: ", _either(results, "outliers"), ".")
    settings = "; ".join(part for part in parts if part)
    return (
        f"Perceptual path length ({names}) [@karras2019style] was measured under LatentLab’s protocol "
        f"{listing(protocol) or 'that was not recorded'}{_with(' ', cites)}: {settings}.{outliers} "
        f"{_distance(results)} "
        f"95 % intervals are percentile intervals of a bootstrap over pairs{_resamples(results)} [@efron1979bootstrap]."
    )


def _distance(results: Sequence[MetricResult]) -> str:
    words = []
    for name in dict.fromkeys(filter(None, map(distance, results))):
        if name in PAPER_DISTANCES:
            words.append("LPIPS with VGG16 [@zhang2018unreasonable, @simonyan2015very]")
        elif name.startswith("lpips"):
            words.append(f"{name} [@zhang2018unreasonable], in place of LPIPS with VGG16")
        elif name.startswith("classifier:"):
            words.append(
                f"that of the features of attribute classifiers ({name}), in place of LPIPS with VGG16 "
                "[@zhang2018unreasonable]"
            )
        else:
            words.append(f"{name}, in place of LPIPS with VGG16 [@zhang2018unreasonable]")
    return f"The distance between images is {' or '.join(words)}." if words else ""


def _separability(results: Sequence[MetricResult]) -> str:
    if not results:
        return ""
    kept = _either(results, "num_keep", number=True)
    classifiers = _either(results, "classifiers.name")
    solver = _either(results, "solver")
    cite = " [@fan2008liblinear]" if "liblinear" in solver else ""
    counts = dict.fromkeys(pair for result in results if (pair := attribute_counts(result)))
    scored = " or ".join(f"{valid} of {total}" for valid, total in counts)
    celeba = " of CelebA [@liu2015deep]" if any(map(_of_celeba, results)) else ""
    refitted = any(result.details.get("refits") for result in results)
    how = "; where said, they were refitted without each of several groups of samples" if refitted else ""
    return (
        f"Linear separability [@karras2019style] was measured in {_spaces(results)} from {_numbers(results)} samples"
        f"{_with(', of which the ', kept, ' with the most confident labels were kept')}"
        f"{_with('; labels by the classifiers ', classifiers)}. For every attribute a linear support vector machine "
        f"(squared hinge loss, L2 penalty{_with(', C = ', _either(results, 'C'))}) was fitted by the solver "
        f"{solver or 'that was not recorded'}{cite}; the score is 2 to the power of the sum of the conditional "
        f"entropies in bits{_with(', over ', scored, f' attributes{celeba}')}. 95 % intervals are percentile intervals "
        f"of a bootstrap over samples{_resamples(results)} [@efron1979bootstrap], hyperplanes held fixed{how}."
    )


def _of_celeba(result: MetricResult) -> bool:
    names = {row["name"] for row in result.details.get("attributes", [])}
    return bool(names) and names <= CELEBA_POSITIVE_SHARE.keys()


def _image_distances(results: Sequence[MetricResult]) -> str:
    if not results:
        return ""
    kinds = []
    if any(result.metric.startswith(("fid", "fd_")) for result in results):
        kinds.append("Fréchet distances [@heusel2017gans], with intervals by the grouped jackknife,")
    if any(result.metric.startswith(("kid", "kd_")) for result in results):
        kinds.append(
            "kernel distances [@binkowski2018demystifying], with intervals by Student’s t over blocks of images,"
        )
    real = " or ".join(dict.fromkeys(count(number) for result in results if (number := num_real(result))))
    features = list(dict.fromkeys(_values(results, "features.name")))
    other = ", in place of FID’s Inception network" if features and "inception" not in features else ""
    return (
        f"{listing(kinds)} were measured between {_numbers(results)} generated images "
        f"and {real or 'an unrecorded number of'} images of {_either(results, 'real.name') or 'the training data'}, on "
        f"the features {listing(features) or 'that were not recorded'}{other}."
    )


def _disentanglement(results: Sequence[MetricResult]) -> str:
    if not results:
        return ""
    metrics = {result.metric.rpartition("_")[0] for result in results}
    families = [start for start in _DISENTANGLEMENT if any(name.startswith(start) for name in metrics)]
    named = [_DISENTANGLEMENT[start] for start in families]
    assert metrics <= DISENTANGLEMENT.keys()
    return (
        f"Disentanglement was measured in {_spaces(results)} by {listing(named)} on {_numbers(results)} samples; "
        "higher is better, and each number stands beside what the same latents score against other samples’ factors. "
        "95 % intervals are percentile intervals of a bootstrap [@efron1979bootstrap]."
    )


def _software(results: Sequence[MetricResult]) -> str:
    versions: dict[str, list[str]] = {}
    for result in results:
        for name, number in result.software.items():
            if number not in versions.setdefault(name, []):
                versions[name].append(number)
    named = [
        f"{_PACKAGES.get(name, name)} {' and '.join(versions[name])}{_PACKAGE_WORKS.get(name, '')}"
        for name in (*_PACKAGES, *sorted(versions.keys() - _PACKAGES.keys()))
        if name in versions
    ]
    seeds = listing([str(seed) for seed in sorted({result.seed for result in results})])
    return f"Seeds of the measurements: {seeds}. Software: {listing(named)}." if named else ""


def _values(results: Sequence[MetricResult], field: str) -> list[str]:
    """The distinct values of a protocol field, dotted where nested, in the results that have it."""
    flat = [flatten(result.protocol) for result in results]
    return list(dict.fromkeys(plain(protocol[field]) for protocol in flat if protocol.get(field) is not None))


def _either(results: Sequence[MetricResult], field: str, *, number: bool = False) -> str:
    """The values of a protocol field with `or` between them, an empty text where it was not recorded."""
    values = _values(results, field)
    return " or ".join(count(int(value)) if number and value.isdigit() else value for value in values)


def _numbers(results: Sequence[MetricResult]) -> str:
    return " or ".join(count(number) for number in sorted({result.num_samples for result in results}))


def _resamples(results: Sequence[MetricResult]) -> str:
    found = {count(number) for result in results if isinstance(number := result.details.get("bootstrap"), int)}
    return f" ({' or '.join(sorted(found))} resamples)" if found else ""


def _of(results: Sequence[MetricResult], space: str) -> list[MetricResult]:
    return [result for result in results if result.protocol.get("space") == space.lower()]


def _spaces(results: Sequence[MetricResult]) -> str:
    return listing([space for space in "ZW" if any(result.metric.endswith(f"_{space.lower()}") for result in results)])


def _with(before: str, value: str, after: str = "") -> str:
    """`before value after`, or nothing where there is no value."""
    return f"{before}{value}{after}" if value else ""
