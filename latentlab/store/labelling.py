"""Scores that somebody else's attribute model gave to the samples of a store, joined by sample number."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latentlab.errors import DataError, ProbabilitiesWarning, UsageError
from latentlab.files import file_sha256, refuse_existing
from latentlab.progress import Progress, silent
from latentlab.store.form import ARRAYS
from latentlab.store.reading import LatentStore
from latentlab.store.writing import new_store

LIMIT = float(-np.log(np.finfo(np.float32).tiny))
"""Log-odds whose probability is float32's smallest normal number from 0 or 1: 87.3."""
NAMED = 5
NAMELESS = ("", "nan", "None", "Unnamed: 0")


@dataclass(frozen=True)
class Labelled:
    """What `label_with_scores` did.

    Attributes:
        path: The new store.
        attributes: Its attributes.
        num_samples: Its rows.
        num_clipped: Probabilities so near 0 or 1 that their log-odds were clipped.
    """

    path: Path
    attributes: tuple[str, ...]
    num_samples: int
    num_clipped: int


def label_with_scores(
    run: Path | str,
    scores: Path | str,
    out: Path | str | None = None,
    *,
    probabilities: bool = False,
    name: str | None = None,
    progress: Progress = silent,
) -> Labelled:
    """Write a new store with the samples of `run` and the scores of a table as its logits; `run` stays as it is.

    Sets logits, `attributes` (the table's columns) and `classifiers` (its name and SHA-256); `sources` keeps what the
    store said before.

    Args:
        run: A complete store; logits it may have are left behind.
        scores: CSV or Parquet with a column `sample` and one column of numbers per attribute; log-odds, > 0 where the
            attribute is present.
        out: The new store; left out, beside `run`, named RUN-SCORES.h5.
        probabilities: The scores are probabilities in [0, 1], to be turned into log-odds.
        name: What the classifiers are called; the table's file name if left out.
        progress: Told after every chunk; the unit is rows.

    Raises:
        OutputExistsError: the new store exists already.
        UsageError: the table is neither CSV nor Parquet by its suffix.
        DataError: the table cannot be read, or has missing, repeated or unknown sample numbers, or scores that are not
            finite numbers (or, if they are to be, probabilities).
        StoreError: `run` cannot be read, or the new store not be written.
    """
    run, scores = Path(run), Path(scores)
    out = run.with_name(f"{run.stem}-{scores.stem}.h5") if out is None else Path(out)
    refuse_existing(out)
    with LatentStore.open(run) as store:
        attributes, values = read_scores(scores, store.sample_numbers)
        logits, clipped = _log_odds(scores, attributes, values) if probabilities else (values, 0)
        if not probabilities and ((values >= 0) & (values <= 1)).all():
            warnings.warn(
                f"all scores of {scores} lie between 0 and 1: as log-odds, they say that every attribute is present "
                "everywhere. If they are probabilities, add --probabilities.",
                ProbabilitiesWarning,
                stacklevel=2,
            )
        logits = _single(scores, attributes, logits)
        maker = {"name": name or scores.stem, "sha256": file_sha256(scores)}
        write_relabelled(store, out, logits, attributes=attributes, classifiers=maker, progress=progress)
    return Labelled(out, attributes, len(logits), clipped)


def read_scores(path: Path, samples: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Attributes and scores float64 [N, A] of a table, in the order of the sample numbers [N].

    Raises:
        UsageError, DataError: see `label_with_scores`.
    """
    table = _table(path)
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{path} names a column more than once: {_few(repeated.unique())}.")
    nameless = [number for number, column in enumerate(map(str, table), 1) if column in NAMELESS]
    if nameless:
        raise DataError(
            f"{path}: column {_few(nameless)} has no name. If it is an index, write the table without it "
            "(`to_csv(..., index=False)`); else name it after its attribute."
        )
    if "sample" not in table:
        raise DataError(f"{path} has no column `sample` with the sample numbers; its columns are {_few(table)}.")
    numbers = _numbers(path, "sample", table.pop("sample"))
    if not len(table.columns):
        raise DataError(f"{path} has no column of scores beside `sample`; name one column after each attribute.")
    if (numbers % 1).any():
        raise DataError(f"{path}: sample numbers must be whole, not {_few(numbers[numbers % 1 != 0])}.")
    _check_numbers(path, pd.Index(numbers.astype(np.int64)), samples)
    columns = [_numbers(path, str(attribute), table[attribute]) for attribute in table]
    order = np.argsort(numbers.to_numpy(), kind="stable")  # rows of the store ascend
    return tuple(map(str, table)), np.column_stack(columns)[order]


def _table(path: Path) -> pd.DataFrame:
    """The table as it is; columns of one name keep it."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{path}: scores must be a .csv or a .parquet file.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file of scores.")
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
            return table.reset_index(drop=table.index.name != "sample")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            names = pd.read_csv(path, header=None, nrows=1, dtype=str, skipinitialspace=True).iloc[0]
            table = pd.read_csv(path, index_col=False, low_memory=False, skipinitialspace=True)
        return table.set_axis([str(column) for column in names], axis=1)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]}: {str(error).strip()}") from error


