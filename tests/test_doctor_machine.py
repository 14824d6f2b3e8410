"""Processor, memory and disks as the kernel's files tell of them."""

import shutil

import pytest

from latentlab.doctor import machine

GIGABYTE = 2**30


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A function that writes files of the kernel's, under proc/ and cgroup/."""
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "memory_of_machine", lambda: 64 * GIGABYTE)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)

    def write(**files):
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_cores_are_those_of_the_affinity_where_no_quota_is(kernel):
    assert machine.usable_cores() == 16
    kernel(proc__self__cgroup="0::/job\n")
    (machine.CGROUPS / "job").mkdir(parents=True)
    (machine.CGROUPS / "job" / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores() == 16


def test_the_smallest_quota_on_the_way_to_the_root_counts(kernel):
    kernel(proc__self__cgroup="0::/user/job\n")
    (machine.CGROUPS / "user" / "job").mkdir(parents=True)
    (machine.CGROUPS / "user" / "job" / "cpu.max").write_text("800000 100000\n")
    (machine.CGROUPS / "user" / "cpu.max").write_text("250000 100000\n")
    assert machine.usable_cores() == 3


def test_a_container_sees_its_own_group_at_the_root(kernel):
    kernel(proc__self__cgroup="0::/docker/1234\n")
    machine.CGROUPS.mkdir()
    (machine.CGROUPS / "cpu.max").write_text("50000 100000\n")
    assert machine.usable_cores() == 1


def test_quotas_of_the_first_version_of_control_groups(kernel):
    kernel(proc__self__cgroup="4:cpu,cpuacct:/\n3:memory:/job\n")
    (machine.CGROUPS / "cpu").mkdir(parents=True)
    (machine.CGROUPS / "cpu" / "cpu.cfs_quota_us").write_text("400000\n")
    (machine.CGROUPS / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.usable_cores() == 4
    (machine.CGROUPS / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert machine.usable_cores() == 16


def test_memory_is_limited_by_the_group(kernel):
    kernel(proc__self__cgroup="0::/job\n", proc__meminfo="MemTotal: 67108864 kB\nMemAvailable:   33554432 kB\n")
    found = machine.memory()
    assert (found.total, found.available, found.limit) == (64 * GIGABYTE, 32 * GIGABYTE, None)
    (machine.CGROUPS / "job").mkdir(parents=True)
    (machine.CGROUPS / "job" / "memory.max").write_text(f"{8 * GIGABYTE}\n")
    (machine.CGROUPS / "job" / "memory.current").write_text(f"{5 * GIGABYTE}\n")
    (machine.CGROUPS / "job" / "memory.stat").write_text(f"anon 1\ninactive_file {2 * GIGABYTE}\n")
    found = machine.memory()
    assert (found.available, found.limit) == (5 * GIGABYTE, 8 * GIGABYTE)


def test_a_limit_above_what_the_machine_has_is_none(kernel):
    kernel(proc__self__cgroup="3:memory:/\n")
    (machine.CGROUPS / "memory").mkdir(parents=True)
    (machine.CGROUPS / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert machine.memory() == machine.Memory(64 * GIGABYTE, None, None)


def test_vector_extensions_that_matter_are_named(kernel):
    kernel(proc__cpuinfo="processor : 0\nmodel name\t: Fast CPU\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\n")
    found = machine.processor()
    assert (found.name, found.extensions) == ("Fast CPU", ("avx2", "avx512_bf16", "amx_tile"))


def test_without_any_files_of_the_kernel_much_is_unknown_and_nothing_fails(kernel):
    assert machine.processor().extensions == ()
    assert machine.memory().available is None


def test_a_folder_to_be_made_is_judged_by_the_one_it_goes_into(tmp_path):
    found = machine.place("cache", tmp_path / "a" / "b")
    assert (found.error, found.free) == ("", shutil.disk_usage(tmp_path).free)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").touch()
    assert machine.place("cache", tmp_path / "file" / "cache").error == "Not a directory"


def test_a_disk_that_does_not_answer_is_an_error(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(machine.shutil, "disk_usage", refuse)
    found = machine.place("cache", tmp_path)
    assert (found.free, found.error) == (None, "[Errno 5] Input/output error")
