"""Images of a store: how they lie in the file, and the part files that hold them while the store grows.

Compressed images have no place in the file that is known beforehand. So the images of each finished chunk of rows wait
in a small HDF5 file of their own, `RUN.h5.parts/NNNNNN.h5`, and are put into the store when all are there.
"""

import math
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from latentlab.errors import StoreError
from latentlab.files import atomic_file

BLOCK_BYTES = 65536
LEVEL = 1


def parts_folder(store: Path) -> Path:
    """Where the images of a growing store wait."""
    return store.with_name(f"{store.name}.parts")


def part_path(store: Path, chunk: int) -> Path:
    """The part file of one chunk of rows."""
    return parts_folder(store) / f"{chunk:06d}.h5"


def remove_parts(store: Path) -> None:
    """Remove all part files of a store."""
    if parts_folder(store).is_dir():
        shutil.rmtree(parts_folder(store))


def rows_per_block(shape: tuple[int, ...], chunk_rows: int) -> int:
    """Images compressed together: the most that fit 64 KiB and divide a chunk of rows, so that one is cheap to read.

    Args:
        shape: [N, H, W, C].
        chunk_rows: Rows per chunk.
    """
    most = min(shape[0], max(1, BLOCK_BYTES // math.prod(shape[1:])))
    return max(rows for rows in range(1, min(most, chunk_rows) + 1) if chunk_rows % rows == 0)


def create_images(file: h5py.File, shape: tuple[int, ...], rows: int) -> h5py.Dataset:
    """An empty dataset `images` in compressed blocks of `rows` images."""
    return file.create_dataset(
        "images",
        shape,
        np.uint8,
        chunks=(rows, *shape[1:]),
        compression="gzip",
        compression_opts=LEVEL,
        fill_time="never",
        track_times=False,  # the same images give the same file
    )


def write_part(path: Path, images: np.ndarray, rows: int) -> None:
    """Write the images [n, H, W, C] of one chunk, in blocks of `rows`; the last block is filled up with zeros.

    Raises:
        OSError: there is no room.
    """
    starts = range(0, len(images), rows)
    blocks = [_packed(images[start : start + rows], rows) for start in starts]
    with h5py.File(path, "w", driver="core", backing_store=False) as file:  # in memory; a name of its own
        dataset = create_images(file, (len(blocks) * rows, *images.shape[1:]), rows)
        for start, block in zip(starts, blocks, strict=True):
            dataset.id.write_direct_chunk((start, 0, 0, 0), block)
        file.flush()
        content = file.id.get_file_image()
    with atomic_file(path, durable=False) as temporary:  # its checksum is in the store
        temporary.write_bytes(content)


def part_crc32(path: Path, count: int) -> int | None:
    """The checksum of the `count` images in a part file, or None if they cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return zlib.crc32(file["images"][:count])
    except (OSError, RuntimeError, KeyError):
        return None


def put_parts(store: Path, images: h5py.Dataset, chunk_rows: int) -> None:
    """Fill a store's empty `images` with the compressed blocks of its part files, in order.

    Raises:
        StoreError: a part file is missing or damaged.
        OSError: there is no room.
    """
    for chunk, first in enumerate(range(0, len(images), chunk_rows)):
        for start, block in _blocks(part_path(store, chunk)):
            images.id.write_direct_chunk((first + start, 0, 0, 0), block)


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The compressed blocks of a part file, each with the number of its first image in the chunk."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            part = file["images"]
            for start in range(0, len(part), part.chunks[0]):
                yield start, part.id.read_direct_chunk((start, 0, 0, 0))[1]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise StoreError(f"{path} is missing or damaged: run the same command again to make it anew.") from error


def _packed(images: np.ndarray, rows: int) -> bytes:
    """One block as HDF5's gzip filter stores it."""
    if len(images) < rows:
        images = np.concatenate([images, np.zeros((rows - len(images), *images.shape[1:]), np.uint8)])
    return zlib.compress(np.ascontiguousarray(images).data, LEVEL)
