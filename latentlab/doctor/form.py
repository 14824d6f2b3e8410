"""The parts of a report. No third-party package here: any of them may be broken."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


_FOLLOWS = "it needs "


def because_of(package: str) -> str:
    """The error of what was not tried because a package that it needs does not work."""
    return f"{_FOLLOWS}{package}, which does not work"


def follows(error: str) -> bool:
    """Whether an error only says that another package does not work."""
    return error.startswith(_FOLLOWS)


@dataclass(frozen=True)
class Requirement:
    """A package that LatentLab uses.

    Attributes:
        name: What installers call it.
        module: What Python calls it.
        needed_for: What does not work without it.
        extra: The optional extra of LatentLab that brings it; None for one that is always needed.
        needs: Other packages that it cannot be imported without.
    """

    name: str
    module: str
    needed_for: str
    extra: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a process of its own found out: facts, or else why there are none."""

    facts: dict[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True)
class Package:
    """A package as it is here.

    Attributes:
        name: What installers call it.
        version: Its version; None where it is not installed.
        error: Why it cannot be imported; empty if it can.
        needed_for: What does not work without it.
        extra: As in `Requirement`.
        wants_torch: Which versions of torch it says it fits, such as "==2.6.0"; None where it says nothing.
    """

    name: str
    version: str | None
    error: str
    needed_for: str
    extra: str | None
    wants_torch: str | None = None

    @property
    def works(self) -> bool:
        """Whether it is here and can be imported."""
        return not self.error


@dataclass(frozen=True)
class Processor:
    """The processor. `cores` may be used by this process (affinity, and the control group's quota), `machine_cores`
    there are; `extensions` are the vector extensions that matter, `threads` those that torch takes (None: unknown).
    """

    name: str
    cores: int
    machine_cores: int
    extensions: tuple[str, ...]
    threads: int | None = None
    torch_capability: str | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes: of the machine, free for a new process, and the control group's limit; None where it is not known."""

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class Place:
    """A folder that is written to, which need not exist yet: bytes free on its disk, and why it cannot be written."""

    purpose: str
    path: Path
    free: int | None
    total: int | None
    error: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that would not work here, and what to do; `essential` if hardly anything works without it."""

    what: str
    remedy: str
    essential: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that was found.

    Attributes:
        versions: Of LatentLab, Python, and the operating system.
        packages: Those that are needed, and the optional ones.
        processor, memory, places: What this machine has.
        answers: What processes of their own said, by question (`probes.QUESTIONS`): "torch's settings", "cuda",
            "weights", "cache folder", "faces", "browser", "bundled", "networks", "classifiers", "data".
        environment: Variables that change what commands do, as far as they are set.
        findings: What would not work.
    """

    versions: dict[str, str]
    packages: tuple[Package, ...]
    processor: Processor
    memory: Memory
    places: tuple[Place, ...]
    answers: dict[str, Answer] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether nothing essential is broken."""
        return not any(finding.essential for finding in self.findings)

    def facts(self, question: str) -> dict[str, Any]:
        """What was answered, or nothing where there was no answer."""
        answer = self.answers.get(question)
        return {} if answer is None else answer.facts or {}

    def record(self) -> dict[str, Any]:
        """The report as one JSON object."""
        fields = asdict(self)
        fields["places"] = [{**place, "path": str(place["path"])} for place in fields["places"]]
        answers, findings = fields.pop("answers"), fields.pop("findings")
        for question, answer in answers.items():
            fields[question.replace("'s ", "_").replace(" ", "_")] = {
                **(answer["facts"] or {}),
                "error": answer["error"],
            }
        return {"schema_version": SCHEMA_VERSION, "usable": self.usable, **fields, "findings": findings}
