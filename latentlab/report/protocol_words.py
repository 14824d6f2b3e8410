"""Protocol fields in words, where a report says in what two measurements differ."""

from collections.abc import Mapping, Sequence

from latentlab.report.common_scores import SCORED_FIELDS, is_separability, scored, valid_names
from latentlab.report.formatting import attribute, listing
from latentlab.results import MetricResult

_FIELDS = {
    "C": "penalty parameter C",
    "classifiers.name": "classifiers",
    "distance.name": "distance between images",
    "epsilon": "step epsilon",
    "factors.classifiers.name": "classifiers of the factors",
    "features.name": "features",
    "images": "form of the images",
    "kinds": "kinds of factors",
    "max_iter": "most iterations",
    "name": "protocol",
    "num_generated": "number of generated images",
    "num_keep": "number of samples kept per attribute",
    "one_class": "attributes of one class",
    "outliers": "lengths left out",
    "quantize": "rounding of the images",
    "real.fingerprint": "checksum of the real images",
    "real.name": "real images",
    "real.num_images": "number of real images",
    "real.of": "number of images that the real ones are taken from",
    "sampling": "places along the paths",
}
_PARTS = {"real": "real images", "sha256": "checksum"}


def in_words(field: str) -> str:
    """A field's name in words: `real.crop` -> `crop of the real images`."""
    if field in _FIELDS:
        return _FIELDS[field]
    return " of the ".join(_part(part) for part in reversed(field.split(".")))


def _part(name: str) -> str:
    stem = name.removesuffix("_sha256")
    words = _PARTS.get(stem) or stem.replace("_", " ")
    words = f"number of {words.removeprefix('num ')}" if words.startswith("num ") else words
    return words if stem == name else f"checksum of the {words}"


def differences_in_words(results: Sequence[MetricResult], fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Differing fields (`comparison.differing_fields`) by their names in words.

    The attributes themselves stand in place of their number and checksum, and checksums are left out where names say
    the same.
    """
    found = {in_words(name): values for name, values in fields.items() if not _needless(name, fields)}
    return found | _left_out(results)


def _needless(name: str, fields: Mapping[str, list[str]]) -> bool:
    if name in SCORED_FIELDS:
        return True
    values, names = fields[name], fields.get(f"{name.removesuffix('.sha256')}.name")
    if not name.endswith(".sha256") or names is None:
        return False
    return len(set(zip(names, values, strict=True))) == len(set(names))


def _left_out(results: Sequence[MetricResult]) -> dict[str, list[str]]:
    """Per result, the attributes or factors that are valid in another one but not in it."""
    valid = [valid_names(result) or frozenset() for result in results]
    if len(set(valid)) < 2:
        return {}
    somewhere = frozenset.union(*valid)
    what = "attributes" if all(map(is_separability, results)) else "factors"
    values = [_named(results[place], somewhere - names) for place, names in enumerate(valid)]
    return {f"{what} left out that are valid elsewhere": values}


def _named(result: MetricResult, names: frozenset[str]) -> str:
    """In the order in which they were measured."""
    ordered = [row["name"] for row in scored(result) or () if row["name"] in names]
    return listing([attribute(name) for name in ordered]) or "none"
