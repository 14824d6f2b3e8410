"""Files that commands make: whether their places are free and apart, and that all are made or none."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from latentlab.errors import OutputExistsError, UsageError
from latentlab.files import LONGEST_NAME, refuse_existing, try_writing

_TEMPORARY = len("..12345678.partial")
"""What a file's name is longer by while it is being written."""


def check_outputs(
    files: Mapping[str, Path | None],
    *,
    folders: Mapping[str, Path | None] | None = None,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
) -> None:
    """Refuse outputs that would overwrite each other, what is read, or, without `overwrite`, what is there.

    Args:
        files: By the options that name them.
        folders: The same; whether they are free is left to who writes them.
        inputs: What the command reads.
        overwrite: Whether files may be replaced.

    Raises:
        UsageError: Two outputs have one path or one lies in the other, or an output is what is read, or no file can
            have such a name or place.
        OutputExistsError: A place is taken.
    """
    named = [(option, path) for option, path in {**files, **(folders or {})}.items() if path is not None]
    for option, path in named:
        _check_place(option, path)
        for read in inputs:
            if _same(path, read):
                raise UsageError(f"{option} {path} is what is read: name another file.")
    for (option, path), (other, second) in combinations(named, 2):
        if _same(path, second):
            raise UsageError(f"{option} and {other} both name {path}: one would overwrite the other.")
        if path.resolve() in second.resolve().parents or second.resolve() in path.resolve().parents:
            raise UsageError(f"{option} {path} and {other} {second}: neither may lie in the other.")
    for option, file in files.items():
        if file is not None:
            check_free(file, option=option, overwrite=overwrite)


def check_free(path: Path, *, option: str = "--out", overwrite: bool = False) -> None:
    """A file's place must be free, or with `overwrite` that of a file.

    Raises:
        OutputExistsError: It is not.
    """
    if not overwrite:
        refuse_existing(path, option=option)
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder: name a file.")


@contextmanager
def all_or_none(paths: Sequence[Path | None]) -> Iterator[None]:
    """On an error, remove those of some outputs that were not there before."""
    fresh = [path for path in paths if path is not None and not path.exists()]
    try:
        yield
    except BaseException:
        for path in fresh:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _check_place(option: str, path: Path) -> None:
    lengths = [len(os.fsencode(part)) for part in path.parts]
    if max(lengths, default=0) > LONGEST_NAME - _TEMPORARY:
        raise UsageError(f"{option} {str(path)[:60]}...: names of files and folders may not be that long.")
    above = next((parent for parent in path.absolute().parents if parent.exists()), None)
    if above is not None and not above.is_dir():
        raise UsageError(f"{option} {path}: {above} is a file, and no folder to write into.")
    try:
        try_writing(path)
    except OSError as error:
        raise UsageError(
            f"{option} {path}: the folder {above} cannot be written ({error.strerror or error})."
        ) from error


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are of one file, there already or not."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
