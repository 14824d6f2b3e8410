"""How this process keeps its memory."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for them (malloc.h)
NEVER, LARGEST = 2**31 - 1, 32 * 2**20  # bytes; glibc allows no mmap threshold above 32 MiB


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next tensors instead of giving it back to the system at once.

    A step on a CPU frees and takes the same megabytes many times, and every page that comes back from the system is
    cleared first: keeping them made training 1.1 to 1.2 times faster (docs/performance.md). The most memory that was
    in use stays reserved until the process ends. Only glibc has these switches; returns whether they were set.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(TRIM_THRESHOLD, NEVER) and libc.mallopt(MMAP_THRESHOLD, LARGEST))


def memory_of_machine() -> int:
    """Bytes of memory of this machine, in use or not."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
