"""What would not work, judged from what was found: every function looks at one side of a report."""

import re
from collections.abc import Iterator

from latentlab.doctor.form import Finding, Package, Report, follows

GIGABYTE = 2**30
LITTLE_MEMORY, LITTLE_ROOM = GIGABYTE, GIGABYTE


def judge(report: Report) -> Iterator[Finding]:
    """Everything that would not work, what is essential first."""
    sides = (_packages, _faces, _places, _cuda, _weights, _extras, _browser, _processor, _memory, _processes, _folder)
    found = [finding for side in sides for finding in side(report)]
    yield from sorted(found, key=lambda finding: not finding.essential)


def _packages(report: Report) -> Iterator[Finding]:
    """Packages that are always needed: one that only fails because another one does is not named."""
    for package in report.packages:
        if package.extra is None and not package.works and not follows(package.error):
            yield Finding(f"{package.needed_for}: {_broken(package, report)}", _reinstall(package), essential=True)
        elif package.extra is None and package.works and (other := _misfit(package, report)):
            what = f"{package.name} {package.version} asks for torch {package.wants_torch}, and torch is {other}"
            yield Finding(f"{package.needed_for}, perhaps: {what}", _reinstall(package))


def _broken(package: Package, report: Report) -> str:
    if package.version is None:
        return f"{package.name} is not installed"
    words = f"{package.name} {package.version} cannot be imported ({package.error})"
    if other := _misfit(package, report):
        words += f"; it asks for torch {package.wants_torch}, and torch is {other}"
    return words


def _failure(report: Report, question: str) -> str:
    """Why a question has no answer; empty if it has one, or if only a package that is named already is to blame."""
    answer = report.answers.get(question)
    return "" if answer is None or follows(answer.error) else answer.error


def _misfit(package: Package, report: Report) -> str | None:
    """The version of torch, if it is not one that a package asks for; `+cpu` and the like do not count."""
    torch = next((one.version for one in report.packages if one.name == "torch"), None)
    if torch is None or package.wants_torch is None:
        return None
    here, wanted = _release(torch), _release(package.wants_torch[2:])
    fits = here == wanted if package.wants_torch.startswith("==") else here >= wanted
    return None if fits else torch


