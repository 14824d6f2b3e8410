"""The processes that share one run: one alone, or several started by torchrun (gloo on CPUs, NCCL on GPUs)."""

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from latentlab.errors import LatentLabError

PATIENCE = datetime.timedelta(hours=6)  # others wait while one process measures a snapshot


class LostProcessError(LatentLabError):
    """Another process of the job has ended, so this one cannot go on."""


@dataclass(frozen=True)
class Team:
    """This process among those that train together.

    Attributes:
        rank: 0 <= rank < size; process 0 reads and writes what the run folder holds.
        size: Number of processes.
        device: Where tensors that travel between processes are.
    """

    rank: int = 0
    size: int = 1
    device: str | torch.device = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def shards(self, count: int) -> range:
        """Which of `count` shards are this process's."""
        return range(self.rank, count, self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over all processes, in place, in one message.

        Raises:
            LostProcessError: Another process has ended.
        """
        if self.size == 1:
            return
        kind = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
        flat = torch.cat([tensor.detach().reshape(-1).to(kind) for tensor in tensors])
        with _peers():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(part.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.device)
        self.add([votes])
        return bool(votes.item())

    def wait(self) -> None:
        """Go on when all processes have come this far."""
        self.any(False)

    @contextmanager
    def first(self) -> Iterator[None]:
        """Let process 0 do something before the others do it (filling a cache, say)."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def told(self, words: str) -> str:
        """What process 0 says."""
        if self.size == 1:
            return words
        message = [words]
        with _peers():
            dist.broadcast_object_list(message, src=0, device=torch.device(self.device))
        return message[0]


def local_device(name: str) -> torch.device:
    """The device of this process among torchrun's: with `cuda`, the GPU of its number on this machine."""
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name)


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """Join the job that torchrun started this process for, or be alone without torchrun; leaves it at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if size == 1:
        yield Team()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


@contextmanager
def _peers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rpartition("] ")[2]
        raise LostProcessError(
            f"another process of this job has ended or cannot be reached ({reason}), so this one stops too. If its own "
            "message does not say otherwise, the same command, with --resume where it has that option, goes on from "
            "what was kept."
        ) from error
