"""`latentlab data` on the command line, and the commands that docs/data.md shows."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.data.decoding import Preparation
from latentlab.data.prepared import read_prepared
from latentlab.data.preparing import prepare


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


def broken(root: Path) -> Path:
    """Five images in CelebA's layout, of which two cannot be read."""
    folder_of(root / "img_align_celeba", count=5, size=64)
    (root / "img_align_celeba" / "0" / "2.png").write_bytes(b"")
    file = root / "img_align_celeba" / "1" / "1.png"
    file.write_bytes(file.read_bytes()[:5000])
    rows = "".join(f"{k}.jpg {'1' if k % 2 else '-1'}\n" for k in range(5))
    (root / "list_attr_celeba.txt").write_text(f"5\nA\n{rows}")
    return root


def ran(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_prepare_and_check(tmp_path: Path) -> None:
    root, out = broken(tmp_path / "set"), tmp_path / "out.h5"
    options = ("--out", out, "--resolution", 32, "--filter", "lanczos", "--crop", "center")
    code, _, error = ran("data", "prepare", root, *options)
    assert (code, out.exists()) == (1, False)
    assert "--skip-bad" in error
    code, printed, _ = ran("data", "prepare", root, *options, "--skip-bad")
    found = read_prepared(out)
    assert code == 0
    assert (found.filter, found.crop) == ("lanczos", "center")
    for fact in ("num_images:", "fingerprint:", found.fingerprint, "bytes:", "seconds:", "  0/2.png\n  1/1.png\n"):
        assert fact in printed
    assert ran("data", "prepare", root, *options, "--skip-bad")[0] == 2
    code, printed, _ = ran("data", "prepare", root, *options, "--skip-bad", "--overwrite", "--num-images", 2)
    assert code == 0
    assert read_prepared(out).names == ("0/0.png",)


def test_check_prints_what_is_inside_and_fails_for_a_damaged_file(tmp_path: Path) -> None:
    out = made(tmp_path)
    code, printed, _ = ran("data", "check", out)
    assert code == 0
    assert "verified:" in printed
    code, printed, _ = ran("data", "check", out, "--json")
    summary = json.loads(printed)
    assert code == 0
    assert (summary["num_images"], summary["resolution"], summary["skipped"]) == (5, 16, [])
    assert summary["fingerprint"] == read_prepared(out).fingerprint
    with out.open("r+b") as raw:
        raw.seek(read_prepared(out).offset + 100)
        raw.write(b"\x00\x01\x02")
    code, printed, error = ran("data", "check", out)
    assert (code, printed) == (1, "")
    assert "is damaged" in error
    assert "no such file" in ran("data", "check", tmp_path / "nowhere.h5")[2]


# ------------------------------------------------------------------------------------------------ the documentation


def documentation() -> str:
    return (Path(__file__).parent.parent / "docs" / "data.md").read_text()


def documented() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", documentation(), re.DOTALL)
    return [line.split()[1:] for block in blocks for line in block.splitlines()]


def saved(file: Path, width: int, height: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (10, 200, 90)).save(file)


def make_documented_sources() -> None:
    """What the commands of docs/data.md name, with one or two images each, in the working folder."""
    saved(Path("celeba/img_align_celeba/000001.jpg"), 178, 218)
    Path("celeba/list_attr_celeba.txt").write_text("1\nA B\n000001.jpg 1 -1\n")
    saved(Path("CelebAMask-HQ/CelebA-HQ-img/0.jpg"), 256, 256)
    Path("CelebAMask-HQ/CelebAMask-HQ-attribute-anno.txt").write_text("1\nA B\n0.jpg  1 -1\n")
    saved(Path("celeba-hq/CelebA-HQ-img/0.jpg"), 256, 256)
    Path("celeba-hq/list_attr_celeba.txt").write_text("2\nA B\n000001.jpg 1 -1\n119614.jpg -1 -1\n")
    Path("celeba-hq/CelebA-HQ-to-CelebA-mapping.txt").write_text("idx orig_idx orig_file\n0 119613 119614.jpg\n")
    saved(Path("celeba-hq-png/00000.png"), 256, 256)
    saved(Path("ffhq/images1024x1024/00000/00000.png"), 1024, 1024)
    saved(Path("ffhq/thumbnails128x128/00000/00000.png"), 128, 128)
    saved(Path("lsun/bedroom/a/b/c.webp"), 300, 256)
    saved(Path("lsun/bedroom/a/d/e.webp"), 256, 341)
    with zipfile.ZipFile("afhq-256.zip", "w") as archive:
        archive.write("celeba-hq-png/00000.png", "00000/img00000000.png")
        archive.writestr("dataset.json", '{"labels": [["00000/img00000000.png", 2]]}')
    saved(Path("photos/holiday/one.jpeg"), 90, 70)
    Path("photos/holiday/two.jpeg").touch()
    for name in ("0001.jpg", "0002.jpg", "more/0001.jpg"):
        saved(Path("portraits") / name, 90, 70)
    (table,) = re.findall(r"```csv\n(.*?)```", documentation(), re.DOTALL)
    Path("portraits.csv").write_text(table)


def test_every_command_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_documented_sources()
    commands = documented()
    assert len(commands) == 17
    for words in commands:
        if "--num-images" in words:
            words[words.index("--num-images") + 1] = "2"
        code, printed, error = ran(*words)
        assert (code, bool(printed)) == (0, True), (words, error)
    assert read_prepared(Path("celeba-128.h5")).attributes == ("A", "B")
    assert read_prepared(Path("photos-64.h5")).skipped == ("holiday/two.jpeg",)
    assert np.array_equal(read_prepared(Path("celeba-hq-256.h5")).labels, [[-1, -1]])
    portraits = read_prepared(Path("portraits-64.h5"))
    assert portraits.attributes == ("Smiling", "Hat, any kind")
    assert np.array_equal(portraits.labels, [[1, -1], [-1, -1], [1, 1]])
