"""The state of an unfinished training: OUT.training/STEPS/ beside the folder OUT that is to be.

Every process writes the networks it trains, with Adam's moments, as one part; a state counts when all its parts are
there. Any number of processes may go on from it.
"""

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attribute_classifiers.learners import Steps
from latentlab.checkpoint import write_tensors
from latentlab.distributed import Team
from latentlab.errors import CheckpointError, UsageError
from latentlab.files import atomic_file

PART = re.compile(r"part-(\d+)-of-(\d+)\.safetensors")


def states_folder(out: Path) -> Path:
    """Where the states of a training of `out` are."""
    return out.with_name(f"{out.name}.training")


def newest_state(folder: Path) -> Path | None:
    """The newest state whose parts are all there, or None."""
    complete = [state for state in folder.glob("[0-9]*") if complete_parts(state)]
    return max(complete, key=lambda state: int(state.name), default=None)


def complete_parts(state: Path) -> list[Path]:
    """The parts of a state, as one number of processes wrote them; none if some are missing.

    Beside them there may be parts that another number of processes wrote before it was killed.
    """
    groups: dict[int, list[Path]] = {}
    for path in sorted(state.glob("part-*")):
        if found := PART.fullmatch(path.name):
            groups.setdefault(int(found[2]), []).append(path)
    return next((parts for size, parts in groups.items() if len(parts) == size), [])


def is_unfinished(folder: Path) -> bool:
    """Whether a training has saved anything there."""
    return any(folder.glob("*/part-*"))


def save_state(
    folder: Path, learners: Sequence[Steps], *, steps_done: int, identity: str, team: Team, part: tuple[int, int]
) -> None:
    """Write this process's part of the state after `steps_done` steps; when all parts are there, drop older states.

    Args:
        folder: What `states_folder` says.
        learners: What this process trains; none if it has nothing to write.
        steps_done: How many steps they have behind them.
        identity: Everything that decides what a training does.
        team: The processes of the job.
        part: Number of this part, and how many there are.

    Raises:
        OSError: there is no room; older states are as they were.
    """
    state = folder / f"{steps_done:09d}"
    if learners:
        _write_part(state / f"part-{part[0]}-of-{part[1]}.safetensors", learners, identity)
    team.wait()
    if team.leads and complete_parts(state):
        for other in folder.glob("[0-9]*"):
            if other != state:
                shutil.rmtree(other, ignore_errors=True)


def _write_part(path: Path, learners: Sequence[Steps], identity: str) -> None:
    tensors: dict[str, Tensor] = {}
    for learner in learners:
        for number in learner.networks:
            tensors |= {f"{number}.{name}": tensor.contiguous() for name, tensor in learner.live(number).items()}
    try:
        with atomic_file(path) as temporary:
            write_tensors(tensors, temporary, {"identity": identity})
    except BaseException:
        for empty in (path.parent, path.parent.parent):  # nothing was saved, so nothing stays
            with suppress(OSError):
                empty.rmdir()
        raise


def restore_state(state: Path, learners: Sequence[Steps], *, identity: str) -> int:
    """Bring learners to a state, whoever wrote its parts; returns how many steps it has behind it.

    Raises:
        CheckpointError: the state is damaged.
        UsageError: it was made with other settings, images, labels or another seed.
    """
    steps_done = int(state.name)
    parts = [_open_part(path, identity) for path in complete_parts(state)]
    for learner in learners:
        for number in learner.networks:
            for name, tensor in learner.live(number).items():
                tensor.copy_(_find(parts, f"{number}.{name}", state))
        learner.resume_at(steps_done)
    return steps_done


def weights_in(state: Path, num_networks: int, *, identity: str) -> list[dict[str, Tensor]]:
    """The weights of every network in a state.

    Raises:
        CheckpointError: the state is damaged.
    """
    parts = [_open_part(path, identity) for path in complete_parts(state)]
    found: list[dict[str, Tensor]] = []
    for number in range(num_networks):
        prefix = f"{number}.model."
        names = sorted(key for part in parts for key in part.keys() if key.startswith(prefix))  # noqa: SIM118
        found.append({name.removeprefix(prefix): _find(parts, name, state) for name in names})
    return found


def _open_part(path: Path, identity: str) -> safe_open:
    try:
        part = safe_open(path, framework="pt")
        metadata = part.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path.parent, str(error)) from error
    if metadata.get("identity") != identity:
        raise UsageError(
            f"{path.parent} was made with other settings, images, labels or another seed: resume with the same ones, "
            f"or remove {path.parent.parent} to start afresh."
        )
    return part


def _find(parts: Sequence[safe_open], name: str, state: Path) -> torch.Tensor:
    try:
        for part in parts:
            if name in part.keys():  # noqa: SIM118 (not a dict)
                tensor: torch.Tensor = part.get_tensor(name)
                return tensor
    except (OSError, SafetensorError) as error:
        raise _damaged(state, str(error)) from error
    raise _damaged(state, f"it lacks {name}")


def _damaged(state: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{state} is damaged ({reason}): remove {state.parent} to start afresh.")
