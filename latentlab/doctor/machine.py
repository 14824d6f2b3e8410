"""Processor, memory and disks, by the standard library alone."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from latentlab.doctor.form import Memory, Place, Processor
from latentlab.files import try_writing
from latentlab.memory import memory_of_machine

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
EXTENSIONS = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "sve", "sve2", "bf16", "i8mm",
)  # fmt: skip


def processor() -> Processor:
    """The processor, without what torch says of it."""
    lines = dict(_fields(PROC / "cpuinfo"))
    flags = (lines.get("flags") or lines.get("Features") or "").split()
    name = lines.get("model name") or platform.processor() or platform.machine()
    machine = os.cpu_count() or 1
    return Processor(name, usable_cores(), machine, tuple(flag for flag in EXTENSIONS if flag in flags))


def usable_cores() -> int:
    """Cores that this process may use: as many as its affinity and the quota of its control groups allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *quotas]))


def memory() -> Memory:
    """Memory of the machine and of this process's control groups."""
    total = memory_of_machine() if hasattr(os, "sysconf") else None
    kilobytes = dict(_fields(PROC / "meminfo")).get("MemAvailable", "").removesuffix(" kB")
    free = [int(kilobytes) * 1024] if kilobytes.isdigit() else []
    limits = []
    for folder in _groups("memory"):
        limit = _integer(folder / "memory.max", folder / "memory.limit_in_bytes")
        if limit is None or (total is not None and limit >= total):  # no limit is written as a huge one
            continue
        limits.append(limit)
        free.append(max(limit - _used(folder), 0))
    return Memory(total, min(free, default=None), min(limits, default=None))


def place(purpose: str, path: Path) -> Place:
    """What can be written to a folder, which need not exist; nothing is left behind."""
    try:
        path = path.expanduser().absolute()
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        usage = shutil.disk_usage(there)
    except (OSError, RuntimeError) as error:  # a home folder that is not known is a RuntimeError
        return Place(purpose, path, None, None, str(error))
    try:
        try_writing(path / "any")
    except OSError as error:
        return Place(purpose, path, usage.free, usage.total, error.strerror or str(error))
    return Place(purpose, path, usage.free, usage.total)


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups of this process, from its own up to the root, in both versions of cgroups.

    In a container the path names what only the host sees, and the root is the container's own group.
    """
    for line in _lines(PROC / "self" / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and controller not in controllers.split(","):
            continue
        root = CGROUPS if number == "0" else CGROUPS / controller
        own = root / path.strip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root) and folder.is_dir())


def _quota(folder: Path) -> int | None:
    """Whole cores that a control group may keep busy, rounded up; None where there is no limit."""
    quota, _, period = (next(iter(_lines(folder / "cpu.max")), "")).partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        return -(-int(quota) // int(period))
    microseconds, every = _integer(folder / "cpu.cfs_quota_us"), _integer(folder / "cpu.cfs_period_us")
    return -(-microseconds // every) if microseconds and every and microseconds > 0 else None


def _used(folder: Path) -> int:
    """Bytes in use in a control group, but for the files' pages that it would give back."""
    used = _integer(folder / "memory.current", folder / "memory.usage_in_bytes") or 0
    stat = dict(line.partition(" ")[::2] for line in _lines(folder / "memory.stat"))
    spare = stat.get("total_inactive_file") or stat.get("inactive_file") or "0"
    return max(used - int(spare), 0)


def _integer(*paths: Path) -> int | None:
    """The number in the first of these files that holds one."""
    for path in paths:
        for line in _lines(path):
            if line.removeprefix("-").isdigit():
                return int(line)
    return None


def _fields(path: Path) -> Iterator[tuple[str, str]]:
    """`name: value` lines of a file of the kernel's; of a name that comes several times, the last one counts."""
    for line in _lines(path):
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
