"""Making files of prepared images: whole or not at all, in constant memory, without what cannot be read."""

import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentlab.data import loading, open_dataset, preparing
from latentlab.data.decoding import Preparation
from latentlab.data.prepared import check_prepared, read_prepared
from latentlab.data.preparing import prepare
from latentlab.errors import DataError, OutputExistsError, UsageError


def picture(width: int = 16, height: int | None = None, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)


def folder_of(root: Path, *, count: int = 5, size: int = 32) -> Path:
    for k in range(count):
        file = root / f"{k % 2}" / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(size, seed=k)).save(file)
    return root


def made(tmp_path: Path, *, resolution: int = 16, **options: object) -> Path:
    out = tmp_path / "out.h5"
    prepare(folder_of(tmp_path / "set"), out, Preparation(resolution), **options)
    return out


def everything(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# --------------------------------------------------------------------------------------------------------- writing


def test_what_is_there_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    out = made(tmp_path)
    before = out.read_bytes()
    with pytest.raises(OutputExistsError, match=r"out\.h5 exists already.*--overwrite"):
        prepare(tmp_path / "set", out, Preparation(8))
    assert out.read_bytes() == before
    assert prepare(tmp_path / "set", out, Preparation(8), overwrite=True).resolution == 8
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(OutputExistsError):
        prepare(tmp_path / "set", tmp_path / "folder.h5", Preparation(8), overwrite=True)


def test_wrong_names_and_sources_are_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = made(tmp_path)
    with pytest.raises(UsageError, match=r"must end in \.h5, such as .*out\.h5"):
        prepare(tmp_path / "set", tmp_path / "out.hdf", Preparation(8))
    with pytest.raises(UsageError, match=r"out\.h5 holds prepared images already"):
        prepare(out, tmp_path / "more.h5", Preparation(8))
    with pytest.raises(UsageError, match=r"'faces' needs no preparing"):
        prepare("faces", tmp_path / "more.h5", Preparation(8))
    with pytest.raises(UsageError, match="resolution 24 is not allowed"):
        prepare(tmp_path / "set", tmp_path / "more.h5", Preparation(24))
    with pytest.raises(DataError, match="6 images asked for, but it holds 5"):
        prepare(tmp_path / "set", tmp_path / "more.h5", Preparation(8), num_images=6)
    assert everything(tmp_path) == ["out.h5", "set"]


def test_an_interrupted_or_failed_preparation_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made(tmp_path)
    before = out.read_bytes()

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "set", out, Preparation(8), overwrite=True, progress=interrupt)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparing, "write_rest", full)
    with pytest.raises(DataError, match=r"out\.h5 could not be written .*No space left.*960 bytes.*Make room"):
        prepare(tmp_path / "set", out, Preparation(8), overwrite=True)
    assert out.read_bytes() == before
    assert everything(tmp_path) == ["out.h5", "set"]


PREPARE = "import sys; from latentlab.data.preparing import prepare; from latentlab.data.decoding import Preparation; "


