"""`latentlab doctor`: what is here, and what would not work."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from latentlab.doctor import Report
    from latentlab.doctor.form import Package

GIGABYTE = 2**30


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Say what is here (packages, devices, disks, weights, networks), and what would not work; changes nothing.

    It exits with 1 if hardly anything would work: a package that is always needed is broken, or the cache folder
    cannot be written. It takes some seconds and no network.

    \b
    Example:
      latentlab doctor
      latentlab doctor --json
    """
    from latentlab.doctor import examine

    report = examine()
    if as_json:
        print(json.dumps(report.record()))
    else:
        _print_tables(report)
        _print_findings(report)
    if not report.usable:
        raise typer.Exit(1)


def _print_tables(report: "Report") -> None:
    from latentlab.cli.display import print_table

    versions = report.versions
    print(f"LatentLab {versions['latentlab']}, Python {versions['python']}, {versions['system']}\n")
    rows = [[one.name, _package_state(one), one.needed_for] for one in report.packages]
    print_table(["package", "here", "needed for"], rows, align="left")
    print_table(["machine", ""], list(_machine(report)), align="left")
    places = [[place.purpose, _gigabytes(place.free), place.error or "yes", str(place.path)] for place in report.places]
    print_table(["folder for", "free", "writable", "path"], places, align="left")
    if weights := report.facts("weights").get("found"):
        here = [[one["name"], _weights_state(one), one["needed_for"]] for one in weights]
        print_table(["weights", "here", "needed for"], here, align="left")
    print_table(["in this folder", "", ""], list(_material(report)), align="left")
    if report.environment:
        print_table(["variable", "value"], [list(pair) for pair in report.environment.items()], align="left")


def _print_findings(report: "Report") -> None:
    if not report.findings:
        print("Everything works here.")
        return
    print("What would not work here:")
    for finding in report.findings:
        print(f"- {'BROKEN: ' if finding.essential else ''}{finding.what}.\n  What to do: {finding.remedy}.")


def _package_state(package: "Package") -> str:
    from latentlab.doctor.form import follows

    if package.works:
        return package.version or "yes"
    if package.version is None:
        return "no"
    return f"{package.version}, {'not tried' if follows(package.error) else 'broken'}"


def _weights_state(one: dict[str, Any]) -> str:
    return "no" if one["path"] is None else "yes" if one["fitting"] else "damaged"


def _machine(report: "Report") -> Iterator[Sequence[str]]:
    processor, memory = report.processor, report.memory
    yield "processor", f"{processor.name}; {', '.join(processor.extensions) or 'vector extensions are not known'}"
    yield "cores", f"{processor.cores} of {processor.machine_cores} may be used"
    if processor.threads is not None:
        yield "torch", f"{processor.threads} threads, {processor.torch_capability} instructions"
    limit = "" if memory.limit is None else f", limited to {_gigabytes(memory.limit)}"
    yield "memory", f"{_gigabytes(memory.available)} free of {_gigabytes(memory.total)}{limit}"
    yield from _devices(report)
    yield "embedded faces", "can be drawn" if report.facts("faces") else "cannot be drawn"
    if browser := report.facts("browser"):
        yield "reports as PDF", browser["path"] or "no Chromium, Chrome or Edge prints them"


def _devices(report: "Report") -> Iterator[Sequence[str]]:
    facts = report.facts("cuda")
    if not facts:
        yield "CUDA", "not known"
        return
    built = "torch was built without it" if facts["built_for"] is None else f"torch was built for {facts['built_for']}"
    yield "CUDA", f"{built}, {'no driver' if facts['driver'] is None else 'driver ' + facts['driver']}"
    for number, device in enumerate(facts["devices"]):
        kinds = "bfloat16 and TF32" if device["bfloat16"] and device["tf32"] else "neither bfloat16 nor TF32"
        size = f"{_gigabytes(device['free'])} free of {_gigabytes(device['memory'])}"
        yield f"cuda:{number}", f"{device['name']}, {size}, capability {device['capability']}, {kinds}"
    if not facts["devices"]:
        yield "GPU", "Apple's (MPS)" if report.facts("torch's settings").get("mps") else "none that torch can use"


def _material(report: "Report") -> Iterator[Sequence[str]]:
    for run in report.facts("networks").get("found", []):
        yield run["path"], f"network, {run['state']}", run["settings"]
    for one in report.facts("classifiers").get("found", []):
        yield one["path"], "classifiers", one["reason"] or f"{one['attributes']} attributes"
    for one in report.facts("data").get("found", []):
        yield one["path"], "images", f"{one['num_images']:,} of {one['resolution']} x {one['resolution']}"
    for question, kind in (("networks", "network"), ("classifiers", "classifiers")):
        for name in report.facts("bundled").get(question, []):
            yield name, f"{kind}, bundled", ""
    if not any(report.facts(question).get("found") for question in ("networks", "classifiers", "data")):
        yield "no networks, classifiers or prepared images", "", ""


def _gigabytes(size: int | None) -> str:
    return "–" if size is None else f"{size / GIGABYTE:,.1f} GiB"
