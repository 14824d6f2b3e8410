"""LatentStore: the file run.h5 of samples z, w, logits and more, with their provenance. docs/store.md specifies it.

`form` knows the names and the rules, `reading` reads checked stores, `writing` and `parts` write them so that they
survive being killed at any moment; `checking`, `merging`, `labelling` and `exporting` are what `latentlab store` and
`latentlab label` do. Nothing outside this package knows how the file is laid out.
"""

from latentlab.store.form import CHUNK_ROWS, StoreSettings
from latentlab.store.reading import LatentStore, describe, peek
from latentlab.store.writing import StoreWriter, create_store, resume_store, writer_lock

__all__ = [
    "CHUNK_ROWS",
    "LatentStore",
    "StoreSettings",
    "StoreWriter",
    "create_store",
    "describe",
    "peek",
    "resume_store",
    "writer_lock",
]
