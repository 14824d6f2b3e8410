"""Image files wherever they lie: below a folder, or in a zip file. They are found here, and read, never unpacked."""

import os
import re
import threading
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from latentlab.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LMDB_FILE = "data.mdb"
SIZED_FOLDER = re.compile(r"(images|thumbnails)\d+x\d+|in-the-wild-images")  # the sub-folders of FFHQ
ENCRYPTED = 0x1  # bit of a member's flags


class Entry(Protocol):
    """One image file; its text (`str`) is how messages name it."""

    @property
    def name(self) -> str:
        """Its path below the folder or inside the zip file, with "/"."""

    def opened(self) -> AbstractContextManager[IO[bytes]]:
        """Open it for reading bytes; a context."""

    def stamp(self) -> str:
        """What changes when its content does, known without reading it."""


@dataclass(frozen=True)
class FileEntry:
    """An image file below a folder."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    def __str__(self) -> str:
        return str(self.path)

    def opened(self) -> AbstractContextManager[IO[bytes]]:
        """Open it for reading bytes; a context."""
        return self.path.open("rb")

    def stamp(self) -> str:
        """Size in bytes and time of the last change."""
        status = self.path.stat()
        return f"{status.st_size} {status.st_mtime_ns}"


class Archive:
    """A zip file open for reading, by several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path)
        weakref.finalize(self, self._zip.close)
        self._lock = threading.Lock()

    def members(self) -> list[zipfile.ZipInfo]:
        """All files in it; of several with one name the last, as unpacking would leave it."""
        return list({info.filename: info for info in self._zip.infolist() if not info.is_dir()}.values())

    @contextmanager
    def opened(self, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
        """Open a member for reading bytes; reading it to its end checks its CRC."""
        with self._lock:  # ZipFile counts its open members without a lock
            member = self._zip.open(info)
        try:
            yield member
        finally:
            with self._lock:
                member.close()


@dataclass(frozen=True)
class ZipEntry:
    """An image file in a zip file."""

    archive: Archive
    info: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """Its path inside the zip file."""
        return self.info.filename

    def __str__(self) -> str:
        return f"{self.archive.path}: {self.name}"

    def opened(self) -> AbstractContextManager[IO[bytes]]:
        """Open it for reading bytes; a context."""
        return self.archive.opened(self.info)

    def stamp(self) -> str:
        """Size in bytes and CRC-32, as the zip file lists them."""
        return f"{self.info.file_size} {self.info.CRC:08x}"


def find_images(path: Path) -> list[Entry]:
    """All PNG, JPEG and WebP files below a folder or in a zip file, sorted by path; what is hidden is left out.

    Raises:
        DataError: there is none, they lie in an LMDB, or sub-folders hold the same images in several sizes; or the zip
            file is damaged or encrypted.
    """
    if path.name == LMDB_FILE:
        raise _lmdb(path)
    entries, others = _in_folder(path) if path.is_dir() else _in_zip(path)
    lmdb = [name for name in others if PurePosixPath(name).name == LMDB_FILE]
    if lmdb:
        raise _lmdb(path / lmdb[0])
    if not entries:
        raise DataError(
            f"{path} holds no images: put {', '.join(SUFFIXES)} files there (in folders of any depth){_hint(others)}."
        )
    _refuse_sizes(path, entries)
    return sorted(entries, key=lambda entry: entry.name.split("/"))


def _in_folder(path: Path) -> tuple[list[Entry], list[str]]:
    """Images, and the names of the other files."""
    images: list[Entry] = []
    others: list[str] = []
    for root, _, files in os.walk(path, onerror=_stop):
        folder = Path(root).relative_to(path).as_posix()
        names = files if folder == "." else [f"{folder}/{file}" for file in files]
        images += [FileEntry(path, name) for name in names if _is_image(name)]
        others += [name for name in names if not _is_image(name)]
    return images, others


def _stop(error: OSError) -> None:
    """A folder that may not be read is no empty folder."""
    raise error


def _in_zip(path: Path) -> tuple[list[Entry], list[str]]:
    """Images, and the names of the other members."""
    try:
        archive = Archive(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is damaged or not a zip file ({error}): copy or download it again.") from error
    members = archive.members()
    images = [ZipEntry(archive, info) for info in members if _is_image(info.filename)]
    encrypted = [entry for entry in images if entry.info.flag_bits & ENCRYPTED]
    if encrypted:
        raise DataError(
            f"{path} is encrypted ({encrypted[0].name} and perhaps others): LatentLab asks for no passwords; unpack it "
            "with its password and name the folder, or zip it again without one."
        )
    return list(images), [info.filename for info in members if not _is_image(info.filename)]


def _is_image(name: str) -> bool:
    if not name.lower().endswith(SUFFIXES):
        return False
    parts = name.split("/")
    return "__MACOSX" not in parts and not any(part.startswith(".") and part != ".." for part in parts)


def _refuse_sizes(path: Path, entries: list[Entry]) -> None:
    """FFHQ holds every image in several sizes, each in a sub-folder: only one of them is meant."""
    parts = {part for entry in entries for part in entry.name.split("/")[:-1]}
    folders = {part for part in parts if SIZED_FOLDER.fullmatch(part)}
    if len(folders) > 1:
        raise DataError(
            f"{path} holds the same images in several sizes, in {', '.join(sorted(folders))}: name one of these "
            f"folders, such as {path / min(folders)}."
        )


def _lmdb(path: Path) -> DataError:
    return DataError(
        f"{path} is an LMDB, the form in which LSUN is distributed: LatentLab reads image files. Export it to images "
        "first (LSUN's own data.py does: `python data.py export LMDB --out_dir FOLDER`) and name that folder, with "
        "--crop center."
    )


def _hint(others: list[str]) -> str:
    """What else was found that may hold the images."""
    for suffix, advice in ((".zip", "name it instead of the folder"), (".tfrecords", "LatentLab does not read these")):
        found = [name for name in others if name.lower().endswith(suffix)]
        if found:
            return f"; found {found[0]}: {advice}"
    return ""