def _numbers(path: Path, column: str, values: pd.Series) -> pd.Series:
    """A column as finite float64."""
    found = pd.Series(pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan))
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        bad = _few(f"{values.iloc[row]} (row {row + 1})" for row in wrong)
        raise DataError(f"{path}: column {column} must hold finite numbers only, not {bad}.")
    return found


def _check_numbers(path: Path, numbers: pd.Index, samples: np.ndarray) -> None:
    """Every sample of the store must be there once, and no other."""
    for what, wrong in (
        ("has samples more than once", numbers[numbers.duplicated()].unique()),
        ("has samples that the store lacks", numbers[~numbers.isin(samples)]),
        ("lacks samples of the store", pd.Index(samples)[~np.isin(samples, numbers)]),
    ):
        if len(wrong):
            raise DataError(
                f"{path} {what}: {_few(wrong)}. It must have one row for each of the samples {samples[0]} to "
                f"{samples[-1]}."
            )


def _log_odds(path: Path, attributes: tuple[str, ...], values: np.ndarray) -> tuple[np.ndarray, int]:
    """log(p / (1 - p)), clipped to +-LIMIT so that 0 and 1 stay finite; and how many were clipped."""
    outside = (values < 0) | (values > 1)
    if outside.any():
        column = int(np.argmax(outside.any(axis=0)))
        raise DataError(
            f"{path}: column {attributes[column]} has {_few(values[outside[:, column], column])}; with --probabilities "
            "scores must be in [0, 1]. Leave the option out if they are log-odds."
        )
    with np.errstate(divide="ignore"):
        odds = np.log(values) - np.log1p(-values)
    return np.clip(odds, -LIMIT, LIMIT), int((np.abs(odds) > LIMIT).sum())


def _single(path: Path, attributes: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """float32, as stores hold; what does not fit is an error."""
    with np.errstate(over="ignore"):
        logits = values.astype(np.float32)
    finite = np.isfinite(logits)
    if not finite.all():
        column = int(np.argmin(finite.all(axis=0)))
        raise DataError(
            f"{path}: column {attributes[column]} has scores too large for float32: "
            f"{_few(values[~finite[:, column], column])}."
        )
    return logits


def write_relabelled(
    store: LatentStore,
    out: Path,
    logits: np.ndarray,
    *,
    attributes: tuple[str, ...],
    classifiers: Mapping[str, str],
    resize: str = "unknown",
    progress: Progress = silent,
) -> None:
    """Write a new store with the samples of another and these logits [N, A]; `sources` keeps what that one said.

    Raises:
        OutputExistsError: `out` exists already.
        StoreError: the store cannot be read, or `out` not be written.
    """
    kept = [dataset for dataset in store.settings.datasets if dataset != "logits"]
    settings = replace(
        store.settings,
        classifiers=classifiers,
        attributes=attributes,
        datasets=tuple(dataset for dataset in ARRAYS if dataset in kept or dataset == "logits"),
        resize=resize,
        sources=(store.provenance,),
    )
    widths: dict[str, int | tuple[int, ...]] = {**{name: store.widths[name] for name in kept}}
    widths["logits"] = logits.shape[1]
    with new_store(out, settings, widths, chunk_rows=store.chunk_rows) as writer:
        for number, block in enumerate(store.blocks(kept)):
            rows = writer.rows(number)
            writer.write_chunk(number, block | {"logits": logits[rows]})
            progress(rows.stop, writer.num_samples)


def _few(values: Iterable[Any]) -> str:
    """The first few, in words."""
    found = [str(value) for value in values]
    return ", ".join(found[:NAMED]) + (f" and {len(found) - NAMED:,} more" if len(found) > NAMED else "")
