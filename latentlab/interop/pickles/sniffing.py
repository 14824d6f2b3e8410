"""What a file is that is no official network file: told by its first bytes, with what to do about it."""

from pathlib import Path

from latentlab.interop.pickles.budget import RefusedError

TORCH_OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began its files before they were zip archives."""
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
}
_TORCH = (
    "is a checkpoint of torch.save ({}), not an official network file: those are pickles (.pkl) of whole networks. "
    "`latentlab networks convert` and `--network` read those of Rosinality's StyleGAN and StyleGAN2."
)


def check_is_pickle(path: Path, start: bytes) -> None:
    """Refuse what is no pickle of protocol 2 to 5, naming what it is instead.

    Args:
        path: The file.
        start: Its first kilobytes.

    Raises:
        RefusedError: It is something else.
    """
    if not start:
        raise RefusedError("is empty: the download failed before it began; fetch it again.")
    for magic, name in _PACKED.items():
        if start.startswith(magic):
            raise RefusedError(f"is compressed ({name}): unpack it first, and give the file in it.")
    if start.startswith(b"PK\x03\x04"):
        raise RefusedError(_archive(path))
    if start.startswith(TORCH_OLD):
        raise RefusedError(_TORCH.format("in its old form"))
    if start[0] == 0x80 and len(start) > 1:
        if start[1] in (2, 3, 4, 5):
            return
        raise RefusedError(
            f"is no pickle of protocol 2 to 5, as official network files are: it names protocol {start[1]}."
        )
    raise RefusedError(
        _text(start) or f"is no pickle of protocol 2 to 5: it begins with the bytes {start[:8].hex(' ')}."
    )


def _archive(path: Path) -> str:
    """What a zip archive is; only its list of names is read."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, OSError):
        return "is a zip archive that is cut short or damaged: fetch it again."
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return _TORCH.format("a zip archive with data.pkl")
    return "is a zip archive: unpack it first, and give the .pkl file in it."


def _text(start: bytes) -> str | None:
    """What a file of text is; None for other bytes."""
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "is an HTML page: the download failed, and this is what the server said instead; open it in a browser."
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a git-lfs pointer: it stands for the file, which `git lfs pull` fetches."
    if all(byte >= 0x20 or byte in b"\t\r\n" for byte in start) and _is_utf8(start):
        return "is a text file, not a pickle of protocol 2 to 5, as official network files are."
    return None


def _is_utf8(start: bytes) -> bool:
    try:
        start[:-4].decode() if len(start) > 4 else start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 8 and len(start) > 8
    return True
