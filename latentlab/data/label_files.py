"""Files of labels as tables of text: CSV, TSV and Parquet, with the place of every row for messages."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from latentlab.errors import DataError, UsageError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"
NAMED = 5


def read_cells(path: Path) -> pd.DataFrame:
    """All cells as text without spaces around them, "" where there is no value; the index says "line 2" or "row 1".

    Raises:
        UsageError: the file's name does not end in .csv, .tsv or .parquet.
        DataError: there is no such file, it is damaged, it has no rows, or two columns have one name.
    """
    suffix = path.suffix.lower()
    if suffix not in (*SEPARATORS, PARQUET):
        raise UsageError(
            f"{path}: a file of labels must end in {', '.join(SEPARATORS)} or {PARQUET}. CelebA's own attribute files "
            "are read from beside the images, without --labels."
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file; name the file of labels, ending in .csv, .tsv or .parquet.")
    cells = _read_parquet(path) if suffix == PARQUET else _read_text(path, SEPARATORS[suffix])
    if cells.empty:
        raise DataError(f"{path} has no rows: it needs the columns' names and a row per image.")
    return cells


def refuse_duplicates(names: Iterable[object], what: str, advice: str) -> None:
    """Raise DataError if a name occurs more than once."""
    index = pd.Index(list(names), dtype=object)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        raise DataError(f"{what} {listed(repeated)} occurs more than once: {advice}.")


def listed(names: Iterable[object]) -> str:
    """The first few names, and how many more there are."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): save it as UTF-8.") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}. Correct the line, or save the file again."
        ) from error
    _, header = rows[0] if rows else (0, [])
    _refuse_repeated_columns(path, header)
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} values for {len(header)} columns. Values with a "
                f"{'comma' if separator == ',' else 'tab'} in them must stand in double quotes."
            )
    places = [f"line {line}" for line, _ in rows[1:]]
    return pd.DataFrame([row for _, row in rows[1:]], places, header, dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _refuse_repeated_columns(path, schema.names)
            nested = [field.name for field in schema if not _is_simple(field.type)]
            if nested:
                raise DataError(
                    f"{path}: column {listed(nested)} holds neither text nor numbers nor true and false. Remove it: "
                    "files are named by text, and labels are 1 and 0, 1 and -1, or true and false."
                )
            table = file.read().to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or not a Parquet file ({error}): write it again.") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas stores an index of names as one more column
        table = table.reset_index()
    places = [f"row {number}" for number in range(1, len(table) + 1)]
    columns = [table[name].astype(object).where(table[name].notna(), "").map(str) for name in table.columns]
    texts = {str(column.name): column.str.strip().to_numpy(object) for column in columns}
    return pd.DataFrame(texts, places, dtype=object)


def _refuse_repeated_columns(path: Path, names: list[str]) -> None:
    refuse_duplicates([f"'{name}'" for name in names], f"{path}: column", "give every column a name of its own")


def _is_simple(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(text or number or pa.types.is_boolean(kind) or pa.types.is_null(kind))