@pytest.mark.skipif(sys.platform == "win32", reason="limits and signals of POSIX")
def test_no_room_for_the_pixels_is_found_before_anything_is_decoded(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "set", count=20, size=64)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
    decoded = "prepare(sys.argv[1], sys.argv[2], Preparation(64), progress=lambda done, *_: done and print('decoded'))"
    command = [sys.executable, "-c", PREPARE + limited + decoded, str(root), str(tmp_path / "out.h5")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "out.h5 could not be written" in result.stderr
    assert result.stdout == ""
    assert everything(tmp_path) == ["set"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits and signals of POSIX")
def test_a_killed_preparation_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "set")
    killed = "import os; prepare(sys.argv[1], sys.argv[2], Preparation(8), "
    killed += "progress=lambda done, *_: done and os.kill(os.getpid(), 9))"
    command = [sys.executable, "-c", PREPARE + killed, str(root), str(tmp_path / "out.h5")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "out.h5").exists()
    assert len(prepare(root, tmp_path / "out.h5", Preparation(8)).names) == 5


def test_the_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_of(tmp_path / "set", count=96, size=64)
    monkeypatch.setattr(loading, "BLOCK_BYTES", 4 * 64 * 64 * 3)
    prepare(root, tmp_path / "first.h5", Preparation(64), num_images=1)  # what is imported on first use
    tracemalloc.start()
    try:
        found = prepare(root, tmp_path / "out.h5", Preparation(64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.pixels.nbytes == 96 * 64 * 64 * 3
    assert peak < found.pixels.nbytes / 3
    assert np.array_equal(found.pixels, open_dataset(root, resolution=64).images(slice(None)))


# --------------------------------------------------------------------------------------------------- damaged images


def broken(root: Path) -> Path:
    """Five images in CelebA's layout, of which two cannot be read: by its header, and by its pixels."""
    folder_of(root / "img_align_celeba", count=5, size=64)
    (root / "img_align_celeba" / "0" / "2.png").write_bytes(b"")
    file = root / "img_align_celeba" / "1" / "1.png"
    file.write_bytes(file.read_bytes()[:5000])
    rows = "".join(f"{k}.jpg {'1' if k % 2 else '-1'}\n" for k in range(5))
    (root / "list_attr_celeba.txt").write_text(f"5\nA\n{rows}")
    return root


def test_images_that_cannot_be_read_are_left_out_and_recorded(tmp_path: Path) -> None:
    root = broken(tmp_path / "set")
    found = prepare(root, tmp_path / "out.h5", Preparation(32), skip_bad=True)
    assert found.names == ("0/0.png", "0/4.png", "1/3.png")
    assert found.skipped == ("0/2.png", "1/1.png")
    assert check_prepared(found.path).labels is not None
    one, other = (open_dataset(path, resolution=32, skip_bad=True) for path in (root, found.path))
    assert other.describe() == one.describe()
    assert other.skipped == one.skipped
    assert np.array_equal(other.labels, [[-1], [-1], [1]])
    assert np.array_equal(other.images(slice(None)), one.images(slice(None)))
    expected = found.pixels.nbytes + found.offset
    assert expected <= found.path.stat().st_size < expected + 30_000  # no room is left over
    assert everything(tmp_path) == ["out.h5", "set"]


def test_images_that_cannot_be_read_stop_the_preparation(tmp_path: Path) -> None:
    root = broken(tmp_path / "set")
    with pytest.raises(DataError, match=r"2 images of 5 cannot be read.*--skip-bad:\n.*2\.png: .*\n.*1\.png: "):
        prepare(root, tmp_path / "out.h5", Preparation(32))
    Image.fromarray(picture(64)).save(root / "img_align_celeba" / "0" / "2.png")
    with pytest.raises(DataError, match=r"1 image of 5 cannot be read.*--skip-bad:\n.*1\.png: "):
        prepare(root, tmp_path / "out.h5", Preparation(32))
    for file in (root / "img_align_celeba").rglob("*.png"):
        file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(DataError, match=r"none of the images \(5\) can be read"):
        prepare(root, tmp_path / "out.h5", Preparation(32), skip_bad=True)
    assert everything(tmp_path) == ["set"]


def test_any_number_of_images_may_be_left_out(tmp_path: Path) -> None:
    """More than the 64 KiB that an HDF5 attribute can hold."""
    image = folder_of(tmp_path / "set", count=1) / "0" / "0.png"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(image, "0.png")
        for k in range(5000):
            archive.writestr(f"broken/{k}.png", b"")
    found = prepare(tmp_path / "set.zip", tmp_path / "out.h5", Preparation(16), skip_bad=True)
    assert (found.num_images, len(found.skipped), found.source) == (1, 5000, "set")
    assert read_prepared(found.path).skipped == found.skipped


def test_names_that_are_not_utf8_are_stored_readably(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "set", count=1)
    try:
        (root / "0" / "0.png").rename(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png"))
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes UTF-8 names only")
    assert prepare(root, tmp_path / "out.h5", Preparation(16)).names == ("caf\\xe9.png",)
