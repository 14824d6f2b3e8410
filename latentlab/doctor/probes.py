"""What a process of its own looks at: every question is a function that returns facts, and may fail in any way."""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentlab.doctor.form import because_of
from latentlab.doctor.packages import REQUIREMENTS, requirement

MOST_FILES = 100
TORCH_GROUP = ("numpy", "torch", "torchvision", "lpips", "torch-fidelity", "torch's settings", "cuda", "weights")
"""What needs torch: one process loads it once."""
NEEDS = {
    "torch's settings": ("torch",),
    "cuda": ("torch",),
    "weights": ("torch", "torchvision"),
    "cache folder": ("numpy", "pillow"),
    "faces": ("numpy", "pillow"),
    "browser": ("numpy", "pandas", "matplotlib"),
    "data": ("h5py",),
}


def main() -> None:
    """Answer the questions in argv, one line of JSON each; whatever else is printed goes to standard error."""
    questions, broken = json.loads(sys.argv[2]), set(json.loads(sys.argv[3]))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for name in questions:
            facts, error = _answer(name, broken)
            if error:
                broken.add(name)
            answers.write(json.dumps({"question": name, "facts": facts, "error": error}) + "\n")
            answers.flush()


def _answer(name: str, broken: set[str]) -> tuple[dict[str, Any] | None, str]:
    if missing := [need for need in _needs(name) if need in broken]:
        return None, because_of(missing[0])
    try:
        return QUESTIONS[name](), ""
    except Exception as error:  # packages that do not fit each other fail in every way there is
        words = " ".join(str(error).split())
        return None, f"{type(error).__name__}: {words}" if words else type(error).__name__


def _needs(name: str) -> tuple[str, ...]:
    if name in PACKAGES:
        return requirement(name).needs
    return NEEDS.get(name, ())


def package(name: str) -> dict[str, Any]:
    """Import a package; the version that it gives itself.

    Raises:
        ImportError: It is not here, or does not work.
    """
    module = importlib.import_module(requirement(name).module)
    return {"version": str(getattr(module, "__version__", "unknown"))}


def torch_settings() -> dict[str, Any]:
    """Threads, instructions, Apple's GPU, and the folder of downloaded weights."""
    import torch

    from latentlab.weights import cache

    return {
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mps": torch.backends.mps.is_available(),
        "cache": str(cache()),
    }


def cuda() -> dict[str, Any]:
    """The CUDA version that torch was built for, the driver's version, and every device, on which something is added.

    A driver without devices that torch can use has a version all the same.
    """
    import torch

    available = torch.cuda.is_available()
    return {
        "built_for": torch.version.cuda,
        "driver": driver_version(),
        "architectures": torch.cuda.get_arch_list() if available else [],
        "devices": [_cuda_device(number) for number in range(torch.cuda.device_count())] if available else [],
    }


def _cuda_device(number: int) -> dict[str, Any]:
    import torch

    found = torch.cuda.get_device_properties(number)
    newer = found.major >= 8  # Ampere was the first with both
    try:
        error = "" if float((torch.ones(2, device=f"cuda:{number}") + 1).sum()) == 4 else "it adds up wrongly"
    except (RuntimeError, AssertionError) as failure:
        error = str(failure).strip().partition("\n")[0]
    free = None
    with contextlib.suppress(RuntimeError):
        free = torch.cuda.mem_get_info(number)[0]
    return {
        "name": found.name,
        "memory": found.total_memory,
        "free": free,
        "capability": f"{found.major}.{found.minor}",
        "bfloat16": newer,
        "tf32": newer,
        "error": error,
    }


def driver_version() -> str | None:
    """The version of NVIDIA's driver, by its own tool; "unknown" where only its kernel module is seen."""
    if tool := shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            words = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
            return done.stdout.strip().partition("\n")[0] or None
    return "unknown" if Path("/proc/driver/nvidia/version").is_file() else None


