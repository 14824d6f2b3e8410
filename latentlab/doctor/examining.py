"""A whole examination: questions are asked, answers become a report, and the report is judged."""

import dataclasses
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from latentlab.doctor.asking import ask
from latentlab.doctor.form import Answer, Package, Place, Processor, Report
from latentlab.doctor.machine import memory, place, processor
from latentlab.doctor.packages import REQUIREMENTS
from latentlab.doctor.probes import GROUPS, PACKAGES
from latentlab.doctor.verdicts import judge

VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LATENTLAB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME",
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID",
)  # fmt: skip


def examine() -> Report:
    """Look at this machine, this installation and this folder; nothing is changed, and no network is used."""
    answers = ask(GROUPS)
    report = _report(answers)
    return dataclasses.replace(report, findings=tuple(judge(report)))


def _report(answers: Mapping[str, Answer]) -> Report:
    report = Report(
        versions={
            "latentlab": _installed("latentlab") or "unknown",
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        packages=tuple(_packages(answers)),
        processor=processor(),
        memory=memory(),
        places=(),
        answers={name: answer for name, answer in answers.items() if name not in PACKAGES},
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )
    return dataclasses.replace(report, processor=_processor(report), places=tuple(_places(report)))


def _processor(report: Report) -> Processor:
    said = report.facts("torch's settings")
    return dataclasses.replace(report.processor, threads=said.get("threads"), torch_capability=said.get("capability"))


def _packages(answers: Mapping[str, Answer]) -> Iterator[Package]:
    for one in REQUIREMENTS:
        answer = answers[one.name]
        version = _installed(one.name) or (answer.facts or {}).get("version")
        yield Package(one.name, version, answer.error, one.needed_for, one.extra, _wanted_torch(one.name))


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _wanted_torch(name: str) -> str | None:
    """Which torch a package says it goes with, such as "==2.6.0" or ">=2.6.0"."""
    try:
        wanted = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (re.match(r"torch ?\(?((?:==|>=)[\d.]+)", want) for want in wanted)
    return next((match[1] for match in found if match), None)


def _places(report: Report) -> list[Place]:
    named = [("results", Path())]
    if path := report.facts("cache folder").get("path"):
        named.append(("cache", Path(path)))
    if path := report.facts("torch's settings").get("cache"):
        named.append(("weights", Path(path)))
    return [place(purpose, folder) for purpose, folder in named]
