"""Reading archives of arrays: whatever is no such archive ends in one message that names the file."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from latentlab.errors import DataError
from latentlab.files import load_arrays


def header(shape: str, *, descr: str = "'<f8'") -> bytes:
    """The bytes of an .npy file that has a header and eight bytes of content."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(8)


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(f"{name}.npy", content)
    return file.getvalue()


def single() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def objects() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.array([{}], object))
    return file.getvalue()


def encrypted() -> bytes:
    content = bytearray(archive(a=header("(1,)")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def packed_otherwise() -> bytes:
    content = bytearray(archive(a=header("(1,)")))
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 77
    return bytes(content)


def flipped() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(1000))
    content = bytearray(file.getvalue())
    content[200] ^= 0xFF
    return bytes(content)


def test_arrays_come_back(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3), b="text")
    found = load_arrays(tmp_path / "a.npz")
    assert list(found) == ["a", "b"]
    assert found["a"].tolist() == [0, 1, 2]
    assert str(found["b"]) == "text"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no .npz file: it is empty"),
        (b"text", "is no .npz file."),
        (single(), "is no .npz file: it holds a single array, as .npy"),
        (objects(), "cannot be read as an .npz file: it holds Python objects, which are never loaded"),
        pytest.param(archive(a=header("(1,)"))[:100], "is no .npz file: it is cut short", id="cut short"),
        (archive(a=header("(1 << 62,)")), "cannot be read as an .npz file"),
        (archive(a=header(f"({10**15},)")), "its arrays would not fit into the memory"),
        (archive(a=header(f"({10**30},)")), "cannot be read as an .npz file"),
        (archive(a=header("(2,)")), "cannot be read as an .npz file"),
        (archive(a=header("(2,")), "cannot be read as an .npz file"),
        (archive(a=header("(1,)", descr="[1]")), "cannot be read as an .npz file"),
        (archive(a=b"text"), "is no .npz file of arrays alone: a is something else"),
        (archive(a=b"\x93NUMPY\x01\x00"), "cannot be read as an .npz file"),
        (encrypted(), "password"),
        (packed_otherwise(), "compression"),
        (flipped(), "cannot be read as an .npz file"),
    ],
)
def test_what_is_no_archive_of_arrays_is_said_in_one_way(tmp_path: Path, content, message):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_arrays(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_an_archive_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"a\.npz is no \.npz file: there is no such file"):
        load_arrays(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"is no \.npz file"):
        load_arrays(tmp_path)
