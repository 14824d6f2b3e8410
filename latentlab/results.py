"""MetricResult and its JSON lines: the only file that knows the form of results.jsonl."""

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from latentlab.errors import DataError, UsageError
from latentlab.files import try_writing

METRICS = {
    "ppl_zfull": "Perceptual path length, Z, full",
    "ppl_zend": "Perceptual path length, Z, end",
    "ppl_wfull": "Perceptual path length, W, full",
    "ppl_wend": "Perceptual path length, W, end",
    "ppl_zends": "Perceptual path length, Z, both ends",
    "ppl_wends": "Perceptual path length, W, both ends",
    "ppl2_zfull": "Perceptual path length without crop, Z, full",
    "ppl2_zend": "Perceptual path length without crop, Z, end",
    "ppl2_wfull": "Perceptual path length without crop, W, full",
    "ppl2_wend": "Perceptual path length without crop, W, end",
    "ls_z": "Linear separability, Z",
    "ls_w": "Linear separability, W",
}
"""Names of the paper's metrics and what they are called in tables. Lower is better for all of them."""

DISENTANGLEMENT = {
    "mig": "MIG",
    "modularity": "Modularity",
    "sap": "SAP",
    "dci_disentanglement_linear": "DCI disentanglement, linear",
    "dci_completeness_linear": "DCI completeness, linear",
    "dci_informativeness_linear": "DCI informativeness, linear",
    "dci_informativeness_above_chance_linear": "the same above chance, linear",
    "dci_disentanglement_boosting": "DCI disentanglement, boosting",
    "dci_completeness_boosting": "DCI completeness, boosting",
    "dci_informativeness_boosting": "DCI informativeness, boosting",
    "dci_informativeness_above_chance_boosting": "the same above chance, boosting",
    "explicitness": "Explicitness",
}
"""Names of the disentanglement metrics, to which `_z` or `_w` is added, and their titles. Higher is better for all."""

HIGHER_IS_BETTER = frozenset(f"{name}_{space}" for name in DISENTANGLEMENT for space in ("z", "w"))
"""The metrics, by their names in results, of which a higher number is the better one; of METRICS the lower one is."""

IMAGE_DISTANCES = ("fid", "kid", "fd_", "kd_")
"""How names of distances between sets of images begin: FID, KID, and the same on other features."""

_BEGINNING = b'{"metric":'  # of every line


def is_image_distance(metric: str) -> bool:
    """Whether a metric is a distance between sets of images."""
    return metric.startswith(IMAGE_DISTANCES)


class NetworkName(BaseModel):
    """Which network a number belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    sha256: str


def software_versions() -> dict[str, str]:
    """Versions of what computes the numbers."""
    found = {"python": platform.python_version()}
    for name in ("latentlab", "torch", "scikit-learn", "lpips", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class MetricResult(BaseModel):
    """One measured number with everything needed to judge and to repeat it.

    `protocol` holds every setting that changes the number; two results are comparable only if their protocols
    agree. `details` holds what the report draws (per-attribute tables, percentiles) and enters no comparison.
    A value or interval end that is not a finite number is written as null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")
    metric: str
    value: float | None
    ci95: tuple[float | None, float | None]
    num_samples: int = Field(ge=0)
    seed: int
    network: NetworkName
    protocol: dict[str, Any]
    software: dict[str, str] = Field(default_factory=software_versions)
    created_at: str = Field(default_factory=_now)
    details: dict[str, Any] = Field(default_factory=dict)

    def comparable_with(self, other: "MetricResult") -> bool:
        """Whether both were measured by the same protocol; networks and seeds may differ.

        A number of samples that changes the value, as it does for separability, is part of the protocol.
        """
        return self.protocol == other.protocol


def check_results_file(path: Path | str) -> None:
    """Check, before anything is measured, that results can be appended to a file; it need not exist, nor its folder.

    Raises:
        DataError: the file holds something else than results.
        UsageError: the path is no file, or nothing can be written there.
    """
    path = Path(path)
    try:
        if path.exists():
            if not path.is_file():
                raise UsageError(
                    f"{path} is no file: results are appended to one of JSON lines, such as results.jsonl."
                )
            with path.open("r+b") as file:
                _read_lines(path, file.read())
        else:
            try_writing(path)
    except OSError as error:
        raise UsageError(
            f"results cannot be written to {path} ({error.strerror or error}): name a file that can be with --results."
        ) from error


def append_results(path: Path | str, results: list[MetricResult]) -> None:
    """Append results to a JSON-lines file, creating it and its folder if needed.

    Either all of them are appended or, on a full disk, none. What a kill left of a last line is removed, and nothing
    else ever.

    Raises:
        DataError: the file holds something else than results; it stays as it is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(result.model_dump_json() + "\n" for result in results).encode()
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        whole = _read_lines(path, content)[1]
        file.truncate(whole)
        try:
            file.write(b"\n" * (whole > 0 and content[whole - 1 : whole] != b"\n") + lines)
            file.flush()
        except OSError:
            file.truncate(whole)
            raise


def read_results(path: Path | str) -> list[MetricResult]:
    """Read a results.jsonl, oldest first; a last line that a kill cut short is left out.

    Raises:
        DataError: the file is missing, or a line other than an unfinished last one is no MetricResult.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such results file; `latentlab separability` and `latentlab ppl` write one.")
    return _read_lines(path, path.read_bytes())[0]


def _read_lines(path: Path, content: bytes) -> tuple[list[MetricResult], int]:
    """The results in a file, and how many of its bytes they are: all but the beginning of a line, if it ends so."""
    results, end = [], 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            results.append(MetricResult.model_validate_json(line))
        except ValidationError as error:
            begun = line.replace(b" ", b"")[: len(_BEGINNING)]
            if not line.endswith(b"\n") and _BEGINNING.startswith(begun):
                break
            raise DataError(
                f"{path}, line {number}: not a result line ({error.errors()[0]['msg']}). The file was left as it is: "
                "name another with --results, or remove the line."
            ) from error
        end += len(line)
    return results, end


def newest(results: list[MetricResult]) -> dict[str, MetricResult]:
    """The last result of each metric."""
    return {result.metric: result for result in results}
