"""LatentStore: the file run.h5 of samples z, w, logits with their provenance. docs/store.md is the specification.

`form` knows the names and the rules, `reading` reads checked stores, `writing` writes them so that they survive being
killed at any moment. Nothing outside this package knows how the file is laid out.
"""

from latentlab.store.form import StoreSettings
from latentlab.store.reading import LatentStore, peek
from latentlab.store.writing import CHUNK_ROWS, StoreWriter, create_store, resume_store, writer_lock

__all__ = [
    "CHUNK_ROWS",
    "LatentStore",
    "StoreSettings",
    "StoreWriter",
    "create_store",
    "peek",
    "resume_store",
    "writer_lock",
]