def weights() -> dict[str, Any]:
    """Pretrained weights: which are in torch's cache, and of the right size."""
    from latentlab.weights import find_weights, known_weights

    found = []
    for one in known_weights():
        path = find_weights(one)
        size = None if path is None else path.stat().st_size
        fields = {"name": one.name, "file": one.file, "megabytes": one.megabytes, "needed_for": one.needed_for}
        fields |= {"instead": one.instead}
        fitting = size is not None and abs(size / 1e6 - one.megabytes) < 0.1
        found.append({**fields, "path": None if path is None else str(path), "bytes": size, "fitting": fitting})
    return {"found": found}


def the_cache_folder() -> dict[str, Any]:
    """Where drawn faces and features of real images are kept."""
    from latentlab.data.embedded import cache_folder

    return {"path": str(cache_folder())}


def faces() -> dict[str, Any]:
    """Draw one of the embedded faces."""
    import numpy as np

    from latentlab.data.faces import render_faces

    drawn = render_faces(0, np.arange(1), 32)
    return {"shape": list(drawn.images.shape[1:]), "attributes": drawn.labels.shape[1]}


def browser() -> dict[str, Any]:
    """The program that prints reports as PDF; None where there is none."""
    from latentlab.report.browser import find_browser

    return {"path": find_browser()}


def networks() -> dict[str, Any]:
    """Training runs in runs/, and networks of other origin there and in networks/."""
    from trainers.runs import list_runs

    found = [
        {"path": str(run.path), "state": run.state, "reason": run.reason, "settings": run.settings}
        for run in list_runs(Path("runs"))
    ]
    for path in sorted(file.parent for root in ("runs", "networks") for file in Path(root).glob("*/network.json")):
        family = _object(path / "network.json").get("family", "style or traditional")
        found.append({"path": str(path), "state": "converted", "reason": "", "settings": str(family)})
    return {"found": found}


def classifiers() -> dict[str, Any]:
    """Classifiers in classifiers/, without looking into their weights."""
    found = []
    for config in sorted(Path("classifiers").glob("*/config.json")):
        fields, whole = _object(config), (config.parent / "classifiers.safetensors").is_file()
        attributes = fields.get("attributes")
        number = len(attributes) if isinstance(attributes, list) else 0
        reason = "" if whole and number else "config.json cannot be read" if whole else "its weights are missing"
        found.append({"path": str(config.parent), "attributes": number, "reason": reason})
    return {"found": found}


def bundled() -> dict[str, Any]:
    """Names of the networks and classifiers that come with LatentLab."""
    from latentlab.zoo import classifier_names, network_names

    return {"networks": network_names(), "classifiers": classifier_names()}


def data() -> dict[str, Any]:
    """Prepared images in this folder and in data/, as far as their first attributes tell."""
    import h5py

    found = []
    for path in _hdf5_files():
        with contextlib.suppress(OSError), h5py.File(path, "r") as file:
            if file.attrs.get("kind") == "images":
                size = {name: int(file.attrs.get(name, 0)) for name in ("resolution", "num_images")}
                found.append({"path": str(path), **size})
    return {"found": found}


def _hdf5_files() -> list[Path]:
    files = [path for root in (".", "data") for path in sorted(Path(root).glob("*.h5"))]
    return files[:MOST_FILES]


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file holds none."""
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else {}
    return {}


def _asker(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: package(name)


PACKAGES = tuple(one.name for one in REQUIREMENTS)
QUESTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: _asker(name) for name in PACKAGES},
    "torch's settings": torch_settings,
    "cuda": cuda,
    "weights": weights,
    "cache folder": the_cache_folder,
    "faces": faces,
    "browser": browser,
    "bundled": bundled,
    "networks": networks,
    "classifiers": classifiers,
    "data": data,
}
GROUPS = (TORCH_GROUP, tuple(name for name in QUESTIONS if name == "numpy" or name not in TORCH_GROUP))
"""Questions that one process answers, in this order; both need NumPy."""
