"""Writing that never leaves half a file: everything appears under its final name at once or not at all."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latentlab.errors import DataError, LatentLabError, OutputExistsError

if TYPE_CHECKING:
    import numpy as np

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST_NAME = 255
"""Bytes that the name of a file may have on the file systems in use."""


@contextmanager
def atomic_file(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Without `durable` the disk is not waited for: after a power cut the file may be damaged, which its reader must see.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        if durable:
            _on_disk(temporary)
        temporary.replace(path)
        if durable:
            _on_disk(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name(error, temporary, path)
        raise


@contextmanager
def atomic_folder(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, on any error it is removed.

    With `replace`, a folder that is there is moved aside first and removed once the new one is in its place.

    Raises:
        OutputExistsError: `path` exists already, and `replace` is off.
    """
    path = Path(path)
    if not replace:
        refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for inner in (*temporary.rglob("*"), temporary):
            if inner.is_file():
                inner.chmod(0o666 & ~_umask())  # libraries that write through temporary files leave them private
            _on_disk(inner)
        _put_in_place(temporary, path)
        _on_disk(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _name(error, temporary, path)
        raise


@contextmanager
def only_writer(path: Path, complaint: LatentLabError) -> Iterator[None]:
    """Hold the right to write `path` by a lock file beside it, `.NAME.lock`, which stays; raise if another has it."""
    import filelock  # it loads asyncio, which `latentlab --help` can do without

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise complaint from error
    try:
        yield
    finally:
        lock.release()


def _on_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk: a power cut must not leave an empty file."""
    if path.is_dir() and os.name == "nt":  # Windows has no handles for folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _name(error: BaseException, temporary: Path, path: Path) -> None:
    """Let an error name what was to be written, not the temporary file that has gone."""
    if isinstance(error, OSError) and str(error.filename or temporary).startswith(str(temporary)):
        error.filename = str(path)


def _put_in_place(folder: Path, path: Path) -> None:
    if not path.exists():
        folder.rename(path)
        return
    aside = folder.with_name(folder.name.replace(".partial", ".replaced.partial"))
    path.rename(aside)
    folder.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


def try_writing(path: Path | str) -> None:
    """Try whether files can be made where `path` is to be, by making one that has no name.

    Permissions do not tell of what is read-only for everyone.

    Raises:
        OSError: They cannot.
    """
    folder = next(parent for parent in Path(path).absolute().parents if parent.exists())
    tempfile.TemporaryFile(dir=folder).close()


def refuse_existing(path: Path | str, *, option: str = "--out") -> None:
    """Raise OutputExistsError if `path`, which `option` names, is taken (an empty folder counts as free)."""
    path = Path(path)
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise OutputExistsError(
            f"{path} exists already and was left as it is: name another {option} or remove it first."
        )


def unfit_names(names: Sequence[str]) -> list[str]:
    """Those of some names that cannot be names of files everywhere, or that differ from others in case alone."""
    taken = Counter(name.casefold() for name in names)
    wrong = [name for name in names if not re.fullmatch(r"[^\x00-\x1f/\\:*?\"<>|.][^\x00-\x1f/\\:*?\"<>|]*", name)]
    return wrong + [name for name in names if taken[name.casefold()] > 1]


def load_arrays(path: Path | str) -> "dict[str, np.ndarray]":
    """All arrays of an .npz file by their names.

    Raises:
        DataError: It is no .npz file of plain arrays (no pickled objects), or it cannot be read; the message starts
            with the path.
    """
    import numpy as np

    path = Path(path)
    try:
        arrays = None
        if zipfile.is_zipfile(path):
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # zipfile, zlib and NumPy's headers have a dozen kinds of errors for damaged bytes
        raise DataError(f"{path} cannot be read as an .npz file: {_cause(error)}.") from error
    if arrays is None:
        raise DataError(f"{path} is no .npz file{_instead(path)}.")
    strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise DataError(f"{path} is no .npz file of arrays alone: {', '.join(strange)} is something else.")
    return arrays


def _instead(path: Path) -> str:
    """What a file is that is no zip archive, as far as its first bytes tell."""
    if not path.is_file():
        return ": there is no such file"
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PK"):
        return ": it is cut short"
    return ": it is empty" if not start else ": it holds a single array, as .npy" if start == b"\x93NUMPY" else ""


def _cause(error: Exception) -> str:
    """An error in a few words; NumPy's advice to load the pickles of a file that nobody has looked at is left out."""
    if "pickle" in str(error):
        return "it holds Python objects, which are never loaded"
    if isinstance(error, MemoryError):
        return "its arrays would not fit into the memory"
    return str(error).strip(".\n") or type(error).__name__


def file_sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