def _release(version: str) -> tuple[int, ...]:
    """2.6.0+cpu -> (2, 6, 0)."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version.partition("+")[0])[:3])


def _reinstall(package: Package) -> str:
    if package.name in ("torch", "torchvision"):
        return "install the two together, from one index: `pip install --force-reinstall torch torchvision`"
    return f"`pip install --force-reinstall {package.name}`"


def _extras(report: Report) -> Iterator[Finding]:
    for package in report.packages:
        if package.extra is None or package.works or follows(package.error):
            continue
        if package.version is None:
            yield Finding(f"{package.needed_for}: {package.name} is not installed", _install(package))
        else:
            yield Finding(f"{package.needed_for}: {_broken(package, report)}", _reinstall(package))


def _install(package: Package) -> str:
    return f"`pip install 'latentlab[{package.extra}]'`, if it is wanted"


def _browser(report: Report) -> Iterator[Finding]:
    if "path" in (facts := report.facts("browser")) and facts["path"] is None:
        what = "report --format pdf: there is no Chromium, Chrome or Edge on the path"
        yield Finding(what, "install one of them, or open index.html in any browser and print it there")


def _faces(report: Report) -> Iterator[Finding]:
    if error := _failure(report, "faces"):
        what = f"--data faces, demo: the embedded faces cannot be drawn ({error})"
        yield Finding(what, "install LatentLab again, or take `--data` with images of your own")


def _places(report: Report) -> Iterator[Finding]:
    remedies = {
        "results": "change to a folder that you may write to, or name one by --out",
        "cache": "set LATENTLAB_CACHE to a folder that you may write to",
        "weights": "set TORCH_HOME to a folder that you may write to, or name the files' folder by --weights-dir",
    }
    for place in report.places:
        if place.error:
            what = f"writing {place.purpose}: {place.path} cannot be written ({place.error})"
            yield Finding(what, remedies[place.purpose], essential=place.purpose == "cache")
        elif place.free is not None and place.free < LITTLE_ROOM:
            what = f"writing {place.purpose}: {place.free / GIGABYTE:.2f} GiB are free at {place.path}"
            yield Finding(what, f"make room, or {remedies[place.purpose]}")


def _cuda(report: Report) -> Iterator[Finding]:
    facts = report.facts("cuda")
    devices = facts.get("devices", [])
    if facts.get("driver") and not devices:
        yield _unused_gpu(report)
    for number, device in enumerate(devices):
        if device["error"]:
            what = f"--device cuda:{number}: {device['name']} does not compute ({device['error']})"
            supported = ", ".join(facts["architectures"])
            yield Finding(what, f"install a torch built for it (this one knows {supported}), or take `--device cpu`")
    if error := _failure(report, "cuda"):
        yield Finding(f"--device cuda: looking for devices failed ({error})", "take `--device cpu`")


def _unused_gpu(report: Report) -> Finding:
    facts, hidden = report.facts("cuda"), report.environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        what = f"--device cuda: NVIDIA's driver is here, and CUDA_VISIBLE_DEVICES={hidden!r} hides what it drives"
        return Finding(what, "unset CUDA_VISIBLE_DEVICES, or name devices in it, such as 0")
    if facts.get("built_for") is None:
        what = "--device cuda: NVIDIA's driver is here, and torch was built without CUDA"
        return Finding(what, "install a torch with CUDA (https://pytorch.org/get-started/locally)")
    what = f"--device cuda: torch, built for CUDA {facts['built_for']}, finds no device under driver {facts['driver']}"
    return Finding(what, "install a newer driver, or a torch built for an older CUDA; `nvidia-smi` says what it takes")


def _weights(report: Report) -> Iterator[Finding]:
    for one in report.facts("weights").get("found", []):
        fetch = f"`latentlab weights fetch {one['name']}`, with `--from FOLDER` where there is no network"
        if one["path"] is None:
            what = f"{one['needed_for']}: the weights {one['name']} ({one['megabytes']:g} MB) are missing"
            yield Finding(what, f"{fetch}; {one['instead']}")
        elif not one["fitting"]:
            what = f"{one['path']} has {one['bytes'] / 1e6:.1f} MB in place of {one['megabytes']:g}"
            yield Finding(f"{one['needed_for']}: {what}", f"remove the file, and then {fetch}")
    if error := _failure(report, "weights"):
        yield Finding(f"weights: they cannot be listed ({error})", "install torch and torchvision again")


def _processor(report: Report) -> Iterator[Finding]:
    threads, cores = report.processor.threads, report.processor.cores
    if threads is not None and threads > cores:
        what = f"speed: torch takes {threads} threads, and this process may use {_count(cores, 'core')}"
        yield Finding(what, f"set OMP_NUM_THREADS={cores}")


def _memory(report: Report) -> Iterator[Finding]:
    free = report.memory.available
    if free is not None and free < LITTLE_MEMORY:
        what = f"training, ppl and fid: {free / GIGABYTE:.2f} GiB of memory are free, and torch alone takes half a GiB"
        yield Finding(what, "end other programs, raise the limit, or take small --batch-size and resolutions")


def _processes(report: Report) -> Iterator[Finding]:
    """torchrun's variables, left over in a shell, make a command wait for processes that nobody started."""
    set_here = report.environment
    if "RANK" not in set_here or "TORCHELASTIC_RUN_ID" in set_here:
        return
    size = set_here.get("WORLD_SIZE", "1")
    if size != "1":
        what = f"everything by several processes: RANK and WORLD_SIZE={size} are set, though torchrun started nothing"
        yield Finding(what, "`unset RANK WORLD_SIZE LOCAL_RANK`, unless a scheduler starts all the processes")


def _folder(report: Report) -> Iterator[Finding]:
    """What lies in this folder and cannot be used."""
    for run in report.facts("networks").get("found", []):
        if run["state"] == "damaged":
            yield Finding(f"{run['path']}: the run is damaged ({run['reason']})", "train it again under another name")
    for one in report.facts("classifiers").get("found", []):
        if one["reason"]:
            yield Finding(f"{one['path']}: {one['reason']}", "train or import the classifiers again")
    for question in ("networks", "classifiers", "data", "cache folder"):
        if error := _failure(report, question):
            what = f"{question}: looking for it here failed ({error})"
            yield Finding(what, "look into the folder, and at the packages above", essential=question == "cache folder")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
